//! `[providers.*]`: where models live and how they are spoken to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keys::rate_limits;
use super::reader::{Section, suggestion};
use super::{
    AwsKey, Context, OwnWords, RateLimits, Secret, ServiceAccount, Timeouts, budgets, clouds, dialects, interpolate,
    timeouts,
};
use crate::budget::Budget;
use crate::catalog;
use crate::plugins::words::{Authentication, Operation};

/// One provider.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderConfig {
    /// How it is spoken to; `None` for the simulated provider, which needs no adapter.
    pub adapter: Option<ComponentRef>,
    /// Scheme, host, port and path prefix; the adapter's own where absent.
    pub base_url: Option<String>,
    /// Its name in the catalog, where what is known of its models is looked up.
    pub catalog: Option<String>,
    /// Attached by the host where `authentication` says, else the adapter's profile; of several, one after the other.
    pub api_keys: Vec<Secret>,
    /// What requests are signed with, where the provider is one of AWS's services.
    pub aws: Option<AwsKey>,
    /// Whose tokens requests carry, where it is one of Google's.
    pub google: Option<ServiceAccount>,
    /// Where in the cloud it is: a part of its base URL, and of what is signed.
    pub region: Option<String>,
    /// Whose it is there.
    pub project: Option<String>,
    /// Where a key goes, if not where the adapter says.
    pub authentication: Option<Authentication>,
    /// How much of it may be used.
    pub limits: RateLimits,
    /// How much of each of its keys may be used.
    pub key_limits: RateLimits,
    /// How many requests may wait for one of its models.
    pub queue: usize,
    /// Sent with every call.
    pub headers: Vec<(String, Secret)>,
    /// Whether its name may lead to an address that is not public.
    pub allow_private: bool,
    /// Whether `provider/any-name` may be asked for.
    pub allow_any_model: bool,
    /// Whether it speaks OpenAI's Responses as they are; OpenAI does.
    pub responses: bool,
    /// Whether its models continue texts at `/completions`, if it speaks OpenAI's dialect; those of OpenAI itself answer.
    pub completions: bool,
    /// What of images and sound it has, if its adapter has it.
    pub media: Vec<Operation>,
    /// Whether it ranks texts, if it speaks OpenAI's dialect.
    pub rerank: bool,
    /// Whether it judges texts, if it speaks OpenAI's dialect.
    pub moderation: bool,
    /// Headers of its answers that tell its limits, by meaning, if not those that its adapter knows.
    pub limit_headers: Option<Vec<(String, String)>>,
    /// Settings that requests in the provider's own words need not be translated for.
    pub passing: serde_json::Value,
    /// Where these requests go, if not where the adapter says.
    pub own_words: Option<OwnWords>,
    /// How long its answers may take.
    pub timeouts: Timeouts,
    /// How long it keeps the beginning of a prompt in its cache after the last use.
    pub prompt_cache: Duration,
    /// More certificate authorities, PEM.
    pub ca_file: Option<PathBuf>,
    /// Handed to the adapter with every call.
    pub settings: serde_json::Value,
    /// What may be spent on it.
    pub budgets: Vec<Budget>,
    /// How the simulated provider behaves.
    pub simulated: SimulatedConfig,
}

/// A plugin by its built-in name or its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComponentRef {
    /// In the binary.
    BuiltIn(String),
    /// On disk, reloaded when it changes.
    File {
        /// Where.
        path: PathBuf,
        /// What its bytes must hash to.
        sha256: Option<String>,
    },
}

impl ComponentRef {
    /// A built-in's name, or a path: what ends in `.wasm` or has a separator.
    pub(super) fn read(section: &Section<'_>, base: &Path, key: &'static str, pin: &'static str) -> Option<Self> {
        let (text, _) = section.required_string(key)?;
        let sha256 = section.string(pin).and_then(|(digest, span)| {
            let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !is_digest {
                section.note(span, format!("`{pin}` must be 64 hexadecimal digits"));
            }
            is_digest.then(|| digest.to_ascii_lowercase())
        });
        let is_path = text.ends_with(".wasm") || text.contains(['/', '\\']);
        Some(if is_path {
            Self::File {
                path: base.join(text),
                sha256,
            }
        } else {
            Self::BuiltIn(text)
        })
    }
}

/// `[providers.*.simulated]`: a provider inside the gateway that answers without any model.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedConfig {
    /// Before the first token.
    pub latency: Duration,
    /// How fast tokens follow; 0 for all at once.
    pub tokens_per_second: u64,
    /// Out of a thousand calls, this many fail, chosen by the request's own bytes.
    pub failure_permille: u64,
    /// With this status.
    pub failure_status: u16,
    /// Whether answers say what they used.
    pub reports_usage: bool,
}

