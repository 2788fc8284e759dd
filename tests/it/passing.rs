//! What passes in a client's own words, to which providers, and what of it does not where it has to be translated.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::config::{anthropic, gemini, openai};
use tests::conversation::CAST;
use tests::replay::{config, home};
use tests::{Answer, Ending, FakeProvider, Gateway};

const MESSAGES: &str = "/v1/messages";
const COUNT: &str = "/v1/messages/count_tokens";

/// Words that nobody knows among those of Anthropic's clients.
fn asked(model: &str, is_stream: bool) -> Value {
    let mark = json!({ "type": "ephemeral" });
    json!({ "model": model, "max_tokens": 50, "stream": is_stream, "unknown": { "kept": 1.0 },
        "system": [{ "type": "text", "text": "Be brief.", "cache_control": mark }],
        "messages": [{ "role": "user", "content": [{ "type": "text", "text": "hello", "of_tomorrow": [1] }] }] })
}

fn message() -> Value {
    json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "of_tomorrow": 1.0,
        "content": [{ "type": "text", "text": "It rains." }], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": { "input_tokens": 10, "output_tokens": 5 } })
}

fn events() -> Vec<Value> {
    let begun = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 10, "output_tokens": 1 } });
    vec![
        json!({ "type": "message_start", "message": begun }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "It rains." } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 5 } }),
        json!({ "type": "message_stop", "of_tomorrow": 1.0 }),
    ]
}

/// A request as it has to arrive where the path names the model and the body the version.
fn on_google_cloud(mut asked: Value) -> Value {
    let members = asked.as_object_mut().unwrap();
    members.remove("model");
    members.insert("anthropic_version".to_owned(), "vertex-2023-10-16".into());
    asked
}

#[tokio::test]
async fn claude_on_google_cloud_gets_a_conversation_in_its_own_words_unless_more_is_set() {
    let provider = FakeProvider::start().await;
    let model = "/models/claude-sonnet-4-5@20250929";
    provider.on(&format!("{model}:rawPredict"), [Answer::json(200, &message())]);
    let streamed = Answer::typed_events(events().iter()).in_pieces_of(7);
    provider.on(&format!("{model}:streamRawPredict"), [streamed]);
    let counted = json!({ "input_tokens": 321, "of_tomorrow": 1 });
    provider.on("/models/count-tokens:rawPredict", [Answer::json(200, &counted)]);
    let vertex = anthropic("v", &provider.url())
        .replace("\"anthropic\"", "\"vertex-anthropic\"")
        .replace("upstream-model", "claude-sonnet-4-5@20250929");
    let set = "[models.\"v/set\"]\nprovider = \"v\"\nupstream = \"claude-sonnet-4-5@20250929\"\nsettings = { max_tokens = 9 }\n";
    let gateway = Gateway::start(&(vertex + set)).await;
    let client = gateway.data().with_header("anthropic-beta", "one-beta,two-beta");
    let reply = client.post(MESSAGES, &asked("v/model", false)).await;
    assert_eq!((reply.status, reply.json()), (200, message()), "{}", reply.text());
    // 10 tokens at 1 USD a million, and 5 at twice as much.
    assert_eq!(reply.header("x-pointsman-cost-usd"), Some("0.00002"));
    assert_eq!(reply.header("x-pointsman-dropped"), None);
    let (seen, ending) = client.stream(MESSAGES, &asked("v/model", true)).await.rest().await;
    let seen: Vec<Value> = seen.iter().map(tests::Event::json).collect();
    assert_eq!((seen, ending), (events(), Ending::Whole));
    let count = client.post(COUNT, &asked("v/model", false)).await;
    assert_eq!((count.status, count.json()), (200, counted), "{}", count.text());
    let translated = client.post(MESSAGES, &asked("v/set", false)).await;
    assert_eq!(translated.header("x-pointsman-dropped"), Some("unknown"));
    let sent = provider.journal();
    assert_eq!(sent[0].json(), on_google_cloud(asked("v/model", false)));
    assert_eq!(sent[1].json(), on_google_cloud(asked("v/model", true)));
    // Which model is meant is not in the path of a count.
    let mut expected = on_google_cloud(asked("v/model", false));
    expected["model"] = "claude-sonnet-4-5@20250929".into();
    assert_eq!(sent[2].json(), expected);
    for received in &sent {
        assert_eq!(received.header("anthropic-beta"), Some("one-beta,two-beta"));
        assert_eq!(received.header("authorization"), Some("Bearer key-of-v"));
    }
    assert_eq!(gateway.metric("pointsman_ledger_estimated_lines_total").await, 0.0);
}

