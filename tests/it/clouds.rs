//! Providers whose streams are framed otherwise and whose credentials are more than a key: Ollama's JSON by the line, Bedrock's event
//! stream and signatures, Google's tokens. What adapters make of every field is in their golden files; here it is the gateway
//! around them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tests::clouds::{ServiceAccount, message, messages};
use tests::{Answer, Ending, FakeProvider, Gate, Gateway, Home};

fn ask(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "Which track?" }], "stream": true,
        "stream_options": { "include_usage": true } })
}

/// The text of a stream, how it finished, and what the last chunk says was used.
async fn told(gateway: &Gateway, ask: &Value) -> (String, Option<String>, Value, Ending) {
    let (events, ending) = gateway.data().chat_stream(ask).await.rest().await;
    let chunks: Vec<Value> = events
        .iter()
        .filter_map(|event| serde_json::from_str(&event.data).ok())
        .collect();
    let part = |pointer: &str| -> Vec<String> {
        let found = chunks.iter().filter_map(|chunk| chunk.pointer(pointer)?.as_str());
        found.map(str::to_owned).collect()
    };
    let usage = chunks.last().map(|chunk| chunk["usage"]["total_tokens"].clone());
    let finish = part("/choices/0/finish_reason").pop();
    (
        part("/choices/0/delta/content").concat(),
        finish,
        usage.unwrap_or_default(),
        ending,
    )
}

fn ollama(url: &str) -> String {
    format!(
        "[providers.own]\nadapter = \"ollama\"\nbase_url = \"{url}\"\n[models.\"own/model\"]\nprovider = \"own\"\nupstream = \"qwen3\"\n"
    )
}

