//! `pointsman check`: the configuration and every plugin in it, without opening a listener.

use std::path::Path;

use super::serve;
use crate::cli::out::{put, say};
use crate::config::Source;

pub(super) async fn run(named: Option<&Path>, print: bool) -> Result<(), String> {
    let source = Source::find(named).map_err(|error| error.to_string())?;
    if print {
        put!("{}", source.text);
    }
    let config = source.load().map_err(|error| error.to_string())?;
    serve::encryption(&config)?;
    let (generation, warnings) = serve::load(config).await?;
    if !print {
        for warning in &warnings {
            say!("warning: {warning}");
        }
        let parts = [
            counted(generation.providers.len(), "provider", "providers"),
            counted(generation.models.len(), "model", "models"),
            counted(generation.policies.len(), "policy", "policies"),
            counted(generation.routes.len(), "route", "routes"),
        ];
        say!("{}: good: {}", source.name(), parts.join(", "));
    }
    Ok(())
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
