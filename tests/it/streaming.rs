//! Streamed answers: each event as it comes, what the client sees of usage, and that a stream which broke never looks like
//! one that ended. Who leaves and who waits is in `connections.rs`.

use hyper::Method;
use serde_json::{Value, json};
use tests::config::{openai, route};
use tests::{Answer, Client, End, Ending, Event, FakeProvider, Gate, Gateway};

fn ask(model: &str) -> Value {
    json!({ "model": model, "stream": true, "messages": [{ "role": "user", "content": "hello" }] })
}

async fn chatting(answers: impl IntoIterator<Item = Answer>) -> (FakeProvider, Gateway) {
    let provider = FakeProvider::chatting(answers).await;
    let gateway = Gateway::start(&openai("one", &provider.url())).await;
    (provider, gateway)
}

fn clients(gateway: &Gateway) -> [Client; 2] {
    [gateway.data(), gateway.data().http2()]
}

/// A chunk that says this.
fn said(text: &str) -> String {
    json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }).to_string()
}

/// What the deltas add up to.
fn text(events: &[Event]) -> String {
    let delta = |event: &Event| {
        Some(
            serde_json::from_str::<Value>(&event.data).ok()?["choices"][0]["delta"]["content"]
                .as_str()?
                .to_owned(),
        )
    };
    events.iter().filter_map(delta).collect()
}

#[tokio::test]
async fn a_client_has_each_event_before_the_next_one_is_sent() {
    let gate = Gate::shut();
    let held = Answer::chat_stream(["one", "two", "three"])
        .held_after(1, &gate)
        .held_after(3, &gate)
        .held_after(5, &gate);
    let (provider, gateway) = chatting([held]).await;
    for client in clients(&gateway) {
        let mut stream = client.chat_stream(&ask("one/model")).await;
        assert_eq!(
            (stream.status, stream.header("content-type")),
            (200, Some("text/event-stream"))
        );
        assert_eq!(
            (stream.header("cache-control"), stream.header("x-accel-buffering")),
            (Some("no-cache"), Some("no"))
        );
        assert_eq!(
            (stream.header("content-length"), stream.header("x-pointsman-model")),
            (None, Some("one/model"))
        );
        for expected in ["one", "two", "three"] {
            assert_eq!(
                stream.next().await.unwrap().json()["choices"][0]["delta"]["content"],
                expected
            );
            gate.open();
        }
        let (rest, ending) = stream.rest().await;
        assert_eq!(
            (rest.len(), rest[1].data.as_str(), ending),
            (2, "[DONE]", Ending::Whole)
        );
    }
    provider.settled().await;
}

#[tokio::test]
async fn cuts_change_nothing_wherever_they_fall() {
    let body = concat!(
        ": a comment\n\ndata: {\"id\":\"1\",\"choices\":[{\"delta\":{\"content\":\"gr\u{fc}\u{df}e \u{1f600}\"}}],\"usage\":null}\n\n",
        "event: message\r\ndata: {\"id\":\"1\",\r\ndata: \"choices\":[{\"delta\":{}}]}\r\n\r\n",
        "data:{\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
    );
    let whole = Answer::new(200, "text/event-stream", body);
    let pieces = (1..body.len()).map(|size| whole.clone().in_pieces_of(size));
    let (provider, gateway) = chatting(std::iter::once(whole.clone()).chain(pieces)).await;
    let client = gateway.data();
    let body_of = async || {
        let json = [("content-type", "application/json")];
        client
            .send(
                Method::POST,
                "/v1/chat/completions",
                &json,
                ask("one/model").to_string(),
            )
            .await
            .text()
    };
    let expected = body_of().await;
    let shown = body.replace(",\"usage\":null", "").replace(
        "data:{\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n",
        "",
    );
    assert_eq!(expected, shown);
    for size in 1..body.len() {
        assert_eq!(body_of().await, expected, "in pieces of {size}");
    }
    assert_eq!(provider.journal().len(), body.len());
}

