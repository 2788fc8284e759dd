//! The gateway as applications meet it: through OpenAI's own SDKs for Python and Node, which both have to see the same.
//! What goes over the wire is tested in other modules; here the SDK's objects and exceptions are what counts.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::config::{anthropic, openai, policy, route};
use tests::sdk::{self, Sdk, sdks};
use tests::{Answer, End, FakeProvider, Gate, Gateway, Home, fences};
use xtask::workspace;

const HELLO: &str = "hello";

fn hello(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": HELLO }] })
}

/// `hello` with more fields.
fn hello_with(model: &str, more: Value) -> Value {
    let mut body = hello(model);
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

/// The gateway of somebody who has just saved the configuration that is built in, as the README says.
async fn simulated() -> Gateway {
    let home = Home::new();
    let printed = home.run(&["check", "--print"]);
    let config = String::from_utf8(printed.stdout).unwrap();
    Gateway::start(&config).await
}

/// The first block of the README in this language that contains these words, with the address replaced by the gateway's.
fn from_the_readme(gateway: &Gateway, language: &str, words: &str) -> String {
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let found = fences(&readme, language)
        .into_iter()
        .find(|fence| fence.text.contains(words));
    let text = found
        .unwrap_or_else(|| panic!("no `{language}` with `{words}` in the README"))
        .text;
    assert!(text.contains("http://127.0.0.1:8080"), "another address: {text}");
    text.replace("http://127.0.0.1:8080", &gateway.url())
}

/// The text of a stream, put together as applications do.
fn text_of(chunks: &Value) -> String {
    let chunks = chunks.as_array().into_iter().flatten();
    chunks
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect()
}

/// What of an error is the same in both SDKs.
#[track_caller]
fn refused(sdk: &Sdk, seen: &Value, class: &str, status: u16, code: &str) {
    let error = &seen["error"];
    let found = (&error["class"], &error["status"], &error["code"]);
    let expected = (&json!(class), &json!(status), &json!(code));
    assert_eq!(found, expected, "{}: {seen}", sdk.name);
    assert!(
        error["request_id"].as_str().is_some_and(|id| !id.is_empty()),
        "{}: {seen}",
        sdk.name
    );
    assert!(
        error["message"].as_str().is_some_and(|text| !text.is_empty()),
        "{}: {seen}",
        sdk.name
    );
}

#[tokio::test]
async fn the_readmes_python_program_prints_who_answered_and_why_and_a_story() {
    let Some(python) = sdk::python() else { return };
    let gateway = simulated().await;
    let program = from_the_readme(&gateway, "python", "from openai import OpenAI");
    let output = python.runs(&["-c", &program], String::new()).await;
    let expected = "simulated/small - density 0.01: simple\n\
                    simulated/coder - density 0.09: simple; rule 1 found `python`\n\
                    simulated/small - density 0.01: simple\n\
                    This is simulated/small, simulated. You asked: Tell me a story";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[tokio::test]
async fn the_readmes_curl_line_shows_who_answered_and_why_and_what_it_cost() {
    let gateway = simulated().await;
    let line = from_the_readme(&gateway, "sh", "curl");
    let mut command = sdk::clean(Command::new("sh"));
    command.args(["-c", &line]);
    let output = sdk::finish(command, String::new()).await;
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for expected in [
        "HTTP/1.1 200 OK",
        "x-pointsman-model: simulated/coder",
        "x-pointsman-reason: density 0.02: simple; rule 1 found `python`",
        "x-pointsman-cost-usd: 0.000",
        "You asked: Write a Python function that adds two numbers",
    ] {
        assert!(shown.contains(expected), "no `{expected}` in:\n{shown}");
    }
}

#[tokio::test]
async fn a_streamed_answer_is_the_whole_one_in_pieces() {
    let gateway = simulated().await;
    for sdk in sdks() {
        let steps = json!([
            { "do": "chat", "with": hello("auto") },
            { "do": "stream", "with": hello("auto") },
            { "do": "accumulate", "with": hello("auto") },
        ]);
        let [whole, streamed, accumulated] = sdk.takes(&gateway, steps).await.try_into().unwrap();
        let text = "This is simulated/small, simulated. You asked: hello";
        let choice = &whole["completion"]["choices"][0];
        assert_eq!(choice["message"]["content"], text, "{}", sdk.name);
        assert_eq!(choice["finish_reason"], "stop", "{}", sdk.name);
        assert_eq!(whole["headers"]["x-pointsman-model"], "simulated/small", "{}", sdk.name);
        assert_eq!(streamed["error"], Value::Null, "{}", sdk.name);
        assert_eq!(text_of(&streamed["chunks"]), text, "{}", sdk.name);
        assert_eq!(
            accumulated["completion"]["choices"][0]["message"]["content"], text,
            "{}",
            sdk.name
        );
    }
}

#[tokio::test]
async fn an_answer_has_the_id_that_the_gateway_gave_its_request() {
    let gateway = simulated().await;
    for sdk in sdks() {
        let named = hello_with("auto", json!({ "extra_headers": { "x-request-id": "ticket-7" } }));
        let steps = json!([{ "do": "chat", "with": hello("auto") }, { "do": "chat", "with": named }]);
        let seen = sdk.takes(&gateway, steps).await;
        let id = &seen[0]["request_id"];
        assert!(
            id.as_str().is_some_and(|id| id.starts_with("req-")),
            "{}: {id}",
            sdk.name
        );
        assert_eq!(*id, seen[0]["headers"]["x-pointsman-request-id"], "{}", sdk.name);
        assert_eq!(seen[1]["request_id"], "ticket-7", "{}", sdk.name);
    }
}

#[tokio::test]
async fn models_and_routes_are_listed_and_each_can_be_retrieved() {
    let gateway = simulated().await;
    for sdk in sdks() {
        let steps = json!([
            { "do": "models" },
            { "do": "model", "with": { "id": "auto" } },
            { "do": "model", "with": { "id": "simulated/coder" } },
            { "do": "model", "with": { "id": "simulated/none" } },
        ]);
        let [list, route, model, none] = sdk.takes(&gateway, steps).await.try_into().unwrap();
        let listed = list["models"].as_array().unwrap();
        let ids: Vec<&str> = listed.iter().filter_map(|model| model["id"].as_str()).collect();
        assert_eq!(
            ids,
            ["auto", "simulated/coder", "simulated/large", "simulated/small"],
            "{}",
            sdk.name
        );
        assert_eq!(route["model"], listed[0], "{}", sdk.name);
        assert_eq!(model["model"], listed[1], "{}", sdk.name);
        refused(sdk, &none, "NotFoundError", 404, "model_not_found");
    }
}

#[tokio::test]
async fn an_error_is_the_sdks_own_exception() {
    let rules = r#"rules = [
        { any = ["weapon"], reject = { status = 403, code = "forbidden_topic", message = "not about this" } },
        { any = ["again"], reject = { status = 429, code = "too_often", message = "enough for today" } },
    ]"#;
    let provider = FakeProvider::chatting([Answer::error(400, "unknown_parameter")]).await;
    let gateway = Gateway::start(
        &[
            openai("one", &provider.url()),
            policy("words", "keyword", rules),
            route("auto", &["one"], "policies = [\"words\"]"),
        ]
        .concat(),
    )
    .await;
    let saying = |text: &str| json!({ "model": "auto", "messages": [{ "role": "user", "content": text }] });
    for sdk in sdks() {
        let steps = json!([
            { "do": "chat", "with": hello("no-such-model") },
            { "do": "chat", "with": hello_with("auto", json!({ "messages": [] })) },
            { "do": "stream", "with": hello_with("auto", json!({ "max_tokens": -1 })) },
            { "do": "chat", "with": saying("build a weapon") },
            { "do": "stream", "with": saying("and again") },
            { "do": "chat", "with": hello("auto") },
        ]);
        let seen: [Value; 6] = sdk.takes(&gateway, steps).await.try_into().unwrap();
        refused(sdk, &seen[0], "NotFoundError", 404, "model_not_found");
        assert_eq!(seen[0]["error"]["param"], "model", "{}", sdk.name);
        assert_eq!(seen[0]["error"]["type"], "invalid_request_error", "{}", sdk.name);
        refused(sdk, &seen[1], "BadRequestError", 400, "invalid_value");
        refused(sdk, &seen[2], "BadRequestError", 400, "invalid_type");
        refused(sdk, &seen[3], "PermissionDeniedError", 403, "forbidden_topic");
        refused(sdk, &seen[4], "RateLimitError", 429, "too_often");
        refused(sdk, &seen[5], "BadRequestError", 400, "invalid_request");
    }
    assert_eq!(
        provider.journal().len(),
        sdks().len(),
        "an error of the caller's was tried again"
    );
    let refusals = gateway
        .metric("pointsman_requests_total{route=\"auto\",status=\"429\"}")
        .await;
    assert_eq!(refusals, sdks().len() as f64, "a policy's refusal was tried again");
}

#[tokio::test]
async fn what_the_gateway_has_tried_everywhere_is_not_tried_again() {
    for sdk in sdks() {
        let (one, two) = (
            FakeProvider::chatting([Answer::error(500, "down")]).await,
            FakeProvider::chatting([Answer::error(500, "down")]).await,
        );
        let config = [
            openai("one", &one.url()),
            openai("two", &two.url()),
            route("auto", &["one", "two"], "retries = 1"),
        ];
        let gateway = Gateway::start(&config.concat()).await;
        let seen = sdk
            .takes_one(&gateway, json!({ "do": "chat", "with": hello("auto") }))
            .await;
        refused(sdk, &seen, "InternalServerError", 502, "upstream_error");
        assert_eq!((one.journal().len(), two.journal().len()), (1, 1), "{}", sdk.name);
    }
}

#[tokio::test]
async fn a_provider_that_is_busy_is_asked_again_when_it_said() {
    for sdk in sdks() {
        let busy = Answer::error(429, "rate_limit_exceeded").header("retry-after-ms", "20");
        let provider = FakeProvider::chatting([busy, Answer::chat("now")]).await;
        let gateway = Gateway::start(&openai("one", &provider.url())).await;
        let seen = sdk
            .takes_one(&gateway, json!({ "do": "chat", "with": hello("one/model") }))
            .await;
        assert_eq!(
            seen["completion"]["choices"][0]["message"]["content"], "now",
            "{}: {seen}",
            sdk.name
        );
        assert_eq!(provider.journal().len(), 2, "{}", sdk.name);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_raises_after_what_has_come() {
    let error = json!({ "error": { "message": "out of memory", "type": "server_error", "code": null } }).to_string();
    let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "delta": { "content": "one" }, "finish_reason": null }] })
    .to_string();
    let broken = |end| Answer::chat_stream(["one", "two"]).cut_after_pieces(1, end);
    let unfinished = Answer::events([chunk.as_str()]);
    let told = Answer::events([chunk.as_str(), error.as_str()]);
    for sdk in sdks() {
        for answer in [broken(End::Close), broken(End::Reset), unfinished.clone(), told.clone()] {
            // What breaks before anything has gone out is an error like any other, so the break waits for the beginning.
            let gate = Gate::shut();
            let provider = FakeProvider::chatting([answer.clone().held_after(1, &gate)]).await;
            let gateway = Gateway::start(&openai("one", &provider.url())).await;
            let step = json!({ "do": "stream", "with": hello("one/model") });
            let ((), seen) = tokio::join!(open_once_answered(&gate, &gateway), sdk.takes_one(&gateway, step));
            assert_eq!(text_of(&seen["chunks"]), "one", "{}: {answer:?}", sdk.name);
            assert_eq!(seen["error"]["class"], "APIError", "{}: {answer:?}: {seen}", sdk.name);
            assert_eq!(seen["error"]["code"], "upstream_error", "{}: {seen}", sdk.name);
            assert_eq!(provider.journal().len(), 1, "{}", sdk.name);
        }
    }
}

