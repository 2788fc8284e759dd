//! Standard output. Whoever reads no more of it (`pointsman spend | head`) has had enough, and the command ends well; the gateway goes on.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};
use std::process;

/// `print!`, for a command.
macro_rules! put {
    ($($words:tt)*) => { $crate::cli::out::or_end(format_args!($($words)*)) };
}

/// `println!`, for a command.
macro_rules! say {
    () => { $crate::cli::out::or_end(format_args!("\n")) };
    ($($words:tt)*) => { $crate::cli::out::or_end(format_args!("{}\n", format_args!($($words)*))) };
}

pub(super) use {put, say};

/// Writes, or ends the process: well, where nobody reads any more, and else with the reason.
pub(super) fn or_end(words: Arguments<'_>) {
    let Err(error) = write(words) else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        process::exit(0);
    }
    eprintln!("pointsman: cannot write to standard output: {error}");
    process::exit(1);
}

/// Writes where that is possible.
pub(super) fn write(words: Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_fmt(words)?;
    out.flush()
}
