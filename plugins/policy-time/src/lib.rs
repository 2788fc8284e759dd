//! Routes by the clock: windows of time, each with the models that it prefers, allows or forbids, and with off-peak prices.
//!
//! The clock is the request's own, so that a decision can be repeated. What can be configured is in `config.rs`, how it is
//! written in `calendar.rs` and `cron.rs`, when a window is open in `schedule.rs`.

mod calendar;
mod config;
mod cron;
mod schedule;

use calendar::Dates;
use config::{Config, Effect};
use jiff::Timestamp;
use pointsman_plugin::{
    Candidate, Plan, Policy, Rejection, Request, Verdict,
    action::{Mode, Outcome},
    export_policy, limits,
};
use schedule::Schedule;

struct Time {
    windows: Vec<Compiled>,
    default: Option<Effect>,
    mode: Mode,
    holidays: Vec<Dates>,
    warnings: Vec<String>,
}

struct Compiled {
    name: String,
    schedule: Schedule,
    effect: Effect,
}

impl Policy for Time {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        schedule::time_zone(&config.zone).map_err(|error| format!("`zone`: {error}"))?;
        let default = config.default.map(|default| default.effect()).transpose();
        let default = default.map_err(|error| format!("`default.{error}"))?;
        let mut warnings = Vec::new();
        if config.windows.is_empty() {
            warnings.push("there are no `windows`, so none will be open".into());
        }
        let mut windows: Vec<Compiled> = Vec::with_capacity(config.windows.len());
        for (index, mut window) in config.windows.into_iter().enumerate() {
            if !(1..=64).contains(&window.name.len()) || !limits::is_label(&window.name) {
                return Err(format!(
                    "`windows[{index}].name` has to have 1 to 64 bytes that can be printed"
                ));
            }
            if windows.iter().any(|other| other.name == window.name) {
                return Err(format!(
                    "`windows[{index}].name`: there are two windows with the name `{}`",
                    window.name
                ));
            }
            let in_window = |error| format!("`windows[{index}].{error}");
            let effect = window.take_effect().map_err(in_window)?;
            if config.holidays.is_empty() && window.holidays != config::Holidays::Same {
                warnings.push(format!(
                    "`windows[{index}].holidays` speaks of `holidays`, of which there are none"
                ));
            }
            windows.push(Compiled {
                schedule: Schedule::new(&window, &config.zone).map_err(in_window)?,
                name: window.name,
                effect,
            });
        }
        // The label `window` is this policy's own.
        config
            .mode
            .check(windows.iter().map(|window| &window.effect.action), 1)?;
        Ok(Time {
            windows,
            default,
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
        let Some(now) = now_ms.and_then(|now_ms| Timestamp::from_millisecond(now_ms).ok()) else {
            return Ok(self.otherwise(candidates, "no window is open beyond the calendar"));
        };
        let open = self.windows.iter();
        let open = open.filter(|window| window.schedule.is_open(now, &self.holidays));
        let open: Vec<&Compiled> = open.take(self.mode.enough()).collect();

        if open.is_empty() {
            return Ok(self.otherwise(candidates, "no window is open"));
        }
        let effects: Vec<&Effect> = open.iter().map(|window| &window.effect).collect();
        Ok(match add_up(&effects, candidates) {
            Ok(plan) => {
                let names: Vec<&str> = open.iter().map(|window| &*window.name).collect();
                let reason = format!("window {}", names.join(", "));
                plan.label("window", limits::listed(&names)).reason(reason).into()
            }
            Err(rejection) => {
                // The refusal of a window ends with it; that nobody is left may have other reasons.
                let is_its_own = |window: &&&Compiled| {
                    let refusal = window.effect.action.reject.as_ref();
                    refusal.is_some_and(|refusal| refusal.code == rejection.code)
                };
                let refusing = open.iter().find(is_its_own);
                let wait_ms = refusing.and_then(|window| window.schedule.closes_in_ms(now, &self.holidays));
                Rejection {
                    retry_after_ms: wait_ms,
                    ..rejection
                }
                .into()
            }
        })
    }
}

impl Time {
    /// What happens while no window is open.
    fn otherwise(&self, candidates: &[Candidate], why: &str) -> Verdict {
        let Some(default) = &self.default else {
            return Verdict::Pass;
        };
        match add_up(&[default], candidates) {
            Ok(plan) => plan.reason(why).into(),
            Err(rejection) => rejection.into(),
        }
    }
}

/// Without those that are forbidden, the cheapest first where something has another price now, and then what the actions say.
fn add_up(effects: &[&Effect], candidates: &[Candidate]) -> Result<Plan, Rejection> {
    let is_forbidden = |candidate: &&Candidate| {
        let mut names = effects.iter().flat_map(|effect| &effect.forbid);
        names.any(|name| candidate.answers_to(name))
    };
    let mut left: Vec<&Candidate> = candidates.iter().filter(|candidate| !is_forbidden(candidate)).collect();
    let prices = effects.iter().flat_map(|effect| &effect.price_percent);
    let prices: Vec<(&str, u32)> = prices.map(|(name, percent)| (&**name, *percent)).collect();
    if !prices.is_empty() {
        left.sort_by_cached_key(|candidate| price_now(candidate, &prices));
    }
    let is_changed = left.len() < candidates.len() || !prices.is_empty();
    let is_empty = left.is_empty();
    let mut outcome = Outcome::new(left);
    for effect in effects {
        outcome.add(&effect.action)?;
    }
    if is_empty {
        let message = "none of the models that could serve this request may do so at this time";
        return Err(Rejection::new(403, "no_candidate", message));
    }
    let ladder = is_changed.then(|| Plan::of(outcome.ladder()).steps);
    let plan = outcome.plan();
    Ok(Plan {
        steps: ladder.unwrap_or_else(|| plan.steps.clone()),
        ..plan
    })
}

/// The estimate for this request in hundredths of a nano-dollar, what nobody has priced last. Of several shares that a candidate
/// has, the lowest counts.
fn price_now(candidate: &Candidate, prices: &[(&str, u32)]) -> u128 {
    let own = prices.iter().filter(|(name, _)| candidate.answers_to(name));
    let percent = own.map(|(_, percent)| *percent).min().unwrap_or(100);
    let estimate = candidate.estimated_cost.map(u128::from);
    estimate.map_or(u128::MAX, |estimate| estimate * u128::from(percent))
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
}
