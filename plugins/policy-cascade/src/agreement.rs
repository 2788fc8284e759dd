//! A second model that answers the same request: where the two disagree, the answer is escalated.

use pointsman_plugin::{
    Reviewed,
    finals::Compare,
    log,
    models::{self, Ask},
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::judge::{OnFailure, explain};

/// A model whose answer has to be the same.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Agreement {
    /// The model, by its id. The policy's grant has to allow it.
    pub(crate) witness: String,
    /// What of the two answers is compared: `number`, `option`, `json`, `text`, or `auto`, which looks at the answer.
    #[serde(default)]
    compare: Compare,
    /// What happens to an answer that has nothing to be compared; the witness is not asked then.
    #[serde(default)]
    when_incomparable: OnFailure,
    /// How long the witness may take, in milliseconds.
    #[serde(default = "timeout_ms")]
    timeout_ms: u32,
    /// What happens to an answer if the witness fails, is too late, or says nothing: `accept`, or `next`.
    #[serde(default)]
    on_failure: OnFailure,
}

fn timeout_ms() -> u32 {
    30_000
}

impl Agreement {
    /// What the witness says otherwise; nothing where it agrees.
    pub(crate) fn complaint(&self, answer: &Reviewed) -> Option<String> {
        let Agreement { witness, compare, .. } = self;
        // A reply of the witness has no calls of functions, so there is nothing that they could be compared with.
        let own = Some(answer).filter(|answer| answer.tool_calls.is_empty());
        let Some(own) = own.and_then(|answer| compare.find(&answer.text)) else {
            if self.when_incomparable == OnFailure::Next {
                return Some("it has nothing to be compared".into());
            }
            log::debug("the answer has nothing to be compared, so the witness was not asked");
            return None;
        };
        let reply = models::ask(Ask::same(&**witness).timeout_ms(self.timeout_ms));
        let text = match reply {
            Ok(reply) if reply.text.trim().is_empty() => Err("said nothing".to_owned()),
            Ok(reply) => Ok(reply.text),
            Err(failure) => Err(explain(&failure)),
        };
        match text.map(|text| compare.find(&text)) {
            Ok(Some(other)) if other == own => None,
            Ok(Some(other)) if other.kind() == own.kind() => {
                Some(format!("witness {witness} disagrees by {}", own.kind()))
            }
            Ok(_) => Some(format!("witness {witness} gives no {}", own.kind())),
            Err(why) => self.on_failure.complaint(format!("witness {witness} {why}")),
        }
    }
}
