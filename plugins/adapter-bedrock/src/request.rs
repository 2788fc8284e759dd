//! The whole request: what is named in the body one by one.

use crate::conversation::Conversation;
use crate::settings::Settings;
use crate::thinking;
use crate::tools;
use crate::wire::{Inference, NamedSchema, OutputConfig, Request, Structure, TextFormat, ToolConfig, Typed};
use pointsman_plugin::translate::{Chat, Circumstances, refuse};
use pointsman_plugin::{Failure, Outgoing, Target};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// What has a counterpart here, or is settled one by one.
const TAKES: [&str; 11] = [
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "tools",
    "response_format",
    "reasoning_effort",
    "thinking",
    "service_tier",
    "user",
    "prompt_cache_key",
];

/// The provider's own members, which pass as they are.
const OWN: [&str; 5] = [
    "guardrailConfig",
    "promptVariables",
    "additionalModelResponseFieldPaths",
    "requestMetadata",
    "performanceConfig",
];

pub(crate) fn encode(target: &Target, is_stream: bool, body: &[u8]) -> Result<Outgoing, Failure> {
    let settings = Settings::of(target)?;
    let request = translate(Chat::read(body)?, target, &settings)?;
    let body =
        serde_json::to_vec(&request).map_err(|error| refuse(format!("the request cannot be written: {error}")))?;
    let operation = if is_stream { "converse-stream" } else { "converse" };
    let path = format!("/model/{}/{operation}", escaped(&target.model));
    Ok(settings.losses.tell(Outgoing::json(path, body)))
}

/// One segment of a path: an ARN has slashes and colons.
fn escaped(model: &str) -> String {
    let mut escaped = String::with_capacity(model.len() + 8);
    for byte in model.bytes() {
        match byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            true => escaped.push(byte as char),
            false => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

fn translate<'a>(mut chat: Chat<'a>, target: &Target, settings: &Settings) -> Result<Request<'a>, Failure> {
    if chat.messages.iter().any(|message| message.name.is_some()) {
        settings.losses.name("messages[].name");
    }
    let conversation = Conversation::of(std::mem::take(&mut chat.messages))?;
    let tool_config = tools::config(&chat, conversation.called(), settings)?;
    let max_tokens = chat.most_tokens();
    let max_tokens = max_tokens.map(|most| settings.max_output.map_or(most, |known| most.min(known)).max(1));
    let mut fields = settings.additional.clone();
    let around = Circumstances {
        max_tokens,
        is_tool_forced: tool_config.as_ref().is_some_and(ToolConfig::is_forced),
        has_unsigned_calls: conversation.has_unsigned_calls(),
    };
    let thinks = thinking::choose(&chat, settings, &around, &mut fields)?;
    let inference_config = inference(&chat, max_tokens, thinks, target, settings, &mut fields)?;
    for name in ["additionalModelRequestFields", "additional_model_request_fields"] {
        fields.extend(chat.own.take::<Map<String, Value>>(name)?.unwrap_or_default());
    }
    let tier = chat.service_tier.as_ref().map(|tier| tier.0.clone());
    let request = Request {
        messages: conversation.turns,
        system: conversation.system,
        inference_config,
        tool_config,
        additional_model_request_fields: fields,
        output_config: structure(&chat, settings)?,
        service_tier: tier.and_then(|tier| service_tier(tier, settings)),
        own: OWN
            .into_iter()
            .filter_map(|name| Some((name, chat.own.take_raw(name)?)))
            .collect(),
    };
    chat.settle(&TAKES, &settings.losses)?;
    Ok(request)
}

/// Claude does not take another sampling than its own while it thinks. How `top_k` is called is the maker's matter.
fn inference<'a>(
    chat: &Chat<'a>,
    max_tokens: Option<u64>,
    thinks: bool,
    target: &Target,
    settings: &Settings,
    fields: &mut Map<String, Value>,
) -> Result<Inference<'a>, Failure> {
    let mut inference = Inference {
        max_tokens,
        stop_sequences: chat.stops()?,
        ..Inference::default()
    };
    if thinks {
        let given = [
            ("temperature", chat.temperature.is_some_and(|number| number != 1.0)),
            ("top_p", chat.top_p.is_some_and(|number| number < 0.95)),
            ("top_k", chat.top_k.is_some()),
        ];
        for (name, _) in given.iter().filter(|(_, is_given)| *is_given) {
            settings.losses.leave_out(format!("{name} (the model thinks)"))?;
        }
        return Ok(inference);
    }
    if chat.temperature.is_some_and(|number| number > 1.0) {
        settings.losses.leave_out("temperature above 1")?;
    }
    inference.temperature = chat.temperature.map(|number| number.clamp(0.0, 1.0));
    inference.top_p = chat.top_p.map(|number| number.clamp(0.0, 1.0));
    match chat.top_k {
        Some(top_k) if target.model.contains("anthropic.") => {
            fields.insert("top_k".to_owned(), top_k.into());
        }
        Some(top_k) if target.model.contains("amazon.nova") => {
            fields.insert("inferenceConfig".to_owned(), json!({ "topK": top_k }));
        }
        Some(_) => settings.losses.leave_out("top_k")?,
        None => {}
    }
    Ok(inference)
}

/// JSON of any shape cannot be asked for.
fn structure<'a>(chat: &Chat<'a>, settings: &Settings) -> Result<Option<OutputConfig<'a>>, Failure> {
    let Some(format) = &chat.response_format else {
        return Ok(None);
    };
    let schema = match format.schema()? {
        None => return Ok(None),
        Some(schema) => schema.filter(|_| settings.has_schemas),
    };
    let Some(schema) = schema else {
        settings.losses.leave_out("response_format")?;
        return Ok(None);
    };
    let name = format.json_schema.as_ref().and_then(|named| named.name.as_ref());
    let json_schema = NamedSchema {
        name: name.map(|name| name.0.clone()).filter(|name| !name.is_empty()),
        schema: schema.get(),
    };
    Ok(Some(OutputConfig {
        text_format: TextFormat {
            kind: "json_schema",
            structure: Structure { json_schema },
        },
    }))
}

fn service_tier<'a>(tier: Cow<'a, str>, settings: &Settings) -> Option<Typed<Cow<'a, str>>> {
    match tier.as_ref() {
        "priority" | "default" | "flex" | "reserved" => return Some(Typed { kind: tier }),
        "auto" => {}
        _ => settings.losses.name("service_tier"),
    }
    None
}
