//! What a model has made beside its text: images, which are items of their own, and pages of the web that the text rests on.

use std::borrow::Cow;

use super::answer::item;
use crate::json::{Value, Writer};

/// How images begin in base64, and what they are.
const KINDS: [(&str, &str); 3] = [("/9j/", "image/jpeg"), ("UklGR", "image/webp"), ("R0lGOD", "image/gif")];

/// Images of a message, or of a piece of one: base64, and its type where it is known. What is elsewhere has no place in an item.
pub(super) fn images<'a>(said: Value<'a>) -> impl Iterator<Item = String> + use<'a> {
    let images = said.field("images").into_iter().flat_map(|images| images.elements());
    images.filter_map(|image| {
        let url = image.field("image_url")?.field("url")?.as_str()?;
        let (_, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
        Some(data.to_owned())
    })
}

/// Images in base64, as members of the message in which the model made them.
pub(super) fn write(to: &mut Writer, images: &[Cow<'_, str>]) {
    if images.is_empty() {
        return;
    }
    to.key("images");
    to.open('[');
    for image in images {
        // The first bytes say what it is.
        let begins = |known: &&(&str, &str)| image.starts_with(known.0);
        let kind = KINDS.iter().find(begins).map_or("image/png", |(_, kind)| *kind);
        to.open('{');
        to.text("type", "image_url");
        to.key("image_url");
        to.open('{');
        to.text("url", &format!("data:{kind};base64,{image}"));
        to.close('}');
        to.close('}');
    }
    to.close(']');
}

/// Whether a message has an image that has no place in an item.
pub(in super::super) fn has_other_images(said: Value<'_>) -> bool {
    let all = said.field("images").into_iter().flat_map(|images| images.elements());
    all.count() > images(said).count()
}

/// The item of an image; without it, one that is begun.
pub(super) fn item_of(id: &str, image: Option<&str>) -> String {
    item(|to| {
        to.text("id", id);
        to.text("type", "image_generation_call");
        to.text("status", if image.is_some() { "completed" } else { "in_progress" });
        to.key("result");
        match image {
            Some(image) => to.string(image),
            None => to.raw("null"),
        }
    })
}

/// Pages of the web that a message rests on, or a piece of one, in the words of this dialect. They are counted from this character on;
/// what lies before it is in another item.
pub(super) fn annotations<'a>(said: Value<'a>, from: u64) -> impl Iterator<Item = String> + use<'a> {
    let all = said.field("annotations").into_iter().flat_map(|all| all.elements());
    all.filter_map(move |annotation| {
        let cited = annotation.field("url_citation")?;
        let place = |name: &str| cited.field(name)?.as_u64()?.checked_sub(from);
        let (start, end) = (place("start_index")?, place("end_index")?);
        let url = cited.field("url")?;
        Some(item(|to| {
            to.text("type", "url_citation");
            to.number("start_index", start);
            to.number("end_index", end);
            to.member("url", url.raw());
            to.member("title", cited.field("title").map_or("\"\"", |title| title.raw()));
        }))
    })
}
