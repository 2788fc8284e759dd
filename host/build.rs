//! Embeds the plugins in the box: builds them into components and writes `$OUT_DIR/builtin.rs`, which the plugin
//! loader includes. Makes the stub of WASI for plugins of users' own. Runs again only when something that a plugin is made of has changed, never for a change in `src/`.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xtask::plugins::{self, BuiltPlugin, Selection};
use xtask::{nested, workspace};

/// What `plugin build` gives to languages whose compilers know nothing but the first WASI.
const WASI_STUB: &str = "templates/shim/wasi-stub.wat";

fn main() -> Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    let target = nested::target_dir_above(&out).unwrap_or(&out).join("plugins");
    let built = plugins::build(&target, &Selection::All)?;
    fs::write(out.join("builtin.rs"), table(&built, &out)?).context("cannot write builtin.rs")?;
    fs::write(out.join("dialects.rs"), dialects(&built)?).context("cannot write dialects.rs")?;
    fs::write(out.join("wasi-stub.wasm"), wat::parse_file(WASI_STUB)?).context("cannot write wasi-stub.wasm")?;
    watch(&built);
    Ok(())
}

/// Sources that are written here name no folder of the machine: what they say goes into the digests of what is compiled.
fn table(built: &[BuiltPlugin], out: &Path) -> Result<String> {
    let mut table = String::from(
        "/// The plugins in the box: kind (`policy` or `adapter`), name, component.\n\
         static BUILTIN: &[(&str, &str, &[u8])] = &[\n",
    );
    for BuiltPlugin { plugin, path, .. } in built {
        let kind = plugin.kind.as_str();
        let file = format!("{kind}-{}.wasm", plugin.name);
        fs::copy(path, out.join(&file)).with_context(|| format!("cannot copy {}", path.display()))?;
        writeln!(
            table,
            "    ({kind:?}, {:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\"))),",
            plugin.name
        )?;
    }
    table.push_str("];\n");
    Ok(table)
}

/// Providers that speak nearly as an adapter's own does: each is a file in the adapter's folder `providers/`.
fn dialects(built: &[BuiltPlugin]) -> Result<String> {
    let mut table = String::from(
        "/// Providers that are an adapter with settings: name, adapter, the file's text.\n\
         static DIALECTS: &[(&str, &str, &str)] = &[\n",
    );
    for BuiltPlugin { plugin, .. } in built {
        let Ok(folder) = fs::read_dir(plugin.folder.join("providers")) else {
            continue;
        };
        let mut files = folder.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        files.retain(|file| file.extension().is_some_and(|ending| ending == "toml"));
        files.sort();
        for file in files {
            let name = file.file_stem().and_then(|name| name.to_str());
            let name = name.with_context(|| format!("{} is not UTF-8", file.display()))?;
            let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            writeln!(table, "    ({name:?}, {:?}, {text:?}),", plugin.name)?;
        }
    }
    table.push_str("];\n");
    Ok(table)
}

/// A new plugin needs no line of its own: it is a new member of the workspace, which shows in `Cargo.lock`. Golden files
/// are left out, because a component does not depend on them.
fn watch(built: &[BuiltPlugin]) {
    let folders = built
        .iter()
        .map(|built| built.plugin.folder.as_path())
        .chain([Path::new("plugin-sdk")]);
    let sources = folders
        .flat_map(|folder| [folder.join("src"), folder.join("Cargo.toml"), folder.join("providers")])
        .filter(|path| path.ends_with("Cargo.toml") || workspace().join(path).exists());
    let shared = ["wit", "Cargo.toml", "Cargo.lock"].into_iter().map(PathBuf::from);
    println!("cargo::rerun-if-changed={WASI_STUB}");
    for path in sources.chain(shared) {
        println!("cargo::rerun-if-changed={}", workspace().join(path).display());
    }
}