pub(super) fn read(root: &Section<'_>, context: &Context<'_>) -> BTreeMap<String, ProviderConfig> {
    let mut providers = BTreeMap::new();
    for (name, section) in root.sections("providers") {
        if let Some(provider) = provider(section, context) {
            providers.insert(name, provider);
        }
    }
    providers
}

fn provider(section: Section<'_>, context: &Context<'_>) -> Option<ProviderConfig> {
    let adapter = ComponentRef::read(&section, context.base, "adapter", "adapter_sha256");
    let is_simulated = adapter == Some(ComponentRef::BuiltIn("simulated".to_owned()));
    let text = |key| {
        section
            .string(key)
            .and_then(|placed| interpolate::interpolate(&section, context.base, placed))
    };
    let headers = section
        .string_map("headers")
        .into_iter()
        .filter_map(|(header, placed)| {
            let value = interpolate::interpolate(&section, context.base, placed)?;
            Some((header.to_ascii_lowercase(), Secret::new(value)))
        });
    let known = adapter.as_ref().and_then(|adapter| match adapter {
        ComponentRef::BuiltIn(name) => dialects::find(name),
        ComponentRef::File { .. } => None,
    });
    let given = text("base_url").inspect(|url| check_url(&section, url));
    let base_url = given
        .clone()
        .or_else(|| known.as_ref().and_then(|(_, dialect)| dialect.base_url.clone()));
    if known.is_some() && base_url.is_none() {
        section.note(
            section.span(),
            "this provider is at another place for everybody: give its `base_url`",
        );
    }
    let is_openai = adapter == Some(ComponentRef::BuiltIn("openai".to_owned())) && base_url.is_none();
    let catalog = catalog_name(&section, given.as_deref(), adapter.as_ref(), base_url.as_deref());
    let mut settings = section.json("settings");
    let mut authentication = section.string("authentication");
    let mut known_media = None;
    let (mut rerank, mut moderation) = (!is_openai, true);
    let mut limit_headers = limit_headers(&section);
    let (mut passing, mut own_words) = (serde_json::Value::default(), None);
    let adapter = match known {
        Some((component, dialect)) => {
            if dialect.passes_own_words {
                passing = dialect.settings.clone().into();
            }
            own_words = dialect.own_words;
            settings = over(dialect.settings, settings);
            known_media = dialect.media;
            (rerank, moderation) = (dialect.rerank, dialect.moderation);
            limit_headers = limit_headers.or_else(|| Some(dialect.limit_headers?.into_iter().collect()));
            authentication = authentication.or(dialect.authentication.map(|text| (text, section.span())));
            Some(ComponentRef::BuiltIn(component.to_owned()))
        }
        None => adapter,
    };
    let provider = ProviderConfig {
        catalog,
        authentication: authentication.and_then(|placed| authenticate(&section, placed)),
        budgets: budgets::read(&section),
        base_url,
        api_keys: api_keys(&section, context),
        aws: clouds::aws(&section, context),
        google: clouds::google(&section, context),
        region: clouds::place(&section, "region"),
        project: clouds::place(&section, "project"),
        limits: limits(section.section("limits")),
        key_limits: limits(section.section("key_limits")),
        queue: section.number("queue", 0..=100_000).unwrap_or(100) as usize,
        headers: headers.collect(),
        allow_private: section.flag("allow_private", false),
        allow_any_model: section.flag("allow_any_model", false),
        responses: section.flag("responses", is_openai),
        completions: section.flag("completions", !is_openai),
        media: media(&section, known_media),
        rerank: section.flag("rerank", rerank),
        moderation: section.flag("moderation", moderation),
        limit_headers,
        passing,
        own_words,
        timeouts: timeouts::read(&section),
        prompt_cache: Duration::from_secs(section.number("prompt_cache_seconds", 0..=86_400).unwrap_or(300)),
        ca_file: section.string("ca_file").map(|(path, _)| context.base.join(path)),
        settings,
        simulated: simulated(section.section("simulated")),
        adapter: adapter.clone().filter(|_| !is_simulated),
    };
    section.finish();
    adapter.map(|_| provider)
}

/// Images and sound, by their words.
const MEDIA: [(&str, Operation); 3] = [
    ("images", Operation::Image),
    ("speech", Operation::Speech),
    ("transcription", Operation::Transcription),
];

