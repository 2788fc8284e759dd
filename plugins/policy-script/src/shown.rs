//! What a script is given, in the forms that JavaScript expects: camel case, dollars, milliseconds, and nothing where
//! nothing is known. A request's content is asked of the host by methods, so that a script pays only for what it reads.

use std::collections::BTreeMap;

use boa_engine::object::ObjectInitializer;
use boa_engine::{Context, JsArgs, JsNativeError, JsObject, JsResult, JsValue, NativeFunction, js_string};
use pointsman_plugin::{Abilities, Candidate, Price, Request, Reviewed, Surface, money};
use serde::Serialize;
use serde_json::Value;

use crate::globals::of_request;

/// Nano-dollars as the dollars that a script reckons in.
pub(crate) fn dollars(nanos: u64) -> f64 {
    nanos as f64 / money::DOLLAR as f64
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRequest<'a> {
    id: &'a str,
    route: &'a str,
    model: &'a str,
    surface: &'static str,
    key_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<&'a str>,
    labels: BTreeMap<&'a str, &'a str>,
    message_count: u32,
    text_bytes: u64,
    estimated_input_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    is_stream: bool,
    has_tools: bool,
    has_images: bool,
    wants_structured_output: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    now_ms: u64,
    /// Digits, because a number of JavaScript's would lose some.
    seed: String,
    extras: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownCandidate<'a> {
    id: &'a str,
    provider: &'a str,
    tags: &'a [String],
    weight: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<ShownPrice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_cost_usd: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ceiling_cost_usd: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_window: Option<u32>,
    abilities: Vec<&'static str>,
    health: ShownHealth,
    extras: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownPrice {
    input: f64,
    cached_input: f64,
    cache_write: f64,
    output: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownHealth {
    #[serde(skip_serializing_if = "Option::is_none")]
    first_token_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_ms: Option<u32>,
    error_permille: u32,
    in_flight: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cooling_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests_left: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_left: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownAnswer<'a> {
    candidate: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    finish_reason: &'a str,
    tool_calls: Vec<ShownCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_logprob: Option<f64>,
    input_tokens: u64,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    total_ms: u32,
    steps_left: u32,
    extras: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct ShownCall<'a> {
    name: &'a str,
    arguments: &'a str,
}

pub(crate) fn request(request: &Request, methods: &JsObject, context: &mut Context) -> JsResult<JsValue> {
    let shown = ShownRequest {
        id: &request.id,
        route: &request.route,
        model: &request.model,
        surface: surface(request.surface),
        key_id: &request.key_id,
        team: request.team.as_deref(),
        labels: pairs(&request.labels),
        message_count: request.message_count,
        text_bytes: request.text_bytes,
        estimated_input_tokens: request.estimated_input_tokens,
        max_output_tokens: request.max_output_tokens,
        is_stream: request.is_stream,
        has_tools: request.has_tools,
        has_images: request.has_images,
        wants_structured_output: request.wants_structured_output,
        session: request.session.as_deref(),
        now_ms: request.now_ms,
        seed: request.seed.to_string(),
        extras: pairs(&request.extras),
    };
    let shown = to_js(&shown, context)?;
    if let Some(object) = shown.as_object() {
        object.set_prototype(Some(methods.clone()));
    }
    Ok(shown)
}

pub(crate) fn candidates(candidates: &[Candidate], context: &mut Context) -> JsResult<JsValue> {
    let shown: Vec<ShownCandidate<'_>> = candidates.iter().map(candidate).collect();
    to_js(&shown, context)
}

fn candidate(candidate: &Candidate) -> ShownCandidate<'_> {
    let health = &candidate.health;
    ShownCandidate {
        id: &candidate.id,
        provider: &candidate.provider,
        tags: &candidate.tags,
        weight: candidate.weight,
        price: candidate.price.as_ref().map(price),
        estimated_cost_usd: candidate.estimated_cost.map(dollars),
        ceiling_cost_usd: candidate.ceiling_cost.map(dollars),
        context_window: Some(candidate.context_window).filter(|window| *window > 0),
        abilities: abilities(candidate.abilities),
        health: ShownHealth {
            first_token_ms: health.first_token_ms,
            total_ms: health.total_ms,
            error_permille: health.error_permille,
            in_flight: health.in_flight,
            cooling_ms: health.cooling_ms,
            requests_left: health.requests_left,
            tokens_left: health.tokens_left,
        },
        extras: pairs(&candidate.extras),
    }
}

pub(crate) fn answer(answer: &Reviewed, context: &mut Context) -> JsResult<JsValue> {
    let shown = ShownAnswer {
        candidate: &answer.candidate,
        text: &answer.text,
        refusal: answer.refusal.as_deref(),
        finish_reason: &answer.finish_reason,
        tool_calls: answer
            .tool_calls
            .iter()
            .map(|(name, arguments)| ShownCall { name, arguments })
            .collect(),
        mean_logprob: answer.mean_logprob,
        input_tokens: answer.input_tokens,
        output_tokens: answer.output_tokens,
        cost_usd: answer.cost.map(dollars),
        total_ms: answer.total_ms,
        steps_left: answer.steps_left,
        extras: pairs(&answer.extras),
    };
    to_js(&shown, context)
}

fn price(price: &Price) -> ShownPrice {
    ShownPrice {
        input: dollars(price.input),
        cached_input: dollars(price.cached_input),
        cache_write: dollars(price.cache_write),
        output: dollars(price.output),
    }
}

fn abilities(abilities: Abilities) -> Vec<&'static str> {
    const NAMES: [(Abilities, &str); 8] = [
        (Abilities::STREAMING, "streaming"),
        (Abilities::TOOLS, "tools"),
        (Abilities::PARALLEL_TOOLS, "parallel-tools"),
        (Abilities::VISION, "vision"),
        (Abilities::AUDIO, "audio"),
        (Abilities::STRUCTURED_OUTPUT, "structured-output"),
        (Abilities::REASONING, "reasoning"),
        (Abilities::PROMPT_CACHE, "prompt-cache"),
    ];
    let has = |(ability, _): &&(Abilities, &str)| abilities.contains(*ability);
    NAMES.iter().filter(has).map(|(_, name)| *name).collect()
}

