//! From a file that changed to a generation in service: one thread, one reload at a time, off the request path.
//!
//! Events are hints; what counts is a comparison of the files with what is in service, after an event, a signal, a call of
//! the admin API, and every few seconds. A reload that fails leaves the old generation serving, and says so in the log,
//! the metrics and the admin API until a later one succeeds.

mod attached;
mod build;
mod files;
mod last_good;
mod policy_file;
mod trial;
mod watch;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::app::App;
use crate::audit::{Audit, Entry};
use crate::config::{Config, Source};
use crate::ledger::Ledger;
use crate::plugins::Digest;
use crate::reports::{Handle, Problem, Report, Trigger, Triggers};
use build::Built;
pub use build::built_in;
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
    handle: Handle,
    triggers: Triggers,
    runtime: tokio::runtime::Handle,
    /// What the generation in service was made of.
    in_service: Option<Inputs>,
    /// The configuration that was read last, once it had settled.
    settled: Option<Source>,
    /// The SHA-256 of the configuration in service.
    text: Option<String>,
    audit: Audit,
    /// What could not be put in service, so that it is not tried again and again.
    failed: Option<Failed>,
    number: u64,
}

/// What a generation is made of, in a form that can be kept and compared.
#[derive(Debug, PartialEq)]
struct Inputs {
    config: Config,
    digests: BTreeMap<PathBuf, String>,
}

/// What could not be put in service.
#[derive(Debug, PartialEq)]
enum Failed {
    /// A configuration that cannot be read, by its mistakes.
    Config(String),
    /// Plugins that cannot be loaded, or that fail their tests.
    Inputs(Box<Inputs>),
}

/// Puts one generation in service and leaves it at that: for commands that serve nothing. Keeps nothing on disk beside the
/// compile cache. Returns warnings.
pub fn once(app: &App, config: &Config) -> Result<Vec<String>, Vec<Problem>> {
    let contents = Files::default().read(config);
    let built = build::build(app, config, &contents, None, 1)?;
    trial::run(&tokio::runtime::Handle::current(), &built.generation)?;
    app.swap(built.generation);
    Ok(built.warnings)
}

impl Inputs {
    fn of(config: Config, contents: &files::Contents) -> Self {
        Self {
            config,
            digests: files::digests(contents),
        }
    }
}

impl Reloader {
    /// Puts the first generation in service, or says why that is not possible. A plugin's file that cannot be used is
    /// replaced by the version that was last in service, where there is one.
    pub fn first(app: Arc<App>, named: Option<PathBuf>, config: Config) -> Result<Self, Vec<Problem>> {
        let last_good = LastGood::open(Ledger::clone(&app.ledger));
        let (handle, triggers) = Handle::channel();
        let text = Source::find(named.as_deref()).ok();
        let mut reloader = Self {
            text: text.map(|source| Digest::of(source.text.as_bytes()).to_string()),
            audit: Audit::of(&config.store),
            app,
            named,
            files: Files::default(),
            last_good,
            watch: Watch::start(handle.clone()),
            handle,
            triggers,
            runtime: tokio::runtime::Handle::current(),
            in_service: None,
            settled: None,
            failed: None,
            number: 0,
        };
        // Before the files are read, so that whatever changes after that is an event.
        reloader.watch.set(reloader.watched(&config));
        let contents = reloader.files.read(&config);
        match reloader.build(&config, &contents) {
            Ok(built) => reloader.put_in_service(built, Inputs::of(config, &contents)),
            Err(problems) => {
                let substituted = reloader.last_good.substitute(&config, &contents, &problems);
                let Some(substituted) = substituted else {
                    return Err(problems);
                };
                let Ok(built) = reloader.build(&config, &substituted) else {
                    return Err(problems);
                };
                reloader.put_in_service(built, Inputs::of(config.clone(), &substituted));
                reloader.failed = Some(Failed::Inputs(Inputs::of(config, &contents).into()));
                reloader.note_problems(&problems);
            }
        }
        Ok(reloader)
    }

    /// Looks after the files from now on, on a thread of its own.
    pub fn start(self) -> std::io::Result<()> {
        let _ = self.app.reloader.set(self.handle.clone());
        let thread = std::thread::Builder::new().name("pointsman-reload".to_owned());
        thread.spawn(move || self.run()).map(drop)
    }

