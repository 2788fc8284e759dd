//! Runs a policy's golden files; their form is described in the module above.

use serde::Deserialize;
use serde_json::Value;

use super::{TestHost, case::Case};
use crate::{Policy, Review, policy};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    config: Value,
    error: Option<String>,
    warnings: Option<Vec<String>>,
    #[serde(default)]
    cases: Vec<Case>,
    #[serde(default)]
    reviews: Vec<Case>,
}

/// Runs every file in the plugin's `golden/`: `golden::<MyPolicy>(env!("CARGO_MANIFEST_DIR"))`. Panics with all that is
/// wrong, and where there is nothing to run.
#[track_caller]
pub fn golden<P: Policy>(plugin: &str) {
    let mut complaints = Vec::new();
    for (name, text) in super::files(plugin) {
        match serde_json::from_str(&text) {
            Ok(file) => run::<P>(&name, &file, &mut complaints),
            Err(error) => complaints.push(format!("{name}: {error}")),
        }
    }
    super::settle(&complaints);
}

fn run<P: Policy>(name: &str, file: &File, complaints: &mut Vec<String>) {
    let loaded = policy::load::<P>(&file.config.to_string());
    let policy = match (loaded, &file.error) {
        (Err(error), Some(expected)) if error.contains(expected) => return,
        (Err(error), _) => return complaints.push(format!("{name}: the configuration was refused: {error}")),
        (Ok(_), Some(expected)) => {
            return complaints.push(format!(
                "{name}: the configuration was accepted, expected an error with `{expected}`"
            ));
        }
        (Ok(policy), None) => policy,
    };
    if let Some(expected) = file
        .warnings
        .as_ref()
        .filter(|expected| **expected != policy.warnings())
    {
        complaints.push(format!(
            "{name}: expected the warnings {expected:?}, got {:?}",
            policy.warnings()
        ));
    }
    if file.cases.is_empty() && file.reviews.is_empty() && file.warnings.is_none() {
        complaints.push(format!("{name}: no cases, and no error expected"));
    }
    for case in &file.cases {
        check(&policy, case)
            .unwrap_or_else(|complaint| complaints.push(format!("{name}: {}:\n{complaint}", case.name)));
    }
}

fn check<P: Policy>(policy: &P, case: &Case) -> Result<(), String> {
    let expected = case.verdict.as_ref().ok_or("  the case has no verdict")?;
    let host = TestHost::new();
    if let Some(complaint) = expected.complaint(&host.timed(policy, case), &case.candidates()) {
        return Err(complaint);
    }
    settled(&host, case)
}

/// Runs the `reviews` of every file in the plugin's `golden/`. Panics with all that is wrong, and where there is nothing to
/// run.
#[track_caller]
pub fn review_golden<P: Review>(plugin: &str) {
    let mut complaints = Vec::new();
    let mut count = 0;
    for (name, text) in super::files(plugin) {
        let file: File = match serde_json::from_str(&text) {
            Ok(file) => file,
            Err(error) => {
                complaints.push(format!("{name}: {error}"));
                continue;
            }
        };
        count += file.reviews.len();
        for case in &file.reviews {
            let complaint = match policy::load::<P>(&file.config.to_string()) {
                Ok(policy) => review(&policy, case).err(),
                Err(error) => Some(format!("  the configuration was refused: {error}")),
            };
            complaints.extend(complaint.map(|complaint| format!("{name}: {}:\n{complaint}", case.name)));
        }
    }
    assert!(count > 0, "no golden file has `reviews`");
    super::settle(&complaints);
}

fn review<P: Review>(policy: &P, case: &Case) -> Result<(), String> {
    let expected = case.opinion.as_ref().ok_or("  the case has no opinion")?;
    let host = TestHost::new();
    if let Some(complaint) = expected.complaint(&host.review(policy, case)) {
        return Err(complaint);
    }
    settled(&host, case)
}

/// What the case says of the time after the call.
fn settled(host: &TestHost, case: &Case) -> Result<(), String> {
    let asked: Vec<String> = host.asks().into_iter().map(|ask| ask.model).collect();
    if case.asked.as_ref().is_some_and(|expected| *expected != asked) {
        return Err(format!(
            "  expected the models {:?} to be asked, got {asked:?}",
            case.asked
        ));
    }
    for (key, held) in &case.state_after {
        if host.state(key).as_deref() != Some(held.to_string().as_bytes()) {
            return Err(format!("  state `{key}` is not {held} afterwards"));
        }
    }
    Ok(())
}
