//! The conversation as the provider wants it: contents are strings, images stand beside them, and the result of a tool names the
//! tool, since not every version knows ids.

use crate::PROVIDER;
use crate::body::{FunctionCall, Message, ToolCall};
use crate::settings::Settings;
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{
    DataUrl, Part, Raw, Text, Turn, TurnCall, order_results, parts, refuse, spelt_arguments,
};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Calls by their id: the name of what was called.
type Called<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

pub(crate) fn translate<'a>(mut messages: Vec<Turn<'a>>, settings: &Settings) -> Result<Vec<Message<'a>>, Failure> {
    if messages.is_empty() {
        return Err(refuse("messages is empty; send at least one"));
    }
    order_results(&mut messages);
    let mut turns = Vec::with_capacity(messages.len());
    let mut called = Called::new();
    for (index, message) in messages.into_iter().enumerate() {
        let place = || format!("messages[{index}]");
        if message.name.is_some() {
            settings.losses.name("messages[].name");
        }
        let turn = match message.role.0.as_ref() {
            "system" | "developer" => said("system", message.content, false, &place)?,
            "user" => said("user", message.content, true, &place)?,
            "assistant" => assistant(message, settings, &place)?,
            "tool" => result(message, &called, &place)?,
            _ => return Err(message.unknown_role(&place)),
        };
        let calls = turn.tool_calls.iter();
        called.extend(calls.map(|call| (call.id.clone(), call.function.name.clone())));
        turns.push(turn);
    }
    Ok(turns)
}

/// A message of this role; its texts are one, a line for each.
fn said<'a>(
    role: &'static str,
    content: Option<Raw<'a>>,
    takes_images: bool,
    place: &dyn Fn() -> String,
) -> Result<Message<'a>, Failure> {
    let mut message = Message {
        role,
        content: Cow::Borrowed(""),
        thinking: None,
        images: Vec::new(),
        tool_calls: Vec::new(),
        tool_call_id: None,
        tool_name: None,
    };
    for (index, part) in parts(content, place)?.into_iter().enumerate() {
        add(&mut message, part, takes_images, &|| {
            format!("{}.content[{index}]", place())
        })?;
    }
    Ok(message)
}

fn add<'a>(
    message: &mut Message<'a>,
    mut part: Part<'a>,
    takes_images: bool,
    place: &dyn Fn() -> String,
) -> Result<(), Failure> {
    if let Some(Text(text)) = part.said(place)? {
        match message.content.is_empty() {
            true => message.content = text,
            false if text.is_empty() => {}
            false => message.content.to_mut().extend(["\n", &text]),
        }
        return Ok(());
    }
    if part.kind.0 != "image_url" || !takes_images {
        return Err(part.refused(PROVIDER, place));
    }
    let Text(url) = part.image(place)?.url;
    let Some(image) = DataUrl::read(url) else {
        return Err(refuse(format!(
            "{}.image_url is an address, and {PROVIDER} fetches nothing; send a data URL with base64 (`data:image/png;base64,...`)",
            place()
        )));
    };
    message.images.push(image.data);
    Ok(())
}

/// What the model thought goes back to it: its template leaves out what it does not want.
fn assistant<'a>(message: Turn<'a>, settings: &Settings, place: &dyn Fn() -> String) -> Result<Message<'a>, Failure> {
    let mut turn = said("assistant", message.content, false, place)?;
    if let Some(Text(refusal)) = message.refusal.filter(|_| turn.content.is_empty()) {
        turn.content = refusal;
    }
    let thinking = message.reasoning_content.or(message.reasoning);
    turn.thinking = thinking
        .map(|text| text.0)
        .filter(|text| settings.thinks && !text.is_empty());
    for (index, call) in message.tool_calls.into_iter().flatten().enumerate() {
        turn.tool_calls
            .push(called(call, &|| format!("{}.tool_calls[{index}]", place()))?);
    }
    Ok(turn)
}

fn called<'a>(call: TurnCall<'a>, place: &dyn Fn() -> String) -> Result<ToolCall<'a>, Failure> {
    let (Text(id), function) = call.called(PROVIDER, place)?;
    let arguments = RawValue::from_string(spelt_arguments(function.arguments).into_owned());
    let arguments = arguments.map_err(|error| refuse(format!("{}.function.arguments: {error}", place())))?;
    Ok(ToolCall {
        id,
        function: FunctionCall {
            name: function.name.0,
            arguments,
        },
    })
}

fn result<'a>(message: Turn<'a>, called: &Called<'a>, place: &dyn Fn() -> String) -> Result<Message<'a>, Failure> {
    let Some(Text(id)) = message.tool_call_id else {
        return Err(refuse(format!(
            "{}.tool_call_id is missing; it names the call that this answers",
            place()
        )));
    };
    let mut turn = said("tool", message.content, false, place)?;
    // Ids may come again in a long conversation: the last call counts.
    let name = called.iter().rev().find(|(known, _)| *known == id);
    turn.tool_name = name.map(|(_, name)| name.clone());
    turn.tool_call_id = Some(id);
    Ok(turn)
}
