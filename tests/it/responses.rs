//! `/v1/responses`: OpenAI's newer dialect as a surface, to providers that speak it and to those that do not.

use serde_json::{Value, json};
use tests::config::{anthropic, openai};
use tests::gateway::complete;
use tests::sdk::sdks;
use tests::{Answer, End, Ending, Event, FakeProvider, Gate, Gateway, Home};

use crate::keys::Key;

const RESPONSES: &str = "/v1/responses";
const SIMULATED: &str = "[providers.simulated]\nadapter = \"simulated\"\n[models.\"simulated/any\"]\nprovider = \"simulated\"\n\
                         price = { input = 1.0, output = 4.0 }\n";

fn names(events: &[Event]) -> Vec<&str> {
    let names = events.iter().map(|event| event.name.as_deref().unwrap_or_default());
    names.collect()
}

/// A stream of OpenAI's own.
fn own() -> Vec<Value> {
    let usage = json!({ "input_tokens": 110, "input_tokens_details": { "cached_tokens": 100 }, "output_tokens": 5,
        "output_tokens_details": { "reasoning_tokens": 2 }, "total_tokens": 115 });
    vec![
        json!({ "type": "response.created", "sequence_number": 0, "response": { "id": "resp_1", "status": "in_progress" } }),
        json!({ "type": "response.of_tomorrow", "sequence_number": 1, "text": "rain" }),
        json!({ "type": "response.completed", "sequence_number": 2,
            "response": { "id": "resp_1", "object": "response", "status": "completed", "usage": usage } }),
    ]
}

#[tokio::test]
async fn a_provider_that_speaks_the_dialect_gets_the_request_and_gives_the_answer_as_they_are() {
    let provider = FakeProvider::start().await;
    let whole = own()[2]["response"].clone();
    let broken =
        json!({ "type": "response.failed", "response": { "error": { "code": "server_error", "message": "sorry" } } });
    let gate = Gate::shut();
    let failing = Answer::typed_events([own()[0].clone(), broken].iter()).held_after(1, &gate);
    let answers = [Answer::json(200, &whole), Answer::typed_events(own().iter()), failing];
    provider.on(RESPONSES, answers);
    let config = openai("p1", &provider.url()).replace("api_key", "responses = true\napi_key");
    let gateway = Gateway::start(&config).await;
    let body = |model: &str, is_stream: bool| {
        json!({ "model": model, "stream": is_stream, "previous_response_id": "resp_0", "of_tomorrow": { "kept": 1.0 },
            "tools": [{ "type": "web_search" }], "input": [{ "type": "of_tomorrow" }, { "role": "user", "content": "hi" }] })
    };
    let reply = gateway.data().post(RESPONSES, &body("p1/model", false)).await;
    assert_eq!((reply.status, reply.json()), (200, whole), "{}", reply.text());
    // 10 tokens at 1 USD a million, 100 at a tenth, and 5 at twice as much.
    assert_eq!(reply.header("x-pointsman-cost-usd"), Some("0.00003"));
    let stream = gateway.data().stream(RESPONSES, &body("p1/model", true)).await;
    let (seen, ending) = stream.rest().await;
    let seen: Vec<Value> = seen.iter().map(Event::json).collect();
    assert_eq!((seen, ending), (own(), Ending::Whole));
    assert_eq!(provider.journal()[0].json(), body("upstream-model", false));
    assert_eq!(provider.journal()[1].json(), body("upstream-model", true));
    let stream = gateway.data().stream(RESPONSES, &body("p1/model", true)).await;
    gate.open();
    let (seen, ending) = stream.rest().await;
    assert_eq!((names(&seen).last(), ending), (Some(&"error"), Ending::Aborted));
}

