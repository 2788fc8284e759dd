//! What was spent: reports are the sums of the ledger's lines to the nano-dollar, whoever asks and however they are grouped.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::config::{anthropic, gemini, openai, policy, route};
use tests::{Answer, FakeProvider, Gateway, Home};

/// Every answer of the fake provider says that it used ten tokens of input and five of output: at 1 and 2 USD per million.
const COST: i128 = 20_000;

fn ask(model: &str, text: &str) -> Value {
    json!({ "model": model, "max_tokens": 100, "messages": [{ "role": "user", "content": text }] })
}

/// A command's output as JSON.
fn said(home: &Home, arguments: &[&str]) -> Value {
    let output = home.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The ledger's lines, as `store export` has them.
fn lines(home: &Home) -> Vec<Value> {
    let output = home.run(&["store", "export"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The cost of each group of a report.
fn costs(report: &Value, by: &str) -> BTreeMap<String, i128> {
    let rows = report["rows"].as_array().unwrap().iter();
    rows.map(|row| (row[by].as_str().unwrap().to_owned(), nano(&row["cost_nano"])))
        .collect()
}

fn nano(value: &Value) -> i128 {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_report_is_the_sum_of_the_exported_lines_exactly() {
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let other = FakeProvider::chatting([Answer::error(500, "busy"), Answer::chat("hello")]).await;
    let rules = "rules = [{ any = [\"code\"], label = \"coding\", prefer = [\"p2/model\"] }]";
    let config = openai("p1", &provider.url())
        + &openai("p2", &other.url())
        + &policy("words", "keyword", rules)
        + &route("auto", &["p1", "p2"], "policies = [\"words\"]")
        + &route("plain", &["p1"], "");
    let gateway = Gateway::start(&config).await;
    for (model, text) in [
        ("auto", "hi"),
        ("auto", "code"),
        ("auto", "code"),
        ("plain", "hi"),
        ("p2/model", "hi"),
    ] {
        assert_eq!(gateway.data().chat(&ask(model, text)).await.status, 200);
    }
    let home = gateway.home().clone();
    for by in ["key", "route", "provider", "model", "day", "label"] {
        let shown = gateway.shows(&format!("/admin/spend?by={by}")).await;
        let mut expected: BTreeMap<String, i128> = BTreeMap::new();
        for line in lines(&home) {
            let cost = i128::from(line["cost_nano"].as_u64().unwrap());
            let groups: Vec<String> = match by {
                "day" => vec![line["at"].as_str().unwrap()[..10].to_owned()],
                "label" if line["labels"] == json!({}) => vec![String::new()],
                "label" => {
                    let labels = line["labels"].as_object().unwrap().iter();
                    labels
                        .map(|(label, value)| format!("{label}={}", value.as_str().unwrap()))
                        .collect()
                }
                _ => vec![line[by].as_str().unwrap().to_owned()],
            };
            groups
                .into_iter()
                .for_each(|group| *expected.entry(group).or_default() += cost);
        }
        assert_eq!(costs(&shown, by), expected, "{by}");
        assert_eq!(nano(&shown["total"]["cost_nano"]), 5 * COST, "{by}");
        // Whoever reads the store beside the gateway sees the same.
        let told = said(&home, &["spend", "--by", by, "--format", "json"]);
        assert_eq!(
            (&told["rows"], &told["total"]),
            (&shown["rows"], &shown["total"]),
            "{by}"
        );
    }
    let coding = gateway.shows("/admin/spend?by=model&label=class%3Dcoding").await;
    assert_eq!(coding["total"]["calls"].as_u64(), Some(3), "{coding:#}");
    let none = gateway.shows("/admin/spend?by=model&route=plain&provider=p2").await;
    assert_eq!(
        (
            none["rows"].as_array().unwrap().len(),
            nano(&none["total"]["cost_nano"])
        ),
        (0, 0)
    );
}

#[tokio::test]
async fn savings_are_what_the_reference_model_would_have_cost_beyond_the_true_cost() {
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let dear = "[models.dear]\nprovider = \"p1\"\nprice = { input = 10, output = 40 }\n";
    let config = openai("p1", &provider.url())
        + dear
        + &route("named", &["p1"], "reference = \"dear\"")
        + &route("alone", &["p1"], "")
        + &route(
            "again",
            &["p1"],
            "reference = \"dear\"\ncache = { any_temperature = true }",
        )
        + "\n[routes.dearest]\ncandidates = [\"p1/model\", \"dear\"]\n";
    let gateway = Gateway::start(&config).await;
    for model in ["named", "alone", "dearest", "again", "again"] {
        assert_eq!(gateway.data().chat(&ask(model, "hi")).await.status, 200);
    }
    let report = gateway.shows("/admin/spend?by=route").await;
    let reference = 10 * 10_000 + 5 * 40_000;
    for row in report["rows"].as_array().unwrap() {
        let saved = match row["route"].as_str() {
            Some("alone") => 0,
            // What was given again would have cost as much at the reference as it did the first time.
            Some("again") => 2 * reference - COST,
            _ => reference - COST,
        };
        assert_eq!(
            (nano(&row["cost_nano"]), nano(&row["savings_nano"])),
            (COST, saved),
            "{row:#}"
        );
    }
}

#[tokio::test]
async fn a_store_without_a_call_has_spent_nothing() {
    let provider = FakeProvider::start().await;
    let gateway = Gateway::start(&openai("p1", &provider.url())).await;
    let home = gateway.home().clone();
    let report = said(&home, &["spend", "--by", "key", "--format", "json"]);
    assert_eq!(
        (&report["rows"], &report["total"]["cost_usd"]),
        (&json!([]), &json!("0.00"))
    );
    let csv = home.run(&["spend", "--by", "key,day", "--format", "csv"]);
    assert!(String::from_utf8(csv.stdout).unwrap().starts_with("key,day,calls,"));
    let table = String::from_utf8(home.run(&["spend"]).stdout).unwrap();
    assert!(table.contains("cost USD") && table.contains("0.00"), "{table}");
    assert!(home.run(&["store", "export"]).stdout.is_empty());
}

#[tokio::test]
async fn a_question_that_cannot_be_answered_is_refused_with_the_reason() {
    let provider = FakeProvider::start().await;
    let gateway = Gateway::start(&openai("p1", &provider.url())).await;
    for (query, expected) in [
        ("by=colour", "nothing is counted by `colour`"),
        ("colour=red", "no setting `colour`"),
        ("from=yesterday", "`yesterday` is no moment"),
        ("label=coding", "not a label with its value"),
    ] {
        let reply = gateway.admin().get(&format!("/admin/spend?{query}")).await;
        assert_eq!(reply.status, 400, "{query}");
        assert!(reply.text().contains(expected), "{}", reply.text());
    }
    for arguments in [
        &["spend", "--by", "colour"][..],
        &["spend", "--from", "yesterday"],
        &["store", "correct", "1"],
    ] {
        assert_eq!(gateway.home().run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let nowhere = gateway.home().run(&["spend", "--store", "nowhere"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("there is no store at"));
}

#[tokio::test]
async fn what_is_left_of_a_budget_is_shown() {
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let budget = "budget = { limit_usd = 1, period = \"month\" }";
    let gateway = Gateway::start(&(openai("p1", &provider.url()) + &route("auto", &["p1"], budget))).await;
    assert_eq!(gateway.data().chat(&ask("auto", "hi")).await.status, 200);
    let shown = gateway
        .until("/admin/budgets", |shown| shown["budgets"][0]["held_usd"] == "0.00")
        .await;
    let budget = &shown["budgets"][0];
    assert_eq!(
        (&budget["scope"], &budget["period"]),
        (&json!("route:auto"), &json!("month"))
    );
    assert_eq!(
        (&budget["spent_usd"], &budget["left_usd"]),
        (&json!("0.00002"), &json!("0.99998"))
    );
}

/// What the fake provider's answers cost, in its parts.
fn receipt() -> [Value; 2] {
    [json!(0.00002), json!({ "input": 0.00001, "output": 0.00001 })]
}

#[tokio::test]
async fn an_answer_says_what_it_cost_and_of_which_parts_to_a_client_that_asks_for_it() {
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let cache = "cache = { any_temperature = true }";
    let gateway = Gateway::start(&(openai("p1", &provider.url()) + &route("auto", &["p1"], cache))).await;
    let mut asking = ask("auto", "hi");
    asking["usage"] = json!({ "include": true });
    let reply = gateway.data().chat(&asking).await;
    let usage = reply.json()["usage"].clone();
    assert_eq!(
        [usage["cost"].clone(), usage["cost_details"].clone()],
        receipt(),
        "{usage:#}"
    );
    assert_eq!(usage["prompt_tokens"], 10);
    // The wish is the gateway's to fulfil, and none of the provider's business.
    assert_eq!(provider.only().json().get("usage"), None);
    // Given again, it costs nothing; who does not ask is not told.
    let again = gateway.data().chat(&asking).await.json();
    assert_eq!(again["usage"]["cost"].as_f64(), Some(0.0), "{again:#}");
    let plain = gateway.data().chat(&ask("auto", "hi")).await.json();
    assert_eq!(
        (&plain["usage"]["prompt_tokens"], plain["usage"].get("cost")),
        (&json!(10), None)
    );
    asking["usage"] = json!({ "include": "please" });
    gateway.data().chat(&asking).await.refused(400, "invalid_type");
}

#[tokio::test]
async fn a_stream_says_what_it_cost_to_a_client_that_asks_in_either_gateways_words() {
    let provider = FakeProvider::chatting([Answer::chat_stream(["hel", "lo"])]).await;
    let gateway = Gateway::start(&(openai("p1", &provider.url()) + &route("auto", &["p1"], ""))).await;
    let wishes = [
        json!({ "usage": { "include": true } }),
        json!({ "stream_options": { "include_usage": true } }),
        json!({ "usage": { "include": true }, "stream_options": { "include_usage": false } }),
    ];
    for wish in wishes {
        let mut asking = ask("auto", "hi");
        asking["stream"] = json!(true);
        asking
            .as_object_mut()
            .unwrap()
            .extend(wish.as_object().unwrap().clone());
        let (events, _) = gateway.data().chat_stream(&asking).await.rest().await;
        let told: Vec<Value> = events
            .iter()
            .filter_map(|event| serde_json::from_str::<Value>(&event.data).ok())
            .filter(|chunk| chunk["usage"].is_object())
            .collect();
        assert_eq!(told.len(), 1, "{wish}");
        let usage = &told[0]["usage"];
        assert_eq!(
            [usage["cost"].clone(), usage["cost_details"].clone()],
            receipt(),
            "{usage:#}"
        );
        let sent = provider.journal().last().unwrap().json();
        assert_eq!(
            (sent.get("usage"), &sent["stream_options"]["include_usage"]),
            (None, &json!(true)),
            "{wish}"
        );
    }
}

/// What each of these surfaces is asked at for the same text, and where its answers and the last events of its streams say what
/// was used.
const SURFACES: [(&str, &str, &str, &str); 3] = [
    ("/v1/messages", "/v1/messages", "/usage", "/usage"),
    ("/v1/responses", "/v1/responses", "/usage", "/response/usage"),
    (
        "/v1beta/models/MODEL:generateContent",
        "/v1beta/models/MODEL:streamGenerateContent?alt=sse",
        "/usageMetadata",
        "/usageMetadata",
    ),
];

/// Providers that speak the three dialects by themselves, each with one answer for whole requests and one for streams, and one
/// that speaks OpenAI's, whose answers are translated.
async fn in_every_dialect() -> ([FakeProvider; 2], Gateway) {
    let provider = FakeProvider::start().await;
    let usage = json!({ "input_tokens": 10, "output_tokens": 5 });
    let message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "stop_sequence": null, "content": [{ "type": "text", "text": "hello" }], "usage": usage });
    let begun = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "usage": { "input_tokens": 10, "output_tokens": 1 } });
    let events = [
        json!({ "type": "message_start", "message": begun }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "message_delta" } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 5 } }),
        json!({ "type": "message_stop" }),
    ];
    provider.on(
        "/v1/messages",
        [Answer::json(200, &message), Answer::typed_events(&events)],
    );
    let response = json!({ "id": "resp_1", "object": "response", "status": "completed", "output": [], "usage": usage });
    let events = [
        json!({ "type": "response.created", "sequence_number": 0, "response": { "id": "resp_1", "status": "in_progress" } }),
        json!({ "type": "response.completed", "sequence_number": 1, "response": response }),
    ];
    provider.on(
        "/v1/responses",
        [Answer::json(200, &response), Answer::typed_events(&events)],
    );
    let candidate =
        json!({ "index": 0, "finishReason": "STOP", "content": { "role": "model", "parts": [{ "text": "hello" }] } });
    let content =
        json!({ "candidates": [candidate], "usageMetadata": { "promptTokenCount": 10, "candidatesTokenCount": 5 } });
    let at = "/v1beta/models/upstream-model";
    provider.on(&format!("{at}:generateContent"), [Answer::json(200, &content)]);
    let events = content.to_string();
    provider.on(
        &format!("{at}:streamGenerateContent"),
        [Answer::events([events.as_str()])],
    );
    let translated =
        FakeProvider::chatting((0..3).flat_map(|_| [Answer::chat("hello"), Answer::chat_stream(["hel", "lo"])])).await;
    let own = openai("p2", &provider.url()).replace("api_key", "responses = true\napi_key");
    let config = anthropic("p1", &provider.url())
        + &own
        + &gemini("p3", &provider.url())
        + &openai("p4", &translated.url())
        + &route("own0", &["p1"], "")
        + &route("own1", &["p2"], "")
        + &route("own2", &["p3"], "")
        + &route("translated", &["p4"], "cache = { any_temperature = true }");
    ([provider, translated], Gateway::start(&config).await)
}

#[tokio::test]
async fn every_surface_says_what_an_answer_cost_where_it_says_what_was_used() {
    let ([provider, translated], gateway) = in_every_dialect().await;
    for (place, (path, streamed, at, at_last)) in SURFACES.into_iter().enumerate() {
        for (model, times) in [(format!("own{place}"), 1), ("translated".to_owned(), 2)] {
            let mut asking = json!({ "usage": { "include": true }, "model": model, "max_tokens": 100,
                "messages": [{ "role": "user", "content": "hi" }] });
            if place == 1 {
                asking = json!({ "usage": { "include": true }, "model": model, "input": "hi" });
            }
            if place == 2 {
                asking = json!({ "usage": { "include": true }, "contents": [{ "role": "user", "parts": [{ "text": "hi" }] }] });
            }
            for time in 0..times {
                // The second comes from the cache.
                let expected = if time == 0 {
                    receipt()
                } else {
                    [json!(0.0), json!({ "input": 0.0, "output": 0.0 })]
                };
                let reply = gateway.data().post(&path.replace("MODEL", &model), &asking).await;
                let usage = reply.json().pointer(at).cloned().unwrap_or_default();
                assert_eq!(
                    [usage["cost"].clone(), usage["cost_details"].clone()],
                    expected,
                    "{path} {model}: {}",
                    reply.text()
                );
                if place < 2 {
                    asking["stream"] = json!(true);
                }
                let (events, _) = gateway
                    .data()
                    .stream(&streamed.replace("MODEL", &model), &asking)
                    .await
                    .rest()
                    .await;
                let told: Vec<Value> = events
                    .iter()
                    .filter_map(|event| serde_json::from_str(&event.data).ok())
                    .collect();
                let costs: Vec<[Value; 2]> = told
                    .iter()
                    .filter_map(|event| event.pointer(at_last))
                    .filter(|usage| usage.get("cost").is_some())
                    .map(|usage| [usage["cost"].clone(), usage["cost_details"].clone()])
                    .collect();
                assert_eq!(costs, [expected], "{streamed} {model}: {told:#?}");
                if let Some(asking) = asking.as_object_mut() {
                    asking.remove("stream");
                }
            }
        }
    }
    let sent = provider.journal();
    assert_eq!(sent.len(), 6);
    assert!(
        sent.iter().all(|received| received.json().get("usage").is_none()),
        "the wish is no provider's business"
    );
    // What is no conversation tells its cost as well, and so do texts that are continued.
    let vectors = json!({ "object": "list", "model": "m", "data": [{ "object": "embedding", "index": 0, "embedding": [0.5] }],
        "usage": { "prompt_tokens": 10, "total_tokens": 10 } });
    translated.on("/v1/embeddings", [Answer::json(200, &vectors)]);
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 });
    let continued = [
        json!({ "id": "c", "object": "text_completion", "choices": [{ "index": 0, "text": "hello", "finish_reason": "stop" }] }),
        json!({ "id": "c", "object": "text_completion", "choices": [], "usage": usage }),
    ];
    let continued = continued.map(|chunk| chunk.to_string());
    translated.on(
        "/v1/completions",
        [Answer::events([&*continued[0], &*continued[1], "[DONE]"])],
    );
    let asking = json!({ "model": "p4/model", "input": "hi", "usage": { "include": true } });
    let reply = gateway.data().post("/v1/embeddings", &asking).await;
    assert_eq!(reply.json()["usage"]["cost"], json!(0.00001), "{}", reply.text());
    let asking =
        json!({ "model": "p4/model", "prompt": "hi", "max_tokens": 10, "stream": true, "usage": { "include": true } });
    let (events, _) = gateway.data().stream("/v1/completions", &asking).await.rest().await;
    let told = events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(&event.data).ok());
    let costs: Vec<Value> = told.filter_map(|event| event.pointer("/usage/cost").cloned()).collect();
    assert_eq!(costs, [json!(0.00002)], "{events:?}");
    let sent = translated.journal();
    assert!(sent.iter().all(|received| received.json().get("usage").is_none()));
    // Who does not ask gets the provider's own bytes.
    let asking = json!({ "contents": [{ "role": "user", "parts": [{ "text": "hi" }] }] });
    let plain = gateway
        .data()
        .post("/v1beta/models/own2:generateContent", &asking)
        .await
        .json();
    assert_eq!(
        plain["usageMetadata"],
        json!({ "promptTokenCount": 10, "candidatesTokenCount": 5 })
    );
}

#[tokio::test]
async fn clients_of_other_gateways_find_the_cost_in_the_header_that_they_know() {
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let config = openai("p1", &provider.url()) + "\n[server]\ncost_headers = [\"litellm\"]\n";
    let gateway = Gateway::start(&config).await;
    let reply = gateway.data().chat(&ask("p1/model", "hi")).await;
    for header in ["x-pointsman-cost-usd", "x-litellm-response-cost"] {
        assert_eq!(reply.header(header), Some("0.00002"), "{header}");
    }
    let home = Home::with_config("[server]\ncost_headers = [\"somebody\"]\n");
    let said = home.run(&["check"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("no cost header `somebody`; there is litellm"));
}
