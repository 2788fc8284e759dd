//! Processes that are started to be killed: the gateway, and this program in another role.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Nothing takes this long.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process whose standard output is read line by line. It is killed when this is dropped, with what it was started under.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    /// Starts it. Its standard error is this program's.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        let (sender, lines) = mpsc::sync_channel(100_000);
        let out = child.stdout.take().context("no output")?;
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// What it says next; nothing when it has ended.
    pub(crate) fn line(&self) -> Result<Option<String>> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(Some(line)),
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(None),
            Err(mpsc::RecvTimeoutError::Timeout) => bail!("a process says nothing for {} s", PATIENCE.as_secs()),
        }
    }

    /// `kill -9`, to it and to what runs under it; then all that it still had said.
    pub(crate) fn kill(mut self) -> Result<Vec<String>> {
        self.end()?;
        Ok(self.lines.iter().collect())
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(mut self) -> Result<(bool, Vec<String>)> {
        let lines = self.lines.iter().collect();
        Ok((self.child.wait()?.success(), lines))
    }

    /// Its number.
    pub(crate) fn id(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    fn end(&mut self) -> Result<()> {
        let own = self.child.id();
        // A tracer that is killed first would let its child run on.
        let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            if let Some(pid) = Pid::from_raw(child) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = self.child.kill();
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Where the two listeners of a gateway are, and how long it took until it said so; nothing where it ended before.
pub(crate) struct Ready {
    pub(crate) data: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) after: Duration,
}

/// Waits until a gateway listens.
pub(crate) fn ready(gateway: &Process, began: Instant) -> Result<Option<Ready>> {
    let (mut data, mut admin) = (None, None);
    while let Some(line) = gateway.line()? {
        if let Some((who, address)) = line.trim().split_once(" listening on http://") {
            match who {
                "data" => data = address.parse().ok(),
                _ => admin = address.parse().ok(),
            }
        }
        if let (Some(data), Some(admin)) = (data, admin) {
            let after = began.elapsed();
            return Ok(Some(Ready { data, admin, after }));
        }
    }
    Ok(None)
}

/// The gateway that was built for this.
pub(crate) fn gateway() -> Result<PathBuf> {
    let named = std::env::var_os("CARGO_BIN_EXE_pointsman").map(PathBuf::from);
    named.context("where the gateway is, `cargo xtask soak` says")
}

/// This program in another role.
pub(crate) fn own(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments);
    Ok(command)
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}
