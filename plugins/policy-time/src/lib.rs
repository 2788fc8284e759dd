//! Routes by the clock: windows of time, each with the models that it prefers, allows or forbids, and with off-peak prices.
//!
//! The clock is the request's own, so that a decision can be repeated. What can be configured is in `config.rs`, how it is
//! written in `calendar.rs` and `cron.rs`, when a window is open in `schedule.rs`.

mod calendar;
mod config;
mod cron;
mod schedule;

use std::collections::BTreeMap;

use calendar::Dates;
use config::{Action, Config, Mode};
use jiff::Timestamp;
use pointsman_plugin::{Candidate, Plan, Policy, Rejection, Request, Verdict, export_policy, named};
use schedule::Schedule;

struct Time {
    windows: Vec<Compiled>,
    default: Option<Action>,
    mode: Mode,
    holidays: Vec<Dates>,
    warnings: Vec<String>,
}

struct Compiled {
    name: String,
    schedule: Schedule,
    action: Action,
}

/// A label has at most so many bytes.
const LABEL_BYTES: usize = 256;

impl Policy for Time {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        schedule::time_zone(&config.zone).map_err(|error| format!("`zone`: {error}"))?;
        if let Some(default) = &config.default {
            default.check().map_err(|error| format!("`default.{error}"))?;
        }
        let mut warnings = Vec::new();
        if config.windows.is_empty() {
            warnings.push("there are no `windows`, so none will be open".into());
        }
        let mut windows: Vec<Compiled> = Vec::with_capacity(config.windows.len());
        for (index, mut window) in config.windows.into_iter().enumerate() {
            if window.name.is_empty() || window.name.len() > 64 {
                return Err(format!("`windows[{index}].name` has to have 1 to 64 bytes"));
            }
            if windows.iter().any(|other| other.name == window.name) {
                return Err(format!(
                    "`windows[{index}].name`: there are two windows with the name `{}`",
                    window.name
                ));
            }
            let action = window.take_action();
            let in_window = |error| format!("`windows[{index}].{error}");
            action.check().map_err(in_window)?;
            if config.holidays.is_empty() && window.holidays != config::Holidays::Same {
                warnings.push(format!(
                    "`windows[{index}].holidays` speaks of `holidays`, of which there are none"
                ));
            }
            windows.push(Compiled {
                schedule: Schedule::new(&window, &config.zone).map_err(in_window)?,
                name: window.name,
                action,
            });
        }
        Ok(Time {
            windows,
            default: config.default,
            mode: config.mode,
            holidays: config.holidays,
            warnings,
        })
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        let now_ms = i64::try_from(request.now_ms).ok();
        let now = now_ms.and_then(|now_ms| Timestamp::from_millisecond(now_ms).ok());
        let now = now.ok_or_else(|| format!("the time {} ms is beyond the calendar", request.now_ms))?;
        let enough = match self.mode {
            Mode::First => 1,
            Mode::All => usize::MAX,
        };
        let open = self.windows.iter();
        let open = open.filter(|window| window.schedule.is_open(now, &self.holidays));
        let open: Vec<&Compiled> = open.take(enough).collect();

        let mut outcome = Outcome::new(candidates);
        for window in &open {
            if let Err(rejection) = outcome.add(&window.action) {
                let wait_ms = || window.schedule.closes_in_ms(now, &self.holidays);
                return Ok(Rejection {
                    retry_after_ms: window.action.reject.as_ref().and_then(|_| wait_ms()),
                    ..rejection
                }
                .into());
            }
        }
        if !open.is_empty() {
            let names: Vec<&str> = open.iter().map(|window| &*window.name).collect();
            let plan = outcome.plan().label("window", listed(&names));
            return Ok(plan.reason(format!("window {}", names.join(", "))).into());
        }
        let Some(default) = &self.default else {
            return Ok(Verdict::Pass);
        };
        Ok(match outcome.add(default) {
            Ok(()) => outcome.plan().reason("no window is open").into(),
            Err(rejection) => rejection.into(),
        })
    }
}

