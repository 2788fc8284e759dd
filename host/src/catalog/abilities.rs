//! What models can do, by the words of the configuration.

/// What a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    missing_docs,
    reason = "the names are those of the contract's flags, which explain them"
)]
pub struct Abilities {
    pub streaming: bool,
    pub tools: bool,
    pub parallel_tools: bool,
    pub vision: bool,
    pub audio: bool,
    pub structured_output: bool,
    pub reasoning: bool,
    pub prompt_cache: bool,
}

impl Abilities {
    /// All words.
    pub const WORDS: [&str; 8] = [
        "streaming",
        "tools",
        "parallel-tools",
        "vision",
        "audio",
        "structured-output",
        "reasoning",
        "prompt-cache",
    ];

    /// Adds one; `false` where there is no such word.
    pub fn add(&mut self, word: &str) -> bool {
        let ability = Self::WORDS.iter().position(|known| *known == word);
        let Some(ability) = ability else { return false };
        *self.members()[ability] = true;
        true
    }

    /// Those that are there.
    pub fn words(mut self) -> Vec<&'static str> {
        let has = self.members().map(|ability| *ability);
        let words = Self::WORDS.into_iter().zip(has);
        words.filter(|(_, has)| *has).map(|(word, _)| word).collect()
    }

    /// In the order of the words.
    fn members(&mut self) -> [&mut bool; 8] {
        [
            &mut self.streaming,
            &mut self.tools,
            &mut self.parallel_tools,
            &mut self.vision,
            &mut self.audio,
            &mut self.structured_output,
            &mut self.reasoning,
            &mut self.prompt_cache,
        ]
    }
}
