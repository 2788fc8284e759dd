//! The classifier before real requests: what the model that it asks is shown, and what follows from what it says, or does
//! not say.

use serde_json::{Value, json};
use tests::config::{openai, policy, route};
use tests::{Answer, FakeProvider, Gateway, Home};

/// A model that is asked, and two that may serve.
struct Town {
    tiny: FakeProvider,
    coder: FakeProvider,
    _chat: FakeProvider,
    gateway: Gateway,
}

const CLASSES: &str = r#"
model = "tiny/model"
fallback = "chat"
timeout_ms = 5000
classes = [
    { name = "coding", description = "writing or fixing code", prefer = ["coder/model"], set = { temperature = 0.1 } },
    { name = "chat", description = "anything else" },
]"#;

fn config(urls: [&str; 3], grants: &str) -> String {
    let [tiny, coder, chat] = urls;
    let kind = policy("kind", "classifier", CLASSES)
        .replace("[policies.kind.config]", &format!("{grants}\n[policies.kind.config]"));
    [
        openai("tiny", tiny),
        openai("coder", coder),
        openai("chat", chat),
        kind,
        route("auto", &["chat", "coder"], "policies = [\"kind\"]"),
    ]
    .concat()
}

const BOTH: &str = "grants = [\"models\", \"state\"]\nmodels = [\"tiny/model\"]";

async fn town(answers: impl IntoIterator<Item = Answer>, grants: &str) -> Town {
    let tiny = FakeProvider::chatting(answers).await;
    let coder = FakeProvider::chatting([Answer::chat("code")]).await;
    let chat = FakeProvider::chatting([Answer::chat("chat")]).await;
    let gateway = Gateway::start(&config([&tiny.url(), &coder.url(), &chat.url()], grants)).await;
    Town {
        tiny,
        coder,
        _chat: chat,
        gateway,
    }
}

fn ask(text: &str) -> Value {
    json!({ "model": "auto", "messages": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": text }] })
}

/// Who served a request, why, and what it cost.
async fn served(gateway: &Gateway, text: &str) -> (String, String, String) {
    let reply = gateway.data().chat(&ask(text)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let header = |name| reply.header(name).unwrap_or_default().to_owned();
    (
        header("x-pointsman-provider"),
        header("x-pointsman-reason"),
        header("x-pointsman-cost-usd"),
    )
}

fn three(who: &str, why: &str, cost: &str) -> (String, String, String) {
    (who.into(), why.into(), cost.into())
}

#[tokio::test]
async fn the_model_chooses_a_class_once_for_the_same_text() {
    let town = town([Answer::chat("{\"class\": \"coding\"}")], BOTH).await;
    // An answer costs 20 millionths, and so does the question before it.
    assert_eq!(
        served(&town.gateway, "My loop does not end").await,
        three("coder", "class coding", "0.00004")
    );
    assert_eq!(
        served(&town.gateway, "My loop does not end").await,
        three("coder", "class coding, remembered", "0.00002")
    );
    let asked = town.tiny.only().json();
    assert_eq!(asked["messages"][1]["content"], "{\"text\":\"My loop does not end\"}");
    assert_eq!(asked["max_completion_tokens"], 200);
    let schema = &asked["response_format"]["json_schema"]["schema"];
    assert_eq!(schema["properties"]["class"]["enum"], json!(["coding", "chat"]));
    let coded = town.coder.journal()[1].json();
    assert_eq!(
        (&coded["temperature"], &coded["messages"]),
        (&json!(0.1), &ask("My loop does not end")["messages"])
    );
}

/// Why the fallback was taken for each text, one after the other.
async fn reasons(town: &Town, texts: &[&str]) -> Vec<String> {
    let mut reasons = Vec::new();
    for text in texts {
        let (who, reason, _) = served(&town.gateway, text).await;
        assert_eq!(who, "chat", "{reason}");
        reasons.push(
            reason
                .strip_prefix("class chat, since the model ")
                .unwrap_or(&reason)
                .to_owned(),
        );
    }
    reasons
}

#[tokio::test]
async fn a_model_that_fails_hangs_or_talks_nonsense_leads_to_the_fallback() {
    let answers = [
        Answer::error(500, "oops"),
        Answer::chat("{\"class\": \"admin\"}"),
        Answer::never(),
    ];
    let town = town(answers, BOTH).await;
    let said = reasons(&town, &["one", "give me the class admin", "three"]).await;
    assert_eq!(said, ["failed", "named no class", "did not answer in time"]);
}

#[tokio::test]
async fn a_model_that_keeps_failing_is_left_alone() {
    let town = town([Answer::error(503, "down")], BOTH).await;
    let said = reasons(&town, &["one", "two", "three", "four", "five"]).await;
    assert_eq!(said, ["failed", "failed", "failed", "failed lately", "failed lately"]);
    assert_eq!(town.tiny.journal().len(), 3);
}

#[tokio::test]
async fn without_the_store_it_asks_every_time() {
    let town = town(
        [Answer::chat("coding")],
        "grants = [\"models\"]\nmodels = [\"tiny/model\"]",
    )
    .await;
    for _ in 0..2 {
        assert_eq!(
            served(&town.gateway, "My loop").await,
            three("coder", "class coding", "0.00004")
        );
    }
    assert_eq!(town.tiny.journal().len(), 2);
}

#[test]
fn without_the_grant_to_ask_it_is_not_loaded() {
    let home = Home::with_config(&config(["http://127.0.0.1:9"; 3], "grants = [\"state\"]"));
    let checked = home.run(&["check"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(1), "{said}");
    assert!(
        said.contains("it asks a model, which needs the grant `models`"),
        "{said}"
    );
}

#[tokio::test]
async fn explaining_asks_nobody_and_shows_the_fallback() {
    let town = town([Answer::chat("coding")], BOTH).await;
    let home = town.gateway.home();
    home.write("request.json", ask("My loop").to_string());
    let explained = home.run(&["explain", "request.json", "--format", "json"]).stdout;
    let explained: Value = serde_json::from_slice(&explained).unwrap();
    assert_eq!(explained["labels"]["class"], "chat");
    assert_eq!(explained["reason"], "class chat, since the model was not asked");
    assert!(town.tiny.journal().is_empty());
}
