//! What a call used, in the kinds of tokens that providers bill apart.

use super::Service;

/// What is billed. Tokens: `input` excludes what the cache served or took in; `output` includes reasoning. And what is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Input that was not cached.
    pub input: u64,
    /// The part of it that was sound.
    pub audio_input: u64,
    /// Input read from the provider's cache.
    pub cache_read: u64,
    /// Input written to the provider's cache.
    pub cache_write: u64,
    /// The part of it that is kept for an hour, where that is billed apart.
    pub cache_write_1h: u64,
    /// Output, reasoning included.
    pub output: u64,
    /// The part of the output that was reasoning.
    pub reasoning: u64,
    /// The part of the output that was sound.
    pub audio_output: u64,
    /// The part of the input that was images.
    pub image_input: u64,
    /// The part of the output that was images.
    pub image_output: u64,
    /// Characters that were spoken.
    pub characters: u64,
    /// Searches: of the web, or units in which rerankers count.
    pub searches: u64,
    /// How the provider served it, where it bills that otherwise.
    pub service: Service,
}

impl Usage {
    /// Its members by name, as the store and reports spell them.
    pub fn named(&self) -> [(&'static str, u64); 14] {
        [
            ("input", self.input),
            ("audio_input", self.audio_input),
            ("cache_read", self.cache_read),
            ("cache_write", self.cache_write),
            ("cache_write_1h", self.cache_write_1h),
            ("output", self.output),
            ("reasoning", self.reasoning),
            ("audio_output", self.audio_output),
            ("image_input", self.image_input),
            ("image_output", self.image_output),
            ("characters", self.characters),
            ("searches", self.searches),
            ("is_batch", (self.service == Service::Batch).into()),
            ("is_priority", (self.service == Service::Priority).into()),
        ]
    }

    /// Of members by name; nothing where a name is unknown.
    pub fn from_named<'n>(members: impl Iterator<Item = (&'n str, u64)>) -> Option<Self> {
        let mut usage = Self::default();
        for (name, tokens) in members {
            *match name {
                "input" => &mut usage.input,
                "audio_input" => &mut usage.audio_input,
                "cache_read" => &mut usage.cache_read,
                "cache_write" => &mut usage.cache_write,
                "cache_write_1h" => &mut usage.cache_write_1h,
                "output" => &mut usage.output,
                "reasoning" => &mut usage.reasoning,
                "audio_output" => &mut usage.audio_output,
                "image_input" => &mut usage.image_input,
                "image_output" => &mut usage.image_output,
                "characters" => &mut usage.characters,
                "searches" => &mut usage.searches,
                "is_batch" | "is_priority" if tokens == 0 => continue,
                "is_batch" => {
                    usage.service = Service::Batch;
                    continue;
                }
                "is_priority" => {
                    usage.service = Service::Priority;
                    continue;
                }
                _ => return None,
            } = tokens;
        }
        Some(usage)
    }

    /// The sum of two.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            audio_input: self.audio_input.saturating_add(other.audio_input),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            audio_output: self.audio_output.saturating_add(other.audio_output),
            image_input: self.image_input.saturating_add(other.image_input),
            image_output: self.image_output.saturating_add(other.image_output),
            characters: self.characters.saturating_add(other.characters),
            searches: self.searches.saturating_add(other.searches),
            // A sum is of calls, whose prices may differ: nothing is counted with it.
            service: Service::Ordinary,
        }
    }

    /// All tokens, however they were billed; what is no token is not among them.
    pub fn all(&self) -> u64 {
        self.all_input().saturating_add(self.output)
    }

    /// All input, however it was billed.
    pub fn all_input(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write)
    }
}
