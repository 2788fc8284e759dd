//! The policies in the box, each with a configuration such as people write and no more than it needs, and models that answer
//! at once for those that ask.

use std::future::ready;
use std::time::Duration;

use pointsman::plugins::words::{Ask, Reply};
use pointsman::plugins::{Grant, Models, Replies};

/// A configuration that every language's policy reads.
pub(crate) const KEYWORD: &str =
    r#"{"rules": [{"any": ["python", "function", "debug"], "label": "coding", "prefer": ["mock/large"]}]}"#;

/// One policy.
pub(crate) struct Boxed {
    pub(crate) name: &'static str,
    pub(crate) config: &'static str,
    pub(crate) grants: &'static [Grant],
}

const fn plain(name: &'static str, config: &'static str) -> Boxed {
    Boxed {
        name,
        config,
        grants: &[],
    }
}

const fn keeping(name: &'static str, config: &'static str) -> Boxed {
    Boxed {
        name,
        config,
        grants: &[Grant::State],
    }
}

const fn asking(name: &'static str, config: &'static str) -> Boxed {
    Boxed {
        name,
        config,
        grants: &[Grant::Models],
    }
}

/// All of them; the first three make the chain that is measured.
pub(crate) const POLICIES: [Boxed; 17] = [
    plain("keyword", KEYWORD),
    plain(
        "complexity",
        r#"{"score": "density", "tiers": {"simple": {"prefer": ["mock/small"]}}}"#,
    ),
    plain("weighted", r#"{"sticky": "session"}"#),
    keeping("budget", r#"{"limit_usd": 100, "period": "day"}"#),
    keeping("bandit", r#"{"reward": {"cost": {"under_usd": 0.01}}}"#),
    plain(
        "cascade",
        r#"{"first": ["mock/small"], "strong": ["mock/large"], "checks": {"empty": true, "refusal": true}}"#,
    ),
    asking(
        "classifier",
        r#"{"model": "mock/small", "fallback": "chat", "cache_ms": 0, "classes": [
            {"name": "coding", "description": "Code.", "prefer": ["mock/large"]},
            {"name": "chat", "description": "Anything else.", "prefer": ["mock/small"]}]}"#,
    ),
    plain(
        "compliance",
        r#"{"rules": [{"name": "personal", "content": ["email", "phone", "iban"], "require": ["small"]}]}"#,
    ),
    plain(
        "context",
        r#"{"rules": [{"images": true, "label": "image", "prefer": ["mock/large"]}, {"from_tokens": 60000, "label": "long"}]}"#,
    ),
    plain("cost", r#"{"max_call_usd": 1}"#),
    asking(
        "ensemble",
        r#"{"judge": ["mock/large"], "members": [{"model": "mock/small"}, {"model": "mock/large"}]}"#,
    ),
    plain("ladder", r#"{"checks": {"empty": true, "refusal": true}}"#),
    plain("latency", r#"{"target_ms": 500}"#),
    plain("load", r#"{"max_in_flight": 32}"#),
    plain(
        "script",
        r#"{"file": "policy.js", "source": "export function decide(request, candidates) { return { prefer: [candidates[0].id] }; }"}"#,
    ),
    keeping("sticky", "{}"),
    plain(
        "time",
        r#"{"zone": "Europe/Berlin", "windows": [{"name": "office", "days": ["mon-fri"], "from": "08:00", "to": "18:00", "prefer": ["mock/large"]}]}"#,
    ),
];

/// Models that have always the same to say, at once: what is measured is the policy.
pub(crate) struct Quick;

impl Models for Quick {
    fn ask_all(&self, asks: Vec<(Ask, Duration)>) -> Replies<'_> {
        let reply = || Reply {
            text: "{\"class\": \"chat\", \"confidence\": 0.9}".to_owned(),
            finish_reason: "stop".to_owned(),
            input_tokens: 100,
            output_tokens: 10,
            cost: Some(1_000),
            total_ms: 1,
        };
        Box::pin(ready(asks.iter().map(|_| Ok(reply())).collect()))
    }
}
