//! C: bindings are written to `bindings/`, then clang or zig, whichever is there.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use wit_bindgen_c::Opts;
use wit_bindgen_core::Files;

use super::tools::Search;
use super::{compile, encode, program, read};
use crate::cli::plugin::contract;
use crate::cli::plugin::manifest::Project;

const FLAGS: [&str; 5] = ["-mexec-model=reactor", "-Os", "-Wall", "-Ibindings", "-Wl,--strip-all"];

pub(super) fn build(project: &Project) -> Result<Vec<u8>> {
    let mut search = Search::new(project);
    let compiler = compiler(&search, project);
    if compiler.is_none() {
        search.lack(
            "a C compiler for WASI",
            "any of zig, the wasi-sdk, or clang with wasi-libc",
            "python3 -m venv .venv && .venv/bin/pip install ziglang==0.17.1, \
             or set WASI_SDK_PATH, or: apt-get install clang lld wasi-libc libclang-rt-dev-wasm32",
        );
    }
    search.end()?;
    let mut compiler = compiler.context("no compiler")?;
    bindings(project)?;
    let module = project.build_dir()?.join("core.wasm");
    compile(compiler.args(FLAGS).args(sources(project)?).arg("-o").arg(&module))?;
    encode::component(&read(&module)?)
}

fn compiler(search: &Search<'_>, project: &Project) -> Option<Command> {
    let target = "--target=wasm32-wasi";
    if let Some(sdk) = env::var_os("WASI_SDK_PATH") {
        let clang = Path::new(&sdk).join("bin/clang");
        if clang.is_file() {
            return Some(program(&clang, project));
        }
    }
    if let Some(clang) = search.find(&["clang"])
        && has_libc(program(&clang, project), target)
    {
        let mut clang = program(&clang, project);
        clang.arg(target);
        return Some(clang);
    }
    let mut zig = program(&search.find(&["zig", "python-zig"])?, project);
    zig.args(["cc", target]);
    Some(zig)
}

/// A clang of the system knows the target whether or not its library is installed.
fn has_libc(mut clang: Command, target: &str) -> bool {
    let output = clang.args([target, "-print-file-name=libc.a"]).output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_absolute())
}

fn bindings(project: &Project) -> Result<()> {
    let (mut resolve, world) = contract::resolve(&project.manifest)?;
    let mut files = Files::default();
    Opts::default()
        .build()
        .generate(&mut resolve, world, &mut files)
        .context("cannot generate bindings for C")?;
    files
        .iter()
        .try_for_each(|(name, contents)| contract::update(&project.dir.join("bindings").join(name), contents))
}

/// The plugin's own files, and what was generated: sources and the object that carries the contract.
fn sources(project: &Project) -> Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for folder in [project.dir.clone(), project.dir.join("bindings")] {
        let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = entry.with_context(|| folder.display().to_string())?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "c" || extension == "o")
            {
                sources.push(path);
            }
        }
    }
    sources.sort();
    Ok(sources)
}
