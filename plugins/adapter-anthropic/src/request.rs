//! The whole request: what is named in the body one by one, and what cannot be asked of this provider.

use crate::conversation::Conversation;
use crate::messages::{Format, Generation, Metadata, OutputConfig, Request};
use crate::settings::{Place, Settings};
use crate::thinking::Plan;
use crate::tools;
use pointsman_plugin::translate::{Chat, Circumstances, ResponseFormat, Text, refuse};
use pointsman_plugin::{Failure, Operation, Outgoing, Target};
use serde::Deserialize;
use std::borrow::Cow;

/// What Google Cloud wants in the body, where Anthropic has a header.
const VERTEX_VERSION: &str = "vertex-2023-10-16";

/// The longest `user_id` that the provider takes.
const LONGEST_USER: usize = 512;

/// What has a counterpart here, or is settled one by one.
const TAKES: [&str; 14] = [
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "tools",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "thinking",
    "service_tier",
    "user",
    "safety_identifier",
    "metadata",
    "prompt_cache_key",
];

pub(crate) fn encode(operation: Operation, target: &Target, is_stream: bool, body: &[u8]) -> Result<Outgoing, Failure> {
    let is_counting = operation == Operation::CountTokens;
    let settings = Settings::of(target)?;
    let request = translate(Chat::read(body)?, target, &settings, is_stream, is_counting)?;
    let body =
        serde_json::to_vec(&request).map_err(|error| refuse(format!("the request cannot be written: {error}")))?;
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    if !settings.betas.is_empty() {
        headers.push(("anthropic-beta".to_owned(), settings.betas.join(",")));
    }
    Ok(settings.losses.tell(Outgoing {
        method: "POST".to_owned(),
        path: path(target, settings.place, is_stream, is_counting),
        headers,
        body,
    }))
}

fn path(target: &Target, place: Place, is_stream: bool, is_counting: bool) -> String {
    let model = match (place, is_counting) {
        (Place::Anthropic, true) => return crate::COUNT_PATH.to_owned(),
        (Place::Anthropic, false) => return crate::MESSAGES_PATH.to_owned(),
        // Counts are asked of a model of their own.
        (Place::Vertex, true) => "count-tokens",
        (Place::Vertex, false) => &target.model,
    };
    let mut path = String::from("/models/");
    for byte in model.bytes() {
        match byte.is_ascii_alphanumeric() || b"-_.~@".contains(&byte) {
            true => path.push(byte as char),
            false => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path + if is_stream { ":streamRawPredict" } else { ":rawPredict" }
}

fn translate<'a>(
    mut chat: Chat<'a>,
    target: &'a Target,
    settings: &Settings,
    is_stream: bool,
    is_counting: bool,
) -> Result<Request<'a>, Failure> {
    let conversation = Conversation::of(std::mem::take(&mut chat.messages))?;
    let choice = tools::choose(&chat)?;
    let tools = tools::translate(&chat, &choice, settings)?;
    let around = Circumstances {
        is_tool_forced: choice.is_forced(),
        has_unsigned_calls: conversation.has_unsigned_calls(),
        ..Circumstances::default()
    };
    let plan = Plan::of(&chat, settings, around)?;
    let output_config = configure_output(&mut chat, plan.effort, settings)?;
    let generation = match is_counting {
        true => Generation::default(),
        false => generate(&mut chat, &plan, settings, is_stream)?,
    };
    let (system, messages) = conversation.split();
    let request = Request {
        model: (settings.place == Place::Anthropic || is_counting).then_some(&target.model),
        anthropic_version: (settings.place == Place::Vertex).then_some(VERTEX_VERSION),
        max_tokens: (!is_counting).then_some(plan.max_tokens),
        system,
        messages,
        tools,
        tool_choice: choice.word,
        thinking: plan.thinking,
        output_config,
        cache_control: chat.own.take_raw("cache_control"),
        mcp_servers: chat.own.take_raw("mcp_servers"),
        context_management: chat.own.take_raw("context_management"),
        generation,
    };
    if !is_counting {
        settle(&chat, &request.generation, settings)?;
    }
    Ok(request)
}