/// Opens the gate when the gateway has begun to answer.
async fn open_once_answered(gate: &Gate, gateway: &Gateway) {
    let beginning = async {
        while gateway.metric("pointsman_overhead_seconds_count").await == 0.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), beginning)
        .await
        .expect("the gateway does not begin to answer");
    gate.open();
}

#[tokio::test]
async fn usage_of_a_stream_is_shown_to_those_who_ask() {
    let provider = FakeProvider::chatting([Answer::chat_stream(["one", "two"])]).await;
    let gateway = Gateway::start(&openai("one", &provider.url())).await;
    for sdk in sdks() {
        let asking = hello_with("one/model", json!({ "stream_options": { "include_usage": true } }));
        let steps = json!([{ "do": "stream", "with": hello("one/model") }, { "do": "stream", "with": asking }]);
        let [silent, telling] = sdk.takes(&gateway, steps).await.try_into().unwrap();
        assert_eq!(text_of(&silent["chunks"]), "onetwo", "{}", sdk.name);
        for chunk in silent["chunks"].as_array().unwrap() {
            assert!(
                chunk["usage"].is_null() && chunk["choices"][0].is_object(),
                "{}: {chunk}",
                sdk.name
            );
        }
        let last = telling["chunks"].as_array().unwrap().last().unwrap();
        assert_eq!(
            (&last["choices"], &last["usage"]["total_tokens"]),
            (&json!([]), &json!(15)),
            "{}",
            sdk.name
        );
    }
}

