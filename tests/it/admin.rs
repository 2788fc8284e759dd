//! What the admin listener shows, and the way out of a gateway that is told to stop. Who may use it is in `operators.rs`.

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::config::{openai, policy, route};
use tests::{Answer, End, Ending, FakeProvider, Gate, Gateway};

fn streamed() -> Value {
    json!({ "model": "one/model", "stream": true, "messages": [{ "role": "user", "content": "hello" }] })
}

async fn chatting(answer: Answer, more: &str) -> (FakeProvider, Gateway) {
    let provider = FakeProvider::chatting([answer]).await;
    let config = [
        openai("one", &provider.url()),
        policy("words", "keyword", ""),
        route("auto", &["one"], "policies = [\"words\"]"),
    ];
    let gateway = Gateway::start(&(config.concat() + more)).await;
    (provider, gateway)
}

#[tokio::test]
async fn a_gateway_that_serves_is_healthy_and_ready() {
    let (_provider, gateway) = chatting(Answer::chat("hi"), "").await;
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let reply = gateway.admin().get(path).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, body));
    }
    let index = gateway.admin().get("/").await.text();
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/admin/plugins",
        "/admin/routes",
        "/admin/reload",
    ] {
        assert!(index.contains(path), "{index}");
        assert_eq!(
            gateway.data().get(path).await.status,
            404,
            "{path} is on the data listener"
        );
    }
    for (method, path, status, allow) in [
        (hyper::Method::POST, "/admin/plugins", 405, Some("GET")),
        (hyper::Method::GET, "/admin/reload", 405, Some("POST")),
        (hyper::Method::GET, "/admin", 404, None),
        (hyper::Method::GET, "/v1/models", 404, None),
    ] {
        let reply = gateway.admin().send(method, path, &[], "").await;
        assert_eq!((reply.status, reply.header("allow")), (status, allow), "{path}");
    }
}

#[tokio::test]
async fn pages_from_elsewhere_are_refused() {
    let (_provider, gateway) = chatting(Answer::chat("hi"), "").await;
    let address = gateway.admin_address();
    let ask = async |headers: &str| {
        let request = format!("POST /admin/reload HTTP/1.1\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n");
        let answer = gateway.admin().raw(request.as_bytes()).await;
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    for refused in [
        "host: evil.example\r\n".to_owned(),
        format!("host: evil.example:{}\r\n", address.port()),
        format!("host: {address}\r\norigin: https://evil.example\r\n"),
        format!("host: {address}\r\norigin: null\r\n"),
        format!("host: {address}\r\norigin: http://localhost:{}\r\n", address.port()),
        format!("host: {address}.evil.example\r\n"),
        format!("host: localhost.evil.example:{}\r\n", address.port()),
    ] {
        assert_eq!(ask(&refused).await, "403", "{refused}");
    }
    for taken in [
        format!("host: {address}\r\n"),
        format!("host: localhost:{}\r\n", address.port()),
        format!("host: {address}\r\norigin: http://{address}\r\n"),
    ] {
        assert_eq!(ask(&taken).await, "200", "{taken}");
    }
}

#[tokio::test]
async fn metrics_have_names_that_dashboards_can_rely_on() {
    let (provider, gateway) = chatting(Answer::chat("hi"), "").await;
    let ask = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] });
    assert_eq!(gateway.data().chat(&ask).await.status, 200);
    provider.on("/v1/chat/completions", [Answer::chat_stream(["one"])]);
    gateway.data().chat_stream(&streamed()).await.rest().await;
    gateway.data().get("/nowhere").await.refused(404, "not_found");
    let model = "gen_ai_provider_name=\"one\",gen_ai_request_model=\"one/model\"";
    for (series, value) in [
        (
            "pointsman_requests_total{route=\"auto\",status=\"200\"}".to_owned(),
            1.0,
        ),
        (
            "pointsman_requests_total{route=\"one/model\",status=\"200\"}".to_owned(),
            1.0,
        ),
        ("pointsman_requests_total{route=\"\",status=\"404\"}".to_owned(), 1.0),
        (format!("gen_ai_server_request_duration_seconds_count{{{model}}}"), 2.0),
        (
            format!("gen_ai_server_time_to_first_token_seconds_count{{{model}}}"),
            1.0,
        ),
        (
            format!("gen_ai_client_token_usage_total{{{model},gen_ai_token_type=\"input\"}}"),
            20.0,
        ),
        (
            format!("gen_ai_client_token_usage_total{{{model},gen_ai_token_type=\"output\"}}"),
            10.0,
        ),
        (format!("pointsman_attempts_total{{{model},error_type=\"\"}}"), 2.0),
        (format!("pointsman_spent_usd_total{{{model}}}"), 0.00004),
        ("pointsman_overhead_seconds_count".to_owned(), 2.0),
        ("pointsman_in_flight".to_owned(), 0.0),
        ("pointsman_generation".to_owned(), 1.0),
        ("pointsman_generations_alive".to_owned(), 1.0),
        ("pointsman_plugin_calls_total{plugin=\"words\"}".to_owned(), 1.0),
    ] {
        assert!(
            (gateway.metric(&series).await - value).abs() < 1e-12,
            "{series}\n{}",
            gateway.admin().get("/metrics").await.text()
        );
    }
    let reply = gateway.admin().get("/metrics").await;
    assert!(
        reply
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    assert!(reply.text().ends_with("# EOF\n"));
}

