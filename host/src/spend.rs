//! What was spent: a question in users' words, asked of a store's sums, and the answer as a table, as CSV and as JSON. All
//! figures are exact to the nano-dollar.

mod lines;
mod shown;
mod when;

pub use lines::{Export, at_text};
pub use when::moment;

use crate::budget::{Period, Window, Zone};
use crate::store::{By, Question, Span, Spent, Store, StoreError, Sums};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    question: Question,
    /// Where the answer ends, for people; the question may leave it open.
    to_ms: u64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Of this time.
    span: Span,
    by: Vec<By>,
    rows: Vec<Spent>,
    /// Every line once, whatever it is grouped by.
    total: Sums,
}

impl Query {
    /// A question of settings by name: `by`, `from`, `to`, and the name of a property with its value. The month so far where
    /// no time is given.
    pub fn parse(settings: impl IntoIterator<Item = (String, String)>, now_ms: u64) -> Result<Self, String> {
        let month = Window::around(now_ms, Period::Month, &Zone::default());
        let (mut from, mut to) = (None, None);
        let (mut by, mut only) = (Vec::new(), Vec::new());
        for (name, value) in settings {
            match name.as_str() {
                "from" => from = Some(moment(&value, now_ms)?),
                "to" => to = Some(moment(&value, now_ms)?),
                "by" => by.extend(properties(&value)?),
                other => match By::named(other) {
                    Some(By::Label) if !value.is_empty() && !value.contains('=') => {
                        return Err(format!(
                            "`{value}` is not a label with its value, such as `task=coding`"
                        ));
                    }
                    Some(property) => only.push((property, value)),
                    None => return Err(format!("no setting `{other}`; there are by, from, to, {}", names())),
                },
            }
        }
        let span = Span {
            from_ms: from.unwrap_or(month.start_ms),
            // Whole sums are read sooner than parts of them.
            to_ms: to.unwrap_or(Span::EVER.to_ms),
        };
        let to_ms = to.unwrap_or(now_ms);
        if to.is_some_and(|to| to < span.from_ms) {
            return Err("`to` is before `from`".to_owned());
        }
        Ok(Self {
            question: Question { span, by, only },
            to_ms,
        })
    }

    /// Asks a store. Takes as long as it takes: not for a thread that serves.
    pub fn ask(&self, store: &dyn Store) -> Result<Report, StoreError> {
        let rows = store.spent(&self.question)?;
        let mut total = Sums::default();
        if self.question.by.contains(&By::Label) {
            // A line with two labels is in two rows.
            let whole = Question {
                by: Vec::new(),
                ..self.question.clone()
            };
            store.spent(&whole)?.iter().for_each(|spent| total.merge(&spent.sums));
        } else {
            rows.iter().for_each(|spent| total.merge(&spent.sums));
        }
        Ok(Report {
            span: Span {
                to_ms: self.to_ms,
                ..self.question.span
            },
            by: self.question.by.clone(),
            rows,
            total,
        })
    }
}

/// `key,model`
fn properties(list: &str) -> Result<Vec<By>, String> {
    let mut found = Vec::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let by = By::named(name).ok_or_else(|| format!("nothing is counted by `{name}`; there are {}", names()))?;
        if found.contains(&by) {
            return Err(format!("`{name}` is named twice"));
        }
        found.push(by);
    }
    Ok(found)
}

fn names() -> String {
    By::ALL.map(|(name, _)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(settings: &[(&str, &str)]) -> Result<Query, String> {
        let settings = settings.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        // 2026-11-21T20:00:00Z
        Query::parse(settings, 1_795_291_200_000)
    }

    #[test]
    fn the_month_so_far_is_what_is_asked_for_where_nothing_is_said() {
        let query = parse(&[]).unwrap();
        assert_eq!(crate::store::day(query.question.span.from_ms), "2026-11-01");
        assert_eq!(
            (query.question.span.from_ms % 86_400_000, query.to_ms),
            (0, 1_795_291_200_000)
        );
    }

    #[test]
    fn what_cannot_be_asked_is_said() {
        for (settings, expected) in [
            (&[("by", "key,colour")][..], "nothing is counted by `colour`"),
            (&[("by", "key,key")], "`key` is named twice"),
            (&[("colour", "red")], "no setting `colour`"),
            (&[("label", "coding")], "is not a label with its value"),
            (&[("from", "yesterday")], "`yesterday` is no moment"),
            (&[("from", "2026-11-20"), ("to", "2026-11-19")], "`to` is before `from`"),
        ] {
            let message = parse(settings).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
