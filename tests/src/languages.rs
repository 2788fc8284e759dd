//! Plugins in other languages than Rust, as [`xtask::languages`] builds them, and a folder for a gateway that runs them.

use std::env;
use std::sync::{Mutex, PoisonError};

use xtask::languages;
pub use xtask::languages::LANGUAGES;

use crate::absent::not_tested;
use crate::gateway;

/// Whether the compilers are here. Where they are not, a test says so and passes, but not in CI.
pub fn are_installed() -> bool {
    let are = languages::are_installed();
    if !are {
        let what = "the compilers for plugins in other languages are not installed";
        let remedy = "install them with: cargo xtask toolchains";
        assert!(env::var_os("CI").is_none(), "{what}; {remedy}");
        not_tested(what, remedy);
    }
    are
}

/// The plugin in `tests/languages/LANGUAGE/NAME` as a component.
pub fn component(language: &str, name: &str) -> Vec<u8> {
    // One at a time: each of the compilers takes all cores by itself.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    languages::component(&gateway::binary(), language, name).unwrap_or_else(|error| panic!("{error:#}"))
}
