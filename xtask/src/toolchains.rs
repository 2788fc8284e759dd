//! The compilers of the languages that plugins are written in, for the tests: from npm and PyPI, at the versions in
//! `tests/toolchains/`, into `target/toolchains/`. Rust is not among them: who builds this project has it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::workspace;

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
    let (node, python) = (folder().join("node"), folder().join("python"));
    once("package.json", &node, |manifest| {
        fs::copy(manifest, node.join("package.json")).context("cannot copy package.json")?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
        execute(npm.arg(&node), "get Node.js from your system's packages")
    })?;
    once("requirements.txt", &python, |manifest| {
        let mut venv = Command::new("python3");
        execute(
            venv.args(["-m", "venv"]).arg(&python),
            "get Python 3 and its venv from your system's packages",
        )?;
        let mut pip = Command::new(python.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        execute(pip.arg("--requirement").arg(manifest), "see what pip says above")
    })
}

/// Runs `install` unless it has already succeeded with this very manifest, a copy of which is kept as proof.
fn once(manifest: &str, target: &Path, install: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let manifest = workspace().join(MANIFESTS).join(manifest);
    let wanted = fs::read(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let proof = target.join("installed");
    if fs::read(&proof).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    eprintln!("installing {} into {}", manifest.display(), target.display());
    fs::create_dir_all(target).with_context(|| format!("cannot make {}", target.display()))?;
    install(&manifest)?;
    fs::write(&proof, wanted).with_context(|| format!("cannot write {}", proof.display()))
}

fn execute(command: &mut Command, remedy: &str) -> Result<()> {
    let program = command.get_program().display().to_string();
    let status = command
        .status()
        .with_context(|| format!("cannot start {program}: {remedy}"))?;
    ensure!(status.success(), "{program} failed ({status}): {remedy}");
    Ok(())
}
