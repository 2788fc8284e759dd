//! What `docs/providers.md` says that each provider serves, asked of each: a cell that has something is a request that reaches the
//! provider, as it came where the cell says so; an empty one is a request that does not.

use std::fs;

use serde_json::{Value, json};
use tests::conversation::{CAST, Stage};
use tests::{Gateway, Received};
use xtask::{providers, workspace};

const AS_IT_CAME: &str = "as it came";

/// A column, where it is asked for, and what is asked for.
fn asked(column: &str) -> (&'static str, Value) {
    let hello = json!([{ "role": "user", "content": "hello" }]);
    match column {
        "chat" => ("/v1/chat/completions", json!({ "messages": hello })),
        "chat, streamed" => ("/v1/chat/completions", json!({ "messages": hello, "stream": true })),
        "count of tokens" => ("/v1/messages/count_tokens", json!({ "messages": hello })),
        "completions" => ("/v1/completions", json!({ "prompt": "hello", "best_of_tomorrow": 1.0 })),
        "embeddings" => ("/v1/embeddings", json!({ "input": "hello", "of_tomorrow": 1.0 })),
        "rerank" => ("/v1/rerank", json!({ "query": "hello", "documents": ["one"] })),
        "moderation" => ("/v1/moderations", json!({ "input": "hello", "of_tomorrow": 1.0 })),
        "images" => (
            "/v1/images/generations",
            json!({ "prompt": "a dot", "of_tomorrow": 1.0 }),
        ),
        "speech" => (
            "/v1/audio/speech",
            json!({ "input": "hello", "voice": "alloy", "of_tomorrow": 1.0 }),
        ),
        other => panic!("nothing is known of the column `{other}`"),
    }
}

/// The cells of the page's first table: provider, column, what stands there.
fn cells() -> Vec<(String, String, String)> {
    let page = fs::read_to_string(workspace().join("docs/providers.md")).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with("| provider |"));
    let rows = rows.take_while(|line| line.starts_with('|'));
    let split = |line: &str| -> Vec<String> {
        let line = line.trim_start_matches('|').trim_end_matches('|');
        line.split('|')
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect()
    };
    let mut rows = rows.map(split);
    let heads = rows.next().expect("a table has heads");
    let mut cells = Vec::new();
    for row in rows.skip(1) {
        let filled = heads.iter().zip(&row).skip(1);
        cells.extend(filled.map(|(head, cell)| (row[0].clone(), head.clone(), cell.clone())));
    }
    cells
}

/// What of a request reached a provider.
async fn ask(gateway: &Gateway, stage: &Stage, provider: &str, column: &str) -> (u16, String, Option<Received>) {
    let (path, mut body) = asked(column);
    let model = if column == "embeddings" { "embedder" } else { "model" };
    body["model"] = format!("{provider}/{model}").into();
    let before = stage.provider.journal().len();
    let reply = gateway.data().post(path, &body).await;
    let journal = stage.provider.journal();
    let sent = journal[before..]
        .iter()
        .find(|received| !received.path.ends_with("/token"));
    (reply.status, reply.text(), sent.cloned())
}

#[tokio::test]
async fn each_cell_of_the_page_of_providers_is_what_a_request_meets() {
    let stage = Stage::set().await;
    let cells = cells();
    assert_eq!(cells.len(), 9 * CAST.len());
    let mut wrong = Vec::new();
    for (provider, column, cell) in &cells {
        let (status, reply, sent) = ask(&stage.gateway, &stage, provider, column).await;
        let is_same = sent.as_ref().is_some_and(|sent| {
            let (_, asked) = asked(column);
            let mut body = sent.json();
            let members = body.as_object_mut().expect("an object");
            members.remove("model");
            // The gateway counts, whether the caller wants to know or not.
            members.remove("stream_options");
            body == asked
        });
        let is_right = match cell.as_str() {
            AS_IT_CAME => status == 200 && is_same,
            "✓" => status == 200 && sent.is_some(),
            // What nobody counts is estimated, and texts are continued by conversations.
            "" if column == "count of tokens" => status == 200 && sent.is_none(),
            "" if column == "completions" => status == 200 && !is_same,
            "" => status >= 400 && sent.is_none(),
            _ => false,
        };
        if !is_right {
            let sent = sent.map(|sent| String::from_utf8_lossy(&sent.body).into_owned());
            wrong.push(format!(
                "{provider}, {column} is `{cell}`: {status} {reply}; the provider got {sent:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What nobody knows yet was sent on purpose; of that alone the specifications complain.
    let mut complaints = stage.complaints();
    complaints.retain(|complaint| !complaint.contains("of_tomorrow` is not known"));
    assert_eq!(complaints, [""; 0]);
    assert_eq!(providers::names().unwrap().len(), CAST.len());
}
