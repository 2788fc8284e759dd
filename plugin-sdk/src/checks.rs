//! Checks of an answer that ask no model: whether it is a refusal, empty, cut, no JSON, or one of which its model was not
//! sure. [`Checks`] is the part of a policy's configuration that names them and, read, the checks themselves.

use std::{borrow::Cow, collections::BTreeMap, ops::Deref};

use regex_lite::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny},
};

use crate::{Plan, Request, Reviewed, Surface};

/// Which answers do not do. Nothing is checked that is not named.
///
/// ```
/// use pointsman_plugin::{Candidate, Opinion, Plan, Policy, Request, Review, Reviewed, Verdict, checks::Checks};
///
/// struct Careful(Checks);
/// impl Policy for Careful {
///     type Config = Checks;
///     fn new(checks: Checks) -> Result<Self, String> { Ok(Careful(checks)) }
///     fn decide(&self, request: &Request, _: &[Candidate]) -> Result<Verdict, String> {
///         Ok(self.0.prepare(request, Plan::keep())?.into())
///     }
/// }
/// impl Review for Careful {
///     fn review(&self, request: &Request, answer: &Reviewed) -> Result<Opinion, String> {
///         Ok(self.0.complaint(request, answer).map_or(Opinion::Accept, Opinion::Next))
///     }
/// }
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Checks {
    /// An answer without text that calls no function either.
    empty: bool,
    /// An answer in which the model declined: the provider says so (a refusal, or `content_filter` as the reason why it
    /// ended), or it begins with one of `refusal_phrases`.
    refusal: bool,
    /// First words of a refusal, instead of those that are built in; none leaves what the provider says. Case, kinds of
    /// apostrophes, and `cannot` for `can't` make no difference.
    refusal_phrases: Option<Vec<Opening>>,
    /// An answer that was cut at a limit of tokens, unless the limit is the client's own.
    truncated: bool,
    /// An answer that is no JSON, or calls a function with arguments that are none: `when-asked` of requests for JSON (and
    /// looks for the keys that their schema requires), `always` of all.
    invalid_json: Option<Demand>,
    /// The least mean natural logarithm of the tokens' probabilities: -0.7 is a mean probability of one half. Where the
    /// client asks for none, `logprobs` are asked for in its stead. An answer that comes without them passes.
    low_logprob: Option<Logprob>,
    /// Regular expressions that must each be found in the text.
    must_match: Vec<Pattern>,
    /// Regular expressions of which none may be found in the text.
    must_not_match: Vec<Pattern>,
}

/// Of which requests JSON is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Demand {
    WhenAsked,
    Always,
}

/// First words of a refusal, in the form in which they are compared.
#[derive(Debug, Clone)]
struct Opening(String);

/// A mean natural logarithm of probabilities: 0 or less.
#[derive(Debug, Clone, Copy)]
struct Logprob(f64);

/// A regular expression. Its searches take time that grows with the text alone.
#[derive(Debug, Clone)]
struct Pattern(Regex);

/// How models that decline begin, in English, as [`opening`] leaves it. Each goes so far that an answer which goes on
/// otherwise (`I can't help but notice`) is not meant.
const REFUSALS: [&str; 25] = [
    "i'm sorry, but i can't",
    "i'm sorry, i can't",
    "i'm sorry, but i'm unable",
    "i'm sorry, but i'm not able",
    "i'm sorry, but i won't",
    "sorry, but i can't",
    "sorry, i can't",
    "i apologize, but i can't",
    "unfortunately, i can't",
    "i can't assist",
    "i can't help with",
    "i can't help you",
    "i can't comply",
    "i can't do that",
    "i can't fulfill",
    "i can't provide",
    "i can't answer",
    "i can't discuss",
    "i won't be able to",
    "i'm unable to",
    "i'm not able to",
    "i must decline",
    "i have to decline",
    "i must respectfully decline",
    "as an ai language model, i can't",
];

