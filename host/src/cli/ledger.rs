//! The ledger of a gateway that serves: its store, who else may open it, and who hears of budgets.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::Config;
use crate::ledger::{Event, Ledger, Opener, Setup};
use crate::store::sqlite::Sqlite;
use crate::store::{Store, StoreError};
use crate::telemetry::Meter;

/// Opens the store of a configuration, for one process at a time.
pub(super) fn open(config: &Config, meter: &Meter) -> Result<Ledger, String> {
    let folder = config.store.clone();
    lock(&folder)?;
    let reading = folder.clone();
    let open: Opener = Arc::new(move || Ok(Box::new(Sqlite::open(&folder)?) as Box<dyn Store>));
    let reader: Opener = Arc::new(move || Ok(Box::new(Sqlite::open_to_read(&reading)?) as Box<dyn Store>));
    let ledger = Ledger::start(Setup {
        open,
        reader,
        books: config.ledger.is_on,
        timeout: config.ledger.timeout,
        keep_lines: config.ledger.keep_lines,
        bounds: bounds(config),
        clock: Box::new(now_ms),
        meter: meter.ledger.clone(),
        listener: Box::new(log),
    });
    ledger.map_err(|error| cannot(&config.store, &error))
}

fn cannot(folder: &Path, error: &StoreError) -> String {
    format!("the store in {}: {error}", folder.display())
}

/// How much room documents have.
fn bounds(config: &Config) -> Vec<(&'static str, u64)> {
    let decisions = config.decisions.as_ref().map(|decisions| ("decision", decisions.bytes));
    decisions.into_iter().collect()
}

/// Two gateways with one store would each know of half the calls. The lock goes with the process.
fn lock(folder: &Path) -> Result<(), String> {
    let path = folder.join("serve.lock");
    let cannot = |reason: String| format!("the store in {}: {reason}", folder.display());
    crate::plugins::create_private(folder).map_err(|error| cannot(error.to_string()))?;
    let file = File::create(&path).map_err(|error| cannot(error.to_string()))?;
    match file.try_lock() {
        Ok(()) => {
            std::mem::forget(file);
            Ok(())
        }
        Err(TryLockError::WouldBlock) => Err(cannot(
            "another gateway is serving from it; stop that one, or give this one a `path` of its own in `[store]`"
                .to_owned(),
        )),
        Err(TryLockError::Error(error)) => Err(cannot(error.to_string())),
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn log(event: &Event) {
    match event {
        Event::StoreFailed { .. } | Event::StoreRecovered => {}
        Event::Reset { .. } => tracing::info!(event = event.name(), "{event}"),
        _ => tracing::warn!(event = event.name(), "{event}"),
    }
}
