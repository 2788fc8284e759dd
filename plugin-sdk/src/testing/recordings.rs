//! Answers that providers really gave, for the tests of adapters, and what has to hold of every stream. The recordings of the gateway's
//! own adapters are not part of its repository: they are looked for in the folder that `POINTSMAN_SHARED` names, beside the
//! repository unless it names one, and tests without them say so and pass.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{AdapterStream, Answer, Chunk, Event, Failure, Framing, Operation, Target};

/// Streams that are longer are cut at so many places.
const CUT_AT_EVERY_BYTE: usize = 8_000;
const CUTS: usize = 400;

/// One answer.
#[derive(Debug)]
pub struct Recording {
    /// What it is called.
    pub id: String,
    /// Who answered.
    pub provider: String,
    /// Whether it is a stream.
    pub is_streamed: bool,
    /// Its status.
    pub status: u16,
    /// What was asked (`request`), the answer's headers (`response`), and a view of it that was made independently (`expected`).
    pub case: Value,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl Recording {
    /// The recordings in the words of `wire`, which have to be so many: a new one has to be looked at. None where there are no
    /// recordings at all.
    #[track_caller]
    pub fn of(wire: &str, count: usize) -> Option<Vec<Recording>> {
        let root = shared()?.join("wire/fixtures");
        let read = |path: &str| std::fs::read(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let index: Value = serde_json::from_slice(&read("index.json")).expect("the index is JSON");
        let entries = index["cases"].as_array().expect("the index lists cases");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let recording = |entry: &Value| Recording {
            id: text(&entry["id"]),
            provider: text(&entry["provider"]),
            is_streamed: entry["streamed"] == true,
            status: entry["status"]
                .as_u64()
                .and_then(|status| status.try_into().ok())
                .expect("a status"),
            case: serde_json::from_slice(&read(&text(&entry["case"]))).expect("a case is JSON"),
            body: read(&text(&entry["body"])),
        };
        let wanted = entries.iter().filter(|entry| entry["wire"] == wire);
        let recordings: Vec<Recording> = wanted.map(recording).collect();
        assert_eq!(
            recordings.len(),
            count,
            "there are other recordings of {wire} than this test knows of"
        );
        Some(recordings)
    }

    /// The view of the answer that was made independently.
    pub fn expected(&self) -> &Value {
        &self.case["expected"]
    }

    /// The request, where it is known.
    pub fn request(&self) -> &Value {
        &self.case["request"]["body"]
    }

    /// The answer's headers, as an adapter gets them.
    pub fn headers(&self) -> Vec<(String, String)> {
        let headers = self.case["response"]["headers"].as_object().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        headers
            .map(|(name, value)| (name.to_ascii_lowercase(), text(value)))
            .collect()
    }

    /// The answer as events. Some recordings have lost the blank line behind their last event.
    pub fn events(&self, framing: Framing) -> Vec<Event> {
        match framing {
            Framing::ServerSentEvents => events(framing, &[&self.body[..], b"\n\n"].concat()),
            _ => events(framing, &self.body),
        }
    }

    /// Cuts the stream at every byte, or at hundreds of places where it is long: what comes before the event that ends it is never taken for a whole answer, and is told in the
    /// same chunks as if nothing had been missing. Calls keep their numbers and ids so.
    #[track_caller]
    pub fn check_every_cut<S: AdapterStream>(&self, framing: Framing, is_end: impl Fn(&Event) -> bool) {
        let whole = self.events(framing);
        let end = whole.iter().position(is_end).unwrap_or(whole.len());
        let (told, _) = run::<S>(&whole, 1);
        let mut before: Option<Vec<Event>> = None;
        let size = self.body.len();
        let step = if size <= CUT_AT_EVERY_BYTE { 1 } else { size / CUTS };
        for cut in (0..size).step_by(step) {
            let events = events(framing, &self.body[..cut]);
            if events.get(end).is_some_and(|event| *event == whole[end]) {
                return;
            }
            if before.as_ref() == Some(&events) {
                continue;
            }
            let (chunks, outcome) = run::<S>(&events, 1);
            assert!(
                outcome.is_err(),
                "{}: cut after {cut} bytes, and nobody noticed",
                self.id
            );
            let is_same =
                told.len() >= chunks.len() && chunks.iter().zip(&told).all(|(one, other)| one.data == other.data);
            assert!(
                is_same,
                "{}: cut after {cut} bytes, and something else is told",
                self.id
            );
            before = Some(events);
        }
    }

    /// A list with as many vectors as the view has, of the same sizes, whose first numbers are the same; and what it says that was used.
    #[track_caller]
    pub fn check_vectors(&self, answer: Result<Answer, Failure>, told: Option<u64>) {
        let (id, expected) = (&self.id, self.expected());
        let answer = answer.unwrap_or_else(|failure| panic!("{id}: {failure:?}"));
        let list: Value = serde_json::from_slice(&answer.body).expect("an answer is JSON");
        let vectors = list["data"].as_array().expect("a list has data");
        assert_eq!(vectors.len() as u64, expected["count"], "{id}");
        for (at, vector) in vectors.iter().enumerate() {
            let numbers = vector["embedding"].as_array().expect("a vector is a list");
            assert_eq!(
                (vector["index"].as_u64(), numbers.len() as u64),
                (Some(at as u64), expected["dims"][at].as_u64().expect("a size")),
                "{id}"
            );
            let head = expected["head"][at].as_array().into_iter().flatten();
            assert!(head.zip(numbers).all(|(one, other)| one == other), "{id}: vector {at}");
        }
        assert_eq!(answer.usage.map(|usage| usage.input), told, "{id}");
    }
}

/// A target with this model and without settings.
pub fn target(model: &str) -> Target {
    Target {
        model: model.to_owned(),
        settings: "{}".to_owned(),
        max_output_tokens: None,
        request_id: "request".to_owned(),
        now_ms: 1_750_000_000_000,
    }
}

/// The chunks of a stream whose events come so many at a time, and how it ends.
pub fn run<S: AdapterStream>(events: &[Event], at_once: usize) -> (Vec<Chunk>, Result<(), Failure>) {
    let mut stream = S::begin(Operation::Chat, &target("a-model")).expect("a stream begins");
    let mut chunks = Vec::new();
    for read in events.chunks(at_once.max(1)) {
        match stream.push(read) {
            Ok(more) => chunks.extend(more),
            Err(failure) => return (chunks, Err(failure)),
        }
    }
    let end = stream.finish().map(|more| chunks.extend(more));
    (chunks, end)
}

/// A body as events, cut as the gateway cuts it, but without a look at checksums: an event that no blank line ends is none, half a
/// message is none, half a list is none, and the last line needs no end.
pub fn events(framing: Framing, body: &[u8]) -> Vec<Event> {
    match framing {
        Framing::ServerSentEvents => sent(body),
        Framing::JsonLines => {
            let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            lines.filter(|line| !line.is_empty()).map(Event::new).collect()
        }
        Framing::AwsEventStream => messages(body),
        Framing::JsonArray => {
            let list: Vec<Value> = serde_json::from_slice(body).unwrap_or_default();
            list.iter().map(|event| Event::new(event.to_string())).collect()
        }
    }
}

fn sent(body: &[u8]) -> Vec<Event> {
    let (mut events, mut name, mut data) = (Vec::new(), None, None::<Vec<u8>>);
    for line in body
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| line.ends_with(b"\n"))
    {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            let named = name.take();
            events.extend(data.take().map(|data| Event { name: named, data }));
        } else if let Some(value) = line.strip_prefix(b"event:") {
            name = Some(String::from_utf8_lossy(value.trim_ascii()).into_owned());
        } else if let Some(value) = line.strip_prefix(b"data:") {
            let more = data.get_or_insert_default();
            if !more.is_empty() {
                more.push(b'\n');
            }
            more.extend_from_slice(value.trim_ascii_start());
        }
    }
    events
}

fn messages(mut body: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    let number = |bytes: &[u8]| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    while body.len() >= 12 && body.len() >= number(body) {
        let (message, rest) = body.split_at(number(body));
        let (mut headers, payload) = message[12..message.len() - 4].split_at(number(&message[4..]));
        let mut name = String::new();
        while !headers.is_empty() {
            let key = &headers[1..=headers[0] as usize];
            let value = &headers[key.len() + 2..];
            let length = u16::from_be_bytes([value[0], value[1]]) as usize;
            let text = String::from_utf8_lossy(&value[2..2 + length]);
            match key {
                b":event-type" => name = text.into_owned(),
                b":exception-type" => name = format!("exception:{text}"),
                _ => {}
            }
            headers = &value[2 + length..];
        }
        events.push(Event {
            name: Some(name),
            data: payload.to_vec(),
        });
        body = rest;
    }
    events
}

fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("POINTSMAN_SHARED").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "NOT TESTED: there are no recordings at {}; set POINTSMAN_SHARED",
        folder.display()
    );
    None
}
