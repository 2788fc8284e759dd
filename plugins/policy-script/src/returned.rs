//! What a script may return, and what is said where it returns something else. A list that leaves nobody, and a key that
//! nothing reads, are mistakes and never the silent "as it was": a script that means to narrow must not fail open.

use boa_engine::object::builtins::JsArray;
use boa_engine::property::PropertyKey;
use boa_engine::{Context, JsError, JsNativeError, JsObject, JsResult, JsString, JsValue, js_string};
use pointsman_plugin::{
    Candidate, Edit, Opinion, Plan, Rejection, Step, Verdict,
    limits::{self, CODE_BYTES, LABEL_BYTES},
    named,
};

const VERDICT: &[&str] = &[
    "steps", "only", "prefer", "labels", "edits", "reason", "review", "reject",
];
const REJECTION: &[&str] = &["status", "code", "message", "retryAfterMs"];
const STEP: &[&str] = &[
    "candidate",
    "connectTimeoutMs",
    "firstTokenTimeoutMs",
    "gapTimeoutMs",
    "timeoutMs",
    "hedgeAfterMs",
];

/// What `decide` may return: nothing, a plan, or `{ reject }`.
pub(crate) fn verdict(
    value: &JsValue,
    candidates: &[Candidate],
    can_review: bool,
    context: &mut Context,
) -> JsResult<Verdict> {
    if value.is_null_or_undefined() {
        return Ok(Verdict::Pass);
    }
    let fields = Fields::of(value, "a verdict", VERDICT, context)?;
    let reject = fields.get("reject", context)?;
    if !reject.is_undefined() {
        if fields.count > 1 {
            return Err(wrong("a verdict with `reject` has nothing beside it"));
        }
        return rejection(&reject, context).map(Verdict::Reject);
    }
    let mut plan = Plan {
        steps: steps(&fields, candidates, context)?,
        labels: fields.labels(context)?,
        edits: fields.edits("edits", context)?,
        ..Plan::keep()
    };
    plan.reason = fields.text("reason", context)?.unwrap_or_default();
    plan.review = fields.flag("review", context)?;
    if plan.review && !can_review {
        return Err(wrong(
            "`review` is true, but the script exports no function `review`: write `export function review(request, answer) { … }`",
        ));
    }
    Ok(plan.into())
}

/// At most one of `steps`, `only` and `prefer` says who serves; none leaves the candidates as they were.
fn steps(fields: &Fields, candidates: &[Candidate], context: &mut Context) -> JsResult<Vec<Step>> {
    let mut ways = Vec::new();
    for way in ["steps", "only", "prefer"] {
        let value = fields.get(way, context)?;
        if !value.is_undefined() {
            ways.push((way, value));
        } else if way != "prefer" && fields.names.iter().any(|name| name == way) {
            // A list that came to nothing was meant to narrow.
            return Err(wrong(format!(
                "`{way}` is there and holds nothing: leave it out where all may serve"
            )));
        }
    }
    let (way, value) = match &ways[..] {
        [] => return Ok(Vec::new()),
        [(way, value)] => (*way, value),
        [(one, _), (other, _), ..] => {
            return Err(wrong(format!(
                "`{one}` and `{other}` exclude each other: give one of steps, only, prefer"
            )));
        }
    };
    let items = items(way, value, context)?;
    let steps = match way {
        "steps" => {
            let mut steps = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                let step = step(item, context).map_err(|error| inside(&format!("steps[{index}]"), &error))?;
                if !candidates.iter().any(|candidate| candidate.id == step.candidate) {
                    let offered: Vec<&str> = candidates.iter().map(|candidate| &*candidate.id).collect();
                    let (id, offered) = (&step.candidate, offered.join(", "));
                    return Err(wrong(format!(
                        "`steps[{index}]`: `{id}` is no candidate; there are {offered}"
                    )));
                }
                steps.push(step);
            }
            steps
        }
        _ => {
            let mut names = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                let name = candidate_name(item, context)?;
                names.push(
                    name.ok_or_else(|| wrong(format!("`{way}[{index}]` is no id, no `tag:…` and no candidate")))?,
                );
            }
            match way {
                "only" => Plan::of(named(&names, candidates)).steps,
                _ => return Ok(Plan::prefer(&names, candidates).steps),
            }
        }
    };
    if steps.is_empty() {
        return Err(wrong(format!(
            "`{way}` leaves no candidate: return {{ reject: … }} where none may serve, or `prefer`"
        )));
    }
    Ok(steps)
}

