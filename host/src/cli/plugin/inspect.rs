//! `pointsman plugin inspect`: what a component is, before anybody trusts it, and how it differs from the version that a
//! running gateway serves with (`running`).

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::running::{self, Running};
use crate::cli::out::{put, say};
use crate::plugins::{self, Engine, EngineConfig, Inspection, PluginSource};
use crate::reload::built_in;

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// The component; or the name of a policy in the box, where there is no such file
    file: PathBuf,
    /// The plugin's name in the configuration, to compare with; without it the one whose file this is, or that is called as it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The admin listener of the gateway to compare with; without it the configuration's
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of a policy's configuration, and nothing else
    #[arg(long, conflicts_with_all = ["json", "name", "admin"])]
    schema: bool,
}

pub(super) async fn run(config: Option<&Path>, options: &Options) -> Result<(), String> {
    let file = options.file.display();
    let bytes = component(&options.file).map_err(|error| format!("{file}: {error}"))?;
    let engine = EngineConfig {
        cache_dir: None,
        slots: 1,
        ..EngineConfig::default()
    };
    let engine = Engine::new(&engine).map_err(|error| format!("the plugin engine: {error:#}"))?;
    let inspection = plugins::inspect(&engine, &bytes).map_err(|error| format!("{file}: {error}"))?;
    if options.schema {
        return schema(&engine, bytes, &inspection).map_err(|error| format!("{file}: {error}"));
    }
    let running = running::find(config, options.admin.as_deref(), options.name.as_deref(), &options.file).await?;
    if options.json {
        say!("{:#}", as_json(&inspection, &running));
    } else {
        put!("{}{}", as_table(&inspection), running.told(&inspection));
    }
    Ok(())
}

fn component(file: &Path) -> std::io::Result<Vec<u8>> {
    let boxed = || {
        file.to_str()
            .and_then(|name| built_in("policy", name))
            .map(<[u8]>::to_vec)
    };
    std::fs::read(file).or_else(|error| boxed().ok_or(error))
}

fn schema(engine: &Engine, bytes: Vec<u8>, inspection: &Inspection) -> Result<(), String> {
    if inspection.world != Some(plugins::World::Policy) {
        return Err("only a policy has a configuration".to_owned());
    }
    let source = PluginSource::new("inspected", bytes);
    let schema = plugins::config_schema(engine, &source, &inspection.grants).map_err(|error| error.to_string())?;
    match schema.trim() {
        "" => Err("it gives no schema of its configuration".to_owned()),
        schema => {
            say!("{schema}");
            Ok(())
        }
    }
}

fn world(inspection: &Inspection) -> String {
    inspection.world.map_or_else(
        || "none: neither a policy nor an adapter".to_owned(),
        |world| world.to_string(),
    )
}

fn as_json(inspection: &Inspection, running: &Running) -> Value {
    json!({
        "world": inspection.world.map(|world| world.to_string()),
        "digest": inspection.digest.to_string(),
        "size": inspection.size,
        "imports": inspection.imports.iter().map(|import| json!({
            "name": import.name, "needs": import.needs, "offered": import.is_offered,
        })).collect::<Vec<_>>(),
        "grants": inspection.grants.iter().map(|grant| grant.name()).collect::<Vec<_>>(),
        "can_do_without_grants": inspection.can_do_without,
        "exports": inspection.exports,
        "memories": inspection.memories,
        "initial_memory_bytes": inspection.initial_memory_bytes,
        "compile_ms": inspection.compile_time.as_millis() as u64,
        "running": running.plugin(),
    })
}

fn as_table(inspection: &Inspection) -> String {
    let mut text = format!("world     {}\n", world(inspection));
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<10}{value}\n"));
    line("digest", format!("sha256:{}", inspection.digest));
    line("size", format!("{} bytes", inspection.size));
    line(
        "memory",
        format!(
            "{} bytes in {} memories at the start",
            inspection.initial_memory_bytes, inspection.memories
        ),
    );
    line("compile", format!("{} ms", inspection.compile_time.as_millis()));
    let grants: Vec<&str> = inspection.grants.iter().map(|grant| grant.name()).collect();
    line(
        "grants",
        if grants.is_empty() {
            "none needed".to_owned()
        } else if inspection.can_do_without {
            format!("{} (none of them needed to load it)", grants.join(", "))
        } else {
            grants.join(", ")
        },
    );
    for import in &inspection.imports {
        let mark = if import.is_offered { "" } else { "  (not offered)" };
        line("import", format!("{}  {}{mark}", import.name, import.needs));
    }
    for export in &inspection.exports {
        line("export", export.clone());
    }
    text
}
