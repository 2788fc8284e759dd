//! Asks the models that its configuration says, all of them at once, and puts the replies into its reason: for tests of
//! what the gateway makes of an ask.

use pointsman_plugin::models::{self, Ask, Failure, Prompt, Question, Reply};
use pointsman_plugin::{Candidate, Edit, Plan, Policy, Request, Verdict, export_policy};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Config {
    asks: Vec<Wish>,
    /// How often the whole list is asked.
    rounds: Option<u32>,
    /// Asks while it is being configured.
    early: bool,
    /// Computes for ever after the asks.
    spins: bool,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Wish {
    model: String,
    system: Option<String>,
    /// Without it the client's own request is asked.
    user: Option<String>,
    json_schema: Option<String>,
    edits: Vec<(String, String)>,
    max_output_tokens: Option<u32>,
    timeout_ms: Option<u32>,
}

struct Asks(Config);

impl Policy for Asks {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        if config.early {
            models::ask_all(&[]);
        }
        Ok(Asks(config))
    }

    fn decide(&self, _: &Request, _: &[Candidate]) -> Result<Verdict, String> {
        let asks: Vec<Ask> = self.0.asks.iter().map(ask).collect();
        let mut said = Vec::new();
        for _ in 0..self.0.rounds.unwrap_or(1) {
            said.extend(models::ask_all(&asks).iter().map(reply));
        }
        if self.0.spins {
            loop {
                std::hint::black_box(&said);
            }
        }
        Ok(Plan::keep().reason(said.join(" | ")).into())
    }
}

fn ask(wish: &Wish) -> Ask {
    let edit = |(pointer, value): &(String, String)| Edit {
        pointer: pointer.clone(),
        value: value.clone(),
    };
    let prompt = |user: &String| Prompt {
        system: wish.system.clone(),
        user: user.clone(),
        json_schema: wish.json_schema.clone(),
    };
    let same = || Question::Same(wish.edits.iter().map(edit).collect());
    Ask {
        model: wish.model.clone(),
        question: wish.user.as_ref().map(prompt).map_or_else(same, Question::Prompt),
        max_output_tokens: wish.max_output_tokens,
        timeout_ms: wish.timeout_ms,
    }
}

fn reply(reply: &Result<Reply, Failure>) -> String {
    match reply {
        Ok(reply) => format!(
            "{} {} {}+{} {:?}",
            reply.text, reply.finish_reason, reply.input_tokens, reply.output_tokens, reply.cost
        ),
        Err(Failure::Refused(why)) => format!("refused: {why}"),
        Err(Failure::TimedOut) => "timed out".into(),
        Err(Failure::Upstream(why)) => format!("upstream: {why}"),
        Err(Failure::Other(why)) => format!("other: {why}"),
    }
}

export_policy!(Asks);
