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
    /// Images of what a text says.
    Image,
    /// Images made of others.
    ImageEdit,
    /// A text as sound.
    Speech,
    /// Sound as text.
    Transcription,
    /// Sound as a text in English.
    Translation,
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
            Self::Image => "images",
            Self::ImageEdit => "image-edits",
            Self::Speech => "speech",
            Self::Transcription => "transcriptions",
            Self::Translation => "translations",
        }
    }

    /// Whether images or sound go in or come out: such requests and answers pass as they are, to and from providers that have them.
    pub fn is_media(self) -> bool {
        matches!(
            self,
            Self::Image | Self::ImageEdit | Self::Speech | Self::Transcription | Self::Translation
        )
    }
}

/// Where a provider takes requests in words that it speaks as they are, and what it wants to find in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Door {
    /// `{model}` stands for the model's name, which is then left out of the body.
    pub path: String,
    /// Where a stream is asked for, if elsewhere.
    pub streamed: Option<String>,
    /// Members of the body, with their values as JSON.
    pub members: Vec<(String, String)>,
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
    /// Google's, of Gemini.
    Gemini,
}
