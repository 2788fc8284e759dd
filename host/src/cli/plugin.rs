//! `pointsman plugin …`: a plugin from its first file to the component that is in service. Each command is a file; what a
//! plugin's folder says of itself is in `manifest`, the contract that it is built against in `contract`.

mod build;
mod contract;
mod inspect;
mod manifest;
mod new;
mod running;
mod templates;
mod test;
mod typings;

use std::path::Path;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Make the folder of a new plugin, that builds, tests and deploys as it stands
    #[command(
        after_help = "Examples:\n  pointsman plugin new night --kind policy --lang python\n  pointsman plugin new acme --kind adapter --lang rust"
    )]
    New(new::Options),
    /// Build the plugin of a folder into a component, with the toolchain of its language
    #[command(
        after_help = "Examples:\n  pointsman plugin build\n  pointsman plugin build night -o plugins/night.wasm\n\nThe folder's plugin.toml names the language. What is missing on this machine is listed with the command that gets it."
    )]
    Build(build::Options),
    /// Put the plugin's golden files, and odd requests, to its component
    #[command(
        after_help = "Examples:\n  pointsman plugin test\n  pointsman plugin test night --fuzz 5000 --seed 7\n  pointsman plugin test night --replay night/build/odd-7-123.json\n\nThe component runs in the gateway's own engine with the gateway's limits. Golden files are golden/*.json."
    )]
    Test(test::Options),
    /// Show what a component is: its world, the grants that it needs, exports, digest, size, memory, time to compile
    #[command(
        after_help = "Examples:\n  pointsman plugin inspect policy.wasm\n  pointsman plugin inspect night.wasm --admin http://127.0.0.1:8081 --name night\n\nWhere a gateway runs and the plugin is in service there, the difference to the running version is shown as well."
    )]
    Inspect(inspect::Options),
}

pub(super) async fn run(config: Option<&Path>, command: &PluginCommand) -> Result<(), String> {
    match command {
        PluginCommand::New(options) => new::run(options).map_err(|error| format!("{error:#}")),
        PluginCommand::Build(options) => build::run(options).map_err(|error| format!("{error:#}")),
        PluginCommand::Test(options) => test::run(options).await.map_err(|error| format!("{error:#}")),
        PluginCommand::Inspect(options) => inspect::run(config, options).await,
    }
}
