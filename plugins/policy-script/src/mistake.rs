//! A script's mistake in words: the file, the line and the column where there is one, and what the engine says of it.

use boa_engine::{Context, JsError, js_string};

/// `policy.js:3:12: TypeError: …`
pub(crate) fn explain(name: &str, error: &JsError, context: &mut Context) -> String {
    let text = error.to_string();
    let (first, frames) = text.split_once("\n    at ").unwrap_or((&text, ""));
    let said = match error.as_native() {
        // What this crate finds wrong with something that was returned needs no name beside its words.
        Some(native) if frames.is_empty() && !native.is_syntax() => native.message().to_owned(),
        Some(native) => format!("{}: {}", native.kind(), native.message()),
        None => thrown(error, context).unwrap_or_else(|| first.to_owned()),
    };
    if let Some((said, place)) = place_of_syntax(&said) {
        return format!("{name}:{place}: {said}");
    }
    match place_in_frames(name, frames) {
        Some(place) => format!("{name}:{place}: {said}"),
        None => format!("{name}: {said}"),
    }
}

/// What a thrown value says of itself, errors being asked for `name` and `message`; none for the engine's own errors.
fn thrown(error: &JsError, context: &mut Context) -> Option<String> {
    let object = error.as_opaque()?.as_object()?;
    let mut part = |key| {
        let value = object.get(key, context).ok()?;
        Some(value.as_string()?.to_std_string_lossy())
    };
    let message = part(js_string!("message"))?;
    let name = part(js_string!("name")).unwrap_or_else(|| "Error".to_owned());
    Some(if message.is_empty() {
        name
    } else {
        format!("{name}: {message}")
    })
}

/// The parser says where it was at the end of its words: `… at line 3, col 12`.
fn place_of_syntax(said: &str) -> Option<(&str, String)> {
    let (said, place) = said.rsplit_once(" at line ")?;
    let (line, column) = place.split_once(", col ")?;
    let (line, column): (u32, u32) = (line.parse().ok()?, column.parse().ok()?);
    Some((said, format!("{line}:{column}")))
}

/// The innermost of the frames that is in the script: `decide (policy.js:3:12)`.
fn place_in_frames(name: &str, frames: &str) -> Option<String> {
    frames.lines().find_map(|frame| {
        let (_, place) = frame.trim_end().strip_suffix(')')?.rsplit_once('(')?;
        let place = place.strip_prefix(name)?.strip_prefix(':')?;
        place
            .starts_with(|digit: char| digit.is_ascii_digit())
            .then(|| place.to_owned())
    })
}