#[tokio::test]
async fn tools_and_formats_reach_the_provider_and_its_calls_come_back() {
    let call = json!({ "id": "call_1", "type": "function",
        "function": { "name": "weather", "arguments": "{\"city\":\"Köln\"}" } });
    let message = json!({ "role": "assistant", "content": null, "tool_calls": [call] });
    let provider = FakeProvider::chatting([Answer::json(
        200,
        &json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{ "index": 0, "message": message, "finish_reason": "tool_calls" }] }),
    )])
    .await;
    let gateway = Gateway::start(&openai("one", &provider.url())).await;
    let schema = json!({ "type": "object", "properties": { "celsius": { "type": "number" } }, "required": ["celsius"],
        "additionalProperties": false });
    let asked = json!({
        "tools": [weather()],
        "tool_choice": "auto",
        "parallel_tool_calls": false,
        "response_format": { "type": "json_schema", "json_schema": { "name": "report", "strict": true, "schema": schema } },
    });
    for sdk in sdks() {
        let with = hello_with("one/model", asked.clone());
        let seen = sdk.takes_one(&gateway, json!({ "do": "chat", "with": with })).await;
        let choice = &seen["completion"]["choices"][0];
        assert_eq!(choice["message"]["tool_calls"], json!([call]), "{}: {seen}", sdk.name);
        assert_eq!(choice["finish_reason"], "tool_calls", "{}", sdk.name);
        let received = provider.journal().pop().unwrap().json();
        assert_eq!(received, hello_with("upstream-model", asked.clone()), "{}", sdk.name);
    }
}

