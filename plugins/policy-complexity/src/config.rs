//! What can be configured, field by field; the comments are the schema's descriptions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// How a prompt is scored and which models each tier prefers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// How a prompt's complexity is measured.
    #[serde(default)]
    pub(crate) score: Score,
    /// What is measured.
    #[serde(default)]
    pub(crate) look_in: Place,
    /// How many bytes are read where all text is looked in.
    #[serde(default = "read_at_most")]
    pub(crate) read_at_most: u32,
    /// Where the tiers `medium`, `complex` and `reasoning` begin. For `density` 0.3, 0.6 and 0.8 unless given, for
    /// `seven-signals` 0.15, 0.35 and 0.6; `indicators` has none.
    pub(crate) thresholds: Option<[f64; 3]>,
    /// For `indicators`: texts with more characters than these are at least `moderate` and `complex`.
    #[serde(default = "lengths")]
    pub(crate) lengths: [u32; 2],
    /// For `seven-signals`: texts with fewer tokens than the first count as short, with more than the second as long.
    #[serde(default = "tokens")]
    pub(crate) tokens: [u32; 2],
    /// For `seven-signals`: how much each signal counts.
    #[serde(default)]
    pub(crate) weights: Weights,
    /// Other lists of terms than those built in, each replacing the list of its name.
    #[serde(default)]
    pub(crate) terms: Lists,
    /// Whether a term counts only where no letter or digit touches it. Unless given, yes for all scores but `indicators`,
    /// whose terms are stems.
    pub(crate) whole_words: Option<bool>,
    /// What follows from each tier, by its name. Tiers: `simple`, `medium`, `complex` and `reasoning`; for `indicators`
    /// `simple`, `creative`, `moderate`, `complex` and `coding`. A tier without an entry only gets its label.
    #[serde(default)]
    pub(crate) tiers: BTreeMap<String, Tier>,
}

/// How a prompt's complexity is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Score {
    /// min(1, words / 100 · 0.3 + technical terms / 5 · 0.4 + question marks / 3 · 0.3).
    #[default]
    Density,
    /// `coding` if there is any term of that list; else `complex` with two terms of complexity or a long text, `moderate`
    /// with one or a text of some length; else `creative` if there is any term of that list; else `simple`.
    Indicators,
    /// The weighted sum of seven signals: length, code, reasoning, technical terms, simple questions, several steps,
    /// several questions. Two different markers of reasoning are `reasoning` whatever the sum.
    SevenSignals,
}

/// Which of the request's text is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// The last message of the user.
    #[default]
    LastUser,
    /// All messages.
    All,
}

/// How much each of the seven signals counts.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Weights {
    /// -1 for a short text, 1 for a long one.
    pub(crate) tokens: f64,
    /// 0.5 for one term of code, 1 for more.
    pub(crate) code: f64,
    /// 0.7 for one marker of reasoning, 1 for more.
    pub(crate) reasoning: f64,
    /// 0.5 from two technical terms on, 1 from four on.
    pub(crate) technical: f64,
    /// -1 for any sign of a simple question.
    pub(crate) simple: f64,
    /// 0.5 for a task of several steps: numbered lines, `step 1`, `first … then`.
    pub(crate) steps: f64,
    /// 0.5 for more than three question marks.
    pub(crate) questions: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Weights {
            tokens: 0.10,
            code: 0.30,
            reasoning: 0.25,
            technical: 0.25,
            simple: 0.05,
            steps: 0.03,
            questions: 0.02,
        }
    }
}

/// Lists of words and phrases.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lists {
    /// Technical terms: for `density` and `seven-signals`.
    pub(crate) technical: Option<Vec<String>>,
    /// Terms of programming: for `indicators`.
    pub(crate) coding: Option<Vec<String>>,
    /// Terms of complexity: for `indicators`.
    pub(crate) complex: Option<Vec<String>>,
    /// Terms of creative work: for `indicators`.
    pub(crate) creative: Option<Vec<String>>,
    /// Terms of code: for `seven-signals`.
    pub(crate) code: Option<Vec<String>>,
    /// Markers of reasoning: for `seven-signals`.
    pub(crate) reasoning: Option<Vec<String>>,
    /// Signs of a simple question: for `seven-signals`.
    pub(crate) simple: Option<Vec<String>>,
}

/// What follows from a tier.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tier {
    /// Candidates by id or by `tag:NAME`, in order of preference; the others stay behind them as fallbacks.
    pub(crate) prefer: Vec<String>,
}

fn read_at_most() -> u32 {
    64 * 1024
}

fn lengths() -> [u32; 2] {
    [500, 2000]
}

fn tokens() -> [u32; 2] {
    [15, 400]
}

impl Config {
    /// Everything that has to fit together, before anything is built of it.
    pub(crate) fn check(&self) -> Result<(), String> {
        let known = self.score.tiers();
        if let Some(tier) = self.tiers.keys().find(|tier| !known.contains(&tier.as_str())) {
            let known = known.join("`, `");
            return Err(format!(
                "`tiers.{tier}`: `{}` has no such tier, expected one of `{known}`",
                self.score.name()
            ));
        }
        if let Some(empty) = self.tiers.iter().find(|(_, tier)| tier.prefer.is_empty()) {
            return Err(format!(
                "`tiers.{}.prefer` is empty, expected at least one candidate",
                empty.0
            ));
        }
        if self.thresholds.is_some_and(|thresholds| !thresholds.is_sorted()) {
            return Err(
                "`thresholds` must not fall: expected the beginnings of `medium`, `complex` and `reasoning`".into(),
            );
        }
        for (name, pair) in [("lengths", self.lengths), ("tokens", self.tokens)] {
            if pair[0] > pair[1] {
                return Err(format!(
                    "`{name}`: {} is more than {}, expected the smaller one first",
                    pair[0], pair[1]
                ));
            }
        }
        Ok(())
    }

    /// Settings that the chosen score does not look at.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let lists = [
            ("technical", &self.terms.technical),
            ("coding", &self.terms.coding),
            ("complex", &self.terms.complex),
            ("creative", &self.terms.creative),
            ("code", &self.terms.code),
            ("reasoning", &self.terms.reasoning),
            ("simple", &self.terms.simple),
        ];
        let used: &[&str] = match self.score {
            Score::Density => &["technical"],
            Score::Indicators => &["coding", "complex", "creative"],
            Score::SevenSignals => &["technical", "code", "reasoning", "simple"],
        };
        let mut warnings: Vec<String> = lists
            .iter()
            .filter(|(name, list)| list.is_some() && !used.contains(name))
            .map(|(name, _)| format!("`terms.{name}` is not used by the score `{}`", self.score.name()))
            .collect();
        if self.score == Score::Indicators && self.thresholds.is_some() {
            warnings.push("`thresholds` are not used by the score `indicators`".into());
        }
        warnings
    }
}

impl Score {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Score::Density => "density",
            Score::Indicators => "indicators",
            Score::SevenSignals => "seven-signals",
        }
    }

    pub(crate) fn tiers(self) -> &'static [&'static str] {
        match self {
            Score::Density | Score::SevenSignals => &["simple", "medium", "complex", "reasoning"],
            Score::Indicators => &["simple", "creative", "moderate", "complex", "coding"],
        }
    }
}