/// As stated, else as is known of the provider; else all.
fn media(section: &Section<'_>, known: Option<Vec<String>>) -> Vec<Operation> {
    let stated = section.is_stated("media").then(|| section.strings("media"));
    let operation = |word: &str| {
        MEDIA
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, operation)| *operation)
    };
    match (stated, known) {
        (Some(stated), _) => {
            let read = stated.into_iter().filter_map(|(word, span)| {
                let found = operation(&word);
                if found.is_none() {
                    section.note(
                        span,
                        format!("`{word}` is none of `images`, `speech` and `transcription`"),
                    );
                }
                found
            });
            read.collect()
        }
        (None, Some(known)) => known.iter().filter_map(|word| operation(word)).collect(),
        (None, None) => MEDIA.map(|(_, operation)| operation).to_vec(),
    }
}

/// Names of headers by what they tell.
fn limit_headers(section: &Section<'_>) -> Option<Vec<(String, String)>> {
    let stated = section
        .is_stated("limit_headers")
        .then(|| section.string_map("limit_headers"))?;
    let known = |(meaning, (name, span)): (String, (String, std::ops::Range<usize>))| {
        let is_known = dialects::LIMIT_MEANINGS.contains(&meaning.as_str());
        if !is_known {
            let known = dialects::LIMIT_MEANINGS.join("`, `");
            section.note(
                span,
                format!("`limit_headers` has `{meaning}`, but knows only `{known}`"),
            );
        }
        is_known.then(|| (meaning, name.to_ascii_lowercase()))
    };
    Some(stated.into_iter().filter_map(known).collect())
}

/// What the configuration says over what is known of the provider.
fn over(known: serde_json::Map<String, serde_json::Value>, given: serde_json::Value) -> serde_json::Value {
    let mut settings = known;
    if let serde_json::Value::Object(given) = given {
        settings.extend(given);
    }
    settings.into()
}

/// `bearer`, `none`, `header:NAME`, `query:NAME`, `aws-sigv4:SERVICE`, `google-oauth:SCOPE`.
fn authenticate(section: &Section<'_>, (text, span): (String, std::ops::Range<usize>)) -> Option<Authentication> {
    match text.split_once(':').unwrap_or((&text, "")) {
        ("bearer", "") => Some(Authentication::Bearer),
        ("none", "") => Some(Authentication::None),
        ("header", name) if !name.is_empty() => Some(Authentication::Header(name.to_owned())),
        ("query", name) if !name.is_empty() => Some(Authentication::Query(name.to_owned())),
        ("aws-sigv4", service) if !service.is_empty() => Some(Authentication::AwsSigv4(service.to_owned())),
        ("google-oauth", scope) if !scope.is_empty() => Some(Authentication::GoogleOauth(scope.to_owned())),
        _ => {
            let known = "`bearer`, `none`, `header:NAME`, `query:NAME`, `aws-sigv4:SERVICE` or `google-oauth:SCOPE`";
            section.note(span, format!("`authentication` is `{text}`, but must be {known}"));
            None
        }
    }
}

/// As stated; else by the host that is called, since another host may have other prices; else by the provider's name, which
/// calls its own, or by the host that it is known to have.
fn catalog_name(
    section: &Section<'_>,
    base_url: Option<&str>,
    adapter: Option<&ComponentRef>,
    known_url: Option<&str>,
) -> Option<String> {
    if let Some((name, span)) = section.string("catalog") {
        if !catalog::providers().any(|known| known == name) {
            let near = suggestion(&name, catalog::providers());
            section.note(span, format!("the catalog has no provider `{name}`{near}"));
        }
        return Some(name);
    }
    let by_host = |url: &str| url.parse::<hyper::Uri>().ok()?.host().and_then(catalog::of_host);
    let found = match (base_url, adapter) {
        (Some(url), _) => by_host(url),
        (None, Some(ComponentRef::BuiltIn(adapter))) => catalog::providers()
            .find(|known| known == adapter)
            .or_else(|| known_url.and_then(by_host)),
        (None, _) => None,
    };
    found.map(str::to_owned)
}

fn check_url(section: &Section<'_>, url: &str) {
    let parsed = url.parse::<hyper::Uri>().ok();
    let is_good = parsed.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some()
            && uri.query().is_none()
            && uri
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@'))
    });
    if !is_good {
        // The text may hold what an environment variable held, so it is not repeated.
        section.note(
            section.span(),
            "`base_url` must be an http or https URL without user, query or fragment",
        );
    }
}

/// `api_key`, or several in `api_keys`.
fn api_keys(section: &Section<'_>, context: &Context<'_>) -> Vec<Secret> {
    let one = section.string("api_key");
    let several = section.strings("api_keys");
    if let (Some((_, span)), false) = (&one, several.is_empty()) {
        section.note(
            span.clone(),
            "`api_key` and `api_keys` are both there; put all into `api_keys`",
        );
    }
    let placed = one.into_iter().chain(several);
    placed
        .filter_map(|placed| interpolate::interpolate(section, context.base, placed))
        .map(Secret::new)
        .collect()
}

