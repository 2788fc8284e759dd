//! What a provider knows, where it refuses everything else: other members are left out, and named.

use crate::settings::Settings;
use pointsman_plugin::Failure;
use pointsman_plugin::translate::{Losses, Members, Raw, read};

/// Of a request, once its members have the provider's names.
pub(crate) fn keep(settings: &Settings, members: &mut Members, losses: &Losses) {
    if let Some(known) = &settings.known {
        retain(known, "", members, losses);
    }
}

/// Of a message, by its role.
pub(crate) fn keep_in_message(settings: &Settings, role: &str, message: &mut Members, losses: &Losses) {
    if let Some(known) = settings.known_inside.get(role) {
        retain(known, "messages[].", message, losses);
    }
}

/// Of parts, calls and tools, before anything else reads them; nothing where all of it is known.
pub(crate) fn inside(settings: &Settings, body: &[u8], losses: &Losses) -> Result<Option<String>, Failure> {
    if settings.known_inside.is_empty() {
        return Ok(None);
    }
    let mut members = Members::of(body)?;
    let mut has_changed = each(settings, &mut members, "tools", losses)?;
    if let Some(raw) = list(&members, "messages") {
        let mut messages: Vec<Members> = read(raw.get(), "messages")?;
        let mut is_lost = false;
        for message in &mut messages {
            is_lost |= parts(settings, message, losses)? | each(settings, message, "tool_calls", losses)?;
        }
        if is_lost {
            members.set("messages", array(messages));
            has_changed = true;
        }
    }
    Ok(has_changed.then(|| members.into_json()))
}

/// Each of its own type.
fn parts(settings: &Settings, message: &mut Members, losses: &Losses) -> Result<bool, Failure> {
    let Some(raw) = list(message, "content") else {
        return Ok(false);
    };
    let mut parts: Vec<Members> = read(raw.get(), "messages[].content")?;
    let mut has_changed = false;
    for part in &mut parts {
        let kind = part.get("type").map(|kind| kind.get().trim_matches('"'));
        if let Some(known) = kind.and_then(|kind| settings.known_inside.get(kind)) {
            has_changed |= retain(known, "messages[].content[].", part, losses);
        }
    }
    if has_changed {
        message.set("content", array(parts));
    }
    Ok(has_changed)
}

/// Of calls or tools, and of the function that is in each.
fn each(settings: &Settings, of: &mut Members, place: &str, losses: &Losses) -> Result<bool, Failure> {
    let within = format!("{place}.function");
    let (own, inner) = (settings.known_inside.get(place), settings.known_inside.get(&within));
    let Some(raw) = list(of, place).filter(|_| own.or(inner).is_some()) else {
        return Ok(false);
    };
    let mut items: Vec<Members> = read(raw.get(), place)?;
    let mut has_changed = false;
    for item in &mut items {
        if let Some(known) = own {
            has_changed |= retain(known, &format!("{place}[]."), item, losses);
        }
        let function = item.get("function").filter(|raw| raw.get().starts_with('{'));
        if let (Some(known), Some(raw)) = (inner, function) {
            let mut function: Members = read(raw.get(), &within)?;
            if retain(known, &format!("{place}[].function."), &mut function, losses) {
                item.set("function", function.into_json());
                has_changed = true;
            }
        }
    }
    if has_changed {
        of.set(place, array(items));
    }
    Ok(has_changed)
}

fn list<'a>(members: &Members<'a>, name: &str) -> Option<Raw<'a>> {
    members.get(name).filter(|raw| raw.get().starts_with('['))
}

/// Whether something was left out.
fn retain(known: &[String], place: &str, members: &mut Members, losses: &Losses) -> bool {
    let given = members.given();
    let unknown: Vec<(String, bool)> = given
        .filter(|(name, _)| !known.iter().any(|known| known == name))
        .map(|(name, raw)| (name.to_owned(), raw.get() != "null"))
        .collect();
    for (name, is_said) in &unknown {
        members.remove(name);
        if *is_said {
            losses.name(format!("{place}{name}"));
        }
    }
    !unknown.is_empty()
}

fn array(items: Vec<Members>) -> String {
    let items: Vec<String> = items.into_iter().map(Members::into_json).collect();
    format!("[{}]", items.join(","))
}
