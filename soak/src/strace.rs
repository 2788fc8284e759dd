//! What a process did to its files, as strace wrote it down. Only what the embedded stores do is understood: opening,
//! writing, truncating, syncing, removing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Did {
    Write {
        file: PathBuf,
        at: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        file: PathBuf,
        to: u64,
    },
    Sync(PathBuf),
    Remove(PathBuf),
    /// Something was said on standard output.
    Say(String),
}

/// What is asked of strace.
const CALLS: &str =
    "trace=openat,pwrite64,write,lseek,fdatasync,fsync,ftruncate,fallocate,unlink,unlinkat,rename,pwritev";

/// A command under strace, which writes into this file.
pub(crate) fn recording(command: &Command, log: &Path) -> Command {
    let mut traced = Command::new("strace");
    traced.args([
        "-f",
        "-y",
        "-xx",
        "-s",
        "4000000",
        "-e",
        CALLS,
        "-e",
        "signal=none",
        "-o",
    ]);
    traced.arg(log).arg(command.get_program()).args(command.get_args());
    traced
}

/// A command under strace that does something at the n-th of these calls.
pub(crate) fn injecting(command: &Command, calls: &str, what: &str) -> Command {
    let mut traced = Command::new("strace");
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:{what}"));
    traced.args(["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject]);
    traced.arg(command.get_program()).args(command.get_args());
    traced
}

/// Reads what was done to the files of a folder.
pub(crate) fn read(log: &str, folder: &Path) -> Result<Vec<Did>> {
    let mut offsets: HashMap<PathBuf, u64> = HashMap::new();
    let mut done = Vec::new();
    for line in log.lines() {
        // With -f each line begins with the number of the process.
        let line = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        if line.contains("<unfinished") || line.contains("resumed>") {
            bail!("a call that was cut in two, by a second thread say: {line:.80}");
        }
        let Some((call, rest)) = line.split_once('(') else {
            continue;
        };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else {
            continue;
        };
        if result.starts_with('-') {
            continue;
        }
        let Some(arguments) = arguments.trim_end().strip_suffix(')') else {
            continue;
        };
        let fields: Vec<&str> = arguments.split(", ").collect();
        let file = || -> Result<PathBuf> {
            let (_, path) = fields[0].split_once('<').context("a call without a file")?;
            path_of(path.trim_end_matches('>'))
        };
        let number = |place: usize| -> Result<u64> {
            let field = fields
                .get(place)
                .with_context(|| format!("no argument {place}: {line:.80}"))?;
            field.parse().with_context(|| format!("no number: {field:.80}"))
        };
        match call {
            "write" if fields[0].starts_with("1<") => {
                done.push(Did::Say(String::from_utf8_lossy(&bytes_of(fields[1])?).into_owned()));
            }
            "pwrite64" | "write" => {
                let (file, bytes) = (file()?, bytes_of(fields[1])?);
                let at = match call {
                    "pwrite64" => number(3)?,
                    _ => {
                        let offset = offsets.entry(file.clone()).or_default();
                        let at = *offset;
                        *offset += bytes.len() as u64;
                        at
                    }
                };
                done.push(Did::Write { file, at, bytes });
            }
            "lseek" => drop(offsets.insert(file()?, result.trim().parse()?)),
            "ftruncate" => done.push(Did::Truncate {
                file: file()?,
                to: number(1)?,
            }),
            "fallocate" => done.push(Did::Truncate {
                file: file()?,
                to: number(2)? + number(3)?,
            }),
            "fdatasync" | "fsync" => done.push(Did::Sync(file()?)),
            "unlink" => done.push(Did::Remove(path_of_text(fields[0])?)),
            "unlinkat" => done.push(Did::Remove(path_of_text(fields[1])?)),
            "openat" => {
                let (_, path) = result.split_once('<').context("an open file without a path")?;
                let path = path_of(path.trim().trim_end_matches('>'))?;
                if path.starts_with(folder) && !path.is_dir() {
                    offsets.insert(path.clone(), 0);
                    // From now on it exists, though there is nothing in it.
                    done.push(Did::Write {
                        file: path,
                        at: 0,
                        bytes: Vec::new(),
                    });
                }
            }
            call => bail!("{call} is not understood"),
        }
    }
    let is_own = |did: &Did| match did {
        Did::Write { file, .. } | Did::Truncate { file, .. } | Did::Sync(file) | Did::Remove(file) => {
            file.starts_with(folder)
        }
        Did::Say(_) => true,
    };
    done.retain(is_own);
    Ok(done)
}

/// `"\x2f\x61"`
fn path_of_text(text: &str) -> Result<PathBuf> {
    Ok(PathBuf::from(String::from_utf8(bytes_of(text)?)?))
}

/// `\x2f\x61`
fn path_of(text: &str) -> Result<PathBuf> {
    Ok(PathBuf::from(String::from_utf8(unescaped(text)?)?))
}

fn bytes_of(text: &str) -> Result<Vec<u8>> {
    let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    unescaped(inside.with_context(|| format!("not all of it was written down: {text:.40}"))?)
}

fn unescaped(text: &str) -> Result<Vec<u8>> {
    let digits = text.split("\\x").skip(1);
    let byte = |digits: &str| u8::from_str_radix(digits, 16).with_context(|| format!("no byte: {digits:.10}"));
    digits.map(byte).collect()
}