#[tokio::test]
async fn fields_that_the_sdk_does_not_know_reach_the_provider() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let gateway = Gateway::start(&openai("one", &provider.url())).await;
    let unknown = json!({ "top_k": 40, "thinking": { "type": "enabled", "budget": [1, null, 2.5] } });
    for sdk in sdks() {
        let with = hello_with("one/model", json!({ "extra_body": unknown }));
        sdk.takes_one(&gateway, json!({ "do": "chat", "with": with })).await;
        let received = provider.journal().pop().unwrap().json();
        assert_eq!(received, hello_with("upstream-model", unknown.clone()), "{}", sdk.name);
    }
}

#[tokio::test]
async fn tool_calls_streamed_in_anthropics_dialect_accumulate() {
    let provider = FakeProvider::start().await;
    provider.on("/v1/messages", [two_calls()]);
    let gateway = Gateway::start(&anthropic("other", &provider.url())).await;
    for sdk in sdks() {
        let with = hello_with("other/model", json!({ "tools": [weather()] }));
        let seen = sdk
            .takes_one(&gateway, json!({ "do": "accumulate", "with": with }))
            .await;
        let choice = &seen["completion"]["choices"][0];
        assert_eq!(choice["message"]["content"], "Let me look.", "{}: {seen}", sdk.name);
        assert_eq!(choice["finish_reason"], "tool_calls", "{}", sdk.name);
        let calls = choice["message"]["tool_calls"].as_array().unwrap();
        let calls: Vec<_> = calls
            .iter()
            .map(|call| {
                (
                    &call["id"],
                    &call["type"],
                    &call["function"]["name"],
                    &call["function"]["arguments"],
                )
            })
            .collect();
        let expected = |id: &str, arguments: &str| (json!(id), json!("function"), json!("weather"), json!(arguments));
        let expected = [
            expected("toolu_1", "{\"city\": \"Köln\"}"),
            expected("toolu_2", "{\"city\": \"Bonn\"}"),
        ];
        let expected: Vec<_> = expected.iter().map(|(a, b, c, d)| (a, b, c, d)).collect();
        assert_eq!(calls, expected, "{}", sdk.name);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_in_anthropics_dialect_raises_too() {
    for sdk in sdks() {
        let provider = FakeProvider::start().await;
        provider.on("/v1/messages", [two_calls().cut_after_pieces(3, End::Close)]);
        let gateway = Gateway::start(&anthropic("other", &provider.url())).await;
        let seen = sdk
            .takes_one(&gateway, json!({ "do": "stream", "with": hello("other/model") }))
            .await;
        assert_eq!(text_of(&seen["chunks"]), "Let me look.", "{}: {seen}", sdk.name);
        assert_eq!(seen["error"]["class"], "APIError", "{}: {seen}", sdk.name);
    }
}

fn weather() -> Value {
    json!({ "type": "function", "function": { "name": "weather", "strict": true, "parameters": {
        "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"],
        "additionalProperties": false } } })
}

/// A text and two calls, whose arguments come in pieces that cut a word and a character's escape.
fn two_calls() -> Answer {
    let start =
        |index: u32, block: Value| json!({ "type": "content_block_start", "index": index, "content_block": block });
    let delta = |index: u32, delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta });
    let stop = |index: u32| json!({ "type": "content_block_stop", "index": index });
    let tool = |id: &str| json!({ "type": "tool_use", "id": id, "name": "weather", "input": {} });
    let piece = |json: &str| json!({ "type": "input_json_delta", "partial_json": json });
    let events = [
        json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message", "role": "assistant", "content": [],
            "model": "upstream-model", "stop_reason": null, "usage": { "input_tokens": 10, "output_tokens": 1 } } }),
        start(0, json!({ "type": "text", "text": "" })),
        delta(0, json!({ "type": "text_delta", "text": "Let me look." })),
        stop(0),
        start(1, tool("toolu_1")),
        delta(1, piece("")),
        delta(1, piece("{\"ci")),
        delta(1, piece("ty\": \"Kö")),
        delta(1, piece("ln\"}")),
        stop(1),
        start(2, tool("toolu_2")),
        delta(2, piece("{\"city\": \"Bonn\"}")),
        stop(2),
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" }, "usage": { "output_tokens": 40 } }),
        json!({ "type": "message_stop" }),
    ];
    let events: Vec<String> = events.iter().map(Value::to_string).collect();
    Answer::events(events.iter().map(String::as_str))
}

