//! `pointsman plugin …`: a plugin from its first file to the component that is in service. Each command is a file; what a
//! plugin's folder says of itself is in `manifest`, the contract that it is built against in `contract`.

mod build;
mod contract;
mod inspect;
mod manifest;
mod new;
mod templates;
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
    /// Show what a component is: its world, the grants that it needs, exports, digest, size, memory, time to compile
    #[command(after_help = "Example:\n  pointsman plugin inspect policy.wasm")]
    Inspect(inspect::Options),
}

pub(super) async fn run(config: Option<&Path>, command: &PluginCommand) -> Result<(), String> {
    let _ = config;
    match command {
        PluginCommand::New(options) => new::run(options).map_err(|error| format!("{error:#}")),
        PluginCommand::Build(options) => build::run(options).map_err(|error| format!("{error:#}")),
        PluginCommand::Inspect(options) => inspect::run(options),
    }
}
