//! Requests that come as a form (`multipart/form-data`), as those with files do: their fields become the request in the canonical
//! form, which is what is checked, routed on and edited, and the files keep their bytes. What goes out is the form as it came, with
//! the fields as they are by then.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use memchr::memmem;
use sha2::{Digest, Sha256};

use crate::error::{ApiError, printable};
use crate::json::{Document, Kind, Value, Writer};

/// More parts than any request has.
const MOST_PARTS: usize = 256;
/// More than any part has to say of itself.
const HEAD_BYTES: usize = 4 << 10;
/// What a form is sent as.
const FORM: &str = "multipart/form-data";
/// RFC 2046, section 5.1.1.
const BOUNDARY_BYTES: usize = 70;

/// A form.
#[derive(Debug, Clone)]
pub struct Form {
    boundary: String,
    parts: Vec<Part>,
}

/// One of its parts.
#[derive(Debug, Clone)]
struct Part {
    /// Without the `[]` that marks one of several.
    name: String,
    is_one_of_several: bool,
    /// Its head, with the bytes that it came with.
    head: Bytes,
    /// Of a file, what is told of it.
    file: Option<File>,
    content: Bytes,
}

#[derive(Debug, Clone)]
struct File {
    name: String,
    kind: String,
}

impl Form {
    /// The boundary, where a request says that it is a form.
    pub fn boundary(headers: &HeaderMap) -> Option<Result<String, ApiError>> {
        let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let (essence, parameters) = kind.split_once(';').unwrap_or((kind, ""));
        if !essence.trim().eq_ignore_ascii_case(FORM) {
            return None;
        }
        let found = parameters_of(parameters).and_then(|parameters| {
            let named = |(name, value): (String, String)| (name == "boundary").then_some(value);
            parameters.into_iter().find_map(named)
        });
        let is_good = |boundary: &String| {
            (1..=BOUNDARY_BYTES).contains(&boundary.len())
                && !boundary.ends_with(' ')
                && boundary
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte))
        };
        Some(found.filter(is_good).ok_or_else(|| {
            let message = format!("the content type `{FORM}` has no `boundary`, or one that cannot be");
            ApiError::invalid("invalid_form", message)
        }))
    }

    /// Reads a form, strictly: what two readers could understand differently is refused.
    pub fn parse(body: &Bytes, boundary: String) -> Result<Self, ApiError> {
        let wrong = |reason: String| ApiError::invalid("invalid_form", format!("the request body: {reason}"));
        let parts = parts(body, &boundary).map_err(wrong)?;
        Ok(Self { boundary, parts })
    }

    /// Its fields as JSON, the files by name, type and size. What is there more than once, or named `name[]`, is an array.
    pub fn fields(&self) -> Vec<u8> {
        let mut to = Writer::with_capacity(512);
        to.open('{');
        let mut seen: Vec<&str> = Vec::new();
        for part in &self.parts {
            if seen.contains(&part.name.as_str()) {
                continue;
            }
            seen.push(&part.name);
            let all: Vec<&Part> = self.parts.iter().filter(|other| other.name == part.name).collect();
            to.key(&part.name);
            match all.as_slice() {
                [only] if !only.is_one_of_several => only.write(&mut to),
                all => {
                    to.open('[');
                    all.iter().for_each(|part| part.write(&mut to));
                    to.close(']');
                }
            }
        }
        to.close('}');
        to.finish()
    }

    /// The form with the fields as this request has them, which began as [`Self::fields`]: files and heads keep their bytes.
    pub fn with(&self, request: &Document, model: &str) -> Result<Bytes, String> {
        let root = request.root();
        let files: usize = self.parts.iter().map(|part| part.content.len() + part.head.len()).sum();
        let mut out = Out::new(&self.boundary, files + request.text().len() + 1_024);
        let mut used: Vec<(&str, usize)> = Vec::new();
        for part in &self.parts {
            let place = used.iter_mut().find(|(name, _)| *name == part.name);
            let index = match place {
                Some((_, index)) => {
                    *index += 1;
                    *index
                }
                None => {
                    used.push((&part.name, 0));
                    0
                }
            };
            if part.file.is_some() {
                out.part(&part.head, &part.content);
                continue;
            }
            let value = root.field(&part.name).and_then(|value| match value.kind() {
                Kind::Array => value.elements().nth(index),
                _ => (index == 0).then_some(value),
            });
            match value {
                Some(_) if part.name == "model" => out.part(&part.head, model.as_bytes()),
                Some(value) => out.field(&part.head, value)?,
                None => {}
            }
        }
        for (name, value) in root.members() {
            let name = name.as_str().unwrap_or_default();
            let had = used.iter().find(|(known, _)| *known == name).map(|(_, last)| last + 1);
            out.more(&name, value, had.unwrap_or(0))?;
        }
        Ok(out.end())
    }

    /// The same for all spellings of one form: boundaries differ from one attempt of a client to the next.
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for part in &self.parts {
            for bytes in [part.name.as_bytes(), &part.content] {
                digest.update((bytes.len() as u64).to_le_bytes());
                digest.update(bytes);
            }
        }
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The content type of what [`Self::with`] makes.
    pub fn content_type(&self) -> String {
        format!("{FORM}; boundary=\"{}\"", self.boundary)
    }
}

