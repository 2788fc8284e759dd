//! What an adapter may send and say. It names a path below the provider's base URL and headers that are neither the
//! host's nor a credential's; an adapter that could name a host or a credential's header could carry a key elsewhere.

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::fault::Fault;
use super::words::{Answer, Authentication, Chunk, Failure, Kind, Outgoing, Profile, Usage};
use crate::json::{self, Document};

const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const PATH_BYTES: usize = 8 << 10;
const HEADERS: usize = 64;
const HEADER_BYTES: usize = 8 << 10;
const PROFILE_ENTRIES: usize = 64;
/// Answers may nest deeper than requests.
const ANSWERS: json::Limits = json::Limits { depth: 128 };
/// Of one kind, in one answer: more than any model reads or writes, and few enough that sums cannot overflow.
const TOKENS: u64 = u32::MAX as u64;
const MESSAGE_BYTES: usize = 4 << 10;
const CODE_BYTES: usize = 256;
const WORD_BYTES: usize = 64;
/// The host's own, the credential's, and those that speak of one connection alone.
const RESERVED: [&str; 17] = [
    "host",
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "http2-settings",
    "accept-encoding",
    "forwarded",
];

/// By this header an adapter says what of a request it left out. It is for the client; the provider never sees it.
const DROPPED: &str = "x-pointsman-dropped";

/// Takes what the adapter says it left out from among the headers that are sent.
pub fn take_dropped(outgoing: &mut Outgoing) -> Option<String> {
    let is_told = |(name, _): &(String, String)| name.eq_ignore_ascii_case(DROPPED);
    let told = outgoing.headers.iter().position(is_told)?;
    let (_, names) = outgoing.headers.swap_remove(told);
    outgoing.headers.retain(|header| !is_told(header));
    Some(names)
}

/// Holds an encoded request to the rules.
pub fn check(outgoing: Outgoing) -> Result<Outgoing, Fault> {
    let check = || {
        if !METHODS.contains(&outgoing.method.as_str()) {
            return Err(format!(
                "method `{}` is none of {}",
                shown(&outgoing.method),
                METHODS.join(", ")
            ));
        }
        check_path(&outgoing.path)?;
        check_headers(&outgoing.headers)
    };
    check().map_err(Fault::InvalidOutput)?;
    Ok(outgoing)
}

/// Holds a whole answer to the rules: it goes to the client as it is, and must be a JSON object that all readers read alike.
pub fn check_answer(answer: Answer) -> Result<Answer, Fault> {
    let Answer { body, usage } = answer;
    let body = Bytes::from(body);
    let document = Document::parse(body.clone(), ANSWERS);
    let document = document.map_err(|error| Fault::InvalidOutput(format!("the answer is not JSON: {error}")))?;
    if document.root().kind() != json::Kind::Object {
        return Err(Fault::InvalidOutput("the answer is not a JSON object".into()));
    }
    drop(document);
    check_usage(usage.as_ref()).map_err(Fault::InvalidOutput)?;
    // Nobody else holds these bytes any more, so this copies nothing.
    let body = body.into();
    Ok(Answer { body, usage })
}

/// Holds the chunks of a stream to the rules: each becomes one `data:` line and must be a JSON object on that line. The
/// strict reading of a request takes twice as long as this one, and an event has two microseconds for everything.
pub fn check_chunks(chunks: Vec<Chunk>) -> Result<Vec<Chunk>, Fault> {
    for (index, chunk) in chunks.iter().enumerate() {
        let refuse = |why: &str| Err(Fault::InvalidOutput(format!("chunk {} {why}", index + 1)));
        let data = &chunk.data;
        let is_one_line = memchr::memchr2(b'\r', b'\n', data).is_none();
        let is_object = data.starts_with(b"{")
            && std::str::from_utf8(data).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
        if !is_one_line || !is_object {
            return refuse("is not a JSON object on one line");
        }
        if let Err(why) = check_usage(chunk.usage.as_ref()) {
            return refuse(&format!("has {why}"));
        }
    }
    Ok(chunks)
}

