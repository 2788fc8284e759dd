//! JavaScript and TypeScript: esbuild makes one module of all files, an engine in a component runs it.

use anyhow::Result;

use super::tools::Search;
use super::{program, quietly, read};
use crate::cli::plugin::contract::{self, WORLD};
use crate::cli::plugin::manifest::{Engine, Lang, Project};
use crate::cli::plugin::typings;

/// package.json has the versions.
const REMEDY: &str = "npm install (in the plugin's folder; npm comes with Node.js, https://nodejs.org)";

pub(super) fn build(project: &Project) -> Result<Vec<u8>> {
    let is_typed = project.manifest.lang == Lang::Ts;
    let mut search = Search::new(project);
    search.need(
        "node",
        "which runs the tools below",
        "get Node.js 20 or newer from https://nodejs.org",
    );
    let esbuild = search.need("esbuild", "the bundler", REMEDY);
    let tsc = match is_typed {
        true => Some(search.need("tsc", "the compiler of TypeScript", REMEDY)),
        false => None,
    };
    let (engine, what, remedy) = match project.manifest.engine {
        Engine::QuickJs => ("componentize-qjs", "which makes a component with QuickJS", REMEDY),
        Engine::StarlingMonkey => (
            "componentize-js",
            "which makes a component with StarlingMonkey",
            "npm install @bytecodealliance/componentize-js@0.23.0 @bytecodealliance/preview2-shim@0.25.0 (in the plugin's folder)",
        ),
    };
    let engine = search.need(engine, what, remedy);
    search.end()?;

    let types = project.dir.join("types/pointsman.d.ts");
    contract::update(&types, typings::of(&project.manifest)?.as_bytes())?;
    if let Some(tsc) = tsc {
        quietly(program(&tsc, project).args(["--noEmit", "--pretty", "false"]))?;
    }
    let default = if is_typed { "plugin.ts" } else { "plugin.js" };
    let source = project.manifest.source.as_deref().unwrap_or(default);
    let build = project.build_dir()?;
    let (bundle, component) = (build.join("plugin.js"), build.join("component.wasm"));
    quietly(
        program(&esbuild, project)
            .arg(source)
            .args([
                "--bundle",
                "--format=esm",
                "--platform=neutral",
                "--target=es2022",
                "--charset=utf8",
            ])
            .args([
                "--main-fields=module,main",
                "--external:pointsman:*",
                "--log-level=warning",
            ])
            .arg(format!("--outfile={}", bundle.display())),
    )?;
    let mut make = program(&engine, project);
    match project.manifest.engine {
        Engine::QuickJs => make
            .args(["--sync", "--stub-wasi", "--wit", "wit", "--world", WORLD, "--js"])
            .arg(bundle)
            .arg("--output"),
        Engine::StarlingMonkey => make
            .arg(bundle)
            .args(["--wit", "wit", "--world-name", WORLD])
            .args(["--disable", "stdio", "random", "clocks", "http", "fetch-event"])
            .arg("--out"),
    };
    quietly(make.arg(&component))?;
    read(&component)
}
