//! How much a model thinks that takes a budget of tokens, or decides by itself and takes an effort: Claude's way, wherever Claude is
//! served. What a client said of it in any dialect becomes words that the model takes, and what is no word for it is named.

use super::{Chat, Effort, Losses, Raw, Thinking, read};
use crate::Failure;
use serde::Serialize;
use std::borrow::Cow;

/// The smallest budget that is taken.
const LEAST_BUDGET: u64 = 1024;

/// What a model is told of thinking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Thinker {
    /// A budget of tokens.
    ByBudget,
    /// An effort; a budget is still taken where a client names one.
    ByEither,
    /// An effort and nothing else. It shows what it thinks only where it is asked to.
    ByEffort,
}

/// What the conversation allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances {
    /// The most that is answered, thinking included.
    pub max_tokens: Option<u64>,
    /// A tool is forced, which goes together with no thinking.
    pub is_tool_forced: bool,
    /// The turn under way called tools and lost its signed thinking on the way through the client: with a budget it would be
    /// refused.
    pub has_unsigned_calls: bool,
}

/// What the model is told, and whether it will think.
#[derive(Debug, Default)]
pub struct ThinkingPlan<'a> {
    /// `thinking`; absent where it goes without saying.
    pub thinking: Option<ThinkingWords<'a>>,
    /// `output_config.effort`.
    pub effort: Option<&'static str>,
    /// Whether the model will think.
    pub is_on: bool,
    /// The tokens that the client left to thinking.
    pub room: Option<u64>,
}

/// `thinking` as it goes out.
#[derive(Serialize, Debug)]
#[serde(untagged)]
pub enum ThinkingWords<'a> {
    /// As the client wrote it.
    Given(Raw<'a>),
    /// What became of it.
    #[expect(missing_docs, reason = "named as on the wire")]
    Made {
        #[serde(rename = "type")]
        kind: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        budget_tokens: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        display: Option<Cow<'a, str>>,
    },
}

impl<'a> ThinkingPlan<'a> {
    /// An explicit `thinking` counts before `reasoning_effort`, and goes out unchanged where the model takes it: on without a budget
    /// is a medium effort, a budget below the least a low one. One that says neither on nor off is left out.
    pub fn of(chat: &Chat<'a>, thinker: Thinker, around: &Circumstances, losses: &Losses) -> Result<Self, Failure> {
        let effort = chat.reasoning_effort.as_ref().map(|word| Effort::read(&word.0));
        let effort = effort.transpose()?;
        if let Some(given) = chat.thinking {
            let config: Thinking = read(given.get(), "thinking")?;
            if config.kind.is_some() {
                return Self::as_given(given, config, effort, thinker, around, losses);
            }
            losses.leave_out("thinking")?;
        }
        let asking = Asking {
            word: "reasoning_effort",
            display: None,
            thinker,
            around,
            losses,
        };
        effort.map_or(Ok(Self::default()), |effort| asking.for_effort(effort))
    }

    fn as_given(
        given: Raw<'a>,
        config: Thinking<'a>,
        effort: Option<Effort>,
        thinker: Thinker,
        around: &Circumstances,
        losses: &Losses,
    ) -> Result<Self, Failure> {
        let asking = Asking {
            word: "thinking",
            display: config.display.map(|word| word.0),
            thinker,
            around,
            losses,
        };
        let budget = config.budget_tokens;
        let kind = config.kind.unwrap_or_default().0;
        let is_adaptive = kind == "adaptive" && budget.is_none();
        let is_taken = match &*kind {
            // Whoever thinks as much as is needed has no budget.
            "adaptive" => match thinker {
                Thinker::ByBudget => false,
                Thinker::ByEither => is_adaptive,
                Thinker::ByEffort => is_adaptive && asking.display.is_some(),
            },
            "enabled" => thinker != Thinker::ByEffort && budget.is_some_and(|budget| budget >= LEAST_BUDGET),
            _ => true,
        };
        let is_on = kind != "disabled";
        let wished = effort.filter(|_| is_adaptive);
        if is_on && (!is_taken || asking.refusal(budget.is_some()).is_some()) {
            let plan = match is_adaptive && thinker != Thinker::ByBudget {
                true => asking.adaptive(wished)?,
                false => asking.for_effort(wished.unwrap_or(budget.map_or(Effort::Medium, Effort::of_budget)))?,
            };
            return Ok(ThinkingPlan { room: budget, ..plan });
        }
        Ok(ThinkingPlan {
            thinking: Some(ThinkingWords::Given(given)),
            effort: wished.and_then(|effort| thinker.word(effort)),
            is_on,
            room: budget,
        })
    }
}

