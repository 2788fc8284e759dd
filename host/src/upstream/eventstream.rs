//! AWS's event stream, `application/vnd.amazon.eventstream`: messages that say how long they are, with a checksum over their first
//! eight bytes and one over all. A message is headers and a payload; its headers say whether it is an event or an error.

use bytes::{Buf, BytesMut};

use super::frames::Event;

/// Length of a message, length of its headers, and the checksum of both.
const PRELUDE: usize = 12;
/// The checksum at the end of a message.
const CHECKSUM: usize = 4;
/// AWS's own limits.
const MESSAGE_BYTES: usize = 24 << 20;
const HEADER_BYTES: usize = 128 << 10;
/// What stands before the name of an error, which no event's name has.
const EXCEPTION: &str = "exception:";

/// The headers that say what a message is.
#[derive(Default)]
struct Head<'a> {
    message_type: &'a str,
    event_type: &'a str,
    exception_type: &'a str,
    error_code: &'a str,
    error_message: &'a str,
}

/// Takes the next message out of the buffer; `None` until it is whole.
pub(super) fn next_message(buffer: &mut BytesMut) -> Result<Option<Event>, String> {
    if buffer.len() < PRELUDE {
        return Ok(None);
    }
    let number = |at: usize| (&buffer[at..at + 4]).get_u32();
    if crc32fast::hash(&buffer[..8]) != number(8) {
        return Err("the checksum of a message's beginning is wrong".to_owned());
    }
    let (length, head) = (number(0) as usize, number(4) as usize);
    if length > MESSAGE_BYTES || head > HEADER_BYTES || length < PRELUDE + head + CHECKSUM {
        return Err(format!("a message of {length} bytes with {head} bytes of headers"));
    }
    if buffer.len() < length {
        buffer.reserve(length - buffer.len());
        return Ok(None);
    }
    let message = buffer.split_to(length);
    let (body, mut checksum) = message.split_at(length - CHECKSUM);
    if crc32fast::hash(body) != checksum.get_u32() {
        return Err("the checksum of a message is wrong".to_owned());
    }
    let headers = Head::read(&body[PRELUDE..PRELUDE + head]).ok_or("a message whose headers cannot be read")?;
    Ok(Some(headers.event(&body[PRELUDE + head..])))
}

