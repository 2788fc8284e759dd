//! D3: the power goes. A process that writes the script is recorded; before each of its syncs, and after each batch that it
//! said was on disk, the files are made as a loss of power would leave them, and opened.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::chance::Chance;
use crate::image::{Disk, LOSSES, Loss};
use crate::kinds::Kind;
use crate::process::{Process, own, text};
use crate::script::Expected;
use crate::strace::{self, Did};

/// What was found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    images: usize,
    syncs: usize,
    batches: u64,
    pub(crate) wrong: Vec<String>,
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            images,
            syncs,
            batches,
            wrong,
        } = self;
        write!(
            formatter,
            "{images} images of {batches} batches and {syncs} syncs: {} wrong",
            wrong.len()
        )?;
        wrong
            .iter()
            .take(5)
            .try_for_each(|wrong| write!(formatter, "\n  {wrong}"))
    }
}

/// Records a process, and opens what losses of power would leave of its files.
pub(crate) fn run(kind: Kind, batches: u64) -> Result<Found> {
    let folder = tempfile::tempdir()?;
    let (store, log) = (folder.path().join("store"), folder.path().join("strace"));
    let arguments = [
        "worker",
        "--appends",
        "--kind",
        kind.name(),
        "--folder",
        text(&store)?,
        "--batches",
    ];
    let mut worker = own(&arguments)?;
    worker.arg(batches.to_string());
    let (is_well, _) = Process::start(&mut strace::recording(&worker, &log))?.ended()?;
    ensure!(is_well, "the process that was recorded failed");
    let done = strace::read(&fs::read_to_string(&log)?, &store)?;
    let expected = Expected::up_to(batches)?;
    let shared = Path::new("/dev/shm");
    let place = if shared.is_dir() { shared } else { folder.path() };
    let mut chance = Chance::new();
    let mut disk = Disk::default();
    let mut found = Found {
        batches,
        ..Found::default()
    };
    let mut acknowledged = 0;
    for did in &done {
        match did {
            Did::Sync(_) => {
                found.syncs += 1;
                if !disk.is_at_rest() {
                    for loss in LOSSES {
                        try_image(
                            &disk,
                            kind,
                            loss,
                            &expected,
                            acknowledged,
                            place,
                            &mut chance,
                            &mut found,
                        )?;
                    }
                }
            }
            Did::Say(said) => {
                if let Some(number) = said.strip_prefix("ack ") {
                    acknowledged = number.trim().parse().context("no number")?;
                    try_image(
                        &disk,
                        kind,
                        Loss::All,
                        &expected,
                        acknowledged,
                        place,
                        &mut chance,
                        &mut found,
                    )?;
                }
            }
            _ => {}
        }
        disk.take(did);
    }
    ensure!(acknowledged > 0 && found.syncs > 0, "nothing was recorded");
    ensure!(kind != Kind::Sqlite || found.wrong.is_empty(), "{found}");
    Ok(found)
}

#[expect(clippy::too_many_arguments, reason = "one image is all of this")]
fn try_image(
    disk: &Disk,
    kind: Kind,
    loss: Loss,
    expected: &Expected,
    acknowledged: u64,
    place: &Path,
    chance: &mut Chance,
    found: &mut Found,
) -> Result<()> {
    let folder = tempfile::tempdir_in(place)?;
    disk.write(folder.path(), loss, chance)?;
    found.images += 1;
    let opened = kind.open(folder.path()).map_err(anyhow::Error::from);
    let checked = opened.and_then(|store| expected.check(store.as_ref(), acknowledged));
    if let Err(error) = checked {
        let wrong = format!(
            "image {} after batch {acknowledged}, lost: {loss:?}: {error:#}",
            found.images
        );
        found.wrong.push(wrong);
    }
    Ok(())
}
