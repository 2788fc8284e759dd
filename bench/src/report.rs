//! The report: the machine, the goals with what was found, and a table for each kind of load. Markdown that reads well as
//! plain text, since it is printed as well as written to `bench/RESULTS.md`.

use std::fmt::Write;

use crate::contender::Contender;
use crate::goals;
use crate::results::{Figure, Results};
use crate::scenario::Scenario;

/// A column: its title, its scenario, its figure and how many decimals to show.
type Column = (String, Scenario, Figure, usize);

/// Writes the whole report; `missing` says what could not be measured and why.
pub(crate) fn markdown(results: &Results, contenders: &[Contender], missing: &[String]) -> String {
    let mut text = String::new();
    head(&mut text, results, missing);
    goals_table(&mut text, results);
    let mut section = |title: &str, columns: Vec<Column>| {
        let columns: Vec<Column> = columns
            .into_iter()
            .filter(|(_, scenario, ..)| results.covers(*scenario))
            .collect();
        if !columns.is_empty() {
            write!(text, "\n## {title}\n\n{}", figures_table(results, contenders, &columns)).ok();
        }
    };
    section("Closed loop: 1 KB request, 1.2 KB answer", closed_columns());
    section("Open loop, timed from when each request was due", open_columns());
    section("Prompt of 32 KB, 16 connections", prompt_columns());
    section(
        "Streams: 64 at once, 50 content events back to back",
        stream_columns(Scenario::Stream),
    );
    section(
        "Streams: 64 at once, 50 content events 10 ms apart",
        stream_columns(Scenario::Stream10ms),
    );
    section("Start and memory", start_columns());
    counts_table(&mut text, results, contenders);
    text
}

fn head(text: &mut String, results: &Results, missing: &[String]) {
    let (machine, effort) = (&results.machine, &results.effort);
    writeln!(
        text,
        "# Results\n\n\
         Measured by `cargo xtask bench` on {date}, commit {commit}.\n\n\
         {processor}, {cores} cores, {memory:.1} GiB, {kernel}. The mock upstream and the load generator share one core, the\n\
         proxy has another to itself. Medians of {repeats}, in turns, each on a fresh process: {warm_up:?} to warm up, {span:?} measured.\n\
         CPU is user and system time of the proxy. `direct` has no proxy; `floor` is a bare hyper reverse proxy that looks at nothing.\n\
         The disk takes {sync} to write and sync 512 bytes (median of 500 after the run).",
        date = machine.date,
        commit = machine.commit,
        processor = machine.processor,
        cores = machine.cores,
        memory = machine.memory_gib,
        kernel = machine.kernel,
        repeats = effort.repeats,
        warm_up = effort.warm_up,
        span = effort.span,
        sync = machine.sync_us.map_or_else(dash, |sync| format!("{sync} µs")),
    )
    .ok();
    for reason in missing {
        writeln!(text, "\n**Not measured:** {reason}.").ok();
    }
}

fn goals_table(text: &mut String, results: &Results) {
    let rows = goals::verdicts(results).into_iter().map(|verdict| {
        let met = verdict
            .met
            .map_or("not measured", |met| if met { "pass" } else { "**miss**" });
        vec![
            verdict.what.to_owned(),
            verdict.goal,
            verdict.found.unwrap_or_else(dash),
            met.to_owned(),
        ]
    });
    let titles = ["what", "goal", "found", ""].map(str::to_owned);
    write!(text, "\n## Goals\n\n{}", table(&titles, rows.collect())).ok();
}

fn closed_columns() -> Vec<Column> {
    use Scenario::{C1, C16, C64};
    let mut columns = vec![
        column("requests/s, C=64", C64, |s| s.per_second, 0),
        column("CPU µs/request, C=64", C64, |s| s.cpu_us, 1),
        column("CPU %, C=64", C64, |s| s.cpu_percent, 0),
    ];
    for (scenario, name) in [(C1, "C=1"), (C16, "C=16"), (C64, "C=64")] {
        columns.extend(percentiles(name, scenario));
    }
    columns
}

fn open_columns() -> Vec<Column> {
    use Scenario::{Open100, Open500, Open1000, Open4000};
    let rates = [
        (Open100, "100/s"),
        (Open500, "500/s"),
        (Open1000, "1000/s"),
        (Open4000, "4000/s"),
    ];
    let mut columns = Vec::new();
    for (scenario, name) in rates {
        columns.extend(percentiles(name, scenario));
        columns.push(column(format!("{name} CPU %"), scenario, |s| s.cpu_percent, 1));
    }
    columns
}

fn prompt_columns() -> Vec<Column> {
    let scenario = Scenario::Prompt32k;
    let mut columns = vec![
        column("requests/s", scenario, |s| s.per_second, 0),
        column("CPU µs/request", scenario, |s| s.cpu_us, 1),
    ];
    columns.extend(percentiles("", scenario));
    columns
}

