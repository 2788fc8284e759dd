//! One policy in every language, called in this process: what it takes to load, and what a call costs with an instance of
//! its own and with one that is kept. The components are those of `tests/languages/`; Rust's is the one in the box.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use pointsman::plugins::{Instances, PluginSource};
use xtask::languages::{self, LANGUAGES};

use crate::boxed::KEYWORD;
use crate::plugins;

/// Interpreters take a thousand times as long to load as to call, so fewer calls than of plugins in the box are enough.
const SHARE: usize = 10;

/// What one language costs.
pub(crate) struct Row {
    language: &'static str,
    bytes: usize,
    load: Duration,
    /// Whether instances start configured.
    is_baked: bool,
    fresh: (Duration, Duration),
    warm: (Duration, Duration),
}

/// Measures all languages; none where their compilers are not installed.
pub(crate) fn measure(calls: usize, pointsman: &Path) -> Result<Vec<Row>> {
    if !languages::are_installed() {
        return Ok(Vec::new());
    }
    let rust = [("rust", plugins::source("policy", "keyword")?)];
    let others = LANGUAGES.iter().map(|language| {
        let component = languages::component(pointsman, language, "keyword")?;
        Ok((*language, PluginSource::new(*language, component)))
    });
    let all = rust.into_iter().map(Ok).chain(others);
    all.map(|found| found.and_then(|(language, source)| row(language, &source, calls / SHARE)))
        .collect()
}

fn row(language: &'static str, source: &PluginSource, calls: usize) -> Result<Row> {
    let engine = plugins::engine(None)?;
    let call = plugins::call();
    let began = Instant::now();
    let policy = plugins::load(&engine, source.clone(), KEYWORD, &[], Instances::Fresh)?;
    let load = began.elapsed();
    let fresh = plugins::times(calls, || plugins::finish(policy.decide(&call)).map(drop))?;
    let kept = plugins::load(&engine, source.clone(), KEYWORD, &[], plugins::WARM)?;
    let warm = plugins::times(calls, || plugins::finish(kept.decide(&call)).map(drop))?;
    Ok(Row {
        language,
        bytes: source.bytes.len(),
        load,
        is_baked: policy.is_baked(),
        fresh,
        warm,
    })
}

/// The section of the report.
pub(crate) fn section(rows: &[Row]) -> String {
    let mut text = "\n## Languages\n\nThe policy of `tests/languages/` with one rule, a prompt of 1 KB. Loading is compiling and configuring \
                    with nothing cached; where it says \"each call\", no image of the configured memory can be made, and each new instance \
                    is configured again.\n\n| | component, KB | load, s | configured | fresh, p50 | p99 | warm, p50 | p99 |\n\
                    |---|---|---|---|---|---|---|---|\n"
        .to_owned();
    if rows.is_empty() {
        text.push_str("\nNot measured: `cargo xtask toolchains` installs the compilers.\n");
    }
    let micros = |duration: Duration| format!("{:.1} µs", duration.as_secs_f64() * 1e6);
    for row in rows {
        writeln!(
            text,
            "| {} | {} | {:.1} | {} | {} | {} | {} | {} |",
            row.language,
            row.bytes / 1000,
            row.load.as_secs_f64(),
            if row.is_baked { "once" } else { "each call" },
            micros(row.fresh.0),
            micros(row.fresh.1),
            micros(row.warm.0),
            micros(row.warm.1)
        )
        .ok();
    }
    text
}
