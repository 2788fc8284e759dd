//! What policies may see of a request: the summary by value, the content on demand, the candidates as they stand.

use std::borrow::Cow;
use std::sync::Arc;

use super::purse::{MOST_OUTPUT_TOKENS, ceiling};
use super::{Call, milliseconds, prefix};
use crate::generation::{Model, Route, Standing};
use crate::json::{Document, Kind, Value};
use crate::money::Usage;
use crate::plugins::{Prompt, words};
use crate::surfaces::Surface;
use crate::surfaces::chat::Ask;

/// Headers that policies may read without being named in the configuration. Credentials are in neither list, and the
/// configuration cannot add them.
const READABLE: [&str; 7] = [
    "user-agent",
    "accept-language",
    "x-request-id",
    "x-session-id",
    "x-title",
    "http-referer",
    "openai-organization",
];
const READABLE_PREFIXES: [&str; 3] = ["x-pointsman-", "x-claude-code-", "x-stainless-"];
const CREDENTIALS: [&str; 6] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
];

/// Enough of a conversation's beginning to tell it from others.
const PREFIX_BYTES: usize = 4 << 10;
/// Longer names of conversations are known by their hash.
const SESSION_BYTES: usize = 256;

/// What the host knows without showing any text.
pub(super) fn summary(call: &Call, route: &Route) -> words::Summary {
    let ask = &call.ask;
    words::Summary {
        id: call.id.to_string(),
        route: route.name.clone(),
        model: ask.model.clone(),
        surface: match call.wording.surface {
            Surface::ChatCompletions => words::Surface::ChatCompletions,
            // What is counted goes where it would be answered.
            Surface::Messages | Surface::CountTokens => words::Surface::Messages,
            Surface::Responses => words::Surface::Responses,
            Surface::Completions => words::Surface::Completions,
            Surface::GenerateContent | Surface::StreamGenerateContent | Surface::CountContentTokens => {
                words::Surface::Other
            }
            Surface::Embeddings | Surface::EmbedContent | Surface::BatchEmbedContents => words::Surface::Embeddings,
            Surface::Moderations => words::Surface::Moderation,
            Surface::Rerank => words::Surface::Rerank,
            Surface::ImageGenerations | Surface::ImageEdits => words::Surface::Images,
            Surface::Speech => words::Surface::Speech,
            Surface::Transcriptions | Surface::Translations => words::Surface::Transcription,
        },
        key_id: call.caller.id.to_string(),
        team: call.caller.team.as_deref().map(str::to_owned),
        labels: Vec::new(),
        message_count: ask.messages,
        text_bytes: ask.text_bytes,
        estimated_input_tokens: ask.estimated_input_tokens(),
        max_output_tokens: ask.max_output_tokens.filter(|tokens| *tokens > 0),
        is_stream: ask.is_stream,
        has_tools: ask.tools_bytes > 0,
        has_images: ask.images > 0,
        wants_structured_output: ask.wants_structured_output,
        session: Some(session(call)),
        now_ms: call.now_ms,
        seed: call.seed,
        extras: Vec::new(),
    }
}

/// A candidate as it stands now.
pub(super) fn candidate(model: &Model, weight: u32, ask: &Ask, conversation: u64) -> words::Candidate {
    let (health, room) = (model.seen.health.read(), model.room());
    let cached = prefix::cached(model, conversation, ask);
    let (estimated_cost, ceiling_cost) = costs(model, ask, cached.unwrap_or(0));
    words::Candidate {
        id: model.id.clone(),
        provider: model.provider.name.clone(),
        tags: model.tags.clone(),
        weight,
        price: model.price.as_ref().map(|price| {
            let rates = price.base();
            words::Price {
                input: rates.input.0,
                cached_input: rates.cached_input.0,
                cache_write: rates.cache_write.0,
                output: rates.output.0,
            }
        }),
        estimated_cost,
        ceiling_cost,
        context_window: model.context.unwrap_or_default(),
        abilities: model.abilities.unwrap_or(words::Abilities::empty()),
        health: words::Health {
            first_token_ms: health.first_token_ms,
            total_ms: health.total_ms,
            error_permille: health.error_permille,
            in_flight: health.in_flight,
            cooling_ms: cooling(model),
            requests_left: room.requests,
            tokens_left: room.tokens,
        },
        extras: cached
            .map(|tokens| ("cached_tokens".to_owned(), tokens.to_string()))
            .into_iter()
            .collect(),
    }
}

/// For how long it is left alone; one that is refused, until the configuration changes.
fn cooling(model: &Model) -> Option<u32> {
    match model.standing() {
        Standing::Ready | Standing::Due => None,
        Standing::Refused => Some(u32::MAX),
        Standing::Failing(left) | Standing::Full(left) | Standing::Limited(left) => Some(milliseconds(left)),
    }
}

/// What an answer is taken to be where the client sets no limit: the estimate's guess, and the ceiling's bound where the
/// catalog knows none either.
const USUAL_OUTPUT_TOKENS: u64 = 500;

/// Tokens of input, by estimate.
pub(super) fn expected_input(ask: &Ask) -> u64 {
    ask.estimated_input_tokens().into()
}

/// What a request is counted as towards its caller's limits until it is known what it used.
pub(super) fn expected_tokens(ask: &Ask) -> u64 {
    let output = ask.max_output_tokens.map_or(USUAL_OUTPUT_TOKENS, u64::from);
    ask.billed_input_tokens()
        .saturating_add(output.saturating_mul(ask.choices.into()))
}

