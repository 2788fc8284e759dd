//! `pointsman spend`: what was spent, from the ledger's sums.

use std::path::Path;

use clap::{Args, ValueEnum};

use super::store::Place;
use crate::cli::out::{put, say};
use crate::spend::Query;
use crate::store::now_ms;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Grouped by these; everything together without it
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    by: Vec<Property>,
    /// From this moment on: a date (UTC), a time with its zone, or -7d; without it from the month's first day
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true, value_parser = when)]
    from: Option<String>,
    /// Up to this moment, which is not part of it; without it until now
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true, value_parser = when)]
    to: Option<String>,
    /// Only this key's, by its public id
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Only this team's
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
    /// Only this organisation's
    #[arg(long, value_name = "NAME")]
    organisation: Option<String>,
    /// Only what this model answered
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// Only what this provider answered
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Only what was asked of this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Only what a policy gave this label, as `task=coding`; several have to fit all
    #[arg(long, value_name = "LABEL=VALUE")]
    label: Vec<String>,
    /// A table for people, CSV or JSON for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Property {
    Key,
    Team,
    Organisation,
    Model,
    Provider,
    Route,
    Label,
    Day,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
}

/// Kept as it was written, once it is known to be a moment.
fn when(text: &str) -> Result<String, String> {
    super::store::at(text).map(|_| text.to_owned())
}

pub(super) fn run(named: Option<&Path>, options: &Options) -> Result<(), String> {
    let by = options.by.iter().filter_map(|property| {
        let name = property.to_possible_value()?.get_name().to_owned();
        Some(("by", name))
    });
    let one = [
        ("from", &options.from),
        ("to", &options.to),
        ("key", &options.key),
        ("team", &options.team),
        ("organisation", &options.organisation),
        ("model", &options.model),
        ("provider", &options.provider),
        ("route", &options.route),
    ];
    let one = one.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
    let labels = options.label.iter().map(|label| ("label", label.clone()));
    let settings = by.chain(one).chain(labels);
    let query = Query::parse(settings.map(|(name, value)| (name.to_owned(), value)), now_ms())?;
    let store = options.place.open(named)?;
    let report = query.ask(&store).map_err(|error| error.to_string())?;
    match options.format {
        Format::Table => put!("{}", report.to_table()),
        Format::Csv => put!("{}", report.to_csv()),
        Format::Json => say!("{:#}", report.to_json()),
    }
    Ok(())
}
