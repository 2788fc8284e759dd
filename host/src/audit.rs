//! The audit log: a file of the store in which everything that operators change has a line before it takes effect, and one
//! when it has. Lines are only ever added; each holds the digest of the line before it, so that none can be changed, taken
//! out or put in without all later ones showing it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::printable;
use crate::plugins::{Digest, create_private};
use crate::spend::at_text;
use crate::store::now_ms;

/// The file's name in the folder of the store.
pub const FILE: &str = "audit.jsonl";
/// What somebody is called, and what they asked for, is cut here.
const MOST_CHARACTERS: usize = 300;
/// No line is longer, so that much is read to find the last one.
const LINE_BYTES: u64 = 16 << 10;

/// Where changes are written down.
#[derive(Debug, Clone)]
pub struct Audit {
    folder: PathBuf,
}

/// What is written down of a change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// `asked` before it takes effect, `done` after that; of a command that changed nothing, `failed`.
    pub stage: String,
    /// A token's name, or a user of this machine.
    pub who: String,
    /// The client's address, or `command`.
    pub from: String,
    /// Method and path, or the command.
    pub what: String,
    /// With `done`: the status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// With `done`: the id of what was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// With `done`: the SHA-256 of what it was; none where it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// With `done`: the SHA-256 of what it is; none where it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    number: u64,
    at: String,
    /// Of the line before this one, without its line feed; empty in the first.
    previous: String,
    #[serde(flatten)]
    entry: Entry,
}

/// What a log is found to be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Lines that are whole.
    pub entries: u64,
    /// The digest of the last line.
    pub head: Option<String>,
    /// Everything that does not hold.
    pub wrong: Vec<String>,
    /// Whether a line with the digest that was asked for is there.
    pub has_wanted: bool,
}

impl Audit {
    /// The log of this store.
    pub fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Adds a line; it is on disk when this returns. Gives its digest, which is worth keeping elsewhere. Of several
    /// processes one at a time adds to it.
    pub fn write(&self, entry: Entry) -> io::Result<String> {
        create_private(&self.folder)?;
        let path = self.folder.join(FILE);
        let is_new = !path.exists();
        let mut file = open(&path)?;
        file.lock()?;
        let (number, previous) = last(&mut file)?;
        let line = Line {
            number,
            at: at_text(now_ms()),
            previous,
            entry: Entry {
                who: printable(&entry.who, MOST_CHARACTERS),
                what: printable(&entry.what, MOST_CHARACTERS),
                ..entry
            },
        };
        let text = serde_json::to_string(&line).map_err(io::Error::other)?;
        file.write_all(format!("{text}\n").as_bytes())?;
        file.sync_data()?;
        if is_new {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(Digest::of(text.as_bytes()).to_string())
    }

    /// Reads all of it, and says what does not hold. `wanted` is a digest that somebody kept.
    pub fn check(&self, wanted: Option<&str>) -> io::Result<Findings> {
        let file = match File::open(self.folder.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Findings::default()),
            file => file?,
        };
        // Nobody is in the middle of adding to it.
        file.lock_shared()?;
        let mut findings = Findings::default();
        let mut previous = String::new();
        let mut number = 1;
        let mut reader = BufReader::new(file);
        let mut bytes = Vec::new();
        for place in 1.. {
            bytes.clear();
            if (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut bytes)? == 0 {
                break;
            }
            let is_whole = bytes.pop_if(|byte| *byte == b'\n').is_some();
            let mut odd = |what: &str| findings.wrong.push(format!("line {place} {what}"));
            match serde_json::from_slice::<Line>(&bytes) {
                Ok(line) => {
                    if line.previous != previous {
                        odd("does not follow the line before it: one of them was changed, taken out or put in");
                    }
                    if line.number != number {
                        odd(&format!("has the number {} and should have {number}", line.number));
                    }
                    number = line.number + 1;
                    findings.entries += 1;
                }
                Err(_) => odd("is not whole: the machine may have stopped while it was written, before it took effect"),
            }
            if !is_whole {
                findings.wrong.push(format!("line {place} has no end"));
            }
            previous = Digest::of(&bytes).to_string();
            findings.has_wanted |= wanted == Some(&previous);
            findings.head = Some(previous.clone());
        }
        Ok(findings)
    }
}

