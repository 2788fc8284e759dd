//! What `cargo xtask` does, one function per command. All of them run plain tools that can be run by hand as well.

use std::env;
use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use xtask::plugins::{self, Selection};
use xtask::{clients, nested, packages, providers, reference, release, sbom, toolchains, workspace};

/// The plugins in the box are built for the first; guests that users write, and some in the tests, for the second.
const FUZZED: [&str; 6] = ["json", "sse", "eventstream", "adapter", "config", "prices"];

const TARGETS: &[&str] = &[plugins::TARGET, "wasm32-wasip2"];

/// Builds the gateway with optimisation and serves with it.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    add_missing_targets()?;
    let build = [
        "run",
        "--quiet",
        "--release",
        "--package",
        "pointsman",
        "--bin",
        "pointsman",
        "--",
        "serve",
    ];
    eprintln!("building the gateway; the first time takes some minutes");
    execute(cargo(build).args(arguments))
}

/// Runs the whole suite, or what the arguments select of it.
pub(crate) fn test(arguments: &[String]) -> Result<()> {
    add_missing_targets()?;
    if let Err(error) = sdks(&[]) {
        // The tests themselves say what they leave out, and do not pass in CI.
        eprintln!("applications' SDKs are not there, so what they do is not tested: {error:#}");
    }
    execute(cargo(["test", "--workspace"]).args(arguments))
}

/// Installs the SDKs and frameworks that applications use, with which tests drive the gateway, and what makes requests of a
/// specification. LiteLLM does not go together with the others.
pub(crate) fn sdks(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "`sdks` takes no arguments");
    let folder = workspace().join("target/sdk");
    packages::python("tests/sdk", &folder.join("python"))?;
    packages::node("tests/sdk", &folder.join("node"))?;
    packages::python("tests/sdk/frameworks", &folder.join("frameworks"))?;
    packages::python("tests/sdk/frameworks/litellm", &folder.join("litellm"))?;
    packages::node("tests/sdk/frameworks", &folder.join("vercel"))?;
    packages::python("tests/sdk/schema", &folder.join("schema"))
}

/// Runs all checks and then says which ones failed, so that one run shows everything.
pub(crate) fn check(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "`check` takes no arguments");
    add_missing_targets()?;
    let checks = [
        ("format", cargo(["fmt", "--all", "--check"])),
        (
            "lints",
            cargo(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]),
        ),
        ("documentation", documentation()),
        ("dependencies", cargo(["deny", "check", "bans", "licenses", "sources"])),
    ];
    let mut failed = Vec::new();
    for (name, mut command) in checks.into_iter().chain(advisories()) {
        if let Err(error) = execute(&mut command) {
            eprintln!("{name}: {error:#}");
            failed.push(name);
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// Builds the plugins into components and lists them.
pub(crate) fn plugins(arguments: &[String]) -> Result<()> {
    add_missing_targets()?;
    let selection = if arguments.is_empty() {
        Selection::All
    } else {
        Selection::Named(arguments.to_vec())
    };
    let program = env::current_exe().context("cannot find the target directory")?;
    let target = nested::target_dir_above(&program)
        .context("cannot find the target directory")?
        .join("plugins");
    for built in plugins::build(&target, &selection)? {
        println!("{:>9} bytes  {}", built.size, built.path.display());
    }
    Ok(())
}

/// Installs the compilers of the other languages that plugins are written in.
pub(crate) fn toolchains(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "`toolchains` takes no arguments");
    toolchains::install()?;
    for folder in toolchains::programs() {
        println!("{}", folder.display());
    }
    Ok(())
}

/// Writes the contract's page of documentation.
pub(crate) fn reference(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "`reference` takes no arguments");
    reference::write()?;
    println!("{}", reference::file().display());
    Ok(())
}

/// Writes the bill of materials.
pub(crate) fn sbom(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "`sbom` takes no arguments");
    let packages = sbom::write()?;
    println!("{}: {packages} packages", sbom::file().display());
    Ok(())
}

/// Builds what is given to others.
pub(crate) fn release(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "`release` takes no arguments");
    add_missing_targets()?;
    eprintln!("building the gateway from nothing; this takes some minutes");
    for file in release::write()? {
        println!("{}", file.display());
    }
    Ok(())
}

/// Writes the pages of providers and of clients.
pub(crate) fn providers(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "`providers` takes no arguments");
    providers::write()?;
    clients::write()?;
    println!("{}\n{}", providers::file().display(), clients::file().display());
    Ok(())
}

/// Builds with optimisation what is measured, then measures.
pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    add_missing_targets()?;
    execute(&mut cargo(["build", "--release", "--package", "pointsman"]))?;
    execute(cargo(["run", "--release", "--package", "bench", "--"]).args(arguments))
}

