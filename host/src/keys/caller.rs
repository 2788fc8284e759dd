//! Who calls: what a key, its team and its organisation allow together. Made once for each key, and shared by its requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::HeaderMap;
use jiff::Timestamp;

use super::limits::{self, Admission, Limited};
use crate::budget::{Scope, Scoped};
use crate::config::{ANONYMOUS, Allowance};
use crate::error::{ApiError, printable};

/// Who calls, and what may be done for them.
#[derive(Debug)]
pub struct Caller {
    /// A declared key's name, or a made one's public id; `anonymous` where no key is required.
    pub id: Arc<str>,
    /// The key's name.
    pub name: String,
    /// The key's team.
    pub team: Option<Arc<str>>,
    /// The team's organisation.
    pub organisation: Option<Arc<str>>,
    /// The key's own data, as JSON, for the ledger: that of the key over its team's over the organisation's.
    pub metadata: Option<Arc<str>>,
    /// Those of key, team and organisation, which hold together.
    pub budgets: Vec<Arc<Scoped>>,
    merged: BTreeMap<String, String>,
    rules: Vec<Rule>,
    limited: Vec<Limited>,
}

/// What one of key, team and organisation says of what may be used; only where it says anything.
#[derive(Debug)]
struct Rule {
    /// As in ``team `research` ``.
    whose: String,
    routes: Option<Vec<String>>,
    models: Option<Vec<String>>,
    tags: Vec<String>,
}

impl Caller {
    /// Whoever calls where no key is required.
    pub fn anonymous() -> Self {
        Self::new(ANONYMOUS.into(), ANONYMOUS)
    }

    /// A caller who may do everything.
    pub(super) fn new(id: Arc<str>, name: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            team: None,
            organisation: None,
            metadata: None,
            merged: BTreeMap::new(),
            budgets: Vec::new(),
            rules: Vec::new(),
            limited: Vec::new(),
        }
    }

    /// Holds the caller to one more allowance; the key's own comes first.
    pub(super) fn hold_to(&mut self, scope: &Scope, allowance: &Allowance, registry: &limits::Registry) {
        let scoped = |budget| {
            Arc::new(Scoped {
                scope: scope.clone(),
                budget,
            })
        };
        self.budgets.extend(allowance.budgets.iter().cloned().map(scoped));
        for (name, value) in &allowance.metadata {
            self.merged.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let is_empty = self.merged.is_empty();
        self.metadata = (!is_empty).then(|| serde_json::json!(self.merged).to_string().into());
        let whose = shown(scope);
        if !allowance.limits.is_empty() {
            self.limited.push(Limited {
                whose: whose.clone(),
                limits: allowance.limits,
                limiter: registry.of(scope),
            });
        }
        if allowance.routes.is_some() || allowance.models.is_some() || !allowance.tags.is_empty() {
            self.rules.push(Rule {
                whose,
                routes: allowance.routes.clone(),
                models: allowance.models.clone(),
                tags: allowance.tags.clone(),
            });
        }
    }

    /// Whether a route, or a model by its id, may be asked for.
    pub fn may_ask(&self, name: &str) -> bool {
        self.rules.iter().all(|rule| rule.allows_name(name))
    }

    /// Refuses a name that may not be asked for.
    pub fn check_name(&self, name: &str) -> Result<(), ApiError> {
        let Some(rule) = self.rules.iter().find(|rule| !rule.allows_name(name)) else {
            return Ok(());
        };
        let allowed = listed(rule.routes.as_deref().unwrap_or_default());
        let (whose, name) = (&rule.whose, printable(name, 200));
        let message = format!("`{name}` is not for {whose}, which may ask for {allowed}");
        Err(ApiError::permission_denied(message).with_param("model"))
    }

    /// Whether every model may serve.
    pub fn may_use_all(&self) -> bool {
        self.rules
            .iter()
            .all(|rule| rule.models.is_none() && rule.tags.is_empty())
    }

    /// Whether a model may serve. No policy can bring back one that may not.
    pub fn may_use(&self, model: &str, tags: &[String]) -> bool {
        self.rules.iter().all(|rule| {
            let is_named = rule.models.as_ref().is_none_or(|patterns| matches_any(patterns, model));
            is_named && rule.tags.iter().all(|tag| tags.contains(tag))
        })
    }

    /// None of a route's models may serve. The error names what the caller's own rules say, and no model.
    pub fn no_model(&self, route: &str) -> ApiError {
        let rules = self.rules.iter().filter_map(Rule::of_models);
        let rules = rules.collect::<Vec<_>>().join("; ");
        let message = format!("no model of `{}` may serve this key: {rules}", printable(route, 200));
        ApiError::permission_denied(message).with_param("model")
    }

    /// Lets a request in that is counted as so many tokens, or says when it can be let in.
    pub fn admit(&self, tokens: u64) -> Result<Admission, ApiError> {
        Admission::of(&self.limited, tokens, limits::now())
    }

    /// Says how much of the tightest limits is left, as OpenAI spells it, and as Anthropic does, too, where its clients ask.
    pub fn put_limits(&self, headers: &mut HeaderMap, is_anthropics: bool) {
        let clock = is_anthropics.then(Timestamp::now);
        limits::put_headers(&self.limited, headers, limits::now(), clock);
    }
}

