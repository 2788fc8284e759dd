//! `/openai/…`: OpenAI's paths as Azure has them, where a deployment's name stands in the path.

use serde_json::{Value, json};
use tests::sdk::sdks;
use tests::{Answer, Ending, FakeProvider, Gateway};

const CONFIG: &str = "[providers.simulated]\nadapter = \"simulated\"\n[models.\"simulated/small\"]\nprovider = \"simulated\"\n\
                      [routes.auto]\ncandidates = [\"simulated/small\"]\n";

fn hello(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] })
}

#[tokio::test]
async fn applications_for_azure_name_a_route_or_a_model_as_their_deployment() {
    let gateway = Gateway::start(CONFIG).await;
    for sdk in sdks() {
        let step = |act: &str, with: Value| json!({ "do": act, "with": with, "on": "azure" });
        let steps = json!([
            step("chat", hello("auto")),
            step("stream", hello("simulated/small")),
            step("embed", json!({ "model": "auto", "input": "hello" })),
            step("chat", hello("nobody")),
            step("models", json!({})),
        ]);
        let seen = sdk.takes(&gateway, steps).await;
        let text = seen[0]["completion"]["choices"][0]["message"]["content"].as_str();
        assert!(
            text.is_some_and(|text| text.contains("hello")),
            "{}: {}",
            sdk.name,
            seen[0]
        );
        assert!(
            !seen[1]["chunks"].as_array().unwrap().is_empty(),
            "{}: {}",
            sdk.name,
            seen[1]
        );
        assert!(seen[2]["vectors"][0][0].is_number(), "{}: {}", sdk.name, seen[2]);
        let error = &seen[3]["error"];
        assert_eq!(
            (&error["class"], &error["code"]),
            (&json!("NotFoundError"), &json!("model_not_found")),
            "{}",
            sdk.name
        );
        assert!(
            seen[4]["models"].as_array().is_some_and(|models| !models.is_empty()),
            "{}: {}",
            sdk.name,
            seen[4]
        );
    }
    // The path has the last word, whatever the body says.
    let path = "/openai/deployments/auto/chat/completions?api-version=2024-10-21";
    let reply = gateway.data().post(path, &hello("nobody")).await;
    assert_eq!(
        (reply.status, reply.header("x-pointsman-route")),
        (200, Some("auto")),
        "{}",
        reply.text()
    );
    let unnamed = json!({ "messages": [{ "role": "user", "content": "hello" }] });
    assert_eq!(gateway.data().post(path, &unnamed).await.status, 200);
    let other = gateway.data().post("/openai/deployments/auto/messages", &unnamed).await;
    other.refused(404, "not_found");
}

/// What its filters made of the prompt comes first, in a chunk of its own that knows neither id nor model.
#[tokio::test]
async fn what_azures_filters_say_reaches_clients_that_know_it_and_troubles_nobody_else() {
    let judged = json!([{ "prompt_index": 0, "content_filter_results": { "hate": { "filtered": false } } }]);
    let first =
        json!({ "id": "", "model": "", "object": "", "created": 0, "choices": [], "prompt_filter_results": judged });
    let piece = |delta: Value, finish: Value| {
        json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish, "content_filter_results": { "hate": { "filtered": false } } }] })
    };
    let pieces = [
        first.clone(),
        piece(json!({ "content": "Yes." }), Value::Null),
        piece(json!({}), json!("stop")),
    ];
    let pieces = pieces.map(|piece| piece.to_string());
    let streamed = || Answer::events(pieces.iter().map(String::as_str).chain(["[DONE]"]));
    let broken = [
        first.to_string(),
        json!({ "error": { "code": "429", "message": "Slow down" } }).to_string(),
    ];
    let broken = Answer::events(broken.iter().map(String::as_str));
    let whole = json!({ "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o", "prompt_filter_results": judged,
        "choices": [{ "index": 0, "finish_reason": "stop", "content_filter_results": { "hate": { "filtered": false } },
            "message": { "role": "assistant", "content": "Yes." } }] });
    let provider = FakeProvider::start().await;
    let path = |deployment: &str| format!("/openai/deployments/{deployment}/chat/completions");
    provider.on(
        &path("one"),
        [
            Answer::json(200, &whole),
            streamed(),
            streamed(),
            streamed(),
            streamed(),
        ],
    );
    provider.on(&path("two"), [broken]);
    let model = |name: &str| format!("[models.\"azure/{name}\"]\nprovider = \"azure\"\nupstream = \"{name}\"\n");
    let config = format!(
        "[providers.azure]\nadapter = \"azure\"\nbase_url = \"{}\"\napi_key = \"key\"\n{}{}[routes.both]\ncandidates = [\"azure/two\", \"azure/one\"]\n",
        provider.url(),
        model("one"),
        model("two"),
    );
    let gateway = Gateway::start(&config).await;
    let client = gateway.data();
    let reply = client.chat(&hello("azure/one")).await;
    let answer = reply.json();
    assert_eq!(answer["prompt_filter_results"], judged, "{answer}");
    assert_eq!(
        answer["choices"][0]["content_filter_results"]["hate"]["filtered"],
        false
    );
    let mut asked = hello("azure/one");
    asked["stream"] = true.into();
    // The other one has judged the prompt and given up: nothing of its stream has gone out.
    for model in ["azure/one", "both"] {
        asked["model"] = model.into();
        let (events, ending) = client.chat_stream(&asked).await.rest().await;
        assert_eq!((events[0].json(), ending), (first.clone(), Ending::Whole), "{model}");
        assert_eq!(events[1].json()["choices"][0]["delta"]["content"], "Yes.");
        let judgements = events
            .iter()
            .filter(|event| event.data.contains("prompt_filter_results"));
        assert_eq!(judgements.count(), 1, "{model}");
    }
    let asked = json!({ "model": "azure/one", "max_tokens": 9, "stream": true, "input": "hello", "messages": [{ "role": "user", "content": "hello" }] });
    for path in ["/v1/messages", "/v1/responses"] {
        let mut asked = asked.clone();
        asked
            .as_object_mut()
            .unwrap()
            .remove(if path == "/v1/messages" { "input" } else { "messages" });
        let (events, ending) = client.stream(path, &asked).await.rest().await;
        let begun = events[0].json();
        let begun = begun.get("message").or(begun.get("response")).unwrap().clone();
        assert_eq!((&begun["model"], ending), (&json!("gpt-4o"), Ending::Whole), "{path}");
        assert!(
            begun["id"].as_str().is_some_and(|id| id.contains('1')),
            "{path}: {begun}"
        );
        assert!(
            !events.iter().any(|event| event.data.contains("filter_results")),
            "{path}"
        );
    }
}
