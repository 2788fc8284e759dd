//! When a window is open: from a moment to the clock and calendar of its zone, and from there to yes or no.
//!
//! A window from one time of day to another is open while the zone's clock shows such a time: an hour that the clock leaves out
//! in spring is not in it, one that it shows twice in autumn is in it twice. What a cron expression opens for a while stays open
//! for as long as was said, whatever the clock does meanwhile.

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::{TimeZone, TimeZoneDatabase},
};

use crate::{
    calendar::{Clock, Dates, Days},
    config::{Holidays, Window},
    cron::Cron,
};

const MINUTE_MS: i64 = 60_000;
const QUARTER_MS: i64 = 15 * MINUTE_MS;
const MINUTES_OF_A_WEEK: u32 = 7 * 24 * 60;
/// No zone's clock is moved by more at once, but for the few that have changed sides of the date line.
const MOVE_MS: i64 = 3 * 60 * MINUTE_MS;

/// When a window is open.
pub(crate) struct Schedule {
    zone: TimeZone,
    hours: Hours,
    days: Vec<Days>,
    dates: Vec<Dates>,
    holidays: Holidays,
}

enum Hours {
    /// From one time of day to another; over midnight where the first is the later one.
    Between(Clock, Clock),
    /// In the minutes that match.
    During(Vec<Cron>),
    /// For so many milliseconds from each minute that matches.
    After(Vec<Cron>, i64),
}

impl Schedule {
    /// The error begins with a field's name and a closing backtick.
    pub(crate) fn new(window: &Window, zone: &str) -> Result<Self, String> {
        let zone = time_zone(window.zone.as_deref().unwrap_or(zone)).map_err(|error| format!("zone`: {error}"))?;
        Ok(Schedule {
            zone,
            hours: Hours::new(window)?,
            days: window.days.clone(),
            dates: window.dates.clone(),
            holidays: window.holidays,
        })
    }

    pub(crate) fn is_open(&self, at: Timestamp, holidays: &[Dates]) -> bool {
        let local = self.zone.to_datetime(at);
        let opens_on = |date| self.opens_on(date, holidays);
        match &self.hours {
            Hours::Between(from, to) => {
                let clock =
                    Clock(u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs()));
                if from < to {
                    return *from <= clock && clock < *to && opens_on(local.date());
                }
                // Over midnight the day on which the window opens counts, for the hours of the next one as well.
                let since_yesterday = || clock < *to && local.date().yesterday().is_ok_and(opens_on);
                (clock >= *from && opens_on(local.date())) || since_yesterday()
            }
            Hours::During(crons) => crons.iter().any(|cron| cron.matches(local)) && opens_on(local.date()),
            Hours::After(crons, length_ms) => crons
                .iter()
                .any(|cron| self.is_after(cron, *length_ms, at, local, opens_on)),
        }
    }

    /// In how many milliseconds the window closes, rounded up to a quarter of an hour; none where that takes more than a
    /// week. All zones are whole quarters away from each other, so that quarters are quarters everywhere.
    pub(crate) fn closes_in_ms(&self, at: Timestamp, holidays: &[Dates]) -> Option<u32> {
        let now_ms = at.as_millisecond();
        let next_ms = now_ms - now_ms.rem_euclid(QUARTER_MS) + QUARTER_MS;
        let quarters = (0..i64::from(MINUTES_OF_A_WEEK / 15)).map(|quarter| next_ms + quarter * QUARTER_MS);
        let mut closed = quarters.filter(|&ms| {
            let later = Timestamp::from_millisecond(ms);
            later.is_ok_and(|later| !self.is_open(later, holidays))
        });
        closed.next().and_then(|ms| u32::try_from(ms - now_ms).ok())
    }

    fn opens_on(&self, date: Date, holidays: &[Dates]) -> bool {
        let is_day = self.days.is_empty() || self.days.iter().any(|days| days.has(date));
        let is_date = self.dates.is_empty() || self.dates.iter().any(|dates| dates.has(date));
        let is_holiday = || holidays.iter().any(|dates| dates.has(date));
        match self.holidays {
            Holidays::Same => is_day && is_date,
            Holidays::Skip => is_day && is_date && !is_holiday(),
            Holidays::Also => (is_day && is_date) || is_holiday(),
            Holidays::Only => is_day && is_date && is_holiday(),
        }
    }

    /// Whether a minute that matches lies no further back than the length. Minutes that the clock left out count as the ones
    /// that it showed instead; of minutes that it shows twice the first counts.
    fn is_after(
        &self,
        cron: &Cron,
        length_ms: i64,
        at: Timestamp,
        local: DateTime,
        opens_on: impl Fn(Date) -> bool,
    ) -> bool {
        let mut date = local.date();
        for _ in 0..=length_ms / (24 * 60 * MINUTE_MS) + 1 {
            if cron.is_on(date) && opens_on(date) {
                for (hour, minute) in cron.times_backwards() {
                    let Ok(opened) = self.zone.to_timestamp(date.at(hour, minute, 0, 0)) else {
                        return false;
                    };
                    let age_ms = at.as_millisecond() - opened.as_millisecond();
                    if (0..length_ms).contains(&age_ms) {
                        return true;
                    }
                    if age_ms >= length_ms + MOVE_MS {
                        return false;
                    }
                }
            }
            let Ok(yesterday) = date.yesterday() else {
                return false;
            };
            date = yesterday;
        }
        false
    }
}

impl Hours {
    fn new(window: &Window) -> Result<Self, String> {
        let Window {
            cron,
            for_minutes,
            from,
            to,
            ..
        } = window;
        if cron.is_empty() {
            if for_minutes.is_some() {
                return Err("for_minutes` is how long a window stays open after `cron`, which is not given".into());
            }
            let (from, to) = (from.unwrap_or(Clock::MIDNIGHT), to.unwrap_or(Clock::END));
            if from == to || from == Clock::END {
                return Err("from` and `to` leave no time between them".into());
            }
            return Ok(Hours::Between(from, to));
        }
        if from.is_some() || to.is_some() {
            return Err("cron` says when the window opens, expected no `from` and no `to` beside it".into());
        }
        let crons = cron.iter().enumerate();
        let crons = crons.map(|(index, text)| Cron::parse(text).map_err(|error| format!("cron[{index}]`: {error}")));
        let crons = crons.collect::<Result<Vec<_>, _>>()?;
        match *for_minutes {
            None => Ok(Hours::During(crons)),
            Some(minutes) if (1..=MINUTES_OF_A_WEEK).contains(&minutes) => {
                Ok(Hours::After(crons, i64::from(minutes) * MINUTE_MS))
            }
            Some(minutes) => Err(format!(
                "for_minutes`: {minutes} is out of range, expected 1 to {MINUTES_OF_A_WEEK} (a week)"
            )),
        }
    }
}

/// A zone by its IANA name, from the data that is compiled in.
pub(crate) fn time_zone(name: &str) -> Result<TimeZone, String> {
    TimeZoneDatabase::bundled()
        .get(name)
        .map_err(|_| format!("there is no time zone `{name}`, expected an IANA name such as `Europe/Berlin` or `UTC`"))
}

#[cfg(test)]
mod tests;
