//! Standard output. Whoever reads no more of it (`pointsman spend | head`) has had enough: the command comes to its end, and it is a good one.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

/// Nothing more is written.
static IS_OVER: AtomicBool = AtomicBool::new(false);
/// Something could not be written, though somebody reads.
static HAS_FAILED: AtomicBool = AtomicBool::new(false);

/// `print!`, for a command.
macro_rules! put {
    ($($words:tt)*) => { $crate::cli::out::write(format_args!($($words)*)) };
}

/// `println!`, for a command.
macro_rules! say {
    () => { $crate::cli::out::write(format_args!("\n")) };
    ($($words:tt)*) => { $crate::cli::out::write(format_args!("{}\n", format_args!($($words)*))) };
}

pub(super) use {put, say};

/// Writes, as long as that is possible.
pub(super) fn write(words: Arguments<'_>) {
    if IS_OVER.load(Ordering::Relaxed) {
        return;
    }
    let mut out = io::stdout().lock();
    let Err(error) = out.write_fmt(words).and_then(|()| out.flush()) else {
        return;
    };
    IS_OVER.store(true, Ordering::Relaxed);
    if error.kind() != ErrorKind::BrokenPipe {
        HAS_FAILED.store(true, Ordering::Relaxed);
        eprintln!("pointsman: cannot write to standard output: {error}");
    }
}

/// Whether somebody did not get what was to be read.
pub(super) fn has_failed() -> bool {
    HAS_FAILED.load(Ordering::Relaxed)
}
