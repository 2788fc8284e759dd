//! A gateway whose memory is watched, and the good traffic that goes beside whatever a trial does to it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::Client;
use tests::gateway::complete;
use tokio::task::JoinSet;

use crate::process::{self, Process};

/// Good traffic, in a second.
const RATE: u64 = 100;

/// A gateway, and where its clients and its operators ask.
pub(crate) struct Gateway {
    process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// Starts one with this configuration.
pub(crate) fn start(home: &Path, config: &str) -> Result<Gateway> {
    start_by(Command::new(process::gateway()?), home, config)
}

/// The same by a command that the gateway's arguments are put behind.
pub(crate) fn start_by(mut command: Command, home: &Path, config: &str) -> Result<Gateway> {
    fs::write(home.join("pointsman.toml"), complete(config)).context("writing the configuration")?;
    let began = Instant::now();
    command.args(["serve", "--config", "pointsman.toml"]);
    command.current_dir(home).env("POINTSMAN_LOG", "off");
    let process = Process::start(&mut command)?;
    let ready = process::ready(&process, began)?.context("the gateway ended")?;
    Ok(Gateway {
        process,
        address: ready.data,
        admin: ready.admin,
    })
}

/// Makes a key; from the first one on, every request needs one.
pub(crate) fn key(home: &Path, name: &str) -> Result<String> {
    let mut command = Command::new(process::gateway()?);
    command.args(["keys", "create", "--name", name, "--format", "json"]);
    let output = command.current_dir(home).output().context("making a key")?;
    let made: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("making a key: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(made["key"].as_str().context("no key")?.to_owned())
}

impl Gateway {
    /// Bytes of memory that it has.
    pub(crate) fn memory(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// The most bytes of memory that it has had.
    pub(crate) fn most_memory(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kibibytes = line.and_then(|line| line.split_whitespace().next());
        Ok(kibibytes.context("the system does not say")?.parse::<u64>()? << 10)
    }

    /// How many files it has open.
    pub(crate) fn files(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.process.id()))?.count())
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        self.process.is_running()
    }
}

/// Room for so many connections at both ends of the gateway, for this process and those that it starts.
pub(crate) fn open_files(wanted: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limits = getrlimit(Resource::Nofile);
    let maximum = limits.maximum.map_or(wanted, |most| most.max(wanted));
    let wider = Rlimit {
        current: Some(wanted),
        maximum: Some(maximum),
    };
    setrlimit(Resource::Nofile, wider).with_context(|| {
        format!("{wanted} open files are needed, which only root may allow itself; a smaller trial needs fewer")
    })
}

/// A request.
pub(crate) fn body(model: &str, is_stream: bool) -> Value {
    json!({ "model": model, "stream": is_stream, "messages": [{ "role": "user", "content": "hello" }] })
}

/// Whole answers of `good/model` at a steady pace; how long each took, sorted, and how many failed.
pub(crate) async fn good_traffic(client: &Client, span: Duration) -> (Vec<Duration>, usize) {
    let (mut clients, began) = (JoinSet::new(), Instant::now());
    for number in 0..span.as_secs() * RATE {
        let due = Duration::from_nanos(1_000_000_000 / RATE) * u32::try_from(number).unwrap_or(u32::MAX);
        tokio::time::sleep_until((began + due).into()).await;
        let client = client.clone();
        clients.spawn(async move {
            let sent = Instant::now();
            let reply = client.chat(&body("good/model", false)).await;
            (reply.status == 200).then(|| sent.elapsed())
        });
    }
    let (mut took, mut failed) = (Vec::new(), 0);
    while let Some(ended) = clients.join_next().await {
        match ended {
            Ok(Some(time)) => took.push(time),
            _ => failed += 1,
        }
    }
    took.sort();
    (took, failed)
}

/// The first number under this name, however deep.
pub(crate) fn find(value: &Value, name: &str) -> Option<u64> {
    match value {
        Value::Object(members) => {
            let own = members.get(name).and_then(Value::as_u64);
            own.or_else(|| members.values().find_map(|value| find(value, name)))
        }
        Value::Array(values) => values.iter().find_map(|value| find(value, name)),
        _ => None,
    }
}

/// Of times that are sorted, in milliseconds.
pub(crate) fn p99(sorted: &[Duration]) -> f64 {
    let at = (sorted.len() * 99 / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}
