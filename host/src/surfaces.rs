//! The APIs that clients speak, each at paths of its own. A surface reads a request into the canonical form, which is OpenAI's
//! chat completions and their sisters, and writes answers, events and errors in its client's words. It is chosen once, by the
//! path; what lies between reading and writing knows one form only.

mod address;
pub mod chat;
mod completions;
mod door;
pub mod form;
mod framing;
pub mod gemini;
mod inputs;
mod limit;
pub mod media;
pub mod messages;
pub mod models;
pub mod plain;
pub mod responses;
mod strictness;
mod telling;
mod tools;
mod unfolded;
mod wishes;

use std::borrow::Cow;

pub use address::Address;
use bytes::Bytes;
use chat::Ask;
use form::Form;
pub use framing::Framing;
use hyper::HeaderMap;
use responses::Turn;
pub use telling::{Heard, Hearing, Telling};
pub use wishes::{Sort, Suffix, Wishes};

use crate::config::Extensions;
use crate::error::ApiError;
use crate::json::{Document, Limits};
use crate::money::Usage;
use crate::operation::{Dialect, Door, Operation};

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
    GenerateContent,
    StreamGenerateContent,
    CountContentTokens,
    EmbedContent,
    BatchEmbedContents,
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
    /// Whether the events of a stream are wanted as one array.
    pub is_array: bool,
    /// What the client asks of this gateway beside.
    pub wishes: Wishes,
    /// Whether the end of a model's name may be a wish.
    pub knows_suffixes: bool,
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
            is_array: false,
            wishes: Wishes::default(),
            knows_suffixes: false,
        }
    }

    /// A whole canonical answer in the client's words.
    pub fn whole(&self, answer: Bytes, usage: Option<&Usage>) -> Bytes {
        match self.surface {
            Surface::Messages => messages::whole(answer, usage, messages::sequences(self.own.as_ref())),
            Surface::Completions => completions::whole(answer),
            Surface::Responses => responses::whole(answer, usage, &self.echo()),
            Surface::GenerateContent => gemini::whole(answer, usage, self.shows_thoughts()),
            Surface::CountContentTokens => gemini::count(answer),
            Surface::EmbedContent => gemini::vectors(answer, usage, false),
            Surface::BatchEmbedContents => gemini::vectors(answer, usage, true),
            _ => answer,
        }
    }

    /// What of a whole canonical answer has no place in the client's words.
    pub fn unsaid(&self, answer: &Bytes) -> Option<&'static str> {
        let has_images = matches!(self.surface, Surface::Messages | Surface::Responses)
            && memchr::memmem::find(answer, b"\"images\"").is_some();
        let document = has_images.then(|| Document::parse(answer.clone(), LIMITS).ok())??;
        let choice = document.root().field("choices")?.elements().next()?;
        let said = choice.field("message")?;
        let is_unsaid = match self.surface {
            Surface::Messages => said
                .field("images")
                .is_some_and(|images| images.elements().next().is_some()),
            _ => responses::has_other_images(said),
        };
        is_unsaid.then_some("images of the answer")
    }

    /// What a response repeats of its request.
    fn echo(&self) -> responses::Echo {
        responses::Echo::of(self.own.as_ref(), self.turn.as_ref())
    }

    /// A streamed answer that is still to be told; `is_own` where it already comes in the client's words. Where those begin with
    /// the tokens of input, which nobody knows by then, they are taken to be so many.
    pub fn telling(&self, is_own: bool, input_tokens: u32) -> Telling {
        match self.surface {
            // It ends as the canonical form does.
            Surface::Completions if is_own => Telling::Canonical,
            Surface::Completions => Telling::translated(completions::Events),
            _ if is_own => Telling::Own,
            Surface::Messages => {
                let sequences = messages::sequences(self.own.as_ref());
                Telling::translated(messages::Events::of(input_tokens, sequences))
            }
            Surface::Responses => Telling::translated(responses::Events::new(self.echo())),
            Surface::StreamGenerateContent => Telling::translated(gemini::Events::new(self.shows_thoughts())),
            _ => Telling::Canonical,
        }
    }

    /// How the events of a stream reach the client.
    pub fn framing(&self) -> Framing {
        match self.is_array {
            true => Framing::Array(framing::Array::default()),
            false => Framing::Events,
        }
    }

    /// Where a request has come in, with what of it stands nowhere but there, for digests.
    pub fn place(&self, model: &str) -> Cow<'static, str> {
        let name = self.surface.name();
        if !self.wishes.written.is_empty() {
            return format!("{name} with {}", self.wishes.written).into();
        }
        match (self.surface.has_model_in_path(), self.is_array) {
            (false, _) => name.into(),
            (true, is_array) => format!("{name} of {model}, {}", if is_array { "an array" } else { "events" }).into(),
        }
    }

    fn shows_thoughts(&self) -> bool {
        let own = self.own.as_ref();
        own.is_some_and(|own| gemini::shows_thoughts(own.root()))
    }
}