#[tokio::test]
async fn any_other_provider_is_asked_in_its_own_words_and_signed_thinking_comes_back_to_it() {
    let provider = FakeProvider::start().await;
    let thinking = json!({ "type": "thinking", "thinking": "hm", "signature": "c2ln" });
    let usage = json!({ "input_tokens": 10, "output_tokens": 5 });
    let called = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "upstream-model", "usage": usage, "stop_reason": "tool_use",
        "content": [thinking, { "type": "tool_use", "id": "toolu_1", "name": "weather", "input": { "city": "Köln" } }] });
    let said = json!({ "id": "msg_2", "type": "message", "role": "assistant", "model": "upstream-model", "usage": usage, "stop_reason": "end_turn",
        "content": [{ "type": "text", "text": "It rains." }] });
    provider.on("/v1/messages", [Answer::json(200, &called), Answer::json(200, &said)]);
    let gateway = Gateway::start(&anthropic("p1", &provider.url())).await;
    let tool = json!({ "type": "function", "name": "weather", "parameters": { "type": "object" } });
    let mut body = json!({ "model": "p1/model", "store": false, "include": ["reasoning.encrypted_content"], "tools": [tool],
        "input": [{ "role": "user", "content": "weather?" }] });
    let first = gateway.data().post(RESPONSES, &body).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let output = first.json()["output"].clone();
    assert_eq!(
        (&output[0]["type"], &output[1]["call_id"]),
        (&json!("reasoning"), &json!("toolu_1"))
    );
    let input = body["input"].as_array_mut().unwrap();
    input.extend(output.as_array().unwrap().clone());
    input.push(json!({ "type": "function_call_output", "call_id": "toolu_1", "output": "rain" }));
    let second = gateway.data().post(RESPONSES, &body).await;
    assert_eq!(
        (second.status, &second.json()["output"][0]["content"][0]["text"]),
        (200, &json!("It rains."))
    );
    let sent = provider.journal()[1].json();
    assert_eq!(sent["messages"][1]["content"], called["content"]);
    assert_eq!(sent["messages"][2]["content"][0]["tool_use_id"], "toolu_1");
    body["previous_response_id"] = first.json()["id"].clone();
    let refused = gateway.data().post(RESPONSES, &body).await;
    let message = refused.refused(400, "invalid_request");
    assert!(
        message.contains("`previous_response_id`") && message.contains("send the whole conversation"),
        "{message}"
    );
}

#[tokio::test]
async fn sdks_see_responses_streams_calls_and_their_own_exceptions() {
    let piece = |id: Option<&str>, arguments: &str| {
        json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "finish_reason": null, "delta": { "tool_calls": [{ "index": 0, "id": id, "type": "function",
            "function": { "name": id.map(|_| "weather"), "arguments": arguments } }] } }] })
    };
    let end = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{ "index": 0, "finish_reason": "tool_calls", "delta": {} }] });
    let chunks = [piece(Some("call_1"), "{\"ci"), piece(None, "ty\":\"Köln\"}"), end].map(|chunk| chunk.to_string());
    let calls = Answer::events(chunks.iter().map(String::as_str).chain(["[DONE]"]));
    let calling = FakeProvider::chatting([calls]).await;
    let cut = Answer::chat_stream(["one", "two"]).cut_after_pieces(1, End::Close);
    let config = |breaking: &FakeProvider| {
        [
            openai("tools", &calling.url()),
            openai("broken", &breaking.url()),
            SIMULATED.to_owned(),
        ]
        .concat()
    };
    for sdk in sdks() {
        let breaking = FakeProvider::chatting([cut.clone()]).await;
        let gateway = Gateway::start(&config(&breaking)).await;
        let ask = |model: &str| json!({ "model": model, "input": "hello", "store": false });
        let step = |act: &str, with: Value| json!({ "do": act, "with": with });
        let steps = json!([
            step("respond", ask("simulated/any")),
            step("respond_stream", ask("simulated/any")),
            step("respond_stream", ask("tools/model")),
            step("respond_stream", ask("broken/model")),
            step("respond", ask("nobody")),
        ]);
        let seen = sdk.takes(&gateway, steps).await;
        let text = "This is simulated/any, simulated. You asked: hello";
        for (index, one) in seen[..2].iter().enumerate() {
            let output = &one["response"]["output"][0];
            assert_eq!(output["content"][0]["text"], text, "{} {index}: {one}", sdk.name);
            assert_eq!(one["response"]["status"], "completed", "{} {index}", sdk.name);
            assert!(
                one["response"]["usage"]["output_tokens"].as_u64() > Some(0),
                "{} {index}: {one}",
                sdk.name
            );
        }
        let numbers: Vec<u64> = seen[1]["events"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|event| event["sequence_number"].as_u64())
            .collect();
        assert!(numbers.len() > 5 && numbers.is_sorted(), "{}: {numbers:?}", sdk.name);
        let call = &seen[2]["response"]["output"][0];
        assert_eq!(
            (&call["call_id"], &call["arguments"]),
            (&json!("call_1"), &json!("{\"city\":\"Köln\"}")),
            "{}: {}",
            sdk.name,
            seen[2]
        );
        assert!(!seen[3]["error"].is_null(), "{}: {}", sdk.name, seen[3]);
        assert_eq!(seen[4]["error"]["class"], "NotFoundError", "{}: {}", sdk.name, seen[4]);
    }
}

