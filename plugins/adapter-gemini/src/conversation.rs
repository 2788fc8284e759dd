//! The conversation as the provider wants it: the system text apart, user and model by turns, a user first, and all
//! results of a turn's calls in one content of their own, in the order of the calls.
//!
//! A model of the third generation refuses a history whose calls lost the signature of the thought that led to them. It
//! comes back in `extra_content` (see `translate::ExtraContent`); where it was lost on the way, the provider's own word for that stands
//! in its place.

use crate::content::{self, Kinds};
use crate::settings::Settings;
use crate::tools;
use crate::wire::{Content, FunctionCall, FunctionResponse, Instruction, Part, Payload, Role};
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{Signed, Turn, TurnCall, refuse};
use std::borrow::Cow;
use std::collections::HashMap;

/// Stands where the provider insists on a user's turn and the client has none.
const PLACEHOLDER: &str = ".";

/// What the provider accepts instead of a signature that is lost.
const UNSIGNED: &str = "skip_thought_signature_validator";

pub(crate) struct Conversation<'a, 's> {
    settings: &'s Settings,
    system: Vec<Part<'a>>,
    contents: Vec<Content<'a>>,
    /// The names of the calls so far, and their order, by id: results have no name of their own.
    calls: HashMap<Cow<'a, str>, (usize, Cow<'a, str>)>,
    /// Media of results, which go behind all results of their turn.
    attached: Vec<Part<'a>>,
}

impl<'a, 's> Conversation<'a, 's> {
    pub(crate) fn of(messages: Vec<Turn<'a>>, settings: &'s Settings) -> Result<Self, Failure> {
        if messages.is_empty() {
            return Err(refuse("messages is empty; send at least one"));
        }
        let mut conversation = Conversation {
            settings,
            system: Vec::new(),
            contents: Vec::new(),
            calls: HashMap::new(),
            attached: Vec::new(),
        };
        for (index, message) in messages.into_iter().enumerate() {
            conversation.add(message, &|| format!("messages[{index}]"))?;
        }
        conversation.attach();
        conversation.order_results();
        conversation.begin_with_user()?;
        Ok(conversation)
    }

    fn add(&mut self, message: Turn<'a>, place: &dyn Fn() -> String) -> Result<(), Failure> {
        if message.cache_control.is_some() {
            self.settings.losses.leave_out(format!("{}.cache_control", place()))?;
        }
        match message.role.0.as_ref() {
            "system" | "developer" => {
                content::translate(message.content, Kinds::Text, self.settings, place, &mut self.system)
            }
            "user" => {
                self.attach();
                let mut parts = Vec::new();
                content::translate(message.content, Kinds::All, self.settings, place, &mut parts)?;
                self.append(Role::User, parts);
                Ok(())
            }
            "assistant" => self.add_assistant(message, place),
            "tool" => self.add_result(message, place),
            _ => Err(message.unknown_role(place)),
        }
    }

    fn add_assistant(&mut self, message: Turn<'a>, place: &dyn Fn() -> String) -> Result<(), Failure> {
        self.attach();
        let mut parts = Vec::new();
        let made = message.made();
        content::translate(message.content, Kinds::Text, self.settings, place, &mut parts)?;
        if let Some(refusal) = message.refusal.filter(|text| !text.0.trim().is_empty()) {
            parts.push(Payload::Text(refusal.0).into());
        }
        for (index, image) in made.into_iter().enumerate() {
            let what = || format!("{}.images[{index}].image_url", place());
            parts.push(content::located(image.0, &what)?.into());
        }
        if let Some(signature) = signature(message.extra_content) {
            match parts.last_mut() {
                Some(part) => part.signature = Some(signature),
                None => parts.push(Part {
                    data: Payload::Text("".into()),
                    signature: Some(signature),
                }),
            }
        }
        let first = parts.len();
        for (index, call) in message.tool_calls.into_iter().flatten().enumerate() {
            parts.push(self.called(call, &|| format!("{}.tool_calls[{index}]", place()))?);
        }
        if let Some(call) = parts.get_mut(first).filter(|_| self.settings.wants_signatures()) {
            call.signature.get_or_insert(UNSIGNED.into());
        }
        self.append(Role::Model, parts);
        Ok(())
    }

