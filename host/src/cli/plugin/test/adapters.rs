//! Puts an adapter's golden files, and odd exchanges, to its component.

use bytes::Bytes;
use serde_json::Value;

use super::exchange::{self, Exchange, Stream};
use super::{Bench, PATIENCE, Report, diff, fuzz};
use crate::plugins::words::{Chunk, Event, Failure};
use crate::plugins::{Adapter, AdapterError, AdapterSpec, Fault, Limits, LoadError};

/// The adapter as the gateway would load it.
pub(super) async fn load(bench: &Bench) -> Result<Adapter, LoadError> {
    let spec = AdapterSpec {
        source: bench.source.clone(),
        limits: Limits::adapter(),
    };
    let engine = bench.engine.clone();
    // Compiling blocks.
    match tokio::task::spawn_blocking(move || Adapter::load(&engine, spec)).await {
        Ok(loaded) => loaded,
        Err(error) => Err(LoadError::Compile(error.to_string())),
    }
}

/// Runs one file, of one case or a list of them; returns the cases, to begin odd ones with.
pub(super) async fn run(bench: &Bench, adapter: &Adapter, name: &str, text: &str, report: &mut Report) -> Vec<Value> {
    let cases = match serde_json::from_str(text) {
        Ok(Value::Array(cases)) => cases,
        Ok(case) => vec![case],
        Err(error) => {
            report.wrong(name, &error.to_string());
            return Vec::new();
        }
    };
    if cases.is_empty() {
        report.wrong(name, "    no cases");
    }
    for case in &cases {
        match serde_json::from_value::<Exchange>(case.clone()) {
            Ok(exchange) => match check(bench, adapter, &exchange).await {
                Ok(()) => report.right(),
                Err(complaint) => report.wrong(&format!("{name}: {}", exchange.name), &complaint),
            },
            Err(error) => report.wrong(name, &error.to_string()),
        }
    }
    cases
}

/// Odd exchanges; an adapter may fail them in its own words, but it must not fault.
pub(super) async fn fuzz(
    bench: &Bench,
    adapter: &Adapter,
    golden: &[Value],
    odd: &mut fuzz::Odd,
    times: u64,
    report: &mut Report,
) {
    for round in 0..times {
        let value = odd.exchange(golden, round);
        let Ok(exchange) = serde_json::from_value::<Exchange>(value.clone()) else {
            continue;
        };
        // A busy machine looks the same as a slow plugin.
        let mut came = outcome(bench, adapter, &exchange).await;
        for _ in 1..PATIENCE {
            if matches!(came, Err(Fault::Deadline(_))) {
                came = outcome(bench, adapter, &exchange).await;
            }
        }
        if let Err(fault) = came {
            report.found(&fault.to_string(), round, &value);
        }
    }
}

/// What came of an exchange: both sides of a comparison, or the adapter's failure.
type Outcome = Result<(Value, Value), Failure>;

async fn check(bench: &Bench, adapter: &Adapter, case: &Exchange) -> Result<(), String> {
    let outcome = match outcome(bench, adapter, case).await {
        Ok(outcome) => outcome,
        Err(fault) => return Err(format!("    {fault}")),
    };
    if bench.is_replay {
        return Ok(());
    }
    let expects = case.outgoing.is_some() || case.answer.is_some() || (case.chunks.is_some() && case.failure.is_none());
    let complaint = match (outcome, &case.failure) {
        (Ok((expected, actual)), None) => diff::of(&expected, &actual),
        (Err(failure), Some(expected)) => expected.complaint(&failure),
        (Ok((_, actual)), Some(_)) => Some(format!("    - expected a failure\n    + got {actual}")),
        (Err(failure), None) => Some(format!(
            "    - expected {}\n    + got the failure {}",
            if expects {
                "an answer"
            } else {
                "something, but the case does not say what"
            },
            exchange::shown_failure(&failure)
        )),
    };
    complaint.map_or(Ok(()), Err)
}

async fn outcome(bench: &Bench, adapter: &Adapter, case: &Exchange) -> Result<Outcome, Fault> {
    if let Some(given) = &case.encode {
        let body = Bytes::from(exchange::bytes(&given.body));
        let target = given.target.target();
        let encoded = adapter.encode(given.operation.operation(), &target, given.is_stream, &body);
        let expected = case.outgoing.as_ref().unwrap_or(&Value::Null);
        return Ok(told(encoded.await)?.map(|outgoing| exchange::outgoing(expected, outgoing)));
    }
    if let Some(given) = &case.decode {
        let body = Bytes::from(exchange::bytes(&given.body));
        let target = given.target.target();
        let decoded = adapter.decode(given.operation.operation(), &target, &body);
        let expected = case.answer.as_ref().unwrap_or(&Value::Null);
        return Ok(told(decoded.await)?.map(|answer| exchange::answer(expected, &answer)));
    }
    if let Some(given) = &case.explain {
        let body = Bytes::from(exchange::bytes(&given.body));
        let target = exchange::Aim::default().target();
        return Ok(Err(adapter
            .explain(given.status, &given.headers(), &body, &target)
            .await?));
    }
    match &case.stream {
        Some(given) => streamed(bench, adapter, case, given).await,
        None => Ok(Ok((
            Value::from("one of encode, decode, stream and explain"),
            Value::Null,
        ))),
    }
}

/// A stream is run twice, with its events all at once and one by one: the chunks must be the same, however they are cut.
async fn streamed(bench: &Bench, adapter: &Adapter, case: &Exchange, given: &Stream) -> Result<Outcome, Fault> {
    let events = given.events();
    let expected = case.chunks.as_deref().unwrap_or_default();
    let one_by_one: Vec<Vec<Event>> = events.iter().map(|event| vec![event.clone()]).collect();
    let (chunks, failure) = relay(adapter, given, one_by_one).await?;
    let compared = exchange::chunks(expected, &chunks);
    if let Some(failure) = failure {
        // The chunks before the end count as well, where the case names them.
        let is_as_expected = bench.is_replay || case.failure.is_none() || compared.0 == compared.1;
        relay(adapter, given, vec![events]).await?;
        return Ok(if is_as_expected { Err(failure) } else { Ok(compared) });
    }
    let (at_once, failure) = relay(adapter, given, vec![events]).await?;
    Ok(match failure {
        Some(failure) => Err(failure),
        None if compared.0 == compared.1 => Ok(exchange::chunks(expected, &at_once)),
        None => Ok(compared),
    })
}

async fn relay(
    adapter: &Adapter,
    given: &Stream,
    reads: Vec<Vec<Event>>,
) -> Result<(Vec<Chunk>, Option<Failure>), Fault> {
    let mut chunks = Vec::new();
    let target = given.target.target();
    let place = adapter.place()?;
    let mut stream = match told(adapter.stream(place, given.operation.operation(), &target).await)? {
        Ok(stream) => stream,
        Err(failure) => return Ok((chunks, Some(failure))),
    };
    for events in reads {
        match told(stream.push(events).await)? {
            Ok(pushed) => chunks.extend(pushed),
            Err(failure) => return Ok((chunks, Some(failure))),
        }
    }
    match told(stream.finish().await)? {
        Ok(last) => chunks.extend(last),
        Err(failure) => return Ok((chunks, Some(failure))),
    }
    Ok((chunks, None))
}

/// A fault apart from what the adapter says.
fn told<T>(outcome: Result<T, AdapterError>) -> Result<Result<T, Failure>, Fault> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(AdapterError::Failure(failure)) => Ok(Err(failure)),
        Err(AdapterError::Fault(fault)) => Err(fault),
    }
}
