//! The conversation as the provider wants it: the system text apart, user and assistant by turns, a user first, thinking
//! before everything else in a turn, and the results of tools before anything the user says.

use crate::PROVIDER;
use crate::content::{self, Kinds};
use crate::messages::{Block, Role, System, Turn};
use crate::tools;
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{self, Raw, Text, Thought, TurnCall, refuse};
use std::borrow::Cow;
use std::collections::HashMap;

/// Stands where the provider insists on a user's turn and the client has none.
const PLACEHOLDER: &str = ".";

#[derive(Default)]
pub(crate) struct Conversation<'a> {
    system: Vec<Block<'a>>,
    turns: Vec<Turn<'a>>,
}

impl<'a> Conversation<'a> {
    pub(crate) fn of(messages: Vec<translate::Turn<'a>>) -> Result<Self, Failure> {
        if messages.is_empty() {
            return Err(refuse("messages is empty; send at least one"));
        }
        let mut conversation = Conversation::default();
        for (index, message) in messages.into_iter().enumerate() {
            conversation.add(message, &|| format!("messages[{index}]"))?;
        }
        conversation.order_results();
        conversation.trim_prefill();
        conversation.begin_with_user()?;
        Ok(conversation)
    }

    fn add(&mut self, message: translate::Turn<'a>, place: &dyn Fn() -> String) -> Result<(), Failure> {
        let mark = message.cache_control;
        match message.role.0.as_ref() {
            "system" | "developer" => content::translate(message.content, mark, Kinds::Text, place, &mut self.system),
            "user" => {
                let turn = self.turn(Role::User);
                content::translate(message.content, mark, Kinds::All, place, &mut turn.content)
            }
            "assistant" => self.add_assistant(message, place),
            "tool" => self.add_result(message, place),
            _ => Err(message.unknown_role(place)),
        }
    }

    fn add_assistant(&mut self, message: translate::Turn<'a>, place: &dyn Fn() -> String) -> Result<(), Failure> {
        let blocks = &mut self.turn(Role::Assistant).content;
        blocks.extend(message.thinking_blocks.into_iter().flatten().filter_map(thought));
        content::translate(message.content, message.cache_control, Kinds::Text, place, blocks)?;
        if let Some(refusal) = message.refusal.filter(|text| !text.0.trim().is_empty()) {
            blocks.push(Block::Text {
                text: refusal.0,
                cache_control: None,
            });
        }
        for (index, call) in message.tool_calls.into_iter().flatten().enumerate() {
            blocks.push(called(call, &|| format!("{}.tool_calls[{index}]", place()))?);
        }
        Ok(())
    }

    fn add_result(&mut self, message: translate::Turn<'a>, place: &dyn Fn() -> String) -> Result<(), Failure> {
        let Some(id) = message.tool_call_id else {
            return Err(refuse(format!(
                "{}.tool_call_id is missing; it names the call that this answers",
                place()
            )));
        };
        let mut content = Vec::new();
        content::translate(message.content, None, Kinds::All, place, &mut content)?;
        // A mark inside a result would be a mark before its end; the whole result is what is kept in the cache.
        let marks: Option<Raw> = content.iter_mut().filter_map(take_mark).last();
        self.turn(Role::User).content.push(Block::ToolResult {
            tool_use_id: tools::id(id.0),
            content,
            cache_control: marks.or(message.cache_control),
        });
        Ok(())
    }

