//! Answers that policies review before the client sees any of them: what a review is shown, what follows from it, and that a
//! guest that fails while it reviews costs nobody an answer.

use serde_json::{Value, json};
use tests::config::{openai, route};
use tests::{Answer, End, Ending, FakeProvider, Gateway, Home, guests};

/// A gateway before these providers, `p1` and so on, with a policy that reviews as its configuration says.
async fn before(providers: &[&FakeProvider], keys: &str, reviews: &str, routes: &str) -> Gateway {
    let names: Vec<String> = (1..=providers.len()).map(|number| format!("p{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let models: String = names
        .iter()
        .zip(providers)
        .map(|(name, provider)| openai(name, &provider.url()))
        .collect();
    let policy =
        format!("\n[policies.reviews]\ncomponent = \"reviews.wasm\"\n{keys}\n[policies.reviews.config]\n{reviews}\n");
    let patient = "\n[plugins.limits]\ncall_ms = 20_000\n";
    let routes = format!("policies = [\"reviews\"]\n{routes}");
    let home = Home::with_config(&[&models, &policy, &route("auto", &names, &routes), patient].concat());
    home.write("reviews.wasm", guests::component("reviews"));
    Gateway::start_in(home).await
}

fn ask(is_stream: bool) -> Value {
    json!({
        "model": "auto", "messages": [{ "role": "user", "content": "hello" }],
        "stream": is_stream, "stream_options": { "include_usage": true },
    })
}

/// Who served, why, after how many attempts, at what cost, and the text.
type Seen = (String, String, String, String, String);

async fn whole(gateway: &Gateway) -> Seen {
    let mut ask = ask(false);
    ask.as_object_mut().unwrap().remove("stream_options");
    let reply = gateway.data().chat(&ask).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let header = |name| reply.header(name).unwrap_or_default().to_owned();
    let text = reply.json()["choices"][0]["message"]["content"].clone();
    (
        header("x-pointsman-model"),
        header("x-pointsman-reason"),
        header("x-pointsman-attempts"),
        header("x-pointsman-cost-usd"),
        text.as_str().unwrap_or_default().to_owned(),
    )
}

async fn streamed(gateway: &Gateway) -> Seen {
    let stream = gateway.data().chat_stream(&ask(true)).await;
    assert_eq!(stream.status, 200);
    let header = |name| stream.header(name).unwrap_or_default().to_owned();
    let (model, reason, attempts) = (
        header("x-pointsman-model"),
        header("x-pointsman-reason"),
        header("x-pointsman-attempts"),
    );
    let (events, ending) = stream.rest().await;
    assert_eq!(ending, Ending::Whole);
    assert_eq!(events.last().map(|event| event.data.as_str()), Some("[DONE]"));
    let chunks: Vec<Value> = events[..events.len() - 1].iter().map(|event| event.json()).collect();
    let texts = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    let cost = chunks
        .iter()
        .map(|chunk| &chunk["usage"]["cost"])
        .find(|cost| !cost.is_null());
    (
        model,
        reason,
        attempts,
        cost.and_then(Value::as_f64)
            .map(|cost| cost.to_string())
            .unwrap_or_default(),
        texts.collect(),
    )
}

fn seen(model: &str, reason: &str, attempts: &str, cost: &str, text: &str) -> Seen {
    let [model, reason, attempts, cost, text] = [model, reason, attempts, cost, text].map(str::to_owned);
    (model, reason, attempts, cost, text)
}

async fn answering(text: &str, is_stream: bool) -> FakeProvider {
    let answer = if is_stream {
        Answer::chat_stream([text])
    } else {
        Answer::chat(text)
    };
    FakeProvider::chatting([answer]).await
}

async fn of(gateway: &Gateway, is_stream: bool) -> Seen {
    if is_stream {
        streamed(gateway).await
    } else {
        whole(gateway).await
    }
}

const NEXT: &str = "opinions = { \"p1/model\" = \"next\" }";

#[tokio::test]
async fn an_answer_that_is_accepted_serves_and_one_that_is_not_gives_the_next_step_a_try() {
    for is_stream in [false, true] {
        let (one, two) = (answering("one", is_stream).await, answering("two", is_stream).await);
        let gateway = before(&[&one, &two], "", "", "").await;
        let expected = seen("p1/model", "decided", "1", "0.00002", "one");
        assert_eq!(of(&gateway, is_stream).await, expected);
        assert!(two.journal().is_empty());

        let gateway = before(&[&one, &two], "", NEXT, "").await;
        // Both answers have been paid for.
        let expected = seen("p2/model", "decided; next", "2", "0.00004", "two");
        assert_eq!(of(&gateway, is_stream).await, expected);
    }
}

#[tokio::test]
async fn the_last_step_that_can_be_reached_is_not_reviewed() {
    let (one, two) = (answering("one", false).await, answering("two", false).await);
    let all = "opinions = { \"p1/model\" = \"next\", \"p2/model\" = \"next\" }";
    let gateway = before(&[&one, &two], "", all, "").await;
    assert_eq!(
        whole(&gateway).await,
        seen("p2/model", "decided; next", "2", "0.00004", "two")
    );
    let gateway = before(&[&one, &two], "", all, "retries = 0").await;
    assert_eq!(
        whole(&gateway).await,
        seen("p1/model", "decided", "1", "0.00002", "one")
    );
}

#[tokio::test]
async fn what_was_passed_over_serves_where_nothing_better_comes() {
    for is_stream in [false, true] {
        let (one, two) = (answering("one", is_stream).await, answering("two", is_stream).await);
        let three = FakeProvider::chatting([Answer::error(500, "oops")]).await;
        let all = "opinions = { \"p1/model\" = \"next\", \"p2/model\" = \"next\" }";
        let gateway = before(&[&one, &two, &three], "", all, "").await;
        let expected = seen("p2/model", "decided; next; next", "3", "0.00004", "two");
        assert_eq!(of(&gateway, is_stream).await, expected);
        for provider in ["p1", "p2"] {
            let labels = format!("gen_ai_provider_name=\"{provider}\",gen_ai_request_model=\"{provider}/model\"");
            let spent = gateway.metric(&format!("pointsman_spent_usd_total{{{labels}}}")).await;
            assert!((spent - 0.00002).abs() < 1e-12, "{provider}: {spent}");
        }
        let served = "pointsman_requests_total{route=\"auto\",status=\"200\"}";
        assert_eq!(gateway.metric(served).await, 1.0);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_while_it_is_held_back_is_a_failed_attempt() {
    let broken = Answer::chat_stream(["one"]).cut_after_pieces(1, End::Close);
    let one = FakeProvider::chatting([broken]).await;
    let two = answering("two", true).await;
    let gateway = before(&[&one, &two], "", "", "").await;
    let expected = seen("p2/model", "decided", "2", "0.00002", "two");
    assert_eq!(streamed(&gateway).await, expected);
}

#[tokio::test]
async fn a_held_stream_goes_out_as_it_came() {
    let direct = FakeProvider::chatting([Answer::chat_stream(["one ", "and ", "two"])]).await;
    let other = answering("other", true).await;
    let gateway = before(&[&direct, &other], "", "", "").await;
    let mut ask = ask(true);
    ask.as_object_mut().unwrap().remove("stream_options");
    let (reviewed, _) = gateway.data().chat_stream(&ask).await.rest().await;
    ask["model"] = "p1/model".into();
    let (plain, _) = gateway.data().chat_stream(&ask).await.rest().await;
    assert_eq!(reviewed, plain);
}

#[tokio::test]
async fn a_review_is_shown_the_whole_answer() {
    let logprobs = json!({ "content": [{ "token": "a", "logprob": -0.5 }, { "token": "b", "logprob": -1.5 }] });
    let call = json!([{ "id": "c", "type": "function", "function": { "name": "look", "arguments": "{\"at\":1}" } }]);
    let message = json!({ "role": "assistant", "content": "hm", "refusal": "no", "tool_calls": call });
    let choice = json!({ "index": 0, "message": message, "logprobs": logprobs, "finish_reason": "tool_calls" });
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 5 });
    let rich = Answer::json(200, &json!({ "choices": [choice], "usage": usage }));
    let delta = |delta: Value, reason: Value| {
        json!({ "choices": [{ "index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason }] })
            .to_string()
    };
    let piece = |arguments: &str| json!({ "tool_calls": [{ "index": 0, "function": { "arguments": arguments } }] });
    let events = [
        delta(json!({ "content": "hm", "refusal": "no" }), Value::Null),
        delta(
            json!({ "tool_calls": [{ "index": 0, "function": { "name": "look", "arguments": "" } }] }),
            Value::Null,
        ),
        delta(piece("{\"at\""), Value::Null),
        delta(piece(":1}"), json!("tool_calls")),
        json!({ "choices": [], "usage": usage }).to_string(),
        "[DONE]".to_owned(),
    ];
    let told = "p1/model \"hm\" Some(\"no\") tool_calls [(\"look\", \"{\\\"at\\\":1}\")] Some(-1.0) 10+5 Some(20000) 1 Some(\"yes\") hello";
    for is_stream in [false, true] {
        let answer = if is_stream {
            Answer::events(events.iter().map(String::as_str))
        } else {
            rich.clone()
        };
        let one = FakeProvider::chatting([answer]).await;
        let two = answering("two", is_stream).await;
        let gateway = before(&[&one, &two], "", "opinions = { \"p1/model\" = \"tell\" }", "").await;
        assert_eq!(
            of(&gateway, is_stream).await.1,
            format!("decided; {told}"),
            "stream: {is_stream}"
        );
    }
}

#[tokio::test]
async fn a_guest_that_fails_while_it_reviews_costs_nobody_an_answer() {
    for (behaviour, kind) in [
        ("fail", "guest"),
        ("panic", "trap"),
        ("time", "trap"),
        ("loop", "deadline"),
    ] {
        for is_stream in [false, true] {
            let (one, two) = (answering("one", is_stream).await, answering("two", is_stream).await);
            let opinions = format!("opinions = {{ \"p1/model\" = \"{behaviour}\" }}");
            let limits = if behaviour == "loop" {
                "limits = { call_ms = 1000 }"
            } else {
                ""
            };
            let gateway = before(&[&one, &two], limits, &opinions, "").await;
            let expected = seen("p1/model", "decided", "1", "0.00002", "one");
            assert_eq!(of(&gateway, is_stream).await, expected, "{behaviour}");
            let faults = format!("pointsman_plugin_faults_total{{plugin=\"reviews\",kind=\"{kind}\"}}");
            assert_eq!(gateway.metric(&faults).await, 1.0, "{behaviour}");
            gateway
                .logged(&["a policy failed to review an answer", "reviews", kind])
                .await;
        }
    }
}

#[tokio::test]
async fn a_review_may_ask_a_judge_whose_cost_is_the_requests() {
    for is_stream in [false, true] {
        let (one, two) = (answering("one", is_stream).await, answering("two", is_stream).await);
        let judge = FakeProvider::chatting([Answer::chat("poor")]).await;
        let keys = "grants = [\"models\"]\nmodels = [\"p3/model\"]";
        let gateway = before(&[&one, &two, &judge], keys, "judge = \"p3/model\"", "retries = 1").await;
        let expected = seen("p2/model", "decided; Ok(\"poor\")", "2", "0.00006", "two");
        assert_eq!(of(&gateway, is_stream).await, expected);
        assert_eq!(judge.only().json()["messages"][0]["content"], "one");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_to_be_held_back_serves_as_it_is() {
    for is_stream in [false, true] {
        let (one, two) = (answering("one", is_stream).await, answering("two", is_stream).await);
        let gateway = before(&[&one, &two], "", NEXT, "[plugins]\nreview_bytes = 40").await;
        let expected = seen("p1/model", "decided", "1", "0.00002", "one");
        assert_eq!(of(&gateway, is_stream).await, expected);
        gateway
            .logged(&["an answer is too large to be reviewed", "p1/model"])
            .await;
    }
}

#[tokio::test]
async fn a_plan_that_asks_for_a_review_that_there_is_not_is_a_fault() {
    let one = answering("one", false).await;
    let told = "\n[policies.told]\ncomponent = \"told.wasm\"\nconfig = { review = true }\n";
    let route = route("auto", &["one"], "policies = [\"told\"]");
    let home = Home::with_config(&[openai("one", &one.url()), told.to_owned(), route].concat());
    home.write("told.wasm", guests::component("decides-as-told"));
    let gateway = Gateway::start_in(home).await;
    gateway
        .data()
        .chat(&ask(false))
        .await
        .refused(503, "policy_unavailable");
    gateway.logged(&["does not export `review`"]).await;
}

#[tokio::test]
async fn of_hedged_steps_the_first_to_answer_is_reviewed() {
    let one = FakeProvider::chatting([Answer::never()]).await;
    let (two, three) = (answering("two", false).await, answering("three", false).await);
    let models: String = [("p1", &one), ("p2", &two), ("p3", &three)]
        .map(|(name, provider)| openai(name, &provider.url()))
        .concat();
    let steps = "steps = [{ candidate = \"p1/model\", hedge_after_ms = 50 }, { candidate = \"p2/model\" }, { candidate = \"p3/model\", timeout_ms = 60_000 }]";
    let policies = format!(
        "\n[policies.told]\ncomponent = \"told.wasm\"\n[policies.told.config]\n{steps}\n[policies.reviews]\ncomponent = \"reviews.wasm\"\n\
         config = {{ opinions = {{ \"p2/model\" = \"next\" }} }}\n"
    );
    let route = route(
        "auto",
        &["p1", "p2", "p3"],
        "policies = [\"told\", \"reviews\"]\ntimeout_ms = 3000",
    );
    let home = Home::with_config(&[models, policies, route].concat());
    home.write("told.wasm", guests::component("decides-as-told"));
    home.write("reviews.wasm", guests::component("reviews"));
    let gateway = Gateway::start_in(home).await;
    // The first step is still under way when the second is passed over; it ends in its own time, and then comes the third.
    let expected = seen("p3/model", "decided; next", "3", "0.00004", "three");
    assert_eq!(whole(&gateway).await, expected);
}

#[test]
fn explain_says_that_an_answer_would_be_reviewed() {
    let config = [
        openai("one", "http://127.0.0.1:9"),
        "\n[policies.reviews]\ncomponent = \"reviews.wasm\"\n".to_owned(),
        route("auto", &["one"], "policies = [\"reviews\"]"),
    ];
    let home = Home::with_config(&config.concat());
    home.write("reviews.wasm", guests::component("reviews"));
    home.write("request.json", ask(false).to_string());
    let explained = home.run(&[
        "explain",
        "--config",
        "pointsman.toml",
        "--format",
        "json",
        "request.json",
    ]);
    let shown: Value = serde_json::from_slice(&explained.stdout).unwrap();
    assert_eq!(shown["policies"][0]["review"], true, "{shown}");
}
