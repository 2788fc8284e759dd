//! `pointsman plugin build`: finds the toolchain of the plugin's language, or says all that is missing of it; runs it; makes
//! a component of what comes out; checks that, and says how it gets into service. What differs by language is below.

mod c;
mod encode;
mod go;
mod javascript;
mod lines;
mod python;
mod rust;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::contract;
use super::manifest::{self, Kind, Lang, Project};
use crate::cli::out::put;
use crate::plugins::{self, Engine, EngineConfig, Inspection, World};

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// The plugin's folder
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Where the component goes; without it into the plugin's folder, as NAME.wasm
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let project = Project::read(&options.dir)?;
    let output = options
        .output
        .clone()
        .unwrap_or_else(|| manifest::component(&options.dir, &project.manifest));
    let inspection = make(&project, &output)?;
    put!("{}", lines::told(&project, &output, &inspection));
    Ok(())
}

/// Builds the component into this file, if it is what the gateway takes.
pub(super) fn make(project: &Project, output: &Path) -> Result<Inspection> {
    contract::write(&project.dir, &project.manifest)?;
    let component = match project.manifest.lang {
        Lang::Rust => rust::build(project),
        Lang::Js | Lang::Ts => javascript::build(project),
        Lang::Python => python::build(project),
        Lang::Go => go::build(project),
        Lang::C => c::build(project),
    }?;
    let inspection = inspect(&component)?;
    check(project, &inspection)?;
    place(output, &component)?;
    Ok(inspection)
}

fn inspect(component: &[u8]) -> Result<Inspection> {
    let config = EngineConfig {
        cache_dir: None,
        slots: 1,
        ..EngineConfig::default()
    };
    let engine = Engine::new(&config)?;
    plugins::inspect(&engine, component).context("the toolchain made what is no plugin")
}

/// What the gateway would refuse is refused here already.
fn check(project: &Project, inspection: &Inspection) -> Result<()> {
    let wanted = match project.manifest.kind {
        Kind::Policy => World::Policy,
        Kind::Adapter => World::Adapter,
    };
    match inspection.world {
        Some(world) if world == wanted => {}
        Some(world) => bail!("the component is of world `{world}`, but plugin.toml says kind = \"{wanted}\""),
        None => bail!(
            "the component is no {wanted}: it exports {}",
            match inspection.exports.as_slice() {
                [] => "nothing".to_owned(),
                exports => exports.join(", "),
            }
        ),
    }
    let refused: Vec<String> = inspection
        .imports
        .iter()
        .filter(|import| !import.is_offered)
        .map(|import| format!("  {}: {}", import.name, import.needs))
        .collect();
    ensure!(
        refused.is_empty(),
        "the component imports what the gateway does not give:\n{}",
        refused.join("\n")
    );
    Ok(())
}

/// In one step, so that a gateway that watches the file never sees half of it.
fn place(output: &Path, component: &[u8]) -> Result<()> {
    if let Some(folder) = output.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let unfinished = output.with_extension(format!("{}.part", std::process::id()));
    fs::write(&unfinished, component)
        .and_then(|()| fs::rename(&unfinished, output))
        .with_context(|| format!("cannot write {}", output.display()))
}

/// A program of a toolchain, in the plugin's folder.
fn program(path: &Path, project: &Project) -> Command {
    let mut command = Command::new(path);
    command.current_dir(&project.dir).stdin(Stdio::null());
    command
}

/// Runs a compiler, whose errors and warnings are for the user's eyes.
fn compile(command: &mut Command) -> Result<()> {
    let name = command.get_program().display().to_string();
    let status = command
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {name}"))?;
    ensure!(status.success(), "{name} failed ({status}); what it said is above");
    Ok(())
}

/// Runs a tool that is told about only where it fails.
fn quietly(command: &mut Command) -> Result<()> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("cannot start {name}"))?;
    ensure!(
        output.status.success(),
        "{name} failed ({}):\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("the toolchain did not write {}", file.display()))
}