/// Calls a tool first, and knows the weather when it has been told.
fn weatherman(is_stream: bool) -> [Answer; 2] {
    let usage = json!({ "input_tokens": 10, "output_tokens": 5 });
    let thinking = json!({ "type": "thinking", "thinking": "hm", "signature": "c2ln" });
    let call = json!({ "type": "tool_use", "id": "toolu_1", "name": "weather", "input": { "city": "Köln" } });
    let whole = |content: Value, reason: &str| {
        Answer::json(
            200,
            &json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "upstream-model", "usage": usage,
                "stop_reason": reason, "content": content }),
        )
    };
    if !is_stream {
        return [
            whole(json!([thinking, call]), "tool_use"),
            whole(json!([{ "type": "text", "text": "It rains." }]), "end_turn"),
        ];
    }
    let streamed = |block: Value, delta: Value, reason: &str| {
        Answer::typed_events(&[
            json!({ "type": "message_start", "message": { "id": "msg_1", "model": "upstream-model", "usage": usage } }),
            json!({ "type": "content_block_start", "index": 0, "content_block": block }),
            json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
            json!({ "type": "content_block_stop", "index": 0 }),
            json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": { "output_tokens": 5 } }),
            json!({ "type": "message_stop" }),
        ])
    };
    let begun = json!({ "type": "tool_use", "id": "toolu_1", "name": "weather", "input": {} });
    let arguments = json!({ "type": "input_json_delta", "partial_json": "{\"city\":\"Köln\"}" });
    let said = json!({ "type": "text_delta", "text": "It rains." });
    [
        streamed(begun, arguments, "tool_use"),
        streamed(json!({ "type": "text", "text": "" }), said, "end_turn"),
    ]
}

