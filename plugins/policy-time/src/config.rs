//! What can be configured, field by field; the comments are the schema's descriptions.

use std::collections::BTreeMap;

use pointsman_plugin::action::{Action, Labels, Mode, Refusal, Settings};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::calendar::{Clock, Dates, Days};

/// Windows of time and what happens while they are open.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The time zone by whose clock and calendar windows open, by its IANA name.
    #[serde(default = "utc")]
    pub(crate) zone: String,
    /// The windows, in the order in which they are looked at.
    #[serde(default)]
    pub(crate) windows: Vec<Window>,
    /// Whether the first open window alone counts, or all that are open add up.
    #[serde(default, rename = "match")]
    pub(crate) mode: Mode,
    /// What happens while no window is open. Without it the candidates stay as they were.
    pub(crate) default: Option<Otherwise>,
    /// Days that windows may treat apart: `2026-12-24`, `12-25` (every year) or `2026-12-24/2027-01-01`.
    #[serde(default)]
    pub(crate) holidays: Vec<Dates>,
}

/// A window of time. It is open by `cron`, or from `from` to `to`; in both cases on the days that `days`, `dates` and
/// `holidays` leave.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    /// The request's label `window` while this one is open.
    pub(crate) name: String,
    /// The time zone of this window.
    pub(crate) zone: Option<String>,
    /// Cron expressions of five fields, one of which is enough. The window is open in the minutes that match, or after them
    /// for as long as `for_minutes` says.
    #[serde(default)]
    pub(crate) cron: Vec<String>,
    /// How long the window stays open after each minute that matches, in minutes.
    pub(crate) for_minutes: Option<u32>,
    /// When it opens, as `HH:MM`; midnight unless given. Later than `to`, it is open over midnight.
    pub(crate) from: Option<Clock>,
    /// When it closes, as `HH:MM`; `24:00` unless given.
    pub(crate) to: Option<Clock>,
    /// Days of the week on which it opens, `mon` or `mon-fri`; every day unless given.
    #[serde(default)]
    pub(crate) days: Vec<Days>,
    /// Dates on which it opens, written as `holidays` are; all unless given.
    #[serde(default)]
    pub(crate) dates: Vec<Dates>,
    /// What the holidays are to this window.
    #[serde(default)]
    pub(crate) holidays: Holidays,
    /// Candidates by id or by `tag:NAME`, in order of preference; the others stay behind them as fallbacks.
    #[serde(default)]
    pub(crate) prefer: Vec<String>,
    /// Candidates by id or by `tag:NAME`, in order of preference; the others are out. Where none of them may serve the
    /// request, it is refused.
    #[serde(default)]
    pub(crate) only: Vec<String>,
    /// Candidates by id or by `tag:NAME` that are out.
    #[serde(default)]
    pub(crate) forbid: Vec<String>,
    /// What candidates, by id or by `tag:NAME`, cost, in hundredths of their ordinary price. The cheapest then come first.
    #[serde(default)]
    pub(crate) price_percent: BTreeMap<String, u32>,
    /// The request's label `class`, or a table of labels.
    pub(crate) label: Option<Labels>,
    /// Fields of the request and the values that they are set to, whatever the client sent.
    #[serde(default)]
    pub(crate) set: Settings,
    /// Refuses the request.
    pub(crate) reject: Option<Refusal>,
}

/// What happens while no window is open.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Otherwise {
    /// Candidates by id or by `tag:NAME`, in order of preference; the others stay behind them as fallbacks.
    #[serde(default)]
    pub(crate) prefer: Vec<String>,
    /// Candidates by id or by `tag:NAME`, in order of preference; the others are out. Where none of them may serve the
    /// request, it is refused.
    #[serde(default)]
    pub(crate) only: Vec<String>,
    /// Candidates by id or by `tag:NAME` that are out.
    #[serde(default)]
    pub(crate) forbid: Vec<String>,
    /// What candidates, by id or by `tag:NAME`, cost, in hundredths of their ordinary price. The cheapest then come first.
    #[serde(default)]
    pub(crate) price_percent: BTreeMap<String, u32>,
    /// The request's label `class`, or a table of labels.
    pub(crate) label: Option<Labels>,
    /// Fields of the request and the values that they are set to, whatever the client sent.
    #[serde(default)]
    pub(crate) set: Settings,
    /// Refuses the request.
    pub(crate) reject: Option<Refusal>,
}

/// What happens, whenever it does.
#[derive(Debug)]
pub(crate) struct Effect {
    pub(crate) forbid: Vec<String>,
    pub(crate) price_percent: BTreeMap<String, u32>,
    pub(crate) action: Action,
}

/// What the holidays are to a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Holidays {
    /// Days like all others.
    #[default]
    Same,
    /// It does not open on them.
    Skip,
    /// It opens on them as well, whatever `days` and `dates` say.
    Also,
    /// It opens on them alone.
    Only,
}

fn utc() -> String {
    "UTC".into()
}

impl Otherwise {
    /// The error begins with a field's name and a closing backtick.
    pub(crate) fn effect(self) -> Result<Effect, String> {
        let effect = Effect {
            forbid: self.forbid,
            price_percent: self.price_percent,
            action: Action {
                label: self.label,
                prefer: self.prefer,
                only: self.only,
                set: self.set,
                reject: self.reject,
            },
        };
        effect.action.check()?;
        if effect.action.reject.is_some() && !(effect.forbid.is_empty() && effect.price_percent.is_empty()) {
            return Err(
                "reject`: what is refused goes nowhere, expected no `forbid` and no `price_percent` beside it".into(),
            );
        }
        Ok(effect)
    }
}

impl Window {
    /// What happens while it is open, taken out of it.
    pub(crate) fn take_effect(&mut self) -> Result<Effect, String> {
        let effect = Otherwise {
            prefer: std::mem::take(&mut self.prefer),
            only: std::mem::take(&mut self.only),
            forbid: std::mem::take(&mut self.forbid),
            price_percent: std::mem::take(&mut self.price_percent),
            label: self.label.take(),
            set: std::mem::take(&mut self.set),
            reject: self.reject.take(),
        };
        effect.effect()
    }
}
