//! What clients ask of models, each at a path of its own.

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// An answer to a conversation.
    Chat,
    /// Texts as vectors.
    Embedding,
    /// Whether texts or images are harmful.
    Moderation,
    /// Texts in the order of what they have to do with a question.
    Rerank,
}

impl Operation {
    const ALL: [(&'static str, Self); 4] = [
        ("/v1/chat/completions", Self::Chat),
        ("/v1/embeddings", Self::Embedding),
        ("/v1/moderations", Self::Moderation),
        ("/v1/rerank", Self::Rerank),
    ];

    /// What is asked for at a path.
    pub fn at(path: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == path);
        found.map(|(_, operation)| *operation)
    }

    /// The surface's name, in digests and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat-completions",
            Self::Embedding => "embeddings",
            Self::Moderation => "moderations",
            Self::Rerank => "rerank",
        }
    }
}
