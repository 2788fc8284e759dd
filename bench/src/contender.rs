//! Who is measured, and how each is started: the floor, nginx, and the gateway in five settings. `direct` is nobody: the
//! load speaks to the mock upstream itself, which shows that neither of the two is the bottleneck.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use tokio::time::{sleep, timeout};

use crate::connection::Connection;
use crate::process::{Cores, Process};
use crate::{gateway, nginx, wire};

const LONGEST_START: Duration = Duration::from_secs(30);

/// Everyone in one run, in the order in which they take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// No proxy at all.
    Direct,
    /// A bare hyper reverse proxy.
    Floor,
    /// nginx with one worker.
    Nginx,
    /// The gateway without policies and without a ledger.
    Pointsman,
    /// The gateway without policies, with a budget, and a ledger that is on disk before a call goes out.
    PointsmanLedger,
    /// The same with its store on a file system in memory, whose syncs take no time.
    PointsmanLedgerMemory,
    /// The gateway with three policies, each call on a fresh store.
    PointsmanFresh,
    /// The gateway with three policies on warm instances.
    PointsmanWarm,
}

/// A started proxy that has answered once.
pub(crate) struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    /// Itself.
    pub process: Process,
    /// From its start to the first status 200.
    pub start: Duration,
}

impl Contender {
    /// The name in tables and in the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Floor => "floor",
            Self::Nginx => "nginx",
            Self::Pointsman => "pointsman",
            Self::PointsmanLedger => "pointsman-ledger",
            Self::PointsmanLedgerMemory => "pointsman-ledger-memory",
            Self::PointsmanFresh => "pointsman-fresh",
            Self::PointsmanWarm => "pointsman-warm",
        }
    }

    /// Why it cannot be measured on this machine, with what to do about it.
    pub(crate) fn missing(self) -> Option<String> {
        match self {
            Self::Direct | Self::Floor => None,
            Self::Nginx => nginx::missing(),
            Self::PointsmanLedgerMemory if !Path::new(gateway::MEMORY).is_dir() => Some(format!(
                "there is no {}, so that the ledger without its disk is not measured",
                gateway::MEMORY
            )),
            Self::Pointsman
            | Self::PointsmanLedger
            | Self::PointsmanLedgerMemory
            | Self::PointsmanFresh
            | Self::PointsmanWarm => gateway::missing(),
        }
    }

    /// Starts it in front of an upstream, with its files in `folder`; none for `direct`.
    pub(crate) async fn start(self, cores: Cores, upstream: SocketAddr, folder: &Path) -> Result<Option<Proxy>> {
        if self == Self::Direct {
            return Ok(None);
        }
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let address = free_address()?;
        let mut command = self.command(address, upstream, folder)?;
        let log = folder.join(format!("{}.log", self.name()));
        let log = std::fs::File::create(&log).with_context(|| format!("writing {}", log.display()))?;
        let process = Process::start(cores, command.stdout(Stdio::null()).stderr(log))?;
        let proxy = first_answer(process, address).await;
        proxy
            .map(Some)
            .with_context(|| format!("{} in {}", self.name(), folder.display()))
    }

    fn command(self, listen: SocketAddr, upstream: SocketAddr, folder: &Path) -> Result<Command> {
        match self {
            Self::Direct => bail!("direct is not a process"),
            Self::Floor => {
                let mut command = Command::new(std::env::current_exe().context("finding this program")?);
                command.args(["floor", &listen.to_string(), &upstream.to_string()]);
                Ok(command)
            }
            Self::Nginx => nginx::command(listen, upstream, folder),
            Self::Pointsman => gateway::command(gateway::Kind::Plain, listen, free_address()?, upstream, folder),
            Self::PointsmanLedger => gateway::command(gateway::Kind::Ledger, listen, free_address()?, upstream, folder),
            Self::PointsmanLedgerMemory => {
                gateway::command(gateway::Kind::LedgerInMemory, listen, free_address()?, upstream, folder)
            }
            Self::PointsmanFresh => gateway::command(gateway::Kind::Fresh, listen, free_address()?, upstream, folder),
            Self::PointsmanWarm => gateway::command(gateway::Kind::Warm, listen, free_address()?, upstream, folder),
        }
    }
}

/// Asks until the proxy answers with 200.
async fn first_answer(mut process: Process, address: SocketAddr) -> Result<Proxy> {
    let request = wire::request(address, 1024, false);
    let deadline = process.started + LONGEST_START;
    let mut last = "it does not listen".to_owned();
    while Instant::now() < deadline {
        match timeout(LONGEST_START, Connection::new(address).exchange(&request)).await {
            Ok(Ok(reply)) if reply.status == 200 => {
                let start = process.started.elapsed();
                return Ok(Proxy {
                    address,
                    process,
                    start,
                });
            }
            Ok(Ok(reply)) => last = format!("it answers with status {}", reply.status),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = "it does not answer".to_owned(),
        }
        process.check_alive().context("before its first answer")?;
        sleep(Duration::from_millis(1)).await;
    }
    bail!("no status 200 within {LONGEST_START:?}: {last}")
}

/// A loopback port that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))
        .context("finding a free port")?
        .local_addr()?)
}
