//! The contract, carried in the binary: as files for a plugin's `wit/`, and parsed for the generators of bindings. A
//! plugin's world has what its `plugin.toml` names and nothing else, because some toolchains import all that it offers.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use wit_parser::{Resolve, SourceMap, WorldId};

use super::manifest::{Kind, Manifest};

/// The package's files, as they stand in `wit/`.
const PACKAGE: &[(&str, &str)] = &[
    ("adapter.wit", include_str!("../../../../wit/adapter.wit")),
    ("catalog.wit", include_str!("../../../../wit/catalog.wit")),
    ("host.wit", include_str!("../../../../wit/host.wit")),
    ("policy.wit", include_str!("../../../../wit/policy.wit")),
];
const VERSION: &str = "0.1.0";
/// The world's name in every plugin's `wit/`.
pub(super) const WORLD: &str = "plugin";

/// Writes `wit/`: the world of this plugin and the package that it is made of. Files that are so already keep their time,
/// so that nothing is built again for them.
pub(super) fn write(dir: &Path, manifest: &Manifest) -> Result<()> {
    let wit = dir.join("wit");
    let package = wit.join("deps/pointsman-plugin");
    fs::create_dir_all(&package).with_context(|| format!("cannot make {}", package.display()))?;
    update(&wit.join("world.wit"), world(manifest).as_bytes())?;
    PACKAGE
        .iter()
        .try_for_each(|(name, text)| update(&package.join(name), text.as_bytes()))
}

/// The plugin's world, and all that it refers to.
pub(super) fn resolve(manifest: &Manifest) -> Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    let mut files = SourceMap::new();
    for (name, text) in PACKAGE {
        files.push_str(name, *text);
    }
    let package = files
        .parse()
        .map_err(|(files, error)| anyhow::anyhow!(error.render(&files)))?;
    resolve.push_group(package)?;
    let own = resolve.push_source("world.wit", &world(manifest))?;
    let id = resolve.select_world(&[own], Some(WORLD))?;
    Ok((resolve, id))
}

fn world(manifest: &Manifest) -> String {
    let kind = manifest.kind;
    let mut world = format!(
        "// Written by `pointsman plugin build` from plugin.toml; change that file, not this one.\n\
         package local:plugin;\n\nworld {WORLD} {{\n  include pointsman:plugin/{kind}@{VERSION};\n"
    );
    if kind == Kind::Policy {
        let imports = manifest.imports.iter().map(|import| import.name());
        for import in manifest.grants.iter().map(String::as_str).chain(imports) {
            let _ = writeln!(world, "  import pointsman:plugin/{import}@{VERSION};");
        }
        for hook in &manifest.hooks {
            let _ = writeln!(world, "  export pointsman:plugin/{}@{VERSION};", hook.name());
        }
    }
    world.push_str("}\n");
    world
}

/// Writes a file unless it holds this already.
pub(super) fn update(file: &Path, contents: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|old| old == contents) {
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(file, contents).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_carries_every_file_of_the_contract() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.ends_with(".wit"))
            .collect();
        names.sort();
        assert_eq!(names, PACKAGE.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }

    #[test]
    fn a_world_has_what_the_manifest_names_and_nothing_else() {
        let manifest: Manifest = toml::from_str(
            "name = \"night\"\nkind = \"policy\"\nlang = \"go\"\ngrants = [\"state\"]\nimports = [\"timeouts\"]\nhooks = [\"outcome\"]",
        )
        .unwrap();
        let (resolve, id) = resolve(&manifest).unwrap();
        let world = &resolve.worlds[id];
        let names = |keys: Vec<&wit_parser::WorldKey>| keys.iter().map(|key| resolve.name_world_key(key)).collect();
        let imports: Vec<String> = names(world.imports.keys().collect());
        let exports: Vec<String> = names(world.exports.keys().collect());
        for named in ["state", "timeouts"] {
            let named = format!("pointsman:plugin/{named}@0.1.0");
            assert!(imports.contains(&named), "{imports:?}");
        }
        assert!(!imports.iter().any(|name| name.contains("/models@")), "{imports:?}");
        assert!(
            exports.contains(&"pointsman:plugin/outcome@0.1.0".to_owned()),
            "{exports:?}"
        );
        assert!(!exports.iter().any(|name| name.contains("/review@")), "{exports:?}");
    }
}
