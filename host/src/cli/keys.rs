//! `pointsman keys`: keys for callers.

use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::config::Source;
use crate::keys::{NewKey, Pepper};

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key to be declared in the configuration: print it once, and the line with its hash
    #[command(
        after_help = "Example:\n  pointsman keys hash\n\nThe hash fits only the gateway whose pepper it was made with: that of this configuration."
    )]
    Hash(Shown),
}

#[derive(Debug, Args)]
pub(super) struct Shown {
    /// Text for people, or JSON
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(named: Option<&Path>, command: &KeysCommand) -> Result<(), String> {
    let source = Source::find(named).map_err(|error| error.to_string())?;
    let config = source.load().map_err(|error| error.to_string())?.keys;
    match command {
        KeysCommand::Hash(shown) => {
            let key = NewKey::make()?;
            let hash = Pepper::find_or_make(&config.pepper)?.hash(&key.presented());
            match shown.format {
                Format::Json => println!(
                    "{}",
                    json!({"id": hash.id, "key": key.reveal(), "hash": hash.to_text()})
                ),
                Format::Text => println!(
                    "{}\n\nThis is the only time that the key is shown. For the configuration:\n\n[keys.NAME]\nhash = \"{}\"",
                    key.reveal(),
                    hash.to_text()
                ),
            }
            Ok(())
        }
    }
}
