//! What is asked of models, and the dialects it is asked in.

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// An answer to a conversation.
    Chat,
    /// How many tokens a conversation is.
    CountTokens,
    /// Texts as vectors.
    Embedding,
    /// Whether texts or images are harmful.
    Moderation,
    /// Texts in the order of what they have to do with a question.
    Rerank,
}

impl Operation {
    /// As messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat-completions",
            Self::CountTokens => "count-tokens",
            Self::Embedding => "embeddings",
            Self::Moderation => "moderations",
            Self::Rerank => "rerank",
        }
    }
}

/// Words for conversations other than the canonical ones, which clients and providers may have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Anthropic's.
    Messages,
    /// OpenAI's newer one.
    Responses,
    /// OpenAI's first one.
    Completions,
}
