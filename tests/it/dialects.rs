//! A provider with a dialect of its own, behind its adapter: clients see OpenAI's shape, the provider its own. What the
//! adapter makes of every field is in its golden files; here it is the gateway around it.

use serde_json::{Value, json};
use tests::config::{anthropic, openai, route};
use tests::{Answer, Ending, FakeProvider, Gate, Gateway, Home, guests};

async fn anthropic_says(answers: impl IntoIterator<Item = Answer>) -> (FakeProvider, Gateway) {
    let provider = FakeProvider::start().await;
    provider.on("/v1/messages", answers);
    let gateway = Gateway::start(&anthropic("claude", &provider.url())).await;
    (provider, gateway)
}

fn message(content: Value, stop_reason: &str) -> Answer {
    Answer::json(
        200,
        &json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "upstream-model", "content": content,
            "stop_reason": stop_reason, "stop_sequence": null,
            "usage": { "input_tokens": 10, "cache_creation_input_tokens": 4, "cache_read_input_tokens": 6, "output_tokens": 5 },
        }),
    )
}

/// A streamed message whose second block is a call.
fn calling() -> Vec<Value> {
    let delta = |index: u8, delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta });
    vec![
        json!({ "type": "message_start", "message": { "id": "msg_1", "model": "upstream-model", "usage": { "input_tokens": 10, "output_tokens": 1 } } }),
        json!({ "type": "ping" }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        delta(0, json!({ "type": "text_delta", "text": "Let me grüße." })),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "tool_use", "id": "toolu_1", "name": "look", "input": {} } }),
        delta(1, json!({ "type": "input_json_delta", "partial_json": "{\"track\":" })),
        delta(1, json!({ "type": "input_json_delta", "partial_json": "7}" })),
        json!({ "type": "content_block_stop", "index": 1 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" }, "usage": { "output_tokens": 5 } }),
        json!({ "type": "message_stop" }),
    ]
}

fn ask() -> Value {
    json!({
        "model": "claude/model", "max_tokens": 100,
        "messages": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "Which track?" }],
        "tools": [{ "type": "function", "function": { "name": "look", "parameters": { "type": "object", "properties": {} } } }],
    })
}

fn streamed() -> Value {
    let mut ask = ask();
    ask["stream"] = true.into();
    ask
}

#[tokio::test]
async fn a_request_is_translated_and_the_key_goes_where_the_provider_wants_it() {
    let (provider, gateway) =
        anthropic_says([message(json!([{ "type": "text", "text": "Track 7." }]), "end_turn")]).await;
    let reply = gateway.data().chat(&ask()).await;
    let received = provider.only();
    assert_eq!(
        (received.path.as_str(), received.method.as_str()),
        ("/v1/messages", "POST")
    );
    assert_eq!(
        (received.header("x-api-key"), received.header("authorization")),
        (Some("key-of-claude"), None)
    );
    assert_eq!(received.header("anthropic-version"), Some("2023-06-01"));
    let sent = received.json();
    assert_eq!(
        (&sent["model"], &sent["system"], &sent["max_tokens"]),
        (&"upstream-model".into(), &"Be brief.".into(), &100.into())
    );
    assert_eq!(
        sent["messages"],
        json!([{ "role": "user", "content": [{ "type": "text", "text": "Which track?" }] }])
    );
    assert_eq!(sent["tools"][0]["name"], "look");

    let answer = reply.json();
    assert_eq!((reply.status, &answer["object"]), (200, &"chat.completion".into()));
    assert_eq!(answer["choices"][0]["message"]["content"], "Track 7.");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(
        (&answer["usage"]["prompt_tokens"], &answer["usage"]["total_tokens"]),
        (&20.into(), &25.into())
    );
    // 10 + 4 written to the cache at 1.0, 6 read from it at 0.1, 5 of output at 2.0.
    assert_eq!(reply.header("x-pointsman-cost-usd"), Some("0.0000246"));
}

