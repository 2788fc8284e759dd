//! The content of one message as the provider's blocks: texts, images and documents.

use crate::PROVIDER;
use crate::messages::{Block, Source};
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{DataUrl, File, Part, Raw, Text, image_type, is_web, parts, refuse};

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
    let parts = parts(content, place)?;
    let last = parts.len().saturating_sub(1);
    for (index, part) in parts.into_iter().enumerate() {
        let place = || format!("{}.content[{index}]", place());
        translate_part(part, mark.filter(|_| index == last), kinds, &place, blocks)?;
    }
    Ok(())
}

fn translate_part<'a>(
    mut part: Part<'a>,
    message_mark: Option<Raw<'a>>,
    kinds: Kinds,
    place: &dyn Fn() -> String,
    blocks: &mut Vec<Block<'a>>,
) -> Result<(), Failure> {
    let mark = part.cache_control.or(message_mark);
    if let Some(Text(text)) = part.said(place)? {
        if !text.trim().is_empty() {
            blocks.push(Block::Text {
                text,
                cache_control: mark,
            });
        }
        return Ok(());
    }
    match part.kind.0.as_ref() {
        "image_url" if kinds == Kinds::All => {
            blocks.push(Block::Image {
                source: image(part.image(place)?.url, &|| format!("{}.image_url", place()))?,
                cache_control: mark,
            });
        }
        "file" if kinds == Kinds::All => {
            let file = part.file.take().ok_or_else(|| part.missing("file", place))?;
            blocks.push(document(file, mark, place)?);
        }
        _ => return Err(part.refused(PROVIDER, place)),
    }
    Ok(())
}

fn image<'a>(Text(url): Text<'a>, what: &dyn Fn() -> String) -> Result<Source<'a>, Failure> {
    if is_web(&url) {
        return Ok(Source::Url { url });
    }
    let Some(DataUrl { media_type, data }) = DataUrl::read(url) else {
        return Err(refuse(format!(
            "{} must be an https URL or a data URL with base64 (`data:image/png;base64,...`)",
            what()
        )));
    };
    match image_type(&media_type) {
        Some(media_type) => Ok(Source::Base64 { media_type, data }),
        None => Err(refuse(format!(
            "{} is `{media_type}`; {PROVIDER} takes PNG, JPEG, GIF and WebP",
            what()
        ))),
    }
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
        match DataUrl::read(data) {
            Some(DataUrl { media_type, data }) if media_type == "application/pdf" => Source::Base64 {
                media_type: "application/pdf",
                data,
            },
            Some(DataUrl { media_type, .. }) => {
                return Err(refuse(format!("{} is `{media_type}`; {PROVIDER} takes PDF", what())));
            }
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
