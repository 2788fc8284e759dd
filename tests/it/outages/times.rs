//! How long things may take, by whoever said so: a provider, a model, a route, a policy's plan, each over the one before.

use serde_json::{Value, json};
use tests::answer::End;
use tests::config::{openai, policy, route};
use tests::{Answer, Ending, FakeProvider, Gateway, Home, Silent, guests};

use super::ask;

/// A provider with lines of its own, and its model with some.
fn provider(name: &str, url: &str, own: &str, of_model: &str) -> String {
    let lines = openai(name, url).replace("\n[models", &format!("{own}\n[models"));
    format!("{lines}{of_model}\n")
}

/// A policy whose plan has these steps, in JavaScript.
fn planning(name: &str, steps: &str) -> String {
    let script = format!("source = 'export const decide = () => ({{ steps: [{steps}] }})'");
    policy(name, "script", &script)
}

/// A machine that is busy has time to run a script.
const PATIENT: &str = "\n[plugins.limits]\ncall_ms = 20_000\nconfigure_ms = 60_000\n";

#[test]
fn times_are_said_of_providers_models_routes_and_steps_each_over_the_one_before() {
    const KEYS: [&str; 4] = [
        "connect_timeout_ms",
        "first_token_timeout_ms",
        "gap_timeout_ms",
        "timeout_ms",
    ];
    let times = |times: [u64; 4]| {
        let lines = KEYS.iter().zip(times).filter(|(_, time)| *time > 0);
        lines.map(|(key, time)| format!("{key} = {time}\n")).collect::<String>()
    };
    let silent = "http://127.0.0.1:9";
    let all =
        "{ candidate: \"p2/model\", connectTimeoutMs: 10, firstTokenTimeoutMs: 20, gapTimeoutMs: 30, timeoutMs: 40 }";
    let config = [
        provider("p1", silent, "", &times([50, 500, 550, 5_000])),
        provider("p2", silent, &times([40, 400, 440, 4_000]), &times([0, 0, 0, 3_000])),
        provider("p3", silent, &times([40, 0, 440, 0]), &times([30, 0, 330, 0])),
        provider("p4", silent, "", ""),
        route("auto", &["p1", "p2", "p3", "p4"], ""),
        route("short", &["p1", "p2", "p3", "p4"], &times([0, 0, 0, 2_000])),
        route("quick", &["p1", "p2", "p3", "p4"], &times([20, 0, 220, 0])),
        route(
            "planned",
            &["p1", "p2", "p3", "p4"],
            "policies = [\"plans\", \"orders\"]",
        ),
        planning(
            "plans",
            &format!("{all}, {{ candidate: \"p1/model\", gapTimeoutMs: 700_000 }}"),
        ),
        planning("orders", r#""p1/model", "p2/model""#),
        PATIENT.to_owned(),
    ];
    let home = Home::with_config(&config.concat());
    let asks = ["auto", "short", "quick", "planned"].map(|model| ask(model).to_string());
    home.write("asks.jsonl", asks.join("\n"));
    let output = home.run(&["explain", "--config", "pointsman.toml", "asks.jsonl"]);
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let shown: Value = serde_json::from_str(line).unwrap();
        let steps = shown["steps"].as_array().unwrap().iter();
        found.extend(steps.map(|step| KEYS.map(|key| step[key].as_u64().unwrap())));
    }
    let usual = [5_000, 60_000, 60_000, 600_000];
    let auto = [
        [50, 500, 550, 5_000],
        [40, 400, 440, 3_000],
        [30, 60_000, 330, 600_000],
        usual,
    ];
    let short = auto.map(|[connect, first, gap, _]| [connect, first, gap, 2_000]);
    let quick = auto.map(|[_, first, _, total]| [20, first, 220, total]);
    // Of two plans the later has a say where it says something.
    let planned = vec![[50, 500, 700_000, 5_000], [10, 20, 30, 40]];
    assert_eq!(found, [[auto, short, quick].concat(), planned].concat());
}

#[test]
fn explain_shows_what_a_plan_says_of_times_and_refuses_those_of_strangers() {
    let silent = "http://127.0.0.1:9";
    let rung =
        "steps = [{ candidate = \"p2/model\", connect_timeout_ms = 7, timeout_ms = 9 }, { candidate = \"p1/model\" }]";
    let config = [
        openai("p1", silent),
        openai("p2", silent),
        policy("rungs", "told.wasm", rung),
        policy("pauses", "told.wasm", "gaps = { \"p1/model\" = 5 }"),
        policy("errs", "told.wasm", "gaps = { \"p3/model\" = 5 }"),
        route("good", &["p1", "p2"], "policies = [\"rungs\", \"pauses\"]"),
        route("bad", &["p1", "p2"], "policies = [\"errs\"]"),
    ];
    let home = Home::with_config(&config.concat());
    home.write("told.wasm", guests::component("decides-as-told"));
    let explained = |model: &str, format: &str| {
        home.write("ask.json", ask(model).to_string());
        let output = home.run(&["explain", "--config", "pointsman.toml", "--format", format, "ask.json"]);
        String::from_utf8(output.stdout).unwrap()
    };
    let shown: Value = serde_json::from_str(&explained("good", "json")).unwrap();
    let times = ["rungs", "pauses"].map(|name| {
        let policies = shown["policies"].as_array().unwrap();
        let said = policies.iter().find(|policy| policy["policy"] == name).unwrap();
        (said["candidates"].clone(), said["times"].clone())
    });
    let order = json!(["p2/model", "p1/model"]);
    let rungs = json!({ "p2/model": { "connect_timeout_ms": 7, "timeout_ms": 9 } });
    // A plan without steps leaves the candidates as they were.
    let pauses = json!({ "p1/model": { "gap_timeout_ms": 5 } });
    assert_eq!(times, [(order.clone(), rungs), (order, pauses)]);
    let table = explained("good", "table");
    for line in [
        "times       p2/model  connect_timeout_ms 7, timeout_ms 9\n",
        "times       p1/model  gap_timeout_ms 5\n",
    ] {
        assert!(table.contains(line), "{line} is not in\n{table}");
    }
    let refused: Value = serde_json::from_str(&explained("bad", "json")).unwrap();
    assert_eq!(refused["error"]["code"], "policy_unavailable", "{refused}");
    let fault = refused["policies"][0]["fault"].as_str().unwrap();
    assert!(
        fault.ends_with("a time is said of `p3/model`, which was not offered"),
        "{fault}"
    );
}

