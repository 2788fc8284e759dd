//! What a script finds without being given it: `console`, `state`, `models`, and a `Math.random` that is the request's.
//! There is no file, no socket, no timer and no other module.

use std::cell::{Cell, RefCell};

use boa_engine::object::ObjectInitializer;
use boa_engine::object::builtins::JsArray;
use boa_engine::property::Attribute;
use boa_engine::{Context, JsArgs, JsNativeError, JsObject, JsResult, JsValue, NativeFunction, js_string};
use pointsman_plugin::models::{self, Ask, Failure, Reply};
use pointsman_plugin::{
    Request, grants,
    limits::{STATE_KEY_BYTES, STATE_VALUE_BYTES},
    log, state,
};
use serde_json::{Value, json};

use crate::returned::{Fields, json_text};

/// What the functions here know of the call under way.
pub(crate) struct Scene {
    /// None while the script is loaded.
    request: RefCell<Option<Request>>,
    chance: Cell<u64>,
    has_state: bool,
    has_models: bool,
}

impl Scene {
    pub(crate) fn begin(&self, request: &Request) {
        self.chance.set(request.seed);
        self.request.replace(Some(Request::new((**request).clone())));
    }

    /// The next of SplitMix64's numbers, as a fraction of 1.
    fn random(&self) -> f64 {
        let next = self.chance.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.chance.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Asks the request under way; undefined while there is none.
pub(crate) fn of_request<T>(context: &Context, ask: impl FnOnce(&Request) -> T) -> Option<T> {
    let scene = context.get_data::<Scene>()?;
    scene.request.borrow().as_ref().map(ask)
}

pub(crate) fn register(context: &mut Context) -> JsResult<()> {
    context.insert_data(Scene {
        request: RefCell::default(),
        chance: Cell::new(0),
        has_state: grants::is_given("state"),
        has_models: grants::is_given("models"),
    });
    let function = NativeFunction::from_fn_ptr;
    let console = ObjectInitializer::new(context)
        .function(
            function(|_, words, context| line(log::info, words, context)),
            js_string!("log"),
            0,
        )
        .function(
            function(|_, words, context| line(log::info, words, context)),
            js_string!("info"),
            0,
        )
        .function(
            function(|_, words, context| line(log::debug, words, context)),
            js_string!("debug"),
            0,
        )
        .function(
            function(|_, words, context| line(log::warn, words, context)),
            js_string!("warn"),
            0,
        )
        .function(
            function(|_, words, context| line(log::error, words, context)),
            js_string!("error"),
            0,
        )
        .build();
    let state = ObjectInitializer::new(context)
        .function(function(state_get), js_string!("get"), 1)
        .function(function(state_set), js_string!("set"), 3)
        .function(function(state_add), js_string!("add"), 3)
        .function(function(state_delete), js_string!("delete"), 1)
        .build();
    let models = ObjectInitializer::new(context)
        .function(function(models_ask), js_string!("ask"), 1)
        .function(function(models_ask_all), js_string!("askAll"), 1)
        .build();
    for (name, object) in [("console", console), ("state", state), ("models", models)] {
        context.register_global_property(js_string!(name), object, Attribute::CONFIGURABLE | Attribute::WRITABLE)?;
    }
    let random = function(random).to_js_function(context.realm());
    let math = context.global_object().get(js_string!("Math"), context)?;
    if let Some(math) = math.as_object() {
        math.set(js_string!("random"), random, true, context)?;
    }
    Ok(())
}

fn random(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    Ok(context.get_data::<Scene>().map_or(0.0, Scene::random).into())
}

/// Text as it is, errors as they speak of themselves, and everything else as one would write it.
fn line(write: fn(&str), words: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        match (word.as_string(), word.as_object()) {
            (Some(text), _) => line.push_str(&text.to_std_string_lossy()),
            (None, Some(object)) if object.is::<boa_engine::builtins::error::Error>() => {
                line.push_str(&word.to_string(context)?.to_std_string_lossy());
            }
            (None, Some(object)) if !object.is_callable() => match json_text(word, context)? {
                Some(text) => line.push_str(&text),
                None => line.push_str("undefined"),
            },
            _ => line.push_str(&word.display().to_string()),
        }
    }
    write(&line);
    Ok(JsValue::undefined())
}

/// Refuses what is not granted, and everything while the script is loaded, in words instead of the host's trap.
fn require(grant: &str, is_given: fn(&Scene) -> bool, context: &Context) -> JsResult<()> {
    let Some(scene) = context.get_data::<Scene>() else {
        return Err(wrong(format!("`{grant}` is not there")));
    };
    if !is_given(scene) {
        return Err(wrong(format!(
            "`{grant}` is not granted: add grants = [\"{grant}\"] to the policy's configuration"
        )));
    }
    if scene.request.borrow().is_none() {
        return Err(wrong(format!(
            "`{grant}` cannot be used while the script is loaded: use it in `decide`"
        )));
    }
    Ok(())
}

fn state_key(arguments: &[JsValue], context: &mut Context) -> JsResult<String> {
    require("state", |scene| scene.has_state, context)?;
    let Some(key) = arguments.get_or_undefined(0).as_string() else {
        return Err(wrong("the key of a state is a text"));
    };
    let key = key.to_std_string_lossy();
    match key.len() {
        0..=STATE_KEY_BYTES => Ok(key),
        bytes => Err(wrong(format!(
            "the key of a state has {bytes} bytes; the limit is {STATE_KEY_BYTES}"
        ))),
    }
}

/// How long something is kept: milliseconds, or until it is deleted.
fn time_to_live(value: &JsValue) -> JsResult<Option<u64>> {
    if value.is_undefined() {
        return Ok(None);
    }
    let milliseconds = value.as_number().filter(|number| *number >= 1.0 && number.is_finite());
    let milliseconds = milliseconds.ok_or_else(|| wrong("a time to live is a number of milliseconds, 1 or more"))?;
    Ok(Some(milliseconds as u64))
}

fn state_get(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let key = state_key(arguments, context)?;
    match state::get::<Value>(&key) {
        Some(value) => JsValue::from_json(&value, context),
        None => Ok(JsValue::undefined()),
    }
}

fn state_set(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let key = state_key(arguments, context)?;
    let ttl = time_to_live(arguments.get_or_undefined(2))?;
    let Some(text) = json_text(arguments.get_or_undefined(1), context)? else {
        return Err(wrong(format!(
            "state `{key}`: the value has no JSON form; `state.delete` forgets one"
        )));
    };
    if text.len() > STATE_VALUE_BYTES {
        let bytes = text.len();
        return Err(wrong(format!(
            "state `{key}`: the value has {bytes} bytes as JSON; the limit is {STATE_VALUE_BYTES}"
        )));
    }
    let value: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    state::set(&key, &value, ttl).map_err(wrong)?;
    Ok(JsValue::undefined())
}

fn state_add(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let key = state_key(arguments, context)?;
    let delta = arguments.get_or_undefined(1).as_number();
    let delta = delta.filter(|delta| delta.fract() == 0.0 && delta.abs() <= MOST_EXACT);
    let delta = delta.ok_or_else(|| wrong(format!("state `{key}`: only whole numbers can be added to a counter")))?;
    let ttl = time_to_live(arguments.get_or_undefined(2))?;
    Ok(JsValue::from(state::add(&key, delta as i64, ttl) as f64))
}

/// Up to here every whole number is a number of JavaScript's.
const MOST_EXACT: f64 = 9_007_199_254_740_991.0;

fn state_delete(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    state::delete(&state_key(arguments, context)?);
    Ok(JsValue::undefined())
}

/// One question; what the model says, or an error that says why it said nothing.
fn models_ask(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    require("models", |scene| scene.has_models, context)?;
    let ask = ask(arguments.get_or_undefined(0), context)?;
    let model = ask.model.clone();
    match models::ask(ask) {
        Ok(reply) => JsValue::from_json(&reply_shown(&reply), context),
        Err(failure) => {
            let (code, message) = failure_words(&failure);
            let error = JsNativeError::error().with_message(format!("{model}: {message}"));
            let error = error.into_opaque(context);
            error.set(js_string!("code"), js_string!(code), true, context)?;
            Err(boa_engine::JsError::from_opaque(error.into()))
        }
    }
}

/// Several side by side; a question that failed has `error` and `message` in place of a reply.
fn models_ask_all(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    require("models", |scene| scene.has_models, context)?;
    let list = arguments.get_or_undefined(0).as_object().filter(JsObject::is_array);
    let list = list.ok_or_else(|| wrong("`models.askAll` takes a list of questions"))?;
    let list = JsArray::from_object(list)?;
    let mut asks = Vec::new();
    for index in 0..list.length(context)? {
        let question = list.get(index, context)?;
        asks.push(ask(&question, context)?);
    }
    let replies = models::ask_all(&asks);
    let shown: Vec<Value> = replies
        .iter()
        .map(|reply| match reply {
            Ok(reply) => reply_shown(reply),
            Err(failure) => {
                let (error, message) = failure_words(failure);
                json!({ "error": error, "message": message })
            }
        })
        .collect();
    JsValue::from_json(&shown.into(), context)
}

/// A question with `user` is a prompt of the script's own; one without is the client's own request, with `edits`.
fn ask(value: &JsValue, context: &mut Context) -> JsResult<Ask> {
    const KEYS: &[&str] = &[
        "model",
        "user",
        "system",
        "jsonSchema",
        "edits",
        "maxOutputTokens",
        "timeoutMs",
    ];
    let fields = Fields::of(value, "a question", KEYS, context)?;
    let model = fields
        .text("model", context)?
        .ok_or_else(|| wrong("a question needs `model`"))?;
    let user = fields.text("user", context)?;
    let (misplaced, why): (&[&str], _) = match user {
        Some(_) => (&["edits"], "is for the client's own request: leave out `user`"),
        None => (
            &["system", "jsonSchema"],
            "is for a prompt of the script's own: give `user`",
        ),
    };
    for key in misplaced {
        if fields.has(key, context)? {
            return Err(wrong(format!("`{key}` of a question {why}")));
        }
    }
    let mut ask = match user {
        Some(user) => Ask::prompt(model, user),
        None => Ask::same(model),
    };
    if let models::Question::Same(edits) = &mut ask.question {
        *edits = fields.edits("edits", context)?;
    }
    if let Some(system) = fields.text("system", context)? {
        ask = ask.system(system);
    }
    if let Some(schema) = fields.json("jsonSchema", context)? {
        ask = ask.json_schema(schema);
    }
    ask.max_output_tokens = fields.number("maxOutputTokens", context)?;
    ask.timeout_ms = fields.number("timeoutMs", context)?;
    Ok(ask)
}

fn reply_shown(reply: &Reply) -> Value {
    let mut shown = json!({
        "text": reply.text,
        "finishReason": reply.finish_reason,
        "inputTokens": reply.input_tokens,
        "outputTokens": reply.output_tokens,
        "totalMs": reply.total_ms,
    });
    if let (Some(cost), Some(shown)) = (reply.cost, shown.as_object_mut()) {
        shown.insert("costUsd".to_owned(), crate::shown::dollars(cost).into());
    }
    shown
}

fn failure_words(failure: &Failure) -> (&'static str, String) {
    match failure {
        Failure::Refused(why) => ("refused", why.clone()),
        Failure::TimedOut => ("timed-out", "no answer in time".to_owned()),
        Failure::Upstream(why) => ("upstream", why.clone()),
        Failure::Other(why) => ("other", why.clone()),
    }
}

fn wrong(message: impl Into<String>) -> boa_engine::JsError {
    JsNativeError::typ().with_message(message.into()).into()
}
