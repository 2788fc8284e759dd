//! Steers by money: nearer to a limit it prefers cheaper models, and beyond it refuses or keeps to the cheapest.
//!
//! This is steering and not a safe. It counts what answers have cost when they are done, so requests that run side by
//! side do not see each other and may pass the limit together by what they cost. Hard budgets are the ledger's, which
//! reserves before it spends. The count is kept in the plugin's state, so the grant `state` is needed.

mod period;

use std::borrow::Cow;

use period::Period;
use pointsman_plugin::{
    Candidate, Ended, Observe, Plan, Policy, Rejection, Request, Verdict, export_policy, limits, money::Usd, state,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// What may be spent, by whom and when. At least one of `limit_usd` and `max_call_usd` is needed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What may be spent in one period, in US dollars.
    limit_usd: Option<Usd>,
    /// When spending starts again at nothing: the clock's hour, the day, the week from Monday, the month (all in UTC), or
    /// never.
    #[serde(default)]
    period: Period,
    /// Whose spending is added up. Requests without a team or session share one account.
    #[serde(default)]
    scope: Scope,
    /// The share of the limit, 0 to 1, from which cheaper candidates come first and those that could pass the limit drop out.
    #[serde(default = "downgrade_at")]
    downgrade_at: f64,
    /// What one call may cost at most, in US dollars: candidates that could cost more drop out.
    max_call_usd: Option<Usd>,
    /// What happens when the limit is reached.
    #[serde(default)]
    when_exhausted: WhenExhausted,
    /// Whether candidates whose price nobody knows stay; they come last where cost decides. Unknown is not free, so they
    /// drop out unless this is set.
    #[serde(default)]
    allow_unpriced: bool,
}

/// Whose spending is added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Scope {
    #[default]
    All,
    Key,
    Team,
    Route,
    Session,
}

/// What happens when the limit is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum WhenExhausted {
    /// Requests are refused with status 429 and code `budget_exceeded`.
    #[default]
    Reject,
    /// Only the candidates that cost least may serve.
    Cheapest,
}

fn downgrade_at() -> f64 {
    0.8
}

/// Teams and sessions are not told when a request ends, so their account travels in this label.
const ACCOUNT: &str = "budget-account";

struct Budget {
    limit: Option<Limit>,
    scope: Scope,
    max_call: Option<Usd>,
    when_exhausted: WhenExhausted,
    allow_unpriced: bool,
}

struct Limit {
    amount: Usd,
    downgrade_from: u64,
    period: Period,
}

/// How near the limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Ample,
    Scarce,
    Exhausted,
}

impl Policy for Budget {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        if config.limit_usd.is_none() && config.max_call_usd.is_none() {
            return Err("there is nothing to keep to, expected `limit_usd` or `max_call_usd`".into());
        }
        if !(0.0..=1.0).contains(&config.downgrade_at) {
            return Err(format!(
                "`downgrade_at`: {} is no share, expected 0 to 1",
                config.downgrade_at
            ));
        }
        let limit = config.limit_usd.map(|amount| Limit {
            amount,
            downgrade_from: (amount.nanos as f64 * config.downgrade_at).round() as u64,
            period: config.period,
        });
        Ok(Budget {
            limit,
            scope: config.scope,
            max_call: config.max_call_usd,
            when_exhausted: config.when_exhausted,
            allow_unpriced: config.allow_unpriced,
        })
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        let account = self.account(request);
        let spent = self
            .limit
            .as_ref()
            .map_or(0, |limit| limit.spent(&account, request.now_ms));
        let level = self.limit.as_ref().map_or(Level::Ample, |limit| limit.level(spent));
        if level == Level::Exhausted && self.when_exhausted == WhenExhausted::Reject {
            return Ok(self.refusal(request.now_ms).into());
        }
        let mut ladder: Vec<&Candidate> = candidates
            .iter()
            .filter(|candidate| self.is_affordable(candidate, level, spent))
            .collect();
        if ladder.is_empty() {
            return Ok(self.nothing_affordable(candidates).into());
        }
        if level != Level::Ample {
            ladder.sort_by_key(|candidate| candidate.estimated_cost.unwrap_or(u64::MAX));
        }
        if level == Level::Exhausted {
            let least = ladder[0].estimated_cost;
            ladder.retain(|candidate| candidate.estimated_cost == least);
        }
        let is_unchanged =
            ladder.len() == candidates.len() && ladder.iter().zip(candidates).all(|(one, other)| one.id == other.id);
        let mut plan = if is_unchanged {
            Plan::keep()
        } else {
            Plan::of(ladder).reason(self.reason(level, spent))
        };
        if matches!(self.scope, Scope::Team | Scope::Session) && self.limit.is_some() {
            plan = plan.label(ACCOUNT, account);
        }
        if let Some(label) = level.label() {
            plan = plan.label("budget", label);
        }
        Ok(plan.into())
    }
}