fn step(value: &JsValue, context: &mut Context) -> JsResult<Step> {
    if let Some(id) = candidate_name(value, context)? {
        return Ok(Step::new(id));
    }
    let fields = Fields::of(value, "a step", STEP, context)?;
    let candidate = fields.text("candidate", context)?;
    let mut step = Step {
        candidate: candidate.ok_or_else(|| wrong("a step needs `candidate`"))?,
        first_token_timeout_ms: fields.number("firstTokenTimeoutMs", context)?,
        timeout_ms: fields.number("timeoutMs", context)?,
        hedge_after_ms: fields.number("hedgeAfterMs", context)?,
    };
    if let Some(ms) = fields.number("connectTimeoutMs", context)? {
        step = step.connect_timeout_ms(ms);
    }
    if let Some(ms) = fields.number("gapTimeoutMs", context)? {
        step = step.gap_timeout_ms(ms);
    }
    Ok(step)
}

/// A text, or the `id` of a candidate as `decide` was given it.
fn candidate_name(value: &JsValue, context: &mut Context) -> JsResult<Option<String>> {
    let value = match value.as_object() {
        Some(object) => object.get(js_string!("id"), context)?,
        None => value.clone(),
    };
    Ok(value.as_string().map(|name| name.to_std_string_lossy()))
}

fn rejection(value: &JsValue, context: &mut Context) -> JsResult<Rejection> {
    let fields = Fields::of(value, "`reject`", REJECTION, context)?;
    let code = fields.text("code", context)?;
    let message = fields.text("message", context)?;
    let (Some(code), Some(message)) = (code, message) else {
        return Err(wrong(
            "`reject` needs `code`, a word for programs, and `message`, a sentence for people",
        ));
    };
    if code.is_empty() || !limits::is_code(&code) {
        return Err(wrong(format!(
            "`reject.code` is a word of up to {CODE_BYTES} letters, digits, `_`, `-` and `.`"
        )));
    }
    let status = fields.number("status", context)?.unwrap_or(403);
    let status = u16::try_from(status).ok().filter(|status| (400..=599).contains(status));
    Ok(Rejection {
        status: status.ok_or_else(|| wrong("`reject.status` is a number from 400 to 599"))?,
        code,
        message,
        retry_after_ms: fields.number("retryAfterMs", context)?,
    })
}

/// What `review` may return: nothing, or `{ next: "why" }`.
pub(crate) fn opinion(value: &JsValue, context: &mut Context) -> JsResult<Opinion> {
    if value.is_null_or_undefined() {
        return Ok(Opinion::Accept);
    }
    let fields = Fields::of(value, "a review's result", &["next"], context)?;
    match fields.text("next", context)? {
        Some(reason) => Ok(Opinion::Next(reason)),
        None => Err(wrong("a review returns nothing, or { next: \"why\" }")),
    }
}

/// What `configure` may return: nothing, or a list of warnings.
pub(crate) fn warnings(value: &JsValue, context: &mut Context) -> JsResult<Vec<String>> {
    if value.is_null_or_undefined() {
        return Ok(Vec::new());
    }
    let no_warnings = || wrong("`configure` returns nothing, or a list of warnings");
    let mut warnings = Vec::new();
    for item in items("warnings", value, context).map_err(|_| no_warnings())? {
        warnings.push(item.as_string().ok_or_else(no_warnings)?.to_std_string_lossy());
    }
    Ok(warnings)
}