/// How much of a text is compared with the openings.
const OPENING_BYTES: usize = 400;

impl Checks {
    /// Whether nothing is checked.
    pub fn is_empty(&self) -> bool {
        !self.empty
            && !self.refusal
            && !self.truncated
            && self.invalid_json.is_none()
            && self.low_logprob.is_none()
            && self.must_match.is_empty()
            && self.must_not_match.is_empty()
    }

    /// What somebody should know about these checks, as [`Policy::warnings`](crate::Policy::warnings) tells it.
    pub fn warnings(&self) -> Vec<String> {
        let idle = self.refusal_phrases.is_some() && !self.refusal;
        let warning = "`checks.refusal_phrases` does nothing without `checks.refusal`";
        idle.then(|| warning.to_owned()).into_iter().collect()
    }

    /// The plan with what the checks need: a review, and an edit that asks for `logprobs` where they are looked at and the
    /// client did not ask. Nothing is added where nothing is checked.
    pub fn prepare(&self, request: &Request, plan: Plan) -> Result<Plan, String> {
        if self.is_empty() {
            return Ok(plan);
        }
        let lacks_logprobs = || request.get("/logprobs").as_deref() != Some("true");
        if self.low_logprob.is_some() && request.surface == Surface::ChatCompletions && lacks_logprobs() {
            return plan.review().edit("/logprobs", &true);
        }
        Ok(plan.review())
    }

    /// What is wrong with an answer, for people; nothing where it passes all checks.
    pub fn complaint(&self, request: &Request, answer: &Reviewed) -> Option<String> {
        self.refused(answer)
            .or_else(|| self.cut(request, answer))
            .or_else(|| self.missing(answer))
            .or_else(|| self.not_json(request, answer))
            .or_else(|| self.mismatch(answer))
            .or_else(|| self.unsure(answer))
    }

    fn refused(&self, answer: &Reviewed) -> Option<String> {
        if !self.refusal {
            return None;
        }
        if answer.refusal.as_ref().is_some_and(|words| !words.trim().is_empty()) {
            return Some("the model refused".into());
        }
        if answer.finish_reason == "content_filter" {
            return Some("the provider's filter stopped it".into());
        }
        let text = opening(&answer.text);
        let found = match &self.refusal_phrases {
            Some(own) => own.iter().map(|phrase| &*phrase.0).find(|own| text.starts_with(own)),
            None => REFUSALS.into_iter().find(|phrase| text.starts_with(phrase)),
        };
        found.map(|phrase| format!("it begins with `{phrase}`"))
    }

    fn cut(&self, request: &Request, answer: &Reviewed) -> Option<String> {
        if !self.truncated || answer.finish_reason != "length" {
            return None;
        }
        // At the client's own limit any other model would be cut as well. Usage that nobody stated is 0.
        let is_clients = |limit| answer.output_tokens == 0 || answer.output_tokens >= u64::from(limit);
        let is_own = !request.max_output_tokens.is_some_and(is_clients);
        is_own.then(|| format!("it was cut after {} tokens", answer.output_tokens))
    }

    fn missing(&self, answer: &Reviewed) -> Option<String> {
        let is_empty = answer.text.trim().is_empty() && answer.tool_calls.is_empty();
        (self.empty && is_empty).then(|| "it is empty".into())
    }

    fn not_json(&self, request: &Request, answer: &Reviewed) -> Option<String> {
        let demand = self.invalid_json?;
        // No arguments at all are how some models call a function that has none.
        let is_broken = |arguments: &str| !arguments.trim().is_empty() && parse(arguments).is_err();
        if let Some((name, _)) = answer.tool_calls.iter().find(|(_, given)| is_broken(given)) {
            return Some(format!("the arguments of `{name}` are no JSON"));
        }
        let only_calls = answer.text.trim().is_empty() && !answer.tool_calls.is_empty();
        if only_calls || (demand == Demand::WhenAsked && !request.wants_structured_output) {
            return None;
        }
        match parse(&answer.text) {
            Err(error) => Some(format!("it is no JSON: {error}")),
            Ok(()) if request.wants_structured_output => lacking(request, &answer.text),
            Ok(()) => None,
        }
    }

