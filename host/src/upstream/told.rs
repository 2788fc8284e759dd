//! What a provider says in the headers of an answer about its limits: what is left of them, and when they begin anew. Which
//! headers these are, the adapter's profile says.

use std::time::Duration;

use hyper::HeaderMap;

use crate::config::parse_time;

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// What is left of it.
    pub left: u64,
    /// How long it takes until it begins anew.
    pub resets: Option<Duration>,
}

/// What is said of requests and of tokens. `names` has a header's name for each of `requests-left`, `tokens-left`,
/// `requests-reset` and `tokens-reset`.
pub fn read(headers: &HeaderMap, names: &[(String, String)], now_ms: u64) -> [Option<Told>; 2] {
    let text = |meaning: &str| {
        let (_, name) = names.iter().find(|(known, _)| known == meaning)?;
        headers.get(name.as_str())?.to_str().ok()
    };
    [("requests-left", "requests-reset"), ("tokens-left", "tokens-reset")].map(|(left, reset)| {
        Some(Told {
            left: text(left)?.trim().parse().ok()?,
            resets: text(reset).and_then(|reset| until(reset.trim(), now_ms)),
        })
    })
}

/// A time, as a text or since 1970 in seconds or milliseconds, or a duration as in `6m0s`, `1.5s`, `120ms`, or seconds.
fn until(text: &str, now_ms: u64) -> Option<Duration> {
    let since_1970 = text.parse::<u64>().ok().and_then(|number| match number {
        // Durations are shorter than thirty years.
        0..1_000_000_000 => None,
        1_000_000_000..1_000_000_000_000 => Some(number * 1_000),
        _ => Some(number),
    });
    if let Some(at_ms) = since_1970 {
        return Some(Duration::from_millis(at_ms.saturating_sub(now_ms)));
    }
    if let Some(duration) = duration(text) {
        return Some(duration);
    }
    let at_ms = parse_time(text).ok()?;
    Some(Duration::from_millis(at_ms.saturating_sub(now_ms)))
}

fn duration(text: &str) -> Option<Duration> {
    let is_number = |letter: char| letter.is_ascii_digit() || letter == '.';
    let (mut rest, mut seconds) = (text, 0.0);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|letter| !is_number(letter)).unwrap_or(rest.len()));
        let (unit, after) = after.split_at(after.find(is_number).unwrap_or(after.len()));
        let factor = match unit {
            "ms" => 0.001,
            "s" | "" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_and_until_when_is_read_in_every_spelling() {
        let names = |pairs: [(&str, &str); 4]| pairs.map(|(meaning, name)| (meaning.to_owned(), name.to_owned()));
        let names = names([
            ("requests-left", "x-left"),
            ("requests-reset", "x-reset"),
            ("tokens-left", "x-tokens"),
            ("tokens-reset", "x-tokens-reset"),
        ]);
        for (reset, expected) in [
            ("6m0s", Some(360_000)),
            ("1.5s", Some(1_500)),
            ("120ms", Some(120)),
            ("7", Some(7_000)),
            ("2026-01-02T03:04:10Z", Some(5_000)),
            ("2026-01-02T03:04:00Z", Some(0)),
            ("1767323050", Some(5_000)),
            ("1767323050000", Some(5_000)),
            ("soon", None),
            ("", None),
            ("1e999s", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-left", "3".parse().unwrap());
            headers.insert("x-reset", reset.parse().unwrap());
            let now_ms = parse_time("2026-01-02T03:04:05Z").unwrap();
            let [requests, tokens] = read(&headers, &names, now_ms);
            let resets = expected.map(Duration::from_millis);
            assert_eq!((requests, tokens), (Some(Told { left: 3, resets }), None), "{reset}");
        }
    }
}
