//! Puts a policy's golden files, and odd requests, to its component.

use std::sync::PoisonError;

use serde::Deserialize;
use serde_json::Value;

use super::case::{Case, Held};
use super::{Bench, PATIENCE, Report, fuzz};
use crate::plugins::words::Verdict;
use crate::plugins::{Call, Fault, Grant, Instances, Limits, LoadError, Policy, PolicySpec};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    config: Value,
    error: Option<String>,
    warnings: Option<Vec<String>>,
    #[serde(default)]
    cases: Vec<Value>,
    #[serde(default)]
    reviews: Vec<Value>,
}

/// A configuration that the policy accepts, and cases that it is good for: what odd requests begin with.
pub(super) struct Ground {
    policy: Policy,
    config: Value,
    cases: Vec<Value>,
}

/// Runs one file; what is configured by it can be tried with odd requests afterwards.
pub(super) async fn run(bench: &Bench, name: &str, text: &str, report: &mut Report) -> Option<Ground> {
    let file: File = match serde_json::from_str(text) {
        Ok(file) => file,
        Err(error) => {
            report.wrong(name, &error.to_string());
            return None;
        }
    };
    let loaded = load(bench, &file.config, &bench.grants).await;
    let policy = match (loaded, &file.error) {
        (Err(error), Some(expected)) => {
            match error.to_string().contains(expected) {
                true => report.right(),
                false => report.wrong(
                    name,
                    &format!("    - expected an error with `{expected}`\n    + got {error}"),
                ),
            }
            return None;
        }
        (Err(error), None) => {
            report.wrong(name, &format!("    it does not load: {error}"));
            return None;
        }
        (Ok(_), Some(expected)) => {
            let text = format!("    - expected an error with `{expected}`\n    + got a configuration that is accepted");
            report.wrong(name, &text);
            return None;
        }
        (Ok(policy), None) => policy,
    };
    if let Some(expected) = &file.warnings {
        match policy.warnings() == expected.as_slice() {
            true => report.right(),
            false => {
                let got = policy.warnings();
                report.wrong(
                    name,
                    &format!("    - expected the warnings {expected:?}\n    + got {got:?}"),
                );
            }
        }
    }
    if file.cases.is_empty() && file.reviews.is_empty() && file.warnings.is_none() {
        report.wrong(name, "    no cases, and no error expected");
    }
    let decisions = file.cases.into_iter().map(|value| (Hook::Decide, value));
    let reviews = file.reviews.into_iter().map(|value| (Hook::Review, value));
    let mut cases = Vec::new();
    for (hook, value) in decisions.chain(reviews) {
        let case: Case = match serde_json::from_value(value.clone()) {
            Ok(case) => case,
            Err(error) => {
                report.wrong(name, &error.to_string());
                continue;
            }
        };
        let title = format!("{name}: {}", case.name);
        let own = match &case.grants {
            Some(grants) => Some(load(bench, &file.config, &named(grants)).await),
            None => None,
        };
        let outcome = match own {
            Some(Err(error)) => Err(format!("    it does not load with these grants: {error}")),
            Some(Ok(policy)) => check(bench, &policy, &case, hook).await,
            None => check(bench, &policy, &case, hook).await,
        };
        match outcome {
            Ok(()) => report.right(),
            Err(complaint) => report.wrong(&title, &complaint),
        }
        if hook == Hook::Decide {
            cases.push(value);
        }
    }
    let config = file.config;
    Some(Ground { policy, config, cases })
}

/// What a case is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hook {
    Decide,
    Review,
}

fn named(grants: &[String]) -> Vec<Grant> {
    grants
        .iter()
        .filter_map(|grant| grant.parse().ok())
        .filter(|grant: &Grant| grant.is_offered())
        .collect()
}

async fn load(bench: &Bench, config: &Value, grants: &[Grant]) -> Result<Policy, LoadError> {
    let config_json = match config {
        Value::Null => "{}".to_owned(),
        config => config.to_string(),
    };
    let spec = PolicySpec {
        source: bench.source.clone(),
        config_json,
        grants: grants.to_vec(),
        // A case has replies of those that may be asked.
        models: vec!["*".to_owned()],
        instances: Instances::Fresh,
        limits: Limits::default(),
    };
    let (engine, state) = (bench.engine.clone(), bench.state.clone());
    // Compiling blocks.
    match tokio::task::spawn_blocking(move || Policy::load(&engine, spec, &state)).await {
        Ok(loaded) => loaded,
        Err(error) => Err(LoadError::Compile(error.to_string())),
    }
}