/// A count that cannot be is not billed.
fn check_usage(usage: Option<&Usage>) -> Result<(), String> {
    let Some(usage) = usage else { return Ok(()) };
    let counts = [
        usage.input,
        usage.cache_read,
        usage.cache_write,
        usage.output,
        usage.reasoning,
    ];
    match counts.into_iter().find(|count| *count > TOKENS) {
        Some(count) => Err(format!("a usage of {count} tokens, which no answer can have")),
        None => Ok(()),
    }
}

/// What an adapter makes of an error, fit to be shown and counted: texts are cut, and a word of its own is a metric's label,
/// so it has to look like one.
pub fn bound(failure: Failure) -> Failure {
    let is_word = |word: &str| {
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        (1..=WORD_BYTES).contains(&word.len()) && word.bytes().all(is_letter)
    };
    let kind = match failure.kind {
        Kind::Other(word) if !is_word(&word) => Kind::Other("other".into()),
        kind => kind,
    };
    Failure {
        kind,
        message: cut(failure.message, MESSAGE_BYTES),
        code: failure.code.map(|code| cut(code, CODE_BYTES)),
        ..failure
    }
}

fn cut(mut text: String, at_most: usize) -> String {
    text.truncate(text.floor_char_boundary(at_most));
    text
}

/// Holds what an adapter says of itself to the rules.
pub fn check_profile(profile: &Profile) -> Result<(), String> {
    if profile.operations.is_empty() {
        return Err("it serves no operation".into());
    }
    let lists = [
        profile.operations.len(),
        profile.paths.len(),
        profile.limit_headers.len(),
        profile.extras.len(),
    ];
    if lists.into_iter().any(|entries| entries > PROFILE_ENTRIES) {
        return Err(format!("a list has more than {PROFILE_ENTRIES} entries"));
    }
    if let Some(url) = &profile.base_url {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if !rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(format!("base URL `{}` is not http or https", shown(url)));
        }
    }
    profile.paths.iter().try_for_each(|(_, path)| check_path(path))?;
    if let Authentication::Header(name) = &profile.authentication
        && !is_token(name)
    {
        return Err(format!("`{}` is not a header's name", shown(name)));
    }
    check_headers(&profile.headers)
}

fn check_path(path: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("path `{}` {why}", shown(path)));
    if !path.starts_with('/') || path.starts_with("//") {
        return refuse("does not begin with one `/`");
    }
    if path.len() > PATH_BYTES {
        return refuse("is too long");
    }
    if !path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\'))
    {
        return refuse("has a character that a path cannot have");
    }
    let directory = path.split('?').next().unwrap_or(path);
    // A proxy on the way may decode what is escaped here before it resolves the dots.
    let resolved = directory
        .to_ascii_lowercase()
        .replace("%2e", ".")
        .replace("%2f", "/")
        .replace("%5c", "/");
    match resolved.split('/').any(|segment| segment == ".." || segment == ".") || resolved.contains("://") {
        true => refuse("leaves the provider's base URL"),
        false => Ok(()),
    }
}

fn check_headers(headers: &[(String, String)]) -> Result<(), String> {
    if headers.len() > HEADERS {
        return Err(format!("{} headers; the limit is {HEADERS}", headers.len()));
    }
    headers.iter().try_for_each(|(name, value)| {
        let lower = name.to_ascii_lowercase();
        if !is_token(name) {
            return Err(format!("`{}` is not a header's name", shown(name)));
        }
        if RESERVED.contains(&lower.as_str()) || lower.starts_with("proxy-") || lower.starts_with("x-forwarded-") {
            return Err(format!("header `{lower}` is the host's"));
        }
        let is_printable = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
        match value.len() <= HEADER_BYTES && value.bytes().all(is_printable) {
            true => Ok(()),
            false => Err(format!("the value of header `{lower}` is too long or not printable")),
        }
    })
}

fn is_token(name: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= 128 && name.bytes().all(is_tchar)
}

