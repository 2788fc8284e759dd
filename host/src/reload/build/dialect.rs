//! What a provider's requests look like, as far as the host itself writes them.

use crate::config::{OwnWords, ProviderConfig};
use crate::operation::{Dialect, Door};
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
pub(super) fn doors(profile: &Profile, config: &ProviderConfig) -> Vec<(Dialect, Operation, Door)> {
    let speaks_openai = profile.speaks.contains(Dialects::OPENAI_CHAT);
    let serves = |operation| profile.operations.contains(&operation);
    let path = |operation, usual: &str| {
        let named = profile.paths.iter().find(|(known, _)| *known == operation);
        named.map_or_else(|| usual.to_owned(), |(_, path)| path.clone())
    };
    let mut own = Vec::new();
    if config.responses || profile.speaks.contains(Dialects::OPENAI_RESPONSES) {
        own.push((Dialect::Responses, Operation::Chat, at("/responses")));
    }
    if config.completions && speaks_openai && serves(Operation::Completion) {
        let path = path(Operation::Completion, "/completions");
        own.push((Dialect::Completions, Operation::Chat, at(path)));
    }
    if profile.speaks.contains(Dialects::GEMINI_GENERATE) {
        let operations = [Operation::Chat, Operation::CountTokens];
        for operation in operations.into_iter().filter(|operation| serves(*operation)) {
            // The path has the model's name in it, so there is none for all models.
            own.push((Dialect::Gemini, operation, Door::default()));
        }
    }
    if profile.speaks.contains(Dialects::ANTHROPIC_MESSAGES) {
        let usual = [
            (Operation::Chat, "/v1/messages"),
            (Operation::CountTokens, "/v1/messages/count_tokens"),
        ];
        for (operation, usual) in usual.into_iter().filter(|(operation, _)| serves(*operation)) {
            let door = match &config.own_words {
                Some(words) => elsewhere(words, operation),
                None if speaks_openai => at(usual),
                None => at(path(operation, usual)),
            };
            own.push((Dialect::Messages, operation, door));
        }
    }
    own
}

fn at(path: impl Into<String>) -> Door {
    Door {
        path: path.into(),
        ..Door::default()
    }
}

/// Where the provider's file says.
fn elsewhere(words: &OwnWords, operation: Operation) -> Door {
    let members = words.members.iter();
    let members = members.map(|(name, value)| (name.clone(), value.to_string())).collect();
    match operation {
        Operation::CountTokens => Door {
            members,
            ..at(&words.count_tokens)
        },
        _ => Door {
            streamed: Some(words.stream.clone()),
            members,
            ..at(&words.chat)
        },
    }
}