/// Tries the ledger for a long time: what is a test gets more rounds, the rest is the package `soak`.
pub(crate) fn soak(arguments: &[String]) -> Result<()> {
    let (profile, arguments) = match arguments.split_first() {
        Some((first, rest)) if first == "--release" => ("release", rest),
        _ => ("debug", arguments),
    };
    let times = |usual: &str| match arguments {
        [_, flag, times] if flag == "--cycles" => times.clone(),
        _ => usual.to_owned(),
    };
    match arguments.first().map(String::as_str) {
        None | Some("--list") => soak(&["help".to_owned()]),
        Some("schedules") => {
            execute(cargo(["test", "--workspace", "--lib", "ledger::"]).env("POINTSMAN_SOAK_TIMES", times("100000")))
        }
        Some("leave") => execute(
            cargo([
                "test",
                "--workspace",
                "--test",
                "it",
                "--",
                "ledger::leaving",
                "asking::clients_that_leave",
            ])
            .env("POINTSMAN_SOAK_TIMES", times("1000")),
        ),
        Some("timing") => execute(
            cargo(["test", "--workspace", "--lib", "keys::timing", "--", "--nocapture"])
                .env("POINTSMAN_SOAK_TIMES", times("1000000")),
        ),
        Some(trial) => {
            add_missing_targets()?;
            let mut build = cargo(["build", "--workspace", "--bin", "pointsman", "--bin", "soak"]);
            execute(if profile == "release" {
                build.arg("--release")
            } else {
                &mut build
            })?;
            let program = env::current_exe().context("cannot find the target directory")?;
            let target = nested::target_dir_above(&program).context("cannot find the target directory")?;
            let built = target.join(profile);
            let mut soak = Command::new(built.join("soak"));
            soak.args(arguments)
                .env("CARGO_BIN_EXE_pointsman", built.join("pointsman"));
            execute(&mut soak)?;
            if trial == "help" {
                println!(
                    "\nAnd three that are tests, with more rounds:\n  schedules  B11: orders of threads, and steps against a model\n  leave      B3, P7: clients that leave\n  timing     S3: how long wrong keys take\n"
                );
            }
            Ok(())
        }
    }
}

/// Runs the fuzz targets one after the other. What they find that is new lies outside of the project's corpora, which are
/// small and chosen by hand.
pub(crate) fn fuzz(arguments: &[String]) -> Result<()> {
    let (named, seconds) = match arguments {
        [named @ .., flag, seconds] if flag == "--seconds" => (named, seconds.as_str()),
        named => (named, "60"),
    };
    let targets = match named {
        [] => FUZZED.map(str::to_owned).to_vec(),
        named => named.to_vec(),
    };
    for target in targets {
        let found = workspace().join("target/fuzz-corpus").join(&target);
        std::fs::create_dir_all(&found).with_context(|| format!("making {}", found.display()))?;
        let mut run = cargo(["fuzz", "run", "--sanitizer", "none", "--target-dir", "target", &target]);
        run.arg(&found).arg(workspace().join("fuzz/corpus").join(&target));
        run.args(["--", "-max_len=4096", "-timeout=10", "-print_final_stats=1"]);
        run.arg(format!("-max_total_time={seconds}"));
        // The instrumentation is an option that only nightly compilers have otherwise. All of the code is safe, so
        // there is nothing for a sanitizer of addresses to see.
        execute(run.env("RUSTC_BOOTSTRAP", "1"))?;
    }
    Ok(())
}

fn documentation() -> Command {
    let mut doc = cargo(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    doc.env("RUSTDOCFLAGS", "--deny warnings");
    doc
}

/// The check for known vulnerabilities, unless their database cannot be fetched: that must be seen, and must not fail
/// everything else on a machine without access to it.
fn advisories() -> Option<(&'static str, Command)> {
    if execute(&mut cargo(["deny", "fetch", "db"])).is_ok() {
        return Some(("advisories", cargo(["deny", "check", "--disable-fetch", "advisories"])));
    }
    eprintln!("WARNING: the advisory database cannot be fetched; dependencies were NOT checked for vulnerabilities");
    None
}

/// A fresh machine has no WebAssembly targets. Without rustup, the build says what is missing.
fn add_missing_targets() -> Result<()> {
    for target in TARGETS {
        if nested::has_target(target)? {
            continue;
        }
        let mut rustup = Command::new("rustup");
        if execute(rustup.args(["target", "add", target])).is_err() {
            bail!("the target {target} is missing; install it with your system's packages or get rustup");
        }
    }
    Ok(())
}

/// Unlike the inner cargo that builds plugins, this one is to see the caller's environment.
fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace()).args(arguments);
    cargo
}

fn execute(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let status = command.status().with_context(|| format!("cannot start {program}"))?;
    let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    ensure!(
        status.success(),
        "`{program} {}` failed ({status})",
        arguments.join(" ")
    );
    Ok(())
}
