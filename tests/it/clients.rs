//! Real clients through the gateway to each provider: SDKs and frameworks chat, stream, call tools and give back what came of them, ask for
//! objects, for vectors, for what is in an image, and meet errors. Whoever answers, they have to see the same: the table of
//! `tests/sdk/clients/expected.json`, of which `docs/clients.md` is made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use tests::conversation::{CAST, Stage};
use tests::sdk;
use xtask::{clients, workspace};

async fn sees_the_same_of_every_provider(name: &str) {
    let table = clients::table().unwrap();
    let listed = table["clients"].as_array().unwrap();
    let client = listed.iter().find(|client| client["name"] == name);
    let client = client.unwrap_or_else(|| panic!("nothing is expected of {name}"));
    let Some(program) = sdk::client(name) else { return };
    let names: Vec<&str> = CAST.iter().map(|part| part.name).collect();
    let stage = Stage::set().await;
    let mut seen = BTreeMap::new();
    for line in program.plays(&stage.gateway, &names).await {
        let text = |member: &str| line[member].as_str().unwrap().to_owned();
        seen.insert((text("provider"), text("scene")), line["seen"].clone());
    }
    let mut wrong = Vec::new();
    for provider in &names {
        for scene in clients::scenes(client) {
            let expected = clients::expected(&table, client, provider, &scene);
            let seen = seen.remove(&((*provider).to_owned(), scene.clone()));
            if seen.as_ref() != Some(&expected) {
                let seen = seen.map_or("nothing".to_owned(), |seen| seen.to_string());
                wrong.push(format!("{provider}, {scene}: {seen}, not {expected}"));
            }
        }
    }
    wrong.extend(
        seen.keys()
            .map(|(provider, scene)| format!("{provider}, {scene}: nobody expects it")),
    );
    wrong.extend(stage.complaints());
    assert!(
        wrong.is_empty(),
        "{name}: {} are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn openais_sdk_for_python_sees_the_same_of_every_provider() {
    sees_the_same_of_every_provider("OpenAI's SDK for Python").await;
}

#[tokio::test]
async fn openais_sdk_for_node_sees_the_same_of_every_provider() {
    sees_the_same_of_every_provider("OpenAI's SDK for Node").await;
}

#[tokio::test]
async fn anthropics_sdk_for_python_sees_the_same_of_every_provider() {
    sees_the_same_of_every_provider("Anthropic's SDK for Python").await;
}

#[tokio::test]
async fn anthropics_sdk_for_node_sees_the_same_of_every_provider() {
    sees_the_same_of_every_provider("Anthropic's SDK for Node").await;
}

#[tokio::test]
async fn googles_sdk_for_python_sees_the_same_of_every_provider() {
    sees_the_same_of_every_provider("Google's SDK for Python").await;
}

#[tokio::test]
async fn googles_sdk_for_node_sees_the_same_of_every_provider() {
    sees_the_same_of_every_provider("Google's SDK for Node").await;
}

#[tokio::test]
async fn langchains_openai_sees_the_same_of_every_provider() {
    sees_the_same_of_every_provider("LangChain, OpenAI").await;
}

#[tokio::test]
async fn langchains_anthropic_sees_the_same_of_every_provider() {
    sees_the_same_of_every_provider("LangChain, Anthropic").await;
}

#[tokio::test]
async fn llamaindex_sees_the_same_of_every_provider() {
    sees_the_same_of_every_provider("LlamaIndex").await;
}

#[tokio::test]
async fn litellm_sees_the_same_of_every_provider() {
    sees_the_same_of_every_provider("LiteLLM").await;
}

#[tokio::test]
async fn instructor_sees_the_same_of_every_provider() {
    sees_the_same_of_every_provider("Instructor").await;
}

#[tokio::test]
async fn vercels_sdk_sees_the_same_of_every_provider() {
    sees_the_same_of_every_provider("Vercel's AI SDK").await;
}

/// Who has an adapter has a part, and who has expectations has a test above.
#[test]
fn every_provider_and_every_client_takes_part() {
    let listed = clients::providers().unwrap();
    let cast: BTreeSet<String> = CAST.iter().map(|part| part.name.to_owned()).collect();
    assert_eq!(cast, listed.into_iter().collect());
    let tests = fs::read_to_string(workspace().join("tests/it/clients.rs")).unwrap();
    let table = clients::table().unwrap();
    for client in table["clients"].as_array().unwrap() {
        let call = format!("sees_the_same_of_every_provider({})", client["name"]);
        assert!(tests.contains(&call), "no test has {call}");
    }
    // What is written for no client would be a claim that nothing holds.
    let scenes: BTreeSet<String> = table["clients"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(clients::scenes)
        .collect();
    let is_played = |name: &String| scenes.iter().any(|scene| clients::plain(scene) == name);
    let mut written = table["scenes"]
        .as_object()
        .unwrap()
        .keys()
        .chain(table["failures"].as_object().unwrap().keys());
    assert!(written.all(is_played), "{scenes:?}");
}
