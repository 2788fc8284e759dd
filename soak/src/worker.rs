//! A process that writes the script into a store, one batch after the other, and says so after each that is on disk. It is
//! there to be killed.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::kinds::Kind;
use crate::script::{batch, reached};

/// What to write, and where.
#[derive(Args)]
pub(crate) struct Options {
    /// The store.
    #[arg(long, value_enum)]
    pub(crate) kind: Kind,
    /// Its folder.
    #[arg(long)]
    pub(crate) folder: PathBuf,
    /// The last batch.
    #[arg(long)]
    pub(crate) batches: u64,
    /// Every other batch is handed over without waiting for the disk.
    #[arg(long)]
    pub(crate) appends: bool,
}

/// So often rows are made of what was kept, beside the times at which the store does so by itself.
const PUBLISHED: u64 = 7;

/// Goes on where the store ends.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut store = options.kind.open(&options.folder).context("opening the store")?;
    let done = reached(store.as_ref())?;
    let mut out = std::io::stdout().lock();
    out.write_all(format!("open {done}\n").as_bytes())?;
    for number in done + 1..=options.batches {
        let batch = batch(number);
        if options.appends && number % 2 == 0 {
            store.append(&batch)?;
            continue;
        }
        store.commit(&batch)?;
        if number % PUBLISHED == 0 {
            store.publish()?;
        }
        out.write_all(format!("ack {number}\n").as_bytes())?;
    }
    Ok(())
}
