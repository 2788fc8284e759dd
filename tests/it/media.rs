//! Images and sound: `/v1/images/generations`, `/v1/images/edits`, `/v1/audio/speech`, `/v1/audio/transcriptions` and
//! `/v1/audio/translations`. They pass as they are, forms included, and are routed, paid and failed over as conversations are.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use serde_json::{Value, json};
use tests::config::{anthropic, openai, policy, route};
use tests::sdk::sdks;
use tests::{Answer, Client, End, Ending, Event, FakeProvider, Gate, Gateway, Reply};

const IMAGES: &str = "/v1/images/generations";
const EDITS: &str = "/v1/images/edits";
const SPEECH: &str = "/v1/audio/speech";
const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";
const TRANSLATIONS: &str = "/v1/audio/translations";
/// No text, and with what could be taken for a boundary.
const SOUND: &[u8] = b"\xff\xfb\x90\0\r\n--\r\n--pieces\r\n\r\nmodel\0";

fn image() -> Value {
    json!({ "created": 1, "data": [{ "b64_json": "AA==" }], "of_tomorrow": 1.0,
        "usage": { "input_tokens": 50, "output_tokens": 1_000, "total_tokens": 1_050,
            "input_tokens_details": { "text_tokens": 10, "image_tokens": 40 } } })
}

fn heard() -> Value {
    json!({ "text": "hello", "usage": { "type": "tokens", "input_tokens": 30, "output_tokens": 5, "total_tokens": 35,
        "input_token_details": { "text_tokens": 10, "audio_tokens": 20 } } })
}

/// A form, in which a file stands before some of the fields.
fn form(model: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut form =
        b"--limit\r\nContent-Disposition: form-data; name=\"file\"; filename=\"gr\xc3\xbc\xc3\x9fe.mp3\"\r\n\
        Content-Type: audio/mpeg\r\n\r\n"
            .to_vec();
    form.extend_from_slice(SOUND);
    for (name, value) in [("model", model)].iter().chain(more) {
        let field = format!("\r\n--limit\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}");
        form.extend_from_slice(field.as_bytes());
    }
    form.extend_from_slice(b"\r\n--limit--\r\n");
    form
}

async fn send(client: &Client, path: &str, form: Vec<u8>) -> Reply {
    let kind = [("content-type", "multipart/form-data; boundary=limit")];
    client.send(Method::POST, path, &kind, form).await
}

