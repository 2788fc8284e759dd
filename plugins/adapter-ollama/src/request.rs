//! The whole request: what is named in the body one by one.

use crate::PROVIDER;
use crate::body::{self, Format, NoProperties, Request, Schema, Think};
use crate::conversation;
use crate::options;
use crate::settings::{Settings, made};
use pointsman_plugin::translate::{Chat, Effort, Function, Mode, Thinking, read, refuse};
use pointsman_plugin::{Failure, Outgoing, Target};
use serde_json::Value;

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
    "top_logprobs",
    "tools",
    "response_format",
    "reasoning_effort",
    "thinking",
    "user",
    "prompt_cache_key",
];

pub(crate) fn encode(target: &Target, is_stream: bool, body: &[u8]) -> Result<Outgoing, Failure> {
    let settings = Settings::of(target)?;
    let request = translate(Chat::read(body)?, target, &settings, is_stream)?;
    let body =
        serde_json::to_vec(&request).map_err(|error| refuse(format!("the request cannot be written: {error}")))?;
    Ok(settings.losses.tell(Outgoing::json("/api/chat", body)))
}

fn translate<'a>(
    mut chat: Chat<'a>,
    target: &'a Target,
    settings: &Settings,
    is_stream: bool,
) -> Result<Request<'a>, Failure> {
    let messages = conversation::translate(std::mem::take(&mut chat.messages), settings)?;
    let wants_logprobs = chat.logprobs == Some(true);
    let keep_alive: Option<Value> = chat.own.take("keep_alive")?;
    let request = Request {
        model: &target.model,
        messages,
        stream: is_stream,
        tools: offered(&chat, settings)?,
        format: format(&chat)?,
        think: think(&mut chat, settings)?,
        logprobs: wants_logprobs.then_some(true),
        top_logprobs: chat.top_logprobs.filter(|_| wants_logprobs),
        options: options::choose(&mut chat, settings)?,
        keep_alive: match keep_alive {
            Some(value) => Some(made(&value)?),
            None => settings.keep_alive.clone(),
        },
    };
    chat.settle(&TAKES, &settings.losses)?;
    Ok(request)
}

/// The provider knows no choice: a model that must not call gets no tools, and one that must cannot be made to.
fn offered<'a>(chat: &Chat<'a>, settings: &Settings) -> Result<Vec<body::Tool<'a>>, Failure> {
    let choice = chat.choice(PROVIDER)?;
    let tools = choice.offered(chat.functions(PROVIDER)?)?;
    match choice.mode {
        Mode::None => return Ok(Vec::new()),
        Mode::Required => settings.losses.leave_out("tool_choice")?,
        Mode::Auto => {}
    }
    if tools.iter().any(|tool| tool.strict == Some(true)) {
        settings.losses.leave_out("tools[].function.strict")?;
    }
    Ok(tools.into_iter().map(described).collect())
}

fn described(function: Function) -> body::Tool {
    let no_parameters = || Schema::NoParameters {
        kind: "object",
        properties: NoProperties {},
    };
    body::Tool {
        kind: "function",
        function: body::Function {
            name: function.name.0,
            description: function.description.map(|text| text.0),
            parameters: function
                .parameters
                .filter(|raw| raw.get() != "{}")
                .map_or_else(no_parameters, Schema::Given),
        },
    }
}

fn format<'a>(chat: &Chat<'a>) -> Result<Option<Format<'a>>, Failure> {
    let Some(format) = &chat.response_format else {
        return Ok(None);
    };
    Ok(format
        .schema()?
        .map(|schema| schema.map_or(Format::Json("json"), Format::Schema)))
}

/// The provider's own word, `thinking`, or `reasoning_effort`. A model that does not think is told nothing of it: the provider
/// refuses to let it.
fn think<'a>(chat: &mut Chat<'a>, settings: &Settings) -> Result<Option<Think<'a>>, Failure> {
    if let Some(raw) = chat.own.take_raw("think") {
        return Ok(Some(Think::Given(raw)));
    }
    let given: Option<Thinking> = chat.thinking.map(|raw| read(raw.get(), "thinking")).transpose()?;
    let kind = given.and_then(|given| given.kind).map(|kind| kind.0);
    let effort = chat.reasoning_effort.as_ref().map(|word| Effort::read(&word.0));
    let effort = effort.transpose()?;
    // Whoever thinks as much as is needed is guided by the effort.
    let kind = kind.filter(|kind| kind != "adaptive" || effort.is_none());
    let switch = kind.map(|kind| kind != "disabled");
    let wish = match (switch, effort) {
        (Some(is_on), _) => Think::Switch(is_on),
        (None, Some(effort)) => level(effort),
        (None, None) => return Ok(None),
    };
    if settings.thinks {
        return Ok(Some(wish));
    }
    if !matches!(wish, Think::Switch(false)) {
        settings
            .losses
            .leave_out("reasoning_effort (this model does not think)")?;
    }
    Ok(None)
}

fn level(effort: Effort) -> Think<'static> {
    match effort {
        Effort::None => Think::Switch(false),
        Effort::Minimal | Effort::Low => Think::Level("low"),
        Effort::Medium => Think::Level("medium"),
        Effort::High | Effort::ExtraHigh => Think::Level("high"),
        Effort::Max => Think::Level("max"),
    }
}
