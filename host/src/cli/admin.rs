//! `pointsman admin`: tokens for the admin listener. They work beside a gateway that serves from the same store, which
//! sees what they change within a second.

use std::path::Path;

use clap::{Subcommand, ValueEnum};
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};
use serde_json::{Value, json};

use super::audit::audited;
use super::keys::{Listing, Shown, print_key, table, vault};
use crate::cli::out::{put, say};
use crate::config::{Config, Role, Source};
use crate::keys::{NewKey, Pepper, StoredToken};
use crate::store::now_ms;

/// Holds the token that commands ask a running gateway with.
const VARIABLE: &str = "POINTSMAN_ADMIN_TOKEN";

#[derive(Debug, Subcommand)]
pub(super) enum AdminCommand {
    /// Make a token, and print it once; from then on the admin listener wants one
    #[command(after_help = "Example:\n  pointsman admin create --name ops --role write")]
    Create {
        /// For people, and for the audit log
        #[arg(long)]
        name: String,
        /// What it is good for
        #[arg(long, value_enum, default_value_t = AskedRole::Read)]
        role: AskedRole,
        #[command(flatten)]
        shown: Shown,
    },
    /// List tokens, those of the configuration and those that were made
    #[command(after_help = "Example:\n  pointsman admin list --format json")]
    List {
        /// A table for people, or JSON
        #[arg(long, value_enum, default_value_t = Listing::Table)]
        format: Listing,
    },
    /// End a token; a gateway that runs refuses it within a second
    #[command(after_help = "Example:\n  pointsman admin revoke 3k9x0a8m2p7q")]
    Revoke {
        /// The token's id
        id: String,
    },
    /// Make a token to be declared in the configuration: print it once, and the lines with its hash
    #[command(
        after_help = "Example:\n  pointsman admin hash --role write\n\nThe hash fits only the gateway whose pepper it was made with: that of this configuration."
    )]
    Hash {
        /// What it is good for
        #[arg(long, value_enum, default_value_t = AskedRole::Read)]
        role: AskedRole,
        #[command(flatten)]
        shown: Shown,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum AskedRole {
    /// Looking
    Read,
    /// Changing, too
    Write,
}

impl From<AskedRole> for Role {
    fn from(role: AskedRole) -> Self {
        match role {
            AskedRole::Read => Self::Read,
            AskedRole::Write => Self::Write,
        }
    }
}

pub(super) fn run(named: Option<&Path>, command: AdminCommand) -> Result<(), String> {
    let source = Source::find(named).map_err(|error| error.to_string())?;
    let config = source.load().map_err(|error| error.to_string())?;
    let vault = vault(&config.store);
    match command {
        AdminCommand::Create { name, role, shown } => {
            let make = || {
                let made = vault.create_token(&name, role.into(), &config.keys.pepper, now_ms());
                made.map_err(|error| error.to_string())
            };
            let token = audited(&config.store, "admin create", make, |token| token.id().to_owned())?;
            print_key(&token, shown.format);
        }
        AdminCommand::List { format } => {
            let stored = vault.tokens().map_err(|error| error.to_string())?;
            let tokens = listed(&config, &stored);
            match format {
                Listing::Json => say!("{:#}", Value::Array(tokens)),
                Listing::Table => put!("{}", table(&["id", "name", "role", "source"], &tokens)),
            }
        }
        AdminCommand::Revoke { id } => {
            let end = || vault.remove_token(&id).map_err(|error| error.to_string());
            let (id, _) = audited(&config.store, "admin revoke", end, |(id, _)| id.clone())?;
            say!("the admin token {id} is revoked");
        }
        AdminCommand::Hash { role, shown } => {
            let token = NewKey::make_admin()?;
            let pepper = Pepper::find_or_make(&config.keys.pepper)?;
            let hash = pepper.hash(&token.presented()).to_text();
            let role = Role::from(role).name();
            if shown.is_json() {
                say!(
                    "{}",
                    json!({"id": token.id(), "key": token.reveal(), "hash": hash, "role": role})
                );
            } else {
                say!(
                    "{}\n\nThis is the only time that it is shown. For the configuration:\n\n[admin.tokens.NAME]\nhash = \"{hash}\"\nrole = \"{role}\"",
                    token.reveal()
                );
            }
        }
    }
    Ok(())
}

fn listed(config: &Config, stored: &[StoredToken]) -> Vec<Value> {
    let declared =
        config.admin.tokens.iter().map(
            |(name, token)| json!({"id": token.hash.id, "name": name, "role": token.role, "source": "configuration"}),
        );
    let stored = stored.iter().map(|(id, record)| match record {
        Some(record) => json!({
            "id": id, "name": record.name, "role": record.role, "source": "store", "created_ms": record.created_ms,
        }),
        None => json!({"id": id, "name": "(cannot be read)", "source": "store"}),
    });
    declared.chain(stored).collect()
}

/// What a command that asks a running gateway is let in with.
pub(super) fn authorize(headers: &mut HeaderMap) -> Result<(), String> {
    let Some(token) = std::env::var_os(VARIABLE).filter(|token| !token.is_empty()) else {
        return Ok(());
    };
    let header = token
        .to_str()
        .and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
    let mut header = header.ok_or_else(|| format!("{VARIABLE} does not hold a token"))?;
    header.set_sensitive(true);
    headers.insert(AUTHORIZATION, header);
    Ok(())
}
