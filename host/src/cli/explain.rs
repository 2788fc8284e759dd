//! `pointsman explain`: the decisions that the gateway would make, with the very chain that it makes them with.

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::serve;
use crate::cli::out::{put, say};
use crate::config::Source;
use crate::error::{ApiError, printable};
use crate::generation::Generation;
use crate::json::{Document, Edit, Limits};
use crate::keys::{self, Caller};
use crate::operation::Operation;
use crate::pipeline::{Call, candidates, decide, record};
use crate::plugins::Digest;
use crate::surfaces::chat::Ask;
use crate::surfaces::{Surface, Wording};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// A request, or with `.jsonl` one a line; `-` reads standard input
    request: PathBuf,
    /// A table for people, or JSON; JSON where the input is `.jsonl`
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub(super) async fn run(named: Option<&Path>, options: &Options) -> Result<(), String> {
    let text = read(&options.request)?;
    let source = Source::find(named).map_err(|error| error.to_string())?;
    let config = source.load().map_err(|error| error.to_string())?;
    let (generation, _) = serve::load(config).await?;
    let has_lines = options
        .request
        .extension()
        .is_some_and(|extension| extension == "jsonl");
    let default = if has_lines { Format::Json } else { Format::Table };
    let format = options.format.unwrap_or(default);
    let requests: Vec<&str> = if has_lines {
        text.lines().filter(|line| !line.trim().is_empty()).collect()
    } else {
        vec![&text]
    };
    let mut has_wrong = false;
    for (index, request) in requests.into_iter().enumerate() {
        let explained = match parse(request, &generation) {
            Ok(call) => explain(&generation, call).await,
            Err(error) => refused(&error),
        };
        // A request that policies reject is explained well; one that is not a request is wrong.
        if explained["error"]["code"].is_string() && explained.get("route").is_none() {
            has_wrong = true;
            eprintln!(
                "request {}: {}",
                index + 1,
                explained["error"]["message"].as_str().unwrap_or_default()
            );
        }
        match format {
            Format::Json => say!("{explained}"),
            Format::Table => put!("{}", table(&explained)),
        }
    }
    if has_wrong {
        Err("some requests could not be read".to_owned())
    } else {
        Ok(())
    }
}

