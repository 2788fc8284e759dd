//! How reloads went: what the admin API tells.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::Problem;

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
    pub(super) fn success(cause: &'static str, generation: u64) -> Self {
        Self {
            cause,
            outcome: "success",
            generation,
            at_ms: now_ms(),
            problems: Vec::new(),
        }
    }

    pub(super) fn failure(cause: &'static str, generation: u64, problems: &[Problem]) -> Self {
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

    pub(super) fn set(&self, report: Report) {
        self.lock().last = Some(report);
    }

    /// Nothing new; what was wrong still is.
    pub(super) fn unchanged(&self, cause: &'static str, generation: u64) -> Report {
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

    pub(super) fn note_trouble(&self, problems: &[Problem]) {
        let trouble = problems.iter().map(|problem| {
            let digest = problem.digest.map(|digest| digest.to_string());
            (
                problem.plugin.clone(),
                Trouble {
                    digest,
                    error: problem.message.clone(),
                    at_ms: now_ms(),
                },
            )
        });
        self.lock().trouble.extend(trouble);
    }

    pub(super) fn clear_trouble(&self) -> Vec<String> {
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
