//! Cron expressions of five fields: minute, hour, day of the month, month, day of the week.
//!
//! The rules are those of `crontab(5)` as Vixie's cron has them: `*`, numbers, ranges, lists, steps, names of months and
//! weekdays in three letters, Sunday as 0 or 7. Where both the day of the month and the day of the week are restricted, one of
//! them is enough; a field that begins with `*` is not restricted.

use jiff::civil::{Date, DateTime};

/// A cron expression as bits, one for each value that a field allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// From Sunday on.
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
}

/// One field: what it is called, its least and its greatest value, and names of its values from the least on.
struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        least: 0,
        most: 59,
        names: &[],
    },
    Field {
        name: "hour",
        least: 0,
        most: 23,
        names: &[],
    },
    Field {
        name: "day of the month",
        least: 1,
        most: 31,
        names: &[],
    },
    Field {
        name: "month",
        least: 1,
        most: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        name: "day of the week",
        least: 0,
        most: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

/// Days of each month in a leap year.
const LENGTHS: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Cron {
    /// The error says which field is wrong and what was expected there.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split_whitespace().collect();
        let Ok(parts) = <[&str; 5]>::try_from(parts) else {
            let count = text.split_whitespace().count();
            return Err(format!(
                "`{text}` has {count} of 5 fields: minute, hour, day of the month, month, day of the week"
            ));
        };
        let mut fields = [0; 5];
        for ((bits, field), part) in fields.iter_mut().zip(&FIELDS).zip(parts) {
            *bits = field.parse(part)?;
        }
        let [minutes, hours, days, months, weekdays] = fields;
        let cron = Cron {
            minutes,
            hours,
            days,
            months,
            weekdays: weekdays & 0x7f | weekdays >> 7,
            any_day: parts[2].starts_with('*'),
            any_weekday: parts[4].starts_with('*'),
        };
        if !cron.ever_comes() {
            return Err(format!("`{text}` never comes: none of its months has such a day"));
        }
        Ok(cron)
    }

    /// Whether the expression matches the minute.
    pub(crate) fn matches(&self, at: DateTime) -> bool {
        has(self.minutes, at.minute()) && has(self.hours, at.hour()) && self.is_on(at.date())
    }

    /// Whether it matches some minute of the day.
    pub(crate) fn is_on(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        let is_day = if self.any_day || self.any_weekday {
            day && weekday
        } else {
            day || weekday
        };
        is_day && has(self.months, date.month())
    }

    /// The times of day that match, as hour and minute, the latest first.
    pub(crate) fn times_backwards(&self) -> impl Iterator<Item = (i8, i8)> {
        let hours = (0..24).rev().filter(|hour| has(self.hours, *hour));
        hours.flat_map(|hour| {
            let minutes = (0..60).rev().filter(|minute| has(self.minutes, *minute));
            minutes.map(move |minute| (hour, minute))
        })
    }

    fn ever_comes(&self) -> bool {
        let has_day = |month: u8| {
            let last = LENGTHS[usize::from(month - 1)];
            has(self.months, month as i8) && (1..=last).any(|day| has(self.days, day as i8))
        };
        // A restricted day of the week is enough where the day of the month is restricted as well.
        (!self.any_day && !self.any_weekday) || (1..=12).any(has_day)
    }
}

impl Field {
    fn parse(&self, text: &str) -> Result<u64, String> {
        text.split(',').try_fold(0, |bits, part| Ok(bits | self.part(part)?))
    }

    /// `*`, `5`, `1-5`, each with or without `/2`; a single value with a step goes to the end.
    fn part(&self, text: &str) -> Result<u64, String> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(self.number(step, 1)?)),
            None => (text, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.least, self.most),
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            None if step.is_some() => (self.value(range)?, self.most),
            None => {
                let value = self.value(range)?;
                (value, value)
            }
        };
        if first > last {
            return Err(format!(
                "the {} `{range}` runs backwards, expected the lower value first; two ranges may be joined by a comma",
                self.name
            ));
        }
        let values = (first..=last).step_by(usize::from(step.unwrap_or(1)));
        Ok(values.fold(0, |bits, value| bits | 1 << value))
    }

    fn value(&self, text: &str) -> Result<u8, String> {
        let name = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        match name {
            Some(place) => Ok(self.least + place as u8),
            None => self.number(text, self.least),
        }
    }

    fn number(&self, text: &str, least: u8) -> Result<u8, String> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| text.parse::<u8>().ok()).flatten();
        number
            .filter(|number| (least..=self.most).contains(number))
            .ok_or_else(|| {
                format!(
                    "the {} `{text}` is out of range, expected {least} to {}",
                    self.name, self.most
                )
            })
    }
}