/// For its owner alone.
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).open(path)
}

/// The next line's number, and the digest of the one that there is. Half a line gets its end first.
fn last(file: &mut File) -> io::Result<(u64, String)> {
    let length = file.seek(SeekFrom::End(0))?;
    if length == 0 {
        return Ok((1, String::new()));
    }
    file.seek(SeekFrom::Start(length.saturating_sub(LINE_BYTES)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    if tail.last() != Some(&b'\n') {
        file.write_all(b"\n")?;
        tail.push(b'\n');
    }
    let lines: Vec<&[u8]> = tail[..tail.len() - 1].split(|byte| *byte == b'\n').collect();
    let known = lines
        .iter()
        .rev()
        .find_map(|line| serde_json::from_slice::<Line>(line).ok());
    let number = known.map_or(1, |line| line.number + 1);
    let previous = lines.last().copied().unwrap_or_default();
    Ok((number, Digest::of(previous).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(what: &str) -> Entry {
        Entry {
            stage: "asked".to_owned(),
            who: "somebody".to_owned(),
            what: what.to_owned(),
            ..Entry::default()
        }
    }

    #[test]
    fn every_change_of_the_log_shows() {
        let folder = ::tests::Home::new();
        let audit = Audit::of(&folder.path("store"));
        assert_eq!(audit.check(None).unwrap(), Findings::default());
        let heads: Vec<String> = (0..5)
            .map(|n| audit.write(entry(&format!("POST /{n}\n"))).unwrap())
            .collect();
        let found = audit.check(Some(&heads[2])).unwrap();
        assert_eq!(
            (found.entries, found.head.as_ref(), found.has_wanted),
            (5, heads.last(), true)
        );
        assert_eq!(found.wrong, Vec::<String>::new());
        let path = folder.path("store/audit.jsonl");
        let good = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = good.lines().collect();
        let without = |gone: usize| {
            let left = lines.iter().enumerate().filter(|(place, _)| *place != gone);
            left.map(|(_, line)| format!("{line}\n")).collect::<String>()
        };
        let swapped = format!("{}\n{}\n{}\n{}\n{}\n", lines[0], lines[2], lines[1], lines[3], lines[4]);
        for damaged in [
            good.replace("/3", "/9"),
            good.replacen("somebody", "nobody", 1),
            without(0),
            without(2),
            swapped,
            good.replacen("\"number\":2", "\"number\":7", 1),
        ] {
            assert_ne!(damaged, good);
            std::fs::write(&path, &damaged).unwrap();
            assert_ne!(audit.check(None).unwrap().wrong, Vec::<String>::new(), "{damaged}");
        }
        // Lines missing at the end show only to whoever kept a digest.
        std::fs::write(&path, without(4)).unwrap();
        let found = audit.check(Some(&heads[4])).unwrap();
        assert!(found.wrong.is_empty() && !found.has_wanted);
    }

    #[test]
    fn half_a_line_is_told_and_the_chain_goes_on_behind_it() {
        let folder = ::tests::Home::new();
        let audit = Audit::of(&folder.path("store"));
        audit.write(entry("POST /1")).unwrap();
        let path = folder.path("store/audit.jsonl");
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_slice(b"{\"number\":2,\"at\":\"2026");
        std::fs::write(&path, torn).unwrap();
        audit.write(entry("POST /2")).unwrap();
        audit.write(entry("POST /3")).unwrap();
        let found = audit.check(None).unwrap();
        assert_eq!(found.entries, 3);
        assert!(
            found.wrong.len() == 1 && found.wrong[0].contains("line 2 is not whole"),
            "{found:?}"
        );
    }
}
