//! When a provider wants to be asked again: in a header, in the limits it tells, or only in its message. An adapter has no
//! clock: a date counts from the answer's own `date` header.

type Headers = [(String, String)];

/// What `retry-after-ms` or `retry-after` says, the latter in seconds or as a date.
pub fn named_ms(headers: &Headers) -> Option<u32> {
    let number = |name| find(headers, name)?.parse::<f64>().ok();
    let named = number("retry-after-ms").or_else(|| Some(number("retry-after")? * 1000.0));
    let dated = || milliseconds_until(headers, http_date(find(headers, "retry-after")?)?);
    named.and_then(whole).or_else(dated)
}

/// When the limits that are used up start anew; the latest counts. Names have `{}` in the place of the limit's.
pub fn until_reset_ms(headers: &Headers, remaining: &str, reset: &str, limits: &[&str]) -> Option<u32> {
    let until = |limit: &&str| {
        let left = find(headers, &remaining.replace("{}", limit))?;
        let reset = find(headers, &reset.replace("{}", limit)).filter(|_| left == "0")?;
        match rfc3339(reset) {
            Some(second) => milliseconds_until(headers, second),
            None => duration_ms(reset).and_then(whole),
        }
    };
    limits.iter().filter_map(until).max()
}

/// `Please try again in 1.2s`, `retry after 9 seconds`.
pub fn said_ms(message: &str) -> Option<u32> {
    let message = message.to_ascii_lowercase();
    let after = |phrase: &str| message.split_once(phrase).map(|(_, rest)| rest.to_owned());
    let rest = ["try again in ", "try again after ", "retry after ", "retry in "]
        .into_iter()
        .find_map(after)?;
    let mut words = rest.split_ascii_whitespace();
    let amount = words.next()?.trim_end_matches(['.', ',', ')', ';']);
    match (amount.parse::<f64>(), words.next().unwrap_or_default()) {
        (Ok(number), unit) if unit.starts_with("milli") || unit.starts_with("ms") => whole(number),
        (Ok(number), unit) if unit.starts_with("min") => whole(number * 60_000.0),
        (Ok(number), _) => whole(number * 1000.0),
        (Err(_), _) => duration_ms(amount).and_then(whole),
    }
}

/// `6m0s`, `1.5s`, `120ms`, `1h2m`, and bare seconds.
pub fn duration_ms(text: &str) -> Option<f64> {
    let is_number = |letter: char| letter.is_ascii_digit() || letter == '.';
    let (mut rest, mut sum) = (text.trim(), 0.0);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|letter| !is_number(letter)).unwrap_or(rest.len()));
        let (unit, after) = after.split_at(after.find(is_number).unwrap_or(after.len()));
        let factor = match unit {
            "ms" => 1.0,
            "s" | "" => 1000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    Some(sum)
}

/// Rounded up, so that nobody comes too early; nothing where the number makes no sense.
pub fn whole(milliseconds: f64) -> Option<u32> {
    (0.0..=f64::from(u32::MAX))
        .contains(&milliseconds)
        .then(|| milliseconds.ceil() as u32)
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
pub fn rfc3339(text: &str) -> Option<i64> {
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
    fn headers_name_seconds_milliseconds_and_dates() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        for (pairs, expected) in [
            (vec![("retry-after", "3"), ("retry-after-ms", "2400")], Some(2400)),
            (vec![("retry-after", "0.25")], Some(250)),
            (
                vec![("retry-after", "Sun, 06 Nov 1994 08:50:00 GMT"), date],
                Some(23_000),
            ),
            (vec![("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT"), date], Some(0)),
            (vec![("retry-after", "Sun, 06 Nov 1994 08:50:00 GMT")], None),
            (vec![("retry-after", "soon")], None),
            (vec![("retry-after", "-3")], None),
            (vec![("retry-after", "NaN")], None),
            (vec![("retry-after", "1e30")], None),
        ] {
            assert_eq!(named_ms(&headers(&pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn only_a_limit_that_is_used_up_has_to_be_waited_for() {
        let openai = [
            ("x-ratelimit-remaining-requests", "10"),
            ("x-ratelimit-reset-requests", "6m0s"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "6.2s"),
        ];
        let until = |pairs: &[(&str, &str)]| {
            let (left, reset) = ("x-ratelimit-remaining-{}", "x-ratelimit-reset-{}");
            until_reset_ms(&headers(pairs), left, reset, &["requests", "tokens"])
        };
        assert_eq!((until(&openai), until(&openai[..2])), (Some(6200), None));
        let dated = [
            ("date", "Tue, 01 Sep 2026 00:00:00 GMT"),
            ("left-input", "0"),
            ("reset-input", "2026-09-01T00:00:30Z"),
        ];
        let until = |pairs: &[(&str, &str)]| until_reset_ms(&headers(pairs), "left-{}", "reset-{}", &["input"]);
        assert_eq!((until(&dated), until(&dated[1..])), (Some(30_000), None));
    }

    #[test]
    fn durations_are_read_in_every_spelling() {
        for (text, expected) in [
            ("Please try again in 1.2s. Contact us", Some(1200)),
            ("Please try again in 6m0s.", Some(360_000)),
            ("please try again after 1 seconds", Some(1000)),
            ("Please retry after 9 seconds.", Some(9000)),
            ("Try again in 20ms", Some(20)),
            ("try again in 2 minutes", Some(120_000)),
            ("Please retry in 48.9399s.", Some(48_940)),
            ("please try again later", None),
            ("try again in a moment", None),
        ] {
            assert_eq!(said_ms(text), expected, "{text}");
        }
    }

    #[test]
    fn dates_count_from_1970() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(rfc3339("2026-09-01T00:00:30Z"), Some(1_788_220_830));
        assert_eq!(rfc3339("1970-01-01T00:00:00.5Z"), Some(0));
        assert_eq!(rfc3339("2026-13-01T00:00:30Z"), None);
    }
}
