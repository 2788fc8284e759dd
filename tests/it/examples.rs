//! What people do by hand today, as the configurations in `examples/`: real prompts through the running gateway, where each
//! goes, and what all of it costs beside always asking the strongest model. The prompts are a few of our own and, where they
//! are at hand, a sample of public benchmarks, which are looked for in `routing/open/` below the folder that
//! `POINTSMAN_SHARED` names. Costs are the gateway's own figures, from the simulated provider's usage and the examples' prices.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fmt, fs};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tests::{Answer, FakeProvider, Gateway, Reply, not_tested};
use xtask::workspace;

/// Set, it makes these tests write down what they have found.
const RENEW: &str = "POINTSMAN_RENEW";

/// Of the benchmarks' prompts every so many-th is asked.
const EVERY: usize = 60;

/// What came of many prompts.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
async fn a_table_of_task_kinds_sends_each_kind_to_its_model_with_its_parameters() {
    let figures = figures("task-kinds", "auto", "simulated/thinker").await;
    assert_eq!(figures.shares.len(), 4, "a kind has no prompt: {figures:?}");
    assert!(figures.cost * 2 < figures.strongest, "{figures:?}");

    let provider = FakeProvider::chatting([Answer::chat("done")]).await;
    let simulated = "adapter = \"simulated\"";
    let real = format!(
        "adapter = \"openai\"\nbase_url = \"{}/v1\"\napi_key = \"key\"",
        provider.url()
    );
    let gateway = Gateway::start(&example("task-kinds").replace(simulated, &real)).await;
    let body =
        json!({ "model": "auto", "temperature": 0.9, "messages": [{ "role": "user", "content": "Debug this SQL" }] });
    let reply = gateway.data().chat(&body).await;
    assert_eq!(
        reply.header("x-pointsman-model"),
        Some("simulated/coder"),
        "{}",
        reply.text()
    );
    assert_eq!(provider.only().json()["temperature"], 0);
}

#[tokio::test]
async fn tiers_of_complexity_over_four_models_cost_a_part_of_the_strongest() {
    let figures = figures("complexity-tiers", "auto", "simulated/reasoner").await;
    assert_eq!(figures.shares.len(), 4, "a tier has no prompt: {figures:?}");
    assert!(figures.cost * 3 < figures.strongest, "{figures:?}");
}

#[tokio::test]
async fn a_batch_keeps_to_its_cost_per_query() {
    let gateway = Gateway::start(&example("batch")).await;
    let mut figures = Figures::default();
    let long = "All work and no play makes a dull text. ".repeat(1_000);
    for prompt in prompts_at_hand().into_iter().chain([long]) {
        let reply = figures.ask(&gateway, "batch", "simulated/large", &prompt).await;
        if reply.status == 200 {
            assert!(cost(&reply) <= 1_000_000, "{} nano-dollars: {prompt}", cost(&reply));
        }
    }
    let refused = figures.shares.get("budget_exceeded");
    assert!(refused.is_some(), "the long one was not refused: {figures:?}");
    as_written_down("batch", &figures);
}

#[tokio::test]
async fn a_ladder_answers_from_its_minimum_up_and_goes_on_where_a_model_fails() {
    let figures = figures("quality-ladder", "auto", "simulated/large").await;
    assert_eq!(
        figures.shares.get("shaky/tiny"),
        None,
        "it is below the minimum: {figures:?}"
    );
    for model in ["shaky/small", "simulated/medium"] {
        assert!(
            figures.shares.contains_key(model),
            "{model} has served nothing: {figures:?}"
        );
    }
    assert!(figures.cost * 3 < figures.strongest, "{figures:?}");
}

#[tokio::test]
async fn three_models_and_a_judge_answer_what_is_hard_and_cost_a_part_of_the_strongest() {
    let figures = figures("ensemble", "auto", "simulated/large").await;
    assert_eq!(figures.shares.len(), 2, "one cheap model, or the judge: {figures:?}");
    assert!(figures.cost * 2 < figures.strongest, "{figures:?}");

    // The judge is shown the three answers, and the cost is that of all four.
    let gateway = Gateway::start(&example("ensemble")).await;
    let hard = "Debug this Python function and compare three algorithms for it";
    let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": hard }] });
    let reply = gateway.data().chat(&body).await;
    assert_eq!(reply.header("x-pointsman-model"), Some("simulated/medium"));
    let reason = reply.header("x-pointsman-reason").unwrap();
    assert!(reason.contains("synthesis: 3 of 3 members answered"), "{reason}");
    let alone = json!({ "model": "simulated/medium", "messages": [{ "role": "user", "content": hard }] });
    assert!(cost(&reply) > 2 * cost(&gateway.data().chat(&alone).await));
}

