//! The content of one message as the provider's parts: texts, images, sound, video and documents.

use crate::chat::{File, InputAudio, Part as Given, Raw, Text, Url, read, refuse};
use crate::settings::Settings;
use crate::wire::{Blob, FileData, Part, Payload};
use pointsman_plugin::Failure;
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
    parts: &mut Vec<Part<'a>>,
) -> Result<(), Failure> {
    let Some(raw) = content else { return Ok(()) };
    match raw.get().as_bytes().first() {
        Some(b'"') => {
            let text: Text = read(raw.get(), &format!("{}.content", place()))?;
            push_text(text.0, parts);
        }
        Some(b'[') => {
            let given: Vec<Given> = read(raw.get(), &format!("{}.content", place()))?;
            for (index, part) in given.into_iter().enumerate() {
                translate_part(
                    part,
                    kinds,
                    settings,
                    &|| format!("{}.content[{index}]", place()),
                    parts,
                )?;
            }
        }
        _ => {
            return Err(refuse(format!(
                "{}.content must be a string or a list of parts",
                place()
            )));
        }
    }
    Ok(())
}

fn translate_part<'a>(
    part: Given<'a>,
    kinds: Kinds,
    settings: &Settings,
    place: &dyn Fn() -> String,
    parts: &mut Vec<Part<'a>>,
) -> Result<(), Failure> {
    if part.cache_control.is_some() {
        settings.leave_out(&|| format!("{}.cache_control", place()))?;
    }
    let kind = part.kind.0.as_ref();
    let missing = || refuse(format!("{}.{kind} is missing", place()));
    match kind {
        "text" => push_text(part.text.map(|text| text.0).unwrap_or_default(), parts),
        "refusal" => push_text(part.refusal.map(|text| text.0).unwrap_or_default(), parts),
        "image_url" | "video_url" if kinds == Kinds::All => {
            let raw = part.image_url.ok_or_else(missing)?;
            parts.push(linked(raw, &format!("{}.{kind}", place()))?.into());
        }
        "input_audio" if kinds == Kinds::All => {
            let audio = part.input_audio.ok_or_else(missing)?;
            parts.push(sound(audio, &|| format!("{}.input_audio", place()))?.into());
        }
        "file" if kinds == Kinds::All => {
            let file = part.file.ok_or_else(missing)?;
            parts.push(document(file, &|| format!("{}.file", place()))?.into());
        }
        _ => {
            return Err(refuse(format!(
                "{} is of type `{kind}`, which Gemini does not take here",
                place()
            )));
        }
    }
    Ok(())
}

fn push_text<'a>(text: Cow<'a, str>, parts: &mut Vec<Part<'a>>) {
    if !text.trim().is_empty() {
        parts.push(Payload::Text(text).into());
    }
}

/// `image_url` is an object with a `url`; a bare string is taken as well, as several clients send it.
fn linked<'a>(raw: Raw<'a>, what: &str) -> Result<Payload<'a>, Failure> {
    let url = match raw.get().starts_with('"') {
        true => read::<Text>(raw.get(), what)?,
        false => read::<Url>(raw.get(), what)?.url,
    };
    located(url.0, &|| what.to_owned())
}

/// Data go along, and a URL is the provider's to fetch: one on the web, in its own file store, or of a video platform.
fn located<'a>(url: Cow<'a, str>, what: &dyn Fn() -> String) -> Result<Payload<'a>, Failure> {
    if ["https://", "http://", "gs://"]
        .iter()
        .any(|scheme| has_scheme(&url, scheme))
    {
        return Ok(Payload::FileData(FileData {
            mime_type: media_type(&url),
            file_uri: url,
        }));
    }
    let (mime_type, data) = split_data_url(url).ok_or_else(|| {
        refuse(format!(
            "{} must be an https URL or a data URL with base64 (`data:image/png;base64,...`)",
            what()
        ))
    })?;
    let mime_type = match mime_type.as_ref() {
        "" => {
            return Err(refuse(format!(
                "{} does not say what it is; begin it with `data:image/png;base64,` say",
                what()
            )));
        }
        "image/jpg" => Cow::Borrowed("image/jpeg"),
        _ => mime_type,
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

/// `data:<media type>[;parameters];base64,<data>`, without a copy of the data.
fn split_data_url(url: Cow<'_, str>) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    match url {
        Cow::Borrowed(url) => split_plain(url).map(|(kind, data)| (kind.into(), data.into())),
        Cow::Owned(url) => split_plain(&url).map(|(kind, data)| (kind.to_owned().into(), data.to_owned().into())),
    }
}

fn split_plain(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let kind = head.strip_suffix(";base64")?;
    Some((kind.split(';').next().unwrap_or(kind), data))
}

impl<'a> From<Payload<'a>> for Part<'a> {
    fn from(data: Payload<'a>) -> Self {
        Part { data, signature: None }
    }
}
