//! What adapters return: whatever the host lets through goes to the provider that the configuration names, below its path,
//! with headers that are headers and nobody else's; and what clients get of it is one JSON object on one line.
//!
//! An input is lines of text; the first one says what it is. `request`: method, path, headers as `name: value`. `answer`: six
//! counts, then the body. `chunks`: the same, each line a chunk; `failure`: a word, then its message. `profile`: base URL,
//! header of the key, path, then headers.

use hyper::header::{HeaderName, HeaderValue};
use pointsman::plugins::outgoing::{self, take_dropped};
use pointsman::plugins::words::{
    Answer, Authentication, Chunk, Dialects, Failure, Framing, Kind, Operation, Outgoing, Profile, Usage,
};
use pointsman::upstream::Endpoint;
use pointsman::upstream::sse::Splitter;

const BASE: &str = "https://provider.example:8443/base";
/// No guest may speak for the gateway or carry a key.
const NEVER: [&str; 6] = [
    "host",
    "authorization",
    "x-api-key",
    "cookie",
    "content-length",
    "transfer-encoding",
];

pub(super) fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (what, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let lines = || rest.split('\n');
    match what {
        "request" => request(lines()),
        "answer" => answer(rest),
        "chunks" => chunks(rest),
        "failure" => failure(rest),
        "profile" => profile(lines()),
        _ => {}
    }
}

fn request<'a>(mut lines: impl Iterator<Item = &'a str>) {
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let (method, path) = (line(), line());
    let asked = Outgoing {
        method,
        path,
        headers: headers(lines),
        body: Vec::new(),
    };
    let Ok(mut passed) = outgoing::check(asked) else { return };
    let _ = take_dropped(&mut passed);
    let is_told = |(name, _): &(String, String)| name.eq_ignore_ascii_case("x-pointsman-dropped");
    assert!(!passed.headers.iter().any(is_told));
    passed.method.parse::<hyper::Method>().unwrap();
    passed.headers.iter().for_each(proper);
    below_the_base(&passed.path);
}

/// As a server would read it that decodes before it resolves.
fn below_the_base(path: &str) {
    let endpoint = Endpoint::parse(BASE).unwrap();
    let Ok(url) = endpoint.uri(path).map(|uri| endpoint.absolute(&uri).unwrap()) else {
        return;
    };
    assert_eq!(
        (url.scheme_str(), url.host(), url.port_u16()),
        (Some("https"), Some("provider.example"), Some(8443))
    );
    let path = url.path();
    assert!(path.starts_with("/base/"), "{path} is elsewhere");
    let decoded = path
        .to_lowercase()
        .replace("%2e", ".")
        .replace("%2f", "/")
        .replace("%5c", "/");
    assert!(
        !decoded.split(['/', '\\']).any(|segment| segment == ".."),
        "{path} goes up"
    );
}

fn headers<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    let pairs = lines.filter_map(|line| line.split_once(": "));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn proper((name, value): &(String, String)) {
    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
    HeaderValue::from_str(value).unwrap();
    assert!(!NEVER.contains(&name.as_str()), "{name} is not a guest's to set");
}

fn counts(line: &str) -> Option<Usage> {
    let mut counts = line.split(' ').map_while(|word| word.parse().ok());
    Some(Usage {
        input: counts.next()?,
        cache_read: counts.next()?,
        cache_write: counts.next()?,
        output: counts.next()?,
        reasoning: counts.next()?,
        extras: counts
            .next()
            .map(|count| ("later".to_owned(), count))
            .into_iter()
            .collect(),
    })
}

fn possible(usage: Option<&Usage>) {
    if let Some(usage) = usage {
        let kinds = [
            usage.input,
            usage.cache_read,
            usage.cache_write,
            usage.output,
            usage.reasoning,
        ];
        assert!(kinds.iter().all(|count| *count <= u64::from(u32::MAX)));
    }
}

fn answer(rest: &str) {
    let (line, body) = rest.split_once('\n').unwrap_or((rest, ""));
    let answer = Answer {
        body: body.as_bytes().to_vec(),
        usage: counts(line),
    };
    let Ok(passed) = outgoing::check_answer(answer) else {
        return;
    };
    assert_eq!(passed.body, body.as_bytes());
    let value: serde_json::Value = serde_json::from_slice(&passed.body).unwrap();
    assert!(value.is_object());
    possible(passed.usage.as_ref());
}

/// A client reads from the stream what the chunk said, and nothing beside it.
fn chunks(rest: &str) {
    let (line, rest) = rest.split_once('\n').unwrap_or((rest, ""));
    let chunk = |data: &str| Chunk {
        data: data.as_bytes().to_vec(),
        usage: counts(line),
    };
    // A carriage return stands for a line feed inside a chunk, which lines cannot show.
    let Ok(passed) = outgoing::check_chunks(rest.split('\n').map(chunk).collect()) else {
        return;
    };
    for chunk in passed {
        possible(chunk.usage.as_ref());
        let mut splitter = Splitter::default();
        for part in [&b"data: "[..], &chunk.data, b"\n\n"] {
            splitter.buffer().extend_from_slice(part);
        }
        let event = splitter.next_event().unwrap().unwrap();
        assert_eq!(event.data().as_deref(), Some(&chunk.data[..]));
        assert!(splitter.is_empty());
        let value: serde_json::Value = serde_json::from_slice(&chunk.data).unwrap_or_default();
        // What nests too deeply for this reader is still an object for others.
        assert!(value.is_object() || value.is_null());
    }
}

fn failure(rest: &str) {
    let (word, message) = rest.split_once('\n').unwrap_or((rest, ""));
    let bound = outgoing::bound(Failure {
        kind: Kind::Other(word.to_owned()),
        message: message.to_owned(),
        code: Some(message.to_owned()),
        retry_after_ms: None,
    });
    let Kind::Other(word) = bound.kind else {
        panic!("another kind")
    };
    assert!((1..=64).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    assert!(message.starts_with(&bound.message) && bound.message.len() <= 4096);
    assert!(
        bound
            .code
            .is_some_and(|code| message.starts_with(&code) && code.len() <= 256)
    );
}

fn profile<'a>(mut lines: impl Iterator<Item = &'a str>) {
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let (base_url, header, path) = (line(), line(), line());
    let profile = Profile {
        operations: vec![Operation::Chat],
        framing: Framing::ServerSentEvents,
        authentication: Authentication::Header(header),
        speaks: Dialects::empty(),
        base_url: Some(base_url).filter(|url| !url.is_empty()),
        paths: vec![(Operation::Chat, path)],
        headers: headers(lines),
        limit_headers: Vec::new(),
        extras: Vec::new(),
    };
    if outgoing::check_profile(&profile).is_err() {
        return;
    }
    profile.headers.iter().for_each(proper);
    below_the_base(&profile.paths[0].1);
    if let Authentication::Header(name) = &profile.authentication {
        HeaderName::from_bytes(name.as_bytes()).unwrap();
    }
    if let Some(url) = &profile.base_url {
        assert!(url.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}
