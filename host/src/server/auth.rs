//! Whose request it is: the key in one of the headers that SDKs send keys in, or in an address of Gemini's, looked up.

use std::borrow::Cow;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName};
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;

use super::now_ms;
use crate::error::ApiError;
use crate::keys::{Caller, Denied, Keyring, Malformed, Presented};
use crate::operation::Dialect;
use crate::surfaces::Surface;

/// OpenAI's, Anthropic's, Azure's and Google's SDKs, in this order.
static HEADERS: [HeaderName; 4] = [
    AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
    HeaderName::from_static("x-goog-api-key"),
];

/// Who calls. Where no key is required, whatever stands in the request is not looked at.
pub(super) fn caller(ring: &Keyring, head: &Parts, surface: Surface) -> Result<Arc<Caller>, ApiError> {
    if !ring.is_required() {
        return Ok(ring.anonymous().clone());
    }
    // Google's own API takes keys from its addresses, too.
    let query = head.uri.query().filter(|_| surface.dialect() == Some(Dialect::Gemini));
    let key = presented(&head.headers, query)?;
    let key = Presented::parse(&key).map_err(malformed)?;
    ring.find(&key, now_ms()).map_err(denied)
}

/// The one key of a request. Two that differ could be taken for each other's.
fn presented<'h>(headers: &'h HeaderMap, query: Option<&'h str>) -> Result<Cow<'h, [u8]>, ApiError> {
    // None where it stands in the address.
    let mut found: Vec<(Option<&HeaderName>, Cow<'h, [u8]>)> = Vec::new();
    for name in &HEADERS {
        for value in headers.get_all(name) {
            let key = match name {
                &AUTHORIZATION => bearer(value.as_bytes())?,
                _ => value.as_bytes().trim_ascii(),
            };
            found.push((Some(name), key.into()));
        }
    }
    let options = query.unwrap_or_default().split('&');
    let keys = options.filter_map(|option| option.strip_prefix("key="));
    found.extend(keys.map(|key| (None, percent_decode_str(key).into())));
    let mut found = found.into_iter().filter(|(_, key)| !key.is_empty());
    let Some((place, key)) = found.next() else {
        let message = "this gateway needs a key; send it as `Authorization: Bearer sk-pm-…`";
        return Err(ApiError::unauthenticated(message));
    };
    match found.find(|(_, other)| *other != key) {
        None => Ok(key),
        Some((other, _)) => {
            let shown = |place: Option<&HeaderName>| match place {
                Some(header) => format!("`{header}`"),
                None => "`key` of the address".to_owned(),
            };
            let places = if other == place {
                format!("twice in {}", shown(place))
            } else {
                format!("in {} and in {}", shown(place), shown(other))
            };
            let message = format!("the request has different keys, {places}; send one");
            Err(ApiError::unauthenticated(message))
        }
    }
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
        presented(&map, None)
            .map(Cow::into_owned)
            .map_err(|error| error.message)
    }

    #[test]
    fn a_key_in_an_address_is_taken_where_it_may_be() {
        let of = |query| presented(&HeaderMap::new(), Some(query)).map(Cow::into_owned);
        assert_eq!(of("alt=sse&key=a%2Bb").unwrap(), b"a+b");
        assert!(of("alt=sse&monkey=a").is_err());
        let two = of("key=a&key=b").unwrap_err().message;
        assert!(two.contains("twice in `key` of the address"), "{two}");
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
