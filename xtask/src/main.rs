//! `cargo xtask`: the handful of commands that a contributor needs. Each does all of its own set-up. What they run is
//! in `commands.rs`; this file is the table and the help text.

mod commands;

use std::env;
use std::process::ExitCode;

use anyhow::Result;

/// One command: its name, what it does, and the function that does it with the arguments after the name.
type Command = (&'static str, &'static str, fn(&[String]) -> Result<()>);

const COMMANDS: &[Command] = &[
    (
        "run",
        "build the gateway and serve; arguments go to `pointsman serve`",
        commands::run,
    ),
    (
        "test",
        "run every test; arguments go to `cargo test --workspace`",
        commands::test,
    ),
    (
        "check",
        "what else has to hold: format, lints, documentation, dependencies",
        commands::check,
    ),
    (
        "plugins",
        "build the plugins into components and list their sizes; arguments select some by name",
        commands::plugins,
    ),
    (
        "toolchains",
        "install what the tests build plugins in other languages with, into target/toolchains",
        commands::toolchains,
    ),
    (
        "sdks",
        "install the SDKs and frameworks that the tests drive the gateway with, into target/sdk; `test` does it, too",
        commands::sdks,
    ),
    (
        "reference",
        "write docs/plugins/reference.md from the contract in wit/",
        commands::reference,
    ),
    (
        "providers",
        "write docs/providers.md from the adapters' golden files, docs/clients.md from what clients are held to",
        commands::providers,
    ),
    (
        "sbom",
        "write the bill of materials, target/sbom/pointsman.cdx.json (CycloneDX)",
        commands::sbom,
    ),
    (
        "release",
        "build the gateway as it is given to others, the same bytes in any folder, with its bill of materials",
        commands::release,
    ),
    (
        "soak",
        "long trials of the ledger, `soak help` lists them; `--release` first builds with optimisation",
        commands::soak,
    ),
    (
        "fuzz",
        "run the fuzz targets, or the one that is named, for `--seconds` each; needs `cargo install cargo-fuzz`",
        commands::fuzz,
    ),
    (
        "bench",
        "build with optimisation and measure; arguments go to the benchmark",
        commands::bench,
    ),
];

fn main() -> ExitCode {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.is_empty() || matches!(arguments[0].as_str(), "-h" | "--help" | "help") {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    let name = arguments.remove(0);
    let Some((.., command)) = COMMANDS.iter().find(|(known, ..)| *known == name) else {
        eprintln!("there is no command `{name}`\n\n{}", help());
        return ExitCode::from(2);
    };
    if arguments.first().is_some_and(|first| first == "--") {
        arguments.remove(0);
    }
    match command(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let mut help = String::from("Usage: cargo xtask COMMAND [ARGUMENTS]\n\n");
    for (name, what, _) in COMMANDS {
        help.push_str(&format!("  {name:<10} {what}\n"));
    }
    help.push_str(
        "\nExamples:\n  cargo xtask run\n  cargo xtask run --config pointsman.toml\n  cargo xtask test keyword\n",
    );
    help
}
