//! The whole request: what is named in the body one by one, and what cannot be asked of this provider.

use crate::chat::{Chat, Raw, ResponseFormat, Text, read, refuse};
use crate::conversation::Conversation;
use crate::messages::{Format, Generation, Metadata, OutputConfig, Request};
use crate::settings::{Sampling, Settings};
use crate::thinking::{Circumstances, Plan};
use crate::tools;
use pointsman_plugin::{Failure, Operation, Outgoing, Target};
use std::borrow::Cow;

/// The longest `user_id` that the provider takes.
const LONGEST_USER: usize = 512;

pub(crate) fn encode(operation: Operation, target: &Target, is_stream: bool, body: &[u8]) -> Result<Outgoing, Failure> {
    let is_counting = operation == Operation::CountTokens;
    let settings = Settings::of(target)?;
    let chat = Chat::read(body)?;
    refuse_unknown(&chat, &settings)?;
    let request = translate(chat, target, &settings, is_stream, is_counting)?;
    let body =
        serde_json::to_vec(&request).map_err(|error| refuse(format!("the request cannot be written: {error}")))?;
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    if !settings.betas.is_empty() {
        headers.push(("anthropic-beta".to_owned(), settings.betas.join(",")));
    }
    let path = if is_counting {
        crate::COUNT_PATH
    } else {
        crate::MESSAGES_PATH
    };
    Ok(Outgoing {
        method: "POST".to_owned(),
        path: path.to_owned(),
        headers,
        body,
    })
}

fn translate<'a>(
    mut chat: Chat<'a>,
    target: &'a Target,
    settings: &Settings,
    is_stream: bool,
    is_counting: bool,
) -> Result<Request<'a>, Failure> {
    let conversation = Conversation::of(std::mem::take(&mut chat.messages))?;
    let tools = tools::translate(&chat, settings)?;
    let tool_choice = tools::choose(&chat)?;
    let around = Circumstances {
        is_tool_forced: tools::is_forced(&tool_choice),
        has_unsigned_calls: conversation.has_unsigned_calls(),
    };
    let plan = Plan::of(&chat, settings, &around)?;
    let output_config = configure_output(&chat, plan.effort, settings)?;
    let generation = match is_counting {
        true => Generation::default(),
        false => generate(&chat, &plan, settings, is_stream)?,
    };
    let (system, messages) = conversation.split();
    Ok(Request {
        model: &target.model,
        max_tokens: (!is_counting).then_some(plan.max_tokens),
        system,
        messages,
        tools,
        tool_choice,
        thinking: plan.thinking,
        output_config,
        cache_control: chat.cache_control,
        mcp_servers: chat.mcp_servers,
        context_management: chat.context_management,
        generation,
    })
}

fn generate<'a>(chat: &Chat<'a>, plan: &Plan, settings: &Settings, stream: bool) -> Result<Generation<'a>, Failure> {
    Ok(Generation {
        stream,
        stop_sequences: chat.stop.map(stops).transpose()?.unwrap_or_default(),
        temperature: plan.temperature(chat, settings),
        top_p: plan.top_p(chat, settings),
        top_k: plan.top_k(chat, settings),
        metadata: user(chat).map(|user_id| Metadata { user_id }),
        service_tier: chat.service_tier.as_ref().and_then(|tier| match tier.0.as_ref() {
            "auto" => Some("auto"),
            "default" | "standard_only" => Some("standard_only"),
            _ => None,
        }),
        container: chat.container,
        inference_geo: chat.inference_geo,
    })
}

/// A string or a list; the provider refuses sequences of nothing but white space.
fn stops(raw: Raw<'_>) -> Result<Vec<Cow<'_, str>>, Failure> {
    let texts: Vec<Text> = match raw.get().starts_with('"') {
        true => vec![read(raw.get(), "stop")?],
        false => read(raw.get(), "stop")?,
    };
    Ok(texts
        .into_iter()
        .map(|text| text.0)
        .filter(|text| !text.trim().is_empty())
        .collect())
}

/// Whom the provider may hold responsible, under the names that the canonical form has had for it.
fn user<'a>(chat: &Chat<'a>) -> Option<Cow<'a, str>> {
    let in_metadata = chat.metadata.as_ref().and_then(|metadata| metadata.user_id.clone());
    let named = in_metadata
        .or_else(|| chat.safety_identifier.clone())
        .or_else(|| chat.user.clone());
    named
        .map(|text| text.0)
        .filter(|user| !user.is_empty() && user.chars().count() <= LONGEST_USER)
}

fn configure_output<'a>(
    chat: &Chat<'a>,
    effort: Option<&'static str>,
    settings: &Settings,
) -> Result<Option<OutputConfig<'a>>, Failure> {
    let format = match &chat.response_format {
        Some(format) => structure(format, settings)?,
        None => None,
    };
    match (chat.output_config, effort, format) {
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
    match format.kind.0.as_ref() {
        "text" => Ok(None),
        "json_object" if settings.strict => Err(refuse(
            "response_format `json_object` is not known to this provider; send `json_schema` with a schema",
        )),
        "json_object" => Ok(None),
        "json_schema" => {
            let Some(schema) = format.json_schema.as_ref().and_then(|named| named.schema) else {
                return Err(refuse("response_format.json_schema.schema is missing"));
            };
            if !settings.structured_output {
                return Err(refuse(
                    "response_format `json_schema` is not known to this model; choose a newer one",
                ));
            }
            Ok(Some(Format {
                kind: "json_schema",
                schema,
            }))
        }
        other => Err(refuse(format!(
            "response_format is `{other}`, but must be text, json_object or json_schema"
        ))),
    }
}

/// What no answer could honour is refused always; what merely has no counterpart, only where the settings are strict.
fn refuse_unknown(chat: &Chat, settings: &Settings) -> Result<(), Failure> {
    if let Some(n) = chat.n.filter(|n| *n > 1) {
        return Err(refuse(format!(
            "n is {n}, but this provider gives one answer per request; leave n out"
        )));
    }
    let refused = [("functions", chat.functions.is_some()), ("audio", chat.audio.is_some())];
    let has_no_sampling = settings.sampling == Sampling::None;
    let left_out = [
        ("seed", chat.seed.is_some()),
        ("logit_bias", chat.logit_bias.is_some()),
        ("logprobs", chat.logprobs.is_some()),
        ("top_logprobs", chat.top_logprobs.is_some()),
        ("presence_penalty", chat.presence_penalty.is_some()),
        ("frequency_penalty", chat.frequency_penalty.is_some()),
        ("prediction", chat.prediction.is_some()),
        ("web_search_options", chat.web_search_options.is_some()),
        ("verbosity", chat.verbosity.is_some()),
        ("temperature", has_no_sampling && chat.temperature.is_some()),
        ("top_p", has_no_sampling && chat.top_p.is_some()),
        ("top_k", has_no_sampling && chat.top_k.is_some()),
    ];
    let left_out = left_out.iter().filter(|_| settings.strict);
    match refused.iter().chain(left_out).find(|(_, is_given)| *is_given) {
        Some((name, _)) => Err(refuse(format!("{name} is not known to this provider; leave it out"))),
        None => Ok(()),
    }
}
