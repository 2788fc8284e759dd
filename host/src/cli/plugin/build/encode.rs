//! From a core module to a component, in this process: users need no further tools for it.

use anyhow::{Context, Result};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::cli::plugin::contract;
use crate::cli::plugin::manifest::Project;

/// Preview 1 of WASI without any imports: the clock ticks by itself, output is swallowed, there are no files. The
/// component that results imports no WASI at all.
static WASI_STUB: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/wasi-stub.wasm"));

/// The component of a module that carries the contract itself, as bindings for Rust and C make it.
pub(super) fn component(module: &[u8]) -> Result<Vec<u8>> {
    let is_component = module.get(4..8) == Some(&[0x0d, 0, 1, 0]);
    if is_component {
        return Ok(module.to_vec());
    }
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| encoder.adapter("wasi_snapshot_preview1", WASI_STUB))
        .and_then(|encoder| encoder.encode())
        .context("the compiled module makes no component")
}

/// The component of a module that does not carry the contract.
pub(super) fn embedded(project: &Project, mut module: Vec<u8>) -> Result<Vec<u8>> {
    let (resolve, world) = contract::resolve(&project.manifest)?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
        .context("the contract cannot be added to the module")?;
    component(&module)
}