impl<'a> Head<'a> {
    fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let mut head = Head::default();
        while !bytes.is_empty() {
            let length = take(&mut bytes, 1)?[0] as usize;
            let name = take(&mut bytes, length)?;
            let kind = take(&mut bytes, 1)?[0];
            let length = match kind {
                0 | 1 => 0,
                2 => 1,
                3 => 2,
                4 => 4,
                5 | 8 => 8,
                9 => 16,
                6 | 7 => take(&mut bytes, 2)?.get_u16() as usize,
                _ => return None,
            };
            let value = take(&mut bytes, length)?;
            let place = match name {
                b":message-type" => &mut head.message_type,
                b":event-type" => &mut head.event_type,
                b":exception-type" => &mut head.exception_type,
                b":error-code" => &mut head.error_code,
                b":error-message" => &mut head.error_message,
                _ => continue,
            };
            *place = std::str::from_utf8(value).ok().filter(|_| kind == 7)?;
        }
        Some(head)
    }

    /// What an adapter sees of it. An error without a payload gets one of the shape that exceptions have.
    fn event(&self, payload: &[u8]) -> Event {
        let (name, data) = match self.message_type {
            "exception" => (format!("{EXCEPTION}{}", self.exception_type), payload.to_vec()),
            "error" => {
                let said = serde_json::json!({ "message": self.error_message });
                (format!("{EXCEPTION}{}", self.error_code), said.to_string().into_bytes())
            }
            _ => (self.event_type.to_owned(), payload.to_vec()),
        };
        Event { name: Some(name), data }
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(name: &str, kind: u8, value: &[u8]) -> Vec<u8> {
        let mut header = vec![name.len() as u8];
        header.extend_from_slice(name.as_bytes());
        header.push(kind);
        if matches!(kind, 6 | 7) {
            header.extend_from_slice(&(value.len() as u16).to_be_bytes());
        }
        header.extend_from_slice(value);
        header
    }

    fn message(headers: &[Vec<u8>], payload: &[u8]) -> Vec<u8> {
        let headers = headers.concat();
        let length = PRELUDE + headers.len() + payload.len() + CHECKSUM;
        let mut message = (length as u32).to_be_bytes().to_vec();
        message.extend_from_slice(&(headers.len() as u32).to_be_bytes());
        message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
        message.extend_from_slice(&headers);
        message.extend_from_slice(payload);
        message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
        message
    }

    fn three() -> Vec<u8> {
        let text = |name: &str, value: &str| header(name, 7, value.as_bytes());
        let event = [
            header("flag", 0, b""),
            header("count", 4, &[0; 4]),
            header("raw", 6, b"\xff"),
            text(":message-type", "event"),
            text(":event-type", "contentBlockDelta"),
            header("when", 8, &[0; 8]),
            header("id", 9, &[0; 16]),
        ];
        let exception = [
            text(":message-type", "exception"),
            text(":exception-type", "throttlingException"),
        ];
        let error = [
            text(":message-type", "error"),
            text(":error-code", "InternalFailure"),
            text(":error-message", "sorry"),
        ];
        [
            message(&event, b"{\"delta\":1}"),
            message(&exception, b"{\"message\":\"slow\"}"),
            message(&error, b""),
        ]
        .concat()
    }

    fn messages(pieces: &[&[u8]]) -> Result<Vec<(String, String)>, String> {
        let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Some(event) = next_message(&mut buffer)? {
                found.push((event.name.unwrap(), String::from_utf8_lossy(&event.data).into_owned()));
            }
        }
        Ok(found)
    }

    #[test]
    fn messages_are_the_same_wherever_they_are_cut_and_say_what_they_are() {
        let bytes = three();
        let expected = [
            ("contentBlockDelta", "{\"delta\":1}"),
            ("exception:throttlingException", "{\"message\":\"slow\"}"),
            ("exception:InternalFailure", "{\"message\":\"sorry\"}"),
        ]
        .map(|(name, data)| (name.to_owned(), data.to_owned()));
        for at in 0..=bytes.len() {
            assert_eq!(
                messages(&[&bytes[..at], &bytes[at..]]).unwrap(),
                expected,
                "cut at {at}"
            );
        }
    }

    #[test]
    fn no_flipped_bit_gets_through() {
        let bytes = three();
        let first = messages(&[&bytes]).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // A longer length waits for bytes that never come only if its own checksum is right, which it is not.
            assert!(messages(&[&flipped]).is_err(), "bit {bit} of {first:?}");
        }
    }

    #[test]
    fn lengths_and_headers_that_cannot_be_are_refused() {
        let prelude = |length: u32, head: u32| {
            let mut bytes = [length.to_be_bytes(), head.to_be_bytes()].concat();
            bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
            bytes
        };
        for (length, head) in [(0, 0), (15, 0), (20, 5), (u32::MAX, 0), (64, u32::MAX)] {
            assert!(messages(&[&prelude(length, head)]).is_err(), "{length} {head}");
        }
        let broken: [&[u8]; 5] = [
            b"\x09:event",
            b"\x01a",
            b"\x01a\x0a",
            b"\x01a\x07\x00\x05x",
            b"\x01a\x07\x00",
        ];
        for headers in broken {
            assert!(messages(&[&message(&[headers.to_vec()], b"")]).is_err(), "{headers:?}");
        }
        let number = header(":event-type", 2, b"x");
        assert!(messages(&[&message(&[number], b"")]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), headers in prop::collection::vec(any::<u8>(), 0..40)) {
            for bytes in [bytes.clone(), message(&[headers], &bytes)] {
                let mut buffer = BytesMut::from(&bytes[..]);
                while let Ok(Some(_)) = next_message(&mut buffer) {}
            }
        }
    }
}