/// One wish, under the name that it has in the request.
struct Asking<'a, 'c> {
    word: &'static str,
    display: Option<Cow<'a, str>>,
    thinker: Thinker,
    around: &'c Circumstances,
    losses: &'c Losses,
}

impl<'a> Asking<'a, '_> {
    fn for_effort(&self, effort: Effort) -> Result<ThinkingPlan<'a>, Failure> {
        match (self.thinker, effort) {
            (Thinker::ByBudget, Effort::None) => Ok(ThinkingPlan::default()),
            (Thinker::ByBudget, effort) => self.budgeted(effort),
            (_, effort) => self.adaptive(Some(effort)),
        }
    }

    fn adaptive(&self, effort: Option<Effort>) -> Result<ThinkingPlan<'a>, Failure> {
        let refusal = self.refusal(false);
        let is_on = effort != Some(Effort::None) && refusal.is_none();
        // An effort counts without thinking, too.
        if let (Some(why), "thinking") = (refusal, self.word) {
            self.losses.leave_out(format!("{} ({why})", self.word))?;
        }
        Ok(ThinkingPlan {
            thinking: Some(match is_on {
                true => self.made("adaptive", None),
                false => self.made("disabled", None),
            }),
            effort: effort.and_then(|effort| self.thinker.word(effort)),
            is_on,
            room: None,
        })
    }

    /// At least half of `max_tokens` is left to the answer; where that leaves less than the least budget, nothing is thought.
    fn budgeted(&self, effort: Effort) -> Result<ThinkingPlan<'a>, Failure> {
        let most = self.around.max_tokens.map_or(u64::MAX, |most| most / 2);
        let budget = effort.budget().min(most);
        let refusal = self.refusal(true);
        let refusal = refusal.or_else(|| (budget < LEAST_BUDGET).then_some("max_tokens leaves no room to think"));
        if let Some(why) = refusal {
            self.losses.leave_out(format!("{} ({why})", self.word))?;
            return Ok(ThinkingPlan::default());
        }
        Ok(ThinkingPlan {
            thinking: Some(self.made("enabled", Some(budget))),
            effort: None,
            is_on: true,
            room: None,
        })
    }

    /// Why the conversation allows no thinking, with a budget or without one.
    fn refusal(&self, is_budgeted: bool) -> Option<&'static str> {
        match self.around {
            around if around.is_tool_forced => Some("a tool is forced"),
            around if around.has_unsigned_calls && is_budgeted && self.thinker != Thinker::ByEffort => {
                Some("the thinking before the calls is lost")
            }
            _ => None,
        }
    }

    fn made(&self, kind: &'static str, budget_tokens: Option<u64>) -> ThinkingWords<'a> {
        ThinkingWords::Made {
            kind,
            budget_tokens,
            display: self.display().filter(|_| kind != "disabled"),
        }
    }

    /// As the client wants it, else so that there is something to see.
    fn display(&self) -> Option<Cow<'a, str>> {
        let shown = (self.thinker == Thinker::ByEffort).then_some(Cow::Borrowed("summarized"));
        self.display.clone().or(shown)
    }
}

impl Thinker {
    /// The word for an effort; a model that takes budgets has no higher one than `high` but `max`.
    fn word(self, effort: Effort) -> Option<&'static str> {
        match effort {
            Effort::None => None,
            _ if self == Thinker::ByBudget => None,
            Effort::Minimal | Effort::Low => Some("low"),
            Effort::Medium => Some("medium"),
            Effort::ExtraHigh if self == Thinker::ByEffort => Some("xhigh"),
            Effort::High | Effort::ExtraHigh => Some("high"),
            Effort::Max => Some("max"),
        }
    }
}
