//! Asks models through the gateway itself (grant `models`), under the request's own key and budget, while a request is
//! decided or reviewed. What the answers cost is added to the request's cost.

pub use crate::bindings::policy::pointsman::plugin::models::{Ask, Failure, Prompt, Question, Reply};

use serde::Serialize;

use crate::{Edit, host};

/// Asks all of them side by side. The replies come in the order of the asks.
pub fn ask_all(asks: &[Ask]) -> Vec<Result<Reply, Failure>> {
    host::models::ask_all(asks)
}

/// Asks one model.
pub fn ask(ask: Ask) -> Result<Reply, Failure> {
    let nothing = || Err(Failure::Other("the gateway gave no reply".into()));
    ask_all(&[ask]).pop().unwrap_or_else(nothing)
}

impl Ask {
    /// A prompt of the policy's own.
    pub fn prompt(model: impl Into<String>, user: impl Into<String>) -> Self {
        let prompt = Prompt {
            system: None,
            user: user.into(),
            json_schema: None,
        };
        Ask::new(model, Question::Prompt(prompt))
    }

    /// The client's own request.
    pub fn same(model: impl Into<String>) -> Self {
        Ask::new(model, Question::Same(Vec::new()))
    }

    fn new(model: impl Into<String>, question: Question) -> Self {
        Ask {
            model: model.into(),
            question,
            max_output_tokens: None,
            timeout_ms: None,
        }
    }

    /// Sets the system message of a prompt. Of use for prompts of the policy's own alone.
    #[must_use]
    pub fn system(mut self, system: impl Into<String>) -> Self {
        if let Question::Prompt(prompt) = &mut self.question {
            prompt.system = Some(system.into());
        }
        self
    }

    /// Changes the client's own request for this ask, as [`Plan::edit`](crate::Plan::edit) does for the answer's. Of use with
    /// [`Ask::same`] alone. The error names a value that has no JSON form.
    pub fn edit(mut self, pointer: impl Into<String>, value: &impl Serialize) -> Result<Self, String> {
        let pointer = pointer.into();
        let value = serde_json::to_string(value).map_err(|error| format!("edit `{pointer}`: {error}"))?;
        if let Question::Same(edits) = &mut self.question {
            edits.push(Edit { pointer, value });
        }
        Ok(self)
    }

    /// Bounds the answer's length.
    #[must_use]
    pub fn max_output_tokens(mut self, tokens: u32) -> Self {
        self.max_output_tokens = Some(tokens);
        self
    }

    /// Bounds the time that the answer may take.
    #[must_use]
    pub fn timeout_ms(mut self, milliseconds: u32) -> Self {
        self.timeout_ms = Some(milliseconds);
        self
    }

    /// Asks for an answer that follows this JSON Schema. Of use for prompts of the policy's own alone.
    #[must_use]
    pub fn json_schema(mut self, schema: impl Into<String>) -> Self {
        if let Question::Prompt(prompt) = &mut self.question {
            prompt.json_schema = Some(schema.into());
        }
        self
    }
}
