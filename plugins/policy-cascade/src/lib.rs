//! Cheap first: the answer of a cheap model serves if nothing speaks against it, and else a strong one is asked. What
//! speaks against it are checks, the score of a judge, or a witness that answers otherwise. A session that was escalated
//! can stay with the strong models for a while.

mod agreement;
mod judge;

use pointsman_plugin::{
    Candidate, Opinion, Plan, Policy, Request, Review, Reviewed, Verdict, checks::Checks, export_policy, grants, named,
    state,
};
use schemars::JsonSchema;
use serde::Deserialize;

use agreement::Agreement;
use judge::Judge;

/// Who answers first, who answers next, and what speaks against an answer. At least one of `checks`, `judge` and
/// `agreement` is needed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The models whose answers are looked at, in the order in which they are asked. By their ids alone, because an answer
    /// tells who gave it and not with which tags.
    first: Vec<String>,
    /// The models that are asked next and whose answers serve as they are, by id or `tag:NAME`.
    strong: Vec<String>,
    /// What is found out without another model. An answer that does not pass is escalated, and neither judge nor witness
    /// is asked about it.
    #[serde(default)]
    checks: Checks,
    /// A model that scores answers. Needs the grant `models`.
    judge: Option<Judge>,
    /// A model that has to answer the same. Needs the grant `models`.
    agreement: Option<Agreement>,
    /// For how many milliseconds a session that was escalated begins with the strong models. Needs the grant `state`;
    /// without it, every request begins with the first models.
    latch_ms: Option<u64>,
}

struct Cascade(Config);

impl Policy for Cascade {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        config.check_models()?;
        config.check_deciders()?;
        if config.latch_ms == Some(0) {
            return Err("`latch_ms` is 0, expected more, or no `latch_ms` at all".into());
        }
        if config.latch_ms.is_some() && !grants::is_given("state") {
            return Err("`latch_ms` needs the grant `state`: add it to `grants`, or leave `latch_ms` out".into());
        }
        Ok(Cascade(config))
    }

    fn warnings(&self) -> Vec<String> {
        self.0.checks.warnings()
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        let Cascade(config) = self;
        if self.latch(request).is_some_and(|key| state::get(&key) == Some(true)) {
            let plan = Plan::prefer(&config.strong, candidates).label("cascade", "latched");
            return Ok(plan.reason("latched: the session was escalated").into());
        }
        let first = named(&config.first, candidates);
        let mut strong = named(&config.strong, candidates);
        strong.retain(|candidate| !config.first.contains(&candidate.id));
        let names: Vec<&str> = first.iter().chain(&strong).map(|candidate| &*candidate.id).collect();
        let plan = Plan::prefer(&names, candidates);
        let (Some(cheap), false) = (first.first(), strong.is_empty()) else {
            let missing = if first.is_empty() { "first" } else { "strong" };
            return Ok(plan.reason(format!("no cascade: none of `{missing}` may serve")).into());
        };
        let reason = format!("{} first, {}", cheap.id, config.decider());
        let plan = config.checks.prepare(request, plan)?.review();
        Ok(plan.label("cascade", "first").reason(reason).into())
    }
}

impl Review for Cascade {
    fn review(&self, request: &Request, answer: &Reviewed) -> Result<Opinion, String> {
        if !self.0.first.contains(&answer.candidate) {
            return Ok(Opinion::Accept);
        }
        let Some(complaint) = self.0.complaint(request, answer) else {
            return Ok(Opinion::Accept);
        };
        if let Some(key) = self.latch(request) {
            state::set(&key, &true, self.0.latch_ms)?;
        }
        Ok(Opinion::Next(format!("{}: {complaint}", answer.candidate)))
    }
}

impl Cascade {
    /// Where it is kept that the request's session was escalated. A session belongs to a key: others may use its name.
    fn latch(&self, request: &Request) -> Option<String> {
        let (_, session) = (self.0.latch_ms?, request.session.as_deref()?);
        Some(format!(
            "latch/{}/{}",
            bounded(&request.key_id, 60),
            bounded(session, 180)
        ))
    }
}

/// The store takes keys of 256 bytes. Names that are the same for so long share a latch.
fn bounded(name: &str, bytes: usize) -> &str {
    &name[..name.floor_char_boundary(bytes)]
}

impl Config {
    fn check_models(&self) -> Result<(), String> {
        for (key, names) in [("first", &self.first), ("strong", &self.strong)] {
            if names.is_empty() {
                return Err(format!("`{key}` is empty, expected at least one model"));
            }
        }
        for (index, name) in self.first.iter().enumerate() {
            if name.starts_with("tag:") {
                return Err(format!(
                    "`first[{index}]`: `{name}` is a tag, expected a model's id: an answer does not tell its model's tags"
                ));
            }
        }
        for (index, name) in self.strong.iter().enumerate() {
            if self.first.contains(name) {
                return Err(format!("`strong[{index}]`: `{name}` is among `first` as well"));
            }
        }
        Ok(())
    }

    fn check_deciders(&self) -> Result<(), String> {
        if self.judge.is_some() && self.agreement.is_some() {
            return Err("`judge` and `agreement` are both there, expected one of them".into());
        }
        let asks = self.judge.is_some() || self.agreement.is_some();
        if !asks && self.checks.is_empty() {
            return Err("nothing speaks against an answer, expected `checks`, `judge` or `agreement`".into());
        }
        if asks && !grants::is_given("models") {
            let key = if self.judge.is_some() { "judge" } else { "agreement" };
            return Err(format!("`{key}` needs the grant `models`: add it to `grants`"));
        }
        self.judge.as_ref().map_or(Ok(()), Judge::check)
    }

    /// Who decides, as the end of a sentence.
    fn decider(&self) -> String {
        match (&self.judge, &self.agreement) {
            (Some(judge), _) => format!("judged by {}", judge.model),
            (_, Some(agreement)) => format!("compared with {}", agreement.witness),
            _ => "checked".into(),
        }
    }

    /// What speaks against an answer. What costs nothing is looked at first.
    fn complaint(&self, request: &Request, answer: &Reviewed) -> Option<String> {
        if let Some(complaint) = self.checks.complaint(request, answer) {
            return Some(complaint);
        }
        match (&self.judge, &self.agreement) {
            (Some(judge), _) => judge.complaint(request, answer),
            (_, Some(agreement)) => agreement.complaint(answer),
            _ => None,
        }
    }
}

export_policy!(Cascade, review);

#[cfg(test)]
mod tests;