fn has(bits: u64, value: i8) -> bool {
    bits >> value & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(month: i8, day: i8, hour: i8, minute: i8) -> DateTime {
        DateTime::constant(2026, month, day, hour, minute, 0, 0)
    }

    fn matches(text: &str, at: DateTime) -> bool {
        Cron::parse(text).unwrap().matches(at)
    }

    #[test]
    fn minutes_match_by_every_form_that_a_field_may_have() {
        // The 21st of November 2026 is a Saturday.
        let when = at(11, 21, 13, 45);
        for text in [
            "* * * * *",
            "45 13 21 11 6",
            "*/15 * * * *",
            "30-50/5 * * * *",
            "5,45 13 * * *",
            "0/15 * * * *",
            "* * * NOV Sat",
            "* 9-17 * * mon-sat",
            "* * * * 5-7",
        ] {
            assert!(matches(text, when), "{text}");
        }
        for text in [
            "44 * * * *",
            "*/20 * * * *",
            "* * * * mon-fri",
            "* * * * 7",
            "* * 20 * *",
            "* * * 10 *",
        ] {
            assert!(!matches(text, when), "{text}");
        }
    }

    #[test]
    fn sunday_is_0_and_7() {
        let sunday = at(11, 22, 0, 0);
        assert!(
            ["0", "7", "sun", "5-7", "0-2"]
                .iter()
                .all(|day| matches(&format!("0 0 * * {day}"), sunday))
        );
    }

    #[test]
    fn of_two_restricted_days_one_is_enough() {
        let text = "0 0 13 * fri";
        assert!(matches(text, at(11, 13, 0, 0)), "Friday the 13th");
        assert!(matches(text, at(11, 20, 0, 0)), "another Friday");
        assert!(matches(text, at(12, 13, 0, 0)), "a Sunday, the 13th");
        assert!(!matches(text, at(11, 21, 0, 0)), "a Saturday, the 21st");
        assert!(
            !matches("0 0 */2 * fri", at(11, 20, 0, 0)),
            "a field that begins with a star restricts with the other"
        );
    }

    #[test]
    fn times_of_a_day_come_from_the_latest_on() {
        let cron = Cron::parse("0,30 8-9 * * *").unwrap();
        assert_eq!(
            cron.times_backwards().collect::<Vec<_>>(),
            [(9, 30), (9, 0), (8, 30), (8, 0)]
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_what_was_expected() {
        for (text, expected) in [
            ("@daily", "`@daily` has 1 of 5 fields: minute, hour"),
            ("0 0 0 * * *", "has 6 of 5 fields"),
            ("60 * * * *", "the minute `60` is out of range, expected 0 to 59"),
            ("* 24 * * *", "the hour `24` is out of range, expected 0 to 23"),
            (
                "* * 0 * *",
                "the day of the month `0` is out of range, expected 1 to 31",
            ),
            ("* * * 13 *", "the month `13` is out of range, expected 1 to 12"),
            ("* * * * 8", "the day of the week `8` is out of range, expected 0 to 7"),
            ("*/0 * * * *", "the minute `0` is out of range, expected 1 to 59"),
            ("*/ * * * *", "the minute `` is out of range"),
            ("1,,2 * * * *", "the minute `` is out of range"),
            ("+5 * * * *", "the minute `+5` is out of range"),
            ("* * L * *", "the day of the month `L` is out of range"),
            ("* 22-6 * * *", "the hour `22-6` runs backwards"),
            ("0 0 30 2 *", "`0 0 30 2 *` never comes"),
        ] {
            let error = Cron::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(Cron::parse("0 0 30 2 mon").is_ok(), "Mondays in February come");
        assert!(Cron::parse("0 0 29 2 *").is_ok());
    }
}
