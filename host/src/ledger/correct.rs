//! Corrections: lines of their own that add to another line's cost, or take away from it. No line is ever changed.

use crate::money::{Nanodollars, Usage};
use crate::store::{Correction, Line, Span, Store, StoreError};

/// What is to be corrected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The number of the line.
    pub line: u64,
    /// Added to its cost.
    pub by: i64,
    /// Why, for those who read the ledger.
    pub reason: String,
}

/// Longer reasons belong into a ticket.
const REASON_BYTES: usize = 500;

/// The line that makes a change, to be noted. A refusal says what is wrong with the change.
pub fn correction(change: &Change, store: &dyn Store) -> Result<Line, StoreError> {
    let refused = |reason: String| Err(StoreError::Refused(reason));
    let Change { line: id, by, reason } = change;
    if reason.trim().is_empty() || reason.len() > REASON_BYTES || reason.chars().any(char::is_control) {
        return refused(format!(
            "a correction needs a reason, in one line of at most {REASON_BYTES} bytes"
        ));
    }
    if *by == 0 {
        return refused("a correction by nothing".to_owned());
    }
    let Some(line) = store.line(*id)? else {
        return refused(format!("there is no line {id}; `pointsman store export` lists them"));
    };
    if let Some(corrected) = line.corrects {
        let first = corrected.line;
        return refused(format!("line {id} is a correction itself; correct line {first}"));
    }
    let stands = line.cost.map_or(0, |cost| i128::from(cost.0)) + corrected_by(&line, store)?;
    if stands + i128::from(*by) < 0 {
        let stands = crate::money::usd(stands);
        return refused(format!(
            "line {id} stands at {stands} USD; no correction takes it below nothing"
        ));
    }
    Ok(Line::correcting(&line, *by, reason))
}

/// What corrections have made of a line's cost. They stand where it stands.
fn corrected_by(line: &Line, store: &dyn Store) -> Result<i128, StoreError> {
    let span = Span {
        from_ms: line.at_ms,
        to_ms: line.at_ms + 1,
    };
    let mut sum = 0;
    store.lines(span, &mut |other| {
        let correction = other.corrects.filter(|correction| correction.line == line.id);
        sum += correction.map_or(0, |correction| i128::from(correction.by));
        true
    })?;
    Ok(sum)
}

impl Line {
    /// A correction of another line, to be noted.
    pub fn correcting(line: &Line, by: i64, reason: &str) -> Self {
        Self {
            outcome: format!("corrected: {reason}"),
            usage: Usage::default(),
            cost: None,
            reference: None,
            ceiling: Nanodollars(0),
            is_estimated: false,
            is_recovered: false,
            corrects: Some(Correction { line: line.id, by }),
            ..line.clone()
        }
    }
}
