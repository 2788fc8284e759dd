//! What can be configured, field by field; the comments are the schema's descriptions.

use std::collections::BTreeMap;

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
    pub(crate) default: Option<Action>,
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
    /// Candidates by id or by `tag:NAME`, in order of preference; the others are out.
    #[serde(default)]
    pub(crate) only: Vec<String>,
    /// Candidates by id or by `tag:NAME` that are out.
    #[serde(default)]
    pub(crate) forbid: Vec<String>,
    /// What candidates, by id or by `tag:NAME`, cost while the window is open, in hundredths of their ordinary price. The
    /// cheapest then come first.
    #[serde(default)]
    pub(crate) price_percent: BTreeMap<String, u32>,
    /// Labels of the request, by name.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// Refuses the request.
    pub(crate) reject: Option<Refusal>,
}

/// What happens while a window is open, or while none is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Action {
    /// Candidates by id or by `tag:NAME`, in order of preference; the others stay behind them as fallbacks.
    #[serde(default)]
    pub(crate) prefer: Vec<String>,
    /// Candidates by id or by `tag:NAME`, in order of preference; the others are out.
    #[serde(default)]
    pub(crate) only: Vec<String>,
    /// Candidates by id or by `tag:NAME` that are out.
    #[serde(default)]
    pub(crate) forbid: Vec<String>,
    /// What candidates, by id or by `tag:NAME`, cost, in hundredths of their ordinary price. The cheapest then come first.
    #[serde(default)]
    pub(crate) price_percent: BTreeMap<String, u32>,
    /// Labels of the request, by name.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// Refuses the request.
    pub(crate) reject: Option<Refusal>,
}

/// How a request is refused.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusal {
    /// The HTTP status, 400 to 599.
    #[serde(default = "unavailable")]
    pub(crate) status: u16,
    /// A stable word for programs.
    #[serde(default = "outside_hours")]
    pub(crate) code: String,
    /// A sentence for people.
    pub(crate) message: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    #[default]
    First,
    All,
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

fn unavailable() -> u16 {
    503
}

fn outside_hours() -> String {
    "outside_hours".into()
}

impl Action {
    /// What may not be said. The error begins with the field's name and a closing backtick.
    pub(crate) fn check(&self) -> Result<(), String> {
        let steers = !self.prefer.is_empty()
            || !self.only.is_empty()
            || !self.forbid.is_empty()
            || !self.price_percent.is_empty();
        // What a label and a plan hold at most; the label `window` is one more.
        let is_long = |text: &String| text.len() > 256;
        if let Some((label, _)) = self
            .labels
            .iter()
            .find(|(label, value)| is_long(label) || is_long(value))
        {
            return Err(format!("labels.{label}` is longer than 256 bytes"));
        }
        if self.labels.len() > 31 {
            return Err(format!(
                "labels`: {} are too many, expected at most 31",
                self.labels.len()
            ));
        }
        match &self.reject {
            Some(refusal) if !(400..600).contains(&refusal.status) => Err(format!(
                "reject.status`: {} is no status of a refusal, expected 400 to 599",
                refusal.status
            )),
            Some(_) if steers => Err(
                "reject`: what is refused goes nowhere, expected no `prefer`, `only`, `forbid` and `price_percent` beside it"
                    .into(),
            ),
            _ => Ok(()),
        }
    }
}

impl Window {
    /// What happens while it is open.
    pub(crate) fn take_action(&mut self) -> Action {
        Action {
            prefer: std::mem::take(&mut self.prefer),
            only: std::mem::take(&mut self.only),
            forbid: std::mem::take(&mut self.forbid),
            price_percent: std::mem::take(&mut self.price_percent),
            labels: std::mem::take(&mut self.labels),
            reject: self.reject.take(),
        }
    }
}
