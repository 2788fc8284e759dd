//! One measurement: a contender, freshly started, under one scenario. All of them are run side by side and in turns, so that
//! a noisy moment of the machine meets everyone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::time::sleep;

use crate::contender::{Contender, Proxy};
use crate::load::Load;
use crate::mock::{Mock, Pace};
use crate::process::{Awake, Cores, machine_cpu, own_cpu};
use crate::scenario::{Scenario, Shape};
use crate::tally::Tally;
use crate::wire;

/// How long and how often.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Effort {
    /// Measurements of the same thing, of which the median is reported.
    pub repeats: u32,
    /// Load before a measurement, so that connections are open and caches warm.
    pub warm_up: Duration,
    /// Load that is measured.
    pub span: Duration,
    /// How long a process rests before its idle memory is read.
    pub rest: Duration,
}

/// What one measurement found; what does not apply is none.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Sample {
    pub good: u64,
    pub bad: u64,
    pub failed: u64,
    pub reopened: u64,
    pub complaint: Option<String>,
    pub per_second: Option<f64>,
    pub cpu_us: Option<f64>,
    pub cpu_percent: Option<f64>,
    /// CPU time of everything but the bench and the proxy, in percent of one core.
    pub foreign_percent: Option<f64>,
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub p999_us: Option<f64>,
    pub first_p50_us: Option<f64>,
    pub first_p99_us: Option<f64>,
    pub gap_p50_us: Option<f64>,
    pub gap_p99_us: Option<f64>,
    pub events_per_read: Option<f64>,
    pub done_percent: Option<f64>,
    pub start_ms: Option<f64>,
    /// As `start_ms`, with nothing kept from an earlier run.
    pub cold_start_ms: Option<f64>,
    pub idle_mib: Option<f64>,
    pub loaded_mib: Option<f64>,
    pub peak_mib: Option<f64>,
}

/// A sample and what it is of.
#[derive(Debug, Serialize)]
pub(crate) struct Measurement {
    pub scenario: Scenario,
    pub contender: Contender,
    pub sample: Sample,
}

/// Where and how measurements are made.
pub(crate) struct Bench {
    /// Who runs on which core.
    pub cores: Cores,
    /// How long and how often.
    pub effort: Effort,
    /// Where the proxies' files are.
    pub folder: PathBuf,
}

impl Bench {
    /// Measures every contender in every scenario, in turns. One that fails is named in `missing`, and the others go on.
    pub(crate) async fn run(
        &self,
        scenarios: &[Scenario],
        contenders: &[Contender],
        missing: &mut Vec<String>,
    ) -> Vec<Measurement> {
        let repeats = self.effort.repeats;
        let turns = scenarios.iter().flat_map(|scenario| {
            let turn = move |repeat| contenders.iter().map(move |contender| (*scenario, repeat, *contender));
            (1..=repeats).flat_map(turn)
        });
        let mut measurements = Vec::new();
        for (scenario, repeat, contender) in turns {
            let name = format!("{}, {}, {repeat} of {repeats}", scenario.name(), contender.name());
            eprintln!("{name}");
            match self.measure(scenario, contender).await {
                Ok(sample) => measurements.push(Measurement {
                    scenario,
                    contender,
                    sample,
                }),
                Err(error) => {
                    eprintln!("bench: WARNING: {error:#}");
                    // The root cause alone: what is around it names folders of this machine.
                    missing.push(format!("{name}: {}", error.root_cause()));
                }
            }
        }
        measurements
    }

    async fn measure(&self, scenario: Scenario, contender: Contender) -> Result<Sample> {
        match scenario.shape() {
            Some(shape) => self.measure_load(shape, contender).await,
            None => self.measure_start(contender).await,
        }
    }

    async fn measure_load(&self, shape: Shape, contender: Contender) -> Result<Sample> {
        let mock = Mock::start(shape.stream.unwrap_or_default()).await?;
        let proxy = contender
            .start(self.cores, mock.address, &self.folder.join(contender.name()))
            .await?;
        let target = proxy.as_ref().map_or(mock.address, |proxy| proxy.address);
        let mut load = load_for(shape, target)?;
        let _awake = Awake::keep();
        load.run(self.effort.warm_up).await.context("warming up")?;

        let before = Clock::read(proxy.as_ref())?;
        let tally = load.run(self.effort.span).await?;
        let spent = Clock::read(proxy.as_ref())?.since(&before);

        let mut sample = Sample {
            reopened: load.reopened(),
            ..sample_of(tally, &spent)
        };
        if let Some(proxy) = &proxy {
            let memory = proxy.process.memory()?;
            (sample.loaded_mib, sample.peak_mib) = (Some(memory.resident), Some(memory.peak));
        }
        Ok(sample)
    }