/// `limits = { rpm, tpm, parallel }`
pub(super) fn limits(section: Section<'_>) -> RateLimits {
    let limits = rate_limits(&section);
    section.finish();
    limits
}

fn simulated(section: Section<'_>) -> SimulatedConfig {
    let number = |key, default, most| section.number(key, 0..=most).unwrap_or(default);
    let config = SimulatedConfig {
        latency: Duration::from_millis(number("latency_ms", 0, 600_000)),
        tokens_per_second: number("tokens_per_second", 0, 1_000_000),
        failure_permille: number("failure_permille", 0, 1_000),
        failure_status: section.number("failure_status", 400..=599).unwrap_or(503) as u16,
        reports_usage: section.flag("reports_usage", true),
    };
    section.finish();
    config
}

#[cfg(test)]
mod tests {
    use super::super::Source;
    use super::*;

    fn provider(lines: &str) -> ProviderConfig {
        let text = format!("[providers.p]\n{lines}\n[models.\"p/m\"]\nprovider = \"p\"\n");
        let config = Source { path: None, text }.load().expect("the configuration is good");
        config.providers["p"].clone()
    }

    #[test]
    fn a_known_provider_is_one_line_and_everything_of_it_can_be_said_otherwise() {
        let plain = provider("adapter = \"deepseek\"");
        assert_eq!(plain.adapter, Some(ComponentRef::BuiltIn("openai".to_owned())));
        assert_eq!(plain.base_url.as_deref(), Some("https://api.deepseek.com/v1"));
        assert_eq!(plain.catalog.as_deref(), Some("deepseek"));
        assert_eq!(plain.settings["rename"]["max_completion_tokens"], "max_tokens");
        let own = provider(
            "adapter = \"deepseek\"\nbase_url = \"http://localhost:9/v1\"\nauthentication = \"none\"\n\
             settings = { rename = {}, on_unsupported = \"refuse\" }",
        );
        assert_eq!(own.base_url.as_deref(), Some("http://localhost:9/v1"));
        assert_eq!(own.authentication, Some(Authentication::None));
        assert_eq!(own.settings["rename"], serde_json::json!({}));
        assert_eq!(
            (&own.settings["on_unsupported"], &own.settings["json_schema"]),
            (&"refuse".into(), &false.into())
        );
    }

    #[test]
    fn what_a_provider_has_and_how_it_tells_its_limits_is_known_or_said() {
        let mistral = provider("adapter = \"mistral\"");
        assert_eq!((mistral.rerank, mistral.moderation), (false, true));
        let told = mistral.limit_headers.expect("its headers are known");
        let name = "x-ratelimit-remaining-req-minute";
        assert!(told.contains(&("requests-left".to_owned(), name.to_owned())));
        for (name, tokens_left) in [
            ("cerebras", "x-ratelimit-remaining-tokens-minute"),
            ("together", "x-tokenlimit-remaining"),
        ] {
            let told = provider(&format!("adapter = \"{name}\""))
                .limit_headers
                .expect("its headers are known");
            assert!(
                told.contains(&("tokens-left".to_owned(), tokens_left.to_owned())),
                "{name}"
            );
        }
        let own = provider("adapter = \"mistral\"\nrerank = true\nlimit_headers = { tokens-left = \"X-Left\" }");
        assert_eq!(
            own.limit_headers,
            Some(vec![("tokens-left".to_owned(), "x-left".to_owned())])
        );
        assert!(own.rerank && provider("adapter = \"vllm\"").rerank);
        let openai = provider("adapter = \"openai\"");
        assert_eq!((openai.rerank, openai.moderation), (false, true));
        assert_eq!(
            provider("adapter = \"vertex\"\nregion = \"r\"\nproject = \"p\"").passing["place"],
            "vertex"
        );
    }

    #[test]
    fn azure_wants_its_key_in_a_header_and_a_place() {
        let azure = provider("adapter = \"azure\"\nbase_url = \"https://mine.openai.azure.com\"");
        assert_eq!(azure.authentication, Some(Authentication::Header("api-key".to_owned())));
        for (lines, expected) in [
            ("adapter = \"azure\"", "give its `base_url`"),
            (
                "adapter = \"openai\"\nlimit_headers = { left = \"x\" }",
                "`limit_headers` has `left`, but knows only `requests-left`",
            ),
            (
                "adapter = \"openai\"\nauthentication = \"basic\"",
                "`authentication` is `basic`",
            ),
        ] {
            let text = format!("[providers.p]\n{lines}\n");
            let error = Source { path: None, text }
                .load()
                .expect_err("it is a mistake")
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