impl Part {
    fn write(&self, to: &mut Writer) {
        match &self.file {
            // It has been found to be UTF-8.
            None => to.string(&String::from_utf8_lossy(&self.content)),
            Some(file) => {
                to.open('{');
                to.text("filename", &file.name);
                to.text("content_type", &file.kind);
                to.number("bytes", self.content.len() as u64);
                to.close('}');
            }
        }
    }
}

/// A form that is being written.
struct Out<'b> {
    boundary: &'b str,
    bytes: Vec<u8>,
}

impl<'b> Out<'b> {
    fn new(boundary: &'b str, capacity: usize) -> Self {
        Self {
            boundary,
            bytes: Vec::with_capacity(capacity),
        }
    }

    fn part(&mut self, head: &[u8], content: &[u8]) {
        for piece in [
            b"--",
            self.boundary.as_bytes(),
            b"\r\n",
            head,
            b"\r\n\r\n",
            content,
            b"\r\n",
        ] {
            self.bytes.extend_from_slice(piece);
        }
    }

    fn field(&mut self, head: &[u8], value: Value<'_>) -> Result<(), String> {
        let text = value.as_str().unwrap_or_else(|| value.raw().into());
        if text.contains(&format!("--{}", self.boundary)) {
            return Err("a field of the form holds the form's boundary".to_owned());
        }
        self.part(head, text.as_bytes());
        Ok(())
    }

    /// What a policy has added to the fields of this name, of which so many are written.
    fn more(&mut self, name: &str, value: Value<'_>, written: usize) -> Result<(), String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let head = |suffix: &str| format!("Content-Disposition: form-data; name=\"{name}{suffix}\"");
        let (values, head): (Vec<Value<'_>>, String) = match value.kind() {
            Kind::Object | Kind::Null => return Ok(()),
            Kind::Array => (value.elements().skip(written).collect(), head("[]")),
            _ if written == 0 => (vec![value], head("")),
            _ => return Ok(()),
        };
        if !values.is_empty() && !name.bytes().all(is_plain) {
            return Err(format!(
                "`{}` cannot be the name of a field of a form",
                printable(name, 60)
            ));
        }
        values
            .into_iter()
            .try_for_each(|value| self.field(head.as_bytes(), value))
    }

    fn end(mut self) -> Bytes {
        for piece in [b"--", self.boundary.as_bytes(), b"--\r\n"] {
            self.bytes.extend_from_slice(piece);
        }
        self.bytes.into()
    }
}

/// The parts between the boundaries.
fn parts(body: &Bytes, boundary: &str) -> Result<Vec<Part>, String> {
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(&delimiter);
    let first = &delimiter.as_bytes()[2..];
    let mut at = match body.starts_with(first) {
        true => first.len(),
        // What stands before the first boundary says nothing.
        false => {
            finder
                .find(body)
                .ok_or("it does not hold the boundary that its content type names")?
                + delimiter.len()
        }
    };
    let mut parts = Vec::new();
    loop {
        let rest = &body[at..];
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if !rest[padding..].starts_with(b"\r\n") {
            return Err("a boundary of the form is not followed by a line break".to_owned());
        }
        // The line break stays: a part without a head begins with two.
        at += padding;
        let head_end = memmem::find(&body[at..body.len().min(at + HEAD_BYTES)], b"\r\n\r\n");
        let head_end = at + head_end.ok_or("a part of the form has no head, or one that is too long")?;
        let content = head_end + 4;
        // The line break before the boundary may be the one that ends the head.
        let end = content - 2 + finder.find(&body[content - 2..]).ok_or("the form has no end")?;
        if parts.len() == MOST_PARTS {
            return Err(format!("the form has more than {MOST_PARTS} parts"));
        }
        let head = body.slice((at + 2).min(head_end)..head_end);
        parts.push(part(head, body.slice(content.min(end)..end))?);
        at = end + delimiter.len();
    }
}

