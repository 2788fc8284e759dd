//! What a provider's requests look like, as far as the host itself writes them.

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
/// are those of chat completions where they are among them.
pub(super) fn own_paths(profile: &Profile, has_responses: bool) -> Vec<(Dialect, Operation, String)> {
    let responses = has_responses || profile.speaks.contains(Dialects::OPENAI_RESPONSES);
    let responses = responses.then(|| (Dialect::Responses, Operation::Chat, "/responses".to_owned()));
    if !profile.speaks.contains(Dialects::ANTHROPIC_MESSAGES) {
        return responses.into_iter().collect();
    }
    let usual = [
        (Operation::Chat, "/v1/messages"),
        (Operation::CountTokens, "/v1/messages/count_tokens"),
    ];
    let has_own = !profile.speaks.contains(Dialects::OPENAI_CHAT);
    let served = usual
        .into_iter()
        .filter(|(operation, _)| profile.operations.contains(operation));
    let path = |(operation, usual): (Operation, &str)| {
        let named = profile.paths.iter().find(|(known, _)| has_own && *known == operation);
        let path = named.map_or_else(|| usual.to_owned(), |(_, path)| path.clone());
        (Dialect::Messages, operation, path)
    };
    served.map(path).chain(responses).collect()
}