#[tokio::test]
async fn code_money_and_speed_are_three_rules_of_one_chain() {
    let gateway = Gateway::start(&example("rules")).await;
    let said = async |content: &str| {
        // Without a limit of the client's, as most requests are.
        let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": content }] });
        let reply = gateway.data().chat(&body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.header("x-pointsman-model").unwrap().to_owned()
    };
    assert_eq!(
        said("Why does `def f(x): return x` return nothing?").await,
        "simulated/coder"
    );
    // Sixteen thousand tokens of the frontier model's output cost more than ten cents.
    for number in 0..20 {
        assert_ne!(
            said(&format!("What is {number} times nine?")).await,
            "simulated/frontier"
        );
    }
    // The slow one is measured once; after that it is behind for good, but for the share that measures it again.
    let slow = gateway.metric("pointsman_attempts_total{gen_ai_provider_name=\"slow\",gen_ai_request_model=\"slow/cheap\",error_type=\"\"}").await;
    assert!(slow <= 5.0, "the slow one has served {slow} of 21");
    // Real prompts. Who is fast is measured, so that no share is certain, but that the frontier model has none.
    let mut figures = Figures::default();
    for prompt in prompts_at_hand().into_iter().step_by(5) {
        figures
            .ask_up_to(None, &gateway, "auto", "simulated/frontier", &prompt)
            .await;
    }
    eprintln!("rules: {figures}");
    assert_eq!(figures.shares.get("simulated/frontier"), None, "{figures:?}");
    assert!(figures.cost * 10 < figures.strongest, "{figures:?}");
}

#[tokio::test]
async fn a_monthly_cap_downgrades_first_and_refuses_last() {
    let gateway = Gateway::start(&example("monthly-cap")).await;
    let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "Without a limit of its own" }] });
    let unlimited = gateway.data().chat(&body).await;
    assert_eq!(unlimited.header("x-pointsman-model"), Some("simulated/large"));
    let mut went = Vec::new();
    let mut figures = Figures::default();
    for prompt in prompts_at_hand().iter().cycle().take(1_000) {
        let reply = figures.ask(&gateway, "auto", "simulated/large", prompt).await;
        went.push(reply.header("x-pointsman-model").unwrap_or("refused").to_owned());
        if reply.status != 200 {
            assert!(!reply.refused(429, "budget_exceeded").is_empty());
            assert_eq!(reply.header("x-should-retry"), Some("false"));
            break;
        }
        // The account is kept when a request has ended, a moment after its answer.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    went.dedup();
    assert_eq!(went, ["simulated/large", "simulated/small", "refused"]);
    eprintln!("monthly-cap: {figures}");
    assert!(figures.cost * 2 < figures.strongest, "{figures:?}");
}

#[tokio::test]
async fn a_region_rule_keeps_requests_where_they_belong() {
    let gateway = Gateway::start(&example("region")).await;
    let mut figures = Figures::default();
    for prompt in prompts_at_hand().into_iter().step_by(5) {
        // Those that say nothing stay in Paris, which costs more for what is read and less for what is written.
        figures.ask(&gateway, "auto", "oregon/large", &prompt).await;
    }
    eprintln!("region: {figures}");
    assert_eq!(figures.shares.keys().collect::<Vec<_>>(), ["paris/large"]);
    for (region, providers) in [(None, ["paris"]), (Some("eu"), ["paris"]), (Some("us"), ["oregon"])] {
        let client = gateway.data();
        let client = region.map_or(client.clone(), |region| client.with_header("x-region", region));
        for prompt in prompts_at_hand() {
            let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": prompt }] });
            let provider = client
                .chat(&body)
                .await
                .header("x-pointsman-provider")
                .unwrap_or_default()
                .to_owned();
            assert!(providers.contains(&&*provider), "{region:?} went to {provider}");
        }
    }
}