    async fn measure_start(&self, contender: Contender) -> Result<Sample> {
        let mock = Mock::start(Pace::default()).await?;
        let folder = self.folder.join(contender.name());
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        let cold = self.start_and_rest(contender, mock.address, &folder).await?;
        let warm = self.start_and_rest(contender, mock.address, &folder).await?;
        Ok(Sample {
            cold_start_ms: cold.map(|(start, _)| start),
            start_ms: warm.map(|(start, _)| start),
            idle_mib: warm.map(|(_, idle)| idle),
            ..Sample::default()
        })
    }

    /// Milliseconds to the first answer, and MiB a while after it.
    async fn start_and_rest(
        &self,
        contender: Contender,
        upstream: SocketAddr,
        folder: &Path,
    ) -> Result<Option<(f64, f64)>> {
        let Some(proxy) = contender.start(self.cores, upstream, folder).await? else {
            return Ok(None);
        };
        sleep(self.effort.rest).await;
        Ok(Some((
            proxy.start.as_secs_f64() * 1000.0,
            proxy.process.memory()?.resident,
        )))
    }
}

fn load_for(shape: Shape, target: SocketAddr) -> Result<Load> {
    let request = wire::request(target, shape.body_bytes, shape.stream.is_some());
    Load::new(target, shape.connections, shape.arrivals, request, shape.expected())
}

/// All clocks at one moment.
struct Clock {
    wall: Instant,
    machine: Duration,
    own: Duration,
    proxy: Option<Duration>,
}

/// What the time between two moments was spent on, in seconds.
struct Spent {
    wall: f64,
    foreign: f64,
    proxy: Option<f64>,
}

impl Clock {
    fn read(proxy: Option<&Proxy>) -> Result<Self> {
        let proxy = proxy.map(|proxy| proxy.process.cpu()).transpose()?;
        Ok(Self {
            wall: Instant::now(),
            machine: machine_cpu()?,
            own: own_cpu()?,
            proxy,
        })
    }

    fn since(&self, before: &Self) -> Spent {
        let between = |now: Duration, then: Duration| now.saturating_sub(then).as_secs_f64();
        let proxy = self.proxy.zip(before.proxy).map(|(now, then)| between(now, then));
        let known = between(self.own, before.own) + proxy.unwrap_or_default();
        Spent {
            wall: self.wall.duration_since(before.wall).as_secs_f64(),
            foreign: (between(self.machine, before.machine) - known).max(0.0),
            proxy,
        }
    }
}

fn sample_of(tally: Tally, spent: &Spent) -> Sample {
    let answered = tally.good as f64;
    let replies = (tally.good + tally.bad) as f64;
    let streamed = tally.reads > 0;
    let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
    Sample {
        good: tally.good,
        bad: tally.bad,
        failed: tally.failed,
        per_second: Some(answered / spent.wall),
        cpu_us: spent.proxy.and_then(|cpu| share(cpu * 1e6, answered)),
        cpu_percent: spent.proxy.map(|cpu| 100.0 * cpu / spent.wall),
        foreign_percent: Some(100.0 * spent.foreign / spent.wall),
        p50_us: tally.total.quantile_us(0.50),
        p99_us: tally.total.quantile_us(0.99),
        p999_us: tally.total.quantile_us(0.999),
        first_p50_us: tally.first_byte.quantile_us(0.50),
        first_p99_us: tally.first_byte.quantile_us(0.99),
        gap_p50_us: tally.gaps.quantile_us(0.50),
        gap_p99_us: tally.gaps.quantile_us(0.99),
        events_per_read: share(tally.events as f64, tally.reads as f64),
        done_percent: if streamed {
            share(100.0 * tally.done as f64, replies)
        } else {
            None
        },
        complaint: tally.complaint,
        ..Sample::default()
    }
}
