//! Guests for the gateway to survive: the sources in `tests/guests/`, made into components, and files that only look like
//! components. Everything is built once and kept; a test asks for what it needs by name.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use wit_component::{DecodedWasm, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;
use xtask::nested::{self, Build};
use xtask::{component, plugins, workspace};

/// What these do goes through WASI, so they are built for a target that has it. All others have none.
const WITH_WASI: &[&str] = &["exits", "opens-sockets", "prints", "reads-files"];

/// Functions that a guest in `wat/` has unless it brings its own: it accepts every configuration and passes every request.
/// The answers are records at address 16, where memory is zero unless the guest says otherwise; what is handed out to
/// the host begins at 64 KiB.
const WELL_BEHAVED: &[(&str, &str)] = &[
    ("(func $load", "(func $load (param i32 i32) (result i32) (i32.const 8))"),
    ("(func $schema", "(func $schema (result i32) (i32.const 1000))"),
    (
        "(func $decide",
        "(func $decide (param i32) (result i32) (i32.const 16))",
    ),
    (
        "(func $realloc",
        "(func $realloc (param i32 i32 i32 i32) (result i32) (call $allocate (local.get 2) (local.get 3)))",
    ),
];

/// What every guest in `wat/` has: memory, the text `{}` as its schema, an allocator that only goes forward, the exports.
const FRAME: &str = r#"
(memory (export "memory") 64)
(data (i32.const 1000) "\f0\03\00\00" "\02\00\00\00" "{}")
(global $top (mut i32) (i32.const 65536))
(func $allocate (param $align i32) (param $size i32) (result i32)
  (local $at i32)
  (local.set $at (i32.and
    (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
    (i32.sub (i32.const 0) (local.get $align))))
  (global.set $top (i32.add (local.get $at) (local.get $size)))
  (local.get $at))
(export "cabi_realloc" (func $realloc))
(export "pointsman:plugin/configure@0.1.0#load" (func $load))
(export "pointsman:plugin/configure@0.1.0#schema" (func $schema))
(export "pointsman:plugin/route@0.1.0#decide" (func $decide))
"#;

/// The world of the guests in `wat/`: a policy that may ask for the store.
const WORLD: &str = "
package pointsman:guests;
world guest {
  include pointsman:plugin/policy@0.1.0;
  import pointsman:plugin/state@0.1.0;
}";

/// The names of all guests, from both folders.
pub fn names() -> Vec<String> {
    let mut names = files("wat", "wat");
    names.extend(files("examples", "rs"));
    names
}

/// A guest as a component.
pub fn component(name: &str) -> Vec<u8> {
    let built = if files("wat", "wat").iter().any(|known| known == name) {
        hand_written(name)
    } else {
        compiled(name)
    };
    built.unwrap_or_else(|error| panic!("the guest `{name}` cannot be built: {error:#}"))
}

/// A build of the guest `says-its-version` that says this number, in four digits: `version 0007`.
pub fn version(number: u32) -> Vec<u8> {
    const MARK: &[u8] = b"version 0000";
    let mut bytes = component("says-its-version");
    let at = bytes.windows(MARK.len()).position(|window| window == MARK);
    let at = at.expect("the guest does not say its version");
    bytes[at..at + MARK.len()].copy_from_slice(format!("version {number:04}").as_bytes());
    bytes
}

/// A guest in `wat/` as a core module, which is not a component.
pub fn core_module(name: &str) -> Vec<u8> {
    module(name).unwrap_or_else(|error| panic!("the guest `{name}` cannot be built: {error:#}"))
}

/// The beginning of a component, as a copy that has not finished leaves it.
pub fn truncated(name: &str) -> Vec<u8> {
    let mut bytes = component(name);
    bytes.truncate(bytes.len() / 2);
    bytes
}

/// What a file of native code compiled from a plugin begins with. Running one would be running whatever it contains.
pub fn native_code() -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\xc8".to_vec();
    bytes.resize(4096, 0);
    // The flag by which wasmtime knows a component of its own.
    bytes[48] = 2;
    bytes
}

/// A component that is well formed and of this size: all but a few bytes are a custom section that nobody reads.
pub fn padded(name: &str, size: usize) -> Vec<u8> {
    let mut bytes = component(name);
    let padding = size.saturating_sub(bytes.len() + 10);
    let payload = u32::try_from(padding + 4).expect("a section of at most 4 GiB");
    bytes.push(0);
    bytes.extend((0..5).map(|group| (payload >> (7 * group)) as u8 & 0x7f | if group < 4 { 0x80 } else { 0 }));
    bytes.extend(b"\x03pad");
    bytes.resize(bytes.len() + padding, 0);
    bytes
}