    fn called(&mut self, call: TurnCall<'a>, place: &dyn Fn() -> String) -> Result<Part<'a>, Failure> {
        let Some(mut function) = call.function else {
            return Err(refuse(format!(
                "{} has no `function`; Gemini takes functions only",
                place()
            )));
        };
        let args = tools::arguments(&mut function);
        let (id, name) = (call.id.map(|id| id.0).unwrap_or_default(), function.name.0);
        self.calls.insert(id.clone(), (self.calls.len(), name.clone()));
        Ok(Part {
            data: Payload::FunctionCall(FunctionCall { id, name, args }),
            signature: signature(call.extra_content),
        })
    }

    fn add_result(&mut self, message: Turn<'a>, place: &dyn Fn() -> String) -> Result<(), Failure> {
        let id = message.tool_call_id.map(|id| id.0).unwrap_or_default();
        let called = self.calls.get(&id).map(|(_, name)| name.clone());
        let Some(name) = called.or(message.name.map(|name| name.0)) else {
            return Err(refuse(format!(
                "{}.tool_call_id is `{id}`, which no call before it has; Gemini needs the name of what was called",
                place()
            )));
        };
        let mut parts = Vec::new();
        content::translate(message.content, Kinds::All, self.settings, place, &mut parts)?;
        let (texts, media): (Vec<Part>, Vec<Part>) = parts
            .into_iter()
            .partition(|part| matches!(part.data, Payload::Text(_)));
        let response = tools::result(joined(texts));
        self.attached.extend(media);
        let part = Payload::FunctionResponse(FunctionResponse { id, name, response }).into();
        match self.contents.last_mut().filter(|content| is_results(content)) {
            Some(content) => content.parts.push(part),
            None => self.contents.push(Content {
                role: Role::User,
                parts: vec![part],
            }),
        }
        Ok(())
    }

    /// The media of results follow the results, as something that the user shows.
    fn attach(&mut self) {
        let parts = std::mem::take(&mut self.attached);
        self.append(Role::User, parts);
    }

    /// Messages of one role in a row become one content; what came out empty, of blank texts say, is none.
    fn append(&mut self, role: Role, parts: Vec<Part<'a>>) {
        if parts.is_empty() {
            return;
        }
        let last = self.contents.last_mut();
        match last.filter(|content| content.role == role && !is_results(content)) {
            Some(content) => content.parts.extend(parts),
            None => self.contents.push(Content { role, parts }),
        }
    }

    fn order_results(&mut self) {
        for content in self.contents.iter_mut().filter(|content| is_results(content)) {
            content.parts.sort_by_key(|part| match &part.data {
                Payload::FunctionResponse(result) => self.calls.get(&result.id).map_or(usize::MAX, |(order, _)| *order),
                _ => usize::MAX,
            });
        }
    }

    /// A conversation that the model opens gets a user's turn before it; one of system text alone is said by the user.
    fn begin_with_user(&mut self) -> Result<(), Failure> {
        let parts = match self.contents.first().map(|content| content.role) {
            Some(Role::User) => return Ok(()),
            Some(Role::Model) => vec![Payload::Text(PLACEHOLDER.into()).into()],
            None if self.system.is_empty() => return Err(refuse("messages holds no text and nothing else to answer")),
            None => std::mem::take(&mut self.system),
        };
        self.contents.insert(
            0,
            Content {
                role: Role::User,
                parts,
            },
        );
        Ok(())
    }

    pub(crate) fn split(self) -> (Option<Instruction<'a>>, Vec<Content<'a>>) {
        let system = (!self.system.is_empty()).then_some(Instruction { parts: self.system });
        (system, self.contents)
    }
}

fn is_results(content: &Content) -> bool {
    let first = content.parts.first();
    first.is_some_and(|part| matches!(part.data, Payload::FunctionResponse(_)))
}

fn signature(extra: Option<Signed<'_>>) -> Option<Cow<'_, str>> {
    let signature = extra?.google?.thought_signature?.0;
    (!signature.is_empty()).then_some(signature)
}

fn joined<'a>(parts: Vec<Part<'a>>) -> Cow<'a, str> {
    let texts = parts.into_iter().filter_map(|part| match part.data {
        Payload::Text(text) => Some(text),
        _ => None,
    });
    let join = |before: Cow<'a, str>, text: Cow<'a, str>| Cow::Owned(format!("{before}\n{text}"));
    texts.reduce(join).unwrap_or_default()
}
