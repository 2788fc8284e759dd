//! The whole request: where it goes, what is named in the body one by one, and what cannot be asked of this provider.

use crate::conversation::Conversation;
use crate::own::{Own, OwnGeneration};
use crate::schema;
use crate::settings::{Place, SchemaStyle, Settings};
use crate::thinking;
use crate::tools;
use crate::wire::{CountRequest, GenerationConfig, Modalities, Request, SafetySettings};
use pointsman_plugin::translate::{Chat, Raw, ResponseFormat, refuse};
use pointsman_plugin::{Failure, Operation, Outgoing, Target};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::Write;

/// The most stop sequences that the provider takes.
const MOST_STOPS: usize = 5;

/// The most answers that the provider gives to one request.
const MOST_ANSWERS: u64 = 8;

/// What has a counterpart here, or is settled one by one.
const TAKES: [&str; 20] = [
    "n",
    "modalities",
    "temperature",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
    "logprobs",
    "top_logprobs",
    "tools",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "thinking",
    "web_search_options",
    "service_tier",
    "prompt_cache_key",
    "messages[].images",
];

pub(crate) fn encode(operation: Operation, target: &Target, is_stream: bool, body: &[u8]) -> Result<Outgoing, Failure> {
    if !matches!(operation, Operation::Chat | Operation::CountTokens) {
        return Err(refuse(
            "this provider is asked for chat completions, counts of tokens and embeddings only",
        ));
    }
    let model = resource(&target.model)?;
    let settings = Settings::of(target)?;
    let request = translate(Chat::read(body)?, target, &settings)?;
    if operation == Operation::CountTokens && settings.place == Place::Vertex {
        return outgoing(&model, "countTokens", &request.counted(), &settings);
    }
    if operation == Operation::CountTokens {
        let generate_content_request = Request {
            model: Some(model.clone()),
            ..request
        };
        let request = CountRequest {
            generate_content_request,
        };
        return outgoing(&model, "countTokens", &request, &settings);
    }
    let method = if is_stream {
        "streamGenerateContent?alt=sse"
    } else {
        "generateContent"
    };
    outgoing(&model, method, &request, &settings)
}

fn outgoing(model: &str, method: &str, request: &impl Serialize, settings: &Settings) -> Result<Outgoing, Failure> {
    let body =
        serde_json::to_vec(request).map_err(|error| refuse(format!("the request cannot be written: {error}")))?;
    let outgoing = Outgoing::json(format!("/{model}:{method}"), body);
    Ok(settings.losses.tell(outgoing))
}

/// `models/NAME`, or the name as it is where it has a collection of its own: `tunedModels/mine`. It becomes a part of the
/// path, so no letter of it may mean anything there.
pub(crate) fn resource(model: &str) -> Result<String, Failure> {
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
    let own = Own::take(&mut chat)?;
    let mut generation_config = configure(&chat, own.generation_config, target, settings)?;
    generation_config.thinking_config = thinking::plan(&chat, own.thinking_config, settings)?;
    let safety_settings = match own.safety_settings {
        Some(given) => SafetySettings::Given(given),
        None => SafetySettings::Configured(settings.safety_settings.clone()),
    };
    let request = Request {
        model: None,
        contents,
        system_instruction,
        tools,
        tool_config,
        safety_settings,
        generation_config,
        cached_content: own.cached_content.map(|name| name.0),
        service_tier: match chat.service_tier.as_ref().map(|tier| tier.0.as_ref()) {
            // There it is a header's matter.
            _ if settings.place == Place::Vertex => None,
            Some("default") => Some("standard"),
            Some("flex") => Some("flex"),
            Some("priority") => Some("priority"),
            _ => None,
        },
    };
    settle(&chat, request.service_tier, settings)?;
    Ok(request)
}

fn configure<'a>(
    chat: &Chat<'a>,
    own: Option<OwnGeneration<'a>>,
    target: &Target,
    settings: &Settings,
) -> Result<GenerationConfig<'a>, Failure> {
    let own = own.unwrap_or_default();
    let most = target.max_output_tokens.map_or(u64::from(u32::MAX >> 1), u64::from);
    let mut config = GenerationConfig {
        candidate_count: chat.n.filter(|n| *n != 1),
        max_output_tokens: chat.most_tokens().map(|tokens| tokens.min(most)),
        temperature: chat.temperature.map(|temperature| temperature.clamp(0.0, 2.0)),
        top_p: chat.top_p,
        top_k: chat.top_k,
        // The provider's seeds have 32 bits; the same seed stays the same.
        seed: chat.seed.map(|seed| seed as i32),
        // Many clients send 0, which means nothing, and some models refuse the very word.
        presence_penalty: chat.presence_penalty.filter(|penalty| *penalty != 0.0),
        frequency_penalty: chat.frequency_penalty.filter(|penalty| *penalty != 0.0),
        stop_sequences: stops(chat)?,
        response_logprobs: chat.logprobs.filter(|is_wanted| *is_wanted),
        logprobs: chat.top_logprobs.filter(|_| chat.logprobs == Some(true)),
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
    let mut asked = chat.modalities.iter();
    let has_image = asked.any(|modality| modality.0 == "image");
    let made = has_image.then_some(Modalities::Made(["TEXT", "IMAGE"]));
    own.map(Modalities::Given).or(made)
}

/// More than the provider takes is refused: which of them would be missed is not ours to choose.
fn stops<'a>(chat: &Chat<'a>) -> Result<Vec<Cow<'a, str>>, Failure> {
    let stops = chat.stops()?;
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
    let Some(schema) = format.schema()? else { return Ok(()) };
    match (schema, settings.schema) {
        (None, _) => {}
        (Some(schema), SchemaStyle::Json) => config.response_json_schema = Some(schema),
        (Some(schema), SchemaStyle::Subset) => {
            let what = || "response_format.json_schema.schema".to_owned();
            config.response_schema = Some(schema::subset(schema, &what)?);
        }
    }
    config.response_mime_type = Some("application/json");
    Ok(())
}

/// What was asked for and did not become part of the request.
fn settle(chat: &Chat, tier: Option<&str>, settings: &Settings) -> Result<(), Failure> {
    if let Some(n) = chat.n.filter(|n| !(1..=MOST_ANSWERS).contains(n)) {
        return Err(refuse(format!(
            "n is {n}, but Gemini gives 1 to {MOST_ANSWERS} answers per request"
        )));
    }
    let is_known = |modality: &&str| matches!(*modality, "text" | "image");
    let mut modalities = chat.modalities.iter().map(|modality| modality.0.as_ref());
    if let Some(other) = modalities.find(|modality| !is_known(modality)) {
        return Err(refuse(format!(
            "modality `{other}` cannot be asked of Gemini; ask for text or image"
        )));
    }
    chat.settle(&TAKES, &settings.losses)?;
    if chat.service_tier.as_ref().is_some_and(|given| given.0 != "auto") && tier.is_none() {
        settings.losses.name("service_tier");
    }
    Ok(())
}