/// What a guest wrote, for use inside an error text.
fn shown(text: &str) -> String {
    text[..text.floor_char_boundary(80)].escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(path: &str, headers: &[(&str, &str)]) -> Outgoing {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        Outgoing {
            method: "POST".into(),
            path: path.into(),
            headers,
            body: b"{}".to_vec(),
        }
    }

    #[test]
    fn a_plain_request_passes() {
        let plain = outgoing("/v1/messages?beta=true", &[("anthropic-version", "2023-06-01")]);
        assert_eq!(check(plain.clone()), Ok(plain));
    }

    #[test]
    fn what_was_left_out_is_told_to_the_client_and_never_sent() {
        let mut told = outgoing(
            "/",
            &[
                ("X-Pointsman-Dropped", "seed"),
                ("x-pointsman-dropped", "n"),
                ("a", "b"),
            ],
        );
        assert_eq!(take_dropped(&mut told).as_deref(), Some("seed"));
        assert_eq!(told.headers, [("a".to_owned(), "b".to_owned())]);
        assert_eq!(take_dropped(&mut told), None);
    }

    #[test]
    fn a_path_stays_below_the_base_url() {
        for path in [
            "",
            "v1",
            "//evil.example/v1",
            "/v1/../admin",
            "/v1/%2E%2e/admin",
            "/a\r\nhost: b",
            "/a#b",
            "/ä",
            "/x%2f..%2fy",
            "/http://x",
        ] {
            assert!(
                matches!(check(outgoing(path, &[])), Err(Fault::InvalidOutput(_))),
                "{path:?} was taken"
            );
        }
    }

    #[test]
    fn a_method_is_one_of_four() {
        let mut connect = outgoing("/", &[]);
        connect.method = "CONNECT".into();
        assert!(matches!(check(connect), Err(Fault::InvalidOutput(_))));
    }

    #[test]
    fn headers_of_the_host_and_of_credentials_are_refused_in_any_case() {
        for name in [
            "Host",
            "Authorization",
            "X-Api-Key",
            "content-length",
            "Transfer-Encoding",
            "proxy-connection",
            "a b",
            "",
        ] {
            assert!(check(outgoing("/", &[(name, "x")])).is_err(), "{name:?} was taken");
        }
        assert!(check(outgoing("/", &[("x-fine", "a\r\nb: c")])).is_err());
    }

    #[test]
    fn a_chunk_is_a_json_object_on_one_line() {
        let chunk = |data: &str| {
            vec![Chunk {
                data: data.as_bytes().to_vec(),
                usage: None,
            }]
        };
        assert!(check_chunks(chunk(r#"{"id":"1"}"#)).is_ok());
        for data in [
            "",
            "[DONE]",
            "{\n}",
            "{}\n\ndata: {}",
            "[1]",
            "{oops}",
            r#"{"a":1}{"b":2}"#,
        ] {
            assert!(check_chunks(chunk(data)).is_err(), "{data:?} was taken");
        }
    }

    #[test]
    fn an_answer_is_a_json_object_with_a_usage_that_can_be() {
        let answer = |body: &str, input| Answer {
            body: body.as_bytes().to_vec(),
            usage: Some(Usage {
                input,
                cache_read: 0,
                cache_write: 0,
                output: 0,
                reasoning: 0,
                extras: vec![],
            }),
        };
        let good = answer("{\n \"id\": \"1\" }", 7);
        assert_eq!(check_answer(good.clone()), Ok(good));
        for body in ["", "oops", "[1]", "{", r#"{"a":1,"a":2}"#] {
            assert!(check_answer(answer(body, 7)).is_err(), "{body:?} was taken");
        }
        assert!(check_answer(answer("{}", u64::MAX)).is_err());
    }

    #[test]
    fn an_adapters_own_kind_of_error_is_one_word_and_its_texts_are_bounded() {
        let failure = |word: &str, message: String| Failure {
            kind: Kind::Other(word.into()),
            code: Some(message.clone()),
            message,
            retry_after_ms: None,
        };
        let plain = failure("region_closed", "closed".into());
        assert_eq!(bound(plain.clone()), plain);
        for word in ["", "Two Words", "a\nb", &"a".repeat(65)] {
            let bound = bound(failure(word, "ä".repeat(1 << 20)));
            assert_eq!(bound.kind, Kind::Other("other".into()), "{word:?}");
            assert_eq!(
                (bound.message.len(), bound.code.map(|code| code.len())),
                (4096, Some(256))
            );
        }
    }
}