fn read(path: &Path) -> Result<String, String> {
    if path == Path::new("-") {
        let mut text = String::new();
        return std::io::stdin()
            .read_to_string(&mut text)
            .map(|_| text)
            .map_err(|error| format!("standard input: {error}"));
    }
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// A body, or an envelope with what else the decision hangs on.
fn parse(text: &str, generation: &Generation) -> Result<Arc<Call>, ApiError> {
    let limits = Limits {
        depth: generation.config.server.json_depth + 1,
    };
    let read = |text: Bytes| {
        Document::parse(text, limits).map_err(|error| ApiError::invalid("invalid_json", error.to_string()))
    };
    let whole = read(Bytes::copy_from_slice(text.trim().as_bytes()))?;
    let envelope = whole.root().get("body").is_some() && whole.root().get("messages").is_none();
    let document = match whole.root().get("body").filter(|_| envelope) {
        Some(body) => read(Bytes::copy_from_slice(body.raw().as_bytes()))?,
        None => whole.clone(),
    };
    let field = |key: &str| whole.root().get(key).filter(|_| envelope);
    let id = field("id").and_then(|id| id.as_str().map(|id| id.into_owned()));
    let id: Arc<str> = id
        .unwrap_or_else(|| Digest::of(document.text()).to_string()[..32].to_owned())
        .into();
    let mut headers = hyper::HeaderMap::new();
    for (name, value) in field("headers").into_iter().flat_map(|headers| headers.members()) {
        let (name, value) = (name.as_str().unwrap_or_default(), value.as_str().unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(&*name), HeaderValue::try_from(&*value)) {
            headers.insert(name, value);
        }
    }
    Ok(Arc::new(Call {
        seed: Call::seed_of(&id),
        id,
        received: Instant::now(),
        now_ms: field("now_ms").and_then(|now| now.as_u64()).unwrap_or_default(),
        headers,
        ask: Ask::read(&document, Operation::Chat)?,
        document,
        policy_headers: generation.config.server.policy_headers.clone(),
        caller: caller(field("key").and_then(|key| key.as_str()), generation)?,
        wording: Wording::canonical(Surface::ChatCompletions),
        sent: Arc::default(),
        tried: Arc::default(),
        is_told: Arc::default(),
    }))
}

/// Whose request it is: a declared key's, by its name.
fn caller(key: Option<Cow<'_, str>>, generation: &Generation) -> Result<Arc<Caller>, ApiError> {
    let Some(name) = key else {
        return Ok(Arc::new(Caller::anonymous()));
    };
    let caller = keys::declared(&generation.config.keys, &name);
    caller.ok_or_else(|| {
        let message = format!("the configuration declares no key `{}`", printable(&name, 200));
        ApiError::invalid("invalid_value", message).with_param("key")
    })
}

async fn explain(generation: &Generation, call: Arc<Call>) -> Value {
    if let Err(error) = call.caller.check_name(&call.ask.model) {
        let asked = json!({"id": &*call.id, "model": call.ask.model, "route": call.ask.model});
        return merged(asked, refused(&error));
    }
    let Some(route) = generation.resolve(&call.ask.model) else {
        return refused(&ApiError::unknown_model(&call.ask.model));
    };
    let mut explained = json!({"id": &*call.id, "model": call.ask.model, "route": route.name});
    let offer = match candidates::offer(&route, &call) {
        Ok(offer) => offer,
        Err(error) => return merged(explained, refused(&error)),
    };
    explained["candidates"] = offer.iter().map(|(model, _)| model.id.as_str()).collect();
    let decided = decide::chain(&route, &call, offer, None).await;
    explained["policies"] = decided.trace.iter().map(said).collect();
    match decided.outcome {
        Err(error) => merged(explained, refused(&error)),
        Ok(decision) => {
            explained["serves"] = json!(decision.steps.first().map(|step| step.model.id.as_str()));
            explained["steps"] = decision.steps.iter().map(step).collect();
            explained["labels"] = decision
                .labels
                .iter()
                .map(|(key, value)| (key.clone(), value.as_str().into()))
                .collect::<serde_json::Map<_, _>>()
                .into();
            explained["reason"] = decision.reason.clone().into();
            if let Some(edited) = &decision.edited {
                let edited = edited
                    .with(&[] as &[Edit<'_>])
                    .ok()
                    .and_then(|text| serde_json::from_slice(&text).ok());
                explained["edited_request"] = edited.unwrap_or_default();
            }
            explained
        }
    }
}

fn step(step: &decide::Step) -> Value {
    let milliseconds = |time: Duration| time.as_millis() as u64;
    json!({
        "model": step.model.id,
        "provider": step.model.provider.name,
        "connect_timeout_ms": milliseconds(step.connect_timeout),
        "first_token_timeout_ms": milliseconds(step.first_token_timeout),
        "gap_timeout_ms": milliseconds(step.gap_timeout),
        "timeout_ms": milliseconds(step.timeout),
        "hedge_after_ms": step.hedge_after.map(milliseconds),
    })
}

fn said(trace: &decide::Trace) -> Value {
    let (verdict, detail) = match &trace.said {
        decide::Said::Pass => ("pass", json!({})),
        decide::Said::Plan {
            candidates,
            timed,
            reason,
            reviews,
        } => {
            let mut plan = json!({"candidates": candidates, "reason": reason});
            if !timed.is_empty() {
                plan["times"] = record::times(timed).into();
            }
            if *reviews {
                plan["review"] = true.into();
            }
            ("plan", plan)
        }
        decide::Said::Reject => ("reject", json!({})),
        decide::Said::Fault(fault) => ("fault", json!({"fault": fault})),
    };
    merged(
        json!({"policy": trace.policy, "digest": trace.digest, "verdict": verdict}),
        detail,
    )
}

fn refused(error: &ApiError) -> Value {
    json!({"error": {"status": error.status.as_u16(), "code": error.code, "message": error.message, "param": error.param}})
}

fn merged(mut left: Value, right: Value) -> Value {
    if let (Some(left), Value::Object(right)) = (left.as_object_mut(), right) {
        left.extend(right);
    }
    left
}

fn table(explained: &Value) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String| lines.push(format!("{name:<12}{text}\n"));
    let words = |value: &Value| {
        let list = value.as_array().into_iter().flatten();
        list.filter_map(|word| word.as_str().or(word["model"].as_str()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if explained["route"].is_string() {
        line("route", text(&explained["route"]));
        line("candidates", words(&explained["candidates"]));
    }
    for policy in explained["policies"].as_array().into_iter().flatten() {
        let name = format!("{}@{}", text(&policy["policy"]), text(&policy["digest"]));
        let why = [&policy["reason"], &policy["fault"]]
            .into_iter()
            .find_map(Value::as_str)
            .unwrap_or_default();
        let order = words(&policy["candidates"]);
        line(
            "policy",
            format!("{name}  {}  {order}  {why}", text(&policy["verdict"]))
                .trim_end()
                .to_owned(),
        );
        for (candidate, times) in policy["times"].as_object().into_iter().flatten() {
            let times = times.as_object().into_iter().flatten();
            let times: Vec<String> = times.map(|(name, ms)| format!("{name} {ms}")).collect();
            line("times", format!("{candidate}  {}", times.join(", ")));
        }
    }
    if let Some(error) = explained.get("error") {
        line(
            "refused",
            format!(
                "{} {}: {}",
                error["status"],
                text(&error["code"]),
                text(&error["message"])
            ),
        );
    } else {
        line("serves", text(&explained["serves"]));
        line(
            "then",
            words(&Value::from(
                explained["steps"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .skip(1)
                    .cloned()
                    .collect::<Vec<_>>(),
            )),
        );
        line("labels", explained["labels"].to_string());
        line("reason", text(&explained["reason"]));
    }
    lines.concat()
}
