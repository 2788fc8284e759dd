//! Server-sent events: wherever the bytes are cut, the same events come out as a plain reading of the standard makes of the
//! whole text, and a client that reads what is passed on reads these events, too.

use pointsman::upstream::sse::Splitter;

/// An event's name and data, as bytes.
type Said = (Option<Vec<u8>>, Vec<u8>);

pub(super) fn check(data: &[u8]) {
    let expected = standard(data);
    for size in [data.len().max(1), 1, 2, 3, 7] {
        let (said, passed_on) = ours(data, size);
        assert_eq!(said, expected, "in pieces of {size}");
        assert_eq!(standard(&passed_on), expected, "passed on in pieces of {size}");
    }
}

fn ours(data: &[u8], size: usize) -> (Vec<Said>, Vec<u8>) {
    let mut splitter = Splitter::default();
    let (mut said, mut passed_on) = (Vec::new(), Vec::new());
    for piece in data.chunks(size) {
        splitter.buffer().extend_from_slice(piece);
        while let Some(event) = splitter.next_event().unwrap() {
            passed_on.extend_from_slice(event.raw());
            if let Some(data) = event.data() {
                let name = event.name().map(|name| name.as_bytes().to_vec());
                said.push((name, data.into_owned()));
            }
        }
    }
    (said, passed_on)
}

/// WHATWG HTML, section 9.2.6, read line by line from the whole text. A name that is no text is none.
fn standard(data: &[u8]) -> Vec<Said> {
    let mut rest = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let mut said = Vec::new();
    let (mut name, mut lines): (Option<Vec<u8>>, Option<Vec<u8>>) = (None, None);
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        let line = &rest[..end];
        let both = rest[end..].starts_with(b"\r\n");
        rest = &rest[end + 1 + usize::from(both)..];
        if line.is_empty() {
            let name = name.take().filter(|name| std::str::from_utf8(name).is_ok());
            said.extend(lines.take().map(|data| (name, data)));
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = colon.map_or((line, &[][..]), |at| (&line[..at], &line[at + 1..]));
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match (field, &mut lines) {
            (b"event", _) => name = Some(value.to_vec()),
            (b"data", Some(lines)) => {
                lines.push(b'\n');
                lines.extend_from_slice(value);
            }
            (b"data", none) => *none = Some(value.to_vec()),
            _ => {}
        }
    }
    said
}
