//! What is no conversation: `/v1/embeddings`, `/v1/moderations`, `/v1/rerank`. They are routed, paid, cached and failed over as
//! conversations are.

use serde_json::{Value, json};
use tests::config::{anthropic, openai, policy, route};
use tests::sdk::sdks;
use tests::{Answer, FakeProvider, Gateway};

const SIMULATED: &str = r#"
[providers.simulated]
adapter = "simulated"
[models."simulated/any"]
provider = "simulated"
price = { input = 1.0, output = 4.0 }
"#;

/// As a provider of OpenAI's dialect answers.
fn vectors() -> Answer {
    let data = json!([{ "object": "embedding", "index": 0, "embedding": [0.5, -0.5] }]);
    let usage = json!({ "prompt_tokens": 7, "total_tokens": 7 });
    Answer::json(
        200,
        &json!({ "object": "list", "model": "upstream-model", "data": data, "usage": usage }),
    )
}

fn ask(model: &str) -> Value {
    json!({ "model": model, "input": ["one", "two"], "dimensions": 2, "unknown": { "kept": 1 } })
}

#[tokio::test]
async fn embeddings_reach_the_provider_as_they_came_and_cost_what_they_say() {
    let provider = FakeProvider::start().await;
    provider.on("/v1/embeddings", [vectors()]);
    let gateway = Gateway::start(&(openai("p1", &provider.url()) + &route("auto", &["p1"], ""))).await;
    let reply = gateway.data().post("/v1/embeddings", &ask("auto")).await;
    assert_eq!(
        (reply.status, reply.json()["data"][0]["embedding"].clone()),
        (200, json!([0.5, -0.5]))
    );
    assert_eq!(reply.header("x-pointsman-model"), Some("p1/model"));
    assert_eq!(reply.header("x-pointsman-cost-usd"), Some("0.000007"));
    let received = provider.only();
    assert_eq!(received.json(), ask("upstream-model"));
    assert_eq!(gateway.metric("pointsman_ledger_estimated_lines_total").await, 0.0);
}

