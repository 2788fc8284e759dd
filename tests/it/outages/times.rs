//! How long things may take, by whoever said so: a provider, a model, a route, each over the one before.

use serde_json::Value;
use tests::answer::End;
use tests::config::{openai, route};
use tests::{Answer, Ending, FakeProvider, Gateway, Home, Silent};

use super::ask;

/// A provider with lines of its own, and its model with some.
fn provider(name: &str, url: &str, own: &str, of_model: &str) -> String {
    let lines = openai(name, url).replace("\n[models", &format!("{own}\n[models"));
    format!("{lines}{of_model}\n")
}

#[test]
fn times_are_said_of_providers_models_and_routes_each_over_the_one_before() {
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
    let config = [
        provider("p1", silent, "", &times([50, 500, 550, 5_000])),
        provider("p2", silent, &times([40, 400, 440, 4_000]), &times([0, 0, 0, 3_000])),
        provider("p3", silent, &times([40, 0, 440, 0]), &times([30, 0, 330, 0])),
        provider("p4", silent, "", ""),
        route("auto", &["p1", "p2", "p3", "p4"], ""),
        route("short", &["p1", "p2", "p3", "p4"], &times([0, 0, 0, 2_000])),
        route("quick", &["p1", "p2", "p3", "p4"], &times([20, 0, 220, 0])),
    ];
    let home = Home::with_config(&config.concat());
    let asks = ["auto", "short", "quick"].map(|model| ask(model).to_string());
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
    assert_eq!(found, [auto, short, quick].concat());
}

#[tokio::test]
async fn a_connection_that_does_not_come_and_a_pause_end_when_whoever_speaks_last_says() {
    let silent = Silent::start().await;
    let halting = || Answer::chat_stream(["one", "two"]).cut_after_pieces(1, End::Hang);
    let halts = FakeProvider::chatting([halting()]).await;
    let (own, long) = (150, 600_000);
    // Each level speaks over those below it, which would wait for ten minutes.
    let said = [["own", "", ""], ["long", "own", ""], ["long", "long", "own"]];
    let mut config = String::new();
    for (level, said) in said.iter().enumerate() {
        for (kind, url) in [("connect", silent.url()), ("gap", halts.url())] {
            let time = |said: &str| match said {
                "own" => format!("{kind}_timeout_ms = {own}"),
                "long" => format!("{kind}_timeout_ms = {long}"),
                _ => String::new(),
            };
            let name = format!("{kind}{level}");
            config += &provider(&name, &url, &time(said[0]), &time(said[1]));
            config += &route(&format!("to-{name}"), &[&name], &time(said[2]));
        }
    }
    let gateway = Gateway::start(&config).await;
    for level in 0..said.len() {
        let mut asked = ask(&format!("to-connect{level}"));
        let reply = gateway.data().chat(&asked).await;
        let message = reply.refused(504, "upstream_timeout");
        assert!(message.contains("reached"), "{level}: {message}");
        asked["stream"] = true.into();
        assert_eq!(gateway.data().chat_stream(&asked).await.status, 504, "{level}");
        asked["model"] = format!("to-gap{level}").into();
        let (events, ending) = gateway.data().chat_stream(&asked).await.rest().await;
        assert_eq!((events.len(), ending), (2, Ending::Aborted), "{level}");
        assert_eq!(events[1].json()["error"]["code"], "upstream_timeout", "{level}");
    }
}