/// A list's elements; one text and one candidate stand for a list of one.
fn items(key: &str, value: &JsValue, context: &mut Context) -> JsResult<Vec<JsValue>> {
    let object = value.as_object();
    let Some(list) = object.as_ref().filter(|object| object.is_array()) else {
        return match candidate_name(value, context)? {
            Some(_) => Ok(vec![value.clone()]),
            None => Err(wrong(format!("`{key}` is a list, not {}", kind(value)))),
        };
    };
    let list = JsArray::from_object(list.clone())?;
    (0..list.length(context)?)
        .map(|index| list.get(index, context))
        .collect()
}

/// What a value is as JSON; none for what has no such form. A script's own `toJSON` is asked, as `JSON.stringify` does it.
pub(crate) fn json_text(value: &JsValue, context: &mut Context) -> JsResult<Option<String>> {
    let json = context.intrinsics().objects().json();
    let stringify = json.get(js_string!("stringify"), context)?;
    let Some(stringify) = stringify.as_callable() else {
        return Err(wrong("`JSON.stringify` is no function any more"));
    };
    let text = stringify.call(&JsValue::undefined(), std::slice::from_ref(value), context)?;
    Ok(text.as_string().map(|text| text.to_std_string_lossy()))
}

/// An object's own fields, all of which are known.
pub(crate) struct Fields {
    object: JsObject,
    /// What the object is, for messages.
    what: &'static str,
    /// Its own keys, those that hold nothing included.
    names: Vec<String>,
    /// Those that hold something.
    count: usize,
}

impl Fields {
    pub(crate) fn of(value: &JsValue, what: &'static str, known: &[&str], context: &mut Context) -> JsResult<Self> {
        let object = value
            .as_object()
            .filter(|object| !object.is_array() && !object.is_callable());
        let Some(object) = object else {
            let shape = known.join(", ");
            return Err(wrong(format!("{what} is an object with {shape}, not {}", kind(value))));
        };
        let mut names = Vec::new();
        let mut count = 0;
        for (key, value) in own(&object, context)? {
            if !known.contains(&&*key) {
                let shape = known.join(", ");
                return Err(wrong(format!("{what} has no key `{key}`; it has {shape}")));
            }
            count += usize::from(!value.is_undefined());
            names.push(key);
        }
        Ok(Fields {
            object,
            what,
            names,
            count,
        })
    }

    fn get(&self, key: &str, context: &mut Context) -> JsResult<JsValue> {
        let value = self.object.get(JsString::from(key), context)?;
        // Nothing is nothing, however a script writes it.
        Ok(if value.is_null() { JsValue::undefined() } else { value })
    }

    /// Whether a key is there and holds something.
    pub(crate) fn has(&self, key: &str, context: &mut Context) -> JsResult<bool> {
        Ok(!self.get(key, context)?.is_undefined())
    }

    pub(crate) fn text(&self, key: &str, context: &mut Context) -> JsResult<Option<String>> {
        let value = self.get(key, context)?;
        match value.as_string() {
            Some(text) => Ok(Some(text.to_std_string_lossy())),
            None if value.is_undefined() => Ok(None),
            None => Err(self.other(key, "a text", &value)),
        }
    }

    fn flag(&self, key: &str, context: &mut Context) -> JsResult<bool> {
        let value = self.get(key, context)?;
        match value.as_boolean() {
            Some(flag) => Ok(flag),
            None if value.is_undefined() => Ok(false),
            None => Err(self.other(key, "true or false", &value)),
        }
    }

