//! Plugins without a gateway around them: what it takes to load one, and one call of each in the box. Called in this
//! process, on one thread, with the engine as the gateway sets it up.

use std::fmt::Write;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use pointsman::plugins::words::{Abilities, Candidate, Health, Price, Summary, Surface};
use pointsman::plugins::{
    Call, Engine, EngineConfig, Grant, Instances, Limits, PluginSource, Policy, PolicySpec, Prompt, StateStore,
};
use pointsman::reload::built_in;

use crate::adapters;
use crate::boxed::{Boxed, POLICIES, Quick};

/// One figure and the most it may be.
pub(crate) struct Row {
    pub what: String,
    pub p50: Duration,
    pub p99: Duration,
    pub goal: Option<Duration>,
}

pub(crate) const MICRO: fn(u64) -> Duration = Duration::from_micros;
const WARM_UP: usize = 500;

/// Instances that are kept as long as anybody measures.
pub(crate) const WARM: Instances = Instances::Warm {
    warm: 4,
    max_calls: u32::MAX,
    max_age: Duration::from_micros(u64::MAX / 2),
};

/// Measures everything; `calls` is how often each call is made, `folder` is where caches may lie.
pub(crate) fn measure(calls: usize, folder: &Path) -> Result<Vec<Row>> {
    // On a thread without a runtime of its own: policies that ask are waited for by another one.
    let measured = std::thread::scope(|scope| scope.spawn(|| all(calls, folder)).join());
    measured.map_err(|_| anyhow!("measuring the plugins panicked"))?
}

fn all(calls: usize, folder: &Path) -> Result<Vec<Row>> {
    let mut rows = loading(folder)?;
    let engine = engine(None)?;
    let runtime = tokio::runtime::Runtime::new()?;
    for instances in [Instances::Fresh, WARM] {
        let (kind, goal) = if instances == Instances::Fresh {
            ("fresh", MICRO(12))
        } else {
            ("warm", MICRO(6))
        };
        let policies = POLICIES.iter().map(|boxed| policy(&engine, boxed, instances));
        let policies = policies.collect::<Result<Vec<Policy>>>()?;
        for (policy, boxed) in policies.iter().zip(POLICIES) {
            let call = call();
            let what = format!("{}, one call, {kind}", boxed.name);
            // Those that ask wait on a thread of their own, which no goal speaks of.
            let goal = (!policy.may_ask()).then_some(goal);
            rows.push(timed(what, goal, calls, || match policy.may_ask() {
                true => Ok(runtime.block_on(policy.decide(&call)).map(drop)?),
                false => finish(policy.decide(&call)).map(drop),
            })?);
        }
        if instances == Instances::Fresh {
            let call = call();
            let three = || {
                policies[..3]
                    .iter()
                    .try_for_each(|policy| finish(policy.decide(&call)).map(drop))
            };
            rows.push(timed(
                "a chain of three, fresh".to_owned(),
                Some(MICRO(36)),
                calls,
                three,
            )?);
        }
    }
    rows.extend(adapters::rows(&engine, calls)?);
    Ok(rows)
}

/// The section of the report.
pub(crate) fn section(rows: &[Row]) -> String {
    let mut text =
        "\n## Plugins, called in process\n\n| what | p50 | p99 | goal, p50 | |\n|---|---|---|---|---|\n".to_owned();
    let micros = |duration: Duration| format!("{:.1} µs", duration.as_secs_f64() * 1e6);
    for row in rows {
        let goal = row
            .goal
            .map_or_else(|| "–".to_owned(), |goal| format!("≤ {}", micros(goal)));
        let met = row
            .goal
            .map_or("", |goal| if row.p50 <= goal { "pass" } else { "**miss**" });
        writeln!(
            text,
            "| {} | {} | {} | {goal} | {met} |",
            row.what,
            micros(row.p50),
            micros(row.p99)
        )
        .ok();
    }
    text
}

/// Compiling and configuring one policy: from nothing, and with both caches warm.
fn loading(folder: &Path) -> Result<Vec<Row>> {
    let cache = folder.join("plugin-cache");
    let _ = std::fs::remove_dir_all(&cache);
    let load = |what: &str| {
        let engine = engine(Some(&cache))?;
        let began = Instant::now();
        policy(&engine, &POLICIES[0], Instances::Fresh)?;
        let took = began.elapsed();
        Ok::<Row, anyhow::Error>(Row {
            what: what.to_owned(),
            p50: took,
            p99: took,
            goal: None,
        })
    };
    Ok(vec![
        load("keyword: compile and configure, once")?,
        load("keyword: load from the cache, once")?,
    ])
}