#[tokio::test]
async fn what_a_provider_has_no_word_for_is_named_to_the_client_or_refused() {
    let say = || message(json!([{ "type": "text", "text": "Track 7." }]), "end_turn");
    let provider = FakeProvider::start().await;
    provider.on("/v1/messages", [say(), Answer::typed_events(&calling())]);
    let one = anthropic("claude", &provider.url());
    let strict = "[models.\"claude/strict\"]\nprovider = \"claude\"\nsettings = { on_unsupported = \"refuse\" }\n";
    let gateway = Gateway::start(&format!("{one}{strict}")).await;
    let mut ask = ask();
    (ask["seed"], ask["user"], ask["moonlight"]) = (1.into(), "u".into(), true.into());
    let reply = gateway.data().chat(&ask).await;
    assert_eq!(
        (reply.status, reply.header("x-pointsman-dropped")),
        (200, Some("seed, moonlight"))
    );
    assert_eq!(provider.only().header("x-pointsman-dropped"), None);
    ask["stream"] = true.into();
    let reply = gateway.data().chat(&ask).await;
    assert_eq!(
        (reply.status, reply.header("x-pointsman-dropped")),
        (200, Some("seed, moonlight"))
    );
    ask["model"] = "claude/strict".into();
    let reply = gateway.data().chat(&ask).await;
    assert_eq!(reply.status, 400);
    assert_eq!(
        reply.json()["error"]["message"],
        "seed cannot be asked of Anthropic; leave it out"
    );
}

