//! What is billed by something else than text: images in a request, characters that are spoken, searches. Each at its own rate, to the
//! nano-dollar, from the answer's own words or, where it has none, from the request.

use hyper::Method;
use serde_json::{Value, json};
use tests::{Answer, FakeProvider, Gateway};

use super::stopped;

/// Models whose prices the built-in catalog knows, and one whose searches the configuration prices.
fn config(url: &str) -> String {
    let provider = |name: &str, adapter: &str, base: &str| {
        format!(
            "[providers.{name}]\nadapter = \"{adapter}\"\nbase_url = \"{url}{base}\"\napi_key = \"k\"\ncatalog = \"{}\"\nallow_any_model = true\n",
            if adapter == "anthropic" { "anthropic" } else { name }
        )
    };
    [
        provider("openai", "openai", "/v1"),
        provider("cohere", "cohere", ""),
        provider("claude", "anthropic", ""),
        "[models.searching]\nprovider = \"claude\"\nupstream = \"claude\"\nprice = { input = 1, output = 1, search = 0.01 }\n".to_owned(),
    ]
    .concat()
}

#[tokio::test]
async fn images_characters_and_searches_are_booked_at_rates_of_their_own() {
    let provider = FakeProvider::start().await;
    let edited = json!({ "created": 1, "data": [{ "b64_json": "AA==" }], "usage": { "input_tokens": 330, "output_tokens": 4_160,
        "total_tokens": 4_490, "input_tokens_details": { "text_tokens": 7, "image_tokens": 323 } } });
    provider.on("/v1/images/edits", [Answer::json(200, &edited)]);
    provider.on("/v1/audio/speech", [Answer::new(200, "audio/mpeg", "sound")]);
    let ranked = json!({ "id": "r", "results": [{ "index": 0, "relevance_score": 0.5 }],
        "meta": { "api_version": { "version": "2" }, "billed_units": { "search_units": 1 } } });
    provider.on("/v2/rerank", [Answer::json(200, &ranked)]);
    let searched = json!({ "id": "msg", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn",
        "content": [{ "type": "text", "text": "hi" }],
        "usage": { "input_tokens": 10, "output_tokens": 5, "server_tool_use": { "web_search_requests": 2 } } });
    provider.on("/v1/messages", [Answer::json(200, &searched)]);
    let gateway = Gateway::start(&config(&provider.url())).await;
    let client = gateway.data();
    let image = json!({ "model": "openai/gpt-image-1", "prompt": "a cat", "images": [{ "image_url": "data:image/png;base64,AA==" }] });
    let speech = |model: &str| json!({ "model": model, "input": "Grüße, Welt!", "voice": "alloy" });
    let rerank = json!({ "model": "cohere/rerank-v3.5", "query": "cat?", "documents": ["a cat", "a dog"] });
    let hello = |path: &str| {
        let hello = json!([{ "role": "user", "content": "hello" }]);
        (
            path.to_owned(),
            json!({ "model": "searching", "max_tokens": 9, "messages": hello }),
        )
    };
    let asked: [(String, Value); 6] = [
        ("/v1/images/edits".to_owned(), image),
        ("/v1/audio/speech".to_owned(), speech("openai/tts-1")),
        ("/v1/audio/speech".to_owned(), speech("openai/gpt-4o-mini-tts")),
        ("/v1/rerank".to_owned(), rerank),
        // In the provider's own words, and translated.
        hello("/v1/messages"),
        hello("/v1/chat/completions"),
    ];
    let count = asked.len();
    let mut told = Vec::new();
    for (path, body) in asked {
        let reply = client
            .send(
                Method::POST,
                &path,
                &[("content-type", "application/json")],
                body.to_string(),
            )
            .await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        told.push(reply.header("x-pointsman-cost-usd").map(str::to_owned));
    }
    let lines = stopped(gateway, count).await;
    let booked: Vec<(u64, bool)> = lines
        .iter()
        .map(|line| (line.cost.unwrap().0, line.is_estimated))
        .collect();
    let expected = [
        // 7 tokens of text at 5 USD a million, 323 of images at 10, and 4,160 at 40.
        (7 * 5_000 + 323 * 10_000 + 4_160 * 40_000, false),
        // 12 characters at 15 USD a million.
        (12 * 15_000, false),
        // 14 bytes: four tokens of text, and four around them, at 0.6 USD, and 21 of sound at 12.
        (8 * 600 + 21 * 12_000, true),
        // One search at 0.002 USD, and no tokens.
        (2_000_000, false),
        // 10 tokens and 5 at 1 USD a million, and two searches at 0.01.
        (15_000 + 20_000_000, false),
        (15_000 + 20_000_000, false),
    ];
    assert_eq!(booked, expected);
    assert_eq!(told[3].as_deref(), Some("0.002"));
    let usage = lines[0].usage;
    assert_eq!((usage.input, usage.image_input, usage.image_output), (330, 323, 4_160));
    assert_eq!((lines[1].usage.characters, lines[3].usage.searches), (12, 1));
    for line in &lines {
        assert!(
            line.cost.unwrap() <= line.ceiling || line.usage.searches == 2,
            "{line:?}"
        );
    }
}