    pub(crate) fn number(&self, key: &str, context: &mut Context) -> JsResult<Option<u32>> {
        let value = self.get(key, context)?;
        if value.is_undefined() {
            return Ok(None);
        }
        let number = value
            .as_number()
            .filter(|number| (0.0..=f64::from(u32::MAX)).contains(number));
        let number = number.ok_or_else(|| self.other(key, "a number, 0 or more", &value))?;
        Ok(Some(number.round() as u32))
    }

    /// A value of any kind, as JSON.
    pub(crate) fn json(&self, key: &str, context: &mut Context) -> JsResult<Option<String>> {
        let value = self.get(key, context)?;
        json_text(&value, context)
    }

    /// Words by words; numbers and truth values are written out.
    fn labels(&self, context: &mut Context) -> JsResult<Vec<(String, String)>> {
        let mut labels = Vec::new();
        for (key, value) in self.table("labels", context)? {
            if value.is_undefined() {
                continue;
            }
            if value.is_null() || value.is_object() || value.is_symbol() {
                return Err(wrong(format!("`labels.{key}` is a text, not {}", kind(&value))));
            }
            let value = value.to_string(context)?.to_std_string_lossy();
            if key.is_empty() || !limits::is_label(&key) || !limits::is_label(&value) {
                let key = limits::printable(&key, 80);
                return Err(wrong(format!(
                    "`labels.{key}`: a label has a name and up to {LABEL_BYTES} bytes that can be printed"
                )));
            }
            labels.push((key, value));
        }
        Ok(labels)
    }

    /// JSON pointers and what is to be there; `undefined` removes.
    pub(crate) fn edits(&self, key: &str, context: &mut Context) -> JsResult<Vec<Edit>> {
        let mut edits = Vec::new();
        for (pointer, value) in self.table(key, context)? {
            let text = if value.is_undefined() {
                Some(String::new())
            } else {
                json_text(&value, context)?
            };
            let value = text.ok_or_else(|| wrong(format!("`{key}[\"{pointer}\"]` has no JSON form")))?;
            edits.push(Edit { pointer, value });
        }
        Ok(edits)
    }

    fn table(&self, key: &str, context: &mut Context) -> JsResult<Vec<(String, JsValue)>> {
        let value = self.get(key, context)?;
        match value
            .as_object()
            .filter(|object| !object.is_array() && !object.is_callable())
        {
            Some(object) => own(&object, context),
            None if value.is_undefined() => Ok(Vec::new()),
            None => Err(self.other(key, "an object", &value)),
        }
    }

    fn other(&self, key: &str, expected: &str, value: &JsValue) -> JsError {
        wrong(format!("`{key}` of {} is {expected}, not {}", self.what, kind(value)))
    }
}

/// An object's own fields in the order in which they were written; symbols are no fields.
fn own(object: &JsObject, context: &mut Context) -> JsResult<Vec<(String, JsValue)>> {
    let mut fields = Vec::new();
    for key in object.own_property_keys(context)? {
        let name = match &key {
            PropertyKey::String(name) => name.to_std_string_lossy(),
            PropertyKey::Index(index) => index.get().to_string(),
            PropertyKey::Symbol(_) => continue,
        };
        let value = object.get(key, context)?;
        fields.push((name, value));
    }
    Ok(fields)
}

/// A value in the words of a person.
fn kind(value: &JsValue) -> &'static str {
    match value.as_object() {
        Some(object) if object.is_array() => "a list",
        Some(object) if object.is_callable() => "a function",
        Some(_) => "an object",
        None if value.is_null() => "null",
        None => match value.type_of() {
            "string" => "a text",
            "number" => "a number",
            "boolean" => "true or false",
            "undefined" => "nothing",
            other => other,
        },
    }
}

fn inside(place: &str, error: &JsError) -> JsError {
    match error.as_native() {
        Some(native) => wrong(format!("`{place}`: {}", native.message())),
        None => error.clone(),
    }
}

fn wrong(message: impl Into<String>) -> JsError {
    JsNativeError::typ().with_message(message.into()).into()
}
