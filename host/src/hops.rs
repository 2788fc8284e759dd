//! Which gateways a request has come through, so that one whose provider is itself, or another that comes back to it, says so
//! instead of asking for ever.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// The ids of gateways, in order.
pub const HEADER: HeaderName = HeaderName::from_static("x-pointsman-via");
/// More than anybody puts behind one another on purpose.
const MOST: usize = 8;

/// This process's, made when it is needed first.
static OWN: LazyLock<String> = LazyLock::new(|| format!("{:016x}", RandomState::new().hash_one(0)));

fn passed(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers
        .get_all(HEADER)
        .into_iter()
        .filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim)
}

/// Whether a request was here before, or has come a longer way than anybody meant.
pub fn is_loop(headers: &HeaderMap) -> bool {
    passed(headers).any(|id| id == *OWN) || passed(headers).count() > MOST
}

/// What the next one is told.
pub fn onward(headers: &HeaderMap) -> Option<HeaderValue> {
    let list: Vec<&str> = passed(headers).chain([OWN.as_str()]).collect();
    HeaderValue::from_str(&list.join(", ")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_comes_back_is_known_whoever_it_passed() {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_static("0123456789abcdef"));
        assert!(!is_loop(&headers));
        headers.insert(HEADER, onward(&headers).unwrap());
        assert!(is_loop(&headers));
        headers.insert(HEADER, HeaderValue::from_static("a,b,c,d,e,f,g,h,i"));
        assert!(is_loop(&headers));
    }
}
