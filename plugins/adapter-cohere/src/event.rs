//! The events of a stream: what they carry, and which of them are read at all.

use pointsman_plugin::translate::{Raw, Text, unreadable};
use pointsman_plugin::{Event, Failure};
use serde::Deserialize;
use std::borrow::Cow;

/// The kinds that carry something; every other one is ignored.
const KNOWN: [&str; 10] = [
    "message-start",
    "content-start",
    "content-delta",
    "tool-plan-delta",
    "tool-call-start",
    "tool-call-delta",
    "tool-call-end",
    "citation-start",
    "message-end",
    "error",
];

#[derive(Deserialize)]
pub(crate) struct Incoming<'a> {
    #[serde(borrow, rename = "type", default)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(default)]
    pub(crate) index: u64,
    #[serde(borrow)]
    pub(crate) delta: Option<Change<'a>>,
    #[serde(borrow)]
    pub(crate) logprobs: Option<Raw<'a>>,
    /// What an error says; it stands where the body of an error has it.
    #[serde(borrow)]
    pub(crate) message: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Change<'a> {
    #[serde(borrow)]
    pub(crate) message: Option<Said<'a>>,
    #[serde(borrow)]
    pub(crate) finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) usage: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) error: Option<Text<'a>>,
}

/// The members of all kinds of deltas. They are read only where the kind is known: at the start of a message some are lists
/// that are objects later.
#[derive(Deserialize, Default)]
pub(crate) struct Said<'a> {
    #[serde(borrow)]
    pub(crate) content: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) tool_plan: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) tool_calls: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) citations: Option<Raw<'a>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// `None` for an event of a kind that is not known, whatever it looks like, and for the closing word of another dialect.
/// The kind stands in the data, and again in the event's name.
pub(crate) fn read(event: &Event) -> Result<Option<Incoming<'_>>, Failure> {
    // `message` is the name of events that have none, and some proxies spell it out.
    let name = event.name.as_deref().filter(|name| *name != "message");
    if name.is_some_and(|name| !KNOWN.contains(&name)) {
        return Ok(None);
    }
    let data = &event.data;
    match serde_json::from_slice::<Incoming>(data) {
        Ok(mut incoming) => {
            if let (true, Some(name)) = (incoming.kind.is_empty(), name) {
                incoming.kind = Cow::Borrowed(name);
            }
            Ok(Some(incoming))
        }
        Err(_) if data.trim_ascii() == b"[DONE]" => Ok(None),
        Err(error) => match serde_json::from_slice::<Named>(data) {
            Ok(named) if !KNOWN.contains(&named.kind.as_ref()) => Ok(None),
            _ => Err(unreadable(&error)),
        },
    }
}
