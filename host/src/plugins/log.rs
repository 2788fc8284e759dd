//! What a plugin says: lines for the gateway's log, capped in number and length, with nothing in them that could be
//! taken for a line of the gateway's own. Each carries the plugin's name and digest.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tracing::{debug, error, info, warn};

use super::bindings::pointsman::plugin::log::Level;
use super::limits::Limits;

/// Whose lines these are.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) digest: String,
}

/// The lines that one call may still write; a clone shares them.
#[derive(Clone)]
pub(super) struct Log {
    identity: Arc<Identity>,
    allowed: u32,
    left: Arc<AtomicU32>,
    line_bytes: usize,
}

impl Log {
    pub(super) fn new(identity: Arc<Identity>, limits: &Limits) -> Log {
        Log {
            identity,
            allowed: limits.log_lines,
            left: Arc::new(AtomicU32::new(limits.log_lines)),
            line_bytes: limits.log_line_bytes,
        }
    }

    /// Begins the next call of a kept instance.
    pub(super) fn renew(&self) {
        self.left.store(self.allowed, Relaxed);
    }

    pub(super) fn line(&self, level: Level, message: &str) {
        // One guest writes at a time: nothing comes in between.
        let left = self.left.load(Relaxed);
        match left {
            0 => return,
            1 => self.emit(
                Level::Warn,
                &format!("further lines are dropped: {} lines per call", self.allowed),
            ),
            _ => self.emit(level, &cleaned(message, self.line_bytes)),
        }
        self.left.store(left - 1, Relaxed);
    }

    fn emit(&self, level: Level, line: &str) {
        let Identity { name, digest } = &*self.identity;
        match level {
            Level::Debug => debug!(target: "pointsman::plugin", plugin = name, digest, "{line}"),
            Level::Info => info!(target: "pointsman::plugin", plugin = name, digest, "{line}"),
            Level::Warn => warn!(target: "pointsman::plugin", plugin = name, digest, "{line}"),
            Level::Error => error!(target: "pointsman::plugin", plugin = name, digest, "{line}"),
        }
    }
}

/// The text with control and direction characters escaped, cut on a character's edge.
fn cleaned(message: &str, line_bytes: usize) -> String {
    let mut line = String::with_capacity(message.len().min(line_bytes));
    for c in message.chars() {
        if line.len() + c.len_utf8() > line_bytes {
            line.push('…');
            break;
        }
        match c {
            '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(line, "{}", c.escape_unicode());
            }
            c if c.is_control() => {
                let _ = write!(line, "{}", c.escape_default());
            }
            c => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::cleaned;

    #[test]
    fn a_line_cannot_pass_for_two_or_recolour_a_terminal() {
        assert_eq!(
            cleaned("a\r\nERROR b\u{1b}[31m\u{202e}c", 100),
            r"a\r\nERROR b\u{1b}[31m\u{202e}c"
        );
    }

    #[test]
    fn a_long_line_is_cut_on_a_characters_edge() {
        assert_eq!(cleaned("ääää", 5), "ää…");
    }
}
