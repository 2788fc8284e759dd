//! The events of a stream: what they carry, and which of them are read at all.

use crate::errors::Reason;
use crate::response::{Block, Response, StopDetails};
use pointsman_plugin::translate::{Raw, Text, unreadable};
use pointsman_plugin::{Event, Failure};
use serde::Deserialize;
use std::borrow::Cow;

/// The kinds that carry something; every other one is ignored, as the provider asks for.
const KNOWN: [&str; 7] = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "error",
];

#[derive(Deserialize)]
pub(crate) struct Incoming<'a> {
    #[serde(borrow, rename = "type", default)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(default)]
    pub(crate) index: u64,
    #[serde(borrow)]
    pub(crate) message: Option<Response<'a>>,
    #[serde(borrow)]
    pub(crate) content_block: Option<Block<'a>>,
    #[serde(borrow)]
    pub(crate) delta: Option<Change<'a>>,
    #[serde(borrow)]
    pub(crate) usage: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) error: Option<Reason<'a>>,
}

/// The members of all kinds of deltas; the delta of a whole message has no kind.
#[derive(Deserialize)]
pub(crate) struct Change<'a> {
    #[serde(borrow, rename = "type", default)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) text: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) thinking: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) signature: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) partial_json: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) stop_sequence: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) stop_details: Option<StopDetails<'a>>,
    #[serde(borrow)]
    pub(crate) citation: Option<Raw<'a>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// `None` for an event of a kind that is not known, whatever it looks like, and for the closing word of another dialect.
pub(crate) fn read(event: &Event) -> Result<Option<Incoming<'_>>, Failure> {
    // `message` is the name of events that have none, and some proxies spell it out.
    let may_be_known = |name: &str| name == "message" || KNOWN.contains(&name);
    if !event.name.as_deref().is_none_or(may_be_known) {
        return Ok(None);
    }
    let data = &event.data;
    match serde_json::from_slice(data) {
        Ok(event) => Ok(Some(event)),
        Err(_) if data.trim_ascii() == b"[DONE]" => Ok(None),
        Err(error) => match serde_json::from_slice::<Named>(data) {
            Ok(named) if !KNOWN.contains(&named.kind.as_ref()) => Ok(None),
            _ => Err(unreadable(&error)),
        },
    }
}
