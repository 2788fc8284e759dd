//! What adapters that translate have in common: the canonical request read ([`Chat`]), the canonical answer written, whole
//! ([`Completion`]) and in pieces ([`Telling`]), texts that become [`vectors`](fn@vectors), what becomes of wishes that a provider has no word for ([`Losses`]), and how a
//! provider's errors are shown ([`redact`], [`retry`]). Nothing here knows a provider.
//!
//! Strings and nested JSON are borrowed from the body, so that a schema or a number inside tool arguments reaches the
//! provider exactly as the client wrote it.

mod answer;
mod chat;
mod counts;
mod effort;
mod losses;
mod members;
mod order;
mod pieces;
mod redaction;
pub mod retry;
mod telling;
mod thinking;
mod url;
mod vectors;

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

pub use self::answer::{
    Annotation, Choice, Completion, Ending, ExtraContent, Finish, FunctionCall, Image, IndexedThinking, Likelihood,
    Logprobs, Message, ThinkingBlock, ToolCall, append, arguments, made_up_id,
};
pub use self::chat::{
    Chat, File, Function, InputAudio, JsonSchema, Mode, Part, ResponseFormat, Signature, Signed, Thinking, Thought,
    Tool, ToolChoice, Turn, TurnCall, TurnFunction, UrlPart, parts, spelt_arguments,
};
pub use self::counts::Counts;
pub use self::effort::Effort;
pub use self::losses::{DROPPED, Losses, OnUnsupported};
pub use self::members::Members;
pub use self::order::order_results;
pub use self::pieces::{Delta, FunctionDelta, Piece, Pieces, ToolDelta};
pub use self::redaction::redact;
pub use self::telling::Telling;
pub use self::thinking::{Circumstances, Thinker, ThinkingPlan, ThinkingWords};
pub use self::url::{DataUrl, image_type, is_web};
pub use self::vectors::{texts, vectors};
use crate::{Failure, Kind, Target};

/// A string that borrows from the body unless it holds escapes. A type of its own, because serde borrows inside
/// `Option` and `Vec` only what says so itself.
#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// JSON that is passed on as it was written.
pub type Raw<'a> = &'a RawValue;

/// Reads one piece of a request; `what` names it in the failure.
pub fn read<'a, T: Deserialize<'a>>(text: &'a str, what: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| refuse(format!("{what} cannot be read: {error}")))
}

/// The caller's mistake, or a wish that this provider cannot grant.
pub fn refuse(message: impl Into<String>) -> Failure {
    Failure::new(Kind::InvalidRequest, message)
}

/// The provider's mistake.
pub fn upstream(message: impl Into<String>) -> Failure {
    Failure::new(Kind::Upstream, message)
}

/// An answer of the provider's that is not what it should be.
pub fn unreadable(error: &serde_json::Error) -> Failure {
    upstream(format!("the provider's answer cannot be read: {error}"))
}

/// What the configuration says of a provider and a model; its mistakes are the operator's.
pub fn settings<T: DeserializeOwned + Default>(target: &Target) -> Result<T, Failure> {
    match target.settings.trim() {
        "" | "{}" => Ok(T::default()),
        text => serde_json::from_str(text).map_err(|error| {
            let message = format!("the settings of model `{}` cannot be used: {error}", target.model);
            Failure::new(Kind::Other("bad_settings".to_owned()), message)
        }),
    }
}

/// FNV-1a: the same in every build, so that what is made of it does not disturb a provider's prompt cache.
pub fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
