//! Packages of npm and PyPI that the tests use, at the versions that manifests in `tests/` name: each installed once, and again
//! when its manifest has changed.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::workspace;

/// Installs what `package.json` in this folder of the workspace names.
pub fn node(manifests: &str, target: &Path) -> Result<()> {
    once(manifests, "package.json", target, |manifest| {
        fs::copy(manifest, target.join("package.json")).context("cannot copy package.json")?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
        execute(npm.arg(target), "get Node.js from your system's packages")
    })
}

/// Installs what `requirements.txt` in this folder of the workspace names, into an environment of its own.
pub fn python(manifests: &str, target: &Path) -> Result<()> {
    once(manifests, "requirements.txt", target, |manifest| {
        let mut venv = Command::new("python3");
        execute(
            venv.args(["-m", "venv"]).arg(target),
            "get Python 3 and its venv from your system's packages",
        )?;
        let mut pip = Command::new(target.join("bin/python"));
        // What is not imported need not be compiled.
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-compile",
            "--disable-pip-version-check",
        ]);
        execute(pip.arg("--requirement").arg(manifest), "see what pip says above")
    })
}

/// Runs `install` unless it has already succeeded with this very manifest, a copy of which is kept as proof.
fn once(manifests: &str, manifest: &str, target: &Path, install: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let manifest = workspace().join(manifests).join(manifest);
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
