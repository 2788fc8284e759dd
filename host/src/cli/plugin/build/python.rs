//! Python: componentize-py, which carries CPython itself.

use std::path::Path;

use anyhow::{Context, Result};

use super::tools::Search;
use super::{program, quietly, read};
use crate::cli::plugin::contract::WORLD;
use crate::cli::plugin::manifest::Project;

pub(super) fn build(project: &Project) -> Result<Vec<u8>> {
    let mut search = Search::new(project);
    let componentize = search.need(
        "componentize-py",
        "which makes a component of Python",
        "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt (in the plugin's folder)",
    );
    search.end()?;
    let source = Path::new(project.manifest.source.as_deref().unwrap_or("main.py"));
    let module = source.file_stem().and_then(|stem| stem.to_str()).with_context(|| {
        format!(
            "`source` in plugin.toml is `{}`, expected a Python file",
            source.display()
        )
    })?;
    let folder = project.dir.join(source);
    let component = project.build_dir()?.join("component.wasm");
    let mut make = program(&componentize, project);
    let venv = project.dir.join(".venv");
    if venv.is_dir() {
        // Where the packages are that the plugin imports.
        make.env("VIRTUAL_ENV", venv);
    }
    make.args([
        "--wit-path",
        "wit",
        "--world",
        WORLD,
        "componentize",
        module,
        "--stub-wasi",
    ])
    .arg("--python-path")
    .arg(folder.parent().unwrap_or(&project.dir))
    .arg("--output");
    quietly(make.arg(&component))?;
    read(&component)
}
