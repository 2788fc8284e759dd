//! D1 and D2: the disk is full, or a sync fails, under a gateway that serves. Calls with a budget are refused meanwhile, the
//! others go on; afterwards the ledger is what the provider's journal says. What the stores by themselves do is in `store`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use pointsman::store::sqlite::Sqlite;
use pointsman::store::{Line, Span, Store};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tests::config::{openai, route};
use tests::gateway::complete;
use tests::{Answer, Client, FakeProvider};

use crate::process::{self, Process};
use crate::strace;

/// A small disk, where root may make one. It is gone when this is dropped.
pub(crate) struct SmallDisk(pub(crate) PathBuf);

impl SmallDisk {
    /// At a new folder, of so many megabytes.
    pub(crate) fn mount(folder: &Path, megabytes: u32) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let size = format!("size={megabytes}m,mode=700");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder)
            .status()?;
        ensure!(
            mount.success(),
            "only root may mount a small disk; run this trial as root"
        );
        Ok(Self(folder.to_owned()))
    }

    /// Fills it, but for so many bytes.
    pub(crate) fn fill(&self, but: u64) -> Result<()> {
        let filler = self.0.join("filler");
        let mut file = fs::File::create(&filler)?;
        let piece = vec![0; 64 << 10];
        while std::io::Write::write_all(&mut file, &piece).is_ok() {}
        let length = file.metadata()?.len().saturating_sub(but);
        file.set_len(length).context("making some room")
    }

    /// Makes it empty again, but for what others have on it.
    pub(crate) fn free(&self) -> Result<()> {
        fs::remove_file(self.0.join("filler")).context("removing what fills the disk")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// What clients heard: how many of each status, with a budget and without.
#[derive(Debug, Default)]
struct Heard {
    with: HashMap<u16, usize>,
    without: HashMap<u16, usize>,
}

fn configure(home: &Path, store: &Path, provider: &FakeProvider) -> Result<()> {
    let budget = "budget = { limit_usd = 1000, period = \"total\" }";
    let store = format!("[store]\npath = \"{}\"\n", store.display());
    let routes = route("auto", &["p1"], budget) + &route("free", &["p1"], "");
    let config = complete(&(store + &openai("p1", &provider.url()) + &routes));
    fs::write(home.join("pointsman.toml"), config).context("writing the configuration")
}

/// Sends pairs of requests, one with a budget and one without.
async fn ask(client: &Client, pairs: usize, heard: &mut Heard) {
    for _ in 0..pairs {
        for (model, counted) in [("auto", &mut heard.with), ("free", &mut heard.without)] {
            let ask = json!({ "model": model, "max_tokens": 50, "messages": [{ "role": "user", "content": "hello" }] });
            *counted.entry(client.chat(&ask).await.status).or_default() += 1;
        }
    }
}

/// The disk is full.
pub(crate) fn full_gateway() -> Result<()> {
    let home = tempfile::tempdir()?;
    let disk = SmallDisk::mount(&home.path().join("store"), 64)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
        configure(home.path(), &disk.0, &provider)?;
        let mut serve = Command::new(process::gateway()?);
        serve
            .args(["serve", "--config", "pointsman.toml"])
            .current_dir(home.path())
            .env("POINTSMAN_LOG", "off");
        let mut gateway = Process::start(&mut serve)?;
        let ready = process::ready(&gateway, Instant::now())?.context("the gateway did not start")?;
        let client = Client::new(ready.data);
        let mut heard = Heard::default();
        ask(&client, 50, &mut heard).await;
        disk.fill(32 << 10)?;
        ask(&client, 500, &mut heard).await;
        ensure!(gateway.is_running()?, "the gateway has ended");
        disk.free()?;
        let mended = mended(&client, &mut heard).await?;
        ask(&client, 50, &mut heard).await;
        finish(gateway, &disk.0, &provider, "a full disk", &heard, mended)
    })
}

/// A sync fails.
pub(crate) fn eio_gateway() -> Result<()> {
    let home = tempfile::tempdir()?;
    let store = home.path().join("store");
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
        configure(home.path(), &store, &provider)?;
        let mut serve = Command::new(process::gateway()?);
        serve.args(["serve", "--config", "pointsman.toml"]);
        let mut traced = strace::injecting(&serve, "fdatasync,fsync", "error=EIO:when=60..75");
        traced.current_dir(home.path()).env("POINTSMAN_LOG", "off");
        let mut gateway = Process::start(&mut traced)?;
        let ready = process::ready(&gateway, Instant::now())?.context("the gateway did not start")?;
        let client = Client::new(ready.data);
        let mut heard = Heard::default();
        ask(&client, 200, &mut heard).await;
        ensure!(gateway.is_running()?, "the gateway has ended");
        let mended = mended(&client, &mut heard).await?;
        ask(&client, 50, &mut heard).await;
        finish(gateway, &store, &provider, "syncs that fail", &heard, mended)
    })
}

/// Waits until calls with a budget are served again.
async fn mended(client: &Client, heard: &mut Heard) -> Result<Duration> {
    let began = Instant::now();
    loop {
        let before = heard.with.get(&200).copied().unwrap_or(0);
        ask(client, 1, heard).await;
        if heard.with.get(&200).copied().unwrap_or(0) > before {
            return Ok(began.elapsed());
        }
        ensure!(
            began.elapsed() < Duration::from_secs(60),
            "calls with a budget are refused for ever"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn finish(
    gateway: Process,
    store: &Path,
    provider: &FakeProvider,
    what: &str,
    heard: &Heard,
    mended: Duration,
) -> Result<()> {
    let is_well = gateway.stop()?;
    let store = Sqlite::open_to_read(store)?;
    let (mut lines, mut wrong) = (0, 0);
    let mut each = |line: Line| {
        lines += 1;
        let is_exact = line.cost.is_some_and(|cost| cost.0 == 20_000);
        wrong += usize::from(!is_exact && line.cost != Some(line.ceiling));
        true
    };
    store.lines(Span::EVER, &mut each)?;
    let (attempts, holds) = (provider.journal().len(), store.open_holds()?.0.len());
    println!(
        "{what}: with a budget {:?}, without {:?}; mended {} ms after; {attempts} attempts, {lines} lines, {wrong} wrong, {holds} holds",
        heard.with,
        heard.without,
        mended.as_millis()
    );
    let findings = store.check()?;
    ensure!(findings.is_empty(), "{findings:?}");
    ensure!(is_well, "the gateway did not end well");
    ensure!(
        lines == attempts && wrong == 0 && holds == 0,
        "the ledger is not what the journal says"
    );
    let refused = heard.with.get(&503).copied().unwrap_or(0);
    if refused == 0 || heard.with.keys().any(|status| ![200, 503].contains(status)) {
        bail!("calls with a budget heard {:?}", heard.with);
    }
    Ok(())
}

impl Process {
    /// Asks it to stop, and waits until it has.
    fn stop(self) -> Result<bool> {
        let own = self.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        // Under a tracer it is the child that stops.
        let pid = children
            .split_whitespace()
            .next()
            .and_then(|pid| pid.parse().ok())
            .unwrap_or(own);
        let pid = Pid::from_raw(pid).context("a process without a number")?;
        kill_process(pid, Signal::TERM)?;
        Ok(self.ended()?.0)
    }
}
