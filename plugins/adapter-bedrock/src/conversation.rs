//! The conversation as the provider wants it: the system text apart, user and assistant by turns, a user first, the results of
//! tools before anything the user says and in the order of the calls, and a text beside every document.

use crate::PROVIDER;
use crate::content::{self, Kinds, placeholder};
use crate::tools;
use crate::wire::{Block, Reasoning, Role, ToolResult, ToolUse, Turn};
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{self, Thought, TurnCall, order_results, refuse, spelt_arguments};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Stands where the provider insists on a turn or a text and the client has none.
const PLACEHOLDER: &str = ".";
/// Stands for a result without content.
const NOTHING: &str = "(empty)";

#[derive(Default)]
pub(crate) struct Conversation<'a> {
    pub(crate) system: Vec<Block<'a>>,
    pub(crate) turns: Vec<Turn<'a>>,
}

impl<'a> Conversation<'a> {
    pub(crate) fn of(mut messages: Vec<translate::Turn<'a>>) -> Result<Self, Failure> {
        if messages.is_empty() {
            return Err(refuse("messages is empty; send at least one"));
        }
        order_results(&mut messages);
        let mut conversation = Conversation::default();
        for (index, message) in messages.into_iter().enumerate() {
            conversation.add(message, &|| format!("messages[{index}]"))?;
        }
        conversation.tidy();
        conversation.begin_with_user()?;
        Ok(conversation)
    }

    fn add(&mut self, message: translate::Turn<'a>, place: &dyn Fn() -> String) -> Result<(), Failure> {
        let mark = message.cache_control;
        match message.role.0.as_ref() {
            "system" | "developer" => content::translate(message.content, mark, Kinds::Text, place, &mut self.system),
            "user" => {
                let blocks = &mut self.turn(Role::User).content;
                content::translate(message.content, mark, Kinds::All, place, blocks)
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
        let refusal = message.refusal.filter(|text| !text.0.trim().is_empty());
        blocks.extend(refusal.map(|text| Block::Text(text.0)));
        for (index, call) in message.tool_calls.into_iter().flatten().enumerate() {
            let mark = call.cache_control;
            blocks.push(called(call, &|| format!("{}.tool_calls[{index}]", place()))?);
            blocks.extend(mark.map(|raw| Block::CachePoint(content::cache_point(raw))));
        }
        Ok(())
    }

    /// A mark inside a result would be a mark before its end; the whole result is what is kept in the cache.
    fn add_result(&mut self, message: translate::Turn<'a>, place: &dyn Fn() -> String) -> Result<(), Failure> {
        let Some(id) = message.tool_call_id else {
            return Err(refuse(format!(
                "{}.tool_call_id is missing; it names the call that this answers",
                place()
            )));
        };
        let mut content = Vec::new();
        content::translate(message.content, message.cache_control, Kinds::All, place, &mut content)?;
        let is_mark = |block: &Block| matches!(block, Block::CachePoint(_));
        let mark = content.iter().rposition(is_mark).map(|at| content.remove(at));
        content.retain(|block| !is_mark(block));
        if content.is_empty() {
            content.push(placeholder(NOTHING));
        }
        let tool_use_id = tools::id(id);
        let turn = self.turn(Role::User);
        turn.content
            .push(Block::ToolResult(ToolResult { tool_use_id, content }));
        turn.content.extend(mark);
        Ok(())
    }

    /// The turn to add to: messages of one role in a row become one turn. A turn that came out empty, of blank texts say, does not
    /// keep its neighbours apart.
    fn turn(&mut self, role: Role) -> &mut Turn<'a> {
        while self
            .turns
            .last()
            .is_some_and(|turn| turn.role != role && turn.content.is_empty())
        {
            self.turns.pop();
        }
        if self.turns.last().is_none_or(|turn| turn.role != role) {
            let content = Vec::new();
            self.turns.push(Turn { role, content });
        }
        let last = self.turns.len() - 1;
        &mut self.turns[last]
    }

    /// The provider refuses turns without content, documents without a text and a prefill that ends in white space, and takes no
    /// two documents of one name.
    fn tidy(&mut self) {
        self.turns.retain(|turn| !turn.content.is_empty());
        let mut names: Vec<String> = Vec::new();
        for turn in &mut self.turns {
            let has = |test: fn(&Block) -> bool| turn.content.iter().any(test);
            if has(|block| matches!(block, Block::Document(_))) && !has(|block| matches!(block, Block::Text(_))) {
                turn.content.push(placeholder(PLACEHOLDER));
            }
            for block in &mut turn.content {
                name_documents(block, &mut names);
            }
        }
        let prefill = self.turns.last_mut().filter(|turn| turn.role == Role::Assistant);
        if let Some(Block::Text(text)) = prefill.and_then(|turn| turn.content.last_mut()) {
            match text {
                Cow::Borrowed(text) => *text = text.trim_end(),
                Cow::Owned(text) => text.truncate(text.trim_end().len()),
            }
        }
    }

    /// A conversation that the assistant opens gets a user's turn before it; one of system text alone is said by the user.
    fn begin_with_user(&mut self) -> Result<(), Failure> {
        let content = match self.turns.first().map(|turn| turn.role) {
            Some(Role::User) => return Ok(()),
            Some(Role::Assistant) => vec![placeholder(PLACEHOLDER)],
            None if self.system.is_empty() => return Err(refuse("messages holds no text and nothing else to answer")),
            None => std::mem::take(&mut self.system),
        };
        let role = Role::User;
        self.turns.insert(0, Turn { role, content });
        Ok(())
    }

    /// The names of what was called in the history, each once.
    pub(crate) fn called(&self) -> Vec<Cow<'a, str>> {
        let mut names: Vec<Cow<'a, str>> = Vec::new();
        for block in self.turns.iter().flat_map(|turn| &turn.content) {
            match block {
                Block::ToolUse(call) if !names.contains(&call.name) => names.push(call.name.clone()),
                _ => {}
            }
        }
        names
    }