fn surface(surface: Surface) -> &'static str {
    match surface {
        Surface::ChatCompletions => "chat-completions",
        Surface::Completions => "completions",
        Surface::Responses => "responses",
        Surface::Messages => "messages",
        Surface::Embeddings => "embeddings",
        Surface::Images => "images",
        Surface::Speech => "speech",
        Surface::Transcription => "transcription",
        Surface::Moderation => "moderation",
        Surface::Rerank => "rerank",
        Surface::Other => "other",
    }
}

/// Of two of one name the later counts.
fn pairs(pairs: &[(String, String)]) -> BTreeMap<&str, &str> {
    pairs.iter().map(|(name, value)| (&**name, &**value)).collect()
}

fn to_js(shown: &impl Serialize, context: &mut Context) -> JsResult<JsValue> {
    let json = serde_json::to_value(shown);
    let json = json.map_err(|error| JsNativeError::error().with_message(error.to_string()))?;
    JsValue::from_json(&json, context)
}

/// What every request can be asked.
pub(crate) fn methods(context: &mut Context) -> JsObject {
    let function = NativeFunction::from_fn_ptr;
    ObjectInitializer::new(context)
        .function(
            function(|_, _, context| text(|request| Some(request.last_user_text()), context)),
            js_string!("lastUserText"),
            0,
        )
        .function(
            function(|_, _, context| text(|request| Some(request.system_text()), context)),
            js_string!("systemText"),
            0,
        )
        .function(function(all_text), js_string!("allText"), 1)
        .function(
            function(|_, arguments, context| of_message(Request::text, arguments, context)),
            js_string!("text"),
            1,
        )
        .function(
            function(|_, arguments, context| of_message(Request::role, arguments, context)),
            js_string!("role"),
            1,
        )
        .function(function(header), js_string!("header"), 1)
        .function(function(get), js_string!("get"), 1)
        .build()
}

fn text(ask: impl FnOnce(&Request) -> Option<String>, context: &mut Context) -> JsResult<JsValue> {
    let text = of_request(context, ask).flatten();
    Ok(text.map_or_else(JsValue::undefined, |text| js_string!(text.as_str()).into()))
}

fn all_text(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let at_most = arguments.get_or_undefined(0);
    let at_most = if at_most.is_undefined() {
        u32::MAX
    } else {
        at_most.to_number(context)? as u32
    };
    text(|request| Some(request.all_text(at_most)), context)
}

/// Messages are counted from 0; there is none at any other number.
fn of_message(
    ask: fn(&Request, u32) -> Option<String>,
    arguments: &[JsValue],
    context: &mut Context,
) -> JsResult<JsValue> {
    let index = arguments.get_or_undefined(0).to_number(context)?;
    if index < 0.0 || index.fract() != 0.0 || index > f64::from(u32::MAX) {
        return Ok(JsValue::undefined());
    }
    text(|request| ask(request, index as u32), context)
}

fn header(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let name = arguments.get_or_undefined(0).to_string(context)?.to_std_string_lossy();
    text(|request| request.header(&name), context)
}

fn get(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let pointer = arguments.get_or_undefined(0).to_string(context)?.to_std_string_lossy();
    let found = of_request(context, |request| request.get(&pointer)).flatten();
    let found: Option<Value> = found.and_then(|text| serde_json::from_str(&text).ok());
    found.map_or(Ok(JsValue::undefined()), |value| JsValue::from_json(&value, context))
}