impl Observe for Budget {
    fn observe(&self, ended: &Ended) {
        let Some(limit) = &self.limit else {
            return;
        };
        let account = match self.scope {
            Scope::All => "".into(),
            Scope::Key => named(&ended.key_id),
            Scope::Route => named(&ended.route),
            Scope::Team | Scope::Session => {
                let own = ended.labels.iter().rev().find(|(key, _)| key == ACCOUNT);
                own.map_or("".into(), |(_, account)| named(account))
            }
        };
        let attempts = ended.attempts.iter().filter_map(|attempt| attempt.cost);
        let cost = attempts.chain(asked_cost(ended)).fold(0, u64::saturating_add);
        if cost > 0 {
            limit.spend(&account, ended.now_ms, cost);
        }
    }
}

/// What policies of the same request spent on models that they asked.
fn asked_cost(ended: &Ended) -> Option<u64> {
    let (_, cost) = ended.extras.iter().find(|(key, _)| key == "asked_cost")?;
    cost.parse().ok()
}

impl Limit {
    fn spent(&self, account: &str, now_ms: u64) -> u64 {
        state::get(&self.counter(account, now_ms)).unwrap_or(0)
    }

    /// Adds to what the account has spent in the current period. The counter outlives its period by one more, so that
    /// clocks that differ a little count the same.
    fn spend(&self, account: &str, now_ms: u64, nanos: u64) {
        let ttl_ms = self.period.around(now_ms).map(|span| 2 * (span.end - span.start));
        state::add(
            &self.counter(account, now_ms),
            i64::try_from(nanos).unwrap_or(i64::MAX),
            ttl_ms,
        );
    }

    /// The key of the account's counter for the period that the moment lies in.
    fn counter(&self, account: &str, now_ms: u64) -> String {
        match self.period.around(now_ms) {
            Some(span) => format!("{}/{account}", span.start),
            None => format!("total/{account}"),
        }
    }

    fn level(&self, spent: u64) -> Level {
        if spent >= self.amount.nanos {
            Level::Exhausted
        } else if spent >= self.downgrade_from {
            Level::Scarce
        } else {
            Level::Ample
        }
    }
}

impl Level {
    fn label(self) -> Option<&'static str> {
        match self {
            Level::Ample => None,
            Level::Scarce => Some("downgraded"),
            Level::Exhausted => Some("exhausted"),
        }
    }
}

impl Budget {
    fn account<'a>(&self, request: &'a Request) -> Cow<'a, str> {
        let name = match self.scope {
            Scope::All => None,
            Scope::Key => Some(&*request.key_id),
            Scope::Route => Some(&*request.route),
            Scope::Team => request.team.as_deref(),
            Scope::Session => request.session.as_deref(),
        };
        named(name.unwrap_or_default())
    }

    fn is_affordable(&self, candidate: &Candidate, level: Level, spent: u64) -> bool {
        let Some(ceiling) = candidate.ceiling_cost else {
            return self.allow_unpriced;
        };
        let is_within_call = self.max_call.is_none_or(|most| ceiling <= most.nanos);
        // Beyond the limit nothing would be left of it: there the cheapest may serve, if anything may.
        let is_within_limit = level != Level::Scarce
            || self
                .limit
                .as_ref()
                .is_none_or(|limit| spent.saturating_add(ceiling) <= limit.amount.nanos);
        is_within_call && is_within_limit
    }

    fn reason(&self, level: Level, spent: u64) -> String {
        match (&self.limit, level) {
            (Some(limit), Level::Scarce | Level::Exhausted) => {
                let what = if level == Level::Scarce {
                    "cheapest first"
                } else {
                    "the cheapest alone"
                };
                format!(
                    "{} of {} spent {}: {what}",
                    Usd { nanos: spent },
                    limit.amount,
                    limit.period.name()
                )
            }
            _ => "without those that cost too much or have no price".into(),
        }
    }

    fn refusal(&self, now_ms: u64) -> Rejection {
        let Some(limit) = &self.limit else {
            return Rejection::new(429, "budget_exceeded", "the budget is spent");
        };
        let message = format!("the budget of {} is spent {}", limit.amount, limit.period.name());
        let rejection = Rejection::new(429, "budget_exceeded", message);
        match limit.period.around(now_ms) {
            Some(span) => rejection.retry_after_ms(u32::try_from(span.end - now_ms).unwrap_or(u32::MAX)),
            None => rejection,
        }
    }

    fn nothing_affordable(&self, candidates: &[Candidate]) -> Rejection {
        let message = if candidates.iter().all(|candidate| candidate.ceiling_cost.is_none()) {
            "nobody has said what any of the models costs, so none can be afforded".into()
        } else if let Some(most) = self.max_call.filter(|most| {
            candidates
                .iter()
                .all(|one| one.ceiling_cost.is_none_or(|cost| cost > most.nanos))
        }) {
            format!("every model could cost more than {most}, the most that one call may cost")
        } else {
            "every model could cost more than what is left of the budget".into()
        };
        Rejection::new(429, "budget_exceeded", message)
    }
}