#[tokio::test]
async fn a_connection_that_does_not_come_and_a_pause_end_when_whoever_speaks_last_says() {
    let silent = Silent::start().await;
    let halting = || Answer::chat_stream(["one", "two"]).cut_after_pieces(1, End::Hang);
    let halts = FakeProvider::chatting([halting()]).await;
    let (own, long) = (150, 600_000);
    let spare = FakeProvider::chatting([Answer::chat("spare")]).await;
    // Each level speaks over those below it, which would wait for ten minutes. The last is a plan's.
    let said = [
        ["own", "", ""],
        ["long", "own", ""],
        ["long", "long", "own"],
        ["long", "long", "long"],
    ];
    let plan = said.len() - 1;
    let mut config = openai("spare", &spare.url()) + PATIENT;
    for (level, said) in said.iter().enumerate() {
        for (kind, url) in [("connect", silent.url()), ("gap", halts.url())] {
            let time = |said: &str| match said {
                "own" => format!("{kind}_timeout_ms = {own}"),
                "long" => format!("{kind}_timeout_ms = {long}"),
                _ => String::new(),
            };
            let name = format!("{kind}{level}");
            config += &provider(&name, &url, &time(said[0]), &time(said[1]));
            let (mut serve, mut own_lines) = (vec![name.as_str()], time(said[2]));
            if level == plan {
                let step = format!("{{ candidate: \"{name}/model\", {kind}TimeoutMs: {own} }}, \"spare/model\"");
                config += &planning(&name, &step);
                own_lines += &format!("\npolicies = [\"{name}\"]");
                serve.push("spare");
            }
            config += &route(&format!("to-{name}"), &serve, &own_lines);
        }
    }
    let gateway = Gateway::start(&config).await;
    // What a plan cut short, the next step serves, and it does not speak against the provider.
    let reply = gateway.data().chat(&ask(&format!("to-connect{plan}"))).await;
    let header = |name| reply.header(name);
    assert_eq!(
        (header("x-pointsman-model"), header("x-pointsman-attempts")),
        (Some("spare/model"), Some("2")),
        "{}",
        reply.text()
    );
    for level in 0..said.len() {
        let mut asked = ask(&format!("to-gap{level}"));
        asked["stream"] = true.into();
        let (events, ending) = gateway.data().chat_stream(&asked).await.rest().await;
        assert_eq!((events.len(), ending), (2, Ending::Aborted), "{level}");
        assert_eq!(events[1].json()["error"]["code"], "upstream_timeout", "{level}");
    }
    for level in 0..plan {
        let mut asked = ask(&format!("to-connect{level}"));
        let reply = gateway.data().chat(&asked).await;
        let message = reply.refused(504, "upstream_timeout");
        assert!(message.contains("reached"), "{level}: {message}");
        asked["stream"] = true.into();
        assert_eq!(gateway.data().chat_stream(&asked).await.status, 504, "{level}");
    }
    let health = gateway.admin().get("/admin/health").await.json();
    for kind in ["connect", "gap"] {
        let failed = (0..said.len()).map(|level| {
            let model = format!("{kind}{level}/model");
            let models = health["models"].as_array().unwrap();
            let of = models.iter().find(|one| one["model"] == model.as_str()).unwrap();
            of["error_permille"].as_u64().unwrap() > 0
        });
        assert_eq!(failed.collect::<Vec<_>>(), [true, true, true, false], "{health}");
    }
}

#[tokio::test]
async fn a_pause_that_is_too_long_for_a_plan_begins_the_stream_anew_where_the_route_says_so() {
    let thought = json!({ "choices": [{ "index": 0, "delta": { "reasoning_content": "let me see" } }] }).to_string();
    let pausing = Answer::events([thought.as_str(), thought.as_str()]).cut_after_pieces(1, End::Hang);
    let pauses = FakeProvider::chatting([pausing]).await;
    let other = FakeProvider::chatting([Answer::chat_stream(["one"])]).await;
    let config = [
        openai("p1", &pauses.url()),
        openai("p2", &other.url()),
        planning("plan", "{ candidate: \"p1/model\", gapTimeoutMs: 100 }, \"p2/model\""),
        route("auto", &["p1", "p2"], "policies = [\"plan\"]\nresume = \"restart\""),
        PATIENT.to_owned(),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let mut asked = ask("auto");
    asked["stream"] = true.into();
    let (events, ending) = gateway.data().chat_stream(&asked).await.rest().await;
    assert_eq!(ending, Ending::Whole, "{events:?}");
    assert_eq!(other.journal().len(), 1);
}