#[tokio::test]
async fn plugins_and_routes_are_shown_as_they_are_in_service() {
    let (_provider, gateway) = chatting(Answer::error(500, "oops"), "").await;
    let ask = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] });
    gateway.data().chat(&ask).await.refused(502, "upstream_error");
    let shown = gateway.shows("/admin/plugins").await;
    assert_eq!(
        (
            &shown["generation"],
            &shown["generations_alive"],
            &shown["config_error"]
        ),
        (&1.into(), &1.into(), &Value::Null)
    );
    let named = |name: &str| {
        shown["plugins"]
            .as_array()
            .unwrap()
            .iter()
            .find(|plugin| plugin["name"] == name)
            .unwrap()
    };
    let policy = named("words");
    assert_eq!(
        (&policy["kind"], &policy["component"], &policy["calls"]),
        (&"policy".into(), &"built-in keyword".into(), &1.into())
    );
    assert!(policy["warnings"][0].as_str().unwrap().contains("rules"));
    assert_eq!(
        (&named("openai")["kind"], &named("openai")["provider"]),
        (&"adapter".into(), &"one".into())
    );
    let routes = gateway.shows("/admin/routes").await["routes"].clone();
    assert_eq!(
        (&routes[0]["route"], &routes[0]["candidates"][0]["model"]),
        (&"auto".into(), &"one/model".into())
    );
    assert!(
        routes[0]["candidates"][0]["health"]["error_permille"].as_u64().unwrap() > 0,
        "{routes:#}"
    );
    assert!(routes[0]["policies"][0].as_str().unwrap().starts_with("words@"));
    let reply = gateway.reload().await;
    assert_eq!((reply.status, &reply.json()["outcome"]), (200, &"unchanged".into()));
}

#[tokio::test]
async fn a_gateway_that_is_told_to_stop_lets_streams_end_and_takes_nothing_new() {
    let gate = Gate::shut();
    let (_provider, gateway) = chatting(Answer::chat_stream(["one", "two"]).held_after(1, &gate), "").await;
    for client in [gateway.data(), gateway.data().http2()] {
        let mut stream = client.chat_stream(&streamed()).await;
        assert!(stream.next().await.is_some());
        gate.open();
        stream.rest().await;
    }
    let (mut first, mut second) = (
        gateway.data().chat_stream(&streamed()).await,
        gateway.data().http2().chat_stream(&streamed()).await,
    );
    assert!(first.next().await.is_some() && second.next().await.is_some());
    gateway.signal(Signal::TERM);
    while gateway.admin().get("/readyz").await.status == 200 {
        tokio::task::yield_now().await;
    }
    let reply = gateway.admin().get("/readyz").await;
    assert_eq!((reply.status, reply.text().as_str()), (503, "draining\n"));
    assert_eq!(gateway.admin().get("/healthz").await.status, 200);
    while gateway.is_listening().await {
        tokio::task::yield_now().await;
    }
    gate.open();
    gate.open();
    for stream in [first, second] {
        let (events, ending) = stream.rest().await;
        assert_eq!(
            (events.last().unwrap().data.as_str(), ending),
            ("[DONE]", Ending::Whole)
        );
    }
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let (_provider, gateway) = chatting(Answer::chat_stream(["one"]).cut_after_pieces(1, End::Hang), "").await;
    let mut stream = gateway.data().chat_stream(&streamed()).await;
    assert!(stream.next().await.is_some());
    gateway.signal(Signal::TERM);
    gateway.logged(&["stopping: requests under way may end"]).await;
    gateway.signal(Signal::TERM);
    let (events, ending) = stream.rest().await;
    assert_eq!(ending, Ending::Aborted);
    assert_eq!(events.last().unwrap().json()["error"]["code"], "stopping");
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn draining_has_an_end() {
    let (_provider, gateway) = chatting(
        Answer::chat_stream(["one"]).cut_after_pieces(1, End::Hang),
        "\n[server]\ndrain_ms = 100\n",
    )
    .await;
    let mut stream = gateway.data().chat_stream(&streamed()).await;
    assert!(stream.next().await.is_some());
    let client = gateway.data();
    let mut ask = streamed();
    ask["stream"] = false.into();
    let whole = tokio::spawn(async move { client.chat(&ask).await });
    // A stream that is one array ends in an error as well, and without the array's end.
    let client = gateway.data();
    let contents = r#"{"contents":[{"parts":[{"text":"hello"}]}]}"#;
    let request = format!(
        "POST /v1beta/models/one/model:streamGenerateContent HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{contents}",
        contents.len()
    );
    let array = tokio::spawn(async move { client.raw(request.as_bytes()).await });
    gateway
        .until("/admin/limits", |limits| {
            limits["load"]["in_flight"]["now"] == 3 && limits["load"]["beginning"]["now"] == 1
        })
        .await;
    gateway.signal(Signal::INT);
    let (events, ending) = stream.rest().await;
    assert_eq!(ending, Ending::Aborted);
    assert_eq!(events.last().unwrap().json()["error"]["code"], "stopping");
    let array = array.await.unwrap();
    let (_, last) = array.rsplit_once(",\r\n").unwrap();
    assert!(last.starts_with("{\"error\":{\"code\":503,"), "{array}");
    assert!(!array.contains("}]\r\n") && !array.ends_with("0\r\n\r\n"), "{array}");
    // What has not begun is told so, and when to come back.
    let reply = whole.await.unwrap();
    reply.refused(503, "stopping");
    assert_eq!(reply.header("retry-after"), Some("1"));
    gateway.logged(&["requests still under way are cut off"]).await;
    assert_eq!(gateway.ended().await.code(), Some(0));
}
