//! Whose request it is: the key in one of the headers that SDKs send keys in, looked up.

use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName};

use super::now_ms;
use crate::error::ApiError;
use crate::keys::{Caller, Denied, Keyring, Malformed, Presented};

/// OpenAI's, Anthropic's, Azure's and Google's SDKs, in this order.
static HEADERS: [HeaderName; 4] = [
    AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// Who calls. Where no key is required, whatever stands in the headers is not looked at.
pub(super) fn caller(ring: &Keyring, headers: &HeaderMap) -> Result<Arc<Caller>, ApiError> {
    if !ring.is_required() {
        return Ok(ring.anonymous().clone());
    }
    let key = Presented::parse(presented(headers)?).map_err(malformed)?;
    ring.find(&key, now_ms()).map_err(denied)
}

/// The one key in the headers. Two that differ could be taken for each other's.
fn presented(headers: &HeaderMap) -> Result<&[u8], ApiError> {
    let mut found: Option<(&HeaderName, &[u8])> = None;
    for name in &HEADERS {
        for value in headers.get_all(name) {
            let key = match name {
                &AUTHORIZATION => bearer(value.as_bytes())?,
                _ => value.as_bytes().trim_ascii(),
            };
            match found {
                _ if key.is_empty() => {}
                Some((other, known)) if known != key => {
                    let places = if other == name {
                        format!("twice in `{name}`")
                    } else {
                        format!("in `{other}` and in `{name}`")
                    };
                    let message = format!("the request has different keys, {places}; send one");
                    return Err(ApiError::unauthenticated(message));
                }
                _ => found = Some((name, key)),
            }
        }
    }
    found.map(|(_, key)| key).ok_or_else(|| {
        ApiError::unauthenticated("this gateway needs a key; send it as `Authorization: Bearer sk-pm-…`")
    })
}

fn bearer(value: &[u8]) -> Result<&[u8], ApiError> {
    let value = value.trim_ascii();
    let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
    if !value.is_empty() && !scheme.eq_ignore_ascii_case(b"bearer") {
        let message = "the `authorization` header does not hold a key; send it as `Authorization: Bearer sk-pm-…`";
        return Err(ApiError::unauthenticated(message));
    }
    Ok(value[scheme.len()..].trim_ascii())
}

fn malformed(why: Malformed) -> ApiError {
    ApiError::unauthenticated(match why {
        Malformed::Foreign => "this is not a key of this gateway, which begin with `sk-pm-`",
        Malformed::Mistyped => "the key is mistyped or not whole: its last characters do not fit the others",
    })
}

/// A wrong secret reads as an unknown key: who does not have the key learns nothing of it.
fn denied(why: Denied) -> ApiError {
    match why {
        Denied::Unknown => ApiError::unauthenticated("this key is not known here"),
        Denied::Rotated => ApiError::unauthenticated("this key was replaced by a new one, and its time is over"),
        Denied::Expired => ApiError::unauthenticated("this key has expired"),
        Denied::Revoked => ApiError::unauthenticated("this key has been revoked"),
        Denied::Unusable(reason) => ApiError::permission_denied(format!("this key cannot be used: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn message(headers: &[(&'static str, &[u8])]) -> Result<Vec<u8>, String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        presented(&map).map(<[u8]>::to_vec).map_err(|error| error.message)
    }

    #[test]
    fn a_key_is_taken_from_each_header_that_sdks_use() {
        for headers in [
            &[("authorization", &b"Bearer k"[..])][..],
            &[("authorization", b"bearer   k ")],
            &[("x-api-key", b"k")],
            &[("api-key", b" k")],
            &[("x-goog-api-key", b"k")],
            &[("authorization", b"Bearer k"), ("x-api-key", b"k")],
            &[("authorization", b"Bearer"), ("x-api-key", b"k"), ("api-key", b"")],
        ] {
            assert_eq!(message(headers), Ok(b"k".to_vec()));
        }
    }

    #[test]
    fn no_key_and_different_keys_are_told() {
        let none = message(&[]).unwrap_err();
        assert!(none.contains("needs a key"), "{none}");
        let basic = message(&[("authorization", b"Basic dTpw")]).unwrap_err();
        assert!(
            basic.contains("does not hold a key") && !basic.contains("dTpw"),
            "{basic}"
        );
        let two = message(&[("authorization", b"Bearer a"), ("x-api-key", b"b")]).unwrap_err();
        assert!(two.contains("in `authorization` and in `x-api-key`"), "{two}");
        let twice = message(&[("x-api-key", b"a"), ("x-api-key", b"b")]).unwrap_err();
        assert!(twice.contains("twice in `x-api-key`"), "{twice}");
    }
}