/// Whoever does not know these without a beta of Anthropic's gets them with it, and nobody gets them in another dialect.
#[tokio::test]
async fn members_that_need_a_beta_go_where_it_is_asked_for_and_are_named_elsewhere() {
    let provider = FakeProvider::start().await;
    provider.on(MESSAGES, [Answer::json(200, &message())]);
    let choice = json!({ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "Yes." } });
    let answer = json!({ "id": "c", "object": "chat.completion", "model": "m", "choices": [choice] });
    provider.on("/v1/chat/completions", [Answer::json(200, &answer)]);
    let candidates = json!([{ "content": { "role": "model", "parts": [{ "text": "Yes." }] }, "finishReason": "STOP" }]);
    let answer = json!({ "candidates": candidates });
    provider.on(
        "/v1beta/models/upstream-model:generateContent",
        [Answer::json(200, &answer)],
    );
    let url = provider.url();
    let mut config = anthropic("a", &url) + &openai("o", &url) + &gemini("g", &url);
    for (id, settings) in [
        ("a/set", "max_tokens = 9"),
        ("a/strict", "on_unsupported = \"refuse\""),
        ("o/strict", "on_unsupported = \"refuse\""),
        ("g/strict", "on_unsupported = \"refuse\""),
    ] {
        let provider = &id[..1];
        config += &format!(
            "[models.\"{id}\"]\nprovider = \"{provider}\"\nupstream = \"upstream-model\"\nsettings = {{ {settings} }}\n"
        );
    }
    let gateway = Gateway::start(&config).await;
    let body = |model: &str| {
        let mut body =
            json!({ "model": model, "max_tokens": 50, "messages": [{ "role": "user", "content": "hello" }] });
        body["context_management"] = json!({ "edits": [] });
        body["mcp_servers"] = json!([{ "type": "url", "name": "n", "url": "https://mcp.example" }]);
        body["container"] = "c".into();
        body["inference_geo"] = "us".into();
        body
    };
    let all = "container, context_management, inference_geo, mcp_servers";
    for (model, beta, dropped, arrive) in [
        ("a/model", "", "", all),
        (
            "a/set",
            "",
            "context_management, mcp_servers",
            "container, inference_geo",
        ),
        (
            "a/set",
            "one, context-management-2025-06-27",
            "mcp_servers",
            "container, context_management, inference_geo",
        ),
        ("a/set", "mcp-client-2025-11-20,compact-2026-01-12", "", all),
        ("o/model", "mcp-client-2025-11-20", all, ""),
        ("g/model", "mcp-client-2025-11-20", all, ""),
    ] {
        let mut client = gateway.data();
        if !beta.is_empty() {
            client = client.with_header("anthropic-beta", beta);
        }
        let reply = client.post(MESSAGES, &body(model)).await;
        assert_eq!(reply.status, 200, "{model}: {}", reply.text());
        let named = reply.header("x-pointsman-dropped").unwrap_or_default();
        let mut named: Vec<&str> = named.split(", ").collect();
        named.sort_unstable();
        assert_eq!(named.join(", "), dropped, "{model} with {beta}");
        let sent = provider.journal().pop().unwrap().json();
        let arrived: Vec<&str> = all.split(", ").filter(|member| sent.get(*member).is_some()).collect();
        assert_eq!(arrived.join(", "), arrive, "{model} with {beta}");
    }
    let before = provider.journal().len();
    for model in ["a/strict", "o/strict", "g/strict"] {
        let reply = gateway.data().post(MESSAGES, &body(model)).await;
        assert_eq!(reply.status, 400, "{model}: {}", reply.text());
        assert!(
            reply.text().contains(" cannot be asked of "),
            "{model}: {}",
            reply.text()
        );
    }
    // Other words of a client's that have no place elsewhere are lost in the same way.
    let mut body =
        json!({ "model": "o/model", "max_tokens": 50, "messages": [{ "role": "user", "content": "hello" }] });
    body["tools"] =
        json!([{ "name": "f", "input_schema": { "type": "object" }, "defer_loading": true, "strict": false }]);
    body["output_config"] = json!({ "effort": "low", "task_budget": { "total": 9 } });
    assert_eq!(provider.journal().len(), before);
    let reply = gateway.data().post(MESSAGES, &body).await;
    let named = "output_config.task_budget, tools[].defer_loading";
    assert_eq!(reply.header("x-pointsman-dropped"), Some(named), "{}", reply.text());
    body["model"] = "o/strict".into();
    let reply = gateway.data().post(MESSAGES, &body).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
}