/// What a component imports, `pointsman:plugin/log@0.1.0` say.
pub fn imports(component: &[u8]) -> Vec<String> {
    let decoded = wit_component::decode(component).expect("not a component");
    let DecodedWasm::Component(wit, world) = decoded else {
        panic!("a package of WIT, not a component")
    };
    wit.worlds[world]
        .imports
        .keys()
        .map(|name| wit.name_world_key(name))
        .collect()
}

fn files(folder: &str, extension: &str) -> Vec<String> {
    let folder = workspace().join("tests/guests").join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
    let names = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        path.extension()
            .is_some_and(|found| found == extension)
            .then(|| path.file_stem()?.to_str().map(str::to_owned))?
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn hand_written(name: &str) -> Result<Vec<u8>> {
    component::from_module(&module(name)?)
}

/// Imports have to come before everything else in a module, so the frame comes after the guest.
fn module(name: &str) -> Result<Vec<u8>> {
    let path = workspace().join(format!("tests/guests/wat/{name}.wat"));
    let guest = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let missing = WELL_BEHAVED
        .iter()
        .filter(|(head, _)| !guest.contains(head))
        .map(|(_, function)| *function);
    let text = format!("(module\n{guest}\n{FRAME}\n{})", missing.collect::<Vec<_>>().join("\n"));
    let mut module = wat::parse_str(&text)?;
    let mut wit = Resolve::default();
    wit.push_dir(workspace().join("wit"))?;
    let package = wit.push_str("guests.wit", WORLD)?;
    let world = wit.select_world(&[package], Some("guest"))?;
    embed_component_metadata(&mut module, &wit, world, StringEncoding::UTF8, false)?;
    Ok(module)
}

fn compiled(name: &str) -> Result<Vec<u8>> {
    static WITHOUT_WASI: OnceLock<Result<(), String>> = OnceLock::new();
    static WASI: OnceLock<Result<(), String>> = OnceLock::new();
    let has_wasi = WITH_WASI.contains(&name);
    let target = if has_wasi { "wasm32-wasip2" } else { plugins::TARGET };
    let once = if has_wasi { &WASI } else { &WITHOUT_WASI };
    once.get_or_init(|| build(has_wasi, target).map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(anyhow::Error::msg)?;

    let file = format!("{}.wasm", name.replace('-', "_"));
    let built = target_dir()
        .join(target)
        .join(nested::PROFILE)
        .join("examples")
        .join(file);
    let bytes = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    // The compiler makes a component of its own where there is WASI.
    if has_wasi {
        Ok(bytes)
    } else {
        component::from_module(&bytes)
    }
}

/// Builds all compiled guests for one target at once; the others stay as they are.
fn build(has_wasi: bool, target: &str) -> Result<()> {
    let guests = files("examples", "rs")
        .into_iter()
        .filter(|name| WITH_WASI.contains(&name.as_str()) == has_wasi);
    let what: Vec<String> = ["--package".to_owned(), "guests".to_owned()]
        .into_iter()
        .chain(guests.flat_map(|name| ["--example".to_owned(), name]))
        .collect();
    ensure!(what.len() > 2, "there is no guest for {target}");
    let manifest = workspace().join("Cargo.toml");
    Build {
        manifest: &manifest,
        target_dir: &target_dir(),
        target,
        what: &what,
    }
    .run()?;
    Ok(())
}

/// Where guests are built: the same as for the plugins in the box, so that what they share is there already.
pub fn target_dir() -> PathBuf {
    let test = env::current_exe().expect("the test does not know where it is");
    nested::target_dir_above(&test)
        .expect("the test is not in a target directory")
        .join("plugins")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guest_becomes_a_component() {
        for name in names() {
            let bytes = component(&name);
            assert_eq!(&bytes[..8], b"\0asm\x0d\0\x01\0", "{name}");
        }
    }

    #[test]
    fn a_padded_guest_is_as_large_as_asked_and_still_a_component() {
        let bytes = padded("well-behaved", 100_000);
        assert_eq!(bytes.len(), 100_000);
        wit_component::decode(&bytes).unwrap();
    }
}
