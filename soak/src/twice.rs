//! S10: the same source, in two folders, makes the same bytes. The plugins in the box are built from nothing in each; with `--gateway` the
//! gateway is as well, which takes many times as long.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xtask::nested::Build;
use xtask::{component, plugins, release, workspace};

/// What is built, and what is not part of the source.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// What was built, by name.
type Made = BTreeMap<String, Vec<u8>>;

pub(crate) fn run(named: &[String], with_gateway: bool) -> Result<()> {
    let mut all = plugins::find()?
        .iter()
        .map(plugins::Plugin::package)
        .collect::<Vec<_>>();
    if !named.is_empty() {
        all.retain(|package| named.contains(package));
        ensure!(
            all.len() == named.len(),
            "there are other plugins: `cargo xtask plugins` lists them"
        );
    }
    // One name is longer, since where a source lies must not matter.
    let homes = [
        tempfile::Builder::new().prefix("a").tempdir()?,
        tempfile::Builder::new().prefix("another-").tempdir()?,
    ];
    let mut made = Vec::new();
    for home in &homes {
        let source = home.path().join("source");
        copy(workspace(), &source)?;
        eprintln!("building in {}", source.display());
        made.push(build(&source, &all, with_gateway)?);
    }
    let (first, second) = (&made[0], &made[1]);
    let differ: Vec<&str> = first
        .iter()
        .filter(|(name, bytes)| second.get(*name) != Some(bytes))
        .map(|(name, _)| name.as_str())
        .collect();
    let bytes: usize = first.values().map(Vec::len).sum();
    println!(
        "{} files of {bytes} bytes built twice in two folders: {} differ{}{}",
        first.len(),
        differ.len(),
        if differ.is_empty() { "" } else { ": " },
        differ.join(", ")
    );
    ensure!(differ.is_empty(), "the same source made other bytes");
    Ok(())
}

fn build(source: &Path, packages: &[String], with_gateway: bool) -> Result<Made> {
    let what: Vec<String> = packages
        .iter()
        .flat_map(|package| ["--package".to_owned(), package.clone()])
        .collect();
    let modules = Build {
        manifest: &source.join("Cargo.toml"),
        target_dir: &source.join("target/plugins"),
        target: plugins::TARGET,
        what: &what,
    }
    .run()?;
    let mut made = Made::new();
    for package in packages {
        let module = modules.join(package.replace('-', "_")).with_extension("wasm");
        let core = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
        made.insert(package.clone(), component::from_module(&core)?);
    }
    if with_gateway {
        made.insert("pointsman".to_owned(), fs::read(release::gateway(source)?)?);
    }
    Ok(made)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let (entry, path): (_, PathBuf) = entry.map(|entry| (entry.file_name(), entry.path()))?;
        if LEFT_OUT.iter().any(|left_out| entry == *left_out) {
            continue;
        }
        match path.is_dir() {
            true => copy(&path, &to.join(entry))?,
            false => fs::copy(&path, to.join(entry)).map(drop)?,
        }
    }
    Ok(())
}
