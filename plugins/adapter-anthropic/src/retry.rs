//! When the provider wants to be asked again. An adapter has no clock: dates count from the answer's own `date` header.

type Headers = [(String, String)];

/// The provider's limits, as they stand in `anthropic-ratelimit-<limit>-remaining` and `-reset`.
const LIMITS: [&str; 4] = ["requests", "tokens", "input-tokens", "output-tokens"];

/// What `retry-after-ms` or `retry-after` says, else the latest reset of a limit that is used up.
pub(crate) fn after_ms(headers: &Headers) -> Option<u32> {
    let named = number(headers, "retry-after-ms").or_else(|| Some(number(headers, "retry-after")? * 1000.0));
    let dated = || milliseconds_until(headers, http_date(find(headers, "retry-after")?)?);
    named.and_then(whole).or_else(dated).or_else(|| until_reset(headers))
}

fn until_reset(headers: &Headers) -> Option<u32> {
    let is_used_up = |limit: &&&str| find(headers, &format!("anthropic-ratelimit-{limit}-remaining")) == Some("0");
    let reset = |limit: &str| rfc3339(find(headers, &format!("anthropic-ratelimit-{limit}-reset"))?);
    let last = LIMITS
        .iter()
        .filter(is_used_up)
        .filter_map(|limit| reset(limit))
        .max()?;
    milliseconds_until(headers, last)
}

fn milliseconds_until(headers: &Headers, second: i64) -> Option<u32> {
    let now = http_date(find(headers, "date")?)?;
    u32::try_from(second.saturating_sub(now).max(0).saturating_mul(1000)).ok()
}

fn find<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.trim())
}

fn number(headers: &Headers, name: &str) -> Option<f64> {
    find(headers, name)?.parse().ok()
}

/// Rounded up, so that nobody comes too early; nothing where the number makes no sense.
fn whole(milliseconds: f64) -> Option<u32> {
    (0.0..=f64::from(u32::MAX))
        .contains(&milliseconds)
        .then(|| milliseconds.ceil() as u32)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as seconds since 1970.
fn http_date(text: &str) -> Option<i64> {
    let mut words = text.split_ascii_whitespace().skip(1);
    let day = words.next()?.parse().ok()?;
    let name = words.next()?;
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = (1..).zip(months).find(|(_, month)| *month == name)?.0;
    let year = words.next()?.parse().ok()?;
    Some(days(year, month, day)? * 86_400 + clock(words.next()?)?)
}

/// `2026-09-01T00:00:30Z` as seconds since 1970; fractions are dropped, and offsets other than `Z` are not known.
fn rfc3339(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut numbers = date.split('-').map(|number| number.parse::<i64>().ok());
    let (year, month, day) = (numbers.next()??, numbers.next()??, numbers.next()??);
    Some(days(year, month, day)? * 86_400 + clock(time.split('.').next()?)?)
}

fn clock(text: &str) -> Option<i64> {
    let mut numbers = text
        .split(':')
        .map(|number| number.parse::<i64>().ok().filter(|number| (0..=60).contains(number)));
    Some(numbers.next()?? * 3600 + numbers.next()?? * 60 + numbers.next()??)
}

/// Days since 1970 in the Gregorian calendar, counting years from March so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn dates_count_from_1970() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(rfc3339("2026-09-01T00:00:30Z"), Some(1_788_220_830));
        assert_eq!(rfc3339("1970-01-01T00:00:00.5Z"), Some(0));
        assert_eq!(rfc3339("2026-13-01T00:00:30Z"), None);
    }

    #[test]
    fn seconds_dates_and_resets_are_understood_in_this_order() {
        let date = ("date", "Tue, 01 Sep 2026 00:00:00 GMT");
        let reset = ("anthropic-ratelimit-requests-reset", "2026-09-01T00:00:30Z");
        let none_left = ("anthropic-ratelimit-requests-remaining", "0");
        for (pairs, expected) in [
            (vec![("retry-after", "7"), date, reset, none_left], Some(7000)),
            (vec![("retry-after", "0.5"), ("retry-after-ms", "20")], Some(20)),
            (vec![("retry-after", "Tue, 01 Sep 2026 00:00:09 GMT"), date], Some(9000)),
            (vec![("retry-after", "Tue, 01 Sep 2026 00:00:09 GMT")], None),
            (vec![date, reset, none_left], Some(30_000)),
            (vec![date, reset, ("anthropic-ratelimit-requests-remaining", "3")], None),
            (vec![("retry-after", "-3")], None),
            (vec![("retry-after", "1e30")], None),
        ] {
            assert_eq!(after_ms(&headers(&pairs)), expected, "{pairs:?}");
        }
    }
}
