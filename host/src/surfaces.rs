//! The APIs that clients speak, each at paths of its own. A surface reads a request into the canonical form, which is OpenAI's
//! chat completions and their sisters, and writes answers, events and errors in its client's words. It is chosen once, by the
//! path; what lies between reading and writing knows one form only.

pub mod chat;
mod completions;
pub mod form;
mod inputs;
pub mod media;
mod messages;
pub mod models;
pub mod plain;
pub mod responses;
mod telling;

use bytes::Bytes;
use chat::Ask;
use form::Form;
use hyper::HeaderMap;
use responses::Turn;
pub use telling::{Heard, Hearing, Telling};

use crate::error::ApiError;
use crate::json::{Document, Limits};
use crate::money::Usage;
use crate::operation::{Dialect, Operation};

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as their paths are")]
pub enum Surface {
    ChatCompletions,
    Messages,
    CountTokens,
    Responses,
    Completions,
    Embeddings,
    Moderations,
    Rerank,
    ImageGenerations,
    ImageEdits,
    Speech,
    Transcriptions,
    Translations,
}

/// A request as its surface has read it.
#[derive(Debug)]
pub struct Request {
    /// The canonical form.
    pub document: Document,
    /// What it asks for.
    pub ask: Ask,
    /// How the client put it.
    pub wording: Wording,
}

/// How a client put its request.
#[derive(Debug, Clone)]
pub struct Wording {
    /// For whom answers are written.
    pub surface: Surface,
    /// The request in the client's own words, where those are not the canonical ones.
    pub own: Option<Document>,
    /// What of it the canonical form has no words for.
    pub lost: Vec<String>,
    /// A wish that nobody but a provider that speaks the client's words can fulfil.
    pub needs: Option<&'static str>,
    /// The request as it came, where it came as a form.
    pub form: Option<Form>,
    /// Of a conversation that is kept: where in it the request stands.
    pub turn: Option<Turn>,
}

impl Wording {
    /// Of a request in the canonical form.
    pub fn canonical(surface: Surface) -> Self {
        Self {
            surface,
            own: None,
            lost: Vec::new(),
            needs: None,
            form: None,
            turn: None,
        }
    }

    /// A whole canonical answer in the client's words.
    pub fn whole(&self, answer: Bytes, usage: Option<&Usage>) -> Bytes {
        match self.surface {
            Surface::Messages => messages::whole(answer, usage),
            Surface::Completions => completions::whole(answer),
            Surface::Responses => responses::whole(answer, usage, &self.echo()),
            _ => answer,
        }
    }

    /// What a response repeats of its request.
    fn echo(&self) -> responses::Echo {
        responses::Echo::of(self.own.as_ref(), self.turn.as_ref())
    }

    /// A streamed answer that is still to be told; `is_own` where it already comes in the client's words.
    pub fn telling(&self, is_own: bool) -> Telling {
        match self.surface {
            // It ends as the canonical form does.
            Surface::Completions if is_own => Telling::Canonical,
            Surface::Completions => Telling::translated(completions::Events),
            _ if is_own => Telling::Own,
            Surface::Messages => Telling::translated(messages::Events::default()),
            Surface::Responses => Telling::translated(responses::Events::new(self.echo())),
            _ => Telling::Canonical,
        }
    }
}

/// What says that a stream is still there, where clients know comments.
const COMMENT: &[u8] = b": still here\n\n";

