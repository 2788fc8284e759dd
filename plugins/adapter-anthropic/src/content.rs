//! The content of one message as the provider's blocks: texts, images and documents.

use crate::chat::{File, ImageUrl, Part, Raw, Text, read, refuse};
use crate::messages::{Block, Source};
use pointsman_plugin::Failure;
use std::borrow::Cow;

/// What a message may hold, by who wrote it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kinds {
    Text,
    All,
}

/// Adds the blocks of `content` to `blocks`. Blank texts are left out: the provider refuses them. `place` names the message
/// in failures.
pub(crate) fn translate<'a>(
    content: Option<Raw<'a>>,
    mark: Option<Raw<'a>>,
    kinds: Kinds,
    place: &dyn Fn() -> String,
    blocks: &mut Vec<Block<'a>>,
) -> Result<(), Failure> {
    let Some(raw) = content else { return Ok(()) };
    match raw.get().as_bytes().first() {
        Some(b'"') => {
            let text: Text = read(raw.get(), &format!("{}.content", place()))?;
            push_text(text.0, mark, blocks);
        }
        Some(b'[') => {
            let parts: Vec<Part> = read(raw.get(), &format!("{}.content", place()))?;
            let last = parts.len().saturating_sub(1);
            for (index, part) in parts.into_iter().enumerate() {
                let place = || format!("{}.content[{index}]", place());
                translate_part(part, mark.filter(|_| index == last), kinds, &place, blocks)?;
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
    part: Part<'a>,
    message_mark: Option<Raw<'a>>,
    kinds: Kinds,
    place: &dyn Fn() -> String,
    blocks: &mut Vec<Block<'a>>,
) -> Result<(), Failure> {
    let mark = part.cache_control.or(message_mark);
    let kind = part.kind.0.as_ref();
    match kind {
        "text" => push_text(part.text.map(|text| text.0).unwrap_or_default(), mark, blocks),
        "refusal" => push_text(part.refusal.map(|text| text.0).unwrap_or_default(), mark, blocks),
        "image_url" if kinds == Kinds::All => {
            let raw = part
                .image_url
                .ok_or_else(|| refuse(format!("{}.image_url is missing", place())))?;
            blocks.push(Block::Image {
                source: image(raw, place)?,
                cache_control: mark,
            });
        }
        "file" if kinds == Kinds::All => {
            let file = part
                .file
                .ok_or_else(|| refuse(format!("{}.file is missing", place())))?;
            blocks.push(document(file, mark, place)?);
        }
        _ => {
            return Err(refuse(format!(
                "{} is of type `{kind}`, which this provider does not take here",
                place()
            )));
        }
    }
    Ok(())
}

fn push_text<'a>(text: Cow<'a, str>, cache_control: Option<Raw<'a>>, blocks: &mut Vec<Block<'a>>) {
    if !text.trim().is_empty() {
        blocks.push(Block::Text { text, cache_control });
    }
}

/// `image_url` is an object with a `url`; a bare string is taken as well, as several clients send it.
fn image<'a>(raw: Raw<'a>, place: &dyn Fn() -> String) -> Result<Source<'a>, Failure> {
    let what = format!("{}.image_url", place());
    let url = match raw.get().starts_with('"') {
        true => read::<Text>(raw.get(), &what)?,
        false => read::<ImageUrl>(raw.get(), &what)?.url,
    };
    if is_web(&url.0) {
        return Ok(Source::Url { url: url.0 });
    }
    let (media_type, data) = split_data_url(url.0).ok_or_else(|| {
        refuse(format!(
            "{what} must be an https URL or a data URL with base64 (`data:image/png;base64,...`)"
        ))
    })?;
    let media_type = match media_type.as_ref() {
        "image/png" => "image/png",
        "image/jpeg" | "image/jpg" => "image/jpeg",
        "image/gif" => "image/gif",
        "image/webp" => "image/webp",
        other => {
            return Err(refuse(format!(
                "{what} is `{other}`; this provider takes PNG, JPEG, GIF and WebP"
            )));
        }
    };
    Ok(Source::Base64 { media_type, data })
}

fn document<'a>(file: File<'a>, mark: Option<Raw<'a>>, place: &dyn Fn() -> String) -> Result<Block<'a>, Failure> {
    let what = || format!("{}.file", place());
    let Some(Text(data)) = file.file_data else {
        return Err(refuse(format!(
            "{} has no file_data; files kept at a provider are not known here",
            what()
        )));
    };
    let title = file
        .filename
        .map(|name| name.0)
        .filter(|name| !name.is_empty() && name.chars().count() <= 500);
    let source = if is_web(&data) {
        Source::Url { url: data }
    } else {
        match split_data_url(data) {
            Some((kind, data)) if kind == "application/pdf" => Source::Base64 {
                media_type: "application/pdf",
                data,
            },
            Some((kind, _)) => return Err(refuse(format!("{} is `{kind}`; this provider takes PDF", what()))),
            None => {
                return Err(refuse(format!(
                    "{}.file_data must be a data URL (`data:application/pdf;base64,...`)",
                    what()
                )));
            }
        }
    };
    Ok(Block::Document {
        source,
        title,
        cache_control: mark,
    })
}

fn is_web(url: &str) -> bool {
    let scheme = |name: &str| {
        url.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    scheme("https://") || scheme("http://")
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
