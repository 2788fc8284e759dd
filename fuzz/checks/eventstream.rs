//! AWS's event stream: wherever the bytes are cut, the same events come out as a plain reading of the whole makes of it, and it ends in the
//! same way. Bytes that are no messages at all break off at once; so the same bytes are also taken for what messages are made of, and
//! one of those is then damaged, which is always noticed.

use pointsman::upstream::frames::{Framing, Splitter};

/// An event's name and data; and whether all of it could be read.
type Said = (Vec<(String, Vec<u8>)>, bool);

const MOST: usize = 24 << 20;
const MOST_HEADERS: usize = 128 << 10;

pub(super) fn check(data: &[u8]) {
    agree(data);
    let messages = messages(data);
    agree(&messages);
    if let (Some(&place), false) = (data.last(), messages.is_empty()) {
        let mut damaged = messages.clone();
        damaged[usize::from(place) * (messages.len() - 1) / 255] ^= 1 + place % 255;
        let (events, is_whole) = agree(&damaged);
        assert!(!is_whole, "a damaged message was read");
        assert!(
            standard(&messages).0.starts_with(&events),
            "what came before it was not"
        );
    }
}

/// What both readings make of it.
fn agree(data: &[u8]) -> Said {
    let expected = standard(data);
    for size in [data.len().max(1), 1, 2, 3, 7] {
        assert_eq!(ours(data, size), expected, "in pieces of {size}");
    }
    expected
}

fn ours(data: &[u8], size: usize) -> Said {
    let mut splitter = Splitter::of(Framing::AwsEventStream);
    let mut said = Vec::new();
    for piece in data.chunks(size) {
        splitter.buffer().extend_from_slice(piece);
        loop {
            match splitter.next_event() {
                Ok(Some(event)) => said.push((event.name.unwrap_or_default(), event.data)),
                Ok(None) => break,
                Err(_) => return (said, false),
            }
        }
    }
    let is_whole = splitter.last_event().is_ok();
    (said, is_whole)
}

/// As AWS describes it, with indices into the whole.
fn standard(data: &[u8]) -> Said {
    let mut said = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let Some(event) = message(&data[at..]) else {
            return (said, false);
        };
        let (event, length) = event;
        said.push(event);
        at += length;
    }
    (said, true)
}

fn message(data: &[u8]) -> Option<((String, Vec<u8>), usize)> {
    let number = |at: usize| Some(u32::from_be_bytes(data.get(at..at + 4)?.try_into().ok()?) as usize);
    let (length, headers) = (number(0)?, number(4)?);
    let is_sound =
        number(8)? == checksum(&data[..8]) && length <= MOST && headers <= MOST_HEADERS && length >= headers + 16;
    if !is_sound || number(length - 4)? != checksum(&data[..length - 4]) {
        return None;
    }
    let known = [
        ":message-type",
        ":event-type",
        ":exception-type",
        ":error-code",
        ":error-message",
    ];
    let mut values = [""; 5];
    let (mut at, end) = (12, 12 + headers);
    while at < end {
        let headers = &data[..end];
        let name = headers.get(at + 1..at + 1 + usize::from(headers[at]))?;
        at += 1 + name.len();
        let kind = *headers.get(at)?;
        let (begin, length) = match kind {
            0 | 1 => (at + 1, 0),
            2..=5 => (at + 1, 1 << (kind - 2)),
            6 | 7 => (
                at + 3,
                usize::from(u16::from_be_bytes(headers.get(at + 1..at + 3)?.try_into().ok()?)),
            ),
            8 => (at + 1, 8),
            9 => (at + 1, 16),
            _ => return None,
        };
        let value = headers.get(begin..begin + length)?;
        if let Some(place) = known.iter().position(|known| known.as_bytes() == name) {
            values[place] = std::str::from_utf8(value).ok().filter(|_| kind == 7)?;
        }
        at = begin + length;
    }
    let payload = data[end..length - 4].to_vec();
    let event = match values[0] {
        "exception" => (format!("exception:{}", values[2]), payload),
        "error" => {
            let said = serde_json::json!({ "message": values[4] });
            (format!("exception:{}", values[3]), said.to_string().into_bytes())
        }
        _ => (values[1].to_owned(), payload),
    };
    Some((event, length))
}

/// Messages whose headers and payloads are pieces of these bytes, each of which says how long it is.
fn messages(mut data: &[u8]) -> Vec<u8> {
    let mut messages = Vec::new();
    while let Some((&[headers, payload], rest)) = data.split_first_chunk::<2>() {
        let (headers, rest) = rest.split_at(usize::from(headers).min(rest.len()));
        let (payload, rest) = rest.split_at(usize::from(payload).min(rest.len()));
        let length = (headers.len() + payload.len() + 16) as u32;
        let mut message = [length.to_be_bytes(), (headers.len() as u32).to_be_bytes()].concat();
        message.extend((checksum(&message) as u32).to_be_bytes());
        message.extend([headers, payload].concat());
        message.extend((checksum(&message) as u32).to_be_bytes());
        messages.append(&mut message);
        data = rest;
    }
    messages
}

/// CRC-32 bit by bit.
fn checksum(data: &[u8]) -> usize {
    let mut sum = u32::MAX;
    for byte in data {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    !sum as usize
}
