//! Plugins at their boundary: what well-behaved ones get, and that what the others do costs them one call and no more.

mod adapters;
mod guests;
mod isolation;
mod loading;
mod memory;
mod timeouts;
mod wasi;

use std::sync::Arc;
use std::time::Duration;

use super::words::*;
use super::*;

/// Nobody looks at the clock here but guests that never end, so that a busy machine changes nothing.
fn patient() -> Limits {
    Limits {
        call_ms: 20_000,
        configure_ms: 20_000,
        ..Limits::default()
    }
}

fn engine() -> Engine {
    Engine::new(&EngineConfig {
        cache_dir: None,
        slots: 16,
        ..EngineConfig::default()
    })
    .unwrap()
}

/// An instance serves three calls, one after another.
const KEPT: Instances = Instances::Warm {
    warm: 1,
    max_calls: 3,
    max_age: Duration::from_secs(3600),
};

fn spec(component: Vec<u8>) -> PolicySpec {
    PolicySpec {
        source: PluginSource::new("guest", component),
        config_json: r#"{"a":1}"#.into(),
        grants: vec![],
        models: vec![],
        instances: Instances::Fresh,
        limits: patient(),
    }
}

fn load(spec: PolicySpec) -> Result<Policy, LoadError> {
    load_in(&engine(), spec)
}

/// On a thread of its own, as the gateway does it.
fn load_in(engine: &Engine, spec: PolicySpec) -> Result<Policy, LoadError> {
    let load = || Policy::load(engine, spec, &StateStore::default());
    std::thread::scope(|scope| scope.spawn(load).join().unwrap())
}

fn refusal(spec: PolicySpec) -> String {
    match load(spec) {
        Ok(_) => panic!("it was loaded"),
        Err(error) => error.to_string(),
    }
}

struct NoPrompt;

impl Prompt for NoPrompt {
    fn role(&self, _: u32) -> Option<String> {
        None
    }
    fn text(&self, _: u32) -> Option<String> {
        None
    }
    fn last_user_text(&self) -> String {
        panic!("the host's own mistake")
    }
    fn system_text(&self) -> String {
        String::new()
    }
    fn all_text(&self, _: u32) -> String {
        String::new()
    }
    fn header(&self, _: &str) -> Option<String> {
        None
    }
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

fn call() -> Call {
    let summary = Summary {
        id: "request".into(),
        route: "auto".into(),
        model: "auto".into(),
        surface: Surface::ChatCompletions,
        key_id: "key".into(),
        team: None,
        labels: vec![],
        message_count: 1,
        text_bytes: 10,
        estimated_input_tokens: 3,
        max_output_tokens: None,
        is_stream: false,
        has_tools: false,
        has_images: false,
        wants_structured_output: false,
        session: None,
        now_ms: 1_000,
        seed: 1,
        extras: vec![],
    };
    Call {
        summary,
        candidates: vec![],
        prompt: Arc::new(NoPrompt),
        models: None,
    }
}

pub(super) fn candidate(id: &str) -> Candidate {
    let health = Health {
        first_token_ms: None,
        total_ms: None,
        error_permille: 0,
        in_flight: 0,
        cooling_ms: None,
        requests_left: None,
        tokens_left: None,
    };
    Candidate {
        id: id.into(),
        provider: "provider".into(),
        tags: vec![],
        weight: 1,
        price: None,
        estimated_cost: None,
        ceiling_cost: None,
        context_window: 0,
        abilities: Abilities::empty(),
        health,
        extras: vec![],
    }
}

async fn reason(policy: &Policy) -> String {
    match policy.decide(&call()).await.unwrap() {
        Verdict::Plan(plan) => plan.reason,
        other => panic!("not a plan: {other:?}"),
    }
}
