//! What SDKs and frameworks see of each provider, as a page for people: `docs/clients.md`. It is made of the table that the tests hold
//! every client to, so that nothing on it is claimed.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::workspace;

/// What is expected of every client with every provider.
pub fn table() -> Result<Value> {
    let file = workspace().join("tests/sdk/clients/expected.json");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))
}

/// Every provider that there is an adapter for.
pub fn providers() -> Result<Vec<String>> {
    crate::providers::names()
}

const RESPONSES: &str = ", responses";
const ABILITIES: [&str; 10] = [
    "chat",
    "stream",
    "tools",
    "tools, streamed",
    "structured",
    "image",
    "embeddings",
    "count",
    "models",
    "retried",
];
const FAILURES: [&str; 5] = ["wrong key", "no such model", "too many requests", "too long", "no room"];

/// The scenes that a client plays with each provider.
pub fn scenes(client: &Value) -> Vec<String> {
    let mut scenes = Vec::new();
    for (member, ending) in [("plays", ""), ("plays in responses", RESPONSES)] {
        let Some(plays) = client[member].as_array() else {
            continue;
        };
        let named = plays.iter().filter_map(Value::as_str).chain(FAILURES);
        scenes.extend(named.map(|scene| format!("{scene}{ending}")));
    }
    scenes
}

/// The scene, in whatever words it is played.
pub fn plain(scene: &str) -> &str {
    scene.strip_suffix(RESPONSES).unwrap_or(scene)
}

/// What a client sees of a scene with a provider: what it sees of it with any, unless client or provider have an exception. A number
/// is the status of an error, which each client has a class of its own for.
pub fn expected(table: &Value, client: &Value, provider: &str, scene: &str) -> Value {
    let scene = plain(scene);
    let places = [
        &client["providers"][provider][scene],
        &table["providers"][provider][scene],
        &client["otherwise"][scene],
        &table["scenes"][scene],
        &table["failures"][scene],
    ];
    let found = places.into_iter().find(|value| !value.is_null());
    match found.and_then(Value::as_u64) {
        Some(status) => json!({ "error": [class(client, scene, status), status] }),
        None => found.cloned().unwrap_or_default(),
    }
}

/// The class of an error: the scene's own, or its status's.
fn class<'c>(client: &'c Value, scene: &str, status: u64) -> &'c Value {
    let errors = &client["errors"];
    errors.get(scene).unwrap_or(&errors[status.to_string()])
}

const HEAD: &str = "# Clients

What SDKs and frameworks see through the gateway, made by `cargo xtask providers` from the table that the tests hold each of them to, with each provider. A provider is
one in the tests' own process there, which speaks its dialect, takes only what that allows, and answers what it is asked for; what models make of a request is the models' matter.

## What each client does

✓ is done with every provider, and seen as it should be: a text, whole and streamed, with its usage; two calls of tools at one time whose results are given back, whole and
streamed; an object of a schema; an image that arrives byte by byte; vectors; the count of a conversation; a model that is looked up; a provider without room that is asked again
when it said. What is empty the client has no call for.

";

const ERRORS: &str = "
## Errors

Each client raises what it raises without a gateway. The gateway's own key is nothing that a caller could mend, so a provider that refuses it is a failure of the server.

";

const PROVIDERS: &str = "
## Each provider

✓ is seen by all clients that do this, as the tables above say. A number is the status of the error that they see instead.

";

/// Where the page is.
pub fn file() -> PathBuf {
    workspace().join("docs/clients.md")
}

/// Writes the page.
pub fn write() -> Result<()> {
    let path = file();
    fs::write(&path, page()?).with_context(|| format!("cannot write {}", path.display()))
}

/// The page as the table has it.
pub fn page() -> Result<String> {
    let table = table()?;
    let clients = table["clients"].as_array().context("no clients are expected")?;
    let mut page = String::from(HEAD);
    row(&mut page, "client", &ABILITIES)?;
    rule(&mut page, ABILITIES.len())?;
    for client in clients {
        for (member, words) in [("plays", ""), ("plays in responses", RESPONSES)] {
            let Some(plays) = client[member].as_array() else {
                continue;
            };
            let does = ABILITIES
                .iter()
                .map(|ability| if plays.contains(&json!(ability)) { "✓" } else { "" });
            row(
                &mut page,
                &format!("{}{words}", text(&client["name"])),
                &does.collect::<Vec<_>>(),
            )?;
        }
    }
    page += ERRORS;
    let heads: Vec<String> = FAILURES
        .iter()
        .map(|failure| format!("{failure}: {}", table["failures"][failure]))
        .collect();
    row(
        &mut page,
        "client",
        &heads.iter().map(String::as_str).collect::<Vec<_>>(),
    )?;
    rule(&mut page, heads.len())?;
    for client in clients {
        let class = |failure: &&str| {
            let status = table["failures"][*failure].as_u64().unwrap_or_default();
            format!("`{}`", text(class(client, failure, status)))
        };
        let classes: Vec<String> = FAILURES.iter().map(class).collect();
        row(
            &mut page,
            text(&client["name"]),
            &classes.iter().map(String::as_str).collect::<Vec<_>>(),
        )?;
    }
    page += PROVIDERS;
    let scenes: Vec<&str> = ABILITIES.iter().chain(&FAILURES).copied().collect();
    row(&mut page, "provider", &scenes)?;
    rule(&mut page, scenes.len())?;
    for provider in providers()? {
        let cell = |scene: &&str| match &table["providers"][&provider][*scene] {
            Value::Null => "✓".to_owned(),
            other => other.to_string(),
        };
        let cells: Vec<String> = scenes.iter().map(cell).collect();
        row(
            &mut page,
            &format!("`{provider}`"),
            &cells.iter().map(String::as_str).collect::<Vec<_>>(),
        )?;
    }
    exceptions(&mut page, clients)?;
    Ok(page)
}

/// What one client alone sees of a provider.
fn exceptions(page: &mut String, clients: &[Value]) -> Result<()> {
    let mut lines = Vec::new();
    for client in clients {
        for (provider, scenes) in client["providers"].as_object().into_iter().flatten() {
            for (scene, seen) in scenes.as_object().into_iter().flatten() {
                lines.push(format!(
                    "- {} with `{provider}`: {scene}, {seen}",
                    text(&client["name"])
                ));
            }
        }
    }
    if !lines.is_empty() {
        write!(page, "\nOne client alone sees:\n\n{}\n", lines.join("\n"))?;
    }
    Ok(())
}

fn row(page: &mut String, name: &str, cells: &[&str]) -> Result<()> {
    Ok(writeln!(page, "| {name} | {} |", cells.join(" | "))?)
}

fn rule(page: &mut String, cells: usize) -> Result<()> {
    Ok(writeln!(page, "|---{}|", "|---".repeat(cells))?)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_clients_is_what_they_are_held_to() {
        let written = fs::read_to_string(file()).unwrap_or_default();
        assert!(
            written == page().unwrap(),
            "docs/clients.md is out of date: run cargo xtask providers"
        );
    }
}
