//! The whole request: where it goes, what is named in the body one by one, and what cannot be asked of this provider.

use crate::chat::{Chat, Raw, ResponseFormat, Text, read, refuse};
use crate::conversation::Conversation;
use crate::schema;
use crate::settings::{SchemaStyle, Settings};
use crate::thinking;
use crate::tools;
use crate::wire::{CountRequest, GenerationConfig, Modalities, Request, SafetySettings};
use pointsman_plugin::{Failure, Operation, Outgoing, Target};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::Write;

/// The most stop sequences that the provider takes.
const MOST_STOPS: usize = 5;

/// The most answers that the provider gives to one request.
const MOST_ANSWERS: u64 = 8;

pub(crate) fn encode(operation: Operation, target: &Target, is_stream: bool, body: &[u8]) -> Result<Outgoing, Failure> {
    if !matches!(operation, Operation::Chat | Operation::CountTokens) {
        return Err(refuse(
            "this provider is asked for chat completions and counts of tokens only",
        ));
    }
    let model = resource(&target.model)?;
    let settings = Settings::of(target)?;
    let chat = Chat::read(body)?;
    refuse_unknown(&chat, &settings)?;
    let request = translate(chat, target, &settings)?;
    if operation == Operation::CountTokens {
        let generate_content_request = Request {
            model: Some(model.clone()),
            ..request
        };
        let request = CountRequest {
            generate_content_request,
        };
        return outgoing(&model, "countTokens", &request);
    }
    let method = if is_stream {
        "streamGenerateContent?alt=sse"
    } else {
        "generateContent"
    };
    outgoing(&model, method, &request)
}

fn outgoing(model: &str, method: &str, request: &impl Serialize) -> Result<Outgoing, Failure> {
    let body =
        serde_json::to_vec(request).map_err(|error| refuse(format!("the request cannot be written: {error}")))?;
    Ok(Outgoing::json(format!("/{model}:{method}"), body))
}

/// `models/NAME`, or the name as it is where it has a collection of its own: `tunedModels/mine`. It becomes a part of the
/// path, so no letter of it may mean anything there.
fn resource(model: &str) -> Result<String, Failure> {
    let mut path = String::with_capacity(model.len() + 7);
    if !model.contains('/') {
        path.push_str("models/");
    }
    for (index, segment) in model.split('/').enumerate() {
        if matches!(segment, "" | "." | "..") {
            return Err(refuse(format!("`{model}` cannot be the name of a model of Gemini")));
        }
        if index > 0 {
            path.push('/');
        }
        for byte in segment.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'@' => path.push(byte as char),
                _ => write!(path, "%{byte:02X}").unwrap_or_default(),
            }
        }
    }
    Ok(path)
}

fn translate<'a>(mut chat: Chat<'a>, target: &Target, settings: &Settings) -> Result<Request<'a>, Failure> {
    let messages = std::mem::take(&mut chat.messages);
    let (system_instruction, contents) = Conversation::of(messages, settings)?.split();
    let tools = tools::translate(&chat, settings)?;
    let tool_config = tools::choose(&chat, &tools, settings)?;
    let generation_config = configure(&chat, target, settings)?;
    let safety_settings = match chat.safety_settings {
        Some(given) => SafetySettings::Given(given),
        None => SafetySettings::Configured(settings.safety_settings.clone()),
    };
    Ok(Request {
        model: None,
        contents,
        system_instruction,
        tools,
        tool_config,
        safety_settings,
        generation_config,
        cached_content: chat.cached_content.map(|name| name.0),
        service_tier: match chat.service_tier.as_ref().map(|tier| tier.0.as_ref()) {
            Some("default") => Some("standard"),
            Some("flex") => Some("flex"),
            Some("priority") => Some("priority"),
            _ => None,
        },
    })
}

