//! Reviews answers as its configuration says, by who gave them, and puts what it saw into its reasons: for tests of what the
//! gateway makes of a review.

use std::collections::BTreeMap;

use pointsman_plugin::models::{self, Ask};
use pointsman_plugin::{
    Candidate, Opinion, Plan, Policy, Request, Review, Reviewed, Verdict, export_policy, grants, timeouts,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Config {
    /// By candidate; what is not named is accepted.
    opinions: BTreeMap<String, Behaviour>,
    /// A model that is asked about every answer.
    judge: Option<String>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Behaviour {
    /// Passes the answer over and says `next`.
    Next,
    /// Passes it over and says all that it saw.
    Tell,
    Fail,
    Panic,
    Loop,
    /// Says a time of a step, for which it is too late.
    Time,
}

struct Reviews(Config);

impl Policy for Reviews {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        Ok(Reviews(config))
    }

    fn decide(&self, _: &Request, _: &[Candidate]) -> Result<Verdict, String> {
        Ok(Plan::keep().review().label("reviewed", "yes").reason("decided").into())
    }
}

impl Review for Reviews {
    fn review(&self, request: &Request, answer: &Reviewed) -> Result<Opinion, String> {
        // Most tests grant nothing: a guest that looks is loaded all the same.
        if let Some(judge) = self.0.judge.as_ref().filter(|_| grants::is_given("models")) {
            let said = models::ask(Ask::prompt(judge, &answer.text)).map(|reply| reply.text);
            return Ok(Opinion::Next(format!("{said:?}")));
        }
        match self.0.opinions.get(&answer.candidate) {
            None => Ok(Opinion::Accept),
            Some(Behaviour::Next) => Ok(Opinion::Next("next".into())),
            Some(Behaviour::Tell) => Ok(Opinion::Next(told(request, answer))),
            Some(Behaviour::Fail) => Err("no opinion".into()),
            Some(Behaviour::Panic) => panic!("the guest's own mistake"),
            Some(Behaviour::Time) => {
                timeouts::gap(&answer.candidate, 1);
                Ok(Opinion::Accept)
            }
            Some(Behaviour::Loop) => loop {
                std::hint::black_box(answer);
            },
        }
    }
}

fn told(request: &Request, answer: &Reviewed) -> String {
    format!(
        "{} {:?} {:?} {} {:?} {:?} {}+{} {:?} {} {:?} {}",
        answer.candidate,
        answer.text,
        answer.refusal,
        answer.finish_reason,
        answer.tool_calls,
        answer.mean_logprob,
        answer.input_tokens,
        answer.output_tokens,
        answer.cost,
        answer.steps_left,
        request.label("reviewed"),
        request.last_user_text(),
    )
}

export_policy!(Reviews, review);