fn generate<'a>(
    chat: &mut Chat<'a>,
    plan: &Plan,
    settings: &Settings,
    stream: bool,
) -> Result<Generation<'a>, Failure> {
    Ok(Generation {
        stream,
        stop_sequences: stops(chat)?,
        temperature: plan.temperature(chat, settings),
        top_p: plan.top_p(chat, settings),
        top_k: plan.top_k(chat, settings),
        metadata: user(chat).map(|user_id| Metadata { user_id }),
        service_tier: chat.service_tier.as_ref().and_then(|tier| match tier.0.as_ref() {
            "auto" => Some("auto"),
            "default" | "standard_only" => Some("standard_only"),
            _ => None,
        }),
        container: chat.own.take_raw("container"),
        inference_geo: chat.own.take_raw("inference_geo"),
    })
}

/// The provider refuses sequences of nothing but white space.
fn stops<'a>(chat: &Chat<'a>) -> Result<Vec<Cow<'a, str>>, Failure> {
    let stops = chat.stops()?.into_iter();
    Ok(stops.filter(|text| !text.trim().is_empty()).collect())
}

/// What of a client's metadata means something to the provider.
#[derive(Deserialize)]
struct GivenMetadata<'a> {
    #[serde(borrow)]
    user_id: Option<Text<'a>>,
}

/// Whom the provider may hold responsible, under the names that the canonical form has had for it.
fn user<'a>(chat: &Chat<'a>) -> Option<Cow<'a, str>> {
    let metadata: Option<GivenMetadata> = chat.metadata.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let named = metadata
        .and_then(|metadata| metadata.user_id)
        .or_else(|| chat.safety_identifier.clone())
        .or_else(|| chat.user.clone());
    named
        .map(|text| text.0)
        .filter(|user| !user.is_empty() && user.chars().count() <= LONGEST_USER)
}

fn configure_output<'a>(
    chat: &mut Chat<'a>,
    effort: Option<&'static str>,
    settings: &Settings,
) -> Result<Option<OutputConfig<'a>>, Failure> {
    let format = match &chat.response_format {
        Some(format) => structure(format, settings)?,
        None => None,
    };
    match (chat.own.take_raw("output_config"), effort, format) {
        (Some(given), None, None) => Ok(Some(OutputConfig::Given(given))),
        (Some(_), ..) => Err(refuse(
            "output_config cannot be sent together with reasoning_effort or response_format; send one of them",
        )),
        (None, None, None) => Ok(None),
        (None, effort, format) => Ok(Some(OutputConfig::Made { effort, format })),
    }
}

/// There is no mode for JSON without a schema; a client that asks for one has to say so in its prompt anyway.
fn structure<'a>(format: &ResponseFormat<'a>, settings: &Settings) -> Result<Option<Format<'a>>, Failure> {
    match format.schema()? {
        None => Ok(None),
        Some(None) => {
            settings.losses.leave_out("response_format `json_object`")?;
            Ok(None)
        }
        Some(Some(_)) if !settings.structured_output => Err(refuse(
            "response_format `json_schema` is not known to this model; choose a newer one",
        )),
        Some(Some(schema)) => Ok(Some(Format {
            kind: "json_schema",
            schema,
        })),
    }
}

/// What was asked for and did not become part of the request.
fn settle(chat: &Chat, sent: &Generation, settings: &Settings) -> Result<(), Failure> {
    chat.settle(&TAKES, &settings.losses)?;
    let lost = [
        ("temperature", chat.temperature.is_some() && sent.temperature.is_none()),
        (
            "temperature above 1",
            chat.temperature.is_some_and(|number| number > 1.0) && sent.temperature.is_some(),
        ),
        ("top_p", chat.top_p.is_some() && sent.top_p.is_none()),
        ("top_k", chat.top_k.is_some() && sent.top_k.is_none()),
    ];
    let mut lost = lost.into_iter().filter(|(_, is_lost)| *is_lost);
    lost.try_for_each(|(name, _)| settings.losses.leave_out(name))?;
    if chat.service_tier.is_some() && sent.service_tier.is_none() {
        settings.losses.name("service_tier");
    }
    if chat.metadata.is_some() && sent.metadata.is_none() {
        settings.losses.name("metadata");
    }
    Ok(())
}
