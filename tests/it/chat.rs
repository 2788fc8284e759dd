//! A chat completion from the client to the provider and back: what is passed on, what is changed, what never leaves the
//! gateway. Streams are in `streaming.rs`, providers with a dialect of their own in `dialects.rs`.

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use tests::config::{anthropic, openai, policy, route};
use tests::{Answer, Client, FakeProvider, Gateway, Reply};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

async fn chatting(answer: Answer) -> (FakeProvider, Gateway) {
    let provider = FakeProvider::chatting([answer]).await;
    let gateway = Gateway::start(&openai("one", &provider.url())).await;
    (provider, gateway)
}

fn hello(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] })
}

async fn send(client: &Client, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
    client.send(Method::POST, "/v1/chat/completions", headers, body).await
}

#[tokio::test]
async fn every_byte_of_a_request_but_the_models_name_reaches_the_provider() {
    let (provider, gateway) = chatting(Answer::chat("hi")).await;
    let body = concat!(
        "{ \"messages\":[{\"role\":\"user\" ,\"content\":\"gr\\u00fc\u{df}e \\ud83d\\ude00\",\"name\":\"n\"}],\n\t",
        "\"temperature\":0.10,\"seed\":12345678901234567890123,\"logit_bias\":{\"50256\":-1e2},\"stop\":[\"\\/\"],",
        "\"a_field_of_tomorrow\":{\"deep\":[null,true,{\"\":1.0}]},\"model\" : \"one\\/model\" , \"n\":1}",
    );
    let reply = send(&gateway.data(), &JSON, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let expected = body.replace("\"one\\/model\"", "\"upstream-model\"");
    assert_eq!(String::from_utf8_lossy(&provider.only().body), expected);
}

#[tokio::test]
async fn the_answers_body_is_the_providers_byte_for_byte() {
    let body = "{\"id\" : \"x\",\n \"object\":\"chat.completion\",\"choices\":[],\"new\":{\"a\":1.00,\"z\":\"\\u00fc\"},\
                \"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n";
    let (_provider, gateway) = chatting(Answer::new(200, "application/json; charset=utf-8", body)).await;
    let reply = gateway.data().chat(&hello("one/model")).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, body));
    assert_eq!(reply.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn an_answers_headers_say_who_served_it_and_why() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let rule = "rules = [{ any = [\"hello\"], label = \"greeting\", prefer = [\"two/model\"] }]";
    let gateway = Gateway::start(
        &[
            openai("one", &provider.url()),
            openai("two", &provider.url()),
            policy("words", "keyword", rule),
            route("auto", &["one", "two"], "policies = [\"words\"]"),
        ]
        .concat(),
    )
    .await;
    let headers = [JSON[0], ("x-request-id", "my-own-id")];
    let reply = send(&gateway.data(), &headers, hello("auto").to_string()).await;
    for (name, value) in [
        ("x-pointsman-request-id", "my-own-id"),
        ("x-request-id", "my-own-id"),
        ("x-pointsman-model", "two/model"),
        ("x-pointsman-provider", "two"),
        ("x-pointsman-route", "auto"),
        ("x-pointsman-reason", "rule 1 found `hello`"),
        ("x-pointsman-attempts", "1"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    let policy = reply.header("x-pointsman-policy").unwrap();
    let digest = policy.strip_prefix("words@").unwrap();
    assert!(
        digest.len() == 12 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{policy}"
    );
    let plugins = gateway.shows("/admin/plugins").await;
    let running = plugins["plugins"][0]["running_digest"].as_str().unwrap();
    assert!(running.starts_with(digest), "{running}");
    assert!(reply.header("x-pointsman-overhead-us").unwrap().parse::<u64>().is_ok());
}

#[tokio::test]
async fn a_request_has_an_id_of_its_own_where_the_client_gives_none_or_a_strange_one() {
    let (_provider, gateway) = chatting(Answer::chat("hi")).await;
    let mut seen = Vec::new();
    for given in [None, None, Some("with space"), Some("<script>")] {
        let mut headers = JSON.to_vec();
        headers.extend(given.map(|id| ("x-request-id", id)));
        let reply = send(&gateway.data(), &headers, hello("one/model").to_string()).await;
        seen.push(reply.header("x-pointsman-request-id").unwrap().to_owned());
    }
    assert!(seen.iter().all(|id| id.starts_with("req-")), "{seen:?}");
    seen.dedup();
    assert_eq!(seen.len(), 4);
}

#[tokio::test]
async fn the_cost_is_exact_to_the_nano_dollar_with_cached_tokens_billed_apart() {
    let usage = json!({
        "prompt_tokens": 1003, "completion_tokens": 7, "total_tokens": 1010,
        "prompt_tokens_details": { "cached_tokens": 1000 }, "completion_tokens_details": { "reasoning_tokens": 5 },
    });
    let answer = |usage: Value| {
        let mut body = json!({ "id": "1", "object": "chat.completion", "choices": [] });
        if !usage.is_null() {
            body["usage"] = usage;
        }
        Answer::json(200, &body)
    };
    let cached_cost = answer(usage);
    let odd = json!({ "prompt_tokens": "many", "completion_tokens": -1 });
    let provider = FakeProvider::chatting([cached_cost, Answer::chat("hi"), answer(Value::Null), answer(odd)]).await;
    let config = openai("one", &provider.url()).replace(
        "input = 1.0, cached_input = 0.1, output = 2.0",
        "input = 0.27, cached_input = 0.0028, output = 1.1",
    );
    let gateway = Gateway::start(&config).await;
    let mut costs = Vec::new();
    for _ in 0..4 {
        let reply = gateway.data().chat(&hello("one/model")).await;
        assert_eq!(reply.status, 200);
        costs.push(reply.header("x-pointsman-cost-usd").map(str::to_owned));
    }
    // 3 × 0.27 + 1000 × 0.0028 + 7 × 1.1 = 11.31 millionths; 10 × 0.27 + 5 × 1.1 = 8.2 millionths.
    assert_eq!(costs, [Some("0.00001131".into()), Some("0.0000082".into()), None, None]);
}

#[tokio::test]
async fn a_model_whose_price_nobody_said_has_no_cost() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let config: String = openai("one", &provider.url())
        .lines()
        .filter(|line| !line.starts_with("price"))
        .map(|line| format!("{line}\n"))
        .collect();
    let gateway = Gateway::start(&config).await;
    let reply = gateway.data().chat(&hello("one/model")).await;
    assert_eq!((reply.status, reply.header("x-pointsman-cost-usd")), (200, None));
}

#[tokio::test]
async fn the_gateway_authenticates_and_nothing_of_the_clients_connection_is_forwarded() {
    let (provider, gateway) = chatting(Answer::chat("hi")).await;
    let headers = [
        JSON[0],
        ("authorization", "Bearer clients-own-key"),
        ("x-api-key", "clients-own-key"),
        ("cookie", "session=clients-own"),
        ("connection", "keep-alive, x-secret"),
        ("x-secret", "for the next hop only"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic clients-own-key"),
        ("forwarded", "for=10.0.0.1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-host", "evil.example"),
        ("x-portkey-custom-host", "http://evil.example"),
        ("user-agent", "the client"),
    ];
    let reply = send(&gateway.data(), &headers, hello("one/model").to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let received = provider.only();
    assert_eq!(received.header("authorization"), Some("Bearer key-of-one"));
    assert_eq!(received.header("host"), Some(provider.address().to_string().as_str()));
    let names: Vec<&str> = received.headers.iter().map(|(name, _)| name.as_str()).collect();
    // The last one is the gateway's own, by which it knows a request that comes back to it.
    let allowed = [
        "host",
        "authorization",
        "content-type",
        "content-length",
        "user-agent",
        "x-pointsman-via",
    ];
    assert!(names.iter().all(|name| allowed.contains(name)), "{names:?}");
    assert!(!format!("{received:?}").contains("clients-own"), "{received:?}");
}

#[tokio::test]
async fn a_providers_key_is_in_no_answer_and_no_log_line() {
    let canary = "canary-9f86d081884c7d65";
    let quoting = |status: u16| {
        let text = format!("the key {canary} is not welcome");
        Answer::json(
            status,
            &json!({ "error": { "message": text, "type": "error", "code": canary } }),
        )
    };
    let provider = FakeProvider::chatting([quoting(401), quoting(400), quoting(500), Answer::chat("hi")]).await;
    let config = openai("one", &provider.url()).replace("key-of-one", "${CANARY}");
    let home = tests::Home::with_config(&config);
    let mut command = home.command(&["serve", "--config", "pointsman.toml"]);
    command.env("CANARY", canary).env("POINTSMAN_LOG", "trace");
    let gateway = Gateway::start_with(home, command).await;
    let mut shown = String::new();
    for status in [502, 400, 502, 200] {
        let reply = gateway.data().chat(&hello("one/model")).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        shown += &format!("{:?}{}", reply.headers, reply.text());
    }
    for path in ["/admin/plugins", "/admin/routes", "/metrics", "/"] {
        shown += &gateway.admin().get(path).await.text();
    }
    assert!(
        provider
            .journal()
            .iter()
            .all(|received| received.header("authorization") == Some(&format!("Bearer {canary}")))
    );
    assert!(!shown.contains(canary), "{shown}");
    gateway.logged(&["an attempt failed", "attempt=1", "status=500"]).await;
    assert!(!gateway.log().contains(canary), "{}", gateway.log());
}

#[tokio::test]
async fn http_1_and_http_2_clients_are_served_alike() {
    let (provider, gateway) = chatting(Answer::chat("hi")).await;
    let mut bodies = Vec::new();
    for client in [gateway.data(), gateway.data().http2()] {
        let reply = client.chat(&hello("one/model")).await;
        assert_eq!(
            (reply.status, reply.header("x-pointsman-model")),
            (200, Some("one/model"))
        );
        bodies.push(reply.body);
    }
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(provider.journal()[0].body, provider.journal()[1].body);
}

#[tokio::test]
async fn models_are_listed_and_shown_by_ids_with_slashes() {
    let config = [openai("one", "http://127.0.0.1:9"), route("auto", &["one"], "")].concat();
    let gateway = Gateway::start(&config.replace("one/model", "one/family/model")).await;
    let list = gateway.data().get("/v1/models").await.json();
    let ids: Vec<&str> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        (list["object"].as_str(), ids),
        (Some("list"), vec!["auto", "one/family/model"])
    );
    for path in ["one/family/model", "one%2Ffamily%2Fmodel", "one%2ffamily/model"] {
        let reply = gateway.data().get(&format!("/v1/models/{path}")).await;
        assert_eq!(
            (reply.status, reply.json()["id"].as_str()),
            (200, Some("one/family/model")),
            "{path}"
        );
    }
    assert_eq!(
        gateway.data().get("/v1/models/auto").await.json()["owned_by"],
        "pointsman"
    );
    gateway
        .data()
        .get("/v1/models/one/family")
        .await
        .refused(404, "model_not_found");
}

#[tokio::test]
async fn a_provider_may_allow_models_that_no_configuration_names() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let open = openai("open", &provider.url()).replace("[providers.open]", "[providers.open]\nallow_any_model = true");
    let gateway = Gateway::start(&[open, openai("closed", &provider.url())].concat()).await;
    let reply = gateway.data().chat(&hello("open/family/of-tomorrow:v2")).await;
    assert_eq!(
        (reply.status, reply.header("x-pointsman-model")),
        (200, Some("open/family/of-tomorrow:v2"))
    );
    assert_eq!(provider.only().json()["model"], "family/of-tomorrow:v2");
    for unknown in ["closed/of-tomorrow", "nobody/of-tomorrow", "open/", "of-tomorrow"] {
        let message = gateway
            .data()
            .chat(&hello(unknown))
            .await
            .refused(404, "model_not_found");
        assert!(message.contains(unknown) && message.contains("/v1/models"), "{message}");
    }
}

#[tokio::test]
async fn claude_gets_the_betas_of_client_and_settings_where_a_request_is_translated() {
    let provider = FakeProvider::start().await;
    let message = json!({ "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "content": [{ "type": "text", "text": "ok" }], "usage": { "input_tokens": 1, "output_tokens": 1 } });
    provider.on("/v1/messages", [Answer::json(200, &message)]);
    let settings = "settings = { betas = [\"one\", \"two\"] }\n";
    let config = anthropic("claude", &provider.url()) + settings + &anthropic("plain", &provider.url());
    let gateway = Gateway::start(&config).await;
    let client = gateway
        .data()
        .with_header("anthropic-beta", "three, two, context-management-1")
        .with_header("anthropic-version", "2023-06-01");
    let body = |model: &str| {
        json!({ "model": model, "max_tokens": 5, "context_management": { "edits": [] },
        "messages": [{ "role": "user", "content": "hello" }] })
    };
    for (path, model, expected) in [
        ("/v1/messages", "claude/model", "one,two,three,context-management-1"),
        (
            "/v1/chat/completions",
            "claude/model",
            "one,two,three,context-management-1",
        ),
        ("/v1/chat/completions", "plain/model", "three,two,context-management-1"),
    ] {
        let reply = client.post(path, &body(model)).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let sent = provider.journal().pop().unwrap();
        assert_eq!(sent.header("anthropic-beta"), Some(expected), "{path}");
        assert_eq!(sent.json()["context_management"], json!({ "edits": [] }), "{path}");
    }
    // The same client asks what there is.
    let models = client.get("/v1/models").await.json();
    assert_eq!(
        (&models["data"][0]["type"], &models["last_id"]),
        (&json!("model"), &json!("plain/model"))
    );
    assert_eq!(
        client.get("/v1/models/plain/model").await.json()["display_name"],
        "plain/model"
    );
    assert_eq!(
        client.get("/v1/models/nobody").await.json()["error"]["type"],
        "not_found_error"
    );
}
