//! What 22 providers really answered, byte for byte and at the paths where they did, played to the gateway whole, in single bytes, and
//! broken off in the middle: the answer is the same however it comes, or an error, never less than all of it delivered as a success.
//! What each says is compared with what somebody else has read from it in the tests of the adapters. The recordings are not part of
//! this repository; without them this test says so and passes.

mod own;

use serde_json::{Value, json};
use tests::replay::{config, home};
use tests::{Answer, End, Ending, FakeProvider, Gateway, Recording};

/// Each recording has a provider and models of its own, so that what one comes to has no consequences for another.
struct Played<'r> {
    recording: &'r Recording,
    /// Where the gateway asks.
    path: String,
    config: String,
    model: String,
}

/// Words of conversations, and what the paths of their requests have behind the base URL.
const WIRES: [(&str, &str); 6] = [
    ("openai-chat", "/chat/completions"),
    ("anthropic-messages", "/v1/messages"),
    ("gemini-generate", "/models/"),
    ("bedrock-converse", "/model/"),
    ("cohere-v2-chat", "/v2/chat"),
    ("ollama-chat", "/api/chat"),
];

/// Longer answers come in so many pieces instead of single bytes.
const MOST_PIECES: usize = 600;

fn played<'r>(recording: &'r Recording, url: &str, number: usize) -> Option<Played<'r>> {
    let (_, own) = WIRES.iter().find(|(wire, _)| *wire == recording.wire)?;
    // A place that was struck out.
    let path = recording.path.replace("<GOOGLE_CLOUD_LOCATION>", "europe-west4");
    let deployment = path
        .strip_prefix("/openai/deployments/")
        .and_then(|rest| rest.split('/').next());
    let (adapter, own) = match (recording.provider.as_str(), recording.wire.as_str()) {
        ("azure", _) if deployment.is_some() => ("azure", "/openai/deployments/"),
        ("azure" | "ollama", "openai-chat") => ("openai", *own),
        ("vertex-anthropic", _) => ("vertex-anthropic", "/models/"),
        (provider, _) => (provider, *own),
    };
    let at = path
        .rfind(own)
        .unwrap_or_else(|| panic!("{}: {path} has no {own}", recording.id));
    let rest = &path[at + own.len()..];
    let upstream = match (deployment, adapter) {
        (Some(deployment), _) => deployment,
        (_, "gemini" | "vertex" | "vertex-anthropic") => rest.rsplit_once(':').map_or(rest, |(model, _)| model),
        (_, "bedrock") => rest.rsplit_once('/').map_or(rest, |(model, _)| model),
        _ => "model",
    };
    // A path has the name with its colon encoded.
    let upstream = &upstream.replace("%3A", ":");
    let name = format!("p{number}");
    let config = config(&name, adapter, &format!("{url}{}", &path[..at]), &[upstream]);
    Some(Played {
        recording,
        path: path.replace(upstream, &upstream.replace(':', "%3A")),
        config,
        model: format!("{name}/{upstream}"),
    })
}

/// What a client has of an answer.
#[derive(Debug, Default, PartialEq)]
struct Told {
    text: String,
    reasoning: String,
    /// Names and arguments.
    calls: Vec<(String, Value)>,
    finish: Option<String>,
    tokens: Option<u64>,
    /// Whether it is complete.
    is_whole: bool,
}

async fn told(gateway: &Gateway, played: &Played<'_>) -> Told {
    let question = json!([{ "role": "user", "content": "Which track?" }]);
    let mut ask = json!({ "model": played.model, "messages": question });
    if played.recording.is_streamed {
        (ask["stream"], ask["stream_options"]) = (true.into(), json!({ "include_usage": true }));
        return streamed(gateway, &ask).await;
    }
    let reply = gateway.data().chat(&ask).await;
    let answer = reply.json();
    if reply.status != 200 {
        assert!(answer["error"]["message"].is_string(), "{answer}");
        return Told::default();
    }
    let choice = &answer["choices"][0];
    let mut told = Told {
        is_whole: true,
        ..Told::default()
    };
    let mut pieces = Vec::new();
    told.add(&choice["message"], &mut pieces);
    told.calls
        .extend(pieces.into_iter().map(|(name, text)| (name, arguments(&text.into()))));
    told.finish = choice["finish_reason"].as_str().map(str::to_owned);
    told.tokens = answer["usage"]["completion_tokens"].as_u64();
    told
}