#[tokio::test]
async fn usage_is_asked_for_and_hidden_from_a_client_that_did_not_ask() {
    let (provider, gateway) = chatting([Answer::chat_stream(["one", "two"])]).await;
    for options in [
        Value::Null,
        json!({ "include_usage": false }),
        json!({ "include_obfuscation": false }),
    ] {
        let mut ask = ask("one/model");
        if !options.is_null() {
            ask["stream_options"] = options.clone();
        }
        let (events, ending) = gateway.data().chat_stream(&ask).await.rest().await;
        assert_eq!(
            (text(&events).as_str(), events.len(), ending),
            ("onetwo", 4, Ending::Whole)
        );
        assert!(events.iter().all(|event| !event.data.contains("usage")), "{events:?}");
        let sent = provider.journal().pop().unwrap().json();
        assert_eq!(sent["stream_options"]["include_usage"], true);
        assert_eq!(
            sent["stream_options"].get("include_obfuscation"),
            options.get("include_obfuscation")
        );
    }
    let cost =
        gateway.metric("pointsman_spent_usd_total{gen_ai_provider_name=\"one\",gen_ai_request_model=\"one/model\"}");
    // Counted all the same: three times 10 at 1.0 and 5 at 2.0 per million.
    assert!((cost.await - 0.00006).abs() < 1e-12);
}

#[tokio::test]
async fn usage_is_shown_with_its_cost_to_a_client_that_asked() {
    let (provider, gateway) = chatting([Answer::chat_stream(["one", "two"])]).await;
    let mut ask = ask("one/model");
    ask["stream_options"] = json!({ "include_usage": true });
    let (events, ending) = gateway.data().chat_stream(&ask).await.rest().await;
    let chunks: Vec<Value> = events[..events.len() - 1].iter().map(Event::json).collect();
    let (last, others) = chunks.split_last().unwrap();
    assert_eq!((last["choices"].clone(), ending), (json!([]), Ending::Whole));
    assert_eq!(last["usage"]["total_tokens"], 15);
    assert_eq!(last["usage"]["cost"].to_string(), "0.00002");
    assert!(
        others
            .iter()
            .all(|chunk| chunk["usage"].is_null() && chunk.get("usage").is_some()),
        "{others:?}"
    );
    let mut expected = ask.clone();
    expected["model"] = "upstream-model".into();
    assert_eq!(provider.only().json(), expected);
}