fn part(head: Bytes, content: Bytes) -> Result<Part, String> {
    let text = std::str::from_utf8(&head).map_err(|_| "the head of a part of the form is not UTF-8")?;
    let (mut disposition, mut kind) = (None, None);
    for line in text.split("\r\n") {
        let (name, value) = line
            .split_once(':')
            .ok_or("a line in the head of a part of the form is no header")?;
        if line.contains(|c: char| c.is_control() && c != '\t') || line.starts_with([' ', '\t']) {
            return Err("a line in the head of a part of the form is no header".to_owned());
        }
        let slot = match name.to_ascii_lowercase().as_str() {
            "content-disposition" => &mut disposition,
            "content-type" => &mut kind,
            _ => continue,
        };
        if slot.replace(value.trim()).is_some() {
            return Err(format!("a part of the form has more than one {name}"));
        }
    }
    let disposition = disposition.and_then(|value| value.split_once(';'));
    let parameters = disposition.filter(|(word, _)| word.trim().eq_ignore_ascii_case("form-data"));
    let parameters = parameters.and_then(|(_, parameters)| parameters_of(parameters));
    let parameters = parameters.ok_or("a part of the form has no `Content-Disposition: form-data; name=\"…\"`")?;
    let values = |wanted: &str| {
        let mut found = parameters.iter().filter(|(name, _)| name == wanted);
        (found.next().map(|(_, value)| value.clone()), found.next().is_some())
    };
    let ((name, is_twice), (filename, is_filename_twice)) = (values("name"), values("filename"));
    let name = name.filter(|name| !name.is_empty() && !is_twice && !is_filename_twice);
    let name = name.ok_or("a part of the form has no `name`, or more than one")?;
    let has_other_name = parameters.iter().any(|(name, _)| name == "filename*");
    let is_file = filename.is_some() || has_other_name || kind.is_some_and(|kind| !kind.starts_with("text/plain"));
    if !is_file && std::str::from_utf8(&content).is_err() {
        return Err(format!("the form's field `{}` is not UTF-8", printable(&name, 60)));
    }
    Ok(Part {
        is_one_of_several: name.ends_with("[]"),
        name: name.strip_suffix("[]").unwrap_or(&name).to_owned(),
        file: is_file.then(|| File {
            name: filename.unwrap_or_default(),
            kind: kind.unwrap_or_default().to_owned(),
        }),
        head,
        content,
    })
}