/// The account of somebody with this name. Names are what clients make of them, and labels and the store's keys take no more
/// than so many bytes that can be printed; names that are the same but for the rest share an account, which errs to the safe side.
fn named(name: &str) -> Cow<'_, str> {
    limits::printable(name, 200)
}

export_policy!(Budget, outcome);

#[cfg(test)]
mod tests {
    use pointsman_plugin::{
        Attempt,
        testing::{Case, TestHost, golden},
    };
    use serde_json::json;

    use super::*;

    fn policy(config: serde_json::Value) -> Budget {
        pointsman_plugin::policy::load(&config.to_string()).unwrap()
    }

    fn ended(key_id: &str, now_ms: u64, labels: &[(&str, &str)], costs: &[Option<u64>]) -> Ended {
        let attempt = |cost: &Option<u64>| Attempt {
            candidate: "a".into(),
            status: 200,
            error: None,
            first_token_ms: None,
            total_ms: 5,
            cost: *cost,
        };
        Ended {
            request_id: "test".into(),
            key_id: key_id.into(),
            route: "auto".into(),
            now_ms,
            labels: labels
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
            attempts: costs.iter().map(attempt).collect(),
            input_tokens: 1,
            output_tokens: 1,
            score: None,
            extras: Vec::new(),
        }
    }

    #[test]
    fn golden_files() {
        golden::<Budget>(env!("CARGO_MANIFEST_DIR"));
    }

    #[test]
    fn what_all_attempts_cost_is_counted_until_the_period_ends() {
        let policy = policy(json!({ "limit_usd": 1.0, "period": "hour", "scope": "key" }));
        let host = TestHost::new();
        let case = |now_ms: u64, key: &str| {
            Case::json(json!({ "now_ms": now_ms, "key_id": key, "candidates": [
                { "id": "a", "estimated_cost_usd": 0.1, "ceiling_cost_usd": 0.2 }] }))
        };
        let hour = 3_600_000;
        host.observe(
            &policy,
            &ended("ada", hour + 5, &[], &[Some(400_000_000), None, Some(600_000_000)]),
        );
        let is_refused = |now_ms, key| matches!(host.decide(&policy, &case(now_ms, key)).unwrap(), Verdict::Reject(_));
        assert!(is_refused(hour + 6, "ada"));
        assert!(!is_refused(hour + 6, "bob"), "another key has a budget of its own");
        assert!(!is_refused(2 * hour, "ada"), "the next hour starts at nothing");
    }

    #[test]
    fn what_policies_spent_on_asking_is_counted_too() {
        let policy = policy(json!({ "limit_usd": 1.0 }));
        let host = TestHost::new();
        let case = Case::json(json!({ "now_ms": 9, "candidates": [
            { "id": "a", "estimated_cost_usd": 0.1, "ceiling_cost_usd": 0.2 }] }));
        let mut ended = ended("ada", 10, &[], &[Some(400_000_000)]);
        ended.extras.push(("asked_cost".to_owned(), "600000000".to_owned()));
        host.observe(&policy, &ended);
        assert!(matches!(host.decide(&policy, &case).unwrap(), Verdict::Reject(_)));
    }

    #[test]
    fn a_team_is_told_by_the_label_that_the_decision_set() {
        let policy = policy(json!({ "limit_usd": 1.0, "scope": "team" }));
        let host = TestHost::new();
        let case = Case::json(json!({ "team": "blue", "now_ms": 9, "candidates": [
            { "id": "a", "estimated_cost_usd": 0.1, "ceiling_cost_usd": 0.2 }] }));
        let Ok(Verdict::Plan(plan)) = host.decide(&policy, &case) else {
            panic!("no plan")
        };
        assert_eq!(plan.labels, [(ACCOUNT.to_owned(), "blue".to_owned())]);
        host.observe(&policy, &ended("ada", 10, &[(ACCOUNT, "blue")], &[Some(2_000_000_000)]));
        assert!(matches!(host.decide(&policy, &case).unwrap(), Verdict::Reject(_)));
    }

    #[test]
    fn an_answer_that_cost_nothing_counts_nothing() {
        let policy = policy(json!({ "limit_usd": 1.0, "period": "total" }));
        let host = TestHost::new();
        host.observe(&policy, &ended("ada", 10, &[], &[None, Some(0)]));
        assert!(host.keys().is_empty());
    }
}
