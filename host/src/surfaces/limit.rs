//! Where each dialect names the most output that a request may have.

use super::{LIMITS, Surface};
use crate::error::ApiError;
use crate::json::{Document, Edit};
use crate::operation::Dialect;

/// The canonical name.
const CANONICAL: &str = "max_completion_tokens";

impl Surface {
    /// Whether a request in its own words leaves its limit to what is usual.
    pub fn is_unlimited(self, own: &Document) -> bool {
        self.dialect() == Some(Dialect::Completions) && own.root().field("max_tokens").is_none()
    }

    /// A request in its own words that names no limit, with one for its output.
    pub fn limited(self, own: &Document, output: u64) -> Result<Document, String> {
        let number = output.to_string();
        let group = ["generationConfig", "generation_config"];
        let group = group.into_iter().find(|name| own.root().field(name).is_some());
        let (pointer, value) = match (self.dialect(), group) {
            (Some(Dialect::Responses), _) => ("/max_output_tokens".to_owned(), number),
            (Some(Dialect::Gemini), Some(group)) => (format!("/{group}/maxOutputTokens"), number),
            (Some(Dialect::Gemini), None) => (
                "/generationConfig".to_owned(),
                format!("{{\"maxOutputTokens\":{number}}}"),
            ),
            _ => ("/max_tokens".to_owned(), number),
        };
        let text = own.with(&[Edit {
            pointer: &pointer,
            value: Some(&value),
        }]);
        let text = text.map_err(|error| error.to_string())?;
        Document::parse(text.into(), LIMITS).map_err(|error| error.to_string())
    }

    /// What is wrong with the limit, said of the name that the client knows it by.
    pub(super) fn naming_its_limit(self, error: ApiError) -> ApiError {
        let own = match self.dialect() {
            Some(Dialect::Responses) => "max_output_tokens",
            Some(Dialect::Gemini) => "generationConfig.maxOutputTokens",
            Some(_) => "max_tokens",
            None => return error,
        };
        if error.param.as_deref() != Some(CANONICAL) {
            return error;
        }
        let message = error.message.replace(CANONICAL, own);
        ApiError { message, ..error }.with_param(own)
    }
}