/// What the request would cost at a model, probably and at most.
fn costs(model: &Model, ask: &Ask, cached: u64) -> (Option<u64>, Option<u64>) {
    let Some(price) = &model.price else { return (None, None) };
    let asked = ask.max_output_tokens.map(u64::from);
    let choices = u64::from(ask.choices);
    let most = asked.or(model.max_output.map(u64::from)).unwrap_or(MOST_OUTPUT_TOKENS);
    let estimate = price.cost(&Usage {
        input: expected_input(ask).saturating_sub(cached),
        cache_read: cached,
        output: most.min(USUAL_OUTPUT_TOKENS).saturating_mul(choices),
        characters: ask.characters,
        searches: ask.searches,
        ..Usage::default()
    });
    let ceiling = ceiling(model, ask, most);
    (Some(estimate.0), ceiling.map(|ceiling| ceiling.0))
}

/// A conversation's name: as the client gives it, else from how it begins.
fn session(call: &Call) -> String {
    let header = |name| call.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(name) = header("x-session-id").or_else(|| header("x-claude-code-session-id")) {
        return short(name.into());
    }
    let named = ["/session_id", "/metadata/session_id", "/prompt_cache_key"];
    if let Some(name) = named
        .iter()
        .find_map(|pointer| call.document.pointer(pointer)?.as_str())
    {
        return short(name);
    }
    let content = Content(&call.document);
    let system = content.role_text(&["system", "developer"]);
    let first = content
        .messages()
        .find(|message| role_is(*message, "user"))
        .map(text)
        .unwrap_or_default();
    let (system, first) = (system.as_bytes(), first.as_bytes());
    let prefix = [
        &system[..system.len().min(PREFIX_BYTES)],
        &first[..first.len().min(PREFIX_BYTES)],
    ];
    format!("prefix-{:016x}", super::hash(&prefix))
}

/// A name that every policy of the route gets a copy of, and that some keep.
fn short(name: Cow<'_, str>) -> String {
    if name.len() <= SESSION_BYTES {
        return name.into_owned();
    }
    format!("long-{:016x}", super::hash(&[name.as_bytes()]))
}

/// A request's content, for as long as its policies run.
pub(super) struct View {
    call: Arc<Call>,
}

impl View {
    pub(super) fn new(call: Arc<Call>) -> Arc<Self> {
        Arc::new(Self { call })
    }

    fn content(&self) -> Content<'_> {
        Content(&self.call.document)
    }
}

impl Prompt for View {
    fn role(&self, index: u32) -> Option<String> {
        self.content().message(index).map(|message| role(message).into_owned())
    }

    fn text(&self, index: u32) -> Option<String> {
        self.content().message(index).map(|message| text(message).into_owned())
    }

    fn last_user_text(&self) -> String {
        let last = self
            .content()
            .messages()
            .filter(|message| role_is(*message, "user"))
            .last();
        last.map(|message| text(message).into_owned()).unwrap_or_default()
    }

    fn system_text(&self) -> String {
        self.content().role_text(&["system", "developer"])
    }

    fn all_text(&self, at_most: u32) -> String {
        let at_most = at_most as usize;
        let mut all = String::new();
        for (index, message) in self.content().messages().enumerate() {
            if index > 0 {
                all.push('\n');
            }
            all.push_str(&text(message));
            if all.len() > at_most {
                all.truncate(all.floor_char_boundary(at_most));
                break;
            }
        }
        all
    }

    fn header(&self, name: &str) -> Option<String> {
        let name = name.to_ascii_lowercase();
        let is_readable = READABLE.contains(&name.as_str())
            || READABLE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || self.call.policy_headers.contains(&name);
        (is_readable && !CREDENTIALS.contains(&name.as_str()))
            .then(|| self.call.headers.get(&name)?.to_str().ok().map(str::to_owned))
            .flatten()
    }

    fn get(&self, pointer: &str) -> Option<String> {
        self.call.document.pointer(pointer).map(|value| value.raw().to_owned())
    }
}

/// Messages; the inputs of a request that is no conversation are what a user says.
struct Content<'a>(&'a Document);

impl<'a> Content<'a> {
    fn messages(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let root = self.0.root();
        let messages = ["messages", "input", "documents", "prompt"]
            .iter()
            .find_map(|name| root.field(name));
        let single = messages.filter(|input| input.kind() == Kind::String);
        single
            .into_iter()
            .chain(messages.into_iter().flat_map(|messages| messages.elements()))
            .chain(root.field("query"))
    }

    fn message(&self, index: u32) -> Option<Value<'a>> {
        self.messages().nth(index as usize)
    }

    fn role_text(&self, roles: &[&str]) -> String {
        let texts: Vec<Cow<'_, str>> = self
            .messages()
            .filter(|message| roles.iter().any(|role| role_is(*message, role)))
            .map(text)
            .collect();
        texts.join("\n")
    }
}

fn role(message: Value<'_>) -> Cow<'_, str> {
    let role = message.get("role").and_then(|role| role.as_str());
    role.unwrap_or(Cow::Borrowed("user"))
}

fn role_is(message: Value<'_>, wanted: &str) -> bool {
    match message.get("role") {
        Some(role) => role.is(wanted),
        None => wanted == "user",
    }
}

/// The text parts of a message, joined by line feeds.
fn text(message: Value<'_>) -> Cow<'_, str> {
    if let Some(text) = message.as_str() {
        return text;
    }
    let Some(content) = message.get("content").or_else(|| message.get("text")) else {
        return Cow::Borrowed("");
    };
    if let Some(text) = content.as_str() {
        return text;
    }
    let parts: Vec<Cow<'_, str>> = content
        .elements()
        .filter_map(|part| part.get("text")?.as_str())
        .collect();
    Cow::Owned(parts.join("\n"))
}
