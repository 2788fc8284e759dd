//! What can be configured, field by field; the comments are the schema's descriptions.

use pointsman_plugin::{
    Summary,
    action::{Action, Labels, Mode, Refusal, Settings},
    standing::Percent,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// What requests need, and who is to serve them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The rules, in the order in which they are tried.
    #[serde(default)]
    pub(crate) rules: Vec<Rule>,
    /// Whether the first rule that matches ends the search, or all that match add up.
    #[serde(default, rename = "match")]
    pub(crate) mode: Mode,
    /// What happens where no rule matches.
    pub(crate) default: Option<Action>,
    /// In which order those follow that no rule prefers.
    #[serde(default)]
    pub(crate) order: Order,
    /// How much of a candidate's context window a request may fill, its output included.
    #[serde(default = "all")]
    pub(crate) fill_percent: Percent,
    /// Tokens of output to keep room for where the client names no limit.
    #[serde(default)]
    pub(crate) headroom_tokens: u32,
    /// What becomes of candidates that a request would fill further than that.
    #[serde(default)]
    pub(crate) too_small: TooSmall,
}

/// One rule. It matches if everything holds that it says of the request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// The host's estimate of the input has at least so many tokens.
    pub(crate) from_tokens: Option<u32>,
    /// It has less.
    pub(crate) below_tokens: Option<u32>,
    /// The conversation has at least so many messages.
    pub(crate) from_messages: Option<u32>,
    /// It has less.
    pub(crate) below_messages: Option<u32>,
    /// The client asks for at least so many tokens of output; a client that names no limit does not.
    pub(crate) from_output_tokens: Option<u32>,
    /// Whether tools are offered.
    pub(crate) tools: Option<bool>,
    /// Whether there are images.
    pub(crate) images: Option<bool>,
    /// Whether JSON is asked for.
    pub(crate) structured_output: Option<bool>,
    /// Whether the answer is streamed.
    pub(crate) stream: Option<bool>,
    /// The request's label `class`, or a table of labels.
    pub(crate) label: Option<Labels>,
    /// Candidates by id or by `tag:NAME`, in order of preference; the others stay behind them as fallbacks.
    #[serde(default)]
    pub(crate) prefer: Vec<String>,
    /// Candidates by id or by `tag:NAME`, in order of preference; the others are out. Where none of them may serve the
    /// request, it is refused.
    #[serde(default)]
    pub(crate) only: Vec<String>,
    /// Fields of the request and the values that they are set to, whatever the client sent.
    #[serde(default)]
    pub(crate) set: Settings,
    /// Refuses the request.
    pub(crate) reject: Option<Refusal>,
}

/// In which order candidates follow that no rule prefers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// As they came.
    #[default]
    Keep,
    /// The smallest context window first; those of which none is known last.
    SmallestWindow,
    /// The largest context window first; those of which none is known last.
    LargestWindow,
}

/// What becomes of candidates whose window is too small.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TooSmall {
    /// They stay, behind those that are large enough.
    #[default]
    Behind,
    /// They leave; where nobody is left, the request is refused with status 400 and code `context_length_exceeded`.
    Out,
}

fn all() -> Percent {
    Percent::whole(100)
}

/// What a rule asks for and what it does.
pub(crate) struct Checked {
    needs: Needs,
    pub(crate) action: Action,
}

struct Needs {
    tokens: Range,
    messages: Range,
    output: Range,
    tools: Option<bool>,
    images: Option<bool>,
    structured_output: Option<bool>,
    stream: Option<bool>,
}

/// From the first on, below the second.
#[derive(Clone, Copy)]
struct Range(Option<u32>, Option<u32>);

impl Range {
    fn has(self, number: u32) -> bool {
        self.0.is_none_or(|from| number >= from) && self.1.is_none_or(|below| number < below)
    }

    fn is_everything(self) -> bool {
        self.0.is_none() && self.1.is_none()
    }

    /// Whether no number is in it.
    fn is_nothing(self) -> bool {
        self.1.is_some_and(|below| below <= self.0.unwrap_or_default())
    }
}

impl Rule {
    /// The rule at its place in the list, or what is wrong with it.
    pub(crate) fn check(self, index: usize) -> Result<Checked, String> {
        let needs = Needs {
            tokens: Range(self.from_tokens, self.below_tokens),
            messages: Range(self.from_messages, self.below_messages),
            output: Range(self.from_output_tokens, None),
            tools: self.tools,
            images: self.images,
            structured_output: self.structured_output,
            stream: self.stream,
        };
        if needs.are_none() {
            return Err(format!(
                "`rules[{index}]` asks for nothing, expected one of `from_tokens`, `below_tokens`, `from_messages`, \
                 `below_messages`, `from_output_tokens`, `tools`, `images`, `structured_output` and `stream`"
            ));
        }
        for (name, range) in [("tokens", needs.tokens), ("messages", needs.messages)] {
            if range.is_nothing() {
                return Err(format!(
                    "`rules[{index}].below_{name}`: no number is below it, expected more than `from_{name}`"
                ));
            }
        }
        let action = Action {
            label: self.label,
            prefer: self.prefer,
            only: self.only,
            set: self.set,
            reject: self.reject,
        };
        action.check().map_err(|error| format!("`rules[{index}].{error}"))?;
        Ok(Checked { needs, action })
    }
}

impl Checked {
    pub(crate) fn matches(&self, request: &Summary) -> bool {
        let Needs {
            tokens,
            messages,
            output,
            tools,
            images,
            structured_output,
            stream,
        } = &self.needs;
        let is = |wanted: &Option<bool>, actual: bool| wanted.is_none_or(|wanted| wanted == actual);
        tokens.has(request.estimated_input_tokens)
            && messages.has(request.message_count)
            && output.has(request.max_output_tokens.unwrap_or_default())
            && is(tools, request.has_tools)
            && is(images, request.has_images)
            && is(structured_output, request.wants_structured_output)
            && is(stream, request.is_stream)
    }
}

impl Needs {
    fn are_none(&self) -> bool {
        let flags = [self.tools, self.images, self.structured_output, self.stream];
        [self.tokens, self.messages, self.output]
            .into_iter()
            .all(Range::is_everything)
            && flags.iter().all(Option::is_none)
    }
}
