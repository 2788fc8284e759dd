//! `/openai/…`: OpenAI's paths as Azure has them, where a deployment's name stands in the path.

use serde_json::{Value, json};
use tests::Gateway;
use tests::sdk::sdks;

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
