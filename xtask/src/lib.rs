//! Turns the crates under `plugins/` into WebAssembly components. A library, because three callers need the same
//! answer: the build script of `host` (which embeds them), the integration tests and `cargo xtask plugins`.
//! The commands themselves are in `main.rs`.

pub mod clients;
pub mod component;
pub mod languages;
pub mod nested;
pub mod packages;
pub mod plugins;
pub mod providers;
pub mod reference;
pub mod release;
pub mod sbom;
pub mod toolchains;

use std::path::Path;

/// The root of the workspace that this crate is part of.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}