fn lines() -> Answer {
    let line =
        |text: &str| json!({ "model": "qwen3", "message": { "role": "assistant", "content": text }, "done": false });
    let end = json!({ "model": "qwen3", "message": { "role": "assistant", "content": "" }, "done": true,
        "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2 });
    let lines = [line("Track "), line("7, bitte schön."), end].map(|line| format!("{line}\n"));
    Answer::new(200, "application/x-ndjson", lines.concat())
}

#[tokio::test]
async fn a_stream_of_json_by_the_line_is_the_same_wherever_it_is_cut_and_never_whole_without_its_end() {
    let provider = FakeProvider::start().await;
    let whole = lines();
    let cut = lines().cut_after(150, tests::End::Whole);
    let answers = [whole.clone(), whole.clone().in_pieces_of(1), whole.in_pieces_of(7), cut];
    provider.on("/api/chat", answers);
    let gateway = Gateway::start(&ollama(&provider.url())).await;
    for _ in 0..3 {
        let (text, finish, used, ending) = told(&gateway, &ask("own/model")).await;
        assert_eq!(
            (text.as_str(), finish.as_deref()),
            ("Track 7, bitte schön.", Some("stop"))
        );
        assert_eq!((used, ending), (5.into(), Ending::Whole));
    }
    let (_, finish, _, ending) = told(&gateway, &ask("own/model")).await;
    assert_eq!(finish, None);
    assert_ne!(ending, Ending::Whole);
    let sent = &provider.journal()[0];
    assert_eq!(
        (sent.header("authorization"), &sent.json()["stream"]),
        (None, &true.into())
    );
}

#[tokio::test]
async fn vectors_of_a_translated_provider_come_in_the_format_that_was_asked_for() {
    let provider = FakeProvider::start().await;
    let embedded = json!({ "model": "qwen3", "embeddings": [[0.5, -1.0]], "prompt_eval_count": 3 });
    provider.on("/api/embed", [Answer::json(200, &embedded)]);
    let gateway = Gateway::start(&ollama(&provider.url())).await;
    for (format, expected) in [("float", json!([0.5, -1.0])), ("base64", "AAAAPwAAgL8=".into())] {
        let ask = json!({ "model": "own/model", "input": "Track 7", "encoding_format": format });
        let reply = gateway.data().post("/v1/embeddings", &ask).await.json();
        assert_eq!(reply["data"][0]["embedding"], expected);
        assert_eq!(reply["usage"]["prompt_tokens"], 3);
    }
}

fn bedrock(url: &str) -> String {
    format!(
        "[providers.aws]\nadapter = \"bedrock\"\nbase_url = \"{url}\"\nregion = \"eu-central-1\"\n\
         aws = {{ access_key_id = \"AKIDCANARY\", secret_access_key = \"secret-canary\", session_token = \"token-canary\" }}\n\
         [models.\"aws/model\"]\nprovider = \"aws\"\nupstream = \"amazon.nova-pro-v1:0\"\n"
    )
}

fn converse() -> Vec<(&'static str, Value)> {
    vec![
        ("messageStart", json!({ "role": "assistant" })),
        (
            "contentBlockDelta",
            json!({ "contentBlockIndex": 0, "delta": { "text": "Track " } }),
        ),
        (
            "contentBlockDelta",
            json!({ "contentBlockIndex": 0, "delta": { "text": "7, bitte schön." } }),
        ),
        ("contentBlockStop", json!({ "contentBlockIndex": 0 })),
        ("messageStop", json!({ "stopReason": "end_turn" })),
        (
            "metadata",
            json!({ "usage": { "inputTokens": 3, "outputTokens": 2, "totalTokens": 5 } }),
        ),
    ]
}

#[tokio::test]
async fn a_request_to_bedrock_is_signed_and_its_event_stream_is_held_to_its_checksums() {
    let provider = FakeProvider::start().await;
    let path = "/model/amazon.nova-pro-v1%3A0/converse-stream";
    let whole = messages(&converse());
    let pieces: Vec<Vec<u8>> = converse()
        .iter()
        .map(|(name, payload)| message(name, payload))
        .collect();
    let first = pieces[0].len() + pieces[1].len();
    let gate = Gate::shut();
    let flipped = |at: usize| {
        let mut bytes = pieces.concat();
        bytes[at] ^= 1;
        Answer::new(200, "application/vnd.amazon.eventstream", bytes)
    };
    let throttled = messages(&[(
        "exception:throttlingException",
        json!({ "message": "Too many tokens." }),
    )]);
    provider.on(
        path,
        [
            whole.clone(),
            whole.clone().in_pieces_of(1),
            whole.in_pieces_of(13),
            flipped(first + 40).in_pieces_of(first).held_after(1, &gate),
            flipped(40),
            throttled,
        ],
    );
    let gateway = Gateway::start(&bedrock(&provider.url())).await;
    for _ in 0..3 {
        let (text, finish, used, ending) = told(&gateway, &ask("aws/model")).await;
        assert_eq!(
            (text.as_str(), finish.as_deref()),
            ("Track 7, bitte schön.", Some("stop"))
        );
        assert_eq!((used, ending), (5.into(), Ending::Whole));
    }
    let stream = gateway.data().chat_stream(&ask("aws/model")).await;
    gate.open();
    let (events, ending) = stream.rest().await;
    assert_ne!(ending, Ending::Whole);
    let said: String = events.iter().map(|event| event.data.as_str()).collect();
    assert!(
        said.contains("Track ") && !said.contains("bitte") && !said.contains("[DONE]"),
        "{said}"
    );
    for status in [502, 429] {
        assert_eq!(gateway.data().chat(&ask("aws/model")).await.status, status);
    }
    let sent = &provider.journal()[0];
    let signature = sent.header("authorization").unwrap_or_default();
    let day = &sent.header("x-amz-date").unwrap_or_default()[..8];
    let beginning = format!("AWS4-HMAC-SHA256 Credential=AKIDCANARY/{day}/eu-central-1/bedrock/aws4_request");
    assert!(signature.starts_with(&beginning), "{signature}");
    assert!(
        signature.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token,"),
        "{signature}"
    );
    assert_eq!(sent.header("x-amz-security-token"), Some("token-canary"));
    gateway.logged(&["a stream broke", "checksum"]).await;
    assert!(!gateway.log().contains("canary") && !gateway.log().contains("CANARY"));
}

#[tokio::test]
async fn what_bedrock_quotes_of_a_credential_is_shown_to_nobody_and_what_is_missing_is_named() {
    let provider = FakeProvider::start().await;
    let quoting = json!({ "message": "token-canary and AKIDCANARY are no good" });
    let refused = Answer::json(403, &quoting).header("x-amzn-errortype", "UnrecognizedClientException:http://x/");
    provider.on("/model/amazon.nova-pro-v1%3A0/converse", [refused]);
    let config = bedrock(&provider.url());
    let gateway = Gateway::start(&config).await;
    let mut ask = ask("aws/model");
    ask["stream"] = false.into();
    ask.as_object_mut().map(|ask| ask.remove("stream_options"));
    let reply = gateway.data().chat(&ask).await;
    assert!(reply.status >= 500, "{}", reply.text());
    gateway.logged(&["an attempt failed", "are no good"]).await;
    for text in [reply.text(), gateway.log()] {
        assert!(!text.contains("canary") && !text.contains("CANARY"), "{text}");
    }
    for (line, expected) in [
        ("region = \"eu-central-1\"\n", "needs a `region`"),
        ("aws = {", "needs `aws = { access_key_id, secret_access_key }`"),
    ] {
        let without: String = config
            .lines()
            .filter(|given| !given.starts_with(line.trim_end()))
            .map(|line| format!("{line}\n"))
            .collect();
        gateway.write_config(&without);
        let reply = gateway.reload().await;
        assert!(
            reply.status >= 400 && reply.text().contains(expected),
            "{}",
            reply.text()
        );
    }
}

/// Two requests at one time have one token; a service account that is refused is told as a credential that is refused.
#[tokio::test]
async fn a_service_account_is_exchanged_for_a_token_that_many_requests_carry() {
    let provider = FakeProvider::start().await;
    let account = ServiceAccount::new(&format!("{}/token", provider.url()));
    let home = Home::with_config(&format!(
        "[providers.one]\nadapter = \"vertex\"\nregion = \"europe-west4\"\n\
         base_url = \"{0}/v1/projects/{{project}}/locations/{{region}}/publishers/google\"\n\
         google = {{ service_account = \"${{file:account.json}}\" }}\n\
         [models.\"one/model\"]\nprovider = \"one\"\nupstream = \"gemini-2.5-flash\"\n\
         [providers.two]\nadapter = \"vertex-anthropic\"\nregion = \"europe-west4\"\n\
         base_url = \"{0}/v1/projects/{{project}}/locations/{{region}}/publishers/anthropic\"\n\
         google = {{ service_account = \"${{file:account.json}}\" }}\n\
         [models.\"two/model\"]\nprovider = \"two\"\nupstream = \"claude-sonnet-4-5@20250929\"\n",
        provider.url()
    ));
    home.write("account.json", account.json());
    let place = "/v1/projects/the-project/locations/europe-west4/publishers";
    let said = json!({
        "candidates": [{ "content": { "role": "model", "parts": [{ "text": "Track 7." }] }, "finishReason": "STOP" }],
        "usageMetadata": { "promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5 },
    });
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "content": [{ "type": "text", "text": "Track 8." }],
        "model": "claude-sonnet-4-5", "stop_reason": "end_turn", "usage": { "input_tokens": 3, "output_tokens": 2 },
    });
    let token = json!({ "access_token": "ya29.token-canary", "expires_in": 3599, "token_type": "Bearer" });
    let denied = json!({ "error": "invalid_grant", "error_description": "account not found" });
    provider.on("/token", [Answer::json(200, &token), Answer::json(400, &denied)]);
    let path = format!("{place}/google/models/gemini-2.5-flash:generateContent");
    provider.on(&path, [Answer::json(200, &said)]);
    let claude = format!("{place}/anthropic/models/claude-sonnet-4-5@20250929:rawPredict");
    provider.on(&claude, [Answer::json(200, &message)]);
    let gateway = Gateway::start_in(home).await;
    let asked = |model: &str| json!({ "model": model, "messages": [{ "role": "user", "content": "Which track?" }] });

    let (one, other) = (asked("one/model"), asked("one/model"));
    let (first, second) = (gateway.data(), gateway.data());
    let (first, second) = tokio::join!(first.chat(&one), second.chat(&other));
    for reply in [first, second] {
        assert_eq!(
            reply.json()["choices"][0]["message"]["content"],
            "Track 7.",
            "{}",
            reply.text()
        );
    }
    let journal = provider.journal();
    let exchanges: Vec<_> = journal.iter().filter(|received| received.path == "/token").collect();
    assert_eq!((journal.len(), exchanges.len()), (3, 1));
    let carried = journal.iter().filter_map(|received| received.header("authorization"));
    assert_eq!(carried.collect::<Vec<_>>(), ["Bearer ya29.token-canary"; 2]);

    let form = String::from_utf8(exchanges[0].body.to_vec()).unwrap();
    let (_, assertion) = form.split_once("&assertion=").unwrap();
    let (message, signature) = assertion.rsplit_once('.').unwrap();
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    assert!(account.has_signed(message.as_bytes(), &decoded(signature)));
    let claims: Value = serde_json::from_slice(&decoded(message.split_once('.').unwrap().1)).unwrap();
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
    assert_eq!(claims["aud"], format!("{}/token", provider.url()));

    // The other provider has its own exchange, which is refused, and told without a word of the key.
    let reply = gateway.data().chat(&asked("two/model")).await;
    assert!(reply.status >= 500, "{}", reply.text());
    gateway
        .logged(&["a provider's credential cannot be renewed", "invalid_grant"])
        .await;
    provider.on("/token", [Answer::json(200, &token)]);
    let reply = gateway.data().chat(&asked("two/model")).await;
    assert_eq!(
        reply.json()["choices"][0]["message"]["content"],
        "Track 8.",
        "{}",
        reply.text()
    );
    let sent = provider.journal().pop().unwrap().json();
    assert_eq!(
        (&sent["anthropic_version"], sent.get("model")),
        (&"vertex-2023-10-16".into(), None)
    );
    assert!(!gateway.log().contains("canary") && !gateway.log().contains("PRIVATE KEY"));
}