#[tokio::test]
async fn usage_is_read_and_hidden_wherever_a_provider_tells_it() {
    let usage = r#"{"prompt_tokens":10,"completion_tokens":5,"cached_tokens":4}"#;
    let finish = |beside: &str| format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"{beside}}}]"#);
    let in_the_choice = finish(&format!(r#","usage":{usage}"#));
    let places = [
        format!(r#"{},"usage":{usage}}}"#, finish("")),
        format!("{in_the_choice}}}"),
        format!(r#"{in_the_choice},"usage":null}}"#),
        format!(r#"{},"x_groq":{{"id":"req","usage":{usage}}}}}"#, finish("")),
    ];
    let answers = places
        .iter()
        .map(|last| Answer::events([said("one").as_str(), last, "[DONE]"]));
    let (_provider, gateway) = chatting(answers.flat_map(|answer| [answer.clone(), answer])).await;
    let spent = async || {
        let spent = "pointsman_spent_usd_total{gen_ai_provider_name=\"one\",gen_ai_request_model=\"one/model\"}";
        gateway.metric(spent).await
    };
    // 6 of input at 1.0, 4 from the cache at 0.1, 5 of output at 2.0 per million.
    let cost = 0.0000164;
    for (round, place) in places.iter().enumerate() {
        let (events, ending) = gateway.data().chat_stream(&ask("one/model")).await.rest().await;
        assert_eq!((events.len(), ending), (3, Ending::Whole), "{place}");
        assert!(!events[1].data.contains("usage"), "{place}: {}", events[1].data);
        assert_eq!(events[1].json()["choices"][0]["finish_reason"], "stop");

        let mut ask = ask("one/model");
        ask["stream_options"] = json!({ "include_usage": true });
        let (events, _) = gateway.data().chat_stream(&ask).await.rest().await;
        assert!(
            events[1].data.contains(r#""cost":0.0000164"#),
            "{place}: {}",
            events[1].data
        );
        let expected = cost * 2.0 * (round + 1) as f64;
        assert!((spent().await - expected).abs() < 1e-12, "{place}");
    }
}

#[tokio::test]
async fn a_stream_is_done_exactly_once() {
    let mut events = vec!["{\"choices\":[{\"delta\":{\"content\":\"one\"}}]}"; 2];
    events.extend(["[DONE]", "[DONE]", "{\"choices\":[]}"]);
    let (_provider, gateway) = chatting([Answer::events(events)]).await;
    for client in clients(&gateway) {
        let (events, ending) = client.chat_stream(&ask("one/model")).await.rest().await;
        assert_eq!(
            (events.len(), events[2].data.as_str(), ending),
            (3, "[DONE]", Ending::Whole)
        );
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_in_an_error_and_an_abort_and_never_in_done() {
    let gate = Gate::shut();
    let three = || Answer::chat_stream(["one", "two", "three"]);
    let (one, two) = (said("one"), said("two"));
    let failing = "{\"error\":{\"message\":\"the model fell over\",\"type\":\"server_error\",\"code\":null}}";
    let cases = [
        ("a reset", three().cut_after_pieces(2, End::Reset)),
        (
            "a close without the end of the body",
            three().cut_after_pieces(2, End::Close),
        ),
        ("a proper end without [DONE]", three().cut_after_pieces(2, End::Whole)),
        (
            "half an event",
            Answer::events([&*one, &two, &two]).cut_after(2 * (one.len() + 8) + 9, End::Whole),
        ),
        ("an error event", Answer::events([&*one, &two, failing, "[DONE]"])),
        (
            "something that is not JSON",
            Answer::events([&*one, &two, "{\"usage\":", "[DONE]"]),
        ),
    ];
    let answers = cases.iter().map(|(_, answer)| answer.clone().held_after(1, &gate));
    let (provider, gateway) = chatting(answers.flat_map(|answer| [answer.clone(), answer])).await;
    for (name, _) in &cases {
        for client in clients(&gateway) {
            let mut stream = client.chat_stream(&ask("one/model")).await;
            assert_eq!(stream.status, 200, "{name}");
            let id = stream.header("x-pointsman-request-id").unwrap().to_owned();
            assert_eq!(text(&[stream.next().await.unwrap()]), "one", "{name}");
            gate.open();
            let (events, ending) = stream.rest().await;
            assert_eq!(ending, Ending::Aborted, "{name}");
            let (last, before) = events.split_last().unwrap();
            assert_eq!((before.len(), text(before).as_str()), (1, "two"), "{name}: {events:?}");
            let error = last.json()["error"].clone();
            assert_eq!(
                (error["code"].as_str(), error["request_id"].as_str()),
                (Some("upstream_error"), Some(&*id)),
                "{name}"
            );
            assert!(
                error["message"].is_string() && error["type"] == "server_error",
                "{name}: {error}"
            );
        }
    }
    // Nobody was asked again after a byte had gone out.
    assert_eq!(provider.journal().len(), 2 * cases.len());
}

#[tokio::test]
async fn an_aborted_stream_has_no_last_chunk_on_the_wire() {
    let (_provider, gateway) = chatting([
        Answer::chat_stream(["one", "two"]).cut_after_pieces(1, End::Close),
        Answer::chat_stream(["one"]),
    ])
    .await;
    let body = ask("one/model").to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let broken = gateway.data().raw(request.as_bytes()).await;
    assert!(
        broken.contains("upstream_error") && !broken.ends_with("0\r\n\r\n"),
        "{broken}"
    );
    let whole = gateway.data().raw(request.as_bytes()).await;
    assert!(whole.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"), "{whole}");
}

#[tokio::test]
async fn a_silent_stream_is_given_up_after_the_gap_that_the_route_allows() {
    let provider = FakeProvider::chatting([Answer::chat_stream(["one", "two"]).cut_after_pieces(1, End::Hang)]).await;
    let config = [
        openai("one", &provider.url()),
        route("quick", &["one"], "gap_timeout_ms = 50"),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    for client in clients(&gateway) {
        let (events, ending) = client.chat_stream(&ask("quick")).await.rest().await;
        assert_eq!((events.len(), ending), (2, Ending::Aborted));
        assert_eq!(events[1].json()["error"]["code"], "upstream_timeout");
    }
    provider.settled().await;
    assert!(
        provider
            .journal()
            .iter()
            .all(|received| received.outcome == tests::Outcome::Abandoned)
    );
}

#[tokio::test]
async fn comments_and_halves_of_events_are_no_progress() {
    let pause = std::time::Duration::from_millis(20);
    // Pieces of this size, one after the other with pauses in between, for four seconds.
    let slowly = |body: String, size: usize| {
        let whole = Answer::new(200, "text/event-stream", body).in_pieces_of(size);
        (0..200).fold(whole, |answer, n| answer.pausing_after(2 * n + 1, pause))
    };
    let first = format!("data: {}\n\n", said("one"));
    let comments = |size: usize| format!(":{}\n\n", "x".repeat(size - 3)).repeat(200);
    let half = |size: usize| format!("data: {}", "x".repeat(200 * size));
    let provider = FakeProvider::chatting([
        slowly(comments(14), 14),
        slowly(half(1), 1),
        slowly(first.clone() + &comments(first.len()), first.len()),
        slowly(first.clone() + &half(first.len()), first.len()),
    ])
    .await;
    let limits = "first_token_timeout_ms = 200\ngap_timeout_ms = 200";
    let gateway = Gateway::start(&[openai("one", &provider.url()), route("quick", &["one"], limits)].concat()).await;
    for _ in 0..2 {
        assert_eq!(gateway.data().chat_stream(&ask("quick")).await.status, 504);
    }
    for _ in 0..2 {
        let (events, ending) = gateway.data().chat_stream(&ask("quick")).await.rest().await;
        assert_eq!((events.len(), ending), (2, Ending::Aborted));
        assert_eq!(events[1].json()["error"]["code"], "upstream_timeout");
    }
}

#[tokio::test]
async fn a_failure_before_the_first_event_has_its_real_status() {
    let failing = "{\"error\":{\"message\":\"the model fell over\",\"code\":null}}";
    let cases = [
        (Answer::error(429, "rate_limit_exceeded"), 429),
        (Answer::error(500, "server_error"), 502),
        (Answer::events([failing, "[DONE]"]), 502),
        (Answer::events([]), 502),
        (Answer::chat_stream(["one"]).cut_after_pieces(0, End::Reset), 502),
        (Answer::new(200, "text/html", "<html>a portal</html>"), 502),
    ];
    let (_provider, gateway) = chatting(cases.iter().map(|(answer, _)| answer.clone())).await;
    for (index, (_, status)) in cases.iter().enumerate() {
        let stream = gateway.data().chat_stream(&ask("one/model")).await;
        assert_eq!(
            (stream.status, stream.header("content-type")),
            (*status, Some("application/json")),
            "{index}"
        );
    }
}

#[tokio::test]
async fn a_failure_before_the_first_event_goes_to_the_next_candidate() {
    let failing = "{\"error\":{\"message\":\"the model fell over\",\"code\":null}}";
    let answers = [
        Answer::error(503, "overloaded"),
        Answer::events([failing]),
        Answer::chat_stream(["one"]).cut_after(10, End::Close),
    ];
    let (first, second) = (
        FakeProvider::chatting(answers).await,
        FakeProvider::chatting([Answer::chat_stream(["served"])]).await,
    );
    let config = [
        openai("one", &first.url()),
        openai("two", &second.url()),
        route("auto", &["one", "two"], ""),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    for _ in 0..3 {
        let stream = gateway.data().chat_stream(&ask("auto")).await;
        assert_eq!(
            (
                stream.header("x-pointsman-model"),
                stream.header("x-pointsman-attempts")
            ),
            (Some("two/model"), Some("2"))
        );
        let (events, ending) = stream.rest().await;
        assert_eq!((text(&events).as_str(), ending), ("served", Ending::Whole));
    }
    assert_eq!((first.journal().len(), second.journal().len()), (3, 3));
}
