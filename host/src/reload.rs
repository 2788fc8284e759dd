//! From a file that changed to a generation in service: one thread, one reload at a time, off the request path.
//!
//! Events are hints; what counts is a comparison of the files with what is in service, after an event, a signal, a call of
//! the admin API, and every few seconds. A reload that fails leaves the old generation serving, and says so in the log,
//! the metrics and the admin API until a later one succeeds.

mod build;
mod files;
mod last_good;
mod trial;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::app::App;
use crate::config::{Config, Source};
use crate::plugins::Digest;
use crate::reports::{Handle, Problem, Report, Trigger};
use build::Built;
use files::Files;
use last_good::LastGood;
use watch::Watch;

/// Turns files into generations.
#[derive(Debug)]
pub struct Reloader {
    app: Arc<App>,
    /// What `--config` says.
    named: Option<PathBuf>,
    files: Files,
    last_good: LastGood,
    watch: Watch,
    runtime: tokio::runtime::Handle,
    /// What could not be put in service, so that it is not tried again and again.
    last_failed: Option<Digest>,
    number: u64,
}

/// Puts one generation in service and leaves it at that: for commands that serve nothing. Keeps nothing on disk beside the
/// compile cache.
pub fn once(app: &App, config: &Config) -> Result<(), Vec<Problem>> {
    let contents = Files::default().read(config);
    let built = build::build(app, config, &contents, None, 1)?;
    trial::run(&tokio::runtime::Handle::current(), &built.generation)?;
    app.swap(built.generation);
    Ok(())
}

impl Reloader {
    /// Puts the first generation in service, or says why that is not possible. A plugin's file that cannot be used is
    /// replaced by the version that was last in service, where there is one.
    pub fn first(app: Arc<App>, named: Option<PathBuf>, config: Config) -> Result<Self, Vec<Problem>> {
        let last_good = LastGood::open(&config.store);
        let mut reloader = Self {
            app,
            named,
            files: Files::default(),
            last_good,
            watch: Watch::default(),
            runtime: tokio::runtime::Handle::current(),
            last_failed: None,
            number: 0,
        };
        let contents = reloader.files.read(&config);
        match reloader.build(&config, &contents) {
            Ok(built) => reloader.put_in_service(built),
            Err(problems) => {
                let substituted = reloader.last_good.substitute(&config, &contents, &problems);
                let Some(substituted) = substituted else {
                    return Err(problems);
                };
                let Ok(built) = reloader.build(&config, &substituted) else {
                    return Err(problems);
                };
                reloader.last_failed = Some(fingerprint(&config, &contents));
                reloader.put_in_service(built);
                reloader.note_problems(&problems);
            }
        }
        Ok(reloader)
    }

    /// Watches from now on, on a thread of its own.
    pub fn watch(mut self) -> std::io::Result<()> {
        let (handle, receiver) = Handle::new();
        self.watch = Watch::start(handle.clone());
        if let Some(generation) = self.app.generation() {
            self.watch.set(self.watched(&generation.config));
        }
        let _ = self.app.reloader.set(handle);
        let thread = std::thread::Builder::new().name("pointsman-reload".to_owned());
        thread.spawn(move || self.run(&receiver)).map(drop)
    }