#[tokio::test]
async fn the_arms_of_a_test_are_told_apart_by_latency_tokens_and_cost() {
    let gateway = Gateway::start(&example("ab-test")).await;
    let mut figures = Figures::default();
    for prompt in prompts_at_hand() {
        figures.ask(&gateway, "summaries", "simulated/current", &prompt).await;
    }
    as_written_down("ab-test", &figures);
    let metric = async |name: &str, more: &str| {
        let of = async |arm: &str| {
            let series = format!("{name}{{label=\"arm\",value=\"{arm}\"{more}}}");
            gateway.metric(&series).await
        };
        [of("simulated/current").await, of("simulated/next").await]
    };
    let requests = metric("pointsman_label_requests_total", ",error_type=\"\"").await;
    let served = ["simulated/current", "simulated/next"].map(|model| figures.shares[model] as f64);
    assert_eq!(requests, served);
    assert!(requests[0] > 2.0 * requests[1], "three to one: {requests:?}");
    assert_eq!(metric("pointsman_label_duration_seconds_count", "").await, served);
    for name in ["input", "output"] {
        let more = format!(",gen_ai_token_type=\"{name}\"");
        let tokens = metric("pointsman_label_tokens_total", &more).await;
        assert!(tokens.iter().all(|count| *count > 0.0), "{name}: {tokens:?}");
    }
    let spent: f64 = metric("pointsman_label_spent_usd_total", "").await.iter().sum();
    assert!(
        (spent * 1e9 - figures.cost as f64).abs() < 1_000.0,
        "{spent}, not {figures:?}"
    );
}

/// An example's text.
fn example(name: &str) -> String {
    fs::read_to_string(workspace().join(format!("examples/{name}.toml"))).unwrap()
}

/// Asks the route of an example all prompts, one after the other, and compares with what is written down.
async fn figures(name: &str, route: &str, strongest: &str) -> Figures {
    let gateway = Gateway::start(&example(name)).await;
    let mut figures = Figures::default();
    for prompt in prompts_at_hand() {
        figures.ask(&gateway, route, strongest, &prompt).await;
    }
    as_written_down(name, &figures);
    figures
}

impl Figures {
    /// Asks the route, and where it answers the strongest model as well.
    async fn ask(&mut self, gateway: &Gateway, route: &str, strongest: &str, prompt: &str) -> Reply {
        self.ask_up_to(Some(300), gateway, route, strongest, prompt).await
    }

    async fn ask_up_to(
        &mut self,
        tokens: Option<u32>,
        gateway: &Gateway,
        route: &str,
        strongest: &str,
        prompt: &str,
    ) -> Reply {
        let body = |model: &str| {
            let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": prompt }] });
            if let Some(tokens) = tokens {
                body["max_tokens"] = tokens.into();
            }
            body
        };
        // What is left to chance follows from the request's id.
        let id = format!("prompt-{}", self.requests);
        let client = gateway.data().with_header("x-request-id", &id);
        let reply = client.chat(&body(route)).await;
        self.requests += 1;
        let went = match reply.status {
            200 => reply.header("x-pointsman-model").unwrap_or_default().to_owned(),
            _ => reply.json()["error"]["code"].as_str().unwrap_or("?").to_owned(),
        };
        *self.shares.entry(went).or_default() += 1;
        if reply.status == 200 {
            self.cost += cost(&reply);
            self.strongest += cost(&client.chat(&body(strongest)).await);
        }
        reply
    }
}

/// In nano-dollars; the header is in dollars.
fn cost(reply: &Reply) -> u64 {
    let dollars: f64 = reply.header("x-pointsman-cost-usd").unwrap().parse().unwrap();
    (dollars * 1e9).round() as u64
}

/// A sample of the benchmarks' prompts, or our own where those are not at hand.
fn prompts_at_hand() -> Vec<String> {
    benchmarks().unwrap_or_else(|| {
        let text = fs::read_to_string(workspace().join("tests/corpus/prompts.jsonl")).unwrap();
        prompts(&text).collect()
    })
}

fn shared() -> PathBuf {
    let shared = env::var_os("POINTSMAN_SHARED").map_or_else(|| workspace().join("../shared"), PathBuf::from);
    shared.join("routing/open")
}

fn benchmarks() -> Option<Vec<String>> {
    let files = fs::read_dir(shared()).into_iter().flatten();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    if files.is_empty() {
        not_tested(
            &format!("there are no prompts of benchmarks at {}", shared().display()),
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

/// Compares with the figures in `tests/corpus/examples/`: one file for our own prompts, one for the benchmarks'.
#[track_caller]
fn as_written_down(name: &str, found: &Figures) {
    eprintln!("{name}: {found}");
    let prompts = if shared().is_dir() { "open" } else { "own" };
    let path = workspace().join(format!("tests/corpus/examples/{name}-{prompts}.json"));
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
impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} requests", self.requests)?;
        for (went, count) in &self.shares {
            write!(
                formatter,
                ", {went} {:.1} %",
                100.0 * *count as f64 / self.requests as f64
            )?;
        }
        let saved = 100.0 - 100.0 * self.cost as f64 / self.strongest.max(1) as f64;
        write!(formatter, "; {saved:.1} % saved")
    }
}
