//! The content of one message: texts, images, and the documents that a tool may give.

use crate::PROVIDER;
use crate::body::{self, Content};
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{self, Raw, Text, UrlPart, is_web, parts, refuse};
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
    let mut translated = Vec::new();
    for (index, part) in parts(content, place)?.into_iter().enumerate() {
        let place = || format!("{}.content[{index}]", place());
        translate_part(part, kinds, &place, &mut translated)?;
    }
    Ok(translated)
}

fn translate_part<'a>(
    mut part: translate::Part<'a>,
    kinds: Kinds,
    place: &dyn Fn() -> String,
    parts: &mut Vec<body::Part<'a>>,
) -> Result<(), Failure> {
    if let Some(Text(text)) = part.said(place)? {
        if !text.trim().is_empty() {
            parts.push(body::Part::Text { text });
        }
        return Ok(());
    }
    match part.kind.0.as_ref() {
        "image_url" if kinds == Kinds::Images => {
            let image_url = image(part.image(place)?, &|| format!("{}.image_url", place()))?;
            parts.push(body::Part::ImageUrl { image_url });
        }
        "document" if kinds == Kinds::Documents => {
            let document = part.document.ok_or_else(|| part.missing("document", place))?;
            parts.push(body::Part::Document { document });
        }
        _ => return Err(part.refused(PROVIDER, place)),
    }
    Ok(())
}

fn image<'a>(image: UrlPart<'a>, place: &dyn Fn() -> String) -> Result<body::ImageUrl<'a>, Failure> {
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
    let url = match translate::image_type(media_type) {
        Some(known) if known == media_type => url,
        Some(known) => Cow::Owned(url.replacen(media_type, known, 1)),
        None => {
            return Err(refuse(format!(
                "{} is `{media_type}`; Cohere takes PNG, JPEG, GIF and WebP",
                place()
            )));
        }
    };
    Ok(body::ImageUrl { url, detail })
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
