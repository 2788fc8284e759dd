//! Times of day, days of the week and dates, as a configuration writes them.

use std::borrow::Cow;

use jiff::civil::Date;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize,
    de::{self, Deserializer},
};

/// A time of day in minutes since midnight, `24:00` included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Clock(pub(crate) u16);

/// Days of the week, as bits from Monday on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Days(pub(crate) u8);

/// One date, one day of every year, or all days from one date to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dates {
    Yearly { month: i8, day: i8 },
    Span { first: Date, last: Date },
}

impl Clock {
    pub(crate) const MIDNIGHT: Clock = Clock(0);
    pub(crate) const END: Clock = Clock(24 * 60);

    fn parse(text: &str) -> Option<Self> {
        let (hours, minutes) = text.split_once(':')?;
        let (hours, minutes) = (digits(hours, 1)?, digits(minutes, 2)?);
        let clock = Clock(u16::from(hours) * 60 + u16::from(minutes));
        (minutes < 60 && clock <= Self::END).then_some(clock)
    }
}

impl Days {
    pub(crate) fn has(self, date: Date) -> bool {
        self.0 & (1 << date.weekday().to_monday_zero_offset()) != 0
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let (first, last) = (weekday(first)?, weekday(last)?);
        let count = (last + 7 - first) % 7;
        Some(Days((0..=count).fold(0, |days, day| days | 1 << ((first + day) % 7))))
    }
}

impl Dates {
    pub(crate) fn has(&self, date: Date) -> bool {
        match *self {
            Dates::Yearly { month, day } => date.month() == month && date.day() == day,
            Dates::Span { first, last } => (first..=last).contains(&date),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some((first, last)) = text.split_once('/') {
            let (first, last) = (date(first)?, date(last)?);
            return (first <= last).then_some(Dates::Span { first, last });
        }
        if let Some(date) = date(text) {
            return Some(Dates::Span {
                first: date,
                last: date,
            });
        }
        // The year is one that has a 29th of February.
        let day = date(&format!("2024-{text}"))?;
        Some(Dates::Yearly {
            month: day.month(),
            day: day.day(),
        })
    }
}

/// `2026-12-24` and no other form of a date.
fn date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 || !year.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (month, day) = (digits(month, 2)?, digits(day, 2)?);
    Date::new(year.parse().ok()?, month.try_into().ok()?, day.try_into().ok()?).ok()
}

/// A number of up to two digits, and of so many at least.
fn digits(text: &str, at_least: usize) -> Option<u8> {
    let is_number = (at_least..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn weekday(text: &str) -> Option<u8> {
    let names = [
        ("mon", "monday"),
        ("tue", "tuesday"),
        ("wed", "wednesday"),
        ("thu", "thursday"),
        ("fri", "friday"),
        ("sat", "saturday"),
        ("sun", "sunday"),
    ];
    let place = names.iter().position(|(short, long)| text == *short || text == *long)?;
    u8::try_from(place).ok()
}

/// Reads a text by a function that knows its form; the error says what was expected.
fn read<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: fn(&str) -> Option<T>,
    expected: &str,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is not {expected}")))
}

impl<'de> Deserialize<'de> for Clock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer, Clock::parse, "a time of day, expected `00:00` to `24:00`")
    }
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(
            deserializer,
            Days::parse,
            "a day of the week, expected `mon` or `mon-fri`",
        )
    }
}

impl<'de> Deserialize<'de> for Dates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a date, expected `2026-12-24`, `12-25` (every year) or `2026-12-24/2027-01-01`";
        read(deserializer, Dates::parse, expected)
    }
}

impl JsonSchema for Clock {
    fn schema_name() -> Cow<'static, str> {
        "Clock".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]{1,2}:[0-9]{2}$" })
    }
}

impl JsonSchema for Days {
    fn schema_name() -> Cow<'static, str> {
        "Days".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["mon", "mon-fri"] })
    }
}

impl JsonSchema for Dates {
    fn schema_name() -> Cow<'static, str> {
        "Dates".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["2026-12-24", "12-25", "2026-12-24/2027-01-01"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day_go_from_midnight_to_midnight() {
        let minutes = |text| Clock::parse(text).map(|clock| clock.0);
        assert_eq!(
            ["00:00", "7:05", "23:59", "24:00"].map(minutes),
            [Some(0), Some(425), Some(1439), Some(1440)]
        );
        for text in [
            "24:01", "12:60", "12", "12:5", "-1:00", "+1:00", "", ":", "012:00", "12:00:00", "noon",
        ] {
            assert_eq!(minutes(text), None, "{text}");
        }
    }

    #[test]
    fn days_of_the_week_may_run_over_its_end() {
        let bits = |text| Days::parse(text).map(|days| days.0);
        assert_eq!(bits("mon-fri"), Some(0b001_1111));
        assert_eq!(bits("Sat-Mon"), Some(0b110_0001));
        assert_eq!(bits("sunday"), Some(0b100_0000));
        assert_eq!(["", "m", "mon-", "mon-fri-sat", "holiday"].map(bits), [None; 5]);
    }

    #[test]
    fn dates_have_one_form_each_and_have_to_exist() {
        assert!(Dates::parse("02-29").unwrap().has(Date::constant(2028, 2, 29)));
        let span = Dates::parse("2026-12-24/2027-01-01").unwrap();
        assert!(span.has(Date::constant(2026, 12, 24)) && span.has(Date::constant(2027, 1, 1)));
        assert!(!span.has(Date::constant(2027, 1, 2)));
        for text in [
            "2026-02-29",
            "2026-13-01",
            "2026-1-1",
            "26-12-24",
            "12-24-2026",
            "2026-12-24/",
            "2027-01-01/2026-12-24",
            "12-24/12-26",
            "02-30",
            "today",
            "+026-12-24",
        ] {
            assert_eq!(Dates::parse(text), None, "{text}");
        }
    }
}
