//! The compilers of the languages that plugins are written in, for the tests: from npm and PyPI, at the versions in
//! `tests/toolchains/`, into `target/toolchains/`. Rust is not among them: who builds this project has it.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{packages, workspace};

/// Where the versions stand.
const MANIFESTS: &str = "tests/toolchains";

/// The folder that everything is installed in.
pub fn folder() -> PathBuf {
    workspace().join("target/toolchains")
}

/// The folders with the programs, for the front of a `PATH`; none where nothing is installed.
pub fn programs() -> Vec<PathBuf> {
    ["node/node_modules/.bin", "python/bin"]
        .into_iter()
        .map(|bin| folder().join(bin))
        .filter(|bin| bin.is_dir())
        .collect()
}

/// The caller's `PATH` with these programs in front.
pub fn path() -> Result<OsString> {
    let system = env::var_os("PATH").unwrap_or_default();
    env::join_paths(programs().into_iter().chain(env::split_paths(&system)))
        .context("a folder in PATH cannot be written in one")
}

/// Installs what is missing or has another version, and nothing where all is there.
pub fn install() -> Result<()> {
    packages::node(MANIFESTS, &folder().join("node"))?;
    packages::python(MANIFESTS, &folder().join("python"))
}