impl Surface {
    const PATHS: [(&'static str, Self); 13] = [
        ("/v1/chat/completions", Self::ChatCompletions),
        ("/v1/messages", Self::Messages),
        ("/v1/messages/count_tokens", Self::CountTokens),
        ("/v1/responses", Self::Responses),
        ("/v1/completions", Self::Completions),
        ("/v1/embeddings", Self::Embeddings),
        ("/v1/moderations", Self::Moderations),
        ("/v1/rerank", Self::Rerank),
        ("/v1/images/generations", Self::ImageGenerations),
        ("/v1/images/edits", Self::ImageEdits),
        ("/v1/audio/speech", Self::Speech),
        ("/v1/audio/transcriptions", Self::Transcriptions),
        ("/v1/audio/translations", Self::Translations),
    ];

    /// The surface at a path.
    pub fn at(path: &str) -> Option<Self> {
        let found = Self::PATHS.iter().find(|(known, _)| *known == path);
        found.map(|(_, surface)| *surface)
    }

    /// Its name, in digests and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Responses => "responses",
            Self::Completions => "completions",
            surface => surface.operation().name(),
        }
    }

    /// What is asked for at it.
    pub fn operation(self) -> Operation {
        match self {
            Self::ChatCompletions | Self::Messages | Self::Responses | Self::Completions => Operation::Chat,
            Self::CountTokens => Operation::CountTokens,
            Self::Embeddings => Operation::Embedding,
            Self::Moderations => Operation::Moderation,
            Self::Rerank => Operation::Rerank,
            Self::ImageGenerations => Operation::Image,
            Self::ImageEdits => Operation::ImageEdit,
            Self::Speech => Operation::Speech,
            Self::Transcriptions => Operation::Transcription,
            Self::Translations => Operation::Translation,
        }
    }

    /// Its words, where they are not the canonical ones.
    pub fn dialect(self) -> Option<Dialect> {
        match self {
            Self::Messages | Self::CountTokens => Some(Dialect::Messages),
            Self::Responses => Some(Dialect::Responses),
            Self::Completions => Some(Dialect::Completions),
            _ => None,
        }
    }

    /// What a request's body is, by its head.
    pub fn shape(self, headers: &HeaderMap) -> Result<Shape, ApiError> {
        let (takes_forms, takes_json) = match self {
            Self::ImageEdits => (true, true),
            Self::Transcriptions | Self::Translations => (true, false),
            _ => (false, true),
        };
        match Form::boundary(headers) {
            Some(boundary) if takes_forms => boundary.map(Shape::Form),
            _ if takes_json => chat::check_content_type(headers).map(|()| Shape::Json),
            _ => Err(chat::wrong_content_type(headers, "multipart/form-data")),
        }
    }

    /// Reads a request; the error names the field that is wrong.
    pub fn read(self, document: Document, limits: Limits) -> Result<Request, ApiError> {
        chat::check_object(&document)?;
        let Some(dialect) = self.dialect() else {
            let ask = Ask::read(&document, self.operation())?;
            let document = match self {
                Self::ChatCompletions => chat::without_wish(document, &ask, limits),
                _ => document,
            };
            let wording = Wording::canonical(self);
            return Ok(Request { document, ask, wording });
        };
        let Canonical { text, lost, needs } = match dialect {
            Dialect::Messages => messages::canonical(document.root(), self == Self::CountTokens)?,
            Dialect::Responses => responses::canonical(document.root())?,
            Dialect::Completions => completions::canonical(document.root())?,
        };
        // What was read becomes a little deeper where a call stands in a list of calls.
        let deeper = Limits {
            depth: limits.depth + 8,
        };
        let own = document;
        let document = Document::parse(text.into(), deeper)
            .map_err(|error| ApiError::internal(format!("a request became something that is not JSON: {error}")))?;
        let ask = Ask::read(&document, self.operation())?;
        // Either may go out, and a bound is of the longer one.
        let ask = Ask {
            body_bytes: ask.body_bytes.max(own.text().len() as u64),
            // What a provider has kept may be as long as anything.
            other_parts: ask.other_parts + u32::from(needs.is_some()),
            ..ask
        };
        let wording = Wording {
            surface: self,
            own: Some(own),
            lost,
            needs,
            form: None,
            turn: None,
        };
        Ok(Request { document, ask, wording })
    }

    /// Headers of the client's that belong to its words, for providers that speak them too.
    pub fn own_headers(self) -> &'static [&'static str] {
        match self.dialect() {
            Some(Dialect::Messages) => &["anthropic-version", "anthropic-beta"],
            _ => &[],
        }
    }

    /// The header that this surface's SDKs look for a request's id in, where it is not everybody's.
    pub fn id_header(self) -> Option<&'static str> {
        (self.dialect() == Some(Dialect::Messages)).then_some("request-id")
    }

    /// An error as a body.
    pub fn error(self, error: &ApiError, id: &str) -> Vec<u8> {
        match self.dialect() {
            Some(Dialect::Messages) => messages::error(error, id),
            _ => error.to_json(id),
        }
    }

    /// An error as the last event of a stream.
    pub fn error_event(self, error: &ApiError, id: &str) -> Bytes {
        let name: &[u8] = match self.dialect() {
            Some(Dialect::Messages) => b"event: error\n",
            Some(Dialect::Responses) => return responses::error_event(error, id, None).into(),
            Some(Dialect::Completions) | None => b"",
        };
        [name, b"data: ", &self.error(error, id), b"\n\n"].concat().into()
    }

    /// What a stream says while it has nothing to say.
    pub fn beat(self) -> Bytes {
        Bytes::from_static(match self.dialect() {
            Some(Dialect::Messages) => messages::PING,
            _ => COMMENT,
        })
    }
}

/// What a request's body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A JSON object.
    Json,
    /// A form with this boundary.
    Form(String),
}

impl Shape {
    /// The body as JSON; of a form, its fields.
    pub fn document(self, body: Bytes, limits: Limits) -> Result<(Document, Option<Form>), ApiError> {
        let (text, form) = match self {
            Self::Json => (body, None),
            Self::Form(boundary) => {
                let form = Form::parse(&body, boundary)?;
                (form.fields().into(), Some(form))
            }
        };
        let document = Document::parse(text, limits);
        let document =
            document.map_err(|error| ApiError::invalid("invalid_json", format!("the request body: {error}")))?;
        Ok((document, form))
    }
}

/// A request in the canonical form, and what it has lost on the way there.
struct Canonical {
    text: Vec<u8>,
    lost: Vec<String>,
    /// See [`Wording::needs`].
    needs: Option<&'static str>,
}

/// Whether an answer, or an event of one, says that a filter has cut it short, in whichever words.
pub fn is_filtered(answer: &Document) -> bool {
    let choices = answer.root().field("choices");
    let reasons = choices.into_iter().flat_map(|choices| choices.elements());
    let mut reasons = reasons.filter_map(|choice| choice.get("finish_reason"));
    let at = |pointer, word| answer.pointer(pointer).is_some_and(|reason| reason.is(word));
    reasons.any(|reason| reason.is("content_filter"))
        || at("/stop_reason", "refusal")
        || at("/delta/stop_reason", "refusal")
        || at("/incomplete_details/reason", "content_filter")
        || at("/response/incomplete_details/reason", "content_filter")
}
