//! The whole request: what is named in the body one by one.

use crate::PROVIDER;
use crate::body::{Request, ResponseFormat, SafetyMode};
use crate::conversation;
use crate::settings::Settings;
use crate::thinking;
use crate::tools;
use pointsman_plugin::translate::{Chat, Mode, refuse};
use pointsman_plugin::{Failure, Outgoing, Target};

/// What has a counterpart here, or is settled one by one.
const TAKES: [&str; 15] = [
    "temperature",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
    "logprobs",
    "tools",
    "response_format",
    "reasoning_effort",
    "thinking",
    "user",
    "safety_identifier",
    "prompt_cache_key",
];

pub(crate) fn encode(target: &Target, is_stream: bool, body: &[u8]) -> Result<Outgoing, Failure> {
    let settings = Settings::of(target)?;
    let request = translate(Chat::read(body)?, target, &settings, is_stream)?;
    let body =
        serde_json::to_vec(&request).map_err(|error| refuse(format!("the request cannot be written: {error}")))?;
    Ok(settings.losses.tell(Outgoing::json(crate::CHAT_PATH, body)))
}

fn translate<'a>(
    mut chat: Chat<'a>,
    target: &'a Target,
    settings: &Settings,
    is_stream: bool,
) -> Result<Request<'a>, Failure> {
    let messages = conversation::translate(std::mem::take(&mut chat.messages), settings)?;
    let choice = chat.choice(PROVIDER)?;
    let given = chat.functions(PROVIDER)?;
    let strict_tools = chat.own.take("strict_tools")?.or(tools::are_strict(&given, settings)?);
    // The provider has no word for a list of tools that may be called: the others are not offered to it.
    let tools: Vec<_> = choice.offered(given)?.into_iter().map(tools::describe).collect();
    let max_tokens = chat.most_tokens().map(|most| capped(most, settings));
    let documents = chat.own.take_raw("documents");
    let grounds = !tools.is_empty() || documents.is_some();
    let request = Request {
        model: &target.model,
        messages,
        stream: is_stream,
        tool_choice: match choice.mode {
            Mode::Auto => None,
            Mode::None => Some("NONE"),
            Mode::Required => Some("REQUIRED"),
        },
        strict_tools: strict_tools.filter(|_| !tools.is_empty()),
        tools,
        response_format: structure(&chat)?,
        thinking: thinking::choose(&chat, max_tokens, settings)?,
        max_tokens,
        stop_sequences: chat.stops()?,
        temperature: chat.temperature.map(|number| number.clamp(0.0, 1.0)),
        p: chat.top_p.map(|number| number.clamp(0.01, 0.99)),
        k: chat.own.take("k")?.or(chat.top_k).map(|number: u64| number.min(500)),
        // The same number of bits, without the sign.
        seed: chat.seed.map(i64::cast_unsigned),
        frequency_penalty: penalty(chat.frequency_penalty),
        presence_penalty: penalty(chat.presence_penalty),
        logprobs: chat.logprobs.filter(|is_wanted| *is_wanted),
        documents,
        citation_options: chat.own.take_raw("citation_options"),
        safety_mode: chat.own.take_raw("safety_mode").map(SafetyMode::Given).or_else(|| {
            // The provider takes no safety mode together with tools or documents.
            settings.safety_mode.filter(|_| !grounds).map(SafetyMode::Set)
        }),
        priority: chat.own.take_raw("priority"),
        raw_prompting: chat.own.take_raw("raw_prompting"),
    };
    settle(&chat, settings)?;
    Ok(request)
}

fn capped(tokens: u64, settings: &Settings) -> u64 {
    settings.max_output.map_or(tokens, |most| tokens.min(most))
}

/// From -2 to 2 in the canonical form and from 0 to 1 here. Nothing is sent for the default, since some models take only
/// one of the two penalties.
fn penalty(given: Option<f64>) -> Option<f64> {
    given.map(|number| number.min(1.0)).filter(|number| *number > 0.0)
}

fn structure<'a>(chat: &Chat<'a>) -> Result<Option<ResponseFormat<'a>>, Failure> {
    let Some(format) = &chat.response_format else {
        return Ok(None);
    };
    Ok(format.schema()?.map(|json_schema| ResponseFormat {
        kind: "json_object",
        json_schema,
    }))
}

/// What the provider knows, but not as far as was asked, counts as unknown to it; so does what has no counterpart at all.
fn settle(chat: &Chat, settings: &Settings) -> Result<(), Failure> {
    chat.settle(&TAKES, &settings.losses)?;
    let is_negative = |penalty: Option<f64>| penalty.is_some_and(|number| number < 0.0);
    let beyond = [
        (
            "temperature above 1",
            chat.temperature.is_some_and(|number| number > 1.0),
        ),
        ("frequency_penalty below 0", is_negative(chat.frequency_penalty)),
        ("presence_penalty below 0", is_negative(chat.presence_penalty)),
    ];
    let mut beyond = beyond.into_iter().filter(|(_, is_given)| *is_given);
    beyond.try_for_each(|(name, _)| settings.losses.leave_out(name))
}
