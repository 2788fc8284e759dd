//! How reloads are asked for and how they went: what the admin API and the reload thread say to each other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use tokio::sync::oneshot;

use crate::plugins::Digest;

/// Why a reload is asked for.
#[derive(Debug)]
pub enum Trigger {
    /// A file may have changed.
    Files,
    /// SIGHUP.
    Signal,
    /// `POST /admin/reload`; gets the report.
    Admin(oneshot::Sender<Report>),
}

/// Triggers that wait for the reload thread.
const WAITING: usize = 256;

/// Asks the reload thread to look.
#[derive(Debug, Clone)]
pub struct Handle {
    triggers: mpsc::SyncSender<Trigger>,
    files_wait: Arc<AtomicBool>,
}

/// Where triggers come out.
#[derive(Debug)]
pub struct Triggers {
    triggers: mpsc::Receiver<Trigger>,
    /// Files may change a thousand times while a plugin is compiled; that they did waits once.
    files_wait: Arc<AtomicBool>,
}

impl Handle {
    /// A handle, and where its triggers come out.
    pub fn channel() -> (Self, Triggers) {
        let (sender, receiver) = mpsc::sync_channel(WAITING);
        let files_wait = Arc::<AtomicBool>::default();
        let triggers = Triggers {
            triggers: receiver,
            files_wait: files_wait.clone(),
        };
        let handle = Self {
            triggers: sender,
            files_wait,
        };
        (handle, triggers)
    }

    /// Asks. Where too many are waiting already, the files will be looked at anyhow; a thread that has ended has no more
    /// to do.
    pub fn ask(&self, trigger: Trigger) {
        let is_files = matches!(trigger, Trigger::Files);
        if is_files && self.files_wait.swap(true, Ordering::AcqRel) {
            return;
        }
        if self.triggers.try_send(trigger).is_err() && is_files {
            self.files_wait.store(false, Ordering::Release);
        }
    }
}

impl Triggers {
    /// The next one, within a time.
    pub fn next(&self, within: Duration) -> Result<Trigger, RecvTimeoutError> {
        let trigger = self.triggers.recv_timeout(within)?;
        if matches!(trigger, Trigger::Files) {
            self.files_wait.store(false, Ordering::Release);
        }
        Ok(trigger)
    }
}

/// How the configuration itself is called where plugins are named.
const CONFIG: &str = "config";

/// Why a part of a generation could not be made.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// The plugin, or `config`.
    pub plugin: String,
    /// Of the bytes at fault.
    #[serde(serialize_with = "as_text")]
    pub digest: Option<Digest>,
    /// What is wrong and what to do.
    pub message: String,
}

fn as_text<S: serde::Serializer>(digest: &Option<Digest>, serializer: S) -> Result<S::Ok, S::Error> {
    digest.map(|digest| digest.to_string()).serialize(serializer)
}

impl Problem {
    /// The configuration itself.
    pub fn config(error: &crate::config::ConfigError) -> Self {
        Self {
            plugin: CONFIG.to_owned(),
            digest: None,
            message: error.to_string(),
        }
    }

    /// A file with nothing in it, in the place of one with something.
    pub fn blank(name: &str) -> Self {
        Self {
            plugin: CONFIG.to_owned(),
            digest: None,
            message: format!("{name} is empty; what is in service stays until it says something"),
        }
    }

    /// Something in this process that went wrong beyond what anybody thought of.
    pub fn panicked() -> Self {
        Self {
            plugin: CONFIG.to_owned(),
            digest: None,
            message: "loading it made the gateway panic; the log says where. Please report it with the plugins at hand"
                .to_owned(),
        }
    }

    /// Files that were never the same from one reading to the next.
    pub fn restless() -> Self {
        Self {
            plugin: CONFIG.to_owned(),
            digest: None,
            message:
                "the configuration or a file that it names changes all the time; it is read again at the next sweep"
                    .to_owned(),
        }
    }
}

/// One reload.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What asked for it.
    pub cause: &'static str,
    /// `success`, `unchanged` or `failure`.
    pub outcome: &'static str,
    /// The generation in service afterwards.
    pub generation: u64,
    /// When it ended, in milliseconds since 1970.
    pub at_ms: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Report {
    /// A reload that put something in service.
    pub fn success(cause: &'static str, generation: u64) -> Self {
        Self {
            cause,
            outcome: "success",
            generation,
            at_ms: now_ms(),
            problems: Vec::new(),
        }
    }

    /// A reload that could not.
    pub fn failure(cause: &'static str, generation: u64, problems: &[Problem]) -> Self {
        Self {
            cause,
            outcome: "failure",
            generation,
            at_ms: now_ms(),
            problems: problems.to_vec(),
        }
    }
}

/// A version of a plugin, or of the configuration, that is not in service.
#[derive(Debug, Clone, Serialize)]
pub struct Trouble {
    /// Of the bytes that could not be used.
    pub digest: Option<String>,
    /// Why.
    pub error: String,
    /// Since when, in milliseconds since 1970.
    pub at_ms: u64,
}

/// Kept from one reload to the next.
#[derive(Debug, Default)]
pub struct Status(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last: Option<Report>,
    /// By plugin; the configuration itself is `config`.
    trouble: BTreeMap<String, Trouble>,
}

impl Status {
    /// The last reload that changed something or failed.
    pub fn last(&self) -> Option<Report> {
        self.lock().last.clone()
    }

    /// What is not in service, by plugin.
    pub fn trouble(&self) -> BTreeMap<String, Trouble> {
        self.lock().trouble.clone()
    }

    /// Remembers a reload.
    pub fn set(&self, report: Report) {
        self.lock().last = Some(report);
    }

    /// Nothing new; what was wrong still is.
    pub fn unchanged(&self, cause: &'static str, generation: u64) -> Report {
        let problems: Vec<Problem> = self
            .lock()
            .trouble
            .iter()
            .map(|(plugin, trouble)| Problem {
                plugin: plugin.clone(),
                digest: None,
                message: trouble.error.clone(),
            })
            .collect();
        let outcome = if problems.is_empty() { "unchanged" } else { "failure" };
        Report {
            cause,
            outcome,
            generation,
            at_ms: now_ms(),
            problems,
        }
    }

    /// Remembers what is not in service, and returns the names of what was not and now is well. A configuration that
    /// cannot be read says nothing about plugins: what was wrong with them still is.
    pub fn note_trouble(&self, problems: &[Problem]) -> Vec<String> {
        let mut inner = self.lock();
        let before = std::mem::take(&mut inner.trouble);
        for problem in problems {
            let new = Trouble {
                digest: problem.digest.map(|digest| digest.to_string()),
                error: problem.message.clone(),
                at_ms: now_ms(),
            };
            let known = before
                .get(&problem.plugin)
                .filter(|known| known.digest == new.digest && known.error == new.error);
            inner
                .trouble
                .insert(problem.plugin.clone(), known.cloned().unwrap_or(new));
        }
        let is_config = inner.trouble.contains_key(CONFIG);
        let (old, settled): (Vec<_>, Vec<_>) = before
            .into_iter()
            .filter(|(plugin, _)| !problems.iter().any(|problem| problem.plugin == *plugin))
            .partition(|_| is_config);
        inner.trouble.extend(old);
        settled.into_iter().map(|(plugin, _)| plugin).collect()
    }

    /// All is in service; gives the names of what was not.
    pub fn clear_trouble(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().trouble).into_keys().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