fn configure<'a>(chat: &Chat<'a>, target: &Target, settings: &Settings) -> Result<GenerationConfig<'a>, Failure> {
    let own = chat.generation_config.unwrap_or_default();
    let most = target.max_output_tokens.map_or(u64::from(u32::MAX >> 1), u64::from);
    let mut config = GenerationConfig {
        candidate_count: chat.n.filter(|n| *n != 1),
        max_output_tokens: chat
            .max_completion_tokens
            .or(chat.max_tokens)
            .map(|tokens| tokens.min(most)),
        temperature: chat.temperature.map(|temperature| temperature.clamp(0.0, 2.0)),
        top_p: chat.top_p,
        top_k: chat.top_k,
        // The provider's seeds have 32 bits; the same seed stays the same.
        seed: chat.seed.map(|seed| seed as i32),
        // Many clients send 0, which means nothing, and some models refuse the very word.
        presence_penalty: chat.presence_penalty.filter(|penalty| *penalty != 0.0),
        frequency_penalty: chat.frequency_penalty.filter(|penalty| *penalty != 0.0),
        stop_sequences: chat.stop.map(stops).transpose()?.unwrap_or_default(),
        response_logprobs: chat.logprobs.filter(|is_wanted| *is_wanted),
        logprobs: chat.top_logprobs.filter(|_| chat.logprobs == Some(true)),
        thinking_config: thinking::plan(chat, settings)?,
        response_modalities: modalities(chat, own.response_modalities),
        media_resolution: own.media_resolution,
        speech_config: own.speech_config,
        image_config: own.image_config,
        ..GenerationConfig::default()
    };
    if let Some(format) = &chat.response_format {
        structure(format, settings, &mut config)?;
    }
    Ok(config)
}

fn modalities<'a>(chat: &Chat, own: Option<Raw<'a>>) -> Option<Modalities<'a>> {
    let mut asked = chat.modalities.iter().flatten();
    let has_image = asked.any(|modality| modality.0 == "image");
    let made = has_image.then_some(Modalities::Made(["TEXT", "IMAGE"]));
    own.map(Modalities::Given).or(made)
}

/// A string or a list; the provider refuses empty ones.
fn stops(raw: Raw<'_>) -> Result<Vec<Cow<'_, str>>, Failure> {
    let texts: Vec<Text> = match raw.get().starts_with('"') {
        true => vec![read(raw.get(), "stop")?],
        false => read(raw.get(), "stop")?,
    };
    let stops: Vec<_> = texts
        .into_iter()
        .map(|text| text.0)
        .filter(|text| !text.is_empty())
        .collect();
    if stops.len() > MOST_STOPS {
        return Err(refuse(format!(
            "stop has {} sequences, but Gemini takes {MOST_STOPS} at most",
            stops.len()
        )));
    }
    Ok(stops)
}

fn structure<'a>(
    format: &ResponseFormat<'a>,
    settings: &Settings,
    config: &mut GenerationConfig<'a>,
) -> Result<(), Failure> {
    match format.kind.0.as_ref() {
        "text" => return Ok(()),
        "json_object" => {}
        "json_schema" => {
            let what = "response_format.json_schema.schema";
            let Some(schema) = format.json_schema.as_ref().and_then(|named| named.schema) else {
                return Err(refuse(format!("{what} is missing")));
            };
            match settings.schema {
                SchemaStyle::Json => config.response_json_schema = Some(schema),
                SchemaStyle::Subset => config.response_schema = Some(schema::subset(schema, &|| what.to_owned())?),
            }
        }
        other => {
            return Err(refuse(format!(
                "response_format is `{other}`, but must be text, json_object or json_schema"
            )));
        }
    }
    config.response_mime_type = Some("application/json");
    Ok(())
}

/// What no answer could honour is refused always; what merely has no counterpart, where the settings say so.
fn refuse_unknown(chat: &Chat, settings: &Settings) -> Result<(), Failure> {
    if let Some(n) = chat.n.filter(|n| !(1..=MOST_ANSWERS).contains(n)) {
        return Err(refuse(format!(
            "n is {n}, but Gemini gives 1 to {MOST_ANSWERS} answers per request"
        )));
    }
    let is_spoken = chat.modalities.iter().flatten().any(|modality| modality.0 == "audio");
    if is_spoken || chat.audio.is_some() {
        return Err(refuse(
            "audio is not known to Gemini in answers; ask for text, and leave audio out",
        ));
    }
    if chat.functions.is_some() {
        return Err(refuse("functions is not known to Gemini; send tools instead"));
    }
    let left_out = [
        ("logit_bias", chat.logit_bias.is_some()),
        ("prediction", chat.prediction.is_some()),
        ("verbosity", chat.verbosity.is_some()),
    ];
    let mut given = left_out.iter().filter(|(_, is_given)| *is_given);
    given.try_for_each(|(name, _)| settings.leave_out(&|| (*name).to_owned()))
}
