//! Budgets: how much may be spent in which window of time, by whom.

use std::fmt;
use std::sync::Arc;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use crate::money::Nanodollars;

/// A limit on what is spent in each window of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// What may be spent in one window.
    pub limit: Nanodollars,
    /// How long a window is.
    pub period: Period,
    /// Where its days begin.
    pub zone: Zone,
    /// Whether calls are refused where it is exceeded; else the client is warned.
    pub is_hard: bool,
    /// At these shares of the limit, in percent, an event is told and answers carry a warning.
    pub warn: Vec<u8>,
}

/// Whose budget it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scoped {
    /// Whose.
    pub scope: Scope,
    /// How much, in which time.
    pub budget: Budget,
}

/// What spending is counted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// A virtual key, by its public id.
    Key(Arc<str>),
    /// A team.
    Team(Arc<str>),
    /// An organisation.
    Organisation(Arc<str>),
    /// A provider.
    Provider(Arc<str>),
    /// A model.
    Model(Arc<str>),
    /// A route.
    Route(Arc<str>),
    /// A label with its value.
    Label(Arc<str>, Arc<str>),
}

impl Scope {
    /// From how it is written.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':')?;
        Some(match kind {
            "key" => Self::Key(name.into()),
            "team" => Self::Team(name.into()),
            "organisation" => Self::Organisation(name.into()),
            "provider" => Self::Provider(name.into()),
            "model" => Self::Model(name.into()),
            "route" => Self::Route(name.into()),
            "label" => {
                let (label, value) = name.split_once('=')?;
                Self::Label(label.into(), value.into())
            }
            _ => return None,
        })
    }

    /// Whether a caller may read its name and figures: it is the caller's own.
    pub fn is_the_callers(&self) -> bool {
        matches!(self, Self::Key(_) | Self::Team(_) | Self::Organisation(_))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self {
            Self::Key(name) => ("key", name),
            Self::Team(name) => ("team", name),
            Self::Organisation(name) => ("organisation", name),
            Self::Provider(name) => ("provider", name),
            Self::Model(name) => ("model", name),
            Self::Route(name) => ("route", name),
            Self::Label(label, value) => return write!(formatter, "label:{label}={value}"),
        };
        write!(formatter, "{kind}:{name}")
    }
}

/// How long a window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the calendar's words")]
pub enum Period {
    Hour,
    Day,
    /// From Monday on.
    Week,
    Month,
    /// One window without an end.
    Total,
}

impl Period {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 5] = [
        ("hour", Self::Hour),
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
        ("total", Self::Total),
    ];

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, period)| *period)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, period)| *period == self)
            .map_or("", |(name, _)| name)
    }
}

/// A time zone.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// By its IANA name, `Europe/Berlin` say; the data is compiled in.
    pub fn named(name: &str) -> Result<Self, String> {
        // Written out, it is the same zone as where none is named.
        if name == "UTC" {
            return Ok(Self::default());
        }
        TimeZone::get(name)
            .map(Self)
            .map_err(|_| format!("`{name}` is not the name of a time zone such as Europe/Berlin"))
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A window of time, in milliseconds since 1970; the end is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// When it begins.
    pub start_ms: u64,
    /// When the next begins.
    pub end_ms: u64,
}

impl Window {
    /// The one window of [`Period::Total`].
    pub const EVER: Self = Self {
        start_ms: 0,
        end_ms: u64::MAX,
    };

    /// The window of a period that a moment falls into.
    pub fn around(now_ms: u64, period: Period, zone: &Zone) -> Self {
        if period == Period::Total {
            return Self::EVER;
        }
        i64::try_from(now_ms)
            .ok()
            .and_then(|now_ms| Timestamp::from_millisecond(now_ms).ok())
            .and_then(|now| bounds(&now.to_zoned(zone.0.clone()), period).ok())
            .map_or(Self::EVER, |(start, end)| Self {
                start_ms: milliseconds(&start),
                end_ms: milliseconds(&end),
            })
    }

    /// Whether a moment lies in it.
    pub fn holds(&self, at_ms: u64) -> bool {
        self.start_ms <= at_ms && at_ms < self.end_ms
    }

    /// When it ends, as people and programs read it; nothing for a window without an end.
    pub fn end(&self) -> Option<String> {
        let end = i64::try_from(self.end_ms).ok()?;
        Timestamp::from_second(end / 1000).ok().map(|end| end.to_string())
    }
}

fn milliseconds(moment: &Zoned) -> u64 {
    u64::try_from(moment.timestamp().as_millisecond()).unwrap_or(0)
}

/// An hour that a zone skips or repeats is as long as the clock there says, so hours are counted from the moment itself.
fn bounds(now: &Zoned, period: Period) -> Result<(Zoned, Zoned), jiff::Error> {
    let today = now.with().time(Time::midnight()).build()?;
    let day = match period {
        Period::Hour => return hour(now),
        Period::Day | Period::Total => today.date(),
        Period::Week => today
            .date()
            .nth_weekday(-1, Weekday::Monday)
            .map_or(today.date(), |before| {
                if today.weekday() == Weekday::Monday {
                    today.date()
                } else {
                    before
                }
            }),
        Period::Month => today.date().first_of_month(),
    };
    let next = match period {
        Period::Week => day.checked_add(jiff::Span::new().weeks(1))?,
        Period::Month => day.checked_add(jiff::Span::new().months(1))?,
        _ => day.tomorrow()?,
    };
    let zone = now.time_zone();
    Ok((day.to_zoned(zone.clone())?, next.to_zoned(zone.clone())?))
}

