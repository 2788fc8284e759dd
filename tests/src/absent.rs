//! What a test needs and does not find on this machine. A test that quietly does nothing would look like one that passed.

use std::io::{self, Write};

/// Says on the terminal, past the capture of the test's output, that something is not tested and what to do about it.
pub fn not_tested(what: &str, remedy: &str) {
    let _ = writeln!(io::stderr(), "NOT TESTED: {what}; {remedy}");
}
