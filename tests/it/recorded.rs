//! What sixteen providers of OpenAI's dialect really answered, played by the fake provider and forwarded: the answer arrives
//! unchanged, and what it costs follows from a view of it that was made independently. The recordings are not part of this
//! repository; without the folder that `POINTSMAN_SHARED` names, this test says so and passes.

use serde_json::{Value, json};
use tests::config::openai;
use tests::{Ending, FakeProvider, Gateway, Recording, replay};

/// Nano-dollars for a token of input, of input from the cache, of input written to it, and of output.
const PRICES: [u64; 4] = [1_000, 100, 1_250, 4_000];

#[tokio::test]
async fn what_recorded_answers_used_is_read_wherever_they_tell_it() {
    let Some(recordings) = recordings() else { return };
    let provider = FakeProvider::start().await;
    let price = "price = { input = 1.0, cached_input = 0.1, cache_write = 1.25, output = 4.0 }";
    let config =
        openai("one", &provider.url()).replace("price = { input = 1.0, cached_input = 0.1, output = 2.0 }", price);
    assert!(config.contains(price));
    let gateway = Gateway::start(&config).await;
    for recording in &recordings {
        provider.on("/v1/chat/completions", [recording.answer()]);
        if recording.is_streamed {
            check_streamed(&gateway, recording).await;
        } else {
            check_whole(&gateway, recording).await;
        }
    }
    assert_eq!(
        recordings.len(),
        289,
        "the index has other recordings than this test knows of"
    );
}

async fn check_whole(gateway: &Gateway, recording: &Recording) {
    let id = &recording.id;
    let reply = gateway
        .data()
        .chat(&json!({ "model": "one/model", "messages": [{ "role": "user", "content": "hello" }] }))
        .await;
    assert_eq!((reply.status, &reply.body), (200, &recording.body), "{id}");
    let cost = reply.header("x-pointsman-cost-usd").map(nanodollars);
    assert_eq!(cost, expected_cost(recording), "{id}");
}

async fn check_streamed(gateway: &Gateway, recording: &Recording) {
    let id = &recording.id;
    let ask = |include_usage: bool| {
        json!({
            "model": "one/model", "messages": [{ "role": "user", "content": "hello" }], "stream": true, "stream_options": { "include_usage": include_usage },
        })
    };
    let told_in_all = chunks(gateway, &ask(true))
        .await
        .into_iter()
        .flat_map(|chunk| told(&chunk));
    let cost = told_in_all.last().map(|usage| nanodollars(&usage["cost"].to_string()));
    assert_eq!(cost, expected_cost(recording), "{id}");
    for chunk in chunks(gateway, &ask(false)).await {
        assert!(told(&chunk).is_empty(), "{id}: {chunk}");
    }
}

