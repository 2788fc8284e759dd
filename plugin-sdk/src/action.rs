//! What a rule does where it matches, for every policy that has rules: labels, settings of the request, models that are
//! preferred or alone allowed, or a refusal. Several actions add up in an [`Outcome`].

use std::{borrow::Cow, collections::BTreeSet, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize,
    de::{self, Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::limits::{self, CODE_BYTES, EDITS, LABEL_BYTES, LABELS, POINTER_BYTES};
use crate::policy::{Candidate, Edit, Plan, Rejection};
use crate::verdict::named;

/// Whether the first rule that matches ends the search, or all that match add up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The first one counts.
    #[default]
    First,
    /// All count, in their order.
    All,
}

impl Mode {
    /// How many rules that match are enough.
    pub fn enough(self) -> usize {
        match self {
            Mode::First => 1,
            Mode::All => usize::MAX,
        }
    }

    /// Whether all that can add up still fits into one plan, where the policy sets so many labels of its own. The error says
    /// what is too many.
    pub fn check<'a>(self, actions: impl IntoIterator<Item = &'a Action>, own_labels: usize) -> Result<(), String> {
        let (mut labels, mut pointers) = (BTreeSet::new(), BTreeSet::new());
        for action in actions.into_iter().filter(|_| self == Mode::All) {
            labels.extend(action.label.iter().flat_map(|labels| &labels.0).map(|(key, _)| key));
            pointers.extend(action.set.0.iter().map(|edit| &edit.pointer));
        }
        let counts = [
            ("labels", labels.len() + own_labels, LABELS),
            ("fields", pointers.len(), EDITS),
        ];
        match counts.iter().find(|(_, count, most)| count > most) {
            Some((what, count, most)) => Err(format!(
                "`match`: together all rules set {count} {what}, expected at most {most}"
            )),
            None => Ok(()),
        }
    }
}

/// What follows where a rule matches, or where none does.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The request's label `class`, or a table of labels.
    pub label: Option<Labels>,
    /// Candidates by id or by `tag:NAME`, in order of preference; the others stay behind them as fallbacks.
    #[serde(default)]
    pub prefer: Vec<String>,
    /// Candidates by id or by `tag:NAME`, in order of preference; the others are out. Where none of them may serve the
    /// request, it is refused.
    #[serde(default)]
    pub only: Vec<String>,
    /// Fields of the request and the values that they are set to, whatever the client sent.
    #[serde(default)]
    pub set: Settings,
    /// Refuses the request.
    pub reject: Option<Refusal>,
}

/// How a request is refused.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The HTTP status, 400 to 599.
    #[serde(default = "forbidden")]
    #[schemars(range(min = 400, max = 599))]
    pub status: u16,
    /// A stable word for programs: letters, digits, `_`, `-` and `.`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_.-]{1,64}$"))]
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

fn forbidden() -> u16 {
    403
}

/// A label `class`, or labels by name.
#[derive(Debug, Clone)]
pub struct Labels(pub Vec<(String, String)>);

/// Edits of the request: fields by name, or parts of it by an RFC 6901 pointer.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Settings(pub Vec<Edit>);

impl Action {
    /// Whether it changes nothing.
    pub fn is_idle(&self) -> bool {
        self.label.is_none()
            && self.prefer.is_empty()
            && self.only.is_empty()
            && self.set.0.is_empty()
            && self.reject.is_none()
    }

    /// What an action may not say. The error begins with the field's name and a closing backtick.
    pub fn check(&self) -> Result<(), String> {
        self.label.as_ref().map_or(Ok(()), Labels::check)?;
        let Some(refusal) = &self.reject else {
            return Ok(());
        };
        refusal.check()?;
        if !self.prefer.is_empty() || !self.only.is_empty() {
            return Err("reject`: what is refused goes nowhere, expected no `prefer` and no `only` beside it".into());
        }
        if !self.set.0.is_empty() {
            return Err("reject`: what is refused goes nowhere, expected no `set` beside it".into());
        }
        Ok(())
    }
}

impl Refusal {
    /// What a refusal may not say. The error begins with the field's name and a closing backtick.
    pub fn check(&self) -> Result<(), String> {
        let Refusal { status, code, .. } = self;
        if !(400..600).contains(status) {
            return Err(format!(
                "reject.status`: {status} is no status of a refusal, expected 400 to 599"
            ));
        }
        if code.is_empty() || !limits::is_code(code) {
            return Err(format!(
                "reject.code`: `{}` is no error code, expected 1 to {CODE_BYTES} letters, digits, `_`, `-` and `.`",
                shown(code)
            ));
        }
        Ok(())
    }
}

impl Labels {
    /// What labels may not say. The error begins with the field's name and a closing backtick.
    fn check(&self) -> Result<(), String> {
        if self.0.len() > LABELS {
            return Err(format!(
                "label`: {} labels are too many, expected at most {LABELS}",
                self.0.len()
            ));
        }
        let is_name = |name: &str| !name.is_empty() && limits::is_label(name);
        if let Some((name, _)) = self.0.iter().find(|(name, _)| !is_name(name)) {
            return Err(format!(
                "label`: `{}` is no label's name, expected 1 to {LABEL_BYTES} bytes that can be printed",
                shown(name)
            ));
        }
        match self.0.iter().find(|(_, value)| !limits::is_label(value)) {
            Some((name, value)) => Err(format!(
                "label`: `{}` cannot be the value of `{name}`, expected at most {LABEL_BYTES} bytes that can be printed",
                shown(value)
            )),
            None => Ok(()),
        }
    }
}

