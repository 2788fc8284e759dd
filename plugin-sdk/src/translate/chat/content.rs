//! The content of one message: a string, or a list of parts.

use serde::Deserialize;

use super::super::{Raw, Text, read, refuse};
use crate::Failure;

/// One part of a content list; which members are there depends on `kind`.
#[derive(Deserialize, Debug, Default)]
#[expect(missing_docs, reason = "named as in the canonical form")]
pub struct Part<'a> {
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub text: Option<Text<'a>>,
    #[serde(borrow)]
    pub refusal: Option<Text<'a>>,
    #[serde(borrow)]
    pub image_url: Option<Raw<'a>>,
    #[serde(borrow)]
    pub video_url: Option<Raw<'a>>,
    #[serde(borrow)]
    pub input_audio: Option<Raw<'a>>,
    #[serde(borrow)]
    pub file: Option<File<'a>>,
    /// Cohere's own: a document as the result of a tool.
    #[serde(borrow)]
    pub document: Option<Raw<'a>>,
    #[serde(borrow)]
    pub cache_control: Option<Raw<'a>>,
}

/// An image's or a video's address.
#[derive(Deserialize, Debug)]
pub struct UrlPart<'a> {
    /// On the web, or the data itself.
    #[serde(borrow)]
    pub url: Text<'a>,
    /// How closely it is to be looked at.
    #[serde(borrow)]
    pub detail: Option<Text<'a>>,
}

/// Sound in base64.
#[derive(Deserialize, Debug)]
#[expect(missing_docs, reason = "named as in the canonical form")]
pub struct InputAudio<'a> {
    #[serde(borrow)]
    pub data: Text<'a>,
    #[serde(borrow)]
    pub format: Text<'a>,
}

/// A file: its data, or how a provider calls it.
#[derive(Deserialize, Debug)]
#[expect(missing_docs, reason = "named as in the canonical form")]
pub struct File<'a> {
    #[serde(borrow)]
    pub file_data: Option<Text<'a>>,
    #[serde(borrow)]
    pub file_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub filename: Option<Text<'a>>,
}

/// The parts of a content; a string is one part. `place` names the message in failures.
pub fn parts<'a>(content: Option<Raw<'a>>, place: &dyn Fn() -> String) -> Result<Vec<Part<'a>>, Failure> {
    let Some(raw) = content else { return Ok(Vec::new()) };
    let what = || format!("{}.content", place());
    match raw.get().as_bytes().first() {
        Some(b'"') => Ok(vec![Part {
            kind: Text("text".into()),
            text: Some(read(raw.get(), &what())?),
            ..Part::default()
        }]),
        Some(b'[') => read(raw.get(), &what()),
        _ => Err(refuse(format!("{} must be a string or a list of parts", what()))),
    }
}

impl<'a> Part<'a> {
    /// The text of a part that is one: what somebody said, or why he would not. `None` for other kinds.
    pub fn said(&mut self, place: &dyn Fn() -> String) -> Result<Option<Text<'a>>, Failure> {
        let text = match self.kind.0.as_ref() {
            "text" | "input_text" | "output_text" => (self.text.take(), "text"),
            "refusal" => (self.refusal.take(), "refusal"),
            _ => return Ok(None),
        };
        match text {
            (Some(text), _) => Ok(Some(text)),
            (None, member) => Err(self.missing(member, place)),
        }
    }

    /// The address of an image, which is an object with a `url`; a bare string is taken as well, as several clients send it.
    pub fn image(&self, place: &dyn Fn() -> String) -> Result<UrlPart<'a>, Failure> {
        let raw = self.image_url.ok_or_else(|| self.missing("image_url", place))?;
        let what = || format!("{}.image_url", place());
        match raw.get().starts_with('"') {
            true => Ok(UrlPart {
                url: read(raw.get(), &what())?,
                detail: None,
            }),
            false => read(raw.get(), &what()),
        }
    }

    /// The sound of a part that is one.
    pub fn audio(&self, place: &dyn Fn() -> String) -> Result<InputAudio<'a>, Failure> {
        let raw = self.input_audio.ok_or_else(|| self.missing("input_audio", place))?;
        read(raw.get(), &format!("{}.input_audio", place()))
    }

    /// A member that this kind of part needs.
    pub fn missing(&self, member: &str, place: &dyn Fn() -> String) -> Failure {
        refuse(format!("{}.{member} is missing", place()))
    }

    /// A part that the provider does not take, or not in such a message.
    pub fn refused(&self, provider: &str, place: &dyn Fn() -> String) -> Failure {
        refuse(format!(
            "{} is of type `{}`, which {provider} does not take here",
            place(),
            self.kind.0
        ))
    }
}