impl Rule {
    fn allows_name(&self, name: &str) -> bool {
        self.routes.as_ref().is_none_or(|patterns| matches_any(patterns, name))
    }

    fn of_models(&self) -> Option<String> {
        let models = self.models.as_ref().map(|models| format!("may use {}", listed(models)));
        let tags = (!self.tags.is_empty()).then(|| format!("requires the tags {}", listed(&self.tags)));
        let both = models.into_iter().chain(tags).collect::<Vec<_>>().join(" and ");
        (!both.is_empty()).then(|| format!("{} {both}", self.whose))
    }
}

/// ``key `ci` ``, as messages name it.
fn shown(scope: &Scope) -> String {
    let text = scope.to_string();
    let (kind, name) = text.split_once(':').unwrap_or(("", &text));
    format!("{kind} `{name}`")
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

/// A `*` stands for any characters, also for none.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(first) else {
        return false;
    };
    let Some((middle, last)) = rest.rsplit_once('*') else {
        return name.ends_with(rest);
    };
    // The first place of each piece leaves most for those after it.
    for piece in middle.split('*') {
        let Some(place) = name.find(piece) else { return false };
        name = &name[place + piece.len()..];
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance(routes: Option<&[&str]>, models: Option<&[&str]>, tags: &[&str]) -> Allowance {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Allowance {
            routes: routes.map(owned),
            models: models.map(owned),
            tags: owned(tags),
            ..Allowance::default()
        }
    }

    fn caller(allowances: &[Allowance]) -> Caller {
        let mut caller = Caller::new("ci".into(), "ci");
        let scopes = [Scope::Key("ci".into()), Scope::Team("eu".into())];
        for (scope, allowance) in scopes.iter().zip(allowances) {
            caller.hold_to(scope, allowance, &limits::Registry::default());
        }
        caller
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, is_one) in [
            ("*", "", true),
            ("*", "any/thing", true),
            ("auto", "auto", true),
            ("auto", "auto2", false),
            ("fast-*", "fast-", true),
            ("fast-*", "fas", false),
            ("*-mini", "gpt-4o-mini", true),
            ("*-mini", "gpt-4o-mini-2", false),
            ("openai/*-mini", "openai/gpt-4o-mini", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "abbc", true),
            ("a*b*c", "ac", false),
            ("a*bc*c", "abc", false),
            ("**", "x", true),
            ("ä*ö", "äxö", true),
        ] {
            assert_eq!(matches(pattern, name), is_one, "{pattern} {name}");
        }
    }

    #[test]
    fn key_and_team_hold_together() {
        let own = allowance(Some(&["auto", "fast-*"]), Some(&["a/*"]), &[]);
        let teams = allowance(Some(&["auto", "a/*"]), None, &["region:eu"]);
        let caller = caller(&[own, teams]);
        assert!(caller.may_ask("auto") && !caller.may_ask("fast-1") && !caller.may_ask("a/x"));
        let eu = ["region:eu".to_owned()];
        assert!(caller.may_use("a/x", &eu) && !caller.may_use("a/x", &[]) && !caller.may_use("b/x", &eu));
        let error = caller.check_name("fast-1").unwrap_err();
        assert_eq!(
            error.message,
            "`fast-1` is not for team `eu`, which may ask for `auto`, `a/*`"
        );
        assert_eq!(
            caller.no_model("auto").message,
            "no model of `auto` may serve this key: key `ci` may use `a/*`; team `eu` requires the tags `region:eu`"
        );
    }

    #[test]
    fn an_empty_list_allows_nothing_and_no_list_everything() {
        assert!(!caller(&[allowance(Some(&[]), None, &[])]).may_ask("auto"));
        assert!(caller(&[allowance(None, None, &[])]).may_ask("auto"));
        assert!(Caller::anonymous().may_use_all());
    }
}
