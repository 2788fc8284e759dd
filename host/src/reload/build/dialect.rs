//! What a provider's requests look like, as far as the host itself writes them.

use crate::config::ProviderConfig;
use crate::operation::Dialect;
use crate::plugins::words::{Dialects, Operation, Profile};
use crate::upstream::Endpoint;

/// Where the most tokens of output stand. OpenAI's newer models refuse the old name of the field, and most others do not know the
/// new one; adapters know both.
pub(super) fn output_limit(endpoint: &Endpoint, speaks_openai: bool) -> &'static str {
    let is_openai = ["openai.com", "openai.azure.com"]
        .iter()
        .any(|domain| endpoint.is_below(domain));
    if speaks_openai && !is_openai {
        "/max_tokens"
    } else {
        "/max_completion_tokens"
    }
}

/// Where requests go in dialects that the provider speaks as they are, apart from OpenAI's chat completions. The paths of a profile
/// are those of chat completions and their sisters where they are among them.
pub(super) fn own_paths(profile: &Profile, config: &ProviderConfig) -> Vec<(Dialect, Operation, String)> {
    let speaks_openai = profile.speaks.contains(Dialects::OPENAI_CHAT);
    let serves = |operation| profile.operations.contains(&operation);
    let path = |operation, usual: &str| {
        let named = profile.paths.iter().find(|(known, _)| *known == operation);
        named.map_or_else(|| usual.to_owned(), |(_, path)| path.clone())
    };
    let mut own = Vec::new();
    if config.responses || profile.speaks.contains(Dialects::OPENAI_RESPONSES) {
        own.push((Dialect::Responses, Operation::Chat, "/responses".to_owned()));
    }
    if config.completions && speaks_openai && serves(Operation::Completion) {
        let path = path(Operation::Completion, "/completions");
        own.push((Dialect::Completions, Operation::Chat, path));
    }
    if profile.speaks.contains(Dialects::GEMINI_GENERATE) {
        let operations = [Operation::Chat, Operation::CountTokens];
        for operation in operations.into_iter().filter(|operation| serves(*operation)) {
            // The path has the model's name in it, so there is none for all models.
            own.push((Dialect::Gemini, operation, String::new()));
        }
    }
    if profile.speaks.contains(Dialects::ANTHROPIC_MESSAGES) {
        let usual = [
            (Operation::Chat, "/v1/messages"),
            (Operation::CountTokens, "/v1/messages/count_tokens"),
        ];
        for (operation, usual) in usual.into_iter().filter(|(operation, _)| serves(*operation)) {
            let path = if speaks_openai {
                usual.to_owned()
            } else {
                path(operation, usual)
            };
            own.push((Dialect::Messages, operation, path));
        }
    }
    own
}
