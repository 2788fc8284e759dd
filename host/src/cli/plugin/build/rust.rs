//! Rust: cargo. For a target without WASI unless plugin.toml names another.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::tools::Search;
use super::{compile, encode, program, read};
use crate::cli::plugin::manifest::Project;

const TARGET: &str = "wasm32-unknown-unknown";

pub(super) fn build(project: &Project) -> Result<Vec<u8>> {
    let target = project.manifest.target.as_deref().unwrap_or(TARGET);
    let mut search = Search::new(project);
    let cargo = search.need("cargo", "Rust's build tool", "get Rust from https://rustup.rs");
    let rustc = search.need("rustc", "Rust's compiler", "get Rust from https://rustup.rs");
    if !rustc.as_os_str().is_empty() && !has_target(program(&rustc, project), target) {
        let what = format!("Rust's standard library for {target}");
        search.lack(target, &what, &format!("rustup target add {target}"));
    }
    search.end()?;
    // In its own target directory, wherever the user's other builds go.
    compile(
        program(&cargo, project)
            .args([
                "build",
                "--quiet",
                "--release",
                "--lib",
                "--target",
                target,
                "--target-dir",
                "target",
            ])
            .env_remove("CARGO_BUILD_TARGET"),
    )?;
    let module = project
        .dir
        .join("target")
        .join(target)
        .join("release")
        .join(module_name(project)?);
    encode::component(&read(&module)?)
}

fn has_target(mut rustc: Command, target: &str) -> bool {
    let output = rustc.args(["--print", "target-libdir", "--target", target]).output();
    output.is_ok_and(|output| {
        output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    })
}

/// As cargo names it: after the library, or else after the package.
fn module_name(project: &Project) -> Result<String> {
    #[derive(Deserialize)]
    struct Cargo {
        package: Named,
        lib: Option<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        name: Option<String>,
    }
    let file = project.dir.join("Cargo.toml");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let cargo: Cargo = toml::from_str(&text).with_context(|| file.display().to_string())?;
    let name = cargo.lib.and_then(|lib| lib.name).or(cargo.package.name);
    let name = name.with_context(|| format!("{}: the package has no name", file.display()))?;
    Ok(format!("{}.wasm", name.replace('-', "_")))
}
