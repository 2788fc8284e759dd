//! The content of one message as the provider's blocks: texts, images and documents, and where the prompt's cache may end.

use crate::PROVIDER;
use crate::wire::{Block, CachePoint, Document, Image, Source};
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{DataUrl, File, Part, Raw, Text, image_type, parts, refuse};
use serde::Deserialize;
use std::borrow::Cow;

/// What a message may hold, by who wrote it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kinds {
    Text,
    All,
}

/// The longest name of a document.
const NAME_LETTERS: usize = 200;

#[derive(Deserialize)]
struct Mark<'a> {
    #[serde(borrow)]
    ttl: Option<Text<'a>>,
}

/// Adds the blocks of `content` to `blocks`. Blank texts are left out: the provider refuses them. `place` names the message in
/// failures.
pub(crate) fn translate<'a>(
    content: Option<Raw<'a>>,
    mark: Option<Raw<'a>>,
    kinds: Kinds,
    place: &dyn Fn() -> String,
    blocks: &mut Vec<Block<'a>>,
) -> Result<(), Failure> {
    let before = blocks.len();
    for (index, part) in parts(content, place)?.into_iter().enumerate() {
        add(part, kinds, &|| format!("{}.content[{index}]", place()), blocks)?;
    }
    if blocks.len() > before {
        blocks.extend(mark.map(|raw| Block::CachePoint(cache_point(raw))));
    }
    Ok(())
}

fn add<'a>(
    mut part: Part<'a>,
    kinds: Kinds,
    place: &dyn Fn() -> String,
    blocks: &mut Vec<Block<'a>>,
) -> Result<(), Failure> {
    let block = match part.said(place)? {
        Some(Text(text)) if text.trim().is_empty() => return Ok(()),
        Some(Text(text)) => Block::Text(text),
        None => match part.kind.0.as_ref() {
            "image_url" if kinds == Kinds::All => {
                let what = || format!("{}.image_url", place());
                Block::Image(image(part.image(place)?.url, &what)?)
            }
            "file" if kinds == Kinds::All => {
                let file = part.file.take().ok_or_else(|| part.missing("file", place))?;
                Block::Document(document(file, &|| format!("{}.file", place()))?)
            }
            _ => return Err(part.refused(PROVIDER, place)),
        },
    };
    blocks.push(block);
    blocks.extend(part.cache_control.map(|raw| Block::CachePoint(cache_point(raw))));
    Ok(())
}

/// The provider keeps what stands before such a point; a mark that says anything else than a time is a mark all the same.
pub(crate) fn cache_point(raw: Raw<'_>) -> CachePoint<'_> {
    let ttl = serde_json::from_str::<Mark>(raw.get()).ok().and_then(|mark| mark.ttl);
    CachePoint {
        kind: "default",
        ttl: ttl.map(|ttl| ttl.0).filter(|ttl| matches!(ttl.as_ref(), "5m" | "1h")),
    }
}

fn image<'a>(Text(url): Text<'a>, what: &dyn Fn() -> String) -> Result<Image<'a>, Failure> {
    if url.starts_with("s3://") {
        let format = of_ending(
            &url,
            &[
                ("png", "png"),
                ("jpg", "jpeg"),
                ("jpeg", "jpeg"),
                ("gif", "gif"),
                ("webp", "webp"),
            ],
        );
        let format = format.ok_or_else(|| refuse(format!("{} ends in no type of an image", what())))?;
        let source = Source::S3Location { uri: url };
        return Ok(Image { format, source });
    }
    let Some(DataUrl { media_type, data }) = DataUrl::read(url) else {
        return Err(unfetched(what, "image/png"));
    };
    let format = image_type(&media_type).and_then(|known| known.strip_prefix("image/"));
    let Some(format) = format else {
        return Err(refuse(format!(
            "{} is `{media_type}`; {PROVIDER} takes PNG, JPEG, GIF and WebP",
            what()
        )));
    };
    let source = Source::Bytes(data);
    Ok(Image { format, source })
}

fn document<'a>(file: File<'a>, what: &dyn Fn() -> String) -> Result<Document<'a>, Failure> {
    let Some(Text(data)) = file.file_data else {
        return Err(refuse(format!(
            "{} has no file_data; files kept at a provider are not known here",
            what()
        )));
    };
    let filename = file.filename.map(|name| name.0).unwrap_or_default();
    let name = name_of(&filename);
    if data.starts_with("s3://") {
        let format = of_ending(&data, &ENDINGS);
        let format = format.ok_or_else(|| refuse(format!("{} ends in no type of a document", what())))?;
        let source = Source::S3Location { uri: data };
        return Ok(Document { format, name, source });
    }
    let Some(DataUrl { media_type, data }) = DataUrl::read(data) else {
        return Err(unfetched(&|| format!("{}.file_data", what()), "application/pdf"));
    };
    let by_type = TYPES.iter().find(|(known, _)| *known == media_type);
    let format = by_type.map(|(_, format)| *format).or(of_ending(&filename, &ENDINGS));
    let Some(format) = format else {
        return Err(refuse(format!(
            "{} is `{media_type}`; {PROVIDER} takes PDF, CSV, Word, Excel, HTML, text and Markdown",
            what()
        )));
    };
    let source = Source::Bytes(data);
    Ok(Document { format, name, source })
}

const TYPES: [(&str, &str); 9] = [
    ("application/pdf", "pdf"),
    ("text/csv", "csv"),
    ("application/msword", "doc"),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "docx",
    ),
    ("application/vnd.ms-excel", "xls"),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "xlsx",
    ),
    ("text/html", "html"),
    ("text/plain", "txt"),
    ("text/markdown", "md"),
];

const ENDINGS: [(&str, &str); 9] = [
    ("pdf", "pdf"),
    ("csv", "csv"),
    ("doc", "doc"),
    ("docx", "docx"),
    ("xls", "xls"),
    ("xlsx", "xlsx"),
    ("html", "html"),
    ("txt", "txt"),
    ("md", "md"),
];

fn of_ending(name: &str, known: &[(&str, &'static str)]) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    let found = known.iter().find(|(known, _)| ending.eq_ignore_ascii_case(known));
    found.map(|(_, format)| *format)
}

/// Letters, digits, single blanks, hyphens, and brackets, which is all that the provider takes.
fn name_of(filename: &str) -> String {
    let stem = filename.rsplit_once('.').map_or(filename, |(stem, _)| stem);
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-()[]".contains(letter);
    let plain: String = stem
        .chars()
        .map(|letter| if is_plain(letter) { letter } else { ' ' })
        .collect();
    let words: Vec<&str> = plain.split_ascii_whitespace().collect();
    let name: String = words.join(" ").chars().take(NAME_LETTERS - 4).collect();
    match name.trim() {
        "" => "document".to_owned(),
        name => name.to_owned(),
    }
}

fn unfetched(what: &dyn Fn() -> String, example: &str) -> Failure {
    refuse(format!(
        "{} is no data: {PROVIDER} fetches nothing but `s3://...`; send a data URL with base64 (`data:{example};base64,...`)",
        what()
    ))
}

/// A placeholder text is no client's.
pub(crate) fn placeholder(text: &'static str) -> Block<'static> {
    Block::Text(Cow::Borrowed(text))
}
