//! `pointsman fleet`: the gateways that share budgets, and forgetting one that will not come back.

use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::cli::out::say;
use crate::config::{Config, Source};
use crate::fleet::operators::{self, Gateway};
use crate::fleet::postgres::{Database, Postgres};
use crate::ledger::Fleet;
use crate::money::usd;
use crate::spend::at_text;
use crate::store::sqlite::Sqlite;
use crate::store::{Batch, Document, Store, StoreError, now_ms};

#[derive(Debug, Subcommand)]
pub(super) enum FleetCommand {
    /// List the gateways that share budgets, and what each has been lent
    #[command(after_help = "Example:\n  pointsman fleet list --config pointsman.toml")]
    List(List),
    /// Lend to the others what a gateway had that will not come back
    #[command(
        after_help = "Example:\n  pointsman fleet forget gateway-3\n\nWhat it said that it has spent and reserved stays counted. What it was lent beyond that it may have spent without being\nable to say so: the command says how much that is."
    )]
    Forget {
        /// Its name, as `fleet list` shows it
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// A table for people, JSON for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub(super) async fn run(named: Option<&Path>, command: FleetCommand) -> Result<(), String> {
    let config = Source::find(named).and_then(|source| source.load());
    let config = config.map_err(|error| error.to_string())?;
    let Some(fleet) = &config.fleet else {
        return Err("the configuration has no `[fleet]`".to_owned());
    };
    let database = Database::parse(fleet.database.reveal(), &fleet.base)?;
    let failed = |fault| format!("the fleet's database: {fault}");
    match command {
        FleetCommand::List(List { format }) => {
            let gateways = operators::list(&database).await.map_err(failed)?;
            match format {
                Format::Table => table(&gateways),
                Format::Json => say!("{:#}", json!(gateways.iter().map(shown).collect::<Vec<_>>())),
            }
        }
        FleetCommand::Forget { name } => {
            let forgotten = operators::forget(&database, &name).await.map_err(failed)?;
            let unknown =
                forgotten.ok_or_else(|| format!("there is no gateway `{name}`; `pointsman fleet list` lists them"))?;
            say!("{name} is forgotten; what it said that it has spent and reserved stays counted");
            for lease in &unknown {
                let (amount, since) = (usd(lease.amount.into()), at_text(lease.start_ms));
                say!(
                    "{} ({}, since {since}): {amount} USD of what it was lent is lent to others again; whether any of it was spent is not known",
                    lease.scope,
                    lease.period
                );
            }
        }
    }
    Ok(())
}

fn shown(gateway: &Gateway) -> serde_json::Value {
    json!({
        "name": gateway.name,
        "seen": gateway.seen_ms.map(at_text),
        "accounts": gateway.accounts,
        "lent_usd": usd(gateway.lent),
        "spent_usd": usd(gateway.spent),
        "held_usd": usd(gateway.held),
    })
}

fn table(gateways: &[Gateway]) {
    let name = gateways
        .iter()
        .map(|gateway| gateway.name.len())
        .chain([7])
        .max()
        .unwrap_or(7);
    say!(
        "{:name$}  {:>10}  {:>8}  {:>16}  {:>16}  {:>16}",
        "GATEWAY",
        "SEEN",
        "BUDGETS",
        "LENT",
        "SPENT",
        "HELD"
    );
    for gateway in gateways {
        let ago = |seen: u64| format!("{} s ago", now_ms().saturating_sub(seen) / 1000);
        say!(
            "{:name$}  {:>10}  {:>8}  {:>16}  {:>16}  {:>16}",
            gateway.name,
            gateway.seen_ms.map_or_else(|| "-".to_owned(), ago),
            gateway.accounts,
            usd(gateway.lent),
            usd(gateway.spent),
            usd(gateway.held)
        );
    }
}

/// The documents' kind, and the id of the one that there is.
const KIND: &str = "fleet";
const ID: &str = "store";

/// With whom a gateway that serves shares its budgets.
pub(super) fn open(config: &Config) -> Result<Option<Fleet>, String> {
    let Some(fleet) = &config.fleet else { return Ok(None) };
    let store = identity(&config.store).map_err(|error| format!("the store in {}: {error}", config.store.display()))?;
    let name = fleet.name.clone().unwrap_or_else(|| store.clone());
    let database = Database::parse(fleet.database.reveal(), &fleet.base)?;
    let lender = Postgres::new(database, &name, &store, fleet.timeout);
    let lender = lender.map_err(|error| format!("the fleet's database: {error}"))?;
    Ok(Some(Fleet {
        lender: Box::new(lender),
        patience: fleet.timeout,
        name,
    }))
}

/// What tells this store from all others: made once, and kept in it.
fn identity(folder: &Path) -> Result<String, StoreError> {
    let mut store = Sqlite::open(folder)?;
    if let Some(known) = store.document(KIND, ID, now_ms())? {
        return Ok(String::from_utf8_lossy(&known).into_owned());
    }
    let mut random = [0; 6];
    getrandom::fill(&mut random).map_err(|error| StoreError::Failed(error.to_string()))?;
    let made: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let made = format!("gateway-{made}");
    store.commit(&Batch {
        documents: vec![Document {
            kind: KIND,
            id: ID.to_owned(),
            content: Some(made.as_bytes().into()),
            expires_ms: None,
        }],
        ..Batch::default()
    })?;
    store.publish()?;
    Ok(made)
}
