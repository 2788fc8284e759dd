//! From a core module, as the compiler writes it, to a component. There is no WASI adapter here on purpose: a module
//! may import what its own world names and nothing else, and anything more is an error that names the import.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use wit_component::ComponentEncoder;

/// Encodes `module` into the file `component`, unless that is already newer; says whether it was written.
pub fn encode(module: &Path, component: &Path) -> Result<bool> {
    if is_fresh(module, component)? {
        return Ok(false);
    }
    let core = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let bytes = from_module(&core).with_context(|| format!("{} does not make a component", module.display()))?;
    replace(component, &bytes).with_context(|| format!("cannot write {}", component.display()))?;
    Ok(true)
}

/// The component of a core module that carries its contract in a custom section.
pub fn from_module(core: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(core)?.encode()
}

fn is_fresh(module: &Path, component: &Path) -> Result<bool> {
    let built = modified(module)?.with_context(|| format!("{} was not built", module.display()))?;
    Ok(modified(component)?.is_some_and(|encoded| encoded > built))
}

fn modified(file: &Path) -> io::Result<Option<SystemTime>> {
    match fs::metadata(file) {
        Ok(metadata) => metadata.modified().map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Two builds may write the same component at once; whoever reads it sees one of them whole.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = file.with_extension(format!("{}.part", std::process::id()));
    fs::write(&unfinished, bytes)?;
    fs::rename(&unfinished, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(module (import "env" "now" (func)))`
    const IMPORTS_NOW: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x0b\x01\x03env\x03now\0\0";

    #[test]
    fn an_import_that_no_world_names_is_refused_by_name() {
        let error = format!("{:#}", from_module(IMPORTS_NOW).unwrap_err());
        assert!(error.contains("env"), "{error}");
    }
}
