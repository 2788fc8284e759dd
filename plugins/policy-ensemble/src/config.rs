//! What can be configured, field by field; the comments are the schema's descriptions.

use pointsman_plugin::{Candidate, Request, action::Settings, finals::Compare, limits, when::Condition};
use schemars::JsonSchema;
use serde::Deserialize;

/// Who is asked, and what becomes of the answers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The models that are asked side by side; one may be there several times.
    pub(crate) members: Vec<Member>,
    /// Who makes one answer of theirs: candidates by id or by `tag:NAME`, in order of preference. The others stay behind
    /// them as fallbacks.
    pub(crate) judge: Vec<String>,
    /// Whether the judge writes an answer out of all, or the majority decides where there is one.
    #[serde(default)]
    pub(crate) mode: Mode,
    /// With `vote`, what of two answers is compared: `number`, `option`, `json`, `text`, or `auto`, which looks at the answer.
    #[serde(default)]
    pub(crate) compare: Compare,
    /// With `vote`, the share of the answers, 0 to 1, that must be the same. More than half it is always.
    #[serde(default)]
    pub(crate) majority: f64,
    /// With `vote`, who gives the elected answer; the judge where nobody is named. A cheap model will do.
    #[serde(default)]
    pub(crate) scribe: Vec<String>,
    /// With fewer answers the judge is asked as if there were no ensemble.
    #[serde(default = "two")]
    pub(crate) min_answers: u32,
    /// What must hold of a request that it is for: all of these. Without any, it is for all requests.
    #[serde(default)]
    pub(crate) when: Vec<Condition>,
    /// How long the members may take, in milliseconds.
    #[serde(default = "timeout_ms")]
    pub(crate) timeout_ms: u32,
    /// How long a member's answer may be; as the client asked where nothing is said.
    pub(crate) max_output_tokens: Option<u32>,
    /// How many bytes of each answer the judge sees.
    #[serde(default = "answer_bytes")]
    pub(crate) answer_bytes: u32,
    /// What the judge should know when it writes an answer out of all.
    #[serde(default)]
    pub(crate) instructions: String,
    /// Fields of the judge's request and the values that they are set to, whatever the client sent.
    #[serde(default)]
    pub(crate) set: Settings,
    /// The label that says what was done: `synthesis`, `vote` or `plain`.
    #[serde(default = "ensemble")]
    pub(crate) label: String,
}

/// One that is asked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    /// Its id; the grant `models` has to name it, and it is asked only where it is a candidate of the request.
    pub(crate) model: String,
    /// Fields of the request for it and the values that they are set to, whatever the client sent.
    #[serde(default)]
    pub(crate) set: Settings,
}

/// What becomes of the answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// The judge writes one answer out of all.
    #[default]
    Synthesis,
    /// The answer that most gave is given; without a majority, the judge writes one.
    Vote,
}

fn two() -> u32 {
    2
}

fn timeout_ms() -> u32 {
    30_000
}

fn answer_bytes() -> u32 {
    16_000
}

fn ensemble() -> String {
    "ensemble".into()
}

/// With one of the ensemble's own, a plan or an ask has no more edits.
const MOST_SETTINGS: usize = 31;
const MOST_MEMBERS: usize = 16;

impl Config {
    /// What no type can say. An error names the field and what was expected there.
    pub(crate) fn check(&self) -> Result<(), String> {
        let members = self.members.len();
        if !(2..=MOST_MEMBERS).contains(&members) {
            return Err(format!(
                "`members`: {members} are no ensemble, expected 2 to {MOST_MEMBERS}"
            ));
        }
        for (index, member) in self.members.iter().enumerate() {
            if member.model.is_empty() {
                return Err(format!("`members[{index}].model` is empty, expected a model's id"));
            }
            check_settings(&format!("members[{index}].set"), &member.set)?;
        }
        check_settings("set", &self.set)?;
        if self.judge.is_empty() {
            return Err("`judge` is empty, expected at least one candidate".into());
        }
        if !(1..=members).contains(&(self.min_answers as usize)) {
            return Err(format!(
                "`min_answers`: {} of {members} members, expected 1 to {members}",
                self.min_answers
            ));
        }
        if !(0.0..=1.0).contains(&self.majority) {
            return Err(format!("`majority`: {} is no share, expected 0 to 1", self.majority));
        }
        if self.label.is_empty() || !limits::is_label(&self.label) {
            return Err("`label`: expected 1 to 256 bytes that can be printed".into());
        }
        let numbers = [
            ("timeout_ms", self.timeout_ms),
            ("answer_bytes", self.answer_bytes),
            ("max_output_tokens", self.max_output_tokens.unwrap_or(1)),
        ];
        match numbers.iter().find(|(_, number)| *number == 0) {
            Some((name, _)) => Err(format!("`{name}`: 0 leaves nothing, expected more")),
            None => Ok(()),
        }
    }

    /// What is accepted and does nothing, or less than it seems to.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.mode == Mode::Synthesis {
            let unused = [
                ("compare", self.compare != Compare::default()),
                ("majority", self.majority > 0.0),
                ("scribe", !self.scribe.is_empty()),
            ];
            for (name, _) in unused.iter().filter(|(_, is_set)| *is_set) {
                warnings.push(format!("`{name}` does nothing without `mode = \"vote\"`"));
            }
        }
        for (index, member) in self.members.iter().enumerate() {
            let is_same = |other: &Member| other.model == member.model && other.set == member.set;
            if self.members[..index].iter().any(is_same) {
                warnings.push(format!("`members[{index}]` asks `{}` the same again", member.model));
            }
        }
        warnings
    }

    pub(crate) fn is_meant(&self, request: &Request) -> bool {
        self.when.iter().all(|condition| condition.holds(request))
    }

    /// Two that agree, more than half, and as large a share as the configuration wants.
    pub(crate) fn is_majority(&self, votes: usize, answers: usize) -> bool {
        votes >= 2 && 2 * votes > answers && votes as f64 >= self.majority * answers as f64
    }

    pub(crate) fn scribe(&self) -> &[String] {
        if self.scribe.is_empty() {
            &self.judge
        } else {
            &self.scribe
        }
    }
}

impl Member {
    /// Who was taken out of the candidates, by a rule on where data may go perhaps, is not shown the request either.
    pub(crate) fn is_among(&self, candidates: &[Candidate]) -> bool {
        candidates.iter().any(|candidate| candidate.id == self.model)
    }
}

fn check_settings(place: &str, settings: &Settings) -> Result<(), String> {
    match settings.0.len() {
        0..=MOST_SETTINGS => Ok(()),
        count => Err(format!(
            "`{place}`: {count} fields are too many, expected at most {MOST_SETTINGS}"
        )),
    }
}
