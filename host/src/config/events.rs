//! `[events]`: who is told of budgets.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;

use super::interpolate::interpolate;
use super::reader::Section;

/// `[events.webhook]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Who is told; http or https.
    pub url: Uri,
    /// What messages are signed with.
    pub key: SigningKey,
    /// Of which events: names, or `budget.*`.
    pub events: Vec<String>,
    /// How often one message is tried.
    pub attempts: u32,
    /// How long after the first attempt the second comes; each further pause is four times the one before.
    pub backoff: Duration,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// More certificate authorities, PEM.
    pub ca_file: Option<PathBuf>,
}

/// Bytes that are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Arc<[u8]>);

impl SigningKey {
    /// `whsec_` and Base64 of 24 to 64 bytes, as the Standard Webhooks specification writes secrets.
    fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix("whsec_")?).ok()?;
        (24..=64).contains(&bytes.len()).then(|| Self(bytes.into()))
    }

    /// The bytes, for the one place that signs.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningKey(…)")
    }
}

pub(super) fn read(section: Section<'_>, base: &Path) -> Option<WebhookConfig> {
    let webhook = section.section("webhook");
    let config = webhook.is_present().then(|| read_webhook(&webhook, base)).flatten();
    webhook.finish();
    section.finish();
    config
}

fn read_webhook(section: &Section<'_>, base: &Path) -> Option<WebhookConfig> {
    let text = |key| {
        let placed = section.required_string(key)?;
        let span = placed.1.clone();
        Some((interpolate(section, base, placed)?, span))
    };
    // Neither text is repeated: either may hold what an environment variable held.
    let url = text("url").and_then(|(text, span)| {
        let url = url(&text);
        if url.is_none() {
            section.note(span, "`url` must be an http or https URL without user and fragment");
        }
        url
    });
    let key = text("secret").and_then(|(text, span)| {
        let key = SigningKey::parse(&text);
        if key.is_none() {
            section.note(
                span,
                "`secret` must be `whsec_` and Base64 of 24 to 64 random bytes; `openssl rand -base64 32` makes some",
            );
        }
        key
    });
    let events = events(section);
    let milliseconds = |key, default| Duration::from_millis(section.number(key, 1..=3_600_000).unwrap_or(default));
    let config = (
        section.number("attempts", 1..=20).unwrap_or(6) as u32,
        milliseconds("backoff_ms", 5_000),
        milliseconds("timeout_ms", 10_000),
        section.string("ca_file").map(|(path, _)| base.join(path)),
    );
    let (attempts, backoff, timeout, ca_file) = config;
    Some(WebhookConfig {
        url: url?,
        key: key?,
        events,
        attempts,
        backoff,
        timeout,
        ca_file,
    })
}

fn url(text: &str) -> Option<Uri> {
    let url: Uri = text.parse().ok()?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    let has_user = url.authority()?.as_str().contains('@');
    (is_http && !has_user && !text.contains('#')).then_some(url)
}

/// What there is to be told of.
pub const EVENTS: [&str; 7] = [
    "budget.threshold",
    "budget.exceeded",
    "budget.reset",
    "budget.overrun",
    "model.unpriced",
    "store.failed",
    "store.recovered",
];

/// Whether an event is one of these.
pub fn is_wanted(event: &str, patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(beginning) => event.starts_with(beginning),
        None => event == pattern,
    })
}

fn events(section: &Section<'_>) -> Vec<String> {
    if section.any("events").is_none() {
        return vec!["*".to_owned()];
    }
    let named = section.strings("events");
    for (pattern, span) in &named {
        if !EVENTS
            .iter()
            .any(|event| is_wanted(event, std::slice::from_ref(pattern)))
        {
            let known = EVENTS.join(", ");
            section.note(
                span.clone(),
                format!("no event `{pattern}`; there are {known}, and budget.*"),
            );
        }
    }
    named.into_iter().map(|(pattern, _)| pattern).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_the_specification_writes_it_and_never_shown() {
        let key = SigningKey::parse("whsec_UG9pbnRzbWFuIHNpZ25zIGl0cyBuZXdz").unwrap();
        assert_eq!(
            (key.reveal().len(), format!("{key:?}")),
            (24, "SigningKey(…)".to_owned())
        );
        for text in [
            "",
            "whsec_",
            "UG9pbnRzbWFuIHNpZ25zIGl0cyBuZXdz",
            "whsec_c2hvcnQ=",
            "whsec_???",
        ] {
            assert!(SigningKey::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn events_are_wanted_by_name_or_by_their_beginning() {
        let wanted = |event, pattern: &str| is_wanted(event, &[pattern.to_owned()]);
        assert!(
            wanted("budget.reset", "budget.*") && wanted("budget.reset", "*") && wanted("store.failed", "store.failed")
        );
        assert!(!wanted("store.failed", "budget.*") && !wanted("budget.reset", "budget"));
    }
}
