//! The ledger of a gateway that serves: its store, who else may open it, and who hears of budgets.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::ledger::{Event, Ledger, Opener, Setup};
use crate::store::sqlite::Sqlite;
use crate::store::{Store, StoreError, now_ms};
use crate::telemetry::Meter;
use crate::webhooks::Webhook;

/// Opens the store of a configuration, which has been locked.
pub(super) fn open(config: &Config, meter: &Meter) -> Result<Ledger, String> {
    let folder = config.store.clone();
    let webhook = config.webhook.as_ref();
    let webhook = webhook.map(|webhook| Webhook::start(webhook, meter.webhooks.clone()));
    let webhook = webhook
        .transpose()
        .map_err(|reason| format!("events.webhook: {reason}"))?;
    let reading = folder.clone();
    let open: Opener = Arc::new(move || Ok(Box::new(Sqlite::open(&folder)?) as Box<dyn Store>));
    let reader: Opener = Arc::new(move || Ok(Box::new(Sqlite::open_to_read(&reading)?) as Box<dyn Store>));
    let ledger = Ledger::start(Setup {
        open,
        reader,
        books: config.ledger.is_on,
        timeout: config.ledger.timeout,
        keep_lines: config.ledger.keep_lines,
        clock: Box::new(now_ms),
        meter: meter.ledger.clone(),
        fleet: super::fleet::open(config)?,
        listener: Box::new(move |event| {
            log(event);
            if let Some(webhook) = &webhook {
                webhook.tell(event);
            }
        }),
    });
    ledger.map_err(|error| cannot(&config.store, &error))
}

fn cannot(folder: &Path, error: &StoreError) -> String {
    format!("the store in {}: {error}", folder.display())
}

/// Why a store cannot be had for oneself.
pub(super) enum NotAlone {
    /// A gateway serves from it.
    Served,
    /// For this reason.
    Failed(String),
}

/// Two gateways with one store would each know of half the calls. The lock goes with the file that is given.
pub(super) fn lock(folder: &Path) -> Result<File, NotAlone> {
    let failed = |error: std::io::Error| NotAlone::Failed(error.to_string());
    crate::plugins::create_private(folder).map_err(failed)?;
    let file = File::create(folder.join("serve.lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(NotAlone::Served),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// For a gateway that is to serve from it.
pub(super) fn lock_to_serve(folder: &Path) -> Result<File, String> {
    let reason = match lock(folder) {
        Ok(file) => return Ok(file),
        Err(NotAlone::Served) => {
            "another gateway is serving from it; stop that one, take over from it with `--take-over`, or give this one a \
             `path` of its own in `[store]`"
                .to_owned()
        }
        Err(NotAlone::Failed(reason)) => reason,
    };
    Err(format!("the store in {}: {reason}", folder.display()))
}

fn log(event: &Event) {
    match event {
        Event::StoreFailed { .. } | Event::StoreRecovered => {}
        Event::Reset { .. } => tracing::info!(event = event.name(), "{event}"),
        _ => tracing::warn!(event = event.name(), "{event}"),
    }
}
