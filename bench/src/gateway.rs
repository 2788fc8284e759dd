//! Pointsman itself as it is measured: in front of the mock upstream with the openai adapter, two models and one route,
//! without policies or with three of them. Its log stays quiet, and its files lie in a folder of the run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::wire;

/// What the gateway does beside forwarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: no policy, no ledger.
    Plain,
    /// No policy; every call is reserved against a budget and booked.
    Ledger,
    /// The same on a file system in memory: what the ledger costs but for the disk.
    LedgerInMemory,
    /// Keyword, complexity and weighted, each call on a fresh store: the default.
    Fresh,
    /// The same three on instances that are kept between calls.
    Warm,
}

/// Why the gateway cannot be measured here, with what to do about it.
pub(crate) fn missing() -> Option<String> {
    let built = program().is_ok_and(|program| program.is_file());
    (!built).then(|| {
        "the gateway is not built beside this program, so that its rows are missing; `cargo xtask bench` builds it"
            .to_owned()
    })
}

/// Writes a configuration into `folder` and says how to start the gateway with it. What it keeps between runs (the compile
/// cache among it) lies in the same folder: a new folder makes a cold start.
pub(crate) fn command(
    kind: Kind,
    listen: SocketAddr,
    admin: SocketAddr,
    upstream: SocketAddr,
    folder: &Path,
) -> Result<Command> {
    let file = folder.join("pointsman.toml");
    let kept = match kind {
        Kind::LedgerInMemory => in_memory(),
        _ => PathBuf::from("data"),
    };
    std::fs::write(&file, configuration(kind, listen, admin, upstream, &kept))
        .with_context(|| format!("writing {}", file.display()))?;
    let mut command = Command::new(program()?);
    command.arg("serve").arg("--config").arg(&file);
    command.current_dir(folder);
    Ok(command)
}

fn in_memory() -> PathBuf {
    Path::new(MEMORY).join(format!("pointsman-bench-{}", std::process::id()))
}

/// Frees the memory that a store was kept in.
pub(crate) fn free_memory() {
    // There is none where it was not measured.
    let _ = std::fs::remove_dir_all(in_memory());
}

/// A file system in memory, on which a sync is done at once.
pub(crate) const MEMORY: &str = "/dev/shm";

fn configuration(kind: Kind, listen: SocketAddr, admin: SocketAddr, upstream: SocketAddr, kept: &Path) -> String {
    let (names, settings) = match kind {
        Kind::Plain => ("[]", String::new()),
        Kind::Ledger | Kind::LedgerInMemory => (
            "[]",
            "budget = { limit_usd = 1_000_000, period = \"month\" }\n".to_owned(),
        ),
        Kind::Fresh => (THREE, three_policies(r#""fresh""#)),
        Kind::Warm => (THREE, three_policies("{ warm = 4 }")),
    };
    format!(
        r#"[server]
listen = "{listen}"
[admin]
listen = "{admin}"
[store]
path = "{kept}"
ledger = {has_ledger}

[providers.mock]
adapter = "openai"
base_url = "http://{upstream}/v1"
api_key = "sk-mock"

[models."mock/large"]
provider = "mock"
price = {{ input = 2.50, cached_input = 1.25, output = 10.00 }}
context = 128_000
tags = ["large"]

[models."mock/small"]
provider = "mock"
price = {{ input = 0.15, cached_input = 0.075, output = 0.60 }}
context = 128_000
tags = ["small"]

[routes.{route}]
candidates = ["mock/large", "mock/small"]
policies = {names}
{settings}"#,
        kept = kept.display(),
        has_ledger = matches!(kind, Kind::Ledger | Kind::LedgerInMemory),
        route = wire::MODEL,
    )
}

const THREE: &str = r#"["keyword", "complexity", "weighted"]"#;

/// Each has something to do: words to look for, scores to compute, a side to choose.
fn three_policies(instances: &str) -> String {
    format!(
        r#"
[policies.keyword]
component = "keyword"
instances = {instances}
[policies.keyword.config]
rules = [
    {{ any = ["python", "function", "debug"], label = "coding", prefer = ["mock/large"] }},
    {{ any = ["timetable", "connection"], label = "travel", prefer = ["mock/small"] }},
]

[policies.complexity]
component = "complexity"
instances = {instances}

[policies.weighted]
component = "weighted"
instances = {instances}
"#
    )
}

/// The gateway that was built beside this program.
pub(crate) fn program() -> Result<PathBuf> {
    let own = std::env::current_exe().context("finding this program")?;
    Ok(own.with_file_name("pointsman"))
}
