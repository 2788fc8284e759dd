//! `budget = { … }` and `budgets = [{ … }]`, wherever a section may have them.

use super::reader::Section;
use crate::budget::{Budget, Period, Zone};
use crate::money::Nanodollars;

/// The budgets of a section: one as `budget`, several as `budgets`.
pub(super) fn read(section: &Section<'_>) -> Vec<Budget> {
    let one = section.any("budget").and_then(|_| budget(section.section("budget")));
    let many = section.items("budgets").into_iter().filter_map(|item| {
        let table = section.item_section("budgets", item);
        if table.is_none() {
            section.note(item.span(), "a budget is `{ limit_usd = 100.0, period = \"month\" }`");
        }
        budget(table?)
    });
    let budgets: Vec<Budget> = one.into_iter().chain(many).collect();
    for (place, budget) in budgets.iter().enumerate() {
        let is_same = |other: &Budget| other.period == budget.period && other.zone == budget.zone;
        if budgets[..place].iter().any(is_same) {
            let period = budget.period.name();
            section.note(section.span(), format!("two budgets for the same period, `{period}`"));
        }
    }
    budgets
}

fn budget(section: Section<'_>) -> Option<Budget> {
    let limit = match section.decimal("limit_usd") {
        Some((text, span)) => Nanodollars::from_usd(&text)
            .map_err(|reason| section.note(span, reason))
            .ok(),
        None => {
            if section.any("limit_usd").is_none() {
                section.note(section.span(), "`limit_usd` is missing: how much may be spent");
            }
            None
        }
    };
    let period = section.required_string("period").and_then(|(name, span)| {
        let period = Period::named(&name);
        if period.is_none() {
            section.note(
                span,
                format!("no period `{name}`; there are hour, day, week, month and total"),
            );
        }
        period
    });
    let zone = section.string("zone").map(|(name, span)| {
        Zone::named(&name).unwrap_or_else(|reason| {
            section.note(span, reason);
            Zone::default()
        })
    });
    let warn = section.items("warn_percent");
    let warn: Vec<u8> = warn
        .into_iter()
        .filter_map(|item| {
            let percent = item
                .get_ref()
                .as_integer()
                .and_then(|number| number.as_str().parse().ok());
            let percent = percent.filter(|percent| (1..=100).contains(percent));
            if percent.is_none() {
                section.note(item.span(), "`warn_percent` has whole numbers from 1 to 100");
            }
            percent
        })
        .collect();
    let is_hard = section.flag("hard", true);
    let states_none = section.any("warn_percent").is_none();
    section.finish();
    Some(Budget {
        limit: limit?,
        period: period?,
        zone: zone.unwrap_or_default(),
        is_hard,
        warn: if states_none { vec![80, 100] } else { warn },
    })
}
