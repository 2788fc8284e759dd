//! `pointsman keys`: keys for callers. They work beside a gateway that serves from the same store, which sees what they
//! change within a second.

use std::path::Path;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::audit::audited;
use crate::cli::out::{put, say};
use crate::config::{Config, RateLimits, Source, parse_span};
use crate::keys::{NewKey, Pepper, Vault, Wish, WishedBudget, listed};
use crate::ledger::Opener;
use crate::spend::at_text;
use crate::store::Store;
use crate::store::memory::Memory;
use crate::store::now_ms;
use crate::store::sqlite::{self, Sqlite};

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key, and print it once
    #[command(
        after_help = "Examples:\n  pointsman keys create --name ci --budget-usd 100 --period month\n  pointsman keys create --name night --team research --route auto --tag region:eu --expires 30d --format json"
    )]
    Create(Box<Create>),
    /// List keys, those of the configuration and those that were made
    #[command(after_help = "Example:\n  pointsman keys list --format json")]
    List {
        /// A table for people, or JSON
        #[arg(long, value_enum, default_value_t = Listing::Table)]
        format: Listing,
    },
    /// Make another secret for a key; the old one is accepted for a while
    #[command(after_help = "Example:\n  pointsman keys rotate 3k9x0a8m2p7q --overlap 24h")]
    Rotate {
        /// The key's id
        id: String,
        /// How long the old secret is accepted: 90s, 30m, 24h, 7d; 0s ends it at once
        #[arg(long, default_value = "24h")]
        overlap: String,
        #[command(flatten)]
        shown: Shown,
    },
    /// Set when a key ends, or that it does not
    #[command(
        after_help = "Examples:\n  pointsman keys expire 3k9x0a8m2p7q --at 30d\n  pointsman keys expire 3k9x0a8m2p7q --never"
    )]
    Expire {
        /// The key's id
        id: String,
        /// 30d from now, 2027-01-31 or 2027-01-31T18:00:00Z
        #[arg(long, value_name = "WHEN", required_unless_present = "never")]
        at: Option<String>,
        /// It does not end by itself any more
        #[arg(long, conflicts_with = "at")]
        never: bool,
    },
    /// End a key; a gateway that runs refuses it within a second
    #[command(after_help = "Example:\n  pointsman keys revoke 3k9x0a8m2p7q")]
    Revoke {
        /// The key's id
        id: String,
    },
    /// Make a key to be declared in the configuration: print it once, and the line with its hash
    #[command(
        after_help = "Example:\n  pointsman keys hash\n\nThe hash fits only the gateway whose pepper it was made with: that of this configuration."
    )]
    Hash(Shown),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// For people
    #[arg(long)]
    name: String,
    /// A team of the configuration
    #[arg(long)]
    team: Option<String>,
    /// What it may spend in a period
    #[arg(long, value_name = "USD", requires = "period")]
    budget_usd: Option<String>,
    /// hour, day, week, month or total
    #[arg(long, requires = "budget_usd")]
    period: Option<String>,
    /// Where the budget's days begin, Europe/Berlin say
    #[arg(long, requires = "budget_usd")]
    zone: Option<String>,
    /// Warn beyond the budget instead of refusing
    #[arg(long, requires = "budget_usd")]
    soft: bool,
    /// Requests in a minute
    #[arg(long)]
    rpm: Option<u32>,
    /// Tokens in a minute
    #[arg(long)]
    tpm: Option<u32>,
    /// Requests at one time
    #[arg(long)]
    parallel: Option<u32>,
    /// A route or model that it may ask for, with * for any characters; all without this
    #[arg(long = "route", value_name = "PATTERN")]
    routes: Vec<String>,
    /// A model that may serve it, with * for any characters; all without this
    #[arg(long = "model", value_name = "PATTERN")]
    models: Vec<String>,
    /// A tag that models must have to serve it
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// When it ends: 30d, 2027-01-31 or 2027-01-31T18:00:00Z
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// For the ledger
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Debug, Args)]
pub(super) struct Shown {
    /// Text for people, or JSON
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

impl Shown {
    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Listing {
    Table,
    Json,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn run(named: Option<&Path>, command: KeysCommand) -> Result<(), String> {
    let source = Source::find(named).map_err(|error| error.to_string())?;
    let config = source.load().map_err(|error| error.to_string())?;
    let vault = vault(&config.store);
    match command {
        KeysCommand::Create(create) => {
            let (wish, format) = create.wish();
            let make = || vault.create(wish, &config, now_ms()).map_err(|error| error.to_string());
            let key = audited(&config.store, "keys create", make, |key| key.id().to_owned())?;
            print_key(&key, format);
        }
        KeysCommand::List { format } => {
            let stored = vault.list().map_err(|error| error.to_string())?;
            let keys = listed(&config, &stored, now_ms());
            match format {
                Listing::Json => say!("{:#}", Value::Array(keys)),
                Listing::Table => put!("{}", table(&COLUMNS, &keys)),
            }
        }
        KeysCommand::Rotate { id, overlap, shown } => {
            refuse_declared(&config, &id, "rotated")?;
            let overlap = parse_span(&overlap)?;
            let make = || {
                let key = vault.rotate(&id, overlap, &config.keys.pepper, now_ms());
                key.map_err(|error| error.to_string())
            };
            let key = audited(&config.store, "keys rotate", make, |key| key.id().to_owned())?;
            print_key(&key, shown.format);
        }
        KeysCommand::Expire { id, at, never: _ } => {
            refuse_declared(&config, &id, "changed")?;
            let set = || {
                let set = vault.expire(&id, at.as_deref(), now_ms());
                set.map_err(|error| error.to_string())
            };
            match audited(&config.store, "keys expire", set, |_| id.clone())? {
                Some(end) => say!("the key {id} ends at {}", at_text(end)),
                None => say!("the key {id} does not end by itself"),
            }
        }
        KeysCommand::Revoke { id } => {
            refuse_declared(&config, &id, "revoked")?;
            let end = || vault.revoke(&id, now_ms()).map_err(|error| error.to_string());
            audited(&config.store, "keys revoke", end, |_| id.clone())?;
            say!("the key {id} is revoked");
        }
        KeysCommand::Hash(shown) => hash(&config, shown.format)?,
    }
    Ok(())
}

/// The keys in the store of this folder.
pub(super) fn vault(folder: &Path) -> Vault {
    let (writing, reading) = (folder.to_owned(), folder.to_owned());
    let open: Opener = Arc::new(move || {
        // One that has to be made first, or brought to this version, is nobody's while that is done.
        let alone = |refused| match super::ledger::lock(&writing) {
            Ok(_lock) => Sqlite::open(&writing),
            Err(_) => Err(refused),
        };
        let store = Sqlite::open_beside(&writing).or_else(alone)?;
        Ok(Box::new(store) as Box<dyn Store>)
    });
    let reader: Opener = Arc::new(move || {
        // Before anything was kept there is nothing to read, and nobody wants a store for having asked.
        if !reading.join(sqlite::FILE).exists() {
            return Ok(Box::new(Memory::default()) as Box<dyn Store>);
        }
        Ok(Box::new(Sqlite::open_to_read(&reading)?) as Box<dyn Store>)
    });
    Vault::new(open, reader, folder.join("keys.lock"))
}

impl Create {
    fn wish(self) -> (Wish, Format) {
        let budget = self.budget_usd.zip(self.period).map(|(limit, period)| WishedBudget {
            limit_usd: limit.into(),
            period,
            zone: self.zone,
            hard: Some(!self.soft),
            warn_percent: None,
        });
        let some = |names: Vec<String>| (!names.is_empty()).then_some(names);
        let wish = Wish {
            name: self.name,
            team: self.team,
            budget,
            budgets: Vec::new(),
            limits: RateLimits {
                rpm: self.rpm,
                tpm: self.tpm,
                parallel: self.parallel,
            },
            routes: some(self.routes),
            models: some(self.models),
            tags: self.tags,
            expires: self.expires,
            metadata: self.metadata.into_iter().collect(),
        };
        (wish, self.shown.format)
    }
}

/// What the configuration declares, it alone can change.
fn refuse_declared(config: &Config, id: &str, done: &str) -> Result<(), String> {
    if config.keys.declared.contains_key(id) {
        return Err(format!(
            "the key `{id}` is declared in the configuration; it is {done} there"
        ));
    }
    Ok(())
}

pub(super) fn print_key(key: &NewKey, format: Format) {
    match format {
        Format::Json => say!("{}", json!({"id": key.id(), "key": key.reveal()})),
        Format::Text => say!(
            "{}\n\nThis is the only time that it is shown. Its id is {}.",
            key.reveal(),
            key.id()
        ),
    }
}

fn hash(config: &Config, format: Format) -> Result<(), String> {
    let key = NewKey::make()?;
    let hash = Pepper::find_or_make(&config.keys.pepper)?
        .hash(&key.presented())
        .to_text();
    match format {
        Format::Json => say!("{}", json!({"id": key.id(), "key": key.reveal(), "hash": hash})),
        Format::Text => say!(
            "{}\n\nThis is the only time that it is shown. For the configuration:\n\n[keys.NAME]\nhash = \"{hash}\"",
            key.reveal()
        ),
    }
    Ok(())
}

const COLUMNS: [&str; 8] = ["id", "name", "status", "team", "source", "routes", "models", "tags"];

/// A line for each key, its columns as wide as what is in them.
pub(super) fn table(columns: &[&str], keys: &[Value]) -> String {
    let text = |key: &Value, name: &str| match &key[name] {
        Value::String(text) => crate::error::printable(text, 60),
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        _ => "-".to_owned(),
    };
    let mut rows: Vec<Vec<String>> = vec![columns.iter().map(|name| (*name).to_owned()).collect()];
    rows.extend(
        keys.iter()
            .map(|key| columns.iter().map(|column| text(key, column)).collect()),
    );
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}
