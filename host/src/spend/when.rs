//! Moments as people write them.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// `2026-11-01` (where that day begins in UTC), `2026-11-01T08:00:00+01:00`, `-7d` (`w`, `d`, `h`, `m`: so long ago) or
/// `now`, in milliseconds since 1970.
pub fn moment(text: &str, now_ms: u64) -> Result<u64, String> {
    let invalid = || {
        format!(
            "`{text}` is no moment; write a date such as 2026-11-01, a time such as 2026-11-01T08:00:00Z, or -7d for seven days ago"
        )
    };
    if text == "now" {
        return Ok(now_ms);
    }
    if let Some(ago) = text.strip_prefix('-') {
        let unit = ago.chars().last().ok_or_else(invalid)?;
        let milliseconds: u64 = match unit {
            'w' => 7 * 86_400_000,
            'd' => 86_400_000,
            'h' => 3_600_000,
            'm' => 60_000,
            _ => return Err(invalid()),
        };
        let count: u64 = ago[..ago.len() - 1].parse().map_err(|_| invalid())?;
        return Ok(now_ms.saturating_sub(count.saturating_mul(milliseconds)));
    }
    let zoned = |date: Date| date.to_zoned(TimeZone::UTC).as_ref().map(Zoned::timestamp).ok();
    let date = text.parse().ok().filter(|_| !text.contains([':', 'T', 't', ' ']));
    let at = date.and_then(zoned).or_else(|| text.parse::<Timestamp>().ok());
    let at = at.ok_or_else(invalid)?;
    u64::try_from(at.as_millisecond()).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let now = 1_795_291_200_000;
        for (text, expected) in [
            ("now", now),
            ("-1h", now - 3_600_000),
            ("-7d", now - 7 * 86_400_000),
            ("-99999999w", 0),
            ("1970-01-02", 86_400_000),
            ("1970-01-01T02:00:00+01:00", 3_600_000),
            ("1970-01-01T00:00:00.25Z", 250),
        ] {
            assert_eq!(moment(text, now), Ok(expected), "{text}");
        }
        for text in [
            "",
            "-",
            "-d",
            "-7",
            "-7y",
            "7d",
            "2026-13-01",
            "2026-11-01T08:00:00",
            "1969-12-31",
            "-ä",
        ] {
            assert!(moment(text, now).is_err(), "{text}");
        }
    }
}
