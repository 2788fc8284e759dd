//! What people do by hand today, as the configurations in `examples/`: real prompts through the running gateway, where each
//! goes, and what all of it costs beside always asking the strongest model. The prompts are a few of our own and, where they
//! are at hand, a sample of public benchmarks, which are looked for in `routing/open/` below the folder that
//! `POINTSMAN_SHARED` names. Costs are the gateway's own figures, from the simulated provider's usage and the examples' prices.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fs};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tests::{Gateway, Reply, not_tested};
use xtask::workspace;

/// Set, it makes these tests write down what they have found.
const RENEW: &str = "POINTSMAN_RENEW";

/// Of the benchmarks' prompts every so many-th is asked.
const EVERY: usize = 60;

/// What came of many prompts.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Figures {
    requests: usize,
    /// Requests by the model that served, and by the code of the error for those that none did.
    shares: BTreeMap<String, usize>,
    /// Nano-dollars, of the requests that were served.
    cost: u64,
    /// Nano-dollars for the same requests at the strongest model.
    strongest: u64,
}

#[tokio::test]
async fn tiers_of_complexity_over_four_models_cost_a_part_of_the_strongest() {
    let figures = figures("complexity-tiers", "auto", "simulated/reasoner").await;
    assert_eq!(figures.shares.len(), 4, "a tier has no prompt: {figures:?}");
    assert!(figures.cost * 3 < figures.strongest, "{figures:?}");
}

/// Asks the route of an example all prompts, one after the other, and compares with what is written down.
async fn figures(example: &str, route: &str, strongest: &str) -> Figures {
    let text = fs::read_to_string(workspace().join(format!("examples/{example}.toml"))).unwrap();
    let gateway = Gateway::start(&text).await;
    let mut all = None;
    for (name, prompts) in [("own", own()), ("open", open())] {
        let Some(prompts) = prompts else { continue };
        let figures = ask(&gateway, route, strongest, &prompts).await;
        eprintln!("{}", line(example, name, &figures));
        as_written_down(&format!("{example}, {name}"), &figures);
        all = Some(figures);
    }
    all.unwrap()
}

async fn ask(gateway: &Gateway, route: &str, strongest: &str, prompts: &[String]) -> Figures {
    let client = gateway.data();
    let mut figures = Figures {
        requests: prompts.len(),
        shares: BTreeMap::new(),
        cost: 0,
        strongest: 0,
    };
    for (number, prompt) in prompts.iter().enumerate() {
        let body = |model: &str| json!({ "model": model, "messages": [{ "role": "user", "content": prompt }] });
        // What is left to chance follows from the request's id.
        let client = client.clone().with_header("x-request-id", &format!("prompt-{number}"));
        let reply = client.chat(&body(route)).await;
        let went = match reply.status {
            200 => reply.header("x-pointsman-model").unwrap_or_default().to_owned(),
            _ => reply.json()["error"]["code"].as_str().unwrap_or("?").to_owned(),
        };
        *figures.shares.entry(went).or_default() += 1;
        if reply.status == 200 {
            figures.cost += cost(&reply);
            figures.strongest += cost(&client.chat(&body(strongest)).await);
        }
    }
    figures
}

/// In nano-dollars; the header is in dollars.
fn cost(reply: &Reply) -> u64 {
    let dollars: f64 = reply.header("x-pointsman-cost-usd").unwrap().parse().unwrap();
    (dollars * 1e9).round() as u64
}

fn own() -> Option<Vec<String>> {
    let text = fs::read_to_string(workspace().join("tests/corpus/prompts.jsonl")).unwrap();
    Some(prompts(&text).collect())
}

fn open() -> Option<Vec<String>> {
    let shared = env::var_os("POINTSMAN_SHARED").map_or_else(|| workspace().join("../shared"), PathBuf::from);
    let folder = shared.join("routing/open");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .map(|file| file.unwrap().path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    if files.is_empty() {
        not_tested(
            &format!("there are no prompts of benchmarks at {}", folder.display()),
            "set POINTSMAN_SHARED",
        );
        return None;
    }
    let sample = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        prompts(&text).step_by(EVERY).collect::<Vec<_>>()
    };
    Some(files.iter().flat_map(sample).collect())
}

fn prompts(lines: &str) -> impl Iterator<Item = String> + '_ {
    let prompt = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["prompt"].as_str().map(str::to_owned)
    };
    lines.lines().filter_map(prompt)
}

/// Compares with the figures in `tests/corpus/examples/`.
#[track_caller]
fn as_written_down(name: &str, found: &Figures) {
    let path = workspace().join(format!("tests/corpus/examples/{}.json", name.replace(", ", "-")));
    if env::var_os(RENEW).is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("{}\n", serde_json::to_string_pretty(found).unwrap())).unwrap();
        return;
    }
    let written = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let written: Figures = serde_json::from_slice(&written).unwrap();
    assert_eq!(
        *found,
        written,
        "{name}: not what {} says; if that is intended, {RENEW}=1 cargo test -p pointsman --test it examples",
        path.display()
    );
}

/// The shares and the savings, for people.
fn line(example: &str, prompts: &str, figures: &Figures) -> String {
    let share =
        |(model, count): (&String, &usize)| format!("{model} {:.1} %", 100.0 * *count as f64 / figures.requests as f64);
    let shares: Vec<String> = figures.shares.iter().map(share).collect();
    let saved = 100.0 - 100.0 * figures.cost as f64 / figures.strongest.max(1) as f64;
    format!(
        "{example}, {prompts}: {} requests, {}, {saved:.1} % saved",
        figures.requests,
        shares.join(", ")
    )
}
