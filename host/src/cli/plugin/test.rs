//! `pointsman plugin test`: golden files and odd requests, put to the built component in the gateway's own engine, with the
//! gateway's limits. Whatever faults is written to a file that can be replayed.

mod adapters;
mod case;
mod diff;
mod exchange;
mod fuzz;
mod policies;
mod verdict;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use super::build;
use super::manifest::{self, Kind, Project};
use crate::cli::out::say;
use crate::plugins::{Engine, EngineConfig, Grant, PluginSource, StateStore};

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// The plugin's folder
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Test this component; without it NAME.wasm in the folder, which is built first where it is older than its sources
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// How many odd requests to try
    #[arg(long, value_name = "N", default_value_t = 200)]
    fuzz: u64,
    /// Which odd requests: the same number makes the same ones
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Run this file alone, as it was written for an odd request that went wrong
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

/// How often a call that overran its time is made before that counts: a busy machine looks the same as a slow plugin.
const PATIENCE: usize = 3;

/// What is tested, and what it is tested with.
struct Bench {
    engine: Engine,
    source: PluginSource,
    grants: Vec<Grant>,
    state: StateStore,
    /// Cases without an expectation are right unless they fault.
    is_replay: bool,
}

pub(super) async fn run(options: &Options) -> Result<()> {
    let project = Project::read(&options.dir)?;
    let component = match &options.component {
        Some(component) => component.clone(),
        None => built(options, &project)?,
    };
    let bytes = fs::read(&component).with_context(|| component.display().to_string())?;
    let build = project.build_dir()?;
    let config = EngineConfig {
        // Interpreters take seconds to compile, and their component changes with every line of source only in part.
        cache_dir: Some(build.join("cache")),
        slots: 16,
        ..EngineConfig::default()
    };
    let bench = Bench {
        engine: Engine::new(&config)?,
        source: PluginSource::new(project.manifest.name.clone(), bytes),
        grants: project
            .manifest
            .grants
            .iter()
            .filter_map(|grant| grant.parse().ok())
            .collect(),
        state: StateStore::default(),
        is_replay: options.replay.is_some(),
    };
    let files = match &options.replay {
        Some(file) => vec![file.clone()],
        None => golden(&project.dir)?,
    };
    let mut report = Report::new(options, build);
    say!("{} (sha256:{})", component.display(), bench.source.digest.short());
    let times = if bench.is_replay { 0 } else { options.fuzz };
    match project.manifest.kind {
        Kind::Policy => policy(&bench, &files, options.seed, times, &mut report).await?,
        Kind::Adapter => adapter(&bench, &files, options.seed, times, &mut report).await?,
    }
    report.end(times)
}

async fn policy(bench: &Bench, files: &[PathBuf], seed: u64, times: u64, report: &mut Report) -> Result<()> {
    let mut grounds = Vec::new();
    for file in files {
        grounds.extend(policies::run(bench, &name(file), &text(file)?, report).await);
    }
    policies::fuzz(bench, &grounds, &mut fuzz::Odd::new(seed), times, report).await;
    Ok(())
}

async fn adapter(bench: &Bench, files: &[PathBuf], seed: u64, times: u64, report: &mut Report) -> Result<()> {
    let adapter = adapters::load(bench).await.context("the adapter does not load")?;
    let mut cases: Vec<Value> = Vec::new();
    for file in files {
        cases.extend(adapters::run(bench, &adapter, &name(file), &text(file)?, report).await);
    }
    adapters::fuzz(bench, &adapter, &cases, &mut fuzz::Odd::new(seed), times, report).await;
    Ok(())
}

/// The folder's own component, built first where it is not there or older than what it is made of.
fn built(options: &Options, project: &Project) -> Result<PathBuf> {
    let component = manifest::component(&options.dir, &project.manifest);
    let made = modified(&component);
    if made.is_none() || made < newest(&project.dir) {
        build::make(project, &component)?;
    }
    Ok(component)
}

fn modified(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

/// When a source last changed. What toolchains and tests write is no source.
fn newest(dir: &Path) -> Option<SystemTime> {
    const MADE: [&str; 6] = ["build", "target", "node_modules", "golden", "types", "bindings"];
    let entries = fs::read_dir(dir).ok()?.flatten();
    let of = |entry: fs::DirEntry| {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let is_made =
            MADE.contains(&&*name) || name.starts_with('.') || name.ends_with(".wasm") || name.ends_with(".md");
        match path.is_dir() {
            _ if is_made => None,
            true => newest(&path),
            false => modified(&path),
        }
    };
    entries.filter_map(of).max()
}

/// Every golden file, by name, so that runs and their complaints come in the same order everywhere.
fn golden(dir: &Path) -> Result<Vec<PathBuf>> {
    let folder = dir.join("golden");
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("{}: no golden file, and a plugin needs at least one", folder.display());
    }
    files.sort();
    Ok(files)
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn text(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| file.display().to_string())
}

/// Counts what is right, and prints what is not as it comes.
struct Report {
    right: usize,
    wrong: usize,
    /// Faults that were seen already: one file for each is enough.
    faults: BTreeSet<String>,
    found: usize,
    /// Whether odd requests could be made at all.
    is_tried: bool,
    dir: PathBuf,
    build: PathBuf,
    seed: u64,
}

impl Report {
    fn new(options: &Options, build: PathBuf) -> Report {
        Report {
            right: 0,
            wrong: 0,
            faults: BTreeSet::new(),
            found: 0,
            is_tried: true,
            dir: options.dir.clone(),
            build,
            seed: options.seed,
        }
    }

    fn right(&mut self) {
        self.right += 1;
    }

    fn wrong(&mut self, what: &str, complaint: &str) {
        self.wrong += 1;
        say!("wrong: {what}\n{}", complaint.trim_end());
    }

    /// Why no odd request was made.
    fn untried(&mut self, why: &str) {
        self.is_tried = false;
        say!("NOT TESTED: odd requests: {why}");
    }

    /// An odd request that made the plugin fault.
    fn found(&mut self, fault: &str, round: u64, file: &Value) {
        self.found += 1;
        if !self.faults.insert(fault.to_owned()) {
            return;
        }
        let path = self.build.join(format!("odd-{}-{round}.json", self.seed));
        say!("fault: odd request {round}: {fault}");
        match fs::write(&path, format!("{file:#}\n")) {
            Ok(()) => say!(
                "    again: pointsman plugin test {} --replay {}",
                self.dir.display(),
                path.display()
            ),
            Err(error) => say!("    cannot write {}: {error}", path.display()),
        }
    }

    fn end(self, times: u64) -> Result<()> {
        let Report {
            right,
            wrong,
            found,
            is_tried,
            seed,
            ..
        } = self;
        let mut text = format!("{right} golden cases are right, {wrong} are wrong");
        if times > 0 && is_tried {
            text.push_str(&format!("; {found} of {times} odd requests fault (seed {seed})"));
        }
        match wrong + found {
            0 => say!("{text}"),
            _ => bail!(text),
        }
        Ok(())
    }
}
