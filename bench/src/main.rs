//! `cargo xtask bench`: Pointsman beside a bare hyper proxy and nginx, under the same load, in one run.
//! Here are the arguments and the order of a run; what is measured is in `scenario.rs`, and how in `measure.rs`.

mod adapters;
mod boxed;
mod chunked;
mod connection;
mod contender;
mod floor;
mod gateway;
mod goals;
mod languages;
mod load;
mod machine;
mod measure;
mod mock;
mod nginx;
mod overload;
mod pacer;
mod plugins;
mod process;
mod report;
mod reports;
mod results;
mod scenario;
mod tally;
mod wire;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};

use crate::contender::Contender;
use crate::machine::Machine;
use crate::measure::{Bench, Effort};
use crate::process::Cores;
use crate::results::Results;
use crate::scenario::Scenario;

const EXAMPLES: &str = "Examples:
  cargo xtask bench --quick
  cargo xtask bench c64 stream --only floor,pointsman --seconds 10
On a machine that has other work, as root, ahead of all of it:
  setsid -w sh -c 'echo -19 > /proc/self/autogroup && exec cargo xtask bench'";
const REPORT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");

/// How often each plugin is called.
const PLUGIN_CALLS: usize = 20_000;

/// Measures Pointsman beside a bare hyper proxy and nginx.
///
/// A whole run writes bench/RESULTS.md; one that is narrowed by arguments only prints.
#[derive(Parser)]
#[command(
    name = "bench",
    bin_name = "cargo xtask bench",
    args_conflicts_with_subcommands = true,
    after_help = EXAMPLES
)]
struct Arguments {
    /// What to measure; everything when none is named.
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// Whom to measure; everyone when none is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Contender>,
    /// How often each measurement is repeated.
    #[arg(long, default_value_t = 3)]
    repeats: u32,
    /// How many seconds each measurement takes.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// A smoke run: once, and a fraction of a second each.
    #[arg(long)]
    quick: bool,
    /// Where proxies keep their files, and the gateway its ledger: a folder on another disk, say. [default: target/bench]
    #[arg(long)]
    folder: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What else this program can be: parts of a measurement that run as processes of their own.
#[derive(Subcommand)]
enum Role {
    /// Be the floor: a bare hyper reverse proxy.
    Floor {
        /// Where to listen.
        listen: SocketAddr,
        /// Where to forward to.
        upstream: SocketAddr,
    },
    /// Measure only plugins, called in this process.
    Plugins,
    /// Measure only one policy in every language.
    Languages,
    /// Measure only what is left of the gateway at three times what it can do.
    Overload {
        /// How long each part takes.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// Measure only reports on a ledger of many lines.
    LedgerReport {
        /// How many lines, all in one month.
        #[arg(long, default_value_t = 10_000_000)]
        lines: u64,
        /// How many keys.
        #[arg(long, default_value_t = 200)]
        keys: u64,
        /// How many models each key uses.
        #[arg(long, default_value_t = 5)]
        models: u64,
        /// How many kinds of task each key has.
        #[arg(long, default_value_t = 2)]
        tasks: u64,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::Floor { listen, upstream }) => floor::serve(listen, upstream).await,
        Some(Role::Plugins) => {
            print!(
                "{}",
                plugins::section(&plugins::measure(PLUGIN_CALLS, &output_folder()?)?)
            );
            Ok(())
        }
        Some(Role::Languages) => {
            print!(
                "{}",
                languages::section(&languages::measure(PLUGIN_CALLS, &gateway::program()?)?)
            );
            Ok(())
        }
        Some(Role::Overload { seconds }) => {
            let span = Duration::from_secs(seconds);
            print!("{}", overload::measure(span, &output_folder()?).await?);
            Ok(())
        }
        Some(Role::LedgerReport {
            lines,
            keys,
            models,
            tasks,
        }) => {
            let traffic = reports::Traffic {
                lines,
                keys,
                models,
                tasks,
            };
            print!("{}", reports::measure(traffic, &output_folder()?)?);
            Ok(())
        }
        None => measure(&arguments).await,
    }
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let whole = arguments.is_whole();
    let scenarios = or_all(&arguments.scenarios);
    let (contenders, mut missing) = present(or_all(&arguments.only));
    let output = arguments.folder.clone().map_or_else(output_folder, made)?;
    let proxies = output.join("proxies");
    // Ledgers of runs before this one would be measured with it.
    if proxies.exists() {
        fs::remove_dir_all(&proxies).with_context(|| format!("emptying {}", proxies.display()))?;
    }
    let bench = Bench {
        cores: Cores::claim()?,
        effort: arguments.effort()?,
        folder: proxies,
    };
    let measurements = bench.run(&scenarios, &contenders, &mut missing).await;
    gateway::free_memory();
    let results = Results {
        machine: Machine::describe(&output),
        effort: bench.effort,
        measurements,
    };

    let mut report = report::markdown(&results, &contenders, &missing);
    if arguments.scenarios.is_empty() && arguments.only.is_empty() {
        let calls = if arguments.quick {
            PLUGIN_CALLS / 100
        } else {
            PLUGIN_CALLS
        };
        report.push_str(&plugins::section(&plugins::measure(calls, &output)?));
        report.push_str(&languages::section(&languages::measure(calls, &gateway::program()?)?));
    }
    println!("{report}");
    write(&output.join("results.json"), &serde_json::to_string_pretty(&results)?)?;
    if whole {
        write(Path::new(REPORT), &report)
    } else {
        Ok(())
    }
}

impl Arguments {
    fn is_whole(&self) -> bool {
        self.scenarios.is_empty() && self.only.is_empty() && !self.quick
    }

    fn effort(&self) -> Result<Effort> {
        let millis = Duration::from_millis;
        if self.quick {
            return Ok(Effort {
                repeats: 1,
                warm_up: millis(50),
                span: millis(150),
                rest: millis(50),
            });
        }
        let span = Duration::try_from_secs_f64(self.seconds).context("--seconds must be a positive number")?;
        Ok(Effort {
            repeats: self.repeats,
            warm_up: millis(500),
            span,
            rest: millis(1000),
        })
    }
}

fn or_all<T: ValueEnum + Clone + 'static>(named: &[T]) -> Vec<T> {
    if named.is_empty() {
        T::value_variants().to_vec()
    } else {
        named.to_vec()
    }
}

/// Those that can be measured here, and why the others cannot; said at once as well, since a run takes minutes.
fn present(wanted: Vec<Contender>) -> (Vec<Contender>, Vec<String>) {
    let mut reasons: Vec<String> = wanted.iter().filter_map(|contender| contender.missing()).collect();
    reasons.dedup();
    for reason in &reasons {
        eprintln!("bench: WARNING: {reason}");
    }
    (
        wanted
            .into_iter()
            .filter(|contender| contender.missing().is_none())
            .collect(),
        reasons,
    )
}

/// `bench` in the target directory.
fn output_folder() -> Result<PathBuf> {
    let program = std::env::current_exe().context("finding this program")?;
    let target = program
        .ancestors()
        .nth(2)
        .context("this program is not in a target directory")?;
    made(target.join("bench"))
}

/// A folder that is there, by its whole name.
fn made(folder: PathBuf) -> Result<PathBuf> {
    let failed = || format!("making {}", folder.display());
    fs::create_dir_all(&folder).with_context(failed)?;
    std::path::absolute(&folder).with_context(failed)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}