#[tokio::test]
async fn a_provider_that_does_not_serve_embeddings_is_passed_over_or_named() {
    let (first, second) = (FakeProvider::start().await, FakeProvider::start().await);
    second.on("/v1/embeddings", [vectors()]);
    let config = [
        anthropic("p1", &first.url()),
        openai("p2", &second.url()),
        route("both", &["p1", "p2"], ""),
        route("one", &["p1"], ""),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let reply = gateway.data().post("/v1/embeddings", &ask("both")).await;
    assert_eq!((reply.status, reply.header("x-pointsman-attempts")), (200, Some("1")));
    let refused = gateway.data().post("/v1/embeddings", &ask("one")).await;
    let message = refused.refused(400, "no_candidate");
    assert!(
        message.contains("serves embeddings: the adapter of p1 does not"),
        "{message}"
    );
    assert!(first.journal().is_empty());
}

#[tokio::test]
async fn embeddings_fail_over_and_are_given_again() {
    let (first, second) = (FakeProvider::start().await, FakeProvider::start().await);
    first.on("/v1/embeddings", [Answer::error(500, "broken")]);
    second.on("/v1/embeddings", [vectors()]);
    let config = [
        openai("p1", &first.url()),
        openai("p2", &second.url()),
        route("auto", &["p1", "p2"], ""),
        route("kept", &["p2"], "cache = {}"),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    let reply = gateway.data().post("/v1/embeddings", &ask("auto")).await;
    assert_eq!(
        (reply.status, reply.header("x-pointsman-model")),
        (200, Some("p2/model"))
    );
    for word in ["miss", "hit"] {
        let reply = gateway.data().post("/v1/embeddings", &ask("kept")).await;
        assert_eq!(reply.header("x-pointsman-cache"), Some(word));
    }
}

#[tokio::test]
async fn policies_read_inputs_as_what_a_user_says() {
    let keyword = "rules = [{ any = [\"python\"], prefer = [\"simulated/code\"] }]";
    let config = [
        SIMULATED,
        "[models.\"simulated/code\"]\nprovider = \"simulated\"\n",
        &policy("keyword", "keyword", keyword),
        "[routes.auto]\ncandidates = [\"simulated/any\", \"simulated/code\"]\npolicies = [\"keyword\"]\n",
    ];
    let gateway = Gateway::start(&config.concat()).await;
    for (path, body) in [
        ("/v1/embeddings", json!({ "model": "auto", "input": "a snake, python" })),
        (
            "/v1/embeddings",
            json!({ "model": "auto", "input": ["any", "in python"] }),
        ),
        (
            "/v1/moderations",
            json!({ "model": "auto", "input": [{ "type": "text", "text": "python" }] }),
        ),
        (
            "/v1/rerank",
            json!({ "model": "auto", "query": "python?", "documents": ["a", "b"] }),
        ),
    ] {
        let reply = gateway.data().post(path, &body).await;
        assert_eq!(
            (reply.status, reply.header("x-pointsman-model")),
            (200, Some("simulated/code")),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_budget_holds_for_what_is_read() {
    let route =
        "[routes.auto]\ncandidates = [\"simulated/any\"]\nbudget = { limit_usd = 0.0005, period = \"total\" }\n";
    let gateway = Gateway::start(&(SIMULATED.to_owned() + route)).await;
    let long = json!({ "model": "auto", "input": "four".repeat(1_000) });
    let refused = gateway.data().post("/v1/embeddings", &long).await;
    refused.refused(429, "budget_exceeded");
    let short = json!({ "model": "auto", "input": "four" });
    let reply = gateway.data().post("/v1/embeddings", &short).await;
    assert_eq!(
        (reply.status, reply.header("x-pointsman-cost-usd")),
        (200, Some("0.000001"))
    );
}

#[tokio::test]
async fn what_is_wrong_with_an_input_is_named() {
    let gateway = Gateway::start(SIMULATED).await;
    for (path, body, code, param) in [
        (
            "/v1/embeddings",
            json!({ "model": "simulated/any" }),
            "missing_required_parameter",
            "input",
        ),
        (
            "/v1/embeddings",
            json!({ "model": "simulated/any", "input": [{}] }),
            "invalid_type",
            "input[0]",
        ),
        (
            "/v1/moderations",
            json!({ "model": "simulated/any", "input": 7 }),
            "invalid_type",
            "input",
        ),
        (
            "/v1/rerank",
            json!({ "model": "simulated/any", "documents": ["a"] }),
            "missing_required_parameter",
            "query",
        ),
        ("/v1/embeddings", json!([]), "invalid_type", ""),
    ] {
        let reply = gateway.data().post(path, &body).await;
        reply.refused(400, code);
        assert_eq!(
            reply.json()["error"]["param"].as_str().unwrap_or_default(),
            param,
            "{body}"
        );
    }
    gateway
        .data()
        .post("/v1/moderations", &json!({ "input": "any" }))
        .await
        .refused(404, "model_not_found");
    assert_eq!(gateway.data().get("/v1/rerank").await.status, 405);
}

#[tokio::test]
async fn sdks_get_vectors_and_verdicts() {
    let gateway = Gateway::start(SIMULATED).await;
    for sdk in sdks() {
        // The SDKs ask for packed vectors by themselves, and unpack them.
        let steps = json!([
            { "do": "embed", "with": { "model": "simulated/any", "input": ["the cat sat", "cat the sat", "no word in common"] } },
            { "do": "moderate", "with": { "model": "simulated/any", "input": "hello" } },
            { "do": "embed", "with": { "model": "nobody", "input": "any" } },
        ]);
        let [embedded, moderated, refused] = sdk.takes(&gateway, steps).await.try_into().unwrap();
        let vector = |index: usize| -> Vec<f64> { serde_json::from_value(embedded["vectors"][index].clone()).unwrap() };
        let near =
            |one: usize, other: usize| -> f64 { vector(one).iter().zip(vector(other)).map(|(a, b)| a * b).sum() };
        assert_eq!(vector(0).len(), 256, "{}", sdk.name);
        assert!(near(0, 1) > 0.99 && near(0, 2) < 0.5, "{}", sdk.name);
        assert_eq!(moderated["flagged"], json!([false]), "{}", sdk.name);
        let class = &refused["error"]["class"];
        assert_eq!(class, "NotFoundError", "{}: {refused}", sdk.name);
    }
}

#[tokio::test]
async fn the_simulated_provider_puts_texts_in_order() {
    let gateway = Gateway::start(SIMULATED).await;
    let body = json!({ "model": "simulated/any", "query": "where is the cat",
        "documents": ["dogs bark", { "text": "the cat is here" }, "rain"], "top_n": 2 });
    let reply = gateway.data().post("/v1/rerank", &body).await.json();
    let order: Vec<&Value> = reply["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| &result["index"])
        .collect();
    assert_eq!((order.len(), order[0]), (2, &json!(1)), "{reply}");
}

#[tokio::test]
async fn a_provider_of_openais_dialect_ranks_and_judges_where_it_is_known_to() {
    let provider = FakeProvider::start().await;
    let ranked = json!({ "results": [{ "index": 1, "relevance_score": 0.9 }], "usage": { "prompt_tokens": 9, "total_tokens": 9 } });
    provider.on("/v1/rerank", [Answer::json(200, &ranked)]);
    let at = |name: &str| openai(name, &provider.url()).replace("\"openai\"", &format!("\"{name}\""));
    let own = openai("own", &provider.url());
    let without =
        openai("without", &provider.url()).replace("\"openai\"", "\"openai\"\nrerank = false\nmoderation = false");
    let config = own + &without + &at("vllm") + &at("deepseek");
    let gateway = Gateway::start(&config).await;
    let client = gateway.data();
    let ask = |model: &str| json!({ "model": format!("{model}/model"), "query": "which?", "documents": ["a", "b"] });
    for model in ["own", "vllm"] {
        let reply = client.post("/v1/rerank", &ask(model)).await;
        assert_eq!((reply.status, reply.json()), (200, ranked.clone()), "{model}");
        assert_eq!(reply.header("x-pointsman-cost-usd"), Some("0.000009"), "{model}");
    }
    let asked = provider.journal();
    assert_eq!(
        asked[1].json(),
        json!({ "model": "upstream-model", "query": "which?", "documents": ["a", "b"] })
    );
    for model in ["deepseek", "without"] {
        client
            .post("/v1/rerank", &ask(model))
            .await
            .refused(400, "no_candidate");
        let judged = json!({ "model": format!("{model}/model"), "input": "any" });
        client
            .post("/v1/moderations", &judged)
            .await
            .refused(400, "no_candidate");
    }
    assert_eq!(provider.journal().len(), asked.len());
}