/// As deep as anything is read.
const LIMITS: Limits = Limits { depth: 520 };

/// A request for another model than it names, with its wording.
pub fn renamed(document: &Document, wording: &Wording, model: &str) -> Result<(Document, Wording), ApiError> {
    let is_named = |own: &&Document| own.root().get("model").is_some();
    let own = wording.own.as_ref().filter(is_named);
    let own = own.map(|own| address::named(own, model, LIMITS)).transpose()?;
    let wording = Wording {
        own: own.or_else(|| wording.own.clone()),
        ..wording.clone()
    };
    Ok((address::named(document, model, LIMITS)?, wording))
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

    /// The surface at a path that has nothing else in it.
    fn at(path: &str) -> Option<Self> {
        let found = Self::PATHS.iter().find(|(known, _)| *known == path);
        found.map(|(_, surface)| *surface)
    }

    /// Its name, in digests and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Responses => "responses",
            Self::Completions => "completions",
            Self::GenerateContent => "generate-content",
            Self::StreamGenerateContent => "stream-generate-content",
            Self::CountContentTokens => "count-content-tokens",
            Self::EmbedContent => "embed-content",
            Self::BatchEmbedContents => "batch-embed-contents",
            surface => surface.operation().name(),
        }
    }

    /// What is asked for at it.
    pub fn operation(self) -> Operation {
        match self {
            Self::ChatCompletions | Self::Messages | Self::Responses | Self::Completions => Operation::Chat,
            Self::GenerateContent | Self::StreamGenerateContent => Operation::Chat,
            Self::CountTokens | Self::CountContentTokens => Operation::CountTokens,
            Self::Embeddings | Self::EmbedContent | Self::BatchEmbedContents => Operation::Embedding,
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
            Self::GenerateContent | Self::StreamGenerateContent | Self::CountContentTokens => Some(Dialect::Gemini),
            Self::EmbedContent | Self::BatchEmbedContents => Some(Dialect::Gemini),
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

    /// Whether its words are OpenAI's, which other gateways add to.
    fn is_openais(self) -> bool {
        !matches!(self.dialect(), Some(Dialect::Messages | Dialect::Gemini))
    }

    /// Whether its clients name the model in the path and nowhere else.
    fn has_model_in_path(self) -> bool {
        self.dialect() == Some(Dialect::Gemini)
    }

    /// Where its answers say what was used; of a stream, the last event that does.
    pub fn usage_at(self, is_stream: bool) -> &'static str {
        match self.dialect() {
            Some(Dialect::Gemini) => "/usageMetadata",
            Some(Dialect::Responses) if is_stream => "/response/usage",
            _ => "/usage",
        }
    }

    /// A request without the wish for its cost, and whether there was one. What makes images and sound says nothing of it.
    fn without_wish(
        self,
        document: Document,
        asks_for_usage: bool,
        limits: Limits,
    ) -> Result<(Document, bool), ApiError> {
        if self.operation().is_media() {
            return Ok((document, false));
        }
        let wants_cost = chat::wants_cost(document.root())?;
        Ok((chat::without_wish(document, asks_for_usage, limits), wants_cost))
    }

    /// Reads a request for the model in the path, where its clients put it there; the error names the field that is wrong.
    fn read(self, document: Document, model: Option<&str>, limits: Limits) -> Result<Request, ApiError> {
        chat::check_object(&document)?;
        let Some(dialect) = self.dialect() else {
            let ask = Ask::read(&document, self.operation())?;
            let asks_for_usage = ask.is_stream && ask.wants_usage;
            let (document, wants_cost) = self.without_wish(document, asks_for_usage, limits)?;
            let wording = Wording::canonical(self);
            let ask = Ask { wants_cost, ..ask };
            return Ok(Request { document, ask, wording });
        };
        let is_stream = document.root().get("stream").and_then(|stream| stream.as_bool()) == Some(true);
        let asks_for_usage = is_stream && dialect == Dialect::Completions;
        let (document, wants_cost) = self.without_wish(document, asks_for_usage, limits)?;
        let Canonical { text, lost, needs } = match dialect {
            Dialect::Messages => messages::canonical(document.root(), self == Self::CountTokens)?,
            Dialect::Responses => responses::canonical(document.root())?,
            Dialect::Completions => completions::canonical(document.root())?,
            Dialect::Gemini if self.operation() == Operation::Embedding => {
                let is_batch = self == Self::BatchEmbedContents;
                gemini::embedded(document.root(), model.unwrap_or_default(), is_batch)?
            }
            Dialect::Gemini => {
                let method = match self {
                    Self::StreamGenerateContent => gemini::Method::Stream,
                    Self::CountContentTokens => gemini::Method::Count,
                    _ => gemini::Method::Generate,
                };
                gemini::canonical(document.root(), model.unwrap_or_default(), method)?
            }
        };
        // What was read becomes a little deeper where a call stands in a list of calls.
        let deeper = Limits {
            depth: limits.depth + 8,
        };
        let own = document;
        let document = Document::parse(text.into(), deeper)
            .map_err(|error| ApiError::internal(format!("a request became something that is not JSON: {error}")))?;
        let ask = Ask::read(&document, self.operation()).map_err(|error| self.naming_its_limit(error))?;
        let unseen_tools = tools::open(own.root()).saturating_sub(tools::open(document.root()));
        // Either may go out, and a bound is of the longer one.
        let ask = Ask {
            body_bytes: ask.body_bytes.max(own.text().len() as u64),
            // What a provider has kept may be as long as anything, and so may what its own tools find.
            searches: ask.searches.max(tools::searches(own.root())),
            other_parts: ask.other_parts + unseen_tools + u32::from(needs.is_some()),
            wants_cost,
            ..ask
        };
        let wording = Wording {
            surface: self,
            own: Some(own),
            lost,
            needs,
            form: None,
            turn: None,
            is_array: false,
            wishes: Wishes::default(),
            knows_suffixes: false,
        };
        Ok(Request { document, ask, wording })
    }

    /// A request in its own words for a provider that speaks them and calls the model so: where it goes, and the body.
    pub fn addressed(self, own: &Document, door: &Door, model: &str, ask: &Ask) -> Result<(String, Bytes), String> {
        if self.dialect() == Some(Dialect::Gemini) {
            let path = gemini::path(model, ask.operation, ask.is_stream);
            let path = path.ok_or_else(|| format!("`{model}` cannot be the name of a model of Gemini"))?;
            let body = gemini::renamed(own, model).map_err(|error| error.to_string())?;
            return Ok((path, body.into()));
        }
        door::through(door, own, model, ask.is_stream).map_err(|error| error.to_string())
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
            Some(Dialect::Gemini) => gemini::error(error, id),
            _ => error.to_json(id),
        }
    }

    /// An error as the last event of a stream.
    pub fn error_event(self, error: &ApiError, id: &str) -> Bytes {
        let name: &[u8] = match self.dialect() {
            Some(Dialect::Messages) => b"event: error\n",
            Some(Dialect::Responses) => return responses::error_event(error, id, None).into(),
            Some(Dialect::Completions | Dialect::Gemini) | None => b"",
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
    pub fn document(
        self,
        body: Bytes,
        limits: Limits,
        known: Extensions,
    ) -> Result<(Document, Option<Form>), ApiError> {
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
        match form {
            Some(form) => Ok((unfolded::unfolded(document, known, limits)?, Some(form))),
            None => Ok((document, None)),
        }
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
        || gemini::is_filtered(answer.root())
}
