//! The conversation as the provider wants it: one system message, and that first; no message without content; the results
//! of tools in the order of their calls.

use crate::PROVIDER;
use crate::body::{self, Part};
use crate::content::{self, Kinds};
use crate::settings::Settings;
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{Text, Turn, TurnCall, refuse, spelt_arguments};
use std::borrow::Cow;

/// Stands for a result without content, which the provider refuses.
const NOTHING: &str = "(empty)";

pub(crate) fn translate<'a>(messages: Vec<Turn<'a>>, settings: &Settings) -> Result<Vec<body::Message<'a>>, Failure> {
    if messages.is_empty() {
        return Err(refuse("messages is empty; send at least one"));
    }
    let mut system = Vec::new();
    let mut turns = Vec::with_capacity(messages.len());
    for (index, message) in messages.into_iter().enumerate() {
        let place = || format!("messages[{index}]");
        if message.name.is_some() {
            settings.losses.name("messages[].name");
        }
        match message.role.0.as_ref() {
            "system" | "developer" => {
                let parts = content::translate(message.content, Kinds::Text, &place)?;
                system.extend((!parts.is_empty()).then(|| content::joined(&parts)));
            }
            "user" => {
                let parts = content::translate(message.content, Kinds::Images, &place)?;
                let content = (!parts.is_empty()).then(|| content::of(parts));
                turns.extend(content.map(|content| body::Message::User { content }));
            }
            "assistant" => turns.extend(assistant(message, settings, &place)?),
            "tool" => turns.push(result(message, &place)?),
            _ => return Err(message.unknown_role(&place)),
        }
    }
    order_results(&mut turns);
    with_system(system, turns)
}

/// Texts beside calls are the plan that comes before them, as they are in this provider's own answers. Thinking goes back
/// to models that think. `None` for a message that came out empty.
fn assistant<'a>(
    message: Turn<'a>,
    settings: &Settings,
    place: &dyn Fn() -> String,
) -> Result<Option<body::Message<'a>>, Failure> {
    let mut texts = content::translate(message.content, Kinds::Text, place)?;
    let refusal = message.refusal.filter(|text| !text.0.trim().is_empty());
    texts.extend(refusal.map(|Text(text)| Part::Text { text }));
    let calls = message.tool_calls.into_iter().flatten().enumerate();
    let tool_calls: Vec<body::ToolCall> = calls
        .map(|(index, call)| called(call, &|| format!("{}.tool_calls[{index}]", place())))
        .collect::<Result<_, _>>()?;
    if texts.is_empty() && tool_calls.is_empty() {
        return Ok(None);
    }
    let tool_plan = match tool_calls.is_empty() || texts.is_empty() {
        true => None,
        false => Some(content::joined(&std::mem::take(&mut texts))),
    };
    let thinking = message
        .reasoning_content
        .or(message.reasoning)
        .filter(|text| settings.thinks && !text.0.trim().is_empty());
    let mut parts: Vec<Part> = thinking
        .map(|Text(thinking)| Part::Thinking { thinking })
        .into_iter()
        .collect();
    parts.extend(texts);
    Ok(Some(body::Message::Assistant {
        tool_plan,
        content: (!parts.is_empty()).then(|| content::of(parts)),
        tool_calls,
    }))
}

fn called<'a>(call: TurnCall<'a>, place: &dyn Fn() -> String) -> Result<body::ToolCall<'a>, Failure> {
    let (Text(id), function) = call.called(PROVIDER, place)?;
    Ok(body::ToolCall {
        id,
        kind: "function",
        function: body::FunctionCall {
            name: function.name.0,
            arguments: spelt_arguments(function.arguments),
        },
    })
}

fn result<'a>(message: Turn<'a>, place: &dyn Fn() -> String) -> Result<body::Message<'a>, Failure> {
    let Some(Text(tool_call_id)) = message.tool_call_id else {
        return Err(refuse(format!(
            "{}.tool_call_id is missing; it names the call that this answers",
            place()
        )));
    };
    let mut parts = content::translate(message.content, Kinds::Documents, place)?;
    if parts.is_empty() {
        parts.push(Part::Text {
            text: Cow::Borrowed(NOTHING),
        });
    }
    Ok(body::Message::Tool {
        tool_call_id,
        content: content::of(parts),
    })
}

/// However the client sent them. A result of no call of its turn stays behind the others.
fn order_results(turns: &mut [body::Message]) {
    let is_result = |turn: &body::Message| matches!(turn, body::Message::Tool { .. });
    let mut rest = turns;
    while let Some(at) = rest
        .iter()
        .position(|turn| matches!(turn, body::Message::Assistant { .. }))
    {
        let (before, after) = rest.split_at_mut(at + 1);
        let count = after.iter().take_while(|turn| is_result(turn)).count();
        if let Some(body::Message::Assistant { tool_calls, .. }) = before.last() {
            after[..count].sort_by_key(|turn| {
                match turn {
                    body::Message::Tool { tool_call_id, .. } => {
                        tool_calls.iter().position(|call| call.id == *tool_call_id)
                    }
                    _ => None,
                }
                .unwrap_or(usize::MAX)
            });
        }
        rest = &mut after[count..];
    }
}

/// The system texts as one, paragraphs between them. A conversation of nothing else is said by the user.
fn with_system<'a>(system: Vec<String>, mut turns: Vec<body::Message<'a>>) -> Result<Vec<body::Message<'a>>, Failure> {
    let text = system.join("\n\n");
    match (text.is_empty(), turns.is_empty()) {
        (true, true) => return Err(refuse("messages holds no text and nothing else to answer")),
        (true, false) => {}
        (false, true) => turns.push(body::Message::User {
            content: body::Content::Text(Cow::Owned(text)),
        }),
        (false, false) => turns.insert(0, body::Message::System { content: text }),
    }
    Ok(turns)
}
