//! What passes in Gemini's own words: where a request goes, and of an answer what it used, whether it broke, and where it ends.
//! Counts that make no sense are left unknown: the answer is served all the same.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::Heard;
use crate::json::{Document, Edit, EditError, Kind, Limits, Value};
use crate::money::{Service, Usage};
use crate::operation::Operation;

/// As deep as an answer may be.
const LIMITS: Limits = Limits { depth: 128 };
/// What of a model's name may mean something in a path.
const MEANINGFUL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'@')
    .remove(b'/');
/// Where a body names its model again.
const NAMES: [&str; 3] = [
    "/model",
    "/generateContentRequest/model",
    "/generate_content_request/model",
];

/// Where a provider is asked for this: events are the one framing that is read. None of a name that would lead elsewhere.
pub fn path(model: &str, operation: Operation, is_stream: bool) -> Option<String> {
    let leads_elsewhere = |segment: &str| matches!(segment, "" | "." | "..");
    if model.split('/').any(leads_elsewhere) {
        return None;
    }
    let method = match (operation, is_stream) {
        (Operation::CountTokens, _) => "countTokens",
        (_, false) => "generateContent",
        (_, true) => "streamGenerateContent?alt=sse",
    };
    Some(format!(
        "/{}:{method}",
        utf8_percent_encode(&resource(model), MEANINGFUL)
    ))
}

/// The body, with the provider's name of the model wherever it has one.
pub fn renamed(own: &Document, model: &str) -> Result<Vec<u8>, EditError> {
    let model = serde_json::Value::from(resource(model)).to_string();
    let is_there = |pointer: &&str| own.pointer(pointer).is_some();
    let edits: Vec<Edit<'_>> = NAMES
        .into_iter()
        .filter(is_there)
        .map(|pointer| Edit {
            pointer,
            value: Some(&model),
        })
        .collect();
    own.with(&edits)
}

/// As it is where it has a collection of its own, `tunedModels/mine` say.
fn resource(model: &str) -> String {
    match model.contains('/') {
        true => model.to_owned(),
        false => format!("models/{model}"),
    }
}

/// Whether an answer, or an event of one, says that a filter has cut it short.
pub(in super::super) fn is_filtered(answer: Value<'_>) -> bool {
    let candidates = answer.field("candidates").into_iter().flat_map(|all| all.elements());
    let mut reasons = candidates.filter_map(|candidate| candidate.field("finishReason"));
    is_blocked(answer) || reasons.any(|reason| !reason.is("STOP") && !reason.is("MAX_TOKENS"))
}

fn is_blocked(answer: Value<'_>) -> bool {
    let feedback = answer.field("promptFeedback");
    feedback.is_some_and(|feedback| feedback.field("blockReason").is_some())
}

/// What has been said so far. Every event counts all of the answer up to it.
#[derive(Debug, Default)]
pub struct Hearing {
    prompt: Option<u64>,
    candidates: Option<u64>,
    tools: Option<u64>,
    cached: Option<u64>,
    thoughts: Option<u64>,
    audio_input: Option<u64>,
    audio_output: Option<u64>,
    service: Service,
    image_input: Option<u64>,
    image_output: Option<u64>,
    searches: u64,
    /// Candidates by their number, and whether each has said why it ended.
    ended: Vec<(u64, bool)>,
    is_blocked: bool,
}

impl Hearing {
    /// A whole answer.
    pub fn whole(&mut self, answer: &Document) -> Result<Heard, String> {
        let root = answer.root();
        if root.kind() != Kind::Object {
            return Err("the answer is not a JSON object".to_owned());
        }
        if let Some(error) = root.field("error") {
            return Ok(Heard::Error(error.raw().to_owned()));
        }
        self.read(root);
        Ok(Heard::Closing)
    }

