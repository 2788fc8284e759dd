//! The content of one message as the provider's parts: texts, images, sound, video and documents.

use crate::PROVIDER;
use crate::settings::Settings;
use crate::wire::{Blob, FileData, Part, Payload};
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{self, DataUrl, File, InputAudio, Raw, Text, refuse};
use std::borrow::Cow;

/// What a message may hold, by who wrote it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kinds {
    Text,
    All,
}

/// The types of media that a URL's ending tells; the provider looks for itself where there is none.
const ENDINGS: [(&str, &str); 14] = [
    (".png", "image/png"),
    (".jpg", "image/jpeg"),
    (".jpeg", "image/jpeg"),
    (".webp", "image/webp"),
    (".gif", "image/gif"),
    (".heic", "image/heic"),
    (".pdf", "application/pdf"),
    (".txt", "text/plain"),
    (".mp3", "audio/mp3"),
    (".wav", "audio/wav"),
    (".flac", "audio/flac"),
    (".mp4", "video/mp4"),
    (".mov", "video/mov"),
    (".webm", "video/webm"),
];

/// Adds the parts of `content` to `parts`. Blank texts are left out: the provider refuses them. `place` names the message
/// in failures.
pub(crate) fn translate<'a>(
    content: Option<Raw<'a>>,
    kinds: Kinds,
    settings: &Settings,
    place: &dyn Fn() -> String,
    translated: &mut Vec<Part<'a>>,
) -> Result<(), Failure> {
    for (index, part) in translate::parts(content, place)?.into_iter().enumerate() {
        let place = || format!("{}.content[{index}]", place());
        translate_part(part, kinds, settings, &place, translated)?;
    }
    Ok(())
}

fn translate_part<'a>(
    mut part: translate::Part<'a>,
    kinds: Kinds,
    settings: &Settings,
    place: &dyn Fn() -> String,
    parts: &mut Vec<Part<'a>>,
) -> Result<(), Failure> {
    if part.cache_control.is_some() {
        settings.losses.leave_out(format!("{}.cache_control", place()))?;
    }
    if let Some(Text(text)) = part.said(place)? {
        if !text.trim().is_empty() {
            parts.push(Payload::Text(text).into());
        }
        return Ok(());
    }
    let payload = match part.kind.0.as_ref() {
        "image_url" if kinds == Kinds::All => located(part.image(place)?.url.0, &|| format!("{}.image_url", place()))?,
        "video_url" if kinds == Kinds::All => {
            part.image_url = part.video_url.take();
            located(part.image(place)?.url.0, &|| format!("{}.video_url", place()))?
        }
        "input_audio" if kinds == Kinds::All => sound(part.audio(place)?, &|| format!("{}.input_audio", place()))?,
        "file" if kinds == Kinds::All => {
            let file = part.file.take().ok_or_else(|| part.missing("file", place))?;
            document(file, &|| format!("{}.file", place()))?
        }
        _ => return Err(part.refused(PROVIDER, place)),
    };
    parts.push(payload.into());
    Ok(())
}

/// Data go along, and a URL is the provider's to fetch: one on the web, in its own file store, or of a video platform.
pub(crate) fn located<'a>(url: Cow<'a, str>, what: &dyn Fn() -> String) -> Result<Payload<'a>, Failure> {
    if ["https://", "http://", "gs://"]
        .iter()
        .any(|scheme| has_scheme(&url, scheme))
    {
        return Ok(Payload::FileData(FileData {
            mime_type: media_type(&url),
            file_uri: url,
        }));
    }
    let DataUrl { media_type, data } = DataUrl::read(url).ok_or_else(|| {
        refuse(format!(
            "{} must be an https URL or a data URL with base64 (`data:image/png;base64,...`)",
            what()
        ))
    })?;
    let mime_type = match media_type.as_ref() {
        "" => {
            return Err(refuse(format!(
                "{} does not say what it is; begin it with `data:image/png;base64,` say",
                what()
            )));
        }
        "image/jpg" => Cow::Borrowed("image/jpeg"),
        _ => media_type,
    };
    Ok(Payload::InlineData(Blob { mime_type, data }))
}

fn sound<'a>(audio: InputAudio<'a>, what: &dyn Fn() -> String) -> Result<Payload<'a>, Failure> {
    let format = audio.format.0;
    if format.is_empty() || !format.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(refuse(format!(
            "{}.format is `{format}`, but must be wav or mp3",
            what()
        )));
    }
    Ok(Payload::InlineData(Blob {
        mime_type: Cow::Owned(format!("audio/{}", format.to_ascii_lowercase())),
        data: audio.data.0,
    }))
}

fn document<'a>(file: File<'a>, what: &dyn Fn() -> String) -> Result<Payload<'a>, Failure> {
    match (file.file_data, file.file_id) {
        (Some(data), _) => located(data.0, &|| format!("{}.file_data", what())),
        (None, Some(id)) if has_scheme(&id.0, "https://") || has_scheme(&id.0, "gs://") => {
            located(id.0, &|| format!("{}.file_id", what()))
        }
        (None, Some(_)) => Err(refuse(format!(
            "{}.file_id must be the URI of a file that Gemini keeps; ids of other providers are not known to it",
            what()
        ))),
        (None, None) => Err(refuse(format!("{} has neither file_data nor file_id", what()))),
    }
}

fn has_scheme(url: &str, scheme: &str) -> bool {
    url.get(..scheme.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

fn media_type(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or(url).to_ascii_lowercase();
    let known = ENDINGS.iter().find(|(ending, _)| path.ends_with(ending));
    known.map(|(_, kind)| *kind)
}

impl<'a> From<Payload<'a>> for Part<'a> {
    fn from(data: Payload<'a>) -> Self {
        Part { data, signature: None }
    }
}