/// The chunks of a stream that ended as one does; recordings have line ends of all kinds.
async fn chunks(gateway: &Gateway, ask: &Value) -> Vec<Value> {
    let reply = gateway.data().chat(ask).await;
    let text = reply.text();
    assert_eq!(reply.status, 200, "{text}");
    let mut data: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(str::trim)
        .collect();
    assert_eq!(data.pop(), Some("[DONE]"), "{text}");
    data.iter().map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// What a chunk tells of usage, in each place that a provider may have for it.
fn told(chunk: &Value) -> Vec<Value> {
    let choices = chunk["choices"].as_array().into_iter().flatten();
    let places = choices
        .map(|choice| &choice["usage"])
        .chain([&chunk["usage"], &chunk["x_groq"]["usage"]]);
    places.filter(|usage| !usage.is_null()).cloned().collect()
}

/// As the independent view has it, with two exceptions: Azure's Grok claims more cached tokens than the prompt has, and xAI
/// leaves reasoning out of the completion, as its total shows, and bills it.
fn expected_cost(recording: &Recording) -> Option<u64> {
    let usage = &recording.expected["usage"];
    let count = |name: &str| usage[name].as_u64().unwrap_or(0);
    let prompt = usage["prompt"].as_u64()?;
    let cached = count("cached").min(prompt);
    let mut output = count("completion");
    if count("reasoning") > 0 && count("total") == prompt + output + count("reasoning") {
        output += count("reasoning");
    }
    let parts = [
        prompt - cached - count("cache_write"),
        cached,
        count("cache_write"),
        output,
    ];
    Some(parts.iter().zip(PRICES).map(|(tokens, price)| tokens * price).sum())
}

fn nanodollars(usd: &str) -> u64 {
    let usd: f64 = usd.parse().unwrap_or_else(|_| panic!("`{usd}` is not an amount"));
    (usd * 1e9).round() as u64
}

/// The successes of this dialect; of streams, those that end as a stream does: with a finish, and `[DONE]` in an event of its
/// own.
fn recordings() -> Option<Vec<Recording>> {
    let mut recordings = Recording::of("openai-chat", 346)?;
    recordings.retain(|recording| {
        let is_done = ["data: [DONE]\n\n", "data: [DONE]\r\n\r\n"]
            .iter()
            .any(|end| recording.body.ends_with(end.as_bytes()));
        recording.status == 200 && (!recording.is_streamed || recording.expected["finish"].is_string() && is_done)
    });
    Some(recordings)
}

/// A gateway with a provider for each of these, so that none is left alone for what another comes to.
async fn each(recordings: &[Recording], provider: &FakeProvider, more: &str) -> Gateway {
    let config = |(number, _)| {
        let name = format!("p{number}");
        openai(&name, &provider.url()).replace("api_key", &format!("{more}\napi_key"))
    };
    let config: String = recordings.iter().enumerate().map(config).collect();
    Gateway::start(&config).await
}

#[tokio::test]
async fn recorded_vectors_arrive_as_they_came_and_cost_what_they_took() {
    let Some(recordings) = Recording::of("openai-embeddings", 7) else {
        return;
    };
    let provider = FakeProvider::start().await;
    let gateway = each(&recordings, &provider, "").await;
    for (number, recording) in recordings.iter().enumerate() {
        let id = &recording.id;
        provider.on("/v1/embeddings", [recording.answer()]);
        let ask = json!({ "model": format!("p{number}/model"), "input": "a" });
        let reply = gateway.data().post("/v1/embeddings", &ask).await;
        if recording.status != 200 {
            assert_eq!(reply.status, recording.status, "{id}: {}", reply.text());
            assert!(reply.json()["error"]["message"].is_string(), "{id}: {}", reply.text());
            continue;
        }
        assert_eq!((reply.status, &reply.body), (200, &recording.body), "{id}");
        let cost = reply.header("x-pointsman-cost-usd").map(nanodollars);
        let tokens = recording.expected["usage"]["prompt"].as_u64();
        assert_eq!(cost, tokens.map(|tokens| tokens * PRICES[0]), "{id}");
    }
}

#[tokio::test]
async fn recorded_responses_arrive_as_they_came_and_cost_what_they_say() {
    let Some(recordings) = Recording::of("openai-responses", 44) else {
        return;
    };
    let provider = FakeProvider::start().await;
    let gateway = each(&recordings, &provider, "responses = true").await;
    for (number, recording) in recordings.iter().enumerate() {
        let id = &recording.id;
        provider.on("/v1/responses", [recording.answer()]);
        let ask = json!({ "model": format!("p{number}/model"), "input": "a", "stream": recording.is_streamed });
        if recording.is_streamed {
            let (events, ending) = gateway.data().stream("/v1/responses", &ask).await.rest().await;
            let sent = String::from_utf8_lossy(&recording.body);
            let sent: Vec<&str> = sent
                .lines()
                .filter_map(|line| line.strip_prefix("data:"))
                .map(str::trim)
                .collect();
            let told: Vec<&str> = events.iter().map(|event| event.data.as_str()).collect();
            assert_eq!((told, ending), (sent, Ending::Whole), "{id}");
            continue;
        }
        let reply = gateway.data().post("/v1/responses", &ask).await;
        if recording.status != 200 {
            assert!(reply.status >= 400, "{id}");
            assert!(reply.json()["error"]["message"].is_string(), "{id}: {}", reply.text());
            continue;
        }
        assert_eq!((reply.status, &reply.body), (200, &recording.body), "{id}");
        let usage = &reply.json()["usage"];
        let count = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let cached = count("/input_tokens_details/cached_tokens");
        let cost = [count("/input_tokens") - cached, cached, 0, count("/output_tokens")];
        let cost: u64 = cost
            .iter()
            .zip([1_000, 100, 0, 2_000])
            .map(|(tokens, price)| tokens * price)
            .sum();
        let told = reply.header("x-pointsman-cost-usd").map(nanodollars);
        assert_eq!(told, usage.is_object().then_some(cost), "{id}");
    }
}

/// What Bedrock counts is what the gateway guesses in its place is measured by: asking would need a permission of its own, and is
/// answered for some models only.
#[tokio::test]
async fn what_the_gateway_guesses_is_near_to_recorded_counts() {
    let Some(recordings) = Recording::of("bedrock-count-tokens", 3) else {
        return;
    };
    let model = "anthropic.claude-sonnet-4-20250514-v1:0";
    let gateway = Gateway::start(&replay::config("aws", "bedrock", "http://127.0.0.1:9", &[model])).await;
    let mut seen = 0;
    for recording in &recordings {
        let counted: Value = serde_json::from_slice(&recording.body).unwrap();
        let Some(counted) = counted["inputTokens"].as_u64() else {
            continue;
        };
        let asked = &recording.asked.as_ref().unwrap()["input"]["converse"]["messages"];
        let blocks = asked
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|turn| turn["content"].as_array().into_iter().flatten());
        let texts: Vec<Value> = blocks
            .filter(|block| block["text"].is_string())
            .map(|block| json!({ "type": "text", "text": block["text"] }))
            .collect();
        let ask = json!({ "model": format!("aws/{model}"), "messages": [{ "role": "user", "content": texts }] });
        let reply = gateway.data().post("/v1/messages/count_tokens", &ask).await;
        let guessed = reply.json()["input_tokens"].as_u64().unwrap_or_default();
        assert!(
            (counted / 2..=counted * 2).contains(&guessed),
            "{}: {counted}, not {guessed}",
            recording.id
        );
        seen += 1;
    }
    assert_eq!(seen, 2);
}