/// What cannot be said, for an error that says so.
fn shown(text: &str) -> Cow<'_, str> {
    limits::printable(text, 80)
}

/// What actions add up to: labels, settings and preferences in the order of the actions; each `only` narrows what the one
/// before left.
#[derive(Debug)]
pub struct Outcome<'a> {
    left: Vec<&'a Candidate>,
    prefer: Vec<&'a str>,
    labels: Vec<(String, String)>,
    edits: Vec<Edit>,
    is_narrowed: bool,
}

impl<'a> Outcome<'a> {
    /// Of no action yet.
    pub fn new(candidates: impl IntoIterator<Item = &'a Candidate>) -> Self {
        Outcome {
            left: candidates.into_iter().collect(),
            prefer: Vec::new(),
            labels: Vec::new(),
            edits: Vec::new(),
            is_narrowed: false,
        }
    }

    /// Adds an action. The error is its refusal, or that of its `only` where nobody is left.
    pub fn add(&mut self, action: &'a Action) -> Result<(), Rejection> {
        if let Some(refusal) = &action.reject {
            return Err(Rejection::new(refusal.status, &*refusal.code, &*refusal.message));
        }
        if !action.only.is_empty() {
            self.left = named(&action.only, self.left.iter().copied());
            self.is_narrowed = true;
            if self.left.is_empty() {
                let wanted = action.only.join(", ");
                let message = format!("only {wanted} may serve this request, and none of them can");
                return Err(Rejection::new(403, "no_candidate", message));
            }
        }
        self.prefer.extend(action.prefer.iter().map(String::as_str));
        for (name, value) in action.label.iter().flat_map(|labels| &labels.0) {
            self.labels.retain(|(earlier, _)| earlier != name);
            self.labels.push((name.clone(), value.clone()));
        }
        for edit in &action.set.0 {
            self.edits.retain(|earlier| earlier.pointer != edit.pointer);
            self.edits.push(edit.clone());
        }
        Ok(())
    }

    /// Who may serve, those that are preferred first.
    pub fn ladder(&self) -> Vec<&'a Candidate> {
        let mut ladder = named(&self.prefer, self.left.iter().copied());
        let preferred = ladder.len();
        for candidate in &self.left {
            if !ladder[..preferred].iter().any(|taken| taken.id == candidate.id) {
                ladder.push(candidate);
            }
        }
        ladder
    }

    /// A plan that neither narrows nor reorders names no candidate.
    pub fn plan(self) -> Plan {
        let is_reordered = || !named(&self.prefer, self.left.iter().copied()).is_empty();
        let plan = if self.is_narrowed || is_reordered() {
            Plan::of(self.ladder())
        } else {
            Plan::keep()
        };
        Plan {
            labels: self.labels,
            edits: self.edits,
            ..plan
        }
    }
}

/// What the host decided, so that no plan may edit it.
const HOSTS_OWN: [&str; 2] = ["model", "stream"];

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = Settings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of fields and their values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Settings, A::Error> {
                let mut edits: Vec<Edit> = Vec::new();
                while let Some((name, value)) = table.next_entry::<String, Box<RawValue>>()? {
                    let pointer = pointer(&name).map_err(de::Error::custom)?;
                    if edits.iter().any(|edit| edit.pointer == pointer) {
                        return Err(de::Error::custom(format!("`{name}` is set twice")));
                    }
                    edits.push(Edit {
                        pointer,
                        value: value.get().to_owned(),
                    });
                }
                if edits.len() > EDITS {
                    return Err(de::Error::custom(format!(
                        "{} fields are too many, expected at most {EDITS}",
                        edits.len()
                    )));
                }
                Ok(Settings(edits))
            }
        }
        deserializer.deserialize_map(Table)
    }
}

/// A name that begins with a slash is a pointer already.
fn pointer(name: &str) -> Result<String, String> {
    let pointer = match name {
        "" => return Err("a field has no name".into()),
        _ if name.starts_with('/') => name.to_owned(),
        _ => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
    };
    let field = pointer.split('/').nth(1).unwrap_or_default();
    if HOSTS_OWN.contains(&field) {
        return Err(format!("`{field}` is the host's and cannot be set"));
    }
    if pointer.len() > POINTER_BYTES {
        return Err(format!(
            "a field's name has {} bytes, expected at most {POINTER_BYTES}",
            pointer.len()
        ));
    }
    if pointer.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        return Err(format!(
            "`{name}` is no JSON pointer, expected `~0` or `~1` for `~` and `/` in names"
        ));
    }
    Ok(pointer)
}

impl JsonSchema for Settings {
    fn schema_name() -> Cow<'static, str> {
        "Settings".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Fields of the request by name, or parts of it by a JSON pointer, and their values",
            "type": "object",
        })
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrTable;
        impl<'de> Visitor<'de> for TextOrTable {
            type Value = Labels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a label or a table of labels")
            }

            fn visit_str<E>(self, class: &str) -> Result<Labels, E> {
                Ok(Labels(vec![("class".into(), class.into())]))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Labels, A::Error> {
                let mut labels = Vec::new();
                while let Some(label) = table.next_entry()? {
                    labels.push(label);
                }
                Ok(Labels(labels))
            }
        }
        deserializer.deserialize_any(TextOrTable)
    }
}

impl JsonSchema for Labels {
    fn schema_name() -> Cow<'static, str> {
        "Labels".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The label `class`, or labels by name",
            "oneOf": [{ "type": "string" }, { "type": "object", "additionalProperties": { "type": "string" } }],
        })
    }
}

#[cfg(test)]
mod tests;
