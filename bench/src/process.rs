//! A measured process: started on a core of its own, its CPU time and memory read from the kernel, ended when dropped.
//! A process' children count as part of it (nginx's worker is one).

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How long a process may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// The cores of a measurement: one for the mock upstream and the load, one for the proxy alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    load: usize,
    proxy: usize,
}

impl Cores {
    /// Takes the first and the last core that this process may use, and moves it to the first.
    pub(crate) fn claim() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("reading which cores may be used")?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let load = usable.next().context("there is no core to run on")?;
        let proxy = usable.next_back().unwrap_or(load);
        if proxy == load {
            eprintln!(
                "bench: only one core may be used, so that load and proxy share it; the figures will not compare"
            );
        }
        let cores = Self { load, proxy };
        move_to(load)?;
        Ok(cores)
    }
}

fn move_to(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("moving to core {core}"))
}

/// While this is alive, the core of the load and the mock upstream looks for work and never sleeps. Behind a slow proxy it would,
/// more often than behind a fast one, and who sends to a core that sleeps pays for waking it: half of what one request costs, on
/// a virtual machine. Clients and providers of a real gateway are on other machines, and wake nobody here.
pub(crate) struct Awake(tokio::task::JoinHandle<()>);

impl Awake {
    pub(crate) fn keep() -> Self {
        Self(tokio::spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        }))
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A running process.
pub(crate) struct Process {
    child: Child,
    /// When it was started.
    pub started: Instant,
}

/// Resident memory in MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Now.
    pub resident: f64,
    /// At its highest.
    pub peak: f64,
}

impl Process {
    /// Starts a process on the proxy's core. It inherits the core at birth, so that none of its threads ever ran elsewhere.
    pub(crate) fn start(cores: Cores, command: &mut Command) -> Result<Self> {
        move_to(cores.proxy)?;
        let started = Instant::now();
        let child = command.stdin(Stdio::null()).spawn();
        move_to(cores.load)?;
        let program = command.get_program().to_string_lossy();
        Ok(Self {
            child: child.with_context(|| format!("starting {program}"))?,
            started,
        })
    }

    /// Fails when the process has ended.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("it ended with {status}"),
            None => Ok(()),
        }
    }

    /// CPU time so far, in user and kernel mode, of all threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut ticks = 0;
        for pid in self.family() {
            ticks += cpu_ticks(&pid)?;
        }
        Ok(ticks_to_time(ticks))
    }

    /// Resident memory, summed over the process and its children.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let mut memory = Memory {
            resident: 0.0,
            peak: 0.0,
        };
        for pid in self.family() {
            let path = format!("/proc/{pid}/status");
            let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
            memory.resident += status_mib(&status, "VmRSS:").context("no VmRSS")?;
            memory.peak += status_mib(&status, "VmHWM:").context("no VmHWM")?;
        }
        Ok(memory)
    }

    fn family(&self) -> Vec<String> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        std::iter::once(pid.to_string())
            .chain(children.split_whitespace().map(str::to_owned))
            .collect()
    }
}

impl Drop for Process {
    /// Asks first, so that a process with children takes them along.
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            kill_process(pid, Signal::TERM).ok();
        }
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// CPU time of this process so far.
pub(crate) fn own_cpu() -> Result<Duration> {
    cpu_ticks("self").map(ticks_to_time)
}

/// CPU time that the whole machine has spent on anything but being idle.
pub(crate) fn machine_cpu() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("cpu "))
        .context("/proc/stat has no first line")?;
    let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; what guests use is in user already.
    Ok(ticks_to_time(
        [0, 1, 2, 5, 6, 7].iter().filter_map(|at| fields.get(*at)).sum(),
    ))
}

fn cpu_ticks(pid: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // The name, in parentheses, may hold anything; after it come the state (field 3) and then numbers.
    let (_, rest) = stat.rsplit_once(") ").with_context(|| format!("{path} has no name"))?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let [user, system] = [11, 12].map(|at| fields.get(at).and_then(|field| field.parse::<u64>().ok()));
    user.zip(system)
        .map(|(user, system)| user + system)
        .with_context(|| format!("{path} has no CPU time"))
}

fn ticks_to_time(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn status_mib(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