    /// An event of a stream.
    pub fn event(&mut self, data: &[u8]) -> Result<Heard, String> {
        let event = Document::parse(Bytes::copy_from_slice(data), LIMITS);
        let event = event.map_err(|error| format!("a stream event is not JSON: {error}"))?;
        let root = event.root();
        if let Some(error) = root.field("error") {
            return Ok(Heard::Error(error.raw().to_owned()));
        }
        self.read(root);
        Ok(Heard::Progress)
    }

    /// Whether the end of the body is the proper end of the answer, as this dialect has no closing event.
    pub fn is_whole(&self) -> bool {
        self.is_blocked || !self.ended.is_empty() && self.ended.iter().all(|(_, has_ended)| *has_ended)
    }

    /// As it is billed; none where nothing was said, which is not the same as nothing used.
    pub fn usage(&self) -> Option<Usage> {
        if self.prompt.is_none() && self.candidates.is_none() {
            return None;
        }
        let prompt = self.prompt.unwrap_or(0).saturating_add(self.tools.unwrap_or(0));
        let cache_read = self.cached.unwrap_or(0).min(prompt);
        let reasoning = self.thoughts.unwrap_or(0);
        let output = self.candidates.unwrap_or(0).saturating_add(reasoning);
        let audio_input = self.audio_input.unwrap_or(0).min(prompt - cache_read);
        Some(Usage {
            input: prompt - cache_read,
            audio_input,
            image_input: self.image_input.unwrap_or(0).min(prompt - cache_read - audio_input),
            cache_read,
            output,
            reasoning,
            audio_output: self.audio_output.unwrap_or(0).min(output),
            service: self.service,
            image_output: self.image_output.unwrap_or(0).min(output),
            searches: self.searches,
            ..Usage::default()
        })
    }

    fn read(&mut self, answer: Value<'_>) {
        self.is_blocked |= is_blocked(answer);
        let candidates = answer.field("candidates").into_iter().flat_map(|all| all.elements());
        for candidate in candidates {
            let searches = candidate
                .field("groundingMetadata")
                .and_then(|found| found.field("webSearchQueries"));
            // Each event tells of all of them so far.
            let searches = searches.map_or(0, |queries| queries.elements().count() as u64);
            self.searches = self.searches.max(searches);
            let index = candidate.get("index").and_then(|index| index.as_u64()).unwrap_or(0);
            let has_ended = candidate.field("finishReason").is_some();
            match self.ended.iter_mut().find(|(known, _)| *known == index) {
                Some((_, ended)) => *ended |= has_ended,
                None => self.ended.push((index, has_ended)),
            }
        }
        let Some(usage) = answer.field("usageMetadata") else {
            return;
        };
        if let Some(tier) = usage
            .field("serviceTier")
            .and_then(|tier| tier.as_str().map(|tier| Service::of(&tier)))
        {
            self.service = tier;
        }
        let count =
            |object: Value<'_>, name: &str| object.field(name)?.as_u64().filter(|count| *count <= u32::MAX.into());
        let part = |details: &str, modality: &str| {
            let mut kinds = usage.field(details)?.elements();
            let found = kinds.find(|kind| kind.field("modality").is_some_and(|kind| kind.is(modality)))?;
            count(found, "tokenCount")
        };
        let told = [
            (&mut self.prompt, count(usage, "promptTokenCount")),
            (&mut self.candidates, count(usage, "candidatesTokenCount")),
            (&mut self.tools, count(usage, "toolUsePromptTokenCount")),
            (&mut self.cached, count(usage, "cachedContentTokenCount")),
            (&mut self.thoughts, count(usage, "thoughtsTokenCount")),
            (&mut self.audio_input, part("promptTokensDetails", "AUDIO")),
            (&mut self.audio_output, part("candidatesTokensDetails", "AUDIO")),
            (&mut self.image_input, part("promptTokensDetails", "IMAGE")),
            (&mut self.image_output, part("candidatesTokensDetails", "IMAGE")),
        ];
        for (known, later) in told {
            *known = later.or(*known);
        }
    }
}