#[tokio::test]
async fn a_budget_holds_what_images_and_characters_can_cost() {
    let provider = FakeProvider::start().await;
    provider.on("/v1/audio/speech", [Answer::new(200, "audio/mpeg", "sound")]);
    // 1,000 characters at 15 USD a million are 0.015 USD, and an image may be 50,000 tokens at 10 and another 10,000 at 40.
    let route = |name: &str, model: &str, limit: &str| {
        format!("[routes.{name}]\ncandidates = [\"{model}\"]\nbudget = {{ limit_usd = {limit}, period = \"month\" }}\n")
    };
    let models = "[models.spoken]\nprovider = \"openai\"\nupstream = \"tts-1\"\n[models.images]\nprovider = \"openai\"\nupstream = \"gpt-image-1\"\n";
    let config = [
        config(&provider.url()),
        models.to_owned(),
        route("enough", "spoken", "0.015"),
        route("less", "spoken", "0.014999"),
        route("image", "images", "0.899"),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let client = gateway.data();
    let ask = |model: &str| json!({ "model": model, "input": "a".repeat(1_000), "voice": "alloy" });
    client
        .post("/v1/audio/speech", &ask("less"))
        .await
        .refused(429, "budget_exceeded");
    assert_eq!(client.post("/v1/audio/speech", &ask("enough")).await.status, 200);
    let image =
        json!({ "model": "image", "prompt": "a cat", "images": [{ "image_url": "data:image/png;base64,AA==" }] });
    client
        .post("/v1/images/edits", &image)
        .await
        .refused(429, "budget_exceeded");
}

#[tokio::test]
async fn what_is_served_before_others_or_when_there_is_time_is_booked_at_its_share_of_the_price() {
    let provider = FakeProvider::start().await;
    let chat = |tier: &str| {
        json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "gpt-5", "service_tier": tier,
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": "hi" }, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 } })
    };
    let answers = ["default", "flex", "priority", "default"].map(|tier| Answer::json(200, &chat(tier)));
    provider.on("/v1/chat/completions", answers);
    let responded = json!({ "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "gpt-5", "service_tier": "priority",
        "output": [{ "type": "message", "id": "m", "role": "assistant", "status": "completed",
            "content": [{ "type": "output_text", "text": "hi", "annotations": [] }] }],
        "usage": { "input_tokens": 100, "output_tokens": 10, "total_tokens": 110 } });
    provider.on("/v1/responses", [Answer::json(200, &responded)]);
    let own = "catalog = \"openai\"\nresponses = true";
    let gateway = Gateway::start(&config(&provider.url()).replace("catalog = \"openai\"", own)).await;
    let client = gateway.data();
    for tier in ["default", "flex", "priority", "priority"] {
        let ask = json!({ "model": "openai/gpt-5", "service_tier": tier, "max_completion_tokens": 10, "messages": [{ "role": "user", "content": "hi" }] });
        assert_eq!(client.chat(&ask).await.status, 200);
    }
    let ask = json!({ "model": "openai/gpt-5", "service_tier": "priority", "max_output_tokens": 10, "input": "hi", "store": false });
    assert_eq!(client.post("/v1/responses", &ask).await.status, 200);
    let lines = stopped(gateway, 5).await;
    let booked: Vec<u64> = lines.iter().map(|line| line.cost.unwrap().0).collect();
    // 100 tokens at 1.25 USD a million and 10 at 10: half of it when there is time, twice of it before others.
    let price = 225_000;
    assert_eq!(booked, [price, price / 2, 2 * price, price, 2 * price]);
    let held: Vec<u64> = lines.iter().map(|line| line.ceiling.0).collect();
    // A word more or less is bytes of input.
    assert!(held[1] <= held[0] && held[2] > 2 * held[0] - 10_000, "{held:?}");
}
