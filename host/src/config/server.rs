//! `[server]`: the data listener and what it accepts.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::Secret;
use super::admin::{TlsConfig, tls};
use super::interpolate::interpolate;
use super::reader::Section;

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Whether connections are encrypted.
    pub tls: Option<TlsConfig>,
    /// Largest request body; beyond it 413.
    pub body_bytes: usize,
    /// Largest head of a request; beyond it 431.
    pub header_bytes: usize,
    /// Most header fields; beyond it 431.
    pub header_count: usize,
    /// Deepest nesting of a request's JSON; beyond it 400.
    pub json_depth: usize,
    /// Request headers, beside the built-in ones, that policies may read.
    pub policy_headers: Vec<String>,
    /// How long a request's head may take.
    pub head: Duration,
    /// How long a connection is kept without a request.
    pub idle: Duration,
    /// How long a request's body may take, however slow it is.
    pub body_grace: Duration,
    /// How many bytes of it must have come for each second beyond that.
    pub body_rate: u64,
    /// How long a client may take to ask for more of a stream that has more.
    pub stall: Duration,
    /// How often a stream that has nothing to say says so; never where absent.
    pub heartbeat: Option<Duration>,
    /// How long requests under way may take after the signal to stop.
    pub drain: Duration,
    /// How much is done at one time.
    pub load: LoadConfig,
    /// One log line for every request.
    pub access_log: bool,
    /// Whose additions to OpenAI's words requests may make.
    pub extensions: Extensions,
    /// Headers of other gateways that say what an answer cost, beside Pointsman's own.
    pub cost_headers: Vec<&'static str>,
}

/// Other gateways whose additions to OpenAI's words requests may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extensions {
    /// `models`, `provider`, and ends of models' names.
    pub openrouter: bool,
    /// `fallbacks`, `num_retries`, `timeout`, `metadata.tags`, `mock_response`.
    pub litellm: bool,
}

fn extensions(section: &Section<'_>) -> Extensions {
    let named = section.strings("extensions");
    for (name, span) in &named {
        if !matches!(name.as_str(), "openrouter" | "litellm") {
            section.note(
                span.clone(),
                format!("no extensions `{name}`; there are openrouter and litellm"),
            );
        }
    }
    let is_stated = section.any("extensions").is_some();
    let has = |wanted| !is_stated || named.iter().any(|(name, _)| name == wanted);
    Extensions {
        openrouter: has("openrouter"),
        litellm: has("litellm"),
    }
}

/// How much is done at one time. What is not said follows from what the machine allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadConfig {
    /// Connections of clients.
    pub connections: Option<usize>,
    /// Calls, streams included.
    pub in_flight: Option<usize>,
    /// Calls of one key.
    pub of_one_key: Option<usize>,
    /// Calls that wait for a place.
    pub queue: usize,
    /// How long they do.
    pub queue_time: Duration,
    /// Bytes that the process may have.
    pub memory: Option<usize>,
}

fn load(section: &Section<'_>) -> LoadConfig {
    let number = |key, most| section.number(key, 1..=most).map(|number| number as usize);
    LoadConfig {
        connections: number("connections", 1 << 20),
        in_flight: number("in_flight", 1 << 20),
        of_one_key: number("in_flight_per_key", 1 << 20),
        queue: section.number("queue", 0..=1 << 20).unwrap_or(512) as usize,
        queue_time: Duration::from_millis(section.number("queue_ms", 1..=60_000).unwrap_or(500)),
        memory: number("memory_bytes", 1 << 50),
    }
}

/// The pepper belongs to the keys, so that it is handed over apart.
pub(super) fn read(section: Section<'_>, base: &Path) -> (ServerConfig, Option<Secret>) {
    let bytes = |key, default: u64, most| section.number(key, 1..=most).unwrap_or(default) as usize;
    let time = |key, default| Duration::from_millis(section.number(key, 1..=3_600_000).unwrap_or(default));
    let config = ServerConfig {
        listen: super::address(&section, 8080),
        tls: tls(section.section("tls"), base, false),
        body_bytes: bytes("body_bytes", 10 << 20, 1 << 30),
        header_bytes: bytes("header_bytes", 32 << 10, 64 << 10),
        header_count: bytes("header_count", 100, 100),
        json_depth: bytes("json_depth", 64, 512),
        policy_headers: section
            .strings("policy_headers")
            .into_iter()
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect(),
        head: time("head_ms", 10_000),
        idle: time("idle_ms", 60_000),
        body_grace: time("body_grace_ms", 10_000),
        body_rate: section.number("body_bytes_per_second", 1..=1 << 30).unwrap_or(1 << 10),
        stall: time("stall_ms", 120_000),
        heartbeat: Some(section.number("heartbeat_ms", 0..=3_600_000).unwrap_or(15_000))
            .filter(|every| *every > 0)
            .map(Duration::from_millis),
        drain: Duration::from_millis(section.number("drain_ms", 0..=3_600_000).unwrap_or(30_000)),
        load: load(&section),
        access_log: section.flag("access_log", false),
        extensions: extensions(&section),
        cost_headers: cost_headers(&section),
    };
    let pepper = pepper(&section, base);
    section.finish();
    (config, pepper)
}

/// The headers by the names of the gateways whose clients read them.
const COST_HEADERS: [(&str, &str); 1] = [("litellm", "x-litellm-response-cost")];

fn cost_headers(section: &Section<'_>) -> Vec<&'static str> {
    let header = |(name, span): (String, _)| {
        let known = COST_HEADERS.iter().find(|(gateway, _)| *gateway == name);
        if known.is_none() {
            section.note(span, format!("no cost header `{name}`; there is litellm"));
        }
        known.map(|(_, header)| *header)
    };
    section.strings("cost_headers").into_iter().filter_map(header).collect()
}

fn pepper(section: &Section<'_>, base: &Path) -> Option<Secret> {
    let (text, span) = section.string("pepper")?;
    let pepper = interpolate(section, base, (text, span.clone()))?;
    if pepper.len() < PEPPER_BYTES {
        let message = format!(
            "`pepper` has {} bytes; it needs {PEPPER_BYTES} that nobody can guess",
            pepper.len()
        );
        section.note(span, message);
    }
    Some(Secret::new(pepper))
}

/// As many as a random pepper has, in the shortest usual spelling.
const PEPPER_BYTES: usize = 16;
