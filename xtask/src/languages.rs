//! Plugins in other languages than Rust: the folders in `tests/languages/`, built by `pointsman plugin build` with the
//! compilers that `cargo xtask toolchains` installs, for tests and for the bench. What was built is kept in
//! `target/languages` until a source, the contract or a toolchain is another.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{toolchains, workspace};

/// Every language that has its plugins in a folder there. Rust's are the ones in the box.
pub const LANGUAGES: [&str; 5] = ["js", "ts", "python", "go", "c"];

/// What components are made of beside their own folders.
const INGREDIENTS: [&str; 4] = [
    "wit",
    "tests/toolchains",
    "host/src/cli/plugin/build",
    "host/templates/shim",
];

/// Where components are kept.
pub fn folder() -> PathBuf {
    workspace().join("target/languages")
}

/// Whether the compilers are here.
pub fn are_installed() -> bool {
    toolchains::programs().len() == 2
}

/// The plugin in `tests/languages/LANGUAGE/NAME` as a component, built by this gateway's binary.
pub fn component(pointsman: &Path, language: &str, name: &str) -> Result<Vec<u8>> {
    let source = workspace().join("tests/languages").join(language).join(name);
    let built = folder().join(format!("{language}-{name}-{:016x}.wasm", digest(&source)?));
    if !built.exists() {
        build(pointsman, &source, &built).with_context(|| format!("{} cannot be built", source.display()))?;
    }
    fs::read(&built).with_context(|| format!("cannot read {}", built.display()))
}

/// In a copy of the folder, since a build writes bindings beside the sources.
fn build(pointsman: &Path, source: &Path, built: &Path) -> Result<()> {
    let copy = built.with_extension(format!("{}.build", std::process::id()));
    for file in files(source)? {
        let place = copy.join(file.strip_prefix(source)?);
        fs::create_dir_all(place.parent().unwrap_or(&copy))?;
        fs::copy(&file, &place).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    let component = copy.join("component.wasm");
    let mut command = Command::new(pointsman);
    command
        .args(["plugin", "build"])
        .arg(&copy)
        .arg("--output")
        .arg(&component);
    let output = command.env("PATH", toolchains::path()?).output();
    let output = output.with_context(|| format!("cannot start {}", pointsman.display()))?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::rename(&component, built).with_context(|| format!("cannot write {}", built.display()))?;
    fs::remove_dir_all(&copy).with_context(|| format!("cannot remove {}", copy.display()))
}

fn digest(source: &Path) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    let own = INGREDIENTS.map(|folder| workspace().join(folder));
    for folder in own.iter().map(PathBuf::as_path).chain([source]) {
        for file in files(folder)? {
            file.strip_prefix(workspace())?.hash(&mut hasher);
            fs::read(&file)?.hash(&mut hasher);
        }
    }
    Ok(hasher.finish())
}

/// Every file below a folder, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => files.extend(self::files(&path)?),
            false => files.push(path),
        }
    }
    Ok(files)
}