    /// One task does everything in turn, so that nothing is loaded while something else is put in service.
    fn run(mut self) {
        lower_priority();
        loop {
            let Some(times) = self.app.generation().map(|generation| generation.config.reload.clone()) else {
                return;
            };
            let trigger = match self.triggers.next(times.sweep) {
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
            if self.app.is_draining() && !matches!(trigger, Some(Trigger::Admin(_))) {
                // What has changed is for the process after this one.
                continue;
            }
            if let Some(generation) = self.app.generation() {
                generation.close_old_connections();
            }
            let mut asking = Vec::new();
            if matches!(trigger, Some(Trigger::Files)) {
                asking.extend(settle(&self.triggers, times.debounce));
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
        match self.load() {
            Ok(None) => self.app.reloads.unchanged(cause, self.number),
            Ok(Some((built, inputs))) => {
                // Noted first, so that whoever sees the new generation sees how it came.
                let report = Report::success(cause, built.generation.number);
                self.app.meter.reload("success");
                self.app.reloads.set(report.clone());
                self.put_in_service(built, inputs);
                self.write_down(cause);
                tracing::info!(
                    cause,
                    generation = self.number,
                    ms = started.elapsed().as_millis(),
                    "reloaded"
                );
                report
            }
            Err(problems) => {
                let report = Report::failure(cause, self.number, &problems);
                self.app.meter.reload("failure");
                self.app.reloads.set(report.clone());
                self.note_problems(&problems);
                report
            }
        }
    }

    fn load(&mut self) -> Result<Option<(Built, Inputs)>, Vec<Problem>> {
        let Some((config, contents)) = self.read()? else {
            return Ok(None);
        };
        let inputs = Inputs::of(config, &contents);
        if self.in_service.as_ref() == Some(&inputs) {
            self.settle_trouble();
            return Ok(None);
        }
        if matches!(&self.failed, Some(Failed::Inputs(failed)) if **failed == inputs) {
            return Ok(None);
        }
        match self.build(&inputs.config, &contents) {
            Ok(built) => Ok(Some((built, inputs))),
            Err(problems) => {
                self.failed = Some(Failed::Inputs(inputs.into()));
                Err(problems)
            }
        }
    }

    /// Configuration and files that belong together: where one changed while the others were read, all once more, though
    /// not for ever. `None` for a configuration that has failed before.
    fn read(&mut self) -> Result<Option<(Config, files::Contents)>, Vec<Problem>> {
        for _ in 0..READS {
            let source = Source::find(self.named.as_deref());
            if let Ok(source) = &source
                && self.settled.as_ref() != Some(source)
            {
                // It may be half of what is being written.
                std::thread::sleep(files::SETTLED);
                if Source::find(self.named.as_deref()).is_ok_and(|now| now != *source) {
                    continue;
                }
                if self.in_service.is_some() && source.text.trim().is_empty() {
                    return self.refused(Problem::blank(&source.name()));
                }
                self.settled = Some(source.clone());
            }
            let found = source.and_then(|source| Ok((source.load()?, source)));
            let (config, source) = match found {
                Ok(found) => found,
                Err(error) => return self.refused(Problem::config(&error)),
            };
            // Before the files are read, so that whatever changes after that is an event.
            self.watch.set(self.watched(&config));
            let contents = self.files.read(&config);
            let is_the_same = Source::find(self.named.as_deref()).is_ok_and(|now| now == source);
            if is_the_same && files::digests(&self.files.read(&config)) == files::digests(&contents) {
                return Ok(Some((config, contents)));
            }
        }
        Err(vec![Problem::restless()])
    }

    /// A configuration that cannot be read, said once.
    fn refused<T>(&mut self, problem: Problem) -> Result<Option<T>, Vec<Problem>> {
        let failed = Some(Failed::Config(problem.message.clone()));
        let is_known = self.failed == failed;
        self.failed = failed;
        if is_known { Ok(None) } else { Err(vec![problem]) }
    }

    fn build(&mut self, config: &Config, contents: &files::Contents) -> Result<Built, Vec<Problem>> {
        let running = self.app.generation();
        let build = || {
            let built = build::build(&self.app, config, contents, running.as_deref(), self.number + 1)?;
            trial::run(&self.runtime, &built.generation)?;
            Ok(built)
        };
        // Compilers are large, and what they read here comes from outside: this thread must outlive them.
        catch_unwind(AssertUnwindSafe(build)).unwrap_or_else(|_| Err(vec![Problem::panicked()]))
    }

    /// Whoever sees the new generation sees nothing more of what was wrong before it, so the swap is last.
    fn put_in_service(&mut self, built: Built, inputs: Inputs) {
        self.number = built.generation.number;
        for warning in &built.warnings {
            tracing::warn!("{warning}");
        }
        if let Some(running) = self.app.generation() {
            for setting in running.config.fixed_settings_changed(&built.generation.config) {
                tracing::warn!("`{setting}` has changed, which takes effect at the next start");
            }
        }
        self.in_service = Some(inputs);
        self.last_good.keep(&built.files);
        self.settle_trouble();
        self.app.swap(built.generation);
    }

    /// What operators change by files stands in the audit log as well; what they ask for over the admin listener is there
    /// already.
    fn write_down(&mut self, cause: &'static str) {
        let text = self
            .settled
            .as_ref()
            .map(|source| Digest::of(source.text.as_bytes()).to_string());
        let before = std::mem::replace(&mut self.text, text.clone());
        if cause == "admin" {
            return;
        }
        let entry = Entry {
            stage: "done".to_owned(),
            who: "whoever may write the files".to_owned(),
            from: cause.to_owned(),
            what: "reload".to_owned(),
            status: None,
            subject: Some(format!("generation {}", self.number)),
            before,
            after: text,
        };
        if let Err(error) = self.audit.write(entry) {
            tracing::error!(%error, "files were put in service, and the audit log cannot say so");
        }
    }

    /// The files are those in service: whatever was wrong is no more.
    fn settle_trouble(&mut self) {
        self.failed = None;
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
        for settled in self.app.reloads.note_trouble(problems) {
            self.app.meter.reload_failed(&settled, false);
        }
    }

    fn watched(&self, config: &Config) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = files::named(config).into_keys().cloned().collect();
        paths.push(self.named.clone().unwrap_or_else(|| PathBuf::from("pointsman.toml")));
        paths
    }
}

/// How often files that change meanwhile are read before the next sweep has its turn.
const READS: usize = 20;

/// Waits until events have been quiet for a while, though not for ever. Returns those who asked meanwhile.
fn settle(triggers: &Triggers, quiet: std::time::Duration) -> Vec<oneshot::Sender<Report>> {
    let longest = Instant::now() + quiet * 10;
    let mut asking = Vec::new();
    while Instant::now() < longest {
        match triggers.next(quiet) {
            Ok(Trigger::Admin(sender)) => asking.push(sender),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    asking
}

/// Compiling must not take the cores from traffic.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10) {
        tracing::debug!(%error, "the reload thread keeps its priority");
    }
}
