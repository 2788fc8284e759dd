//! `pointsman store`: whether the store is good, copies of it, its lines for other programs, and corrections.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::admin::authorize;
use super::audit::audited;
use super::ledger::{NotAlone, lock};
use crate::cli::out::say;
use crate::config::{Config, Source};
use crate::ledger::{Change, correction};
use crate::money::{signed_from_usd, usd};
use crate::spend::{Export, at_text, moment};
use crate::store::sqlite::Sqlite;
use crate::store::{Batch, Hold, Line, Span, Store, StoreError, now_ms};
use crate::upstream::{Endpoint, TlsRoots, Upstream};

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Say whether the store is what was written to it; a gateway may be serving meanwhile
    #[command(
        after_help = "Example:\n  pointsman store check --config pointsman.toml\n\nExit status: 0 all is good, 1 something is not, and what, 2 wrong use."
    )]
    Check(Place),
    /// Copy the store into a new file, and check the copy; a gateway may be serving meanwhile
    #[command(
        after_help = "Example:\n  pointsman store backup /backups/2026-11-21.db\n\nTo go back to it: stop the gateway, and put the copy in the place of pointsman.db and of the files\npointsman.db-wal, pointsman.db-shm and pointsman.journal beside it."
    )]
    Backup {
        /// The copy; it must not be there yet
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Write the ledger's lines to standard output, the oldest first
    #[command(
        after_help = "Examples:\n  pointsman store export > ledger.jsonl\n  pointsman store export --format csv --from 2026-11-01 --to 2026-12-01 > november.csv"
    )]
    Export {
        /// One JSON object in each line, or rows with a head
        #[arg(long, value_enum, default_value_t = Format::Jsonl)]
        format: Format,
        /// From this moment on: a date (UTC), a time with its zone, or -7d
        #[arg(long, value_name = "WHEN", allow_hyphen_values = true, value_parser = at)]
        from: Option<u64>,
        /// Up to this moment, which is not part of it
        #[arg(long, value_name = "WHEN", allow_hyphen_values = true, value_parser = at)]
        to: Option<u64>,
        #[command(flatten)]
        place: Place,
    },
    /// Add to what a line has cost, or take away from it, by a line of its own; nothing is ever changed
    #[command(
        after_help = "Example:\n  pointsman store correct 4711 --by-usd -0.50 --reason \"refunded, ticket 99\"\n\nWhere a gateway serves from the store, its admin listener is asked to do it, since only the gateway may write. The token\nfor that is taken from POINTSMAN_ADMIN_TOKEN."
    )]
    Correct {
        /// The line's number, as `store export` shows it
        line: u64,
        /// US dollars to be added; less than nothing takes away
        #[arg(long, value_name = "USD", allow_hyphen_values = true, value_parser = signed_from_usd)]
        by_usd: i64,
        /// Why, for those who read the ledger
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// The gateway's admin listener, where it is not the one that the configuration names
        #[arg(long, value_name = "URL")]
        admin: Option<String>,
    },
}

/// Which store.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The store's folder, or a copy's file; without it the store of the configuration
    #[arg(long, value_name = "PATH")]
    store: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Format {
    Jsonl,
    Csv,
}

/// A moment, as an argument.
pub(super) fn at(text: &str) -> Result<u64, String> {
    moment(text, now_ms())
}

impl Place {
    pub(super) fn open(&self, named: Option<&Path>) -> Result<Sqlite, String> {
        let place = match &self.store {
            Some(place) => place.clone(),
            None => config(named)?.store,
        };
        Sqlite::open_to_read(&place).map_err(|error| error.to_string())
    }
}

fn config(named: Option<&Path>) -> Result<Config, String> {
    let source = Source::find(named).map_err(|error| error.to_string())?;
    source.load().map_err(|error| error.to_string())
}

pub(super) async fn run(named: Option<&Path>, command: StoreCommand) -> Result<(), String> {
    match command {
        StoreCommand::Check(place) => check(&place.open(named)?),
        StoreCommand::Backup { file, place } => backup(&place.open(named)?, &file),
        StoreCommand::Export {
            format,
            from,
            to,
            place,
        } => {
            let span = Span {
                from_ms: from.unwrap_or(Span::EVER.from_ms),
                to_ms: to.unwrap_or(Span::EVER.to_ms),
            };
            export(&place.open(named)?, format, span)
        }
        StoreCommand::Correct {
            line,
            by_usd,
            reason,
            admin,
        } => {
            let change = Change {
                line,
                by: by_usd,
                reason,
            };
            correct(&config(named)?, &change, admin).await
        }
    }
}

/// No call takes longer: an attempt has a day at most, and a request a handful of attempts.
const LEASE: Duration = Duration::from_secs(17 * 86_400);

