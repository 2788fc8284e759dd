//! What is checked of a request's head before anything else looks at it, and the request's id.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, HOST, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, StatusCode, Version};

use crate::config::ServerConfig;
use crate::error::ApiError;

/// Refuses heads that are too large or that two readers could understand differently.
pub(super) fn check(head: &Parts, limits: &ServerConfig) -> Result<(), ApiError> {
    check_host(head)?;
    let bytes: usize = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if bytes > limits.header_bytes || head.headers.len() > limits.header_count {
        let message = format!(
            "the request's headers have {bytes} bytes in {} fields; at most {} bytes in {} fields are accepted",
            head.headers.len(),
            limits.header_bytes,
            limits.header_count
        );
        return Err(ApiError::refused(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers_too_large",
            message,
        ));
    }
    Ok(())
}

/// Refuses a body by what its head says of it, before a byte of it is read.
pub(super) fn check_body(headers: &HeaderMap, limits: &ServerConfig) -> Result<(), ApiError> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        let encoding = crate::error::printable(encoding.to_str().unwrap_or_default(), 40);
        let message = format!("the content encoding `{encoding}` is not accepted; send the body uncompressed");
        return Err(ApiError::refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            message,
        ));
    }
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limits.body_bytes as u64) {
        return Err(too_large(limits));
    }
    Ok(())
}

pub(super) fn too_large(limits: &ServerConfig) -> ApiError {
    let message = format!("the request body is larger than {} bytes", limits.body_bytes);
    ApiError::refused(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
}

/// RFC 9112, section 3.2: exactly one valid Host in HTTP/1.1, and a target that begins with a slash.
fn check_host(head: &Parts) -> Result<(), ApiError> {
    let refused = |message: &str| Err(ApiError::invalid("invalid_request", message));
    if head.version == Version::HTTP_2 {
        // What a proxy routes by, and what is behind it reads, must be one.
        let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
        let is_one =
            |host: &HeaderValue| authority.is_none_or(|authority| host.as_bytes().eq_ignore_ascii_case(authority));
        return match head.headers.get_all(HOST).iter().all(is_one) {
            true => Ok(()),
            false => refused("the Host header is not the authority"),
        };
    }
    if head.uri.authority().is_some() || !head.uri.path().starts_with('/') {
        return refused("the request target must be a path that begins with `/`");
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return refused("the request has more than one Host header");
    }
    match host {
        None if head.version == Version::HTTP_11 => refused("the request has no Host header"),
        Some(host) if !is_authority(host.as_bytes()) => refused("the Host header is not a host and port"),
        _ => Ok(()),
    }
}

fn is_authority(host: &[u8]) -> bool {
    host.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(byte))
}

/// The client's own id where it is harmless, else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> Arc<str> {
    let own = headers.get("x-request-id").and_then(|id| id.to_str().ok());
    let is_harmless = |id: &&str| {
        (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    own.filter(is_harmless).map_or_else(new_id, Arc::from)
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Unique in practice and not to be guessed from another: a counter under a key that is random for the process.
fn new_id() -> Arc<str> {
    static KEYS: LazyLock<(RandomState, RandomState)> = LazyLock::new(|| (RandomState::new(), RandomState::new()));
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let (high, low) = &*KEYS;
    let mut id = String::with_capacity(36);
    id.push_str("req-");
    for word in [high.hash_one(count), low.hash_one(count)] {
        let digit = |shift: u32| char::from(DIGITS[(word >> shift) as usize % 16]);
        id.extend((0..16).rev().map(|at| digit(4 * at)));
    }
    id.into()
}
