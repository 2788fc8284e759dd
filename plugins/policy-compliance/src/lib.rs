//! Holds requests to rules: which tags a model must have, or must not have, for this key, this header, this kind of content.
//!
//! All rules that match apply together, so the strictest counts; where no model is left, the request is refused. What can be
//! configured is in `config.rs`, what is read of a request in `content.rs`, the search for built-in classes in `scan.rs`. What was
//! found is never part of a label, a reason or an error: only the names of classes and rules are.

mod checks;
mod config;
mod content;
mod scan;

use config::{Beyond, Config, Rule};
use content::{Content, Found};
use pointsman_plugin::{
    Candidate, Plan, Policy, Rejection, Request, Verdict, action::Refusal, export_policy, limits, when::Condition,
};

struct Compliance {
    rules: Vec<Compiled>,
    content: Content,
    beyond: Beyond,
    warnings: Vec<String>,
}

struct Compiled {
    name: String,
    when: Vec<Condition>,
    /// Places of classes; none where the content does not matter.
    classes: Vec<usize>,
    require: Vec<String>,
    forbid: Vec<String>,
    reject: Option<Refusal>,
}

impl Policy for Compliance {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        let mut warnings = Vec::new();
        if config.rules.is_empty() {
            warnings.push("there are no `rules`, so every model may serve every request".into());
        }
        if config.read_at_most == 0 {
            return Err("`read_at_most` is 0, so that nothing could be found; expected at least 1 byte".into());
        }
        if let Some(name) = config.classes.keys().find(|name| content::is_built_in(name)) {
            return Err(format!("`classes.{name}`: the name is taken by what is built in"));
        }
        if let Some(name) = config.classes.keys().find(|name| !config::is_name(name)) {
            return Err(format!(
                "`classes.{}`: a name has to have 1 to 64 bytes that can be printed, and no comma",
                limits::printable(name, 80)
            ));
        }
        let mut content = Content::new(config.look_in, config.read_at_most);
        let mut rules: Vec<Compiled> = Vec::with_capacity(config.rules.len());
        for (index, rule) in config.rules.into_iter().enumerate() {
            rule.check().map_err(|error| format!("`rules[{index}].{error}"))?;
            if rules.iter().any(|other| other.name == rule.name) {
                return Err(format!(
                    "`rules[{index}].name`: there are two rules with the name `{}`",
                    rule.name
                ));
            }
            let mut classes = Vec::new();
            for (place, name) in rule.content.iter().enumerate() {
                let found = content.add(name, &config.classes);
                classes.extend(found.map_err(|error| match error.starts_with('`') {
                    true => error,
                    false => format!("`rules[{index}].content[{place}]`: {error}"),
                })?);
            }
            rules.push(Compiled::new(rule, classes));
        }
        for (name, count) in &config.at_least {
            content
                .at_least(name, *count)
                .map_err(|error| format!("`at_least.{name}`: {error}"))?;
        }
        let unused = config.classes.keys().filter(|name| !content.looks_for(name));
        warnings
            .extend(unused.map(|name| format!("`classes.{name}` is in no rule's `content`, so nobody looks for it")));
        Ok(Compliance {
            rules,
            content,
            beyond: config.beyond,
            warnings,
        })
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        let holds = |rule: &&Compiled| rule.when.iter().all(|condition| condition.holds(request));
        let mut matching: Vec<&Compiled> = self.rules.iter().filter(holds).collect();
        // Text is read where a rule has to know it, and then once for all.
        let found = matching
            .iter()
            .any(|rule| rule.reads())
            .then(|| self.content.look(request));
        if let Some(found) = &found {
            if found.is_cut && self.beyond == Beyond::Reject {
                let message = "the request is too long to be checked for what it may contain";
                return Ok(Rejection::new(413, "too_long_to_check", message).into());
            }
            let is_assumed = found.is_cut && self.beyond == Beyond::Assume;
            matching.retain(|rule| !rule.reads() || is_assumed || found.has_any(&rule.classes));
        }
        let classes = found.as_ref().map(|found| self.classes(found)).unwrap_or_default();
        let names: Vec<&str> = matching.iter().map(|rule| &*rule.name).collect();
        if let Some(refusal) = matching.iter().find_map(|rule| rule.reject.as_ref()) {
            return Ok(Rejection::new(refusal.status, &*refusal.code, &*refusal.message).into());
        }
        let demands = Demands::of(&matching);
        let left: Vec<&Candidate> = candidates.iter().filter(|candidate| demands.allow(candidate)).collect();
        if left.is_empty() {
            return Ok(demands.refusal(&names).into());
        }
        let mut plan = if left.len() < candidates.len() {
            Plan::of(left)
        } else {
            Plan::keep()
        };
        if !classes.is_empty() {
            plan = plan.label("content_class", limits::listed(&classes));
        }
        if !names.is_empty() {
            let reason = format!("rules {}{demands}", names.join(", "));
            plan = plan.label("compliance", limits::listed(&names)).reason(reason);
        }
        Ok(plan.into())
    }
}

impl Compliance {
    /// For the label: what was found, and whether there is more that nobody has read.
    fn classes<'a>(&'a self, found: &'a Found) -> Vec<&'a str> {
        let unread = found.is_cut.then_some("unread");
        self.content.names(found).chain(unread).collect()
    }
}

impl Compiled {
    fn new(rule: Rule, classes: Vec<usize>) -> Self {
        Compiled {
            name: rule.name,
            when: rule.when,
            classes,
            require: rule.require,
            forbid: rule.forbid,
            reject: rule.reject,
        }
    }

    fn reads(&self) -> bool {
        !self.classes.is_empty()
    }
}

/// What all rules that match want of a model.
struct Demands<'a> {
    require: Vec<&'a str>,
    forbid: Vec<&'a str>,
}

impl<'a> Demands<'a> {
    fn of(rules: &[&'a Compiled]) -> Self {
        let each_once = |tags: fn(&'a Compiled) -> &'a [String]| {
            let all = rules.iter().flat_map(|rule| tags(rule));
            all.fold(Vec::new(), |mut tags: Vec<&str>, tag| {
                if !tags.contains(&tag.as_str()) {
                    tags.push(tag);
                }
                tags
            })
        };
        Demands {
            require: each_once(|rule| &rule.require),
            forbid: each_once(|rule| &rule.forbid),
        }
    }

    fn allow(&self, candidate: &Candidate) -> bool {
        let has = |tag: &&str| candidate.tags.iter().any(|own| own == tag);
        self.require.iter().all(has) && !self.forbid.iter().any(has)
    }

    fn refusal(&self, rules: &[&str]) -> Rejection {
        let message = format!(
            "no model that could serve this request may do so by the rules {}{self}",
            rules.join(", ")
        );
        Rejection::new(403, "no_compliant_candidate", message)
    }
}

impl std::fmt::Display for Demands<'_> {
    /// `: needs a, b; not c`, or nothing.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let require = (!self.require.is_empty()).then(|| format!("needs {}", self.require.join(", ")));
        let forbid = (!self.forbid.is_empty()).then(|| format!("not {}", self.forbid.join(", ")));
        let parts: Vec<String> = require.into_iter().chain(forbid).collect();
        if parts.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", parts.join("; "))
    }
}

export_policy!(Compliance);

#[cfg(test)]
mod tests;
