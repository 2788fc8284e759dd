//! Plugins in other languages than Rust, as [`xtask::languages`] builds them, and a folder for a gateway that runs them.

use std::os::unix::fs::symlink;
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

pub use xtask::languages::LANGUAGES;
use xtask::languages::{self, folder};

use crate::absent::not_tested;
use crate::gateway::{self, Home};

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

/// A folder for a gateway that finds what it has compiled before: an interpreter takes a compiler ten seconds and more.
pub fn home(config: &str) -> Home {
    let home = Home::with_config(config);
    let cache = folder().join("cache");
    fs::create_dir_all(&cache).expect("no folder for compiled code");
    let data = home.path("pointsman-data");
    fs::create_dir_all(&data).expect("no folder for data");
    symlink(cache, data.join("cache")).expect("cannot link the folder for compiled code");
    home
}