fn check(store: &Sqlite) -> Result<(), String> {
    let mut findings = store.check().map_err(|error| error.to_string())?;
    // Where the check cannot read them, it has said so.
    let holds = store.open_holds().map(|(holds, _)| holds).unwrap_or_default();
    findings.extend(overdue(&holds, now_ms()));
    for finding in &findings {
        say!("{finding}");
    }
    if !findings.is_empty() {
        return Err(format!("{} found wrong", findings.len()));
    }
    let held: i128 = holds.iter().map(|hold| i128::from(hold.ceiling.0)).sum();
    match holds.len() {
        0 => say!("good: nothing is held"),
        open => say!(
            "good: {} USD are held for {open} calls, which are under way, or were when a gateway ended; its next start books them",
            usd(held)
        ),
    }
    Ok(())
}

/// Holds that a running gateway should have resolved.
fn overdue(holds: &[Hold], now_ms: u64) -> impl Iterator<Item = String> {
    let lease = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
    let old = holds
        .iter()
        .filter(move |hold| hold.at_ms.saturating_add(lease) < now_ms);
    old.map(|hold| {
        let since = at_text(hold.at_ms);
        format!("hold {} is open since {since}, longer than any call takes", hold.id)
    })
}

fn backup(store: &Sqlite, file: &Path) -> Result<(), String> {
    store.backup(file).map_err(|error| error.to_string())?;
    let copy = Sqlite::open_to_read(file).map_err(|error| error.to_string())?;
    let findings = copy.check().map_err(|error| error.to_string())?;
    if findings.is_empty() {
        say!("{}: good", file.display());
        return Ok(());
    }
    Err(format!("{}: {}", file.display(), findings.join("\n")))
}

fn export(store: &Sqlite, format: Format, span: Span) -> Result<(), String> {
    let export = match format {
        Format::Jsonl => Export::Jsonl,
        Format::Csv => Export::Csv,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut written = export.begin(&mut out);
    let read = store.lines(span, &mut |line: Line| {
        if written.is_ok() {
            written = export.write(&line, &mut out);
        }
        written.is_ok()
    });
    read.map_err(|error| error.to_string())?;
    match written.and_then(|()| out.flush()) {
        // Who reads has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| format!("cannot write: {error}")),
    }
}

async fn correct(config: &Config, change: &Change, admin: Option<String>) -> Result<(), String> {
    // A store that is not there is not made.
    let reader = Sqlite::open_to_read(&config.store).map_err(|error| error.to_string())?;
    let id = match lock(&config.store) {
        Ok(_lock) => {
            let write = || write(config, change).map_err(|error| error.to_string());
            audited(&config.store, "store correct", write, |id| {
                format!("line {}: line {id}", change.line)
            })?
        }
        Err(NotAlone::Served) => {
            let url = admin.unwrap_or_else(|| format!("http://{}", config.admin.listen));
            ask(&url, change).await?
        }
        Err(NotAlone::Failed(reason)) => return Err(reason),
    };
    drop(reader);
    say!(
        "line {id} corrects line {} by {} USD",
        change.line,
        usd(change.by.into())
    );
    Ok(())
}

/// No gateway serves from it, and none begins to as long as the lock is held.
fn write(config: &Config, change: &Change) -> Result<u64, StoreError> {
    let mut store = Sqlite::open(&config.store)?;
    let line = correction(change, &store)?;
    let (_, id) = store.open_holds()?;
    store.commit(&Batch {
        lines: vec![Line { id, ..line }],
        ..Batch::default()
    })?;
    Ok(id)
}

/// Has the gateway do it.
async fn ask(url: &str, change: &Change) -> Result<u64, String> {
    let endpoint = Endpoint::parse(url).map_err(|error| format!("{url}: {error}"))?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let host = HeaderValue::from_str(endpoint.authority()).map_err(|error| error.to_string())?;
    headers.insert(HOST, host);
    authorize(&mut headers)?;
    let upstream = Upstream::new(endpoint, &TlsRoots::new(None)?, Duration::from_secs(5));
    let body = json!({"line": change.line, "by_usd": usd(change.by.into()), "reason": change.reason}).to_string();
    let path = "/admin/ledger/corrections";
    let response = upstream.send(hyper::Method::POST, path, headers, body.into()).await;
    let response =
        response.map_err(|error| format!("a gateway serves from the store, and cannot be asked: {error}"))?;
    let body = response.into_body().collect(64 << 10).await;
    let body = body.map_err(|error| error.to_string())?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let said = answer["error"]["message"].as_str();
    answer["line"]
        .as_u64()
        .ok_or_else(|| said.map_or_else(|| format!("{url} is no gateway's admin listener"), str::to_owned))
}
