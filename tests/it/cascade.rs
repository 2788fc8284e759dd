//! The cascade before real providers: a judge and a witness are asked through the gateway, escalated answers are never
//! seen, and a session stays with the strong model.

use serde_json::{Value, json};
use tests::config::{openai, policy, route};
use tests::{Answer, Ending, FakeProvider, Gateway, Home, Reply};

const JUDGE: &str = "judge = { model = \"other/model\" }\nlatch_ms = 600_000";
const WITNESS: &str = "agreement = { witness = \"other/model\" }";

fn ask() -> Value {
    json!({ "model": "auto", "messages": [{ "role": "user", "content": "What is 6 times 7?" }] })
}

/// A cheap model, a strong one, and the one that is asked about the first.
struct Models {
    small: FakeProvider,
    large: FakeProvider,
    other: FakeProvider,
}

/// The configuration of a cascade over providers at these addresses.
fn configuration([small, large, other]: [&str; 3], grants: &str, more: &str) -> String {
    let cascade = policy(
        "cascade",
        "cascade",
        &format!("first = [\"small/model\"]\nstrong = [\"large/model\"]\n{more}"),
    );
    let section = "[policies.cascade.config]";
    [
        openai("small", small),
        openai("large", large),
        openai("other", other),
        cascade.replace(section, &format!("{grants}\n{section}")),
        route("auto", &["large", "small"], "policies = [\"cascade\"]"),
    ]
    .concat()
}

async fn cascade(more: &str, small: Answer, large: Answer, other: Answer) -> (Models, Gateway) {
    let models = Models {
        small: FakeProvider::chatting([small]).await,
        large: FakeProvider::chatting([large]).await,
        other: FakeProvider::chatting([other]).await,
    };
    let urls = [&models.small, &models.large, &models.other].map(FakeProvider::url);
    let grants = "grants = [\"models\", \"state\"]\nmodels = [\"other/model\"]";
    let config = configuration([&urls[0], &urls[1], &urls[2]], grants, more);
    (models, Gateway::start(&config).await)
}

/// What was answered, by whom, why, and what it cost.
fn told(reply: &Reply) -> (String, String, String, String) {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let header = |name| reply.header(name).unwrap_or_default().to_owned();
    let content = reply.json()["choices"][0]["message"]["content"]
        .as_str()
        .unwrap()
        .to_owned();
    let [by, why, cost] = ["x-pointsman-provider", "x-pointsman-reason", "x-pointsman-cost-usd"].map(header);
    (content, by, why, cost)
}

#[tokio::test]
async fn a_low_score_escalates_and_the_session_stays_with_the_strong_model() {
    let ruling = Answer::chat("{\"problem\": \"6 times 7 is 42\", \"score\": 1}");
    let (models, gateway) = cascade(JUDGE, Answer::chat("41"), Answer::chat("42"), ruling).await;
    let client = gateway.data().with_header("x-session-id", "one");
    let (content, by, why, _) = told(&client.chat(&ask()).await);
    assert_eq!((content.as_str(), by.as_str()), ("42", "large"));
    assert!(why.contains("small/model first, judged by other/model"), "{why}");
    assert!(
        why.contains("small/model: judge other/model gives 1, under 7: 6 times 7 is 42"),
        "{why}"
    );
    let shown = models.other.only().json().to_string();
    assert!(shown.contains("What is 6 times 7?") && shown.contains("41"), "{shown}");

    let (content, by, why, _) = told(&client.chat(&ask()).await);
    assert_eq!((content.as_str(), by.as_str()), ("42", "large"));
    assert!(why.contains("latched: the session was escalated"), "{why}");
    assert_eq!((models.small.journal().len(), models.other.journal().len()), (1, 1));

    told(&gateway.data().with_header("x-session-id", "two").chat(&ask()).await);
    assert_eq!(models.small.journal().len(), 2, "another session was latched");
}

#[tokio::test]
async fn a_good_score_serves_and_the_judge_is_on_the_bill() {
    let (models, gateway) = cascade(JUDGE, Answer::chat("42"), Answer::chat("unused"), Answer::chat("9")).await;
    let (content, by, _, cost) = told(&gateway.data().chat(&ask()).await);
    // Each answer costs 10 × 1.0 + 5 × 2.0 = 20 millionths.
    assert_eq!(
        (content.as_str(), by.as_str(), cost.as_str()),
        ("42", "small", "0.00004")
    );
    assert!(models.large.journal().is_empty());
}

#[tokio::test]
async fn a_judge_that_fails_lets_the_answer_serve_unless_it_must_decide() {
    let down = || Answer::error(500, "down");
    for (failure, expected) in [("accept", "small"), ("next", "large")] {
        let judge = format!("judge = {{ model = \"other/model\", on_failure = \"{failure}\" }}");
        let (_models, gateway) = cascade(&judge, Answer::chat("41"), Answer::chat("42"), down()).await;
        let (_, by, _, _) = told(&gateway.data().chat(&ask()).await);
        assert_eq!(by, expected, "{failure}");
    }
}

#[tokio::test]
async fn a_witness_that_disagrees_escalates_a_stream_before_any_of_it_is_seen() {
    for (witness, expected) in [("It makes 54.\n#### 54", "large"), ("It makes 42.\n#### 42.0", "small")] {
        let small = Answer::chat_stream(["The answer ", "is 42."]);
        let (models, gateway) = cascade(WITNESS, small, Answer::chat_stream(["4", "2"]), Answer::chat(witness)).await;
        let mut ask = ask();
        ask["stream"] = true.into();
        let stream = gateway.data().chat_stream(&ask).await;
        assert_eq!(
            (stream.status, stream.header("x-pointsman-provider")),
            (200, Some(expected))
        );
        let (events, ending) = stream.rest().await;
        let chunks = events
            .iter()
            .filter(|event| event.data != "[DONE]")
            .map(|event| event.json());
        let said: String = chunks
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
            .collect();
        let whole = if expected == "large" { "42" } else { "The answer is 42." };
        assert_eq!((said.as_str(), ending), (whole, Ending::Whole));
        let asked = models.other.only().json();
        assert_eq!(asked["messages"][0]["content"], "What is 6 times 7?");
        assert!(!asked["stream"].as_bool().unwrap_or(false), "the witness was to stream");
    }
}

#[test]
fn what_the_cascade_needs_and_is_not_given_is_said_when_it_is_loaded() {
    let url = "http://127.0.0.1:9";
    let complaint = |grants: &str, more: &str| {
        let home = Home::with_config(&configuration([url; 3], grants, more));
        let output = home.run(&["check"]);
        assert!(!output.status.success(), "it was taken");
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
    };
    let said = complaint("", "judge = { model = \"other/model\" }");
    assert!(said.contains("`judge` needs the grant `models`"), "{said}");
    let said = complaint("", "checks = { empty = true }\nlatch_ms = 5");
    assert!(said.contains("`latch_ms` needs the grant `state`"), "{said}");
}
