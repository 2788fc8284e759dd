//! `[policies.*]`: which components decide, with which configuration, grants and limits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::{Place, Section, suggestion};
use super::{ComponentRef, Context, ModelConfig};
use crate::plugins::{Grant, Instances, Limits, OnFault};

/// One policy: a component with a configuration. Several policies may share a component.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyConfig {
    /// What decides.
    pub component: ComponentRef,
    /// What it may call beside the request's content and the log.
    pub grants: Vec<Grant>,
    /// The models that it may ask: ids of the catalog, or `*` for all.
    pub models: Vec<String>,
    /// What follows when it fails.
    pub on_fault: OnFault,
    /// Whether calls share instances.
    pub instances: Instances,
    /// What it may use.
    pub limits: Limits,
    /// JSON, as the component gets it.
    pub config: serde_json::Value,
    /// What `config.file` names: read by the gateway, and handed over as `source` beside it.
    pub file: Option<PolicyFile>,
    /// Decisions that it must make before it is put in service.
    pub tests: Vec<PolicyTest>,
}

/// A file that belongs to a policy's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFile {
    /// Where it is.
    pub path: PathBuf,
    /// Where the configuration names it.
    pub place: Place,
}

impl PolicyFile {
    /// Larger files are not read. It is text that every call of the policy starts with.
    pub const MOST_BYTES: u64 = 1 << 20;
}

/// `[[policies.*.tests]]`: a request and what must come of it.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyTest {
    /// A chat completion request; `model` and `messages` suffice.
    pub request: serde_json::Value,
    /// The models that are offered, in order; all of the catalog where none are named.
    pub candidates: Vec<String>,
    /// What must come of it.
    pub expect: Expectation,
}

/// What must come of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// Served, by this model first where one is named, with these labels.
    First {
        /// The model's id.
        model: Option<String>,
        /// Labels that must be there.
        labels: Vec<(String, String)>,
    },
    /// Rejected with this code.
    Reject(String),
}

/// What trouble with the configuration itself is called where plugins are named.
const RESERVED: &str = "config";

pub(super) fn read(
    root: &Section<'_>,
    context: &Context<'_>,
    models: &BTreeMap<String, ModelConfig>,
) -> BTreeMap<String, PolicyConfig> {
    let mut policies = BTreeMap::new();
    for (name, section) in root.sections("policies") {
        if name == RESERVED {
            section.note(
                section.span(),
                "a policy cannot be called `config`: that is how reloads and metrics name the configuration itself",
            );
        }
        let component = ComponentRef::read(&section, context.base, "component", "sha256");
        let grants = grants(&section);
        let askable = askable(&section, &grants, models);
        let on_fault = on_fault(&section);
        let instances = instances(&section);
        let limits = policy_limits(&section.section("limits"), context.limits.clone());
        let config = section.json("config");
        let file = file(&section.section("config"), context.base);
        let tests = tests(&section, models);
        section.finish();
        if let Some(component) = component {
            policies.insert(
                name,
                PolicyConfig {
                    component,
                    grants,
                    models: askable,
                    on_fault,
                    instances,
                    limits,
                    config,
                    file,
                    tests,
                },
            );
        }
    }
    policies
}

/// `file` belongs to the gateway wherever it is text; everything else in a policy's `config` is the policy's own.
fn file(config: &Section<'_>, base: &Path) -> Option<PolicyFile> {
    let value = config.any("file")?;
    let path = value.get_ref().as_str()?;
    if let Some(source) = config.any("source") {
        config.note(
            source.span(),
            "`source` is what the gateway reads from `file`: give one of them",
        );
    }
    Some(PolicyFile {
        path: base.join(path),
        place: config.place(value.span()),
    })
}

fn tests(section: &Section<'_>, models: &BTreeMap<String, ModelConfig>) -> Vec<PolicyTest> {
    let mut tests = Vec::new();
    for item in section.items("tests") {
        let Some(test) = section.item_section("tests", item) else {
            section.note(
                item.span(),
                "a test is a table: request = { … }, expect = \"model\" or reject = \"code\"",
            );
            continue;
        };
        let known = |(id, span): &(String, std::ops::Range<usize>)| {
            let is_known = models.contains_key(id);
            if !is_known {
                test.note(
                    span.clone(),
                    format!("no model `{id}`{}", suggestion(id, models.keys().map(String::as_str))),
                );
            }
            is_known
        };
        let named: Vec<String> = test
            .strings("candidates")
            .into_iter()
            .filter(known)
            .map(|(id, _)| id)
            .collect();
        let candidates = if named.is_empty() {
            models.keys().cloned().collect()
        } else {
            named
        };
        let model = test.string("expect").filter(known).map(|(id, _)| id);
        let labels = test
            .string_map("labels")
            .into_iter()
            .map(|(key, (value, _))| (key, value))
            .collect();
        let expect = match test.string("reject") {
            Some((code, _)) => Expectation::Reject(code),
            None => Expectation::First { model, labels },
        };
        let mut request = test.json("request");
        if let Some(request) = request.as_object_mut() {
            // What a test is about is the messages; the name of the route is not.
            request.entry("model").or_insert_with(|| "test".into());
        }
        test.finish();
        tests.push(PolicyTest {
            request,
            candidates,
            expect,
        });
    }
    tests
}