    /// Whether the turn under way began with tool calls whose signed thinking is lost.
    pub(crate) fn has_unsigned_calls(&self) -> bool {
        let last = self.turns.iter().rev().find(|turn| turn.role == Role::Assistant);
        last.is_some_and(|turn| {
            turn.content.iter().any(|block| matches!(block, Block::ToolUse(_)))
                && !matches!(turn.content.first(), Some(Block::ReasoningContent(_)))
        })
    }
}

fn name_documents(block: &mut Block, names: &mut Vec<String>) {
    match block {
        Block::Document(document) => {
            let same = names.iter().filter(|name| **name == document.name).count();
            names.push(document.name.clone());
            if same > 0 {
                document.name = format!("{} {}", document.name, same + 1);
            }
        }
        Block::ToolResult(result) => result.content.iter_mut().for_each(|inner| name_documents(inner, names)),
        _ => {}
    }
}

/// Thinking goes back only as the provider signed it; without its signature it would be refused.
fn thought(block: Thought<'_>) -> Option<Block<'_>> {
    let signature = block.signature.map(|text| text.0).filter(|text| !text.is_empty());
    Some(Block::ReasoningContent(match (block.data, signature) {
        (Some(data), _) => Reasoning::RedactedContent(data.0),
        (None, signature) => Reasoning::ReasoningText {
            signature: signature?,
            text: block.thinking.map(|text| text.0).unwrap_or_default(),
        },
    }))
}

fn called<'a>(call: TurnCall<'a>, place: &dyn Fn() -> String) -> Result<Block<'a>, Failure> {
    let (id, function) = call.called(PROVIDER, place)?;
    let input = RawValue::from_string(spelt_arguments(function.arguments).into_owned());
    let input = input.map_err(|error| refuse(format!("{}.function.arguments: {error}", place())))?;
    Ok(Block::ToolUse(ToolUse {
        tool_use_id: tools::id(id),
        name: function.name.0,
        input,
    }))
}
