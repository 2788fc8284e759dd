//! The whole request: what is named in the body one by one, and what cannot be asked of this provider.

use crate::body::{Request, ResponseFormat, SafetyMode};
use crate::chat::{self, Chat, Raw, Text, read, refuse};
use crate::conversation;
use crate::settings::Settings;
use crate::thinking;
use crate::tools::{self, Choice};
use pointsman_plugin::{Failure, Outgoing, Target};
use std::borrow::Cow;

pub(crate) fn encode(target: &Target, is_stream: bool, body: &[u8]) -> Result<Outgoing, Failure> {
    let settings = Settings::of(target)?;
    let chat = Chat::read(body)?;
    refuse_unknown(&chat, &settings)?;
    let request = translate(chat, target, &settings, is_stream)?;
    let body =
        serde_json::to_vec(&request).map_err(|error| refuse(format!("the request cannot be written: {error}")))?;
    Ok(Outgoing::json(crate::CHAT_PATH, body))
}

fn translate<'a>(
    mut chat: Chat<'a>,
    target: &'a Target,
    settings: &Settings,
    is_stream: bool,
) -> Result<Request<'a>, Failure> {
    let messages = conversation::translate(std::mem::take(&mut chat.messages), settings)?;
    let given = chat.tools.take().unwrap_or_default();
    let choice = match chat.tool_choice.filter(|_| !given.is_empty()) {
        Some(raw) => Choice::read(raw)?,
        None => Choice::default(),
    };
    let strict_tools = chat.strict_tools.or(tools::are_strict(&given, settings)?);
    let tools = tools::translate(given, &choice)?;
    let max_tokens = chat.most_tokens().map(|most| capped(most, settings));
    let grounds = !tools.is_empty() || chat.documents.is_some();
    Ok(Request {
        model: &target.model,
        messages,
        stream: is_stream,
        tool_choice: choice.word(),
        strict_tools: strict_tools.filter(|_| !tools.is_empty()),
        tools,
        response_format: chat.response_format.map(structure).transpose()?.flatten(),
        thinking: thinking::choose(chat.thinking, chat.reasoning_effort.as_ref(), max_tokens, settings)?,
        max_tokens,
        stop_sequences: chat.stop.map(stops).transpose()?.unwrap_or_default(),
        temperature: chat.temperature.map(|number| number.clamp(0.0, 1.0)),
        p: chat.top_p.map(|number| number.clamp(0.01, 0.99)),
        k: chat.k.or(chat.top_k).map(|number| number.min(500)),
        // The same number of bits, without the sign.
        seed: chat.seed.map(i64::cast_unsigned),
        frequency_penalty: penalty(chat.frequency_penalty),
        presence_penalty: penalty(chat.presence_penalty),
        logprobs: chat.logprobs.filter(|is_wanted| *is_wanted),
        documents: chat.documents,
        citation_options: chat.citation_options,
        safety_mode: chat.safety_mode.map(SafetyMode::Given).or_else(|| {
            // The provider takes no safety mode together with tools or documents.
            settings.safety_mode.filter(|_| !grounds).map(SafetyMode::Set)
        }),
        priority: chat.priority,
        raw_prompting: chat.raw_prompting,
    })
}

fn capped(tokens: u64, settings: &Settings) -> u64 {
    settings.max_output.map_or(tokens, |most| tokens.min(most))
}

/// From -2 to 2 in the canonical form and from 0 to 1 here. Nothing is sent for the default, since some models take only
/// one of the two penalties.
fn penalty(given: Option<f64>) -> Option<f64> {
    given.map(|number| number.min(1.0)).filter(|number| *number > 0.0)
}

/// A string or a list; a sequence of nothing would stop nothing.
fn stops(raw: Raw<'_>) -> Result<Vec<Cow<'_, str>>, Failure> {
    let texts: Vec<Text> = match raw.get().starts_with('"') {
        true => vec![read(raw.get(), "stop")?],
        false => read(raw.get(), "stop")?,
    };
    Ok(texts
        .into_iter()
        .map(|text| text.0)
        .filter(|text| !text.is_empty())
        .collect())
}

fn structure(format: chat::ResponseFormat<'_>) -> Result<Option<ResponseFormat<'_>>, Failure> {
    let json = |json_schema| {
        Some(ResponseFormat {
            kind: "json_object",
            json_schema,
        })
    };
    match format.kind.0.as_ref() {
        "text" => Ok(None),
        "json_object" => Ok(json(None)),
        "json_schema" => match format.json_schema.and_then(|named| named.schema) {
            Some(schema) => Ok(json(Some(schema))),
            None => Err(refuse("response_format.json_schema.schema is missing")),
        },
        other => Err(refuse(format!(
            "response_format is `{other}`, but must be text, json_object or json_schema"
        ))),
    }
}

/// What no answer could honour is refused always; what merely has no counterpart, only where the settings say so.
fn refuse_unknown(chat: &Chat, settings: &Settings) -> Result<(), Failure> {
    if let Some(n) = chat.n.filter(|n| *n > 1) {
        return Err(refuse(format!(
            "n is {n}, but Cohere gives one answer per request; leave n out"
        )));
    }
    let is_text = |modality: &Text| modality.0 == "text";
    let modalities = chat.modalities.as_deref().unwrap_or_default();
    let refused = [
        ("functions", chat.functions.is_some()),
        ("audio", chat.audio.is_some()),
        ("modalities other than `text`", !modalities.iter().all(is_text)),
    ];
    let is_negative = |penalty: Option<f64>| penalty.is_some_and(|number| number < 0.0);
    let left_out = [
        ("logit_bias", chat.logit_bias.is_some_and(|bias| bias.get() != "{}")),
        ("top_logprobs", chat.top_logprobs.is_some_and(|count| count > 0)),
        ("parallel_tool_calls", chat.parallel_tool_calls == Some(false)),
        ("prediction", chat.prediction.is_some()),
        ("web_search_options", chat.web_search_options.is_some()),
        ("verbosity", chat.verbosity.is_some()),
        (
            "temperature above 1",
            chat.temperature.is_some_and(|number| number > 1.0),
        ),
        ("frequency_penalty below 0", is_negative(chat.frequency_penalty)),
        ("presence_penalty below 0", is_negative(chat.presence_penalty)),
    ];
    let left_out = left_out.iter().filter(|_| settings.refuses());
    match refused.iter().chain(left_out).find(|(_, is_given)| *is_given) {
        Some((name, _)) => Err(refuse(format!("{name} cannot be asked of Cohere; leave it out"))),
        None => Ok(()),
    }
}