#[tokio::test]
async fn a_turn_goes_on_with_the_one_that_it_names_for_its_key_alone_and_after_a_restart() {
    let (provider, other) = (FakeProvider::start().await, FakeProvider::start().await);
    provider.on(
        "/v1/messages",
        weatherman(false).into_iter().chain([Answer::error(500, "down")]),
    );
    other.on("/v1/chat/completions", [Answer::chat("Still.")]);
    let routes = tests::config::route("auto", &["p1", "p2"], "");
    let home = Home::with_config("");
    let [one, two] = [Key::hashed(&home), Key::hashed(&home)];
    let keys = format!(
        "[keys.one]\nhash = \"{}\"\n[keys.two]\nhash = \"{}\"\n",
        one.hash, two.hash
    );
    let config = [
        "[responses]\nkeep_hours = 1\n",
        &keys,
        &anthropic("p1", &provider.url()),
        &openai("p2", &other.url()),
        &routes,
    ];
    home.write("pointsman.toml", complete(&config.concat()));
    let gateway = Gateway::start_in(home).await;
    let client = |gateway: &Gateway, key: &Key| key.client(gateway);
    let tool = json!({ "type": "function", "name": "weather", "parameters": { "type": "object" } });
    let first = json!({ "model": "auto", "input": "weather?", "tools": [tool] });
    let called = client(&gateway, &one).post(RESPONSES, &first).await;
    assert_eq!(called.status, 200, "{}", called.text());
    let called = called.json();
    let id = called["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (called["store"].as_bool(), id.starts_with("resp_pm_")),
        (Some(true), true)
    );
    let path = format!("{RESPONSES}/{id}");
    assert_eq!(client(&gateway, &one).get(&path).await.json(), called);

    // Another key has no such response, and one that nobody has made is not there either.
    client(&gateway, &two)
        .get(&path)
        .await
        .refused(404, "response_not_found");
    let delete = hyper::Method::DELETE;
    let refused = client(&gateway, &two).send(delete.clone(), &path, &[], "").await;
    refused.refused(404, "response_not_found");
    let result = json!({ "type": "function_call_output", "call_id": "toolu_1", "output": "rain" });
    let second = json!({ "model": "auto", "previous_response_id": id, "input": [result], "tools": [tool] });
    let refused = client(&gateway, &two).post(RESPONSES, &second).await;
    refused.refused(400, "previous_response_not_found");
    assert_eq!(provider.journal().len(), 1);

    let home = gateway.home().clone();
    assert!(gateway.stop().await.success());
    let gateway = Gateway::start_in(home).await;
    let said = client(&gateway, &one).post(RESPONSES, &second).await;
    assert_eq!(said.status, 200, "{}", said.text());
    let said = said.json();
    assert_eq!(
        (&said["output"][0]["content"][0]["text"], &said["previous_response_id"]),
        (&json!("It rains."), &json!(id))
    );
    let sent = provider.journal()[1].json();
    // What its provider signed comes back to it.
    assert_eq!(sent["messages"][1]["content"][0]["signature"], "c2ln");
    assert_eq!(sent["messages"][2]["content"][0]["tool_use_id"], "toolu_1");

    // What is wrong is named as the client wrote it.
    for (input, code, place) in [
        (json!(7), "invalid_type", "`input`"),
        (json!([{}]), "missing_required_parameter", "`input[0].role`"),
    ] {
        let wrong = json!({ "model": "auto", "previous_response_id": id, "input": input });
        let message = client(&gateway, &one).post(RESPONSES, &wrong).await.refused(400, code);
        assert!(message.starts_with(place), "{message}");
    }

    // The third turn is another provider's, which gets the whole conversation.
    let third = json!({ "model": "auto", "previous_response_id": said["id"], "input": "and now?", "store": false });
    let still = client(&gateway, &one).post(RESPONSES, &third).await;
    assert_eq!(
        (still.status, still.header("x-pointsman-model")),
        (200, Some("p2/model")),
        "{}",
        still.text()
    );
    let roles: Vec<Value> = other.only().json()["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["role"].clone())
        .collect();
    assert_eq!(roles, ["user", "assistant", "tool", "assistant", "user"]);
    let unkept = still.json();
    assert_eq!(unkept["store"], false);
    let path_of = |response: &Value| format!("{RESPONSES}/{}", response["id"].as_str().unwrap());
    client(&gateway, &one)
        .get(&path_of(&unkept))
        .await
        .refused(404, "response_not_found");

    let gone = client(&gateway, &one).send(delete.clone(), &path, &[], "").await;
    assert_eq!(gone.json(), json!({ "id": id, "object": "response", "deleted": true }));
    client(&gateway, &one)
        .get(&path)
        .await
        .refused(404, "response_not_found");
    client(&gateway, &one)
        .post(RESPONSES, &second)
        .await
        .refused(400, "previous_response_not_found");
    // What went on with it has kept what was said.
    assert_eq!(client(&gateway, &one).get(&path_of(&said)).await.json(), said);
    client(&gateway, &one)
        .post(&path, &json!({}))
        .await
        .refused(405, "method_not_allowed");
}

#[tokio::test]
async fn a_provider_that_keeps_turns_itself_is_asked_for_its_own_and_others_get_the_whole() {
    let (keeper, other) = (FakeProvider::start().await, FakeProvider::start().await);
    let output = json!([{ "id": "rs_1", "type": "reasoning", "summary": [] },
        { "id": "msg_1", "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "hello" }] }]);
    let whole = |id: &str| {
        json!({ "id": id, "object": "response", "status": "completed", "output": output,
            "usage": { "input_tokens": 10, "output_tokens": 5, "total_tokens": 15 } })
    };
    keeper.on(
        RESPONSES,
        [
            Answer::json(200, &whole("resp_1")),
            Answer::json(200, &whole("resp_2")),
            Answer::error(500, "down"),
        ],
    );
    other.on(RESPONSES, [Answer::json(200, &whole("resp_3"))]);
    let own = |name: &str, url: &str| openai(name, url).replace("api_key", "responses = true\napi_key");
    let config = [
        "[responses]\n".to_owned(),
        own("p1", &keeper.url()),
        own("p2", &other.url()),
        tests::config::route("auto", &["p1", "p2"], ""),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let ask = |previous: Option<&str>| json!({ "model": "auto", "previous_response_id": previous, "input": "hi", "of_tomorrow": 1 });
    assert_eq!(gateway.data().post(RESPONSES, &ask(None)).await.json(), whole("resp_1"));
    assert_eq!(
        gateway.data().post(RESPONSES, &ask(Some("resp_1"))).await.json(),
        whole("resp_2")
    );
    assert_eq!(keeper.journal()[1].json()["previous_response_id"], "resp_1");
    assert_eq!(keeper.journal()[1].json()["input"], "hi");
    assert_eq!(
        gateway.data().post(RESPONSES, &ask(Some("resp_2"))).await.json(),
        whole("resp_3")
    );
    let sent = other.only().json();
    let hi = json!({ "role": "user", "content": "hi" });
    let hello =
        json!({ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "hello" }] });
    assert_eq!(
        (&sent["input"], &sent["of_tomorrow"]),
        (&json!([hi, hello, hi, hello, hi]), &json!(1))
    );
    assert_eq!(sent.get("previous_response_id"), None);
    gateway
        .data()
        .post(RESPONSES, &ask(Some("resp_unknown")))
        .await
        .refused(400, "previous_response_not_found");
}

#[tokio::test]
async fn sdks_go_on_by_id_streamed_and_not() {
    for (sdk, is_stream) in sdks().iter().zip([false, true]) {
        let provider = FakeProvider::start().await;
        provider.on("/v1/messages", weatherman(is_stream));
        let gateway = Gateway::start(&("[responses]\n".to_owned() + &anthropic("p1", &provider.url()))).await;
        let tool =
            json!({ "type": "function", "name": "weather", "parameters": { "type": "object" }, "strict": false });
        let act = if is_stream { "respond_stream" } else { "respond" };
        let ask = |more: Value| {
            let mut with = json!({ "model": "p1/model", "tools": [tool] });
            with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            with
        };
        let first = sdk
            .takes_one(
                &gateway,
                json!({ "do": act, "with": ask(json!({ "input": "weather?" })) }),
            )
            .await;
        let id = &first["response"]["id"];
        let result = json!({ "type": "function_call_output", "call_id": "toolu_1", "output": "rain" });
        let second = ask(json!({ "input": [result], "previous_response_id": id }));
        let steps = json!([
            { "do": act, "with": second },
            { "do": "kept", "with": { "id": id } },
            { "do": "forget", "with": { "id": id } },
            { "do": "kept", "with": { "id": id } },
        ]);
        let seen = sdk.takes(&gateway, steps).await;
        let said = &seen[0]["response"]["output"][0]["content"][0]["text"];
        assert_eq!(said, "It rains.", "{}: {}", sdk.name, seen[0]);
        assert_eq!(
            provider.journal()[1].json()["messages"][2]["content"][0]["tool_use_id"],
            "toolu_1"
        );
        assert_eq!(&seen[1]["response"]["id"], id, "{}: {}", sdk.name, seen[1]);
        assert_eq!(seen[3]["error"]["class"], "NotFoundError", "{}: {}", sdk.name, seen[3]);
    }
}
