//! Adapters that break or reach for more than they may.

use serde_json::{Value, json};
use tests::{Answer, Ending, FakeProvider, Gateway, Home, guests};

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