#[tokio::test]
async fn keys_that_are_wrong_or_held_to_something_raise_the_sdks_own_exceptions() {
    let own = "routes = [\"auto\"]\nlimits = { tpm = 1_000 }";
    let (provider, gateway, key) = crate::keys::with_key(own, "").await;
    for sdk in sdks() {
        let chat = |with: Value| json!({ "do": "chat", "with": with });
        let wrong = sdk
            .takes_with_key(&gateway, "sk-pm-wrong", json!([chat(hello("auto"))]))
            .await;
        refused(sdk, &wrong[0], "AuthenticationError", 401, "invalid_api_key");
        let too_much = chat(hello_with("auto", json!({ "max_tokens": 5_000 })));
        let steps = json!([chat(hello("auto")), chat(hello("one/model")), too_much, { "do": "models" }]);
        let seen = sdk.takes_with_key(&gateway, &key.text, steps).await;
        assert_eq!(
            seen[0]["completion"]["choices"][0]["message"]["content"], "hi",
            "{}",
            sdk.name
        );
        refused(sdk, &seen[1], "PermissionDeniedError", 403, "permission_denied");
        refused(sdk, &seen[2], "RateLimitError", 429, "rate_limit_exceeded");
        assert_eq!(seen[3]["models"].as_array().map(Vec::len), Some(1), "{}", sdk.name);
    }
    assert_eq!(provider.journal().len(), sdks().len());
}