/// GLM takes another role, no forced tool and no seed, and has words of its own for why an answer ended.
#[tokio::test]
async fn a_provider_that_is_known_by_name_is_asked_and_answers_in_its_own_dialect() {
    let provider = FakeProvider::start().await;
    let filtered = json!({
        "id": "1", "object": "chat.completion", "created": 1, "model": "upstream-model",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "", "reasoning": "Hm." }, "finish_reason": "sensitive" }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 },
    });
    let piece = |delta: Value, finish: Value| {
        json!({ "id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
        .to_string()
    };
    let call = json!({ "id": "call_1", "function": { "name": "look", "arguments": "{}" } });
    // No `[DONE]`: the finish is the end.
    let streamed = [
        piece(json!({ "role": "assistant", "reasoning": "Hm." }), Value::Null),
        piece(json!({ "tool_calls": [call] }), Value::Null),
        piece(json!({}), "stop".into()),
    ];
    provider.on(
        "/chat/completions",
        [
            Answer::json(200, &filtered),
            Answer::events(streamed.iter().map(String::as_str)),
        ],
    );
    let gateway = Gateway::start(&format!(
        "[providers.glm]\nadapter = \"zhipu\"\nbase_url = \"{}\"\napi_key = \"k\"\n[models.\"glm/model\"]\nprovider = \"glm\"\n",
        provider.url()
    ))
    .await;
    let mut ask = ask();
    ask["messages"][0]["role"] = "developer".into();
    (ask["model"], ask["max_completion_tokens"], ask["seed"]) = ("glm/model".into(), 50.into(), 1.into());
    (ask["tool_choice"], ask["user"]) = ("required".into(), "ida".into());
    ask.as_object_mut().unwrap().remove("max_tokens");
    let reply = gateway.data().chat(&ask).await;
    let received = provider.only();
    let sent = received.json();
    assert_eq!(
        (received.path.as_str(), received.header("authorization")),
        ("/chat/completions", Some("Bearer k"))
    );
    assert_eq!(
        (&sent["max_tokens"], &sent["user_id"], &sent["messages"][0]["role"]),
        (&50.into(), &"ida".into(), &"system".into())
    );
    assert!(
        ["seed", "tool_choice", "max_completion_tokens", "user"]
            .iter()
            .all(|name| sent.get(name).is_none()),
        "{sent}"
    );
    assert_eq!(
        (reply.status, reply.header("x-pointsman-dropped")),
        (200, Some("seed, tool_choice"))
    );
    let choice = &reply.json()["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], &choice["message"]["reasoning_content"]),
        (&"content_filter".into(), &"Hm.".into())
    );

    ask["stream"] = true.into();
    let text = gateway.data().chat(&ask).await.text();
    assert!(
        text.contains(r#""reasoning_content":"Hm.""#) && text.contains(r#""finish_reason":"tool_calls""#),
        "{text}"
    );
    assert!(
        text.contains(r#""index":0,"type":"function""#) && text.trim_end().ends_with("data: [DONE]"),
        "{text}"
    );
}

#[tokio::test]
async fn a_key_in_the_query_arrives_as_it_is_and_stays_secret() {
    let key = "a&b=c d/+é%20#?canary";
    let encoded = "a%26b%3Dc%20d%2F%2B%C3%A9%2520%23%3Fcanary";
    let quoting = Answer::error(500, &format!("no such key: {key}, {encoded}"));
    let provider = FakeProvider::chatting([Answer::chat("hi"), quoting]).await;
    let home = Home::with_config(&format!(
        "[providers.one]\nadapter = \"plugins/keys-in-the-query.wasm\"\nbase_url = \"{}\"\napi_key = \"{key}\"\n\
         [models.\"one/model\"]\nprovider = \"one\"\n",
        provider.url()
    ));
    let adapter = guests::component("keys-in-the-query");
    home.write("plugins/keys-in-the-query.wasm", adapter);
    let gateway = Gateway::start_in(home).await;
    let mut ask = ask();
    ask["model"] = "one/model".into();
    assert_eq!(gateway.data().chat(&ask).await.status, 200);
    let received = provider.only();
    assert_eq!(received.path, format!("/v1/chat/completions?alt=json&key={encoded}"));
    assert_eq!(received.header("authorization"), None);

    let reply = gateway.data().chat(&ask).await;
    assert_eq!(reply.status, 502);
    gateway.logged(&["an attempt failed", "no such key"]).await;
    assert!(
        !reply.text().contains("canary") && !gateway.log().contains("canary"),
        "{}",
        reply.text()
    );
}

#[tokio::test]
async fn the_operators_headers_stay_where_the_adapter_has_its_own() {
    let provider = FakeProvider::start().await;
    let text = json!([{ "type": "text", "text": "hi" }]);
    provider.on("/v1/messages", [message(text, "end_turn")]);
    let config = anthropic("claude", &provider.url());
    let betas = "settings = { betas = [\"of-the-settings\"] }\napi_key";
    let gateway = Gateway::start(&config.replace("api_key", betas)).await;
    assert_eq!(gateway.data().chat(&ask()).await.status, 200);
    let headers = "headers = { Anthropic-Beta = \"of-the-operator\", anthropic-version = \"2030-01-01\" }\n";
    gateway.write_config(&config.replace("api_key", &format!("{headers}{betas}")));
    assert_eq!(gateway.reload().await.status, 200);
    assert_eq!(gateway.data().chat(&ask()).await.status, 200);
    let journal = provider.journal();
    assert_eq!(journal[0].header("anthropic-beta"), Some("of-the-settings"));
    let sent = journal[1].headers.iter().filter(|(name, _)| name == "anthropic-beta");
    assert_eq!(
        sent.map(|(_, value)| value.as_str()).collect::<Vec<_>>(),
        ["of-the-operator"]
    );
    assert_eq!(journal[1].header("anthropic-version"), Some("2030-01-01"));
}

#[tokio::test]
async fn calls_of_tools_come_back_in_openais_shape_whole_and_streamed() {
    let whole = message(
        json!([{ "type": "tool_use", "id": "toolu_1", "name": "look", "input": { "track": 7 } }]),
        "tool_use",
    );
    let (provider, gateway) = anthropic_says([whole, Answer::typed_events(&calling())]).await;
    let reply = gateway.data().chat(&ask()).await.json();
    let call =
        json!({ "id": "toolu_1", "type": "function", "function": { "name": "look", "arguments": "{\"track\":7}" } });
    assert_eq!(reply["choices"][0]["message"]["tool_calls"], json!([call]));
    assert_eq!(
        (
            &reply["choices"][0]["message"]["content"],
            &reply["choices"][0]["finish_reason"]
        ),
        (&Value::Null, &"tool_calls".into())
    );

    let (events, ending) = gateway.data().chat_stream(&streamed()).await.rest().await;
    assert_eq!(ending, Ending::Whole);
    assert_eq!(provider.journal()[1].json()["stream"], true);
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(done.data, "[DONE]");
    let chunks: Vec<Value> = chunks.iter().map(|event| event.json()).collect();
    let part = |pointer: &str| -> String {
        chunks
            .iter()
            .filter_map(|chunk| chunk.pointer(pointer)?.as_str())
            .collect()
    };
    assert_eq!(part("/choices/0/delta/content"), "Let me grüße.");
    assert_eq!(part("/choices/0/delta/tool_calls/0/id"), "toolu_1");
    assert_eq!(
        part("/choices/0/delta/tool_calls/0/function/arguments"),
        "{\"track\":7}"
    );
    assert_eq!(part("/choices/0/finish_reason"), "tool_calls");
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["id"] == "msg_1" && chunk.get("usage").is_none()),
        "{chunks:?}"
    );
}

#[tokio::test]
async fn a_translated_stream_is_the_same_wherever_its_bytes_are_cut() {
    let answer = Answer::typed_events(&calling());
    let cuts = [1, 2, 3, 7, 64, 333];
    let answers = std::iter::once(answer.clone()).chain(cuts.map(|size| answer.clone().in_pieces_of(size)));
    let (_provider, gateway) = anthropic_says(answers).await;
    let mut ask = streamed();
    ask["stream_options"] = json!({ "include_usage": true });
    // Chunks carry the time of their making, which is not what this is about.
    let timeless = |event: &tests::Event| {
        let mut chunk = serde_json::from_str::<Value>(&event.data).unwrap_or_default();
        chunk.as_object_mut().map(|chunk| chunk.remove("created"));
        chunk
    };
    let mut streams = Vec::new();
    for _ in 0..=cuts.len() {
        let (events, ending) = gateway.data().chat_stream(&ask).await.rest().await;
        assert_eq!(ending, Ending::Whole);
        streams.push(events.iter().map(timeless).collect::<Vec<_>>());
    }
    let last = &streams[0][streams[0].len() - 2];
    assert_eq!(
        (&last["choices"], &last["usage"]["total_tokens"]),
        (&json!([]), &15.into())
    );
    assert_eq!(last["usage"]["cost"].to_string(), "0.00002");
    assert!(streams.iter().all(|stream| *stream == streams[0]));
}

#[tokio::test]
async fn a_translated_stream_that_breaks_off_or_fails_is_never_done() {
    let failure = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    let gate = Gate::shut();
    let six = || calling().into_iter().take(6);
    let ends = Answer::typed_events(&six().collect::<Vec<_>>());
    let fails = Answer::typed_events(&six().chain([failure.clone()]).collect::<Vec<_>>());
    let (_provider, gateway) = anthropic_says([ends, fails].map(|answer| answer.held_after(4, &gate))).await;
    for _ in 0..2 {
        let mut stream = gateway.data().chat_stream(&streamed()).await;
        assert!(stream.next().await.is_some());
        gate.open();
        let (events, ending) = stream.rest().await;
        assert_eq!(ending, Ending::Aborted);
        let last = events.last().unwrap().json();
        assert!(last["error"]["code"].is_string(), "{last}");
        assert!(events.iter().all(|event| event.data != "[DONE]"));
    }
    let (_provider, gateway) = anthropic_says([Answer::typed_events(&[failure])]).await;
    // Nothing has gone out yet: the error is told as what it is.
    assert_eq!(gateway.data().chat_stream(&streamed()).await.status, 503);
}

#[tokio::test]
async fn the_providers_errors_have_openais_shape_and_lead_to_the_next_candidate() {
    let error = |status: u16, kind: &str, text: &str| {
        Answer::json(
            status,
            &json!({ "type": "error", "error": { "type": kind, "message": text } }),
        )
    };
    let (_provider, gateway) = anthropic_says([
        error(400, "invalid_request_error", "messages: bad"),
        error(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"),
        error(529, "overloaded_error", "Overloaded"),
        error(401, "authentication_error", "invalid x-api-key"),
        // The last one: after it, nobody asks before the time that it says.
        error(429, "rate_limit_error", "slow down").header("retry-after", "7"),
    ])
    .await;
    let mut replies = Vec::new();
    for (status, code) in [
        (400, "invalid_request"),
        (400, "context_length_exceeded"),
        (503, "overloaded"),
        (502, "upstream_error"),
        (429, "rate_limit_exceeded"),
    ] {
        let reply = gateway.data().chat(&ask()).await;
        reply.refused(status, code);
        replies.push(reply);
    }
    assert_eq!(replies[4].header("retry-after"), Some("7"));

    let (claude, other) = (
        FakeProvider::start().await,
        FakeProvider::chatting([Answer::chat("from the other")]).await,
    );
    claude.on("/v1/messages", [error(529, "overloaded_error", "Overloaded")]);
    let config = [
        anthropic("claude", &claude.url()),
        openai("other", &other.url()),
        route("auto", &["claude", "other"], ""),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let mut ask = ask();
    ask["model"] = "auto".into();
    let reply = gateway.data().chat(&ask).await;
    assert_eq!(
        (
            reply.status,
            reply.header("x-pointsman-model"),
            reply.header("x-pointsman-attempts")
        ),
        (200, Some("other/model"), Some("2"))
    );
    assert_eq!(other.only().json()["messages"], ask["messages"]);
}

/// Mistral has other words for a seed and a limit, ids of nine letters, a mark on what it is to go on with, and parts in its answers;
/// it refuses whatever it does not know, so that nothing else may reach it.
#[tokio::test]
async fn mistral_gets_what_it_takes_and_its_answers_are_everybodys() {
    let provider = FakeProvider::start().await;
    let text = |text: &str| json!({ "type": "text", "text": text });
    let content = json!([
        { "type": "thinking", "thinking": [text("Hm.")] },
        text("Track "), { "type": "reference", "reference_ids": [1] }, text("7."),
    ]);
    let answered = json!({
        "id": "1", "object": "chat.completion", "created": 1, "model": "upstream-model",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": content }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 },
    });
    provider.on("/v1/chat/completions", [Answer::json(200, &answered)]);
    let gateway = Gateway::start(&format!(
        "[providers.le]\nadapter = \"mistral\"\nbase_url = \"{}/v1\"\napi_key = \"k\"\n[models.\"le/model\"]\nprovider = \"le\"\n",
        provider.url()
    ))
    .await;
    let call =
        json!({ "id": "call_0123456789", "type": "function", "function": { "name": "look", "arguments": "{}" } });
    let ask = json!({
        "model": "le/model", "max_completion_tokens": 50, "seed": 7, "user": "ida", "logprobs": true, "store": true,
        "messages": [
            { "role": "developer", "content": "Be brief." },
            { "role": "user", "content": "Which track?" },
            { "role": "assistant", "tool_calls": [call] },
            { "role": "tool", "tool_call_id": "call_0123456789", "content": "7" },
            { "role": "assistant", "content": "Track" },
        ],
    });
    let reply = gateway.data().chat(&ask).await;
    let sent = provider.only().json();
    assert_eq!(
        (&sent["max_tokens"], &sent["random_seed"]),
        (&50.into(), &7.into()),
        "{sent}"
    );
    for name in [
        "max_completion_tokens",
        "seed",
        "user",
        "logprobs",
        "store",
        "stream_options",
    ] {
        assert!(sent.get(name).is_none(), "{name} was sent: {sent}");
    }
    let messages = &sent["messages"];
    assert_eq!(
        (&messages[0]["role"], &messages[4]["prefix"]),
        (&"system".into(), &true.into())
    );
    let id = messages[2]["tool_calls"][0]["id"].as_str().unwrap();
    assert!(
        id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "{id}"
    );
    assert_eq!(messages[3]["tool_call_id"], id);
    assert_eq!(reply.header("x-pointsman-dropped"), Some("user, logprobs, store"));
    let message = &reply.json()["choices"][0]["message"];
    assert_eq!(
        (&message["content"], &message["reasoning_content"]),
        (&"Track 7.".into(), &"Hm.".into()),
        "{message}"
    );
    assert!(message["citations"].is_array(), "{message}");
}