fn stream_columns(scenario: Scenario) -> Vec<Column> {
    vec![
        column("streams/s", scenario, |s| s.per_second, 0),
        column("CPU µs/stream", scenario, |s| s.cpu_us, 0),
        column("CPU %", scenario, |s| s.cpu_percent, 1),
        column(
            "first byte p50 ms",
            scenario,
            |s| s.first_p50_us.map(|us| us / 1000.0),
            2,
        ),
        column("p99", scenario, |s| s.first_p99_us.map(|us| us / 1000.0), 2),
        column("total p50 ms", scenario, |s| s.p50_us.map(|us| us / 1000.0), 1),
        column("p99", scenario, |s| s.p99_us.map(|us| us / 1000.0), 1),
        column("gap p50 ms", scenario, |s| s.gap_p50_us.map(|us| us / 1000.0), 2),
        column("p99", scenario, |s| s.gap_p99_us.map(|us| us / 1000.0), 2),
        column("events/read", scenario, |s| s.events_per_read, 2),
        column("[DONE] %", scenario, |s| s.done_percent, 1),
    ]
}

fn start_columns() -> Vec<Column> {
    use Scenario::{C64, Start};
    vec![
        column("start to first 200, ms", Start, |s| s.start_ms, 0),
        column("… with nothing cached", Start, |s| s.cold_start_ms, 0),
        column("resident, idle, MiB", Start, |s| s.idle_mib, 1),
        column("… after 64 connections", C64, |s| s.loaded_mib, 1),
        column("… peak", C64, |s| s.peak_mib, 1),
    ]
}

fn percentiles(name: &str, scenario: Scenario) -> [Column; 3] {
    let title = |which: &str| format!("{name} {which}").trim_start().to_owned();
    [
        column(title("p50 µs"), scenario, |s| s.p50_us, 0),
        column(title("p99"), scenario, |s| s.p99_us, 0),
        column(title("p99.9"), scenario, |s| s.p999_us, 0),
    ]
}

fn column(title: impl Into<String>, scenario: Scenario, figure: Figure, decimals: usize) -> Column {
    (title.into(), scenario, figure, decimals)
}

/// One row for each contender; behind a CPU time, its multiple of the floor's.
fn figures_table(results: &Results, contenders: &[Contender], columns: &[Column]) -> String {
    let mut titles = vec![String::new()];
    titles.extend(columns.iter().map(|(title, ..)| title.clone()));
    let row = |contender: &Contender| {
        let cells = columns.iter().map(|(title, scenario, figure, decimals)| {
            let Some(value) = results.median(*scenario, *contender, *figure) else {
                return dash();
            };
            let floor = results.median(*scenario, Contender::Floor, *figure);
            match floor.filter(|floor| title.starts_with("CPU µs") && *floor > 0.0) {
                Some(floor) => format!("{} ({:.2}×)", grouped(value, *decimals), value / floor),
                None => grouped(value, *decimals),
            }
        });
        std::iter::once(contender.name().to_owned()).chain(cells).collect()
    };
    table(&titles, contenders.iter().map(row).collect())
}

/// How clean the run was: nothing is measured on errors, and a busy machine shows.
fn counts_table(text: &mut String, results: &Results, contenders: &[Contender]) {
    let titles = [
        "",
        "good",
        "bad",
        "failed",
        "reconnects",
        "foreign CPU %, most",
        "CPU µs/request at C=64, least–most",
    ];
    let row = |contender: &Contender| {
        let sum = |count: fn(&crate::measure::Sample) -> u64| {
            grouped(
                results
                    .samples(*contender)
                    .map(|(_, sample)| count(sample))
                    .sum::<u64>() as f64,
                0,
            )
        };
        let foreign = results
            .samples(*contender)
            .filter_map(|(_, sample)| sample.foreign_percent)
            .reduce(f64::max);
        let range = results.range(Scenario::C64, *contender, |s| s.cpu_us);
        vec![
            contender.name().to_owned(),
            sum(|s| s.good),
            sum(|s| s.bad),
            sum(|s| s.failed),
            sum(|s| s.reopened),
            foreign.map_or_else(dash, |value| grouped(value, 0)),
            range.map_or_else(dash, |(least, most)| format!("{least:.1}–{most:.1}")),
        ]
    };
    let rows = contenders.iter().map(row).collect();
    write!(
        text,
        "\n## Noise and errors\n\n{}",
        table(&titles.map(str::to_owned), rows)
    )
    .ok();
    let complaints = contenders.iter().flat_map(|contender| {
        let samples = results.samples(*contender);
        samples.filter_map(|(scenario, sample)| Some((contender.name(), scenario.name(), sample.complaint.as_ref()?)))
    });
    for (contender, scenario, complaint) in complaints {
        writeln!(text, "\n{contender}, {scenario}: {complaint}").ok();
    }
}

fn dash() -> String {
    "–".to_owned()
}

fn table(titles: &[String], rows: Vec<Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = format!("|{}\n", "---|".repeat(titles.len()));
    std::iter::once(line(titles))
        .chain([rule])
        .chain(rows.iter().map(|row| line(row)))
        .collect()
}

/// A number with commas between thousands.
fn grouped(value: f64, decimals: usize) -> String {
    let plain = format!("{value:.decimals$}");
    let (whole, fraction) = plain
        .find('.')
        .map_or((plain.as_str(), ""), |point| plain.split_at(point));
    let mut text = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_commas_and_the_decimals_asked_for() {
        let shown = [(7.0, 0), (999.96, 1), (1234.5, 1), (-1234.0, 0), (1_234_567.0, 0)]
            .map(|(value, decimals)| grouped(value, decimals));
        assert_eq!(shown, ["7", "1,000.0", "1,234.5", "-1,234", "1,234,567"]);
    }
}
