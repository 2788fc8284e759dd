//! Lines for the gateway's log. The host caps their number and length and adds the plugin's name and digest.

pub use crate::bindings::policy::pointsman::plugin::log::Level;

use crate::host;

/// Writes a line that is of use while a policy is being written.
pub fn debug(message: &str) {
    host::log::log(Level::Debug, message);
}

/// Writes a line that is of use in production.
pub fn info(message: &str) {
    host::log::log(Level::Info, message);
}

/// Writes a line about something that somebody should look at.
pub fn warn(message: &str) {
    host::log::log(Level::Warn, message);
}

/// Writes a line about something that is broken.
pub fn error(message: &str) {
    host::log::log(Level::Error, message);
}