/// The hour on the clocks there. Where they are put on or back by less than an hour, one ends and another begins at that moment, so
/// that no two have a moment in common.
fn hour(now: &Zoned) -> Result<(Zoned, Zoned), jiff::Error> {
    const HOUR: SignedDuration = SignedDuration::from_hours(1);
    let (seconds, nanoseconds) = (
        i64::from(now.minute()) * 60 + i64::from(now.second()),
        now.subsec_nanosecond(),
    );
    let into = SignedDuration::new(seconds, nanoseconds);
    let (zone, moment) = (now.time_zone(), now.timestamp());
    let (mut start, mut end) = (moment.checked_sub(into)?, moment.checked_add(HOUR - into)?);
    let instant = SignedDuration::from_nanos(1);
    let before = zone.preceding(moment.checked_add(instant)?).next();
    let after = zone.following(moment).next();
    for change in [before, after].into_iter().flatten().map(|change| change.timestamp()) {
        let by = zone.to_offset(change).seconds() - zone.to_offset(change.checked_sub(instant)?).seconds();
        if by % 3600 != 0 {
            match change <= moment {
                true => start = start.max(change),
                false => end = end.min(change),
            }
        }
    }
    Ok((start.to_zoned(zone.clone()), end.to_zoned(zone.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(at: &str, period: Period, zone: &str) -> (String, String) {
        let at: Timestamp = at.parse().unwrap();
        let window = Window::around(at.as_millisecond() as u64, period, &Zone::named(zone).unwrap());
        let text = |ms: u64| Timestamp::from_millisecond(ms as i64).unwrap().to_string();
        (text(window.start_ms), text(window.end_ms))
    }

    #[test]
    fn windows_follow_the_calendar_of_their_zone() {
        let cases = [
            (
                "2026-11-21T10:15:00Z",
                Period::Hour,
                "UTC",
                "2026-11-21T10:00:00Z",
                "2026-11-21T11:00:00Z",
            ),
            (
                "2026-11-21T10:15:00Z",
                Period::Hour,
                "Asia/Kolkata",
                "2026-11-21T09:30:00Z",
                "2026-11-21T10:30:00Z",
            ),
            (
                "2026-11-21T23:30:00Z",
                Period::Day,
                "Europe/Berlin",
                "2026-11-21T23:00:00Z",
                "2026-11-22T23:00:00Z",
            ),
            (
                "2026-11-21T10:15:00Z",
                Period::Week,
                "UTC",
                "2026-11-16T00:00:00Z",
                "2026-11-23T00:00:00Z",
            ),
            (
                "2026-11-16T00:00:00Z",
                Period::Week,
                "UTC",
                "2026-11-16T00:00:00Z",
                "2026-11-23T00:00:00Z",
            ),
            (
                "2026-12-31T23:59:59Z",
                Period::Month,
                "UTC",
                "2026-12-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
            // Clocks go back by half an hour at 15:00, and on by as much half a year later at 15:30.
            (
                "2026-04-04T15:15:00Z",
                Period::Hour,
                "Australia/Lord_Howe",
                "2026-04-04T15:00:00Z",
                "2026-04-04T15:30:00Z",
            ),
            (
                "2026-10-03T15:15:00Z",
                Period::Hour,
                "Australia/Lord_Howe",
                "2026-10-03T14:30:00Z",
                "2026-10-03T15:30:00Z",
            ),
            // Clocks go back in that month, which has an hour more.
            (
                "2026-10-25T00:30:00Z",
                Period::Day,
                "Europe/Berlin",
                "2026-10-24T22:00:00Z",
                "2026-10-25T23:00:00Z",
            ),
        ];
        for (at, period, zone, start, end) in cases {
            assert_eq!(
                window(at, period, zone),
                (start.to_owned(), end.to_owned()),
                "{at} {period:?} {zone}"
            );
        }
        assert_eq!(Window::around(5, Period::Total, &Zone::default()), Window::EVER);
    }

    #[test]
    fn every_moment_lies_in_its_window_and_windows_meet() {
        for zone in [
            "UTC",
            "Europe/Berlin",
            "America/St_Johns",
            "Pacific/Apia",
            "Asia/Kathmandu",
            "Australia/Lord_Howe",
        ] {
            let zone = Zone::named(zone).unwrap();
            // Windows of hours around changes of the clocks: the 25th of October and the 4th of April 2026, in the night there.
            let cases = Period::ALL[..4].iter().flat_map(|(_, period)| {
                let begins = [1_700_000_000_000, 1_792_850_400_000, 1_775_260_800_000];
                begins.map(|begin| (period, begin))
            });
            for (period, begin) in cases {
                let mut at = begin;
                for _ in 0..200 {
                    let window = Window::around(at, *period, &zone);
                    assert!(
                        window.start_ms <= at && at < window.end_ms,
                        "{at} {period:?} {zone:?} {window:?}"
                    );
                    assert_eq!(
                        Window::around(window.end_ms, *period, &zone).start_ms,
                        window.end_ms,
                        "{period:?} {zone:?}"
                    );
                    at = window.end_ms + 1_234_567;
                }
            }
        }
    }

    #[test]
    fn a_scope_is_read_as_it_is_written() {
        let scopes = [
            Scope::Key("k".into()),
            Scope::Team("a:b".into()),
            Scope::Organisation("".into()),
            Scope::Provider("p".into()),
            Scope::Model("p/m:1".into()),
            Scope::Route("auto".into()),
            Scope::Label("task".into(), "a=b".into()),
        ];
        for scope in scopes {
            assert_eq!(Scope::parse(&scope.to_string()), Some(scope));
        }
        assert_eq!(Scope::parse("nobody:x"), None);
    }

    #[test]
    fn unknown_zones_are_told() {
        assert!(Zone::named("Europe/Atlantis").is_err());
        assert_eq!(Zone::default().name(), "UTC");
    }
}
