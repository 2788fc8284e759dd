//! Memory that has an end: a gateway in a small control group under large bodies, and a guest that leaves something behind with
//! every call.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::config::openai;
use tests::{Answer, Client, FakeProvider, guests};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::gateway::{self, body, good_traffic, p99, start, start_by};

/// So much more may a gateway have after all calls than after the first tenth of them.
const GROWTH: u64 = 8 << 20;
/// Callers of the guest.
const CALLERS: usize = 8;
/// A body, below what a gateway takes by default.
const LARGE: usize = 9 << 20;

/// A control group with little memory, of the second version or the first. It is gone when this is dropped.
struct Group {
    folder: PathBuf,
    is_second: bool,
}

impl Group {
    fn make(bytes: u64) -> Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let controllers = fs::read_to_string(root.join("cgroup.subtree_control")).unwrap_or_default();
        let is_second = controllers.split_whitespace().any(|name| name == "memory");
        let above = if is_second {
            root.to_owned()
        } else {
            root.join("memory")
        };
        let folder = above.join(format!("pointsman-soak-{}", std::process::id()));
        let missing = "there is no control group for memory that this user may make; run this trial as root, outside of a container";
        fs::create_dir(&folder).context(missing)?;
        let group = Self { folder, is_second };
        // Without the second, the group would swap where there is a disk to swap to.
        let limits = match is_second {
            true => [("memory.max", bytes), ("memory.swap.max", 0)],
            false => [("memory.limit_in_bytes", bytes), ("memory.swappiness", 0)],
        };
        for (index, (file, value)) in limits.into_iter().enumerate() {
            let written = fs::write(group.folder.join(file), value.to_string());
            if index == 0 {
                written.context(missing)?;
            }
        }
        Ok(group)
    }

    /// A command that runs what is put behind it in this group.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]);
        command.arg(self.folder.join("cgroup.procs")).arg(program);
        command
    }

    /// How often something in it was killed for want of memory.
    fn kills(&self) -> Result<u64> {
        let file = if self.is_second {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        let text = fs::read_to_string(self.folder.join(file)).context("reading what was killed")?;
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        Ok(line
            .context("the system does not say what was killed")?
            .trim()
            .parse()?)
    }

    /// The most that it had, with what the system keeps for its connections and files.
    fn most(&self) -> Option<u64> {
        let files = ["memory.peak", "memory.max_usage_in_bytes"];
        let text = files
            .iter()
            .find_map(|file| fs::read_to_string(self.folder.join(file)).ok())?;
        text.trim().parse().ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..50 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// O4: large bodies, from many clients at once, to a gateway with so many megabytes.
pub(crate) fn little(megabytes: u64, clients: usize, seconds: u64) -> Result<()> {
    let group = Group::make(megabytes << 20)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let tried = runtime.block_on(press(&group, clients, Duration::from_secs(seconds)));
    println!(
        "in {megabytes} MiB: the group had {} MiB at most; killed for want of memory: {}",
        group.most().map_or("?".to_owned(), |bytes| (bytes >> 20).to_string()),
        group.kills()?
    );
    tried?;
    ensure!(group.kills()? == 0, "the gateway was killed for want of memory");
    Ok(())
}

async fn press(group: &Group, clients: usize, span: Duration) -> Result<()> {
    let home = tempfile::tempdir()?;
    let good = FakeProvider::chatting([Answer::chat("hello")]).await;
    let slow = FakeProvider::chatting([Answer::chat("hello").delayed(Duration::from_millis(300))]).await;
    let config = openai("good", &good.url()) + &openai("slow", &slow.url());
    let mut gateway = start_by(group.command(&crate::process::gateway()?), home.path(), &config)?;
    let limits = Client::new(gateway.admin).get("/admin/limits").await.json();
    let known = limits["load"]["memory_bytes"]["limit"].as_u64().unwrap_or_default();
    let large = json!({ "model": "slow/model", "messages": [{ "role": "user", "content": "x".repeat(LARGE) }] });
    let body: Arc<str> = large.to_string().into();
    let (counts, ends) = (Arc::new([const { AtomicUsize::new(0) }; 3]), Instant::now() + span);
    let mut asking = JoinSet::new();
    for _ in 0..clients {
        let (counts, body, address) = (counts.clone(), body.clone(), gateway.address);
        asking.spawn(async move {
            while Instant::now() < ends {
                let counted = match send(address, &body).await {
                    Some(200) => 0,
                    Some(503) => 1,
                    // The gateway may close the connection on who goes on sending.
                    _ => 2,
                };
                counts[counted].fetch_add(1, Relaxed);
                if counted > 0 {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
    }
    let mut readiness = 0;
    while Instant::now() < ends {
        ensure!(gateway.is_running()?, "the gateway has ended");
        readiness += usize::from(Client::new(gateway.admin).get("/readyz").await.status == 200);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    while asking.join_next().await.is_some() {}
    ensure!(gateway.is_running()?, "the gateway has ended");
    let (after, failed) = good_traffic(&Client::new(gateway.address), Duration::from_secs(5)).await;
    let [served, refused, cut] = [0, 1, 2].map(|index: usize| counts[index].load(Relaxed));
    println!(
        "{clients} clients with bodies of {} MiB (the gateway knows of {} MiB): {served} served, {refused} refused with 503, {cut} cut off; operators \
         answered {readiness} times; the process had {} MiB at most; afterwards the good traffic's p99 {:.1} ms, failed {failed}",
        LARGE >> 20,
        known >> 20,
        gateway.most_memory()? >> 20,
        p99(&after)
    );
    ensure!(served > 0, "nothing was served");
    ensure!(failed == 0, "{failed} requests failed when it was over");
    Ok(())
}

/// A request whose answer may come before all of it is sent; its status.
async fn send(address: std::net::SocketAddr, body: &str) -> Option<u16> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut reading, mut writing) = stream.into_split();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let sending = async {
        writing.write_all(head.as_bytes()).await?;
        writing.write_all(body.as_bytes()).await
    };
    let receiving = async {
        let mut answer = [0; 16];
        reading.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let (_, answer) = tokio::join!(sending, receiving);
    let answer = answer.ok()?;
    std::str::from_utf8(&answer[9..12]).ok()?.parse().ok()
}

/// P5: so many calls of a guest that leaves a mebibyte behind, one after the other.
pub(crate) fn guest(calls: usize) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(leak(calls))
}

async fn leak(calls: usize) -> Result<()> {
    let home = tempfile::tempdir()?;
    fs::create_dir(home.path().join("plugins"))?;
    fs::write(home.path().join("plugins/leaks.wasm"), guests::component("leaks"))?;
    let config = "[providers.simulated]\nadapter = \"simulated\"\n[models.small]\nprovider = \"simulated\"\n\
         [policies.leaks]\ncomponent = \"plugins/leaks.wasm\"\n[plugins.limits]\ncall_ms = 20_000\n\
         [routes.leaking]\ncandidates = [\"small\"]\npolicies = [\"leaks\"]\n";
    let gateway = start(home.path(), config)?;
    let mut taken = Vec::new();
    for part in 0..10 {
        let mut calling = JoinSet::new();
        for caller in 0..CALLERS {
            let share = calls / 10 / CALLERS + usize::from(caller < calls / 10 % CALLERS);
            let client = Client::new(gateway.address);
            calling.spawn(async move {
                let (mut kept, ask) = (client.keep().await, body("leaking", false));
                for _ in 0..share {
                    let reply = kept.chat(&ask).await.map_err(anyhow::Error::msg)?;
                    ensure!(reply.status == 200, "{}", reply.text());
                }
                Ok(())
            });
        }
        while let Some(ended) = calling.join_next().await {
            ended??;
        }
        taken.push(gateway.memory()?);
        eprintln!("{:>3} %: {:.1} MiB", (part + 1) * 10, taken[part] as f64 / 1048576.0);
    }
    let plugins: Value = Client::new(gateway.admin).get("/admin/plugins").await.json();
    let counted = gateway::find(&plugins, "calls").context("calls are not counted")?;
    let (first, last) = (taken[0], taken[9]);
    println!(
        "{counted} calls of a guest that leaves 1 MiB and 100 places of a table behind: {:.1} MiB after a tenth of them, {:.1} MiB after all, \
         {:.1} MiB at most",
        first as f64 / 1048576.0,
        last as f64 / 1048576.0,
        gateway.most_memory()? as f64 / 1048576.0
    );
    ensure!(counted >= calls as u64 / 10 * 10, "only {counted} calls were made");
    ensure!(last <= first + GROWTH, "memory has grown from {first} to {last} bytes");
    Ok(())
}