    /// One task does everything in turn, so that nothing is loaded while something else is put in service.
    fn run(mut self, triggers: &mpsc::Receiver<Trigger>) {
        lower_priority();
        loop {
            let Some(times) = self.app.generation().map(|generation| generation.config.reload.clone()) else {
                return;
            };
            let trigger = match triggers.recv_timeout(times.sweep) {
                Ok(trigger) => Some(trigger),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let cause = match &trigger {
                None => "sweep",
                Some(Trigger::Files) => "file event",
                Some(Trigger::Signal) => "SIGHUP",
                Some(Trigger::Admin(_)) => "admin",
            };
            let mut asking = Vec::new();
            if matches!(trigger, Some(Trigger::Files)) {
                asking.extend(settle(triggers, times.debounce));
            }
            if let Some(Trigger::Admin(sender)) = trigger {
                asking.push(sender);
            }
            let report = self.reload(cause);
            for sender in asking {
                // Whoever asked may have gone; the status keeps the report.
                let _ = sender.send(report.clone());
            }
        }
    }

    /// Compares files with what is in service, and puts what is new in service.
    fn reload(&mut self, cause: &'static str) -> Report {
        let started = Instant::now();
        let report = match self.load() {
            Ok(None) => return self.app.reloads.unchanged(cause, self.number),
            Ok(Some(built)) => {
                self.put_in_service(built);
                tracing::info!(
                    cause,
                    generation = self.number,
                    ms = started.elapsed().as_millis(),
                    "reloaded"
                );
                self.app.meter.reload("success");
                Report::success(cause, self.number)
            }
            Err(problems) => {
                self.note_problems(&problems);
                self.app.meter.reload("failure");
                Report::failure(cause, self.number, &problems)
            }
        };
        self.app.reloads.set(report.clone());
        report
    }

    fn load(&mut self) -> Result<Option<Built>, Vec<Problem>> {
        let source = Source::find(self.named.as_deref()).map_err(|error| vec![Problem::config(&error)])?;
        let config = match source.load() {
            Ok(config) => config,
            Err(error) => {
                let failed = Digest::of(source.text.as_bytes());
                return if self.last_failed == Some(failed) {
                    Ok(None)
                } else {
                    self.last_failed = Some(failed);
                    Err(vec![Problem::config(&error)])
                };
            }
        };
        let contents = self.files.read(&config);
        let fingerprint = fingerprint(&config, &contents);
        let is_in_service = self.app.generation().is_some_and(|running| {
            running.config == config && contents.values().all(|content| content.is_in_service(&running))
        });
        if is_in_service {
            self.settle_trouble();
            return Ok(None);
        }
        if self.last_failed == Some(fingerprint) {
            return Ok(None);
        }
        let built = self.build(&config, &contents);
        self.last_failed = built.is_err().then_some(fingerprint);
        built.map(Some)
    }

    fn build(&mut self, config: &Config, contents: &files::Contents) -> Result<Built, Vec<Problem>> {
        let running = self.app.generation();
        let built = build::build(&self.app, config, contents, running.as_deref(), self.number + 1)?;
        trial::run(&self.runtime, &built.generation)?;
        Ok(built)
    }

    fn put_in_service(&mut self, built: Built) {
        self.number = built.generation.number;
        for warning in &built.warnings {
            tracing::warn!("{warning}");
        }
        self.last_failed = None;
        self.last_good.keep(&built.files);
        self.watch.set(self.watched(&built.generation.config));
        self.app.swap(built.generation);
        self.settle_trouble();
    }

    /// The files are those in service: whatever was wrong is no more.
    fn settle_trouble(&mut self) {
        self.last_failed = None;
        for plugin in self.app.reloads.clear_trouble() {
            self.app.meter.reload_failed(&plugin, false);
        }
    }

    fn note_problems(&self, problems: &[Problem]) {
        for problem in problems {
            tracing::error!(
                plugin = problem.plugin,
                digest = problem.digest.map(|digest| digest.short()),
                "not put in service: {}",
                problem.message
            );
            self.app.meter.reload_failed(&problem.plugin, true);
        }
        self.app.reloads.note_trouble(problems);
    }

    fn watched(&self, config: &Config) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = files::paths(config).cloned().collect();
        paths.push(self.named.clone().unwrap_or_else(|| PathBuf::from("pointsman.toml")));
        paths
    }
}

/// Waits until events have been quiet for a while, though not for ever. Returns those who asked meanwhile.
fn settle(triggers: &mpsc::Receiver<Trigger>, quiet: std::time::Duration) -> Vec<oneshot::Sender<Report>> {
    let longest = Instant::now() + quiet * 10;
    let mut asking = Vec::new();
    while Instant::now() < longest {
        match triggers.recv_timeout(quiet) {
            Ok(Trigger::Admin(sender)) => asking.push(sender),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    asking
}

/// What was tried: the configuration with its secrets, and every file's bytes.
fn fingerprint(config: &Config, contents: &files::Contents) -> Digest {
    let digests: Vec<String> = contents
        .iter()
        .map(|(path, content)| format!("{}={content}", path.display()))
        .collect();
    Digest::of(format!("{:?}\n{}", config, digests.join("\n")).as_bytes())
}

/// Compiling must not take the cores from traffic.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10) {
        tracing::debug!(%error, "the reload thread keeps its priority");
    }
}
