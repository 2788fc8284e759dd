//! When the provider wants to be asked again. It tells no more than `retry-after`, and often not even that. An adapter has
//! no clock: a date counts from the answer's own `date` header.

type Headers = [(String, String)];

/// What `retry-after-ms` or `retry-after` says, the latter in seconds or as a date.
pub(crate) fn after_ms(headers: &Headers) -> Option<u32> {
    let number = |name| find(headers, name)?.parse::<f64>().ok();
    let named = number("retry-after-ms").or_else(|| Some(number("retry-after")? * 1000.0));
    let dated = || {
        let seconds = http_date(find(headers, "retry-after")?)?.saturating_sub(http_date(find(headers, "date")?)?);
        u32::try_from(seconds.max(0).saturating_mul(1000)).ok()
    };
    named.and_then(whole).or_else(dated)
}

fn find<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.trim())
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
    let clock: Option<Vec<i64>> = words.next()?.split(':').map(|number| number.parse().ok()).collect();
    let [hour, minute, second] = clock?[..] else {
        return None;
    };
    let is_clock = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    is_clock.then_some(days(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second)
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

    #[test]
    fn seconds_milliseconds_and_dates_are_understood() {
        let date = ("date", "Tue, 01 Sep 2026 00:00:00 GMT");
        for (pairs, expected) in [
            (vec![("retry-after", "7"), date], Some(7000)),
            (vec![("retry-after", "0.5"), ("retry-after-ms", "20")], Some(20)),
            (vec![("retry-after", "Tue, 01 Sep 2026 00:00:09 GMT"), date], Some(9000)),
            (vec![("retry-after", "Tue, 01 Sep 2026 00:00:09 GMT")], None),
            (vec![("retry-after", "-3")], None),
            (vec![("retry-after", "1e30")], None),
            (vec![date], None),
        ] {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let headers: Vec<_> = pairs.iter().map(owned).collect();
            assert_eq!(after_ms(&headers), expected, "{pairs:?}");
        }
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
    }
}