/// Paths whose words are not the canonical ones, each with a request that has a member that nobody knows.
const WORDS: [&str; 6] = [
    MESSAGES,
    COUNT,
    "/v1/responses",
    "/v1/completions",
    "generateContent",
    "countTokens",
];

/// Who takes which words as they came. A provider that is not here gets none but the canonical ones, in a translation if need be.
const SPOKEN: [(&str, &[&str]); 5] = [
    ("anthropic", &[MESSAGES, COUNT]),
    ("vertex-anthropic", &[MESSAGES, COUNT]),
    ("gemini", &["generateContent", "countTokens"]),
    // Its counts are asked for in other words.
    ("vertex", &["generateContent"]),
    // OpenAI itself, by its own address, speaks Responses and no longer completions; this one is at another.
    ("openai", &["/v1/completions"]),
];

#[tokio::test]
async fn who_gets_which_words_as_they_came_is_known_of_every_provider() {
    let provider = FakeProvider::speaking(|received| {
        let is_token = received.path.ends_with("/token");
        (!is_token).then(|| Answer::json(400, &json!({ "error": { "message": "no" } })))
    })
    .await;
    let all: String = CAST
        .iter()
        .map(|part| {
            config(
                part.name,
                part.name,
                &format!("{}/{}", provider.url(), part.name),
                &["m"],
            )
        })
        .collect();
    let gateway = Gateway::start_in(home(&all, &provider)).await;
    let client = gateway.data();
    let (mut found, mut expected) = (BTreeSet::new(), BTreeSet::new());
    for part in CAST {
        for words in WORDS {
            let model = format!("{}/m", part.name);
            let hello = json!([{ "role": "user", "content": "hello" }]);
            let (path, more) = match words {
                "/v1/responses" => (words.to_owned(), json!({ "input": hello })),
                "/v1/completions" => (words.to_owned(), json!({ "prompt": "hello", "max_tokens": 50 })),
                MESSAGES | COUNT => (words.to_owned(), json!({ "messages": hello, "max_tokens": 50 })),
                method => (
                    format!("/v1beta/models/{model}:{method}"),
                    json!({ "contents": [{ "role": "user", "parts": [{ "text": "hello" }] }] }),
                ),
            };
            let mut body = json!({ "model": model, "of_tomorrow": { "kept": 1.0 } });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let before = provider.journal().len();
            client.post(&path, &body).await;
            let journal = provider.journal();
            let mut asked = journal[before..]
                .iter()
                .filter(|received| !received.path.ends_with("/token"));
            if asked
                .next()
                .is_some_and(|received| received.json().get("of_tomorrow").is_some())
            {
                found.insert((part.name, words));
            }
        }
        let spoken = SPOKEN.iter().find(|(name, _)| *name == part.name);
        let spoken = spoken.into_iter().flat_map(|(_, words)| words.iter());
        expected.extend(spoken.map(|words| (part.name, *words)));
    }
    assert_eq!(found, expected);
}
