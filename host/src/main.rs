//! The door: arguments, a runtime as wide as the machine, the command.

use std::process::ExitCode;

use clap::Parser;
use pointsman::cli::{self, Arguments};
use pointsman::telemetry::Log;

/// What one thread allocates another frees, the ledger's above all, which costs the C library's allocator locks: a fifth more
/// requests a second than with that (`cargo xtask bench c64`), for 2 MiB of memory.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            // Asking for help is no mistake; anything else is a wrong use.
            return if error.use_stderr() {
                ExitCode::from(2)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match runtime() {
        Ok(runtime) => {
            let ended = runtime.block_on(cli::run(arguments));
            // Requests that were cut off book what they came to when they are dropped.
            drop(runtime);
            ended.ledger.close();
            ended.log.iter().for_each(Log::flush);
            ended.code
        }
        Err(error) => {
            eprintln!("pointsman: cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One worker for each core that the process may use. With one core, a scheduler for many would only be in the way.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut builder = if cores == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    builder
        .worker_threads(cores)
        .enable_all()
        .thread_name("pointsman-worker")
        .build()
}
