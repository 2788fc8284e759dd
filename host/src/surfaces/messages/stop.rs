//! Why a model stopped, in Anthropic's words: what the canonical answer says of it, and what the request lets one know beside.

use crate::json::{Document, Kind, Value, Writer};

/// Words of Anthropic's that an answer may name beside the canonical one.
const NATIVE: [&str; 3] = ["pause_turn", "stop_sequence", "refusal"];

/// Sequences that a request stops at.
pub(in super::super) fn sequences(own: Option<&Document>) -> Vec<String> {
    let stops = own.and_then(|own| own.root().field("stop_sequences"));
    let stops = stops.into_iter().flat_map(|stops| stops.elements());
    stops.filter_map(|stop| Some(stop.as_str()?.into_owned())).collect()
}

/// What has been said of it so far.
#[derive(Debug, Default)]
pub(super) struct Stop {
    /// What the request stops at.
    sequences: Vec<String>,
    finish: Option<String>,
    native: Option<&'static str>,
    /// The one that was come to.
    sequence: Option<String>,
    refusal: String,
    pub(super) has_text: bool,
    pub(super) has_calls: bool,
}

impl Stop {
    pub(super) fn of(sequences: Vec<String>) -> Self {
        Self {
            sequences,
            ..Self::default()
        }
    }

    /// A choice, or a piece of one.
    pub(super) fn hear(&mut self, choice: Value<'_>) {
        let text = |name: &str| Some(choice.field(name)?.as_str()?.into_owned());
        self.finish = text("finish_reason").or(self.finish.take());
        let native = text("native_finish_reason");
        let known = NATIVE.into_iter().find(|known| native.as_deref() == Some(known));
        self.native = known.or(self.native);
        // vLLM and SGLang say which; what the client has not named is another thing that is called so.
        let told = text("stop_reason").or_else(|| text("matched_stop"));
        let told = told.filter(|told| self.sequences.contains(told));
        self.sequence = told.or(self.sequence.take());
        let said = choice.field("delta").or_else(|| choice.field("message"));
        if let Some(refusal) = said.and_then(|said| said.field("refusal")?.as_str()) {
            self.refusal.push_str(&refusal);
        }
    }

    /// The members that say it, of a message or of what changes in one.
    pub(super) fn write(&self, to: &mut Writer) {
        let reason = self.reason();
        to.text("stop_reason", reason);
        to.key("stop_sequence");
        match self.sequence().filter(|_| reason == "stop_sequence") {
            Some(sequence) => to.string(sequence),
            None => to.raw("null"),
        }
        if reason == "refusal" {
            to.key("stop_details");
            to.open('{');
            to.text("type", "refusal");
            to.member("category", "null");
            to.key("explanation");
            match self.refusal.is_empty() {
                true => to.raw("null"),
                false => to.string(&self.refusal),
            }
            to.close('}');
        }
    }

    /// Which it was; of one alone that is known.
    fn sequence(&self) -> Option<&str> {
        match &*self.sequences {
            [only] => Some(only),
            _ => self.sequence.as_deref(),
        }
    }

    fn reason(&self) -> &'static str {
        let is_refused = !self.refusal.is_empty() && !self.has_text;
        match self.finish.as_deref() {
            Some("length") => "max_tokens",
            Some("content_filter") => "refusal",
            Some("tool_calls" | "function_call") => "tool_use",
            _ if self.has_calls => "tool_use",
            _ if self.native.is_some() => self.native.unwrap_or_default(),
            _ if self.sequence.is_some() => "stop_sequence",
            _ if is_refused => "refusal",
            _ => "end_turn",
        }
    }
}

/// Whether a value is a text with anything in it.
pub(super) fn has_text(value: &Value<'_>) -> bool {
    value.kind() == Kind::String && value.str_len() > 0
}
