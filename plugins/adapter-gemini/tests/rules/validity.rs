//! What the provider's documentation says of a request, as checks on the JSON that goes out. Written from the rules, not
//! from the adapter, so that the two can disagree.

use serde_json::Value;

const MEMBERS: [&str; 8] = [
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "safetySettings",
    "generationConfig",
    "cachedContent",
    "serviceTier",
];

const CONFIG: [&str; 20] = [
    "candidateCount",
    "maxOutputTokens",
    "temperature",
    "topP",
    "topK",
    "seed",
    "presencePenalty",
    "frequencyPenalty",
    "stopSequences",
    "responseLogprobs",
    "logprobs",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "thinkingConfig",
    "responseModalities",
    "mediaResolution",
    "speechConfig",
    "imageConfig",
    "audioTranscriptionConfig",
];

const SCHEMA: [&str; 21] = [
    "type",
    "format",
    "title",
    "description",
    "nullable",
    "enum",
    "items",
    "minItems",
    "maxItems",
    "properties",
    "required",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "example",
    "anyOf",
    "propertyOrdering",
    "minProperties",
    "maxProperties",
];

/// The first rule that the request breaks, for a model of the generation `major`.
pub(crate) fn check(request: &Value, major: u32) -> Result<(), String> {
    known(request, &MEMBERS)?;
    check_config(&request["generationConfig"], major)?;
    check_tools(request)?;
    let system = &request["systemInstruction"];
    for part in list(&system["parts"]) {
        ensure(part["text"].is_string(), || {
            format!("a part of the system instruction is {part}")
        })?;
    }
    ensure(system.is_null() || !list(&system["parts"]).is_empty(), || {
        "an empty system instruction".into()
    })?;
    check_contents(list(&request["contents"]), major)
}

fn check_config(config: &Value, major: u32) -> Result<(), String> {
    if config.is_null() {
        return Ok(());
    }
    known(config, &CONFIG)?;
    for (name, low, high) in [
        ("temperature", 0.0, 2.0),
        ("candidateCount", 1.0, 8.0),
        ("logprobs", 0.0, 20.0),
        ("seed", f64::from(i32::MIN), f64::from(i32::MAX)),
        ("maxOutputTokens", 0.0, f64::from(i32::MAX)),
    ] {
        let number = &config[name];
        let is_fine = number.as_f64().is_none_or(|number| (low..=high).contains(&number));
        ensure(is_fine, || format!("{name} is {number}"))?;
    }
    let stops = list(&config["stopSequences"]);
    ensure(stops.len() <= 5, || "more than 5 stop sequences".into())?;
    ensure(stops.iter().all(|stop| stop != ""), || "an empty stop sequence".into())?;
    let has_schema = config.get("responseSchema").is_some() || config.get("responseJsonSchema").is_some();
    ensure(!has_schema || config["responseMimeType"] == "application/json", || {
        "a schema without its type".into()
    })?;
    ensure(
        config["logprobs"].is_null() || config["responseLogprobs"] == true,
        || "logprobs without responseLogprobs".into(),
    )?;
    if let Some(schema) = config.get("responseSchema") {
        check_schema(schema)?;
    }
    let thinking = &config["thinkingConfig"];
    let (level, budget) = (&thinking["thinkingLevel"], &thinking["thinkingBudget"]);
    ensure(level.is_null() || budget.is_null(), || "a level and a budget".into())?;
    ensure(level.is_null() || major >= 3, || "a level for an old model".into())?;
    let levels = ["MINIMAL", "LOW", "MEDIUM", "HIGH"];
    ensure(
        level.is_null() || level.as_str().is_some_and(|level| levels.contains(&level)),
        || format!("the level {level}"),
    )
}

fn check_tools(request: &Value) -> Result<(), String> {
    let mut names = Vec::new();
    for tool in list(&request["tools"]) {
        for function in list(&tool["functionDeclarations"]) {
            known(function, &["name", "description", "parameters", "parametersJsonSchema"])?;
            names.push(function["name"].as_str().ok_or("a function without a name")?);
            ensure(function["description"].is_string(), || "no description".into())?;
            if let Some(schema) = function.get("parameters") {
                check_schema(schema)?;
                ensure(
                    schema["properties"].as_object().is_some_and(|all| !all.is_empty()),
                    || "parameters without properties".into(),
                )?;
            }
        }
    }
    let config = &request["toolConfig"]["functionCallingConfig"];
    ensure(config.is_null() || !names.is_empty(), || {
        "a choice without functions".into()
    })?;
    let allowed = list(&config["allowedFunctionNames"]);
    ensure(allowed.is_empty() || config["mode"] != "AUTO", || {
        "AUTO with a list of names".into()
    })
}