fn grants(section: &Section<'_>) -> Vec<Grant> {
    let parse = |(name, span): (String, _)| name.parse().map_err(|reason: String| section.note(span, reason)).ok();
    section.strings("grants").into_iter().filter_map(parse).collect()
}

/// Which models a policy may ask goes with the grant: neither is of use without the other.
fn askable(section: &Section<'_>, grants: &[Grant], models: &BTreeMap<String, ModelConfig>) -> Vec<String> {
    let named = section.strings("models");
    for (id, span) in named.iter().filter(|(id, _)| id != "*" && !models.contains_key(id)) {
        let near = suggestion(id, models.keys().map(String::as_str));
        section.note(span.clone(), format!("no model `{id}`{near}; `*` means all"));
    }
    let span = |key| section.any(key).map_or(section.span(), |value| value.span());
    match (grants.contains(&Grant::Models), named.is_empty()) {
        (true, true) => section.note(
            span("grants"),
            "the grant `models` needs the models that may be asked: models = [\"ID\", …], or [\"*\"] for all",
        ),
        (false, false) => section.note(
            span("models"),
            "`models` says whom the policy may ask, and it may ask nobody: add grants = [\"models\"]",
        ),
        _ => {}
    }
    named.into_iter().map(|(id, _)| id).collect()
}

fn on_fault(section: &Section<'_>) -> OnFault {
    match section.string("on_fault") {
        None => OnFault::Deny,
        Some((word, span)) => match word.as_str() {
            "deny" => OnFault::Deny,
            "skip" => OnFault::Skip,
            _ => {
                section.note(span, format!("`on_fault` is `{word}`; it must be `deny` or `skip`"));
                OnFault::Deny
            }
        },
    }
}

/// `"fresh"`, or `{ warm = 4, max_calls = 128, max_age_ms = 60_000 }`.
fn instances(section: &Section<'_>) -> Instances {
    let Some(value) = section.any("instances") else {
        return Instances::Fresh;
    };
    if value.get_ref().as_str() == Some("fresh") {
        return Instances::Fresh;
    }
    let Some(warm) = section.item_section("instances", value) else {
        section.note(
            value.span(),
            "`instances` must be `\"fresh\"` or `{ warm = 4, max_calls = 128, max_age_ms = 60_000 }`",
        );
        return Instances::Fresh;
    };
    let instances = Instances::Warm {
        warm: warm.number("warm", 1..=1_000).unwrap_or(4) as u32,
        max_calls: warm.number("max_calls", 1..=u64::from(u32::MAX)).unwrap_or(128) as u32,
        max_age: Duration::from_millis(warm.number("max_age_ms", 1..=86_400_000).unwrap_or(60_000)),
    };
    warm.finish();
    instances
}

/// A policy's limits over others: what is not said stays.
pub(super) fn policy_limits(section: &Section<'_>, limits: Limits) -> Limits {
    let asking = Limits {
        ask_ms: section.number("ask_ms", 1..=600_000).unwrap_or(limits.ask_ms),
        asks: section
            .number("asks", 1..=1_000)
            .map_or(limits.asks, |asks| asks as u32),
        ..limits
    };
    self::limits(section, asking)
}

/// Limits over others: what is not said stays.
pub(super) fn limits(section: &Section<'_>, limits: Limits) -> Limits {
    let count = |key, most: u64, limit: usize| section.number(key, 1..=most).map_or(limit, |value| value as usize);
    let milliseconds = |key, limit: u64| section.number(key, 1..=600_000).unwrap_or(limit);
    let limits = Limits {
        component_bytes: count("component_bytes", 1 << 30, limits.component_bytes),
        memory_bytes: count("memory_bytes", 256 << 20, limits.memory_bytes),
        memories: count("memories", 8, limits.memories),
        tables: count("tables", 16, limits.tables),
        table_elements: count("table_elements", 100_000, limits.table_elements),
        instances: count("instances", 64, limits.instances),
        handles: count("handles", 1_000_000, limits.handles),
        copied_bytes: count("copied_bytes", 1 << 30, limits.copied_bytes),
        log_lines: count("log_lines", 10_000, limits.log_lines as usize) as u32,
        log_line_bytes: count("log_line_bytes", 64 << 10, limits.log_line_bytes),
        configure_ms: milliseconds("configure_ms", limits.configure_ms),
        call_ms: milliseconds("call_ms", limits.call_ms),
        ..limits
    };
    section.finish_ref();
    limits
}
