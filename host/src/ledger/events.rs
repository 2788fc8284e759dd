//! What there is to tell of budgets.

use std::fmt;

use serde_json::{Value, json};

use crate::budget::Scope;
use crate::money::Nanodollars;

/// Hears of events, on the thread that writes: it must not take its time.
pub type Listener = Box<dyn Fn(&Event) + Send>;

/// Something happened to a budget, or to money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// So many percent of a budget are spent. Told once for each share and window.
    Threshold {
        /// Whose budget.
        scope: Scope,
        /// `month`, say.
        period: &'static str,
        /// The share that was reached.
        percent: u8,
        /// Booked in this window.
        spent: Nanodollars,
        /// What may be.
        limit: Nanodollars,
    },
    /// A call was refused, or would have been if the budget was hard. Told once for each window.
    Exceeded {
        /// Whose budget.
        scope: Scope,
        /// `month`, say.
        period: &'static str,
        /// What may be spent.
        limit: Nanodollars,
        /// When the next window begins.
        resets: Option<String>,
    },
    /// A budget that was exceeded begins anew.
    Reset {
        /// Whose budget.
        scope: Scope,
        /// `month`, say.
        period: &'static str,
    },
    /// An attempt cost more than was reserved for it: the provider did not keep to a limit.
    Overrun {
        /// The request's id.
        request: String,
        /// Who was asked.
        model: String,
        /// Reserved.
        ceiling: Nanodollars,
        /// Booked.
        cost: Nanodollars,
    },
    /// A model without a price was called, or refused for that. Told once for each model.
    Unpriced {
        /// Which.
        model: String,
    },
    /// Nothing can be written.
    StoreFailed {
        /// Why.
        reason: String,
    },
    /// Everything can be written again.
    StoreRecovered,
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threshold {
                scope,
                period,
                percent,
                spent,
                limit,
            } => write!(
                formatter,
                "{scope} has spent {percent} % of its budget ({period}): {spent} of {limit} USD"
            ),
            Self::Exceeded {
                scope,
                period,
                limit,
                resets,
            } => {
                write!(formatter, "{scope} has used up its budget ({period}) of {limit} USD")?;
                resets
                    .as_ref()
                    .map_or(Ok(()), |at| write!(formatter, "; it begins anew at {at}"))
            }
            Self::Reset { scope, period } => write!(formatter, "the budget of {scope} ({period}) begins anew"),
            Self::Overrun {
                request,
                model,
                ceiling,
                cost,
            } => write!(
                formatter,
                "{model} cost {cost} USD on {request}, and at most {ceiling} were expected"
            ),
            Self::Unpriced { model } => write!(formatter, "nobody has said what {model} costs"),
            Self::StoreFailed { reason } => write!(formatter, "the ledger cannot be written: {reason}"),
            Self::StoreRecovered => formatter.write_str("the ledger can be written again"),
        }
    }
}

impl Event {
    /// What there is to know, for programs: amounts in US dollars as text, and the sentence for people.
    pub fn data(&self) -> Value {
        let mut data = match self {
            Self::Threshold {
                scope,
                period,
                percent,
                spent,
                limit,
            } => json!({
                "scope": scope.to_string(),
                "period": period,
                "percent": percent,
                "spent_usd": spent.to_string(),
                "limit_usd": limit.to_string(),
            }),
            Self::Exceeded {
                scope,
                period,
                limit,
                resets,
            } => json!({
                "scope": scope.to_string(),
                "period": period,
                "limit_usd": limit.to_string(),
                "resets": resets,
            }),
            Self::Reset { scope, period } => json!({"scope": scope.to_string(), "period": period}),
            Self::Overrun {
                request,
                model,
                ceiling,
                cost,
            } => json!({
                "request_id": request,
                "model": model,
                "ceiling_usd": ceiling.to_string(),
                "cost_usd": cost.to_string(),
            }),
            Self::Unpriced { model } => json!({"model": model}),
            Self::StoreFailed { reason } => json!({"reason": reason}),
            Self::StoreRecovered => json!({}),
        };
        data["message"] = self.to_string().into();
        data
    }

    /// Its name in logs, metrics and webhooks.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Threshold { .. } => "budget.threshold",
            Self::Exceeded { .. } => "budget.exceeded",
            Self::Reset { .. } => "budget.reset",
            Self::Overrun { .. } => "budget.overrun",
            Self::Unpriced { .. } => "model.unpriced",
            Self::StoreFailed { .. } => "store.failed",
            Self::StoreRecovered => "store.recovered",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The members that `docs/spend.md` names for each event, in the order of its table.
    #[test]
    fn every_event_says_what_its_documentation_says() {
        let (scope, period, limit) = (Scope::Key("k".into()), "month", Nanodollars(1));
        let (percent, spent, resets) = (80, limit, Some("2026-12-01T00:00:00Z".to_owned()));
        let (request, model, reason) = ("r".to_owned(), "m".to_owned(), "full".to_owned());
        let events = [
            Event::Threshold {
                scope: scope.clone(),
                period,
                percent,
                spent,
                limit,
            },
            Event::Exceeded {
                scope: scope.clone(),
                period,
                limit,
                resets,
            },
            Event::Reset { scope, period },
            Event::Overrun {
                request,
                model: model.clone(),
                ceiling: limit,
                cost: spent,
            },
            Event::Unpriced { model },
            Event::StoreFailed { reason },
        ];
        let documentation = include_str!("../../../docs/spend.md");
        for event in events {
            let row = documentation
                .lines()
                .find(|line| line.starts_with(&format!("| `{}`", event.name())));
            let named = row.unwrap().rsplit('|').nth(1).unwrap().split(',');
            let mut named: Vec<&str> = named.map(|name| name.trim().trim_matches('`')).collect();
            named.push("message");
            named.sort_unstable();
            let data = event.data();
            let said: Vec<&str> = data.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(said, named, "{}", event.name());
        }
    }
}
