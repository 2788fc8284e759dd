//! `cargo xtask soak`: trials of the ledger, of outages and of the server that take too long for the tests. Here are the arguments and the table; each trial
//! is a file. What they have in common: the truth is what a provider's journal, or the other side of a pipe, has seen, and
//! a trial that finds anything wrong fails. `docs/reliability.md` says which of them shows what.

mod chance;
mod clock;
mod crowd;
mod day;
mod faults;
mod fleet;
mod flips;
mod gateway;
mod image;
mod kill;
mod kinds;
mod memory;
mod power;
mod process;
mod redb;
mod script;
mod siege;
mod steady;
mod store;
mod story;
mod strace;
mod swap;
mod twice;
mod worker;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::kinds::Kind;

/// Long trials of the ledger, of outages and of the server.
#[derive(Parser)]
#[command(name = "soak", bin_name = "cargo xtask soak")]
struct Arguments {
    #[command(subcommand)]
    trial: Trial,
}

#[derive(Subcommand)]
enum Trial {
    /// B2: the gateway is killed under load, at random moments and in the middle of writing
    Kill {
        /// How often.
        #[arg(long, default_value_t = 500)]
        cycles: usize,
    },
    /// B12: the wall clock goes back, and on by days, while budgets are in use
    Clock,
    /// B5: two gateways spend one budget, and the database that they borrow from is killed, suspended, emptied and replaced by an old copy
    Fleet {
        /// How long each of that takes.
        #[arg(long, default_value_t = 15)]
        seconds: u64,
    },
    /// D1: the disk is full
    Full,
    /// D2: writing to the disk fails
    Eio,
    /// D3: the power goes, and what was not synced is lost, torn or out of order
    Power {
        /// Batches that are written meanwhile.
        #[arg(long, default_value_t = 200)]
        batches: u64,
    },
    /// D4: single bytes of a store turn over
    Flips {
        /// How many, one at a time.
        #[arg(long, default_value_t = 10_000)]
        flips: usize,
    },
    /// A day of traffic with a kill every few minutes, time compressed
    Day {
        /// How many calls the day has.
        #[arg(long, default_value_t = 5_000_000)]
        calls: u64,
        /// How often the process is killed.
        #[arg(long, default_value_t = 288)]
        kills: u64,
    },
    /// A provider dies, has no room, hangs and recovers, under traffic with streams
    Story {
        /// How long it is told.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Requests in a second.
        #[arg(long, default_value_t = 200)]
        rate: u64,
    },
    /// R1: the gateway is replaced again and again under traffic with long streams
    Swap {
        /// How often; the row has 50.
        #[arg(long, default_value_t = 10)]
        swaps: usize,
        /// Whole answers in a second.
        #[arg(long, default_value_t = 300)]
        rate: u64,
        /// Streams at one time.
        #[arg(long, default_value_t = 200)]
        streams: usize,
    },
    /// U2: all providers are limited, and clients come again as SDKs do
    Limited {
        /// How many at one time.
        #[arg(long, default_value_t = 200)]
        clients: usize,
        /// For how long nobody has room.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// U4: streams that are read at 1 KiB/s, and streams that are not
    Slow {
        /// How many, half of each.
        #[arg(long, default_value_t = 500)]
        streams: usize,
        /// How long each part takes.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// O1: streams on which nothing happens, beside good traffic
    Idle {
        /// How many; ten thousand need 10,900 open files, over HTTP/1.1 20,600.
        #[arg(long, default_value_t = 10_000)]
        streams: usize,
        /// How long each part takes.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// Speak HTTP/1.1 to the provider: a connection for each stream, in the place of one for a hundred as the large ones have it.
        #[arg(long)]
        http1: bool,
    },
    /// H3: sockets that begin a request and go on a byte at a time, beside good traffic
    Sockets {
        /// How many, half of them in the head and half in the body.
        #[arg(long, default_value_t = 4_000)]
        sockets: usize,
        /// How long each part takes.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// O5: one key takes all that it may, beside another's good traffic
    Tenants {
        /// On how many connections.
        #[arg(long, default_value_t = 200)]
        connections: usize,
        /// How long each part takes.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// O7: ordinary traffic for a long time, with clients that leave, failures and reloads
    Steady {
        /// For how long; the row has 60. What grows in an hour is not to be seen in a few of them.
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        /// Requests in a second.
        #[arg(long, default_value_t = 50)]
        rate: u64,
    },
    /// O4: large bodies to a gateway in a control group with little memory
    Memory {
        /// How little.
        #[arg(long, default_value_t = 256)]
        megabytes: u64,
        /// Clients at one time.
        #[arg(long, default_value_t = 100)]
        clients: usize,
        /// For how long.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// P5: a guest that leaves a mebibyte behind with every call
    Guest {
        /// How many calls.
        #[arg(long, default_value_t = 100_000)]
        calls: usize,
    },
    /// S10: the same source is built twice, in two folders
    Twice {
        /// These plugins; all when none is named.
        plugins: Vec<String>,
        /// The gateway as well.
        #[arg(long)]
        gateway: bool,
    },
    /// SQLite and redb under kills, full disks, failing disks, losses of power and flipped bytes
    Store {
        /// Kills of each; a tenth as many full disks, a fifth as many failing syncs.
        #[arg(long, default_value_t = 100)]
        cycles: usize,
        /// Flipped bytes of each.
        #[arg(long, default_value_t = 10_000)]
        flips: usize,
        /// One of them alone.
        #[arg(long, value_enum)]
        only: Option<Kind>,
    },
    /// The process that looks at a damaged store.
    #[command(hide = true)]
    Look(flips::Options),
    /// The process that the trials of stores kill.
    #[command(hide = true)]
    Worker(worker::Options),
    /// The process that the day kills.
    #[command(hide = true)]
    DayWorker(day::Options),
}

fn main() -> Result<()> {
    match Arguments::parse().trial {
        Trial::Kill { cycles } => kill::run(cycles),
        Trial::Clock => clock::run(),
        Trial::Fleet { seconds } => fleet::run(seconds),
        Trial::Full => faults::full_gateway(),
        Trial::Eio => faults::eio_gateway(),
        Trial::Power { batches } => power::run(Kind::Sqlite, batches).map(|found| println!("{found}")),
        Trial::Flips { flips } => flips::run(Kind::Sqlite, flips).map(|found| println!("{found}")),
        Trial::Day { calls, kills } => day::run(calls, kills),
        Trial::Story { seconds, rate } => story::run(seconds, rate),
        Trial::Swap { swaps, rate, streams } => swap::run(swaps, rate, streams),
        Trial::Limited { clients, seconds } => crowd::limited(clients, seconds),
        Trial::Slow { streams, seconds } => crowd::slow(streams, seconds),
        Trial::Idle {
            streams,
            seconds,
            http1,
        } => crowd::idle(streams, seconds, http1),
        Trial::Sockets { sockets, seconds } => siege::sockets(sockets, seconds),
        Trial::Tenants { connections, seconds } => siege::tenants(connections, seconds),
        Trial::Steady { minutes, rate } => steady::run(minutes, rate),
        Trial::Memory {
            megabytes,
            clients,
            seconds,
        } => memory::little(megabytes, clients, seconds),
        Trial::Guest { calls } => memory::guest(calls),
        Trial::Twice { plugins, gateway } => twice::run(&plugins, gateway),
        Trial::Store { cycles, flips, only } => store::run(cycles, flips, only),
        Trial::Look(options) => {
            flips::look_and_say(&options);
            Ok(())
        }
        Trial::Worker(options) => worker::run(&options),
        Trial::DayWorker(options) => day::work(&options),
    }
}