async fn streamed(gateway: &Gateway, ask: &Value) -> Told {
    let stream = gateway.data().chat_stream(ask).await;
    if stream.status != 200 {
        return Told::default();
    }
    let (events, ending) = stream.rest().await;
    let (mut told, mut pieces) = (Told::default(), Vec::new());
    for event in &events {
        if event.data == "[DONE]" {
            told.is_whole = ending == Ending::Whole;
            continue;
        }
        let chunk = event.json();
        assert!(!told.is_whole, "something follows the end");
        if let Some(tokens) = chunk["usage"]["completion_tokens"].as_u64() {
            told.tokens = Some(tokens);
        }
        for choice in chunk["choices"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|choice| choice["index"] == 0)
        {
            told.add(&choice["delta"], &mut pieces);
            if let Some(finish) = choice["finish_reason"].as_str() {
                told.finish = Some(finish.to_owned());
            }
        }
    }
    told.calls = pieces
        .into_iter()
        .map(|(name, text)| (name, arguments(&text.into())))
        .collect();
    told
}

impl Told {
    /// What a message or a piece of one adds. Calls of a message are whole, those of a piece are put together by their number.
    fn add(&mut self, message: &Value, pieces: &mut Vec<(String, String)>) {
        self.text += message["content"].as_str().unwrap_or_default();
        self.reasoning += message["reasoning_content"].as_str().unwrap_or_default();
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            match call["index"].as_u64() {
                None => self
                    .calls
                    .push((text(&function["name"]), arguments(&function["arguments"]))),
                Some(at) => {
                    let at = at as usize;
                    assert!(
                        at <= pieces.len(),
                        "a call is number {at}, and there are {}",
                        pieces.len()
                    );
                    if at == pieces.len() {
                        assert!(call["id"].is_string(), "a call begins without an id: {call}");
                        pieces.push(Default::default());
                    }
                    pieces[at].0 += function["name"].as_str().unwrap_or_default();
                    pieces[at].1 += function["arguments"].as_str().unwrap_or_default();
                }
            }
        }
    }
}

fn arguments(text: &Value) -> Value {
    match text.as_str() {
        Some("") | None => json!({}),
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
    }
}

/// A recording of a client that asked twice; half of it may be the first answer.
fn has_two_answers(recording: &Recording) -> bool {
    let end = b"event: message_stop";
    let mut ends = recording.body.windows(end.len()).filter(|bytes| bytes == end);
    ends.nth(1).is_some()
}

#[tokio::test]
async fn what_providers_answered_arrives_however_it_comes_and_never_in_part_as_a_success() {
    let Some(recordings) = Recording::all() else { return };
    let (provider, tokens) = (FakeProvider::start().await, FakeProvider::start().await);
    let url = provider.url();
    let played: Vec<Played> = recordings
        .iter()
        .enumerate()
        .filter_map(|(number, recording)| played(recording, &url, number))
        .collect();
    assert_eq!(played.len(), 697, "there are other recordings than this test knows of");
    // Every third of each provider, for time: the adapters' own tests read all of them.
    let played: Vec<Played> = played.into_iter().step_by(3).collect();
    let config: String = played.iter().map(|played| played.config.as_str()).collect();
    let gateway = Gateway::start_in(home(&config, &tokens)).await;
    let (mut wrong, mut wholes) = (Vec::new(), 0);
    for played in &played {
        let (recording, id) = (played.recording, &played.recording.id);
        let answer = recording.answer();
        let play = async |answer: Answer| {
            provider.on(&played.path, [answer]);
            told(&gateway, played).await
        };
        let size = recording.body.len();
        let whole = play(answer.clone()).await;
        let apart = play(answer.clone().in_pieces_of(size.div_ceil(MOST_PIECES).max(1))).await;
        // What breaks off has shown what came before that, or nothing yet.
        if whole.is_whole != apart.is_whole || whole.is_whole && whole != apart {
            wrong.push(format!("{id}: whole    {whole:?}\n      in pieces {apart:?}"));
        }
        if whole.is_whole && recording.status != 200 {
            wrong.push(format!("{id}: an error is a success: {whole:?}"));
        }
        wholes += usize::from(whole.is_whole);
        for end in [End::Close, End::Whole] {
            let cut = play(answer.clone().cut_after(size / 2, end)).await;
            if cut.is_whole && !has_two_answers(recording) {
                wrong.push(format!("{id}: half of it is a success ({end:?}): {cut:?}"));
            }
        }
    }
    assert!(wholes > 180, "only {wholes} answers arrived whole");
    assert!(
        wrong.is_empty(),
        "{} answers went wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
