//! `pointsman check`: the configuration and every plugin in it, without opening a listener.

use std::path::Path;

use super::serve;
use crate::config::Source;

pub(super) async fn run(named: Option<&Path>, print: bool) -> Result<(), String> {
    let source = Source::find(named).map_err(|error| error.to_string())?;
    if print {
        print!("{}", source.text);
    }
    let config = source.load().map_err(|error| error.to_string())?;
    let generation = serve::load(config).await?;
    if !print {
        for warning in &generation.config.warnings {
            println!("warning: {warning}");
        }
        let (providers, models) = (generation.providers.len(), generation.models.len());
        let (policies, routes) = (generation.policies.len(), generation.routes.len());
        let name = source.name();
        println!("{name}: good: {providers} providers, {models} models, {policies} policies, {routes} routes");
    }
    Ok(())
}
