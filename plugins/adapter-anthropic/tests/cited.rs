//! What recorded answers rest on, against the recordings themselves. They are not part of this repository: they are looked for where
//! `POINTSMAN_SHARED` says, and without them this test says so and passes.

use adapter_anthropic::{Anthropic, Stream};
use pointsman_plugin::testing::{Recording, run, target};
use pointsman_plugin::{Adapter, Framing, Operation};
use serde_json::Value;

/// What the provider cites, read without the adapter: each page with the text of the block that rests on it.
#[test]
fn every_recorded_page_is_an_annotation_of_the_text_that_rests_on_it() {
    let Some(recordings) = Recording::of("anthropic-messages", 100) else {
        return;
    };
    let mut seen = 0;
    for recording in recordings.iter().filter(|recording| recording.status == 200) {
        // Several answers in one file cite nothing.
        let starts = recording
            .body
            .windows(15)
            .filter(|window| window == b"\"message_start\"");
        if starts.count() > 1 {
            continue;
        }
        let (bodies, member) = match recording.is_streamed {
            true => {
                let (chunks, _) = run::<Stream>(&recording.events(Framing::ServerSentEvents), 3);
                (chunks.into_iter().map(|chunk| chunk.data).collect(), "delta")
            }
            false => {
                let answer = Anthropic::decode(Operation::Chat, &target("claude"), &recording.body);
                (
                    answer.map(|answer| answer.body).into_iter().collect::<Vec<_>>(),
                    "message",
                )
            }
        };
        let (mut text, mut annotations) = (Vec::new(), Vec::new());
        for body in bodies {
            let body: Value = serde_json::from_slice(&body).expect("an answer is JSON");
            let said = &body["choices"][0][member];
            text.extend(said["content"].as_str().unwrap_or_default().chars());
            annotations.extend(said["annotations"].as_array().into_iter().flatten().cloned());
        }
        let stretch = |annotation: &Value| {
            let cited = &annotation["url_citation"];
            let at = |name: &str| cited[name].as_u64().expect("a place is a number") as usize;
            let stretch: String = text[at("start_index")..at("end_index")].iter().collect();
            (string(&cited["url"]), stretch)
        };
        let found: Vec<(String, String)> = annotations.iter().map(stretch).collect();
        assert_eq!(found, cited(recording), "{}", recording.id);
        seen += found.len();
    }
    assert!(seen >= 10, "only {seen} pages were cited");
}

fn cited(recording: &Recording) -> Vec<(String, String)> {
    let blocks: Vec<(String, Vec<Value>)> = match recording.is_streamed {
        false => {
            let told: Value = serde_json::from_slice(&recording.body).expect("a body is JSON");
            let blocks = told["content"].as_array().cloned().unwrap_or_default();
            let cited = |block: &Value| block["citations"].as_array().cloned().unwrap_or_default();
            blocks
                .iter()
                .map(|block| (string(&block["text"]), cited(block)))
                .collect()
        }
        true => {
            let mut blocks: Vec<(String, Vec<Value>)> = Vec::new();
            for event in recording.events(Framing::ServerSentEvents) {
                let event: Value = serde_json::from_slice(&event.data).unwrap_or_default();
                match (event["type"].as_str(), blocks.last_mut()) {
                    (Some("content_block_start"), _) => {
                        blocks.push((string(&event["content_block"]["text"]), Vec::new()));
                    }
                    (Some("content_block_delta"), Some((text, citations))) => {
                        text.push_str(event["delta"]["text"].as_str().unwrap_or_default());
                        citations.extend(event["delta"].get("citation").cloned());
                    }
                    _ => {}
                }
            }
            blocks
        }
    };
    let pages = blocks.into_iter().flat_map(|(text, citations)| {
        let urls = citations
            .into_iter()
            .filter_map(|citation| citation["url"].as_str().map(str::to_owned));
        urls.map(move |url| (url, text.clone())).collect::<Vec<_>>()
    });
    pages.collect()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
