//! What requests say beside OpenAI's words, as applications for OpenRouter and LiteLLM do: it narrows what a caller may use, never
//! widens it, and no provider sees it.

use hyper::Method;
use serde_json::{Value, json};
use tests::config::{openai, route};
use tests::{Answer, Ending, FakeProvider, Gateway};

use super::keys::with_key;

fn hello_with(model: &str, more: Value) -> Value {
    let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// Providers of these names, in this order on the route `auto`; the price of each is higher than that of the one before.
async fn gateway(names: &[&str], more: &str) -> (Vec<FakeProvider>, Gateway) {
    let mut providers = Vec::new();
    let mut config = route("auto", names, "retries = 5\nbackoff_ms = 1") + more;
    for (place, name) in names.iter().enumerate() {
        let provider = FakeProvider::chatting([Answer::chat(name)]).await;
        let price = format!("input = {}.0,", place + 1);
        config += &openai(name, &provider.url()).replace("input = 1.0,", &price);
        providers.push(provider);
    }
    (providers, Gateway::start(&config).await)
}

#[tokio::test]
async fn a_request_goes_on_with_the_models_that_it_names_and_providers_see_nothing_of_it() {
    let (providers, gateway) = gateway(&["a", "b", "c"], "").await;
    providers[0].on("/v1/chat/completions", [Answer::error(500, "broken")]);
    providers[1].on("/v1/chat/completions", [Answer::error(400, "invalid_value")]);
    let client = gateway.data();
    for (more, served) in [
        (json!({ "models": ["c/model"] }), "c/model"),
        (
            json!({ "fallbacks": [{ "model": "c/model" }], "route": "fallback" }),
            "c/model",
        ),
        // The first of them stands for the model where none is named.
        (json!({ "model": null, "models": ["a/model", "c/model"] }), "c/model"),
    ] {
        let more = more.as_object().unwrap().clone();
        let reply = client.chat(&hello_with("a/model", json!(more))).await;
        assert_eq!(
            (reply.status, reply.header("x-pointsman-model")),
            (200, Some(served)),
            "{}",
            reply.text()
        );
    }
    let sent = providers[2].journal();
    assert!(
        sent.iter()
            .all(|sent| sent.json() == hello_with("upstream-model", json!({}))),
        "{sent:?}"
    );
    // What is wrong with the request is wrong with every model.
    let before = providers[2].journal().len();
    let wrong = client
        .chat(&hello_with("b/model", json!({ "models": ["c/model"] })))
        .await;
    assert_eq!(
        (wrong.status, providers[2].journal().len()),
        (400, before),
        "{}",
        wrong.text()
    );
    providers[2].on("/v1/chat/completions", [Answer::chat_stream(["one"])]);
    let more = json!({ "models": ["auto"], "stream": true, "provider": { "only": ["c"] } });
    let stream = client.chat_stream(&hello_with("a/model", more)).await;
    assert_eq!(stream.header("x-pointsman-route"), Some("auto"));
    assert_eq!(stream.rest().await.1, Ending::Whole);
    let unknown = client
        .chat(&hello_with("c/model", json!({ "models": ["nobody"] })))
        .await;
    unknown.refused(404, "model_not_found");
    assert_eq!(unknown.json()["error"]["param"], "models[0]");
}

#[tokio::test]
async fn forms_say_the_same_as_sdks_write_it_and_as_json() {
    let (providers, gateway) = gateway(&["a", "b", "c"], "").await;
    let path = "/v1/audio/transcriptions";
    providers[0].on(path, [Answer::error(500, "broken")]);
    providers[2].on(path, [Answer::json(200, &json!({ "text": "hello" }))]);
    let client = gateway.data();
    let ask = async |model: &str, fields: &[(&str, &str)]| {
        let file = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\nsound\r\n";
        let fields = [("model", model)].into_iter().chain(fields.iter().copied());
        let fields: String = fields
            .map(|(name, value)| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"))
            .collect();
        let kind = [("content-type", "multipart/form-data; boundary=b")];
        client
            .send(Method::POST, path, &kind, format!("{file}{fields}--b--\r\n"))
            .await
    };
    for (model, fields) in [
        (
            "a/model",
            &[("models[]", "c/model"), ("num_retries", "0"), ("timeout", "30")][..],
        ),
        ("a/model", &[("fallbacks", r#"["c/model"]"#)]),
        (
            "auto",
            &[("provider[only][]", "c"), ("provider[allow_fallbacks]", "false")],
        ),
        (
            "auto",
            &[("provider", r#"{"only": ["c"]}"#), ("metadata[tags][]", "any")],
        ),
    ] {
        let reply = ask(model, fields).await;
        assert_eq!(
            (reply.status, reply.header("x-pointsman-model")),
            (200, Some("c/model")),
            "{fields:?}: {}",
            reply.text()
        );
    }
    for sent in providers[2].journal() {
        let body = String::from_utf8_lossy(&sent.body).into_owned();
        let names: Vec<&str> = body
            .split("name=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(
            names == ["file", "a.mp3", "model"] || names == ["file", "model"],
            "{body}"
        );
    }
    ask("auto", &[("provider[zdr]", "true")])
        .await
        .refused(400, "unsupported_extension");
    ask("auto", &[("models", "c/model")]).await.refused(400, "invalid_type");
    ask("auto", &[("mock_response", "hi")])
        .await
        .refused(400, "invalid_value");
}

#[tokio::test]
async fn preferences_choose_among_the_candidates_of_a_route() {
    let (_providers, gateway) = gateway(&["b", "a", "c"], "").await;
    let client = gateway.data();
    let served = async |model: &str, provider: Value| {
        let reply = client.chat(&hello_with(model, json!({ "provider": provider }))).await;
        assert_eq!(reply.status, 200, "{provider}: {}", reply.text());
        reply.header("x-pointsman-model").unwrap().to_owned()
    };
    for (provider, expected) in [
        (json!({}), "b/model"),
        (json!({ "only": ["c"] }), "c/model"),
        (json!({ "ignore": ["B"] }), "a/model"),
        (json!({ "order": ["c", "a"] }), "c/model"),
        (json!({ "sort": "price", "ignore": ["b"] }), "a/model"),
        (json!({ "order": ["c"], "allow_fallbacks": false }), "c/model"),
        (json!({ "max_price": { "prompt": 1 } }), "b/model"),
        (
            json!({ "require_parameters": true, "data_collection": "allow" }),
            "b/model",
        ),
    ] {
        assert_eq!(served("auto", provider.clone()).await, expected, "{provider}");
    }
    assert_eq!(served("auto:floor", json!({ "ignore": ["b"] })).await, "a/model");
    for (more, code, part) in [
        (
            json!({ "provider": { "only": ["nobody"] } }),
            "no_candidate",
            "`provider.only`",
        ),
        (
            json!({ "provider": { "max_price": { "completion": "0.5" } } }),
            "no_candidate",
            "the price",
        ),
        (json!({ "model": "auto:free" }), "no_candidate", "the price"),
        (
            json!({ "provider": { "zdr": true } }),
            "unsupported_extension",
            "`provider.zdr`",
        ),
        (
            json!({ "model": "auto:online" }),
            "unsupported_extension",
            "`web_search_options`",
        ),
        (json!({ "provider": { "sort": 1 } }), "invalid_type", "`provider.sort`"),
    ] {
        let reply = client.chat(&hello_with("auto", more)).await;
        let message = reply.refused(400, code);
        assert!(message.contains(part), "{message}");
    }
    let guided = json!({ "provider": { "preferred_max_latency": 1 } });
    let reply = client.chat(&hello_with("auto", guided)).await;
    assert_eq!(
        reply.header("x-pointsman-dropped"),
        Some("provider.preferred_max_latency")
    );
}

#[tokio::test]
async fn retries_times_tags_and_answers_that_are_brought_along_are_kept_to() {
    let (providers, gateway) = gateway(&["a", "b"], "").await;
    providers[0].on("/v1/chat/completions", [Answer::error(503, "overloaded")]);
    providers[1].on("/v1/chat/completions", [Answer::error(503, "overloaded")]);
    let client = gateway.data();
    let once = client.chat(&hello_with("auto", json!({ "num_retries": 0 }))).await;
    assert_eq!(
        (once.status, providers[0].journal().len(), providers[1].journal().len()),
        (503, 1, 0)
    );
    let alone = client
        .chat(&hello_with(
            "auto",
            json!({ "provider": { "allow_fallbacks": false }, "num_retries": 0 }),
        ))
        .await;
    assert_eq!((alone.status, providers[1].journal().len()), (503, 0));
    providers[1].on("/v1/chat/completions", [Answer::never()]);
    let late = client.chat(&hello_with("b/model", json!({ "timeout": 0.05 }))).await;
    late.refused(504, "upstream_timeout");
    let before = providers[1].journal().len();
    let mock = json!({ "mock_response": "Good morning" });
    let told = client.chat(&hello_with("auto", mock.clone())).await;
    assert_eq!(
        told.json()["choices"][0]["message"]["content"],
        "Good morning",
        "{}",
        told.text()
    );
    let streamed = hello_with("auto", json!({ "mock_response": "Good morning", "stream": true }));
    let (events, ending) = client.chat_stream(&streamed).await.rest().await;
    assert_eq!(
        (events[0].json()["choices"][0]["delta"]["content"].clone(), ending),
        (json!("Good morning"), Ending::Whole)
    );
    let responded = client
        .post(
            "/v1/responses",
            &json!({ "model": "auto", "input": "hi", "mock_response": "Good morning" }),
        )
        .await;
    assert_eq!(
        responded.json()["output"][0]["content"][0]["text"],
        "Good morning",
        "{}",
        responded.text()
    );
    assert_eq!(providers[1].journal().len(), before);
}

#[tokio::test]
async fn tags_choose_where_a_model_has_them_and_are_no_providers_business() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let paid = openai("paid", &provider.url()) + "tags = [\"paid\"]\n";
    let config = [
        openai("plain", &provider.url()),
        paid,
        route("auto", &["plain", "paid"], ""),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    for (metadata, served, left) in [
        (
            json!({ "tags": ["paid"], "kept": "x" }),
            "paid/model",
            json!({ "kept": "x" }),
        ),
        (json!({ "tags": ["team-a"] }), "plain/model", Value::Null),
    ] {
        let reply = gateway
            .data()
            .chat(&hello_with("auto", json!({ "metadata": metadata })))
            .await;
        assert_eq!(reply.header("x-pointsman-model"), Some(served), "{}", reply.text());
        assert_eq!(provider.journal().last().unwrap().json()["metadata"], left);
    }
}

#[tokio::test]
async fn a_key_reaches_no_more_than_it_may_by_wishes() {
    let (provider, gateway, key) = with_key("routes = [\"auto\"]", "").await;
    let client = gateway
        .data()
        .with_header("authorization", &format!("Bearer {}", key.text));
    let wider = client
        .chat(&hello_with("auto", json!({ "models": ["one/model"] })))
        .await;
    wider.refused(403, "permission_denied");
    assert!(provider.journal().is_empty());
    let suffixed = client.chat(&hello_with("auto:nitro", json!({}))).await;
    assert_eq!(
        (suffixed.status, suffixed.header("x-pointsman-route")),
        (200, Some("auto")),
        "{}",
        suffixed.text()
    );
}

#[tokio::test]
async fn without_extensions_members_are_their_providers_business() {
    let (providers, gateway) = gateway(&["a"], "\n[server]\nextensions = []\n").await;
    let more = json!({ "provider": { "zdr": true }, "fallbacks": ["x"], "models": ["y"] });
    let reply = gateway.data().chat(&hello_with("auto", more.clone())).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(providers[0].only().json(), hello_with("upstream-model", more));
    gateway
        .data()
        .chat(&hello_with("auto:floor", json!({})))
        .await
        .refused(404, "model_not_found");
}