    /// The turn to add to: messages of one role in a row become one turn. A turn that came out empty, of blank texts say,
    /// does not keep its neighbours apart.
    fn turn(&mut self, role: Role) -> &mut Turn<'a> {
        while self
            .turns
            .last()
            .is_some_and(|turn| turn.role != role && turn.content.is_empty())
        {
            self.turns.pop();
        }
        if self.turns.last().is_none_or(|turn| turn.role != role) {
            self.turns.push(Turn {
                role,
                content: Vec::new(),
            });
        }
        let last = self.turns.len() - 1;
        &mut self.turns[last]
    }

    /// Results come first in their turn, in the order of the calls, however the client sent them.
    fn order_results(&mut self) {
        for index in 0..self.turns.len() {
            let (before, after) = self.turns.split_at_mut(index);
            let turn = &mut after[0];
            if turn.role == Role::User && turn.content.len() > 1 {
                let calls = positions(before.last());
                turn.content.sort_by_key(|block| match block {
                    Block::ToolResult { tool_use_id, .. } => calls.get(&**tool_use_id).copied().unwrap_or(calls.len()),
                    _ => usize::MAX,
                });
            }
        }
    }

    /// The provider refuses a turn without content, and a prefill that ends in white space.
    fn trim_prefill(&mut self) {
        self.turns.retain(|turn| !turn.content.is_empty());
        let prefill = self.turns.last_mut().filter(|turn| turn.role == Role::Assistant);
        if let Some(Block::Text { text, .. }) = prefill.and_then(|turn| turn.content.last_mut()) {
            match text {
                Cow::Borrowed(text) => *text = text.trim_end(),
                Cow::Owned(text) => text.truncate(text.trim_end().len()),
            }
        }
    }

    /// A conversation that the assistant opens gets a user's turn before it; one of system text alone is said by the user.
    fn begin_with_user(&mut self) -> Result<(), Failure> {
        match self.turns.first().map(|turn| turn.role) {
            Some(Role::User) => {}
            Some(Role::Assistant) => {
                let text = Block::Text {
                    text: PLACEHOLDER.into(),
                    cache_control: None,
                };
                self.turns.insert(
                    0,
                    Turn {
                        role: Role::User,
                        content: vec![text],
                    },
                );
            }
            None if self.system.is_empty() => return Err(refuse("messages holds no text and nothing else to answer")),
            None => self.turns.push(Turn {
                role: Role::User,
                content: std::mem::take(&mut self.system),
            }),
        }
        Ok(())
    }

    /// Whether the turn under way began with tool calls whose signed thinking is lost.
    pub(crate) fn has_unsigned_calls(&self) -> bool {
        let is_call = |block: &Block| matches!(block, Block::ToolUse { .. });
        let is_thought = |block: &Block| matches!(block, Block::Thinking { .. } | Block::RedactedThinking { .. });
        let last = self.turns.iter().rev().find(|turn| turn.role == Role::Assistant);
        last.is_some_and(|turn| turn.content.iter().any(is_call) && !turn.content.first().is_some_and(is_thought))
    }

    /// One text, paragraphs between the messages, unless a part is marked for the prompt cache.
    pub(crate) fn split(self) -> (Option<System<'a>>, Vec<Turn<'a>>) {
        let is_marked = |block: &Block| {
            matches!(
                block,
                Block::Text {
                    cache_control: Some(_),
                    ..
                }
            )
        };
        let system = match self.system {
            blocks if blocks.is_empty() => None,
            blocks if blocks.iter().any(is_marked) => Some(System::Blocks(blocks)),
            blocks => Some(System::Text(joined(&blocks))),
        };
        (system, self.turns)
    }
}

/// Thinking goes back only as the provider signed it; without its signature it would be refused.
fn thought(block: Thought<'_>) -> Option<Block<'_>> {
    let signature = block.signature.map(|text| text.0).filter(|text| !text.is_empty());
    match (block.data, signature) {
        (Some(data), _) => Some(Block::RedactedThinking { data: data.0 }),
        (None, signature) => Some(Block::Thinking {
            signature: signature?,
            thinking: block.thinking.map(|text| text.0).unwrap_or_default(),
        }),
    }
}

fn called<'a>(call: TurnCall<'a>, place: &dyn Fn() -> String) -> Result<Block<'a>, Failure> {
    let cache_control = call.cache_control;
    let (Text(id), mut function) = call.called(PROVIDER, place)?;
    let input = tools::input(&mut function);
    Ok(Block::ToolUse {
        id: tools::id(id),
        name: function.name.0,
        input,
        cache_control,
    })
}

fn take_mark<'a>(block: &mut Block<'a>) -> Option<Raw<'a>> {
    match block {
        Block::Text { cache_control, .. }
        | Block::Image { cache_control, .. }
        | Block::Document { cache_control, .. } => cache_control.take(),
        _ => None,
    }
}

/// The ids of the calls of a turn, each with its place in the order.
fn positions<'t>(turn: Option<&'t Turn>) -> HashMap<&'t str, usize> {
    let calls = turn
        .into_iter()
        .flat_map(|turn| &turn.content)
        .filter_map(|block| match block {
            Block::ToolUse { id, .. } => Some(&**id),
            _ => None,
        });
    calls.zip(0..).collect()
}

fn joined(blocks: &[Block]) -> String {
    let texts: Vec<&str> = blocks
        .iter()
        .filter_map(|block| match block {
            Block::Text { text, .. } => Some(text.as_ref()),
            _ => None,
        })
        .collect();
    texts.join("\n\n")
}
