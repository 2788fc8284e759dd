//! The commands. Each is a file; what they share is here: arguments, logging, exit codes (0 good, 1 found wrong, 2 wrong use).

mod admin;
mod audit;
mod catalog;
mod check;
mod explain;
mod fleet;
mod keys;
mod ledger;
mod out;
mod plugin;
mod serve;
mod spend;
mod store;
mod take_over;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::ledger::Ledger;
use crate::telemetry::Log;

/// A self-hosted, OpenAI-compatible gateway for language models. Which model serves a request is decided by WebAssembly policies.
#[derive(Debug, Parser)]
#[command(
    name = "pointsman",
    version,
    arg_required_else_help = true,
    after_help = "Example:\n  pointsman check --print > pointsman.toml\n  pointsman serve --config pointsman.toml"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Configuration file; without it `pointsman.toml` in the working directory, else built-in defaults
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the gateway
    #[command(
        after_help = "Examples:\n  pointsman serve --config pointsman.toml\n  pointsman serve --config pointsman.toml --take-over\n\nPOINTSMAN_LOG sets what is logged: warn, info, debug, or pointsman::reload=debug."
    )]
    Serve {
        /// Take the listeners and the store over from the gateway that serves from this store: no connection is refused or
        /// reset, and that one ends when its requests have ended
        #[arg(long)]
        take_over: bool,
    },
    /// Check the configuration and every plugin in it; all mistakes at once, with line and column
    #[command(after_help = "Example:\n  pointsman check --config pointsman.toml")]
    Check {
        /// Print the configuration's text, the built-in defaults included
        #[arg(long)]
        print: bool,
    },
    /// Say where requests would go, by which policy version, and why; no provider is called
    #[command(
        after_help = "Examples:\n  pointsman explain request.json\n  pointsman explain requests.jsonl > decisions.jsonl\n\nA request is a chat completion's body, or {\"body\": {…}, \"id\": \"…\", \"headers\": {…}, \"now_ms\": 0, \"key\": \"…\"}. The\nid decides what is left to chance; without one it is made from the body, so that the same request is explained the\nsame way. The key is a declared one's name."
    )]
    Explain(explain::Options),
    /// Make, list, rotate and revoke keys for callers
    #[command(
        subcommand,
        after_help = "Example:\n  pointsman keys create --name ci --budget-usd 100 --period month\n  pointsman keys list\n  pointsman keys revoke 3k9x0a8m2p7q"
    )]
    Keys(keys::KeysCommand),
    /// Make, list and end tokens for the admin listener
    #[command(
        subcommand,
        after_help = "Example:\n  pointsman admin create --name ops --role write\n  pointsman admin list"
    )]
    Admin(admin::AdminCommand),
    /// Check the log of what operators have changed
    #[command(subcommand, after_help = "Example:\n  pointsman audit check")]
    Audit(audit::AuditCommand),
    /// See what is known of models and their prices, and take newer lists
    #[command(
        subcommand,
        after_help = "Example:\n  pointsman catalog show anthropic/claude-sonnet-4-5\n  pointsman catalog update https://models.dev/api.json"
    )]
    Catalog(catalog::CatalogCommand),
    /// Say what was spent: by key, team, model, provider, route, label or day
    #[command(
        after_help = "Examples:\n  pointsman spend --by team,model\n  pointsman spend --by day --from -7d --route auto\n  pointsman spend --by label --from 2026-10-01 --to 2026-11-01 --format csv > october.csv\n\nThe month so far, where nothing is said. Savings are what the same tokens would have cost at the route's reference\nmodel, less what they cost."
    )]
    Spend(spend::Options),
    /// Check, copy, export and correct what is kept
    #[command(
        subcommand,
        after_help = "Examples:\n  pointsman store check\n  pointsman store backup copy.db\n  pointsman store export --from -1d\n  pointsman store correct 4711 --by-usd -0.50 --reason refunded"
    )]
    Store(store::StoreCommand),
    /// See the gateways that share budgets, and forget one that will not come back
    #[command(
        subcommand,
        after_help = "Example:\n  pointsman fleet list\n  pointsman fleet forget gateway-3"
    )]
    Fleet(fleet::FleetCommand),
    /// Work on plugins
    #[command(
        subcommand,
        after_help = "Example:\n  pointsman plugin new night --kind policy --lang js\n  pointsman plugin build night\n  pointsman plugin test night\n  pointsman plugin inspect night/night.wasm"
    )]
    Plugin(plugin::PluginCommand),
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// For whoever called it.
    pub code: ExitCode,
    /// To be closed when nothing runs any more.
    pub ledger: Ledger,
    /// To be flushed after that.
    pub log: Option<Log>,
}

/// Runs a command.
pub async fn run(arguments: Arguments) -> Ended {
    let mut ledger = Ledger::off();
    let quiet = !matches!(arguments.command, Command::Serve { .. });
    let log = start_log(arguments.log_format, quiet);
    let config = arguments.config.as_deref();
    let result = match arguments.command {
        Command::Serve { take_over } => serve::run(config, take_over).await.map(|served| ledger = served),
        Command::Check { print } => check::run(config, print).await,
        Command::Explain(options) => explain::run(config, &options).await,
        Command::Keys(command) => keys::run(config, command),
        Command::Admin(command) => admin::run(config, command),
        Command::Audit(command) => audit::run(config, command),
        Command::Catalog(command) => catalog::run(config, &command).await,
        Command::Spend(options) => spend::run(config, &options),
        Command::Store(command) => store::run(config, command).await,
        Command::Fleet(command) => fleet::run(config, command).await,
        Command::Plugin(command) => plugin::run(config, &command).await,
    };
    let code = match result {
        // For a gateway, what it says of itself at its start is no output.
        Ok(()) if quiet && out::has_failed() => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            log.iter().for_each(Log::flush);
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    };
    Ended { code, ledger, log }
}

/// To standard error, so that a command's output can be piped. A gateway that serves never waits for whoever reads it.
fn start_log(format: LogFormat, quiet: bool) -> Option<Log> {
    let default = if quiet { "warn" } else { "info" };
    let filter = EnvFilter::try_from_env("POINTSMAN_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let log = if quiet { None } else { Log::start().ok() };
    let writer = match log.clone() {
        Some(log) => {
            // What panics would write by itself, and wait.
            std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
            BoxMakeWriter::new(log)
        }
        None => BoxMakeWriter::new(std::io::stderr),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let has_colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match format {
        LogFormat::Text => builder.with_ansi(has_colour).with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    log
}