async fn check(bench: &Bench, policy: &Policy, case: &Case, hook: Hook) -> Result<(), String> {
    let asked = match hook {
        Hook::Decide => check_verdict(bench, policy, case).await,
        Hook::Review => check_opinion(bench, policy, case).await,
    }?;
    if case.asked.as_ref().is_some_and(|expected| *expected != asked) {
        return Err(format!(
            "    - expected the models {:?} to be asked\n    + got {asked:?}",
            case.asked
        ));
    }
    for (key, held) in &case.state_after {
        let now = bench.state.read(&bench.source.name, key, case.now_ms);
        if now.as_deref() != Some(held.to_string().as_bytes()) {
            let now = now.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            return Err(format!(
                "    - expected state `{key}` to be {held} afterwards\n    + got {now:?}"
            ));
        }
    }
    Ok(())
}

/// Returns the models that were asked.
async fn check_opinion(bench: &Bench, policy: &Policy, case: &Case) -> Result<Vec<String>, String> {
    let answer = case.answer().ok_or("    the case has no answer")?;
    let expected = case.opinion.as_ref().ok_or("    the case has no opinion")?;
    let (opinion, asked) = patiently(bench, case, async |call| policy.review(call, &answer).await).await;
    expected.complaint(&opinion).map_or(Ok(asked), Err)
}

/// Returns the models that were asked.
async fn check_verdict(bench: &Bench, policy: &Policy, case: &Case) -> Result<Vec<String>, String> {
    let (verdict, asked) = decide(bench, policy, case).await;
    let Some(expected) = &case.verdict else {
        // A replayed finding: anything but a fault is good.
        return match (bench.is_replay, verdict) {
            (true, Ok(_)) => Ok(asked),
            (true, Err(fault)) => Err(format!("    {fault}")),
            (false, _) => Err("    the case has no verdict".to_owned()),
        };
    };
    expected.complaint(&verdict).map_or(Ok(asked), Err)
}

async fn decide(bench: &Bench, policy: &Policy, case: &Case) -> (Result<Verdict, Fault>, Vec<String>) {
    patiently(bench, case, async |call| policy.decide(call).await).await
}

/// Calls with the state that the case brings, and no other.
async fn patiently<T>(
    bench: &Bench,
    case: &Case,
    work: impl AsyncFn(&Call) -> Result<T, Fault>,
) -> (Result<T, Fault>, Vec<String>) {
    let mut models = case.models();
    let mut call = Call {
        summary: case.summary(),
        candidates: case.candidates(),
        prompt: case.prompt(),
        models: None,
    };
    let mut outcome = Err(Fault::Busy);
    for _ in 0..PATIENCE {
        let held = case.state.iter();
        let held = held.map(|(key, held): (&String, &Held)| (key.as_str(), held.to_string().into_bytes()));
        if let Err(error) = bench.state.fill(&bench.source.name, held) {
            return (Err(Fault::Host(error)), Vec::new());
        }
        models = case.models();
        call.models = Some(models.clone());
        outcome = work(&call).await;
        if !matches!(outcome, Err(Fault::Deadline(_))) {
            break;
        }
    }
    let asked = models.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (outcome, asked)
}

/// Asks about so many odd requests under each configuration; what is found are golden files to replay.
pub(super) async fn fuzz(bench: &Bench, grounds: &[Ground], odd: &mut fuzz::Odd, times: u64, report: &mut Report) {
    if grounds.is_empty() && times > 0 {
        report.untried("no golden file has a configuration that the policy accepts");
    }
    for round in 0..times {
        let Some(ground) = grounds.get((round % grounds.len().max(1) as u64) as usize) else {
            return;
        };
        let value = odd.case(&ground.cases, round);
        let Ok(case) = serde_json::from_value::<Case>(value.clone()) else {
            continue;
        };
        if let (Err(fault), _) = decide(bench, &ground.policy, &case).await {
            let file = serde_json::json!({ "config": ground.config, "cases": [value] });
            report.found(&fault.to_string(), round, &file);
        }
    }
}
