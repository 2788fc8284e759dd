//! The machine and the state of the sources, as far as a reader of the results needs them to judge the figures.

use std::fs::{self, File};
use std::io::{self, Seek as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

/// What the figures were measured on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub processor: String,
    /// How many cores there are.
    pub cores: usize,
    /// Memory in GiB.
    pub memory_gib: f64,
    /// The kernel's release.
    pub kernel: String,
    /// The day, in UTC.
    pub date: String,
    /// The commit that was measured; `-dirty` when files had been changed since.
    pub commit: String,
    /// What the disk takes to write and sync 512 bytes where a file has its size already, 500 times a second: the median,
    /// in microseconds. No call that is durable waits for less.
    pub sync_us: Option<u128>,
}

/// So often a sync is tried.
const SYNCS: usize = 500;

fn sync_us(folder: &Path) -> io::Result<u128> {
    let path = folder.join("sync");
    let mut file = File::create(&path)?;
    file.write_all(&vec![0; SYNCS * 512])?;
    file.sync_all()?;
    file.rewind()?;
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        thread::sleep(Duration::from_millis(2));
        let began = Instant::now();
        file.write_all(&[1; 512])?;
        file.sync_data()?;
        took.push(began.elapsed());
    }
    fs::remove_file(&path)?;
    took.sort();
    Ok(took[SYNCS / 2].as_micros())
}

impl Machine {
    /// Describes this machine, with `unknown` for what it does not say, and its disk in this folder.
    pub(crate) fn describe(folder: &Path) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib: f64 = field(&meminfo, "MemTotal")
            .trim_end_matches("kB")
            .trim()
            .parse()
            .unwrap_or_default();
        Self {
            processor: field(&cpuinfo, "model name"),
            cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            memory_gib: kib / (1024.0 * 1024.0),
            kernel: output("uname", &["-sr"]),
            date: output("date", &["-u", "+%F"]),
            commit: output(
                "git",
                &["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"],
            ),
            sync_us: sync_us(folder).ok(),
        }
    }
}

fn field(text: &str, name: &str) -> String {
    let value = text
        .lines()
        .find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name));
    value.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .ok()
        .filter(|output| output.status.success());
    output.map_or_else(
        || "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