/// What the actions so far add up to.
struct Outcome<'a> {
    left: Vec<&'a Candidate>,
    prefer: Vec<&'a str>,
    /// Names of candidates with their share of the ordinary price.
    prices: Vec<(&'a str, u32)>,
    labels: BTreeMap<&'a str, &'a str>,
    is_changed: bool,
}

impl<'a> Outcome<'a> {
    fn new(candidates: &'a [Candidate]) -> Self {
        Outcome {
            left: candidates.iter().collect(),
            prefer: Vec::new(),
            prices: Vec::new(),
            labels: BTreeMap::new(),
            is_changed: false,
        }
    }

    fn add(&mut self, action: &'a Action) -> Result<(), Rejection> {
        if let Some(refusal) = &action.reject {
            return Err(Rejection::new(refusal.status, &*refusal.code, &*refusal.message));
        }
        if !action.only.is_empty() {
            self.left = named(&action.only, self.left.iter().copied());
            self.is_changed = true;
        }
        if !action.forbid.is_empty() {
            let before = self.left.len();
            self.left
                .retain(|candidate| !action.forbid.iter().any(|name| candidate.answers_to(name)));
            self.is_changed |= self.left.len() < before;
        }
        if self.left.is_empty() {
            let message = "none of the models that could serve this request may do so at this time";
            return Err(Rejection::new(403, "no_candidate", message));
        }
        self.prefer.extend(action.prefer.iter().map(String::as_str));
        self.prices.extend(
            action
                .price_percent
                .iter()
                .map(|(name, percent)| (name.as_str(), *percent)),
        );
        let labels = action.labels.iter();
        self.labels.extend(labels.map(|(label, value)| (&**label, &**value)));
        Ok(())
    }

    /// Cheapest first where something has another price now, then what is preferred before all others. A plan that changes
    /// nothing names no candidate.
    fn plan(mut self) -> Plan {
        if !self.prices.is_empty() {
            let prices = std::mem::take(&mut self.prices);
            self.left.sort_by_cached_key(|candidate| price_now(candidate, &prices));
            self.is_changed = true;
        }
        let left = self.left.iter().copied();
        let plan = if self.is_changed || !named(&self.prefer, left.clone()).is_empty() {
            Plan::prefer(&self.prefer, left)
        } else {
            Plan::keep()
        };
        self.labels
            .iter()
            .fold(plan, |plan, (label, value)| plan.label(*label, *value))
    }
}

/// The estimate for this request in hundredths of a nano-dollar, what nobody has priced last. Of several shares that a candidate
/// has, the lowest counts.
fn price_now(candidate: &Candidate, prices: &[(&str, u32)]) -> u128 {
    let own = prices.iter().filter(|(name, _)| candidate.answers_to(name));
    let percent = own.map(|(_, percent)| *percent).min().unwrap_or(100);
    let estimate = candidate.estimated_cost.map(u128::from);
    estimate.map_or(u128::MAX, |estimate| estimate * u128::from(percent))
}

/// The names with commas between them, as many as a label holds.
fn listed(names: &[&str]) -> String {
    let mut list = String::new();
    for name in names {
        if list.len() + 1 + name.len() > LABEL_BYTES {
            break;
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(name);
    }
    list
}

export_policy!(Time);

#[cfg(test)]
mod tests {
    use pointsman_plugin::testing::golden;

    use super::*;

    #[test]
    fn golden_files() {
        golden::<Time>(env!("CARGO_MANIFEST_DIR"));
    }

    #[test]
    fn a_label_holds_as_many_names_as_fit() {
        let name = "n".repeat(64);
        let names = [&*name; 5];
        assert_eq!(listed(&names).len(), 3 * 64 + 2);
        assert_eq!(listed(&["a", "b"]), "a,b");
    }
}
