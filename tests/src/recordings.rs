//! What providers really answered, to be played again: the bytes as they were recorded, at the paths where they were, in any
//! pieces. They are not part of this repository; `POINTSMAN_SHARED` names the folder that has them.

use std::fs;

use bytes::Bytes;
use serde_json::Value;

use crate::answer::Answer;
use crate::specification::shared;

/// One request and its answer.
#[derive(Debug, Clone)]
pub struct Recording {
    /// What it is called.
    pub id: String,
    /// Who answered.
    pub provider: String,
    /// In which words, `gemini-generate` say.
    pub wire: String,
    /// Whether the answer is a stream.
    pub is_streamed: bool,
    /// The answer's status.
    pub status: u16,
    /// The path that was asked for.
    pub path: String,
    /// What was asked, if that was recorded.
    pub asked: Option<Value>,
    /// What the answer says, as somebody else has read it.
    pub expected: Value,
    /// The answer's headers; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The answer's bytes.
    pub body: Bytes,
    /// The files that this was read from, below the folder of recordings.
    pub files: [String; 2],
}

impl Recording {
    /// Every recording; none where the folder is not there, which is said.
    pub fn all() -> Option<Vec<Recording>> {
        let folder = shared("wire/fixtures")?;
        let read =
            |file: &str| Bytes::from(fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}")));
        let index: Value = serde_json::from_slice(&read("index.json")).expect("the index is JSON");
        let entries = index["cases"].as_array().expect("the index lists cases");
        let recording = |entry: &Value| {
            let files = [text(&entry["case"]), text(&entry["body"])];
            let mut case: Value = serde_json::from_slice(&read(&files[0])).expect("a case is JSON");
            let headers = case["response"]["headers"].as_object().into_iter().flatten();
            Recording {
                id: text(&entry["id"]),
                provider: text(&entry["provider"]),
                wire: text(&entry["wire"]),
                is_streamed: entry["streamed"] == true,
                status: entry["status"]
                    .as_u64()
                    .and_then(|status| status.try_into().ok())
                    .expect("a status"),
                path: text(&case["request"]["path"]),
                headers: headers
                    .map(|(name, value)| (name.to_ascii_lowercase(), text(value)))
                    .collect(),
                asked: Some(case["request"]["body"].take()).filter(Value::is_object),
                expected: case["expected"].take(),
                body: ended(read(&files[1]), &files[1]),
                files,
            }
        };
        Some(entries.iter().map(recording).collect())
    }

    /// The recordings in these words, which have to be so many: a new one has to be looked at.
    pub fn of(wire: &str, count: usize) -> Option<Vec<Recording>> {
        let mut recordings = Recording::all()?;
        recordings.retain(|recording| recording.wire == wire);
        assert_eq!(
            recordings.len(),
            count,
            "there are other recordings of {wire} than this test knows of"
        );
        Some(recordings)
    }

    /// The answer as it came.
    pub fn answer(&self) -> Answer {
        let kind = self.headers.iter().find(|(name, _)| name == "content-type");
        let kind = match kind.map(|(_, kind)| kind.as_str()) {
            Some(kind) if !kind.contains("REDACTED") => kind,
            _ => self.usual_type(),
        };
        let answer = Answer::new(self.status, kind, self.body.clone());
        // What is said of the body's length and coding is true of other bytes.
        let told = self.headers.iter().filter(|(name, _)| {
            let name = name.as_str();
            name.contains("ratelimit") || name.starts_with("retry-after") || name == "x-amzn-errortype"
        });
        told.fold(answer, |answer, (name, value)| answer.header(name, value))
    }

    fn usual_type(&self) -> &'static str {
        match self.files[1].rsplit('.').next() {
            Some("sse") => "text/event-stream",
            Some("ndjson") => "application/x-ndjson",
            Some("eventstream") => "application/vnd.amazon.eventstream",
            Some("txt") => "text/plain",
            _ => "application/json",
        }
    }
}

/// Some recordings have lost the blank line behind their last event.
fn ended(body: Bytes, file: &str) -> Bytes {
    let is_ended = body.ends_with(b"\n\n") || body.ends_with(b"\r\n\r\n") || !file.ends_with(".sse");
    if is_ended {
        body
    } else {
        [&body[..], b"\n\n"].concat().into()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
