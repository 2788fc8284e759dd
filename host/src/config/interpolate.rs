//! `${ENV}` and `${file:/run/secrets/x}` in settings that may hold a secret, and the type that keeps one from being shown.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::reader::{Placed, Section};

/// A text that must never be shown: no `Display`, and `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Keeps a text from being shown.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Replaces every `${…}` in a setting; what is missing is a mistake of the section.
pub(super) fn interpolate(section: &Section<'_>, base: &Path, (text, span): Placed<String>) -> Option<String> {
    let mut whole = String::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else {
            section.note(span, "`${` without its `}`");
            return None;
        };
        whole.push_str(&rest[..start]);
        whole.push_str(&value(section, base, &rest[start + 2..start + length], span.clone())?);
        rest = &rest[start + length + 1..];
    }
    whole.push_str(rest);
    Some(whole)
}

fn value(section: &Section<'_>, base: &Path, name: &str, span: Range<usize>) -> Option<String> {
    let found = match name.strip_prefix("file:") {
        Some(path) => std::fs::read_to_string(base.join(path))
            .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            .map_err(|error| format!("cannot read `{path}`: {error}")),
        None => std::env::var(name).map_err(|_| format!("the environment variable `{name}` is not set")),
    };
    // A secret that has not been written yet would become a key that everybody refuses.
    let found = found.and_then(|text| match text.is_empty() {
        true => Err(format!("`{name}` is empty")),
        false => Ok(text),
    });
    found.map_err(|reason| section.note(span, reason)).ok()
}