fn check_schema(schema: &Value) -> Result<(), String> {
    known(schema, &SCHEMA)?;
    let members = schema.as_object().map_or(0, serde_json::Map::len);
    ensure(schema.get("anyOf").is_none() || members == 1, || {
        format!("choices that do not stand alone: {schema}")
    })?;
    let kinds = ["STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"];
    let kind = &schema["type"];
    ensure(
        kind.is_null() || kind.as_str().is_some_and(|kind| kinds.contains(&kind)),
        || format!("the type {kind}"),
    )?;
    ensure(kind != "ARRAY" || schema["items"].is_object(), || {
        format!("a list of nothing: {schema}")
    })?;
    ensure(list(&schema["enum"]).iter().all(Value::is_string), || {
        "an enum of other than texts".into()
    })?;
    for name in ["minItems", "maxLength", "minProperties"] {
        ensure(schema[name].is_null() || schema[name].is_string(), || {
            format!("{name} is no string")
        })?;
    }
    for name in list(&schema["required"]) {
        let is_there = name
            .as_str()
            .is_some_and(|name| schema["properties"].get(name).is_some());
        ensure(is_there, || format!("{name} is required, but no property"))?;
    }
    let properties = schema["properties"]
        .as_object()
        .into_iter()
        .flat_map(|all| all.values());
    properties
        .chain(list(&schema["anyOf"]))
        .chain(schema.get("items"))
        .try_for_each(check_schema)
}

fn check_contents(contents: &[Value], major: u32) -> Result<(), String> {
    ensure(
        contents.first().is_some_and(|content| content["role"] == "user"),
        || "the first content is not a user's".into(),
    )?;
    for (index, content) in contents.iter().enumerate() {
        let place = |complaint: String| format!("contents[{index}]: {complaint}");
        known(content, &["role", "parts"]).map_err(place)?;
        let parts = list(&content["parts"]);
        ensure(!parts.is_empty(), || place("has no parts".into()))?;
        parts.iter().try_for_each(check_part).map_err(place)?;
        let has = |name: &str| parts.iter().any(|part| part.get(name).is_some());
        let is_model = content["role"] == "model";
        ensure(!has("functionCall") || is_model, || place("a user calls".into()))?;
        ensure(!has("functionResponse") || !is_model, || {
            place("the model answers itself".into())
        })?;
        let results = parts
            .iter()
            .filter(|part| part.get("functionResponse").is_some())
            .count();
        ensure(results == 0 || results == parts.len(), || {
            place("results beside something else".into())
        })?;
        let first = parts.iter().find(|part| part.get("functionCall").is_some());
        ensure(
            major < 3 || first.is_none_or(|part| part["thoughtSignature"].is_string()),
            || place("the first call is not signed".into()),
        )?;
    }
    Ok(())
}

fn check_part(part: &Value) -> Result<(), String> {
    let members = part.as_object().ok_or("a part is no object")?;
    let is_data = |name: &&String| *name != "thoughtSignature";
    ensure(members.keys().filter(is_data).count() == 1, || {
        format!("not one thing in a part: {part}")
    })?;
    let is_signed = part.get("thoughtSignature").is_some();
    let is_fine = match members.keys().find(is_data).map(String::as_str) {
        Some("text") => part["text"]
            .as_str()
            .is_some_and(|text| is_signed || !text.trim().is_empty()),
        Some("inlineData") => part["inlineData"]["mimeType"]
            .as_str()
            .is_some_and(|kind| kind.contains('/')),
        Some("fileData") => part["fileData"]["fileUri"].is_string(),
        Some("functionCall") => part["functionCall"]["name"].is_string() && part["functionCall"]["args"].is_object(),
        Some("functionResponse") => {
            let result = &part["functionResponse"];
            result["name"].is_string() && result["response"].is_object()
        }
        _ => false,
    };
    ensure(is_fine, || format!("the part {part}"))
}

fn known(value: &Value, names: &[&str]) -> Result<(), String> {
    let members = value.as_object().ok_or_else(|| format!("{value} is no object"))?;
    match members.keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(format!("`{name}` is not known")),
        None => Ok(()),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn ensure(is_fine: bool, complaint: impl FnOnce() -> String) -> Result<(), String> {
    if is_fine { Ok(()) } else { Err(complaint()) }
}
