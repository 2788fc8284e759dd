//! The content of one message: texts, images, and the documents that a tool may give.

use crate::body::{self, Content};
use crate::chat::{ImageUrl, Part, Raw, Text, read, refuse};
use pointsman_plugin::Failure;
use std::borrow::Cow;

/// What a message may hold beside texts, by who wrote it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kinds {
    Text,
    Images,
    Documents,
}

/// The parts of `content`. Blank texts are left out: the provider refuses them. `place` names the message in failures.
pub(crate) fn translate<'a>(
    content: Option<Raw<'a>>,
    kinds: Kinds,
    place: &dyn Fn() -> String,
) -> Result<Vec<body::Part<'a>>, Failure> {
    let mut parts = Vec::new();
    let Some(raw) = content else { return Ok(parts) };
    let what = || format!("{}.content", place());
    match raw.get().as_bytes().first() {
        Some(b'"') => push_text(read::<Text>(raw.get(), &what())?, &mut parts),
        Some(b'[') => {
            let given: Vec<Part> = read(raw.get(), &what())?;
            for (index, part) in given.into_iter().enumerate() {
                translate_part(part, kinds, &|| format!("{}[{index}]", what()), &mut parts)?;
            }
        }
        _ => return Err(refuse(format!("{} must be a string or a list of parts", what()))),
    }
    Ok(parts)
}

fn translate_part<'a>(
    part: Part<'a>,
    kinds: Kinds,
    place: &dyn Fn() -> String,
    parts: &mut Vec<body::Part<'a>>,
) -> Result<(), Failure> {
    let missing = |member: &str| refuse(format!("{}.{member} is missing", place()));
    let kind = part.kind.0.as_ref();
    match kind {
        "text" => push_text(part.text.ok_or_else(|| missing("text"))?, parts),
        "refusal" => push_text(part.refusal.ok_or_else(|| missing("refusal"))?, parts),
        "image_url" if kinds == Kinds::Images => {
            let raw = part.image_url.ok_or_else(|| missing("image_url"))?;
            let image_url = image(raw, &|| format!("{}.image_url", place()))?;
            parts.push(body::Part::ImageUrl { image_url });
        }
        "document" if kinds == Kinds::Documents => {
            let document = part.document.ok_or_else(|| missing("document"))?;
            parts.push(body::Part::Document { document });
        }
        _ => {
            return Err(refuse(format!(
                "{} is of type `{kind}`, which Cohere does not take here",
                place()
            )));
        }
    }
    Ok(())
}

fn push_text<'a>(Text(text): Text<'a>, parts: &mut Vec<body::Part<'a>>) {
    if !text.trim().is_empty() {
        parts.push(body::Part::Text { text });
    }
}

/// `image_url` is an object with a `url`; a bare string is taken as well, as several clients send it.
fn image<'a>(raw: Raw<'a>, place: &dyn Fn() -> String) -> Result<body::ImageUrl<'a>, Failure> {
    let image = match raw.get().starts_with('"') {
        true => ImageUrl {
            url: read(raw.get(), &place())?,
            detail: None,
        },
        false => read(raw.get(), &place())?,
    };
    let detail = match image.detail.as_ref().map(|detail| detail.0.as_ref()) {
        Some("low") => Some("low"),
        Some("high") => Some("high"),
        // `auto` is what the provider does by itself, and it knows no other word.
        _ => None,
    };
    let Text(url) = image.url;
    if is_web(&url) {
        return Ok(body::ImageUrl { url, detail });
    }
    let media_type = media_type(&url).ok_or_else(|| {
        refuse(format!(
            "{} must be an https URL or a data URL with base64 (`data:image/png;base64,...`)",
            place()
        ))
    })?;
    let url = match media_type {
        "image/png" | "image/jpeg" | "image/gif" | "image/webp" => url,
        // Said by many, and registered by nobody.
        "image/jpg" => Cow::Owned(url.replacen("image/jpg", "image/jpeg", 1)),
        other => {
            return Err(refuse(format!(
                "{} is `{other}`; Cohere takes PNG, JPEG, GIF and WebP",
                place()
            )));
        }
    };
    Ok(body::ImageUrl { url, detail })
}

fn is_web(url: &str) -> bool {
    let scheme = |name: &str| {
        url.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    scheme("https://") || scheme("http://")
}

/// Of `data:<media type>[;parameters];base64,<data>`.
fn media_type(url: &str) -> Option<&str> {
    let (head, _) = url.strip_prefix("data:")?.split_once(',')?;
    head.strip_suffix(";base64")?.split(';').next()
}

/// A single text goes out as a string, as it mostly came.
pub(crate) fn of(mut parts: Vec<body::Part<'_>>) -> Content<'_> {
    match parts.pop() {
        Some(body::Part::Text { text }) if parts.is_empty() => Content::Text(text),
        last => {
            parts.extend(last);
            Content::Parts(parts)
        }
    }
}

/// The texts of parts that are texts alone, a line for each.
pub(crate) fn joined(parts: &[body::Part]) -> String {
    let texts: Vec<&str> = parts
        .iter()
        .filter_map(|part| match part {
            body::Part::Text { text } => Some(text.as_ref()),
            _ => None,
        })
        .collect();
    texts.join("\n")
}
