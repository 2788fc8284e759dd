//! Adapters that break or reach for more than they may.

use serde_json::{Value, json};
use tests::config::{anthropic, openai, route};
use tests::{Answer, Ending, FakeProvider, Gate, Gateway, Home, guests};

/// A gateway with this adapter for these models, beside a good one for the model `good`.
async fn gateway_with(adapter: &str, models: &[&str], provider: &FakeProvider) -> Gateway {
    let mut config = format!(
        "[providers.bad]\nadapter = \"plugins/{adapter}.wasm\"\nbase_url = \"{0}\"\napi_key = \"canary-key\"\n\
         [providers.good]\nadapter = \"openai\"\nbase_url = \"{0}/v1\"\n[models.good]\nprovider = \"good\"\n\
         [plugins.adapter_limits]\ncall_ms = 20_000\nconfigure_ms = 60_000\n",
        provider.url()
    );
    for model in models {
        config += &format!("[models.{model}]\nprovider = \"bad\"\nupstream = \"{model}\"\n");
    }
    let home = Home::with_config(&config);
    home.write(&format!("plugins/{adapter}.wasm"), guests::component(adapter));
    Gateway::start_in(home).await
}

fn ask(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] })
}

#[tokio::test]
async fn a_request_that_an_adapter_forges_does_not_leave_the_gateway() {
    let forged = [
        "other-host",
        "userinfo",
        "parent",
        "line-break",
        "host",
        "authorization",
        "framing",
        "method",
    ];
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let gateway = gateway_with("forges-requests", &[&forged[..], &["honest"]].concat(), &provider).await;
    for model in forged {
        let reply = gateway.data().chat(&ask(model)).await;
        let message = reply.refused(502, "adapter_invalid_output");
        assert!(!message.contains("canary"), "{message}");
    }
    assert!(provider.journal().is_empty(), "{:#?}", provider.journal());
    let faults = "pointsman_plugin_faults_total{plugin=\"adapter:bad\",kind=\"invalid_output\"}";
    assert_eq!(gateway.metric(faults).await, forged.len() as f64);

    // The same adapter when it does as it should: the host adds key and host after it has returned.
    let reply = gateway.data().chat(&ask("honest")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let received = provider.only();
    assert_eq!(received.header("authorization"), Some("Bearer canary-key"));
    assert_eq!(received.header("host"), Some(provider.address().to_string().as_str()));
    assert!(!gateway.log().contains("canary"));
}

#[tokio::test]
async fn an_adapter_that_breaks_in_a_stream_breaks_that_stream_and_says_so() {
    let stream = Answer::chat_stream(["one", "two", "three", "four"]);
    let provider = FakeProvider::chatting([stream.clone()]).await;
    // Where the adapter's base URL and path lead.
    provider.on("/chat/completions", [stream]);
    let mut gateway = gateway_with("breaks-in-the-third-event", &["breaks"], &provider).await;
    let mut streamed = ask("breaks");
    streamed["stream"] = true.into();
    for _ in 0..3 {
        let stream = gateway.data().chat_stream(&streamed).await;
        if stream.status == 200 {
            let (events, ending) = stream.rest().await;
            assert_eq!(ending, Ending::Aborted);
            let error = events.last().unwrap().json();
            assert_eq!(error["error"]["code"], "adapter_invalid_output", "{error}");
            assert!(events.iter().all(|event| event.data != "[DONE]"), "{events:?}");
        } else {
            // All events came in one read, and none had gone out.
            assert_eq!(stream.status, 502);
        }
    }
    // Its neighbours have other instances, or other adapters.
    let mut fine = ask("good");
    fine["stream"] = true.into();
    let (events, ending) = gateway.data().chat_stream(&fine).await.rest().await;
    assert_eq!(
        (events.last().unwrap().data.as_str(), ending),
        ("[DONE]", Ending::Whole)
    );
    assert!(gateway.is_running());
    let faults = "pointsman_plugin_faults_total{plugin=\"adapter:bad\",kind=\"trap\"}";
    assert_eq!(gateway.metric(faults).await, 3.0);
}

#[tokio::test]
async fn what_an_adapter_answers_is_read_before_the_client_is_given_it() {
    let provider = FakeProvider::chatting([]).await;
    provider.on(
        "/chat/completions",
        [Answer::chat("hi"), Answer::chat("hi"), Answer::chat("hi")],
    );
    let gateway = gateway_with(
        "returns-rubbish",
        &["no-json", "twice", "wild-usage", "honest"],
        &provider,
    )
    .await;
    for model in ["no-json", "twice", "wild-usage"] {
        gateway
            .data()
            .chat(&ask(model))
            .await
            .refused(502, "adapter_invalid_output");
    }
    let faults = "pointsman_plugin_faults_total{plugin=\"adapter:bad\",kind=\"invalid_output\"}";
    assert_eq!(gateway.metric(faults).await, 3.0);
    gateway.logged(&["the answer is not JSON"]).await;
    gateway.logged(&["a usage of 18446744073709551615 tokens"]).await;

    provider.on("/chat/completions", [Answer::chat("hi"), Answer::chat_stream(["hi"])]);
    assert_eq!(gateway.data().chat(&ask("honest")).await.status, 200);
    let mut streamed = ask("no-json");
    streamed["stream"] = true.into();
    gateway
        .data()
        .chat(&streamed)
        .await
        .refused(502, "adapter_invalid_output");
    assert_eq!(gateway.metric(faults).await, 4.0);
}

#[tokio::test]
async fn an_adapter_that_explains_an_error_sees_no_key_and_names_no_metric() {
    let quoted =
        |status| Answer::json(status, &json!({ "error": "the key canary-key is wrong" })).header("x-key", "canary-key");
    let provider = FakeProvider::chatting([]).await;
    provider.on("/chat/completions", [quoted(401), quoted(500)]);
    let gateway = gateway_with("returns-rubbish", &["honest"], &provider).await;
    for _ in 0..2 {
        let message = gateway.data().chat(&ask("honest")).await.refused(502, "upstream_error");
        assert_eq!(message, "key in a header: false, key in the body: false");
    }
    let series =
        "pointsman_attempts_total{gen_ai_provider_name=\"bad\",gen_ai_request_model=\"honest\",error_type=\"other\"}";
    assert_eq!(gateway.metric(series).await, 2.0);
}

#[tokio::test]
async fn a_stream_without_a_place_for_it_is_not_asked_for_and_does_not_count_against_its_provider() {
    let gate = Gate::shut();
    let provider = FakeProvider::start().await;
    let event = json!({ "type": "message_start", "message": { "id": "m", "model": "m", "role": "assistant", "content": [],
        "usage": { "input_tokens": 1, "output_tokens": 1 } } });
    let started = Answer::typed_events([&event]).held_after(1, &gate);
    provider.on("/v1/messages", [started]);
    let other = FakeProvider::chatting([Answer::chat_stream(["hi"])]).await;
    let config = format!(
        "[plugins]\nslots = 4\n[plugins.adapter_limits]\ncall_ms = 20_000\nconfigure_ms = 60_000\n{}{}{}",
        anthropic("one", &provider.url()),
        openai("two", &other.url()),
        route("auto", &["one", "two"], ""),
    );
    let gateway = Gateway::start(&config).await;
    let streamed = |model: &str| json!({ "model": model, "stream": true, "max_tokens": 5, "messages": [{ "role": "user", "content": "hello" }] });
    let mut streams = Vec::new();
    for _ in 0..3 {
        let client = gateway.data();
        streams.push(client.chat_stream(&streamed("one/model")).await);
    }
    let message = gateway
        .data()
        .chat(&streamed("one/model"))
        .await
        .refused(503, "overloaded");
    assert!(message.contains("the gateway is at the limit"), "{message}");
    let reply = gateway.data().chat(&streamed("auto")).await;
    assert_eq!(
        (reply.status, reply.header("x-pointsman-model")),
        (200, Some("two/model"))
    );
    assert_eq!(provider.journal().len(), 3);
    let routes = gateway.shows("/admin/routes").await;
    let is_well = |candidate: &Value| candidate["health"]["error_permille"] == 0;
    let candidates = routes["routes"][0]["candidates"].as_array().unwrap();
    assert!(candidates.len() == 2 && candidates.iter().all(is_well), "{routes}");
    let series = "pointsman_attempts_total{gen_ai_provider_name=\"one\",gen_ai_request_model=\"one/model\",error_type=\"gateway_busy\"}";
    assert_eq!(gateway.metric(series).await, 2.0);
    gate.open();
}
