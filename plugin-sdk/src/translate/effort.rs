//! The canonical scale of how much a model thinks, with `max` above it, as several providers have it.

use super::refuse;
use crate::Failure;

/// `reasoning_effort`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "the scale's own words")]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    ExtraHigh,
    Max,
}

impl Effort {
    /// Any other word is the caller's mistake.
    pub fn read(word: &str) -> Result<Self, Failure> {
        Ok(match word {
            "none" => Effort::None,
            "minimal" => Effort::Minimal,
            "low" => Effort::Low,
            "medium" => Effort::Medium,
            "high" => Effort::High,
            "xhigh" => Effort::ExtraHigh,
            "max" => Effort::Max,
            other => {
                let known = "none, minimal, low, medium, high, xhigh or max";
                return Err(refuse(format!(
                    "reasoning_effort is `{other}`, but must be one of {known}"
                )));
            }
        })
    }

    /// What a number of tokens comes to, for providers that want a word.
    pub fn of_budget(tokens: u64) -> Self {
        match tokens {
            0 => Effort::None,
            1..=4096 => Effort::Low,
            4097..=16_384 => Effort::Medium,
            _ => Effort::High,
        }
    }

    /// Tokens of thinking, for providers that want a number.
    pub fn budget(self) -> u64 {
        match self {
            Effort::None => 0,
            Effort::Minimal | Effort::Low => 1024,
            Effort::Medium => 4096,
            Effort::High => 16_384,
            Effort::ExtraHigh | Effort::Max => 32_768,
        }
    }
}