/// The parameters after a header's first word, names in lower case. A backslash stands before what it quotes.
fn parameters_of(mut text: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\t', ';']);
        if text.is_empty() {
            return Some(found);
        }
        let (name, rest) = text.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        match rest.strip_prefix('"') {
            None => {
                let (value, rest) = rest.split_once(';').unwrap_or((rest, ""));
                found.push((name, value.trim().to_owned()));
                text = rest;
            }
            Some(quoted) => {
                let (mut value, mut is_quoted) = (String::new(), false);
                let end = quoted.char_indices().find(|&(_, c)| {
                    if !is_quoted && c == '"' {
                        return true;
                    }
                    is_quoted = !is_quoted && c == '\\';
                    if !is_quoted {
                        value.push(c);
                    }
                    false
                });
                found.push((name, value));
                text = &quoted[end?.0 + 1..];
                if !text.trim_start().is_empty() && !text.trim_start().starts_with(';') {
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::json::Limits;

    const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
        --b\r\ncontent-disposition: form-data; name=\"timestamp_granularities[]\"\r\n\r\nword\r\n\
        --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".mp3\"\r\nContent-Type: audio/mpeg\r\n\r\n";

    fn form(file: &[u8]) -> Bytes {
        [FORM.as_bytes(), file, b"\r\n--b--\r\n"].concat().into()
    }

    fn read(body: &[u8]) -> Result<Form, String> {
        Form::parse(&Bytes::copy_from_slice(body), "b".to_owned()).map_err(|error| error.message)
    }

    fn document(json: &Json) -> Document {
        Document::parse(json.to_string().into(), Limits::default()).unwrap()
    }

    #[test]
    fn fields_become_json_and_a_file_what_is_told_of_it() {
        let body = form(b"\x00\xff\r\n--c\r\n");
        let form = read(&body).unwrap();
        let fields: Json = serde_json::from_slice(&form.fields()).unwrap();
        let file = json!({ "filename": "a \"b\".mp3", "content_type": "audio/mpeg", "bytes": 9 });
        let expected = json!({ "model": "whisper-1", "timestamp_granularities": ["word"], "file": file });
        assert_eq!(fields, expected);
        assert_eq!(form.with(&document(&fields), "whisper-1").unwrap(), body);
        let renamed = String::from_utf8_lossy(&body).replace("\nwhisper-1", "\nother");
        let sent = form.with(&document(&fields), "other").unwrap();
        assert_eq!(String::from_utf8_lossy(&sent), renamed);
    }

    #[test]
    fn what_a_policy_changed_is_sent_and_files_stay() {
        let form = read(&form(b"sound")).unwrap();
        let edited = json!({ "model": "m", "timestamp_granularities": ["word", "segment"], "language": "de", "n": 2,
            "file": { "filename": "other" } });
        let sent = form.with(&document(&edited), "upstream").unwrap();
        let again: Json = serde_json::from_slice(&read(&sent).unwrap().fields()).unwrap();
        assert_eq!(again["timestamp_granularities"], json!(["word", "segment"]));
        assert_eq!(
            (&again["language"], &again["n"], &again["model"]),
            (&json!("de"), &json!("2"), &json!("upstream"))
        );
        assert_eq!(again["file"]["bytes"], 5);
        let without = form.with(&document(&json!({ "model": "m" })), "m").unwrap();
        assert!(!String::from_utf8_lossy(&without).contains("granularities"));
        assert!(
            form.with(&document(&json!({ "model": "m", "language": "\r\n--b--" })), "m")
                .is_err()
        );
        assert!(form.with(&document(&json!({ "a\"b": "c" })), "m").is_err());
    }

    #[test]
    fn forms_that_could_be_read_in_two_ways_are_refused() {
        let head = "--b\r\nContent-Disposition: form-data; name=\"a\"";
        for body in [
            String::new(),
            "--c\r\n".to_owned(),
            "--b".to_owned(),
            "--b\r\n\r\nno head\r\n--b--".to_owned(),
            format!("{head}\r\n\r\nno end"),
            format!("{head}\r\n\r\ncut\r\n--bx\r\n"),
            format!("{head}; name=\"b\"\r\n\r\ntwice\r\n--b--"),
            format!("{head}\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\ntwice\r\n--b--"),
            format!("{head}\r\n folded: yes\r\n\r\n\r\n--b--"),
            head.replace("form-data", "attachment") + "\r\n\r\n\r\n--b--",
            head.replace("\"a\"", "\"a") + "\r\n\r\n\r\n--b--",
        ] {
            assert!(read(body.as_bytes()).is_err(), "{body:?}");
        }
        let latin = [head.as_bytes(), b"\r\n\r\n\xff\r\n--b--"].concat();
        assert!(read(&latin).unwrap_err().contains("`a` is not UTF-8"));
        for empty in [
            format!("{head}\r\n\r\n\r\n--b--"),
            format!(
                "preamble\r\n{head}\r\n\r\n\r\n--b  \r\nContent-Disposition: form-data; name=c\r\n\r\n\r\n--b--epilogue"
            ),
        ] {
            let fields = read(empty.as_bytes()).unwrap().fields();
            assert!(fields.starts_with(b"{\"a\":\"\""), "{empty:?}");
        }
    }

    #[test]
    fn a_boundary_is_found_and_held_to_what_it_may_be() {
        let boundary = |kind: &str| {
            let headers = [(CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect();
            Form::boundary(&headers).map(|found| found.map_err(|error| error.code))
        };
        assert_eq!(boundary("application/json"), None);
        assert_eq!(
            boundary("multipart/form-data; boundary=a-b"),
            Some(Ok("a-b".to_owned()))
        );
        assert_eq!(
            boundary("Multipart/Form-Data;charset=utf-8; Boundary=\"a b\""),
            Some(Ok("a b".to_owned()))
        );
        for bad in ["", "; boundary=", "; boundary=\"a", "; boundary=a\"b", "; boundary=ä"] {
            let found = boundary(&format!("multipart/form-data{bad}"));
            assert!(matches!(found, None | Some(Err(_))), "{bad}: {found:?}");
        }
    }

    #[test]
    fn two_forms_with_one_meaning_have_one_digest() {
        let other = Form::parse(
            &String::from_utf8_lossy(&form(b"sound"))
                .replace("--b\r\n", "--other\r\n")
                .replace("--b--", "--other--")
                .into(),
            "other".to_owned(),
        );
        assert_eq!(other.unwrap().digest(), read(&form(b"sound")).unwrap().digest());
        assert_ne!(
            read(&form(b"noise")).unwrap().digest(),
            read(&form(b"sound")).unwrap().digest()
        );
    }
}
