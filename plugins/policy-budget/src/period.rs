//! The spans of time that spending is counted over, in UTC.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Deserialize;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// How long spending adds up before it starts again at nothing, by the clock and calendar of UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Period {
    Hour,
    #[default]
    Day,
    /// From Monday on.
    Week,
    /// The calendar's month.
    Month,
    /// For ever.
    Total,
}

impl Period {
    /// The span that a moment lies in; none where there is only one.
    pub(crate) fn around(self, now_ms: u64) -> Option<Range<u64>> {
        let of_length = |length: u64, first: u64| {
            let start = now_ms.saturating_sub((now_ms % length + length - first) % length);
            Some(start..start.saturating_add(length))
        };
        match self {
            Period::Hour => of_length(HOUR_MS, 0),
            Period::Day => of_length(DAY_MS, 0),
            // The first of January 1970 was a Thursday, so the first Monday was four days later.
            Period::Week => of_length(7 * DAY_MS, 4 * DAY_MS),
            Period::Month => Some(month_around(now_ms / DAY_MS)),
            Period::Total => None,
        }
    }

    /// As in "this hour".
    pub(crate) fn name(self) -> &'static str {
        match self {
            Period::Hour => "this hour",
            Period::Day => "today",
            Period::Week => "this week",
            Period::Month => "this month",
            Period::Total => "in all",
        }
    }
}

/// The month of a day that is counted from 1970. It counts in eras of 400 years whose years begin in March, so that the
/// leap day is a year's last and months have lengths in a regular pattern.
fn month_around(day: u64) -> Range<u64> {
    const DAYS_TO_ERA: u64 = 719_468;
    let day_of_era = (day + DAYS_TO_ERA) % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let first_day = |month: u64| (153 * month + 2) / 5;
    let start = day - (day_of_year - first_day(month));
    // February, the last, ends where the year does.
    let year = year_of_era + 1;
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let end_of_year = if is_leap { 366 } else { 365 };
    let length = if month == 11 {
        end_of_year - first_day(11)
    } else {
        first_day(month + 1) - first_day(month)
    };
    start * DAY_MS..(start + length).saturating_mul(DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_days_and_weeks_begin_where_the_clock_says() {
        // 2026-11-21 09:30:00, a Saturday.
        let now = 1_795_253_400_000;
        assert_eq!(Period::Hour.around(now), Some(1_795_251_600_000..1_795_255_200_000));
        assert_eq!(Period::Day.around(now), Some(1_795_219_200_000..1_795_305_600_000));
        assert_eq!(Period::Week.around(now), Some(1_794_787_200_000..1_795_392_000_000));
        assert_eq!(Period::Total.around(now), None);
    }

    #[test]
    fn a_span_holds_its_first_millisecond_and_not_its_last() {
        for period in [Period::Hour, Period::Day, Period::Week, Period::Month] {
            let span = period.around(1_795_253_400_000).unwrap();
            assert_eq!(period.around(span.start), Some(span.clone()), "{period:?}");
            assert_eq!(period.around(span.end - 1), Some(span.clone()), "{period:?}");
            assert_eq!(period.around(span.end).unwrap().start, span.end, "{period:?}");
        }
    }

    #[test]
    fn the_end_of_all_clocks_has_a_span_too() {
        for period in [Period::Hour, Period::Day, Period::Week, Period::Month] {
            let span = period.around(u64::MAX).unwrap();
            assert!(span.start < span.end && span.end == u64::MAX, "{period:?}: {span:?}");
        }
    }

    #[test]
    fn months_follow_each_other_without_a_gap_and_have_their_lengths() {
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut day = 0;
        for year in 1970..2420_u64 {
            let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
            for (month, length) in lengths.iter().enumerate() {
                let length = length + u64::from(month == 1 && is_leap);
                let expected = day * DAY_MS..(day + length) * DAY_MS;
                for within in [day, day + length / 2, day + length - 1] {
                    assert_eq!(
                        Period::Month.around(within * DAY_MS + 1),
                        Some(expected.clone()),
                        "{year}-{}",
                        month + 1
                    );
                }
                day += length;
            }
        }
    }
}
