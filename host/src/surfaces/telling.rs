//! Streams: canonical events on their way into the client's words, and the provider's own words where the client speaks them.

use bytes::{Bytes, BytesMut};

use super::{Surface, gemini, media, messages, responses};
use crate::error::ApiError;
use crate::json::{Document, Limits, Value};
use crate::money::Usage;
use crate::operation::Dialect;
use crate::upstream::sse::Splitter;

/// As deep as anything is read.
const LIMITS: Limits = Limits { depth: 512 };
/// The closing event of OpenAI's streams.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// Canonical chunks that become a client's events.
pub(super) trait Tells: std::fmt::Debug + Send {
    /// Tells what a chunk says.
    fn tell(&mut self, chunk: Value<'_>, out: &mut BytesMut);
    /// What follows is another answer, from its beginning: of this one nothing was said that it could be taken for a part of.
    fn restart(&mut self, out: &mut BytesMut);
    /// Tells the proper end, and what was used.
    fn end(&mut self, usage: Option<&Usage>, out: &mut BytesMut);
    /// Tells that it broke.
    fn fail(&mut self, error: &ApiError, id: &str, out: &mut BytesMut);
}

/// A streamed answer that is being told to its client.
#[derive(Debug)]
pub enum Telling {
    /// In the canonical form.
    Canonical,
    /// In the provider's words, the closing event among them.
    Own,
    /// As sound, among which no word can be said.
    Sound,
    /// In others.
    Translated(Translating),
}

/// Canonical events that become others.
#[derive(Debug)]
pub struct Translating {
    splitter: Splitter,
    events: Box<dyn Tells>,
}

impl Telling {
    pub(super) fn translated(events: impl Tells + 'static) -> Self {
        Self::Translated(Translating {
            splitter: Splitter::default(),
            events: Box::new(events),
        })
    }

    /// Puts whole canonical events into the client's words, in their place.
    pub fn tell(&mut self, events: &mut BytesMut) {
        let Self::Translated(telling) = self else { return };
        telling.splitter.buffer().extend_from_slice(&events.split());
        while let Ok(Some(event)) = telling.splitter.next_event() {
            let data = event.data().map(|data| Bytes::copy_from_slice(&data));
            // What is not JSON says nothing that could be told.
            if let Some(chunk) = data.and_then(|data| Document::parse(data, LIMITS).ok()) {
                telling.events.tell(chunk.root(), events);
            }
        }
    }

    /// What follows are the events of another answer, after one of which nothing was shown.
    pub fn restart(&mut self, events: &mut BytesMut) {
        if let Self::Translated(telling) = self {
            telling.splitter = Splitter::default();
            telling.events.restart(events);
        }
    }

    /// Adds what closes a stream that has come to its proper end.
    pub fn end(&mut self, usage: Option<&Usage>, events: &mut BytesMut) {
        match self {
            Self::Canonical => events.extend_from_slice(DONE),
            Self::Own | Self::Sound => {}
            Self::Translated(telling) => telling.events.end(usage, events),
        }
    }

    /// Adds the last event of a stream that broke.
    pub fn fail(&mut self, surface: Surface, error: &ApiError, id: &str, events: &mut BytesMut) {
        match self {
            Self::Translated(telling) => telling.events.fail(error, id, events),
            Self::Sound => {}
            _ => events.extend_from_slice(&surface.error_event(error, id)),
        }
    }
}

/// What an event of a provider means that speaks its client's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// That it is still there.
    Nothing,
    /// A part of the answer.
    Progress,
    /// The proper end.
    Closing,
    /// That it broke: the provider's error, as the JSON that it is.
    Error(String),
}

/// Listens to an answer that passes in its provider's own words: how far it is, and what it used.
#[derive(Debug)]
pub enum Hearing {
    /// Anthropic's words.
    Messages(messages::Hearing),
    /// OpenAI's newer ones.
    Responses(responses::Hearing),
    /// OpenAI's for images and sound.
    Media(media::Hearing),
    /// Google's, of Gemini.
    Gemini(gemini::Hearing),
}

impl Hearing {
    /// Of an answer in this dialect; none where it is told as the canonical form is.
    pub fn of(dialect: Dialect) -> Option<Self> {
        match dialect {
            Dialect::Messages => Some(Self::Messages(messages::Hearing::default())),
            Dialect::Responses => Some(Self::Responses(responses::Hearing::default())),
            Dialect::Gemini => Some(Self::Gemini(gemini::Hearing::default())),
            Dialect::Completions => None,
        }
    }

    /// Listens to a whole answer, or to an error in the place of one.
    pub fn whole(&mut self, answer: &Document) -> Result<Heard, String> {
        match self {
            Self::Messages(hearing) => hearing.whole(answer),
            Self::Responses(hearing) => hearing.whole(answer),
            Self::Media(hearing) => Ok(hearing.whole(answer.text())),
            Self::Gemini(hearing) => hearing.whole(answer),
        }
    }

    /// Listens to an event of a stream.
    pub fn event(&mut self, name: Option<&str>, data: &[u8]) -> Result<Heard, String> {
        match self {
            Self::Messages(hearing) => hearing.event(name, data),
            Self::Responses(hearing) => hearing.event(name, data),
            Self::Media(hearing) => hearing.event(data),
            Self::Gemini(hearing) => hearing.event(data),
        }
    }

    /// What was used, as far as it has been said.
    pub fn usage(&self) -> Option<Usage> {
        match self {
            Self::Messages(hearing) => hearing.usage(),
            Self::Responses(hearing) => hearing.usage(),
            Self::Media(hearing) => hearing.usage(),
            Self::Gemini(hearing) => hearing.usage(),
        }
    }

    /// Whether a stream may end here without a closing event.
    pub fn may_end(&self) -> bool {
        match self {
            Self::Media(hearing) => hearing.may_end(),
            Self::Gemini(hearing) => hearing.is_whole(),
            _ => false,
        }
    }
}