pub(crate) fn engine(cache_dir: Option<&Path>) -> Result<Engine> {
    Engine::new(&EngineConfig {
        cache_dir: cache_dir.map(Path::to_owned),
        ..EngineConfig::default()
    })
}

fn policy(engine: &Engine, boxed: &Boxed, instances: Instances) -> Result<Policy> {
    let source = source("policy", boxed.name)?;
    load(engine, source, boxed.config, boxed.grants, instances)
}

/// A policy with all the time that it needs: what is measured is its own affair.
pub(crate) fn load(
    engine: &Engine,
    source: PluginSource,
    config: &str,
    grants: &[Grant],
    instances: Instances,
) -> Result<Policy> {
    let name = source.name.clone();
    let spec = PolicySpec {
        source,
        config_json: config.to_owned(),
        grants: grants.to_vec(),
        models: vec!["*".to_owned()],
        instances,
        limits: Limits {
            configure_ms: 60_000,
            call_ms: 60_000,
            ..Limits::default()
        },
    };
    Policy::load(engine, spec, &StateStore::default()).with_context(|| format!("loading {name}"))
}

pub(crate) fn source(kind: &str, name: &str) -> Result<PluginSource> {
    let bytes = built_in(kind, name).ok_or_else(|| anyhow!("no built-in {kind} {name}"))?;
    Ok(PluginSource::new(name, bytes))
}

pub(crate) fn timed(
    what: String,
    goal: Option<Duration>,
    calls: usize,
    one: impl FnMut() -> Result<()>,
) -> Result<Row> {
    let (p50, p99) = times(calls, one)?;
    Ok(Row { what, goal, p50, p99 })
}

/// Median and 99th percentile of so many calls, after some that do not count.
pub(crate) fn times(calls: usize, mut one: impl FnMut() -> Result<()>) -> Result<(Duration, Duration)> {
    for _ in 0..WARM_UP.min(calls) {
        one()?;
    }
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls.max(1) {
        let began = Instant::now();
        one()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok((times[times.len() / 2], times[times.len() * 99 / 100]))
}

/// Plugins without WASI answer at once, on this thread.
pub(crate) fn finish<T, E: std::error::Error + Send + Sync + 'static>(
    call: impl Future<Output = Result<T, E>>,
) -> Result<T> {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Ok(result?),
        Poll::Pending => bail!("the plugin was not called on this thread"),
    }
}

/// The content of a request of 1 KB.
struct Text(String);

impl Prompt for Text {
    fn role(&self, index: u32) -> Option<String> {
        (index == 0).then(|| "user".to_owned())
    }
    fn text(&self, index: u32) -> Option<String> {
        (index == 0).then(|| self.0.clone())
    }
    fn last_user_text(&self) -> String {
        self.0.clone()
    }
    fn system_text(&self) -> String {
        String::new()
    }
    fn all_text(&self, _: u32) -> String {
        self.0.clone()
    }
    fn header(&self, _: &str) -> Option<String> {
        None
    }
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

pub(crate) fn call() -> Call {
    let text = "When does the next train leave, and from which platform? ".repeat(17);
    let summary = Summary {
        id: "req-bench".to_owned(),
        route: "auto".to_owned(),
        model: "auto".to_owned(),
        surface: Surface::ChatCompletions,
        key_id: "anonymous".to_owned(),
        team: None,
        labels: Vec::new(),
        message_count: 1,
        text_bytes: text.len() as u64,
        estimated_input_tokens: 250,
        max_output_tokens: None,
        is_stream: false,
        has_tools: false,
        has_images: false,
        wants_structured_output: false,
        session: Some("prefix-0123456789abcdef".to_owned()),
        now_ms: 1,
        seed: 7,
        extras: Vec::new(),
    };
    Call {
        summary,
        candidates: vec![candidate("large", 2_500), candidate("small", 150)],
        prompt: Arc::new(Text(text)),
        models: Some(Arc::new(Quick)),
    }
}

fn candidate(name: &str, price: u64) -> Candidate {
    let price = price * 1_000_000;
    Candidate {
        id: format!("mock/{name}"),
        provider: "mock".to_owned(),
        tags: vec![name.to_owned()],
        weight: 1,
        price: Some(Price {
            input: price,
            cached_input: price / 2,
            cache_write: price,
            output: price * 4,
        }),
        estimated_cost: Some(price / 1_000),
        ceiling_cost: Some(price / 100),
        context_window: 128_000,
        abilities: Abilities::empty(),
        health: Health {
            first_token_ms: Some(300),
            total_ms: Some(900),
            error_permille: 0,
            in_flight: 3,
            cooling_ms: None,
            requests_left: None,
            tokens_left: None,
        },
        extras: Vec::new(),
    }
}
