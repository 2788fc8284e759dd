//! `pointsman audit`: the log of what operators have changed; and how commands write to it.

use std::path::Path;

use clap::Subcommand;

use crate::audit::{Audit, Entry, FILE};
use crate::cli::out::say;
use crate::config::Source;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Read all of it, and say what was changed, taken out or put in by others than the gateway
    #[command(
        after_help = "Examples:\n  pointsman audit check\n  pointsman audit check --has 5f0c…\n\nThe gateway's log has the digest of every line that is added. Lines that are missing at the end show only to who kept one."
    )]
    Check {
        /// The digest of a line that has to be there
        #[arg(long, value_name = "SHA256")]
        has: Option<String>,
    },
}

pub(super) fn run(named: Option<&Path>, command: AuditCommand) -> Result<(), String> {
    let source = Source::find(named).map_err(|error| error.to_string())?;
    let config = source.load().map_err(|error| error.to_string())?;
    let AuditCommand::Check { has } = command;
    let path = config.store.join(FILE);
    let found = Audit::of(&config.store)
        .check(has.as_deref())
        .map_err(|error| format!("{}: {error}", path.display()))?;
    for wrong in &found.wrong {
        say!("{wrong}");
    }
    if let Some(wanted) = has.filter(|_| !found.has_wanted) {
        return Err(format!("{}: no line has the digest {wanted}", path.display()));
    }
    if !found.wrong.is_empty() {
        return Err(format!("{}: {} found wrong", path.display(), found.wrong.len()));
    }
    match found.head {
        Some(head) => say!("good: {} lines, the last one {head}", found.entries),
        None => say!("good: nothing was changed yet"),
    }
    Ok(())
}

/// Does what a command is for, with a line in the audit log before and after.
pub(super) fn audited<T>(
    store: &Path,
    what: &str,
    act: impl FnOnce() -> Result<T, String>,
    subject: impl FnOnce(&T) -> String,
) -> Result<T, String> {
    let audit = Audit::of(store);
    let entry = |stage: &str| Entry {
        stage: stage.to_owned(),
        who: user(),
        from: "command".to_owned(),
        what: what.to_owned(),
        ..Entry::default()
    };
    let failed = |error: std::io::Error| format!("the audit log in {}: {error}", store.display());
    audit.write(entry("asked")).map_err(failed)?;
    let value = match act() {
        Ok(value) => value,
        Err(reason) => {
            audit.write(entry("failed")).map_err(failed)?;
            return Err(reason);
        }
    };
    audit
        .write(Entry {
            subject: Some(subject(&value)),
            ..entry("done")
        })
        .map_err(failed)?;
    Ok(value)
}

/// Whoever runs the command, as far as the system can tell.
fn user() -> String {
    #[cfg(target_os = "linux")]
    return format!("user {}", rustix::process::getuid().as_raw());
    #[cfg(not(target_os = "linux"))]
    "a user of this machine".to_owned()
}