/// Waits until so many lines have been written, which an answer does not wait for.
async fn booked(gateway: &Gateway, lines: &str, count: f64) {
    let name = format!("pointsman_ledger_{lines}_total");
    let writing = async {
        while gateway.metric(&name).await < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let written = tokio::time::timeout(Duration::from_secs(60), writing).await;
    assert!(written.is_ok() && gateway.metric(&name).await == count, "{name}");
}

#[tokio::test]
async fn images_are_made_and_changed_by_whom_the_route_says_and_cost_their_tokens() {
    let (broken, provider) = (FakeProvider::start().await, FakeProvider::start().await);
    let partial = json!({ "type": "image_generation.partial_image", "partial_image_index": 0, "b64_json": "AA==" });
    let done = json!({ "type": "image_generation.completed", "b64_json": "AA==", "usage": image()["usage"] });
    let stream = Answer::typed_events([&partial, &done]);
    broken.on(EDITS, [Answer::error(500, "broken")]);
    provider.on(
        IMAGES,
        [
            Answer::json(200, &image()),
            stream.clone(),
            stream.cut_after_pieces(1, End::Whole),
        ],
    );
    provider.on(EDITS, [Answer::json(200, &image())]);
    let rules = "rules = [{ any = [\"cat\"], prefer = [\"p2/model\"] }]";
    let config = [
        openai("p1", &broken.url()),
        openai("p2", &provider.url()),
        route("auto", &["p1", "p2"], "retries = 1"),
        policy("keyword", "keyword", rules),
        route("cats", &["p1", "p2"], "policies = [\"keyword\"]"),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let ask = |model: &str, more: Value| {
        let mut body =
            json!({ "model": model, "prompt": "a cat", "n": 1, "size": "1024x1024", "of_tomorrow": { "kept": 1.0 } });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let reply = gateway.data().post(IMAGES, &ask("cats", json!({}))).await;
    assert_eq!((reply.status, reply.json()), (200, image()), "{}", reply.text());
    // 50 tokens at 1 USD a million, and 1,000 at 2.
    assert_eq!(reply.header("x-pointsman-cost-usd"), Some("0.00205"));
    assert_eq!(provider.only().json(), ask("upstream-model", json!({})));
    let streamed = json!({ "stream": true, "partial_images": 1 });
    let (seen, ending) = gateway
        .data()
        .stream(IMAGES, &ask("p2/model", streamed.clone()))
        .await
        .rest()
        .await;
    let seen: Vec<Value> = seen.iter().map(Event::json).collect();
    assert_eq!((seen, ending), (vec![partial, done], Ending::Whole));
    assert_eq!(provider.journal()[1].json(), ask("upstream-model", streamed.clone()));
    // Without an image that is whole the end is none.
    let (_, ending) = gateway
        .data()
        .stream(IMAGES, &ask("p2/model", streamed))
        .await
        .rest()
        .await;
    assert_eq!(ending, Ending::Aborted);

    let fields = [("prompt", "a hat"), ("image[]", "no file"), ("n", "1")];
    let form = |model: &str| {
        let form = form(model, &fields);
        let text = form.windows(4).position(|four| four == b"file").unwrap();
        [&form[..text], b"image[]", &form[text + 4..]].concat()
    };
    let reply = send(&gateway.data(), EDITS, form("auto")).await;
    assert_eq!((reply.status, reply.json()), (200, image()), "{}", reply.text());
    assert_eq!(reply.header("x-pointsman-attempts"), Some("2"));
    for received in [broken.only(), provider.journal().pop().unwrap()] {
        assert_eq!(received.body, form("upstream-model"), "{received:?}");
        let kind = received.header("content-type").unwrap();
        assert_eq!(kind, "multipart/form-data; boundary=\"limit\"");
    }
    let body = ask(
        "p2/model",
        json!({ "images": [{ "image_url": "data:image/png;base64,AA==" }] }),
    );
    assert_eq!(gateway.data().post(EDITS, &body).await.status, 200);
    assert_eq!(provider.journal().pop().unwrap().json()["images"], body["images"]);
    booked(&gateway, "lines", 6.0).await;
}

#[tokio::test]
async fn sound_is_made_and_passed_on_as_it_comes() {
    let provider = FakeProvider::start().await;
    let gate = Gate::shut();
    let whole = Answer::new(200, "audio/mpeg", SOUND).in_pieces_of(5);
    let delta = json!({ "type": "speech.audio.delta", "audio": "AA==" });
    let done = json!({ "type": "speech.audio.done", "usage": { "input_tokens": 10, "output_tokens": 100, "total_tokens": 110 } });
    let events = [&delta, &done].map(Value::to_string);
    let events = Answer::events(events.iter().map(String::as_str));
    let cut = whole.clone().cut_after_pieces(2, End::Close);
    provider.on(SPEECH, [whole.held_after(1, &gate), events, cut]);
    let gateway = Gateway::start(&openai("p1", &provider.url())).await;
    let ask = |model: &str| json!({ "model": model, "input": "hello", "voice": "alloy", "of_tomorrow": 1.0 });
    // The gate opens when the answer has begun, which it can only do where nobody waits for its end.
    let client = gateway.data();
    let hello = ask("p1/model");
    let (reply, ()) = tokio::join!(client.post(SPEECH, &hello), async {
        while gateway.metric("pointsman_overhead_seconds_count").await == 0.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        gate.open();
    });
    assert_eq!((reply.status, &reply.body[..]), (200, SOUND));
    assert_eq!(reply.header("content-type"), Some("audio/mpeg"));
    assert_eq!(provider.only().json(), ask("upstream-model"));
    let mut with_events = ask("p1/model");
    with_events["stream_format"] = json!("sse");
    let (seen, ending) = gateway.data().stream(SPEECH, &with_events).await.rest().await;
    let seen: Vec<Value> = seen.iter().map(Event::json).collect();
    assert_eq!((seen, ending), (vec![delta, done], Ending::Whole));
    // Nothing is said among sound that breaks off, but that it does.
    let request = ask("p1/model").to_string();
    let head = format!(
        "POST {SPEECH} HTTP/1.1\r\nhost: g\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        request.len()
    );
    let raw = gateway.data().raw((head + &request).as_bytes()).await;
    assert!(
        raw.contains("audio/mpeg") && !raw.contains("error") && !raw.contains("\r\n0\r\n"),
        "{raw}"
    );
}

#[tokio::test]
async fn sound_is_heard_in_every_format_and_the_file_keeps_its_bytes() {
    let provider = FakeProvider::start().await;
    let subtitles = "1\n00:00:00,000 --> 00:00:01,000\nhello\n";
    let delta = json!({ "type": "transcript.text.delta", "delta": "hello" });
    let done = json!({ "type": "transcript.text.done", "text": "hello", "usage": heard()["usage"] });
    let answers = [
        Answer::json(200, &heard()),
        Answer::new(200, "text/plain; charset=utf-8", subtitles),
        Answer::typed_events([&delta, &done]),
    ];
    provider.on(TRANSCRIPTIONS, answers);
    provider.on(
        TRANSLATIONS,
        [Answer::json(200, &json!({ "text": "hello", "duration": 3.5 }))],
    );
    let config = openai("p1", &provider.url()).replace("price = {", "price = { audio_input = 6.0,");
    let gateway = Gateway::start(&config).await;
    let fields = [
        ("timestamp_granularities[]", "word"),
        ("timestamp_granularities[]", "segment"),
        ("of_tomorrow", ""),
    ];
    let reply = send(&gateway.data(), TRANSCRIPTIONS, form("p1/model", &fields)).await;
    assert_eq!((reply.status, reply.json()), (200, heard()), "{}", reply.text());
    // 10 tokens of text at 1 USD a million, 20 of sound at 6, and 5 of output at 2.
    assert_eq!(reply.header("x-pointsman-cost-usd"), Some("0.00014"));
    assert_eq!(provider.only().body, form("upstream-model", &fields));
    let reply = send(
        &gateway.data(),
        TRANSCRIPTIONS,
        form("p1/model", &[("response_format", "srt")]),
    )
    .await;
    assert_eq!((reply.status, reply.text().as_str()), (200, subtitles));
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    let reply = send(&gateway.data(), TRANSCRIPTIONS, form("p1/model", &[("stream", "true")])).await;
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert!(
        reply
            .text()
            .ends_with(&format!("event: transcript.text.done\ndata: {done}\n\n")),
        "{}",
        reply.text()
    );
    let reply = send(&gateway.data(), TRANSLATIONS, form("p1/model", &[])).await;
    assert_eq!((reply.status, &reply.json()["text"]), (200, &json!("hello")));
    // Subtitles and the translation say nothing of what they used.
    booked(&gateway, "lines", 4.0).await;
    booked(&gateway, "estimated_lines", 2.0).await;
    // One key stands for one request, however its form is cut into parts.
    let named = |boundary: &str, model: &str| {
        let text = String::from_utf8_lossy(&form(model, &[])).replace("--limit", &format!("--{boundary}"));
        (format!("multipart/form-data; boundary={boundary}"), text)
    };
    for (boundary, expected) in [("one", None), ("two", Some("true"))] {
        let (kind, body) = named(boundary, "p1/model");
        let headers = [("content-type", kind.as_str()), ("idempotency-key", "k")];
        let reply = gateway.data().send(Method::POST, TRANSLATIONS, &headers, body).await;
        assert_eq!((reply.status, reply.header("idempotent-replayed")), (200, expected));
    }
}

#[tokio::test]
async fn a_budget_holds_the_most_that_images_can_cost_and_all_of_it_where_nobody_says_what_was_used() {
    let provider = FakeProvider::start().await;
    let silent = json!({ "created": 1, "data": [] });
    provider.on(IMAGES, [Answer::json(200, &image()), Answer::json(200, &silent)]);
    // Two images of at most 10,000 tokens at 2 USD a million, and 100 bytes at 1: 0.0401 USD are held.
    let budget = "budget = { limit_usd = 0.045, period = \"month\" }";
    let config = [
        openai("p1", &provider.url()),
        openai("free", &provider.url()).replace("price = {", "tags = [] # {"),
        route("auto", &["p1"], budget),
        route("unknown", &["free"], budget),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let ask = |model: &str, n: u32| {
        let mut body = json!({ "model": model, "prompt": "", "n": n });
        let missing = 100 - body.to_string().len();
        body["prompt"] = "a".repeat(missing).into();
        body
    };
    gateway
        .data()
        .post(IMAGES, &ask("auto", 3))
        .await
        .refused(429, "budget_exceeded");
    gateway
        .data()
        .post(IMAGES, &ask("unknown", 1))
        .await
        .refused(403, "model_not_priced");
    assert_eq!(provider.journal().len(), 0);
    assert_eq!(gateway.data().post(IMAGES, &ask("auto", 2)).await.status, 200);
    assert_eq!(
        provider.only().json()["prompt"],
        ask("auto", 2)["prompt"],
        "a limit was put into a request for images"
    );
    // What it used was told: 0.00205 USD. The next one fits, says nothing, and is booked at all that was held.
    assert_eq!(gateway.data().post(IMAGES, &ask("auto", 2)).await.status, 200);
    let refused = gateway.data().post(IMAGES, &ask("auto", 1)).await;
    refused.refused(429, "budget_exceeded");
    booked(&gateway, "estimated_lines", 1.0).await;
}

#[tokio::test]
async fn what_cannot_be_served_or_read_is_refused_by_name() {
    let provider = FakeProvider::start().await;
    let simulated =
        "[providers.simulated]\nadapter = \"simulated\"\n[models.\"simulated/any\"]\nprovider = \"simulated\"\n";
    let config = [
        "[server]\nbody_bytes = 2_000\n",
        &openai("p1", &provider.url()),
        &anthropic("claude", &provider.url()),
        // It is known to have no images and no sound, and `media` may say otherwise.
        &openai("deep", &provider.url()).replace("\"openai\"", "\"deepseek\""),
        &openai("groq", &provider.url()).replace("\"openai\"", "\"groq\"\nmedia = [\"images\"]"),
        simulated,
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let client = gateway.data();
    for model in ["claude/model", "deep/model", "groq/model", "simulated/any"] {
        let reply = client
            .post(SPEECH, &json!({ "model": model, "input": "a", "voice": "v" }))
            .await;
        let message = reply.refused(400, "no_candidate");
        assert!(message.contains("serves speech"), "{message}");
        send(&client, TRANSCRIPTIONS, form(model, &[]))
            .await
            .refused(400, "no_candidate");
    }
    let reply = send(&client, TRANSCRIPTIONS, form("nobody", &[])).await;
    reply.refused(404, "model_not_found");
    let long = form("p1/model", &[("prompt", &"a".repeat(2_000))]);
    send(&client, TRANSCRIPTIONS, long)
        .await
        .refused(413, "request_too_large");
    let cut = form("p1/model", &[]);
    send(&client, TRANSCRIPTIONS, cut[..cut.len() - 8].to_vec())
        .await
        .refused(400, "invalid_form");
    let twice = form("p1/model", &[("model", "claude/model")]);
    send(&client, TRANSCRIPTIONS, twice).await.refused(400, "invalid_type");
    let json = client.post(TRANSCRIPTIONS, &json!({ "model": "p1/model" })).await;
    let message = json.refused(415, "unsupported_media_type");
    assert!(message.ends_with("send multipart/form-data"), "{message}");
    send(&client, IMAGES, form("p1/model", &[("prompt", "a")]))
        .await
        .refused(415, "unsupported_media_type");
    assert_eq!(client.get(SPEECH).await.status, 405);
    assert!(provider.journal().is_empty());
    provider.on(IMAGES, [Answer::json(200, &image())]);
    assert_eq!(
        client
            .post(IMAGES, &json!({ "model": "groq/model", "prompt": "a" }))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn every_operation_on_azure_goes_to_its_deployment() {
    let provider = FakeProvider::start().await;
    let of = |path: &str| format!("/openai/deployments/upstream-model{path}");
    let vectors = json!({ "object": "list", "data": [], "usage": { "prompt_tokens": 7, "total_tokens": 7 } });
    provider.on(&of("/embeddings"), [Answer::json(200, &vectors)]);
    provider.on(&of("/images/generations"), [Answer::json(200, &image())]);
    provider.on(&of("/images/edits"), [Answer::json(200, &image())]);
    provider.on(&of("/audio/speech"), [Answer::new(200, "audio/mpeg", SOUND)]);
    provider.on(&of("/audio/transcriptions"), [Answer::json(200, &heard())]);
    provider.on(&of("/audio/translations"), [Answer::json(200, &heard())]);
    let config = openai("az", &provider.url())
        .replace("\"openai\"", "\"azure\"")
        .replace("/v1\"", "\"");
    let gateway = Gateway::start(&config).await;
    let client = gateway.data();
    let said = json!({ "model": "az/model", "input": "hello", "voice": "v", "prompt": "a", "user": "u" });
    for path in ["/v1/embeddings", IMAGES, SPEECH] {
        let reply = client.post(path, &said).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let received = provider.journal().pop().unwrap();
        assert_eq!(
            (received.json()["user"].as_str(), received.json()["model"].as_str()),
            (Some("u"), Some("upstream-model"))
        );
    }
    for path in [TRANSCRIPTIONS, TRANSLATIONS, EDITS] {
        let more: &[_] = if path == EDITS {
            &[("prompt", "a"), ("image", "i")]
        } else {
            &[]
        };
        let reply = send(&client, path, form("az/model", more)).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert_eq!(provider.journal().pop().unwrap().body, form("upstream-model", more));
    }
    for received in provider.journal() {
        assert!(received.path.ends_with("?api-version=2024-10-21"), "{}", received.path);
        assert_eq!(received.header("api-key"), Some("key-of-az"));
    }
}

#[tokio::test]
async fn sdks_make_images_and_sound_and_read_it() {
    let provider = FakeProvider::start().await;
    let delta = json!({ "type": "transcript.text.delta", "delta": "hello" });
    let done = json!({ "type": "transcript.text.done", "text": "hello", "usage": heard()["usage"] });
    let made =
        json!({ "type": "image_generation.completed", "b64_json": "AA==", "created_at": 1, "usage": image()["usage"] });
    provider.on(EDITS, [Answer::json(200, &image())]);
    provider.on(SPEECH, [Answer::new(200, "audio/mpeg", SOUND)]);
    provider.on(TRANSLATIONS, [Answer::json(200, &heard())]);
    let gateway = Gateway::start(&openai("p1", &provider.url())).await;
    let file = STANDARD.encode(SOUND);
    for sdk in sdks() {
        provider.on(IMAGES, [Answer::json(200, &image()), Answer::typed_events([&made])]);
        let plain = Answer::new(200, "text/plain", "hello");
        let streamed = Answer::typed_events([&delta, &done]);
        provider.on(TRANSCRIPTIONS, [Answer::json(200, &heard()), plain, streamed]);
        let step = |act: &str, more: Value| {
            let mut with = json!({ "model": "p1/model" });
            with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({ "do": act, "with": with })
        };
        let steps = json!([
            step("image", json!({ "prompt": "a cat" })),
            step("image_events", json!({ "prompt": "a cat" })),
            step("edit", json!({ "prompt": "a hat", "image": file })),
            step("speak", json!({ "input": "hello", "voice": "alloy" })),
            step("hear", json!({ "file": file })),
            step("hear", json!({ "file": file, "response_format": "text" })),
            step("hear_events", json!({ "file": file })),
            step("translate", json!({ "file": file })),
            json!({ "do": "speak", "with": { "model": "nobody", "input": "hello", "voice": "alloy" } }),
        ]);
        let seen = sdk.takes(&gateway, steps).await;
        let (whole, text) = (json!("AA=="), json!("hello"));
        assert_eq!(
            seen[0]["images"]["data"][0]["b64_json"], whole,
            "{}: {}",
            sdk.name, seen[0]
        );
        assert_eq!(seen[1]["events"][0]["b64_json"], whole, "{}: {}", sdk.name, seen[1]);
        assert_eq!(
            seen[2]["images"]["usage"]["output_tokens"], 1_000,
            "{}: {}",
            sdk.name, seen[2]
        );
        assert_eq!(seen[3]["sound"], json!(file), "{}: {}", sdk.name, seen[3]);
        assert_eq!(seen[4]["heard"]["text"], text, "{}: {}", sdk.name, seen[4]);
        assert_eq!(seen[5]["heard"], text, "{}: {}", sdk.name, seen[5]);
        assert_eq!(seen[6]["events"][1]["text"], text, "{}: {}", sdk.name, seen[6]);
        assert_eq!(seen[7]["heard"]["text"], text, "{}: {}", sdk.name, seen[7]);
        assert_eq!(seen[8]["error"]["class"], "NotFoundError", "{}: {}", sdk.name, seen[8]);
        let sent = provider.journal();
        let sent = sent.iter().rfind(|received| received.path == EDITS).unwrap();
        assert!(
            sent.body.windows(SOUND.len()).any(|bytes| bytes == SOUND),
            "{}",
            sdk.name
        );
    }
}