    fn mismatch(&self, answer: &Reviewed) -> Option<String> {
        let is_in = |pattern: &&Pattern| pattern.is_match(&answer.text);
        if let Some(pattern) = self.must_match.iter().find(|pattern| !is_in(pattern)) {
            return Some(format!("`{}` is not in it", pattern.as_str()));
        }
        let found = self.must_not_match.iter().find(is_in);
        found.map(|pattern| format!("`{}` is in it", pattern.as_str()))
    }

    fn unsure(&self, answer: &Reviewed) -> Option<String> {
        let (least, mean) = (self.low_logprob?.0, answer.mean_logprob?);
        (mean < least).then(|| format!("its mean logprob {mean:.2} is under {least}"))
    }
}

fn parse(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<IgnoredAny>(text).map(drop)
}

/// What the request's format demands of a JSON text beyond being JSON, as far as its outermost object goes.
fn lacking(request: &Request, text: &str) -> Option<String> {
    let required: Vec<String> = request
        .get("/response_format/json_schema/schema/required")
        .and_then(|keys| serde_json::from_str(&keys).ok())
        .unwrap_or_default();
    let wants_object = request.string("/response_format/type").as_deref() == Some("json_object");
    if required.is_empty() && !wants_object {
        return None;
    }
    let Ok(members) = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(text) else {
        return Some("it is no JSON object".into());
    };
    let missing = required.iter().find(|key| !members.contains_key(*key));
    missing.map(|key| format!("its JSON has no `{key}`"))
}

/// The beginning of a text in the form in which openings are compared: lower case, from its first letter on, one kind of
/// apostrophe, one space between words, and the short forms of `I am`, `cannot` and `will not`.
fn opening(text: &str) -> String {
    let text = text.trim_start_matches(|letter: char| !letter.is_alphanumeric());
    let text = text[..text.floor_char_boundary(OPENING_BYTES)].to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words
        .join(" ")
        .replace('’', "'")
        .replace("cannot", "can't")
        .replace("can not", "can't")
        .replace("will not", "won't");
    // A phrase may end in it, so that the words count and not the space behind them.
    let mut pieces = text.split("i am").peekable();
    let mut opening = String::with_capacity(text.len());
    while let Some(piece) = pieces.next() {
        opening.push_str(piece);
        if let Some(next) = pieces.peek() {
            let is_part = opening.ends_with(char::is_alphanumeric) || next.starts_with(char::is_alphanumeric);
            opening.push_str(if is_part { "i am" } else { "i'm" });
        }
    }
    opening
}

impl Deref for Pattern {
    type Target = Regex;

    fn deref(&self) -> &Regex {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Opening {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let phrase = opening(&String::deserialize(deserializer)?);
        if phrase.is_empty() {
            return Err(de::Error::custom("it is empty, and every answer begins with nothing"));
        }
        Ok(Opening(phrase))
    }
}

impl<'de> Deserialize<'de> for Logprob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        if value > 0.0 {
            let expected = "expected 0 or less: the logarithm of a probability";
            return Err(de::Error::custom(format!("{value} is no logprob, {expected}")));
        }
        Ok(Logprob(value))
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let regex = Regex::new(&text);
        regex
            .map(Pattern)
            .map_err(|error| de::Error::custom(format!("`{text}` is no regular expression: {error}")))
    }
}

impl JsonSchema for Opening {
    fn schema_name() -> Cow<'static, str> {
        "Opening".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

impl JsonSchema for Logprob {
    fn schema_name() -> Cow<'static, str> {
        "Logprob".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "maximum": 0 })
    }
}

impl JsonSchema for Pattern {
    fn schema_name() -> Cow<'static, str> {
        "Pattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "regex" })
    }
}

#[cfg(test)]
mod tests;
