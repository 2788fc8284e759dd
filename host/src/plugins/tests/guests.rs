//! Guests for the tests, each a few lines of WebAssembly text around what it does wrong, made into components of the
//! project's own worlds.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What a policy's functions do; the rest is the same for all.
pub(super) struct PolicyText<'a> {
    /// Imports, functions and globals besides.
    pub(super) items: &'a str,
    /// Body of `configure.load`; the text is at `$text` and has `$len` bytes.
    pub(super) load: &'a str,
    /// Body of `route.decide`.
    pub(super) decide: &'a str,
}

impl Default for PolicyText<'_> {
    fn default() -> Self {
        PolicyText {
            items: "",
            load: ZEROS,
            decide: ZEROS,
        }
    }
}

/// A pointer to zeros, which every result type reads as success: nothing to say, `pass`, no chunks.
pub(super) const ZEROS: &str = "(i32.const 512)";

/// A pointer to a plan without steps, whose reason is the one character in `$digit`.
pub(super) const REASON: &str = "(i32.store8 (i32.const 400) (global.get $digit)) (i32.const 256)";

/// What `REASON` needs: the plan, with a reason of one byte at 400.
pub(super) const REASON_ITEMS: &str = r#"
    (global $digit (mut i32) (i32.const 48))
    (data (i32.const 260) "\01")
    (data (i32.const 288) "\90\01\00\00\01\00\00\00")"#;

/// A component of the world `policy`.
pub(super) fn policy(text: PolicyText<'_>) -> Vec<u8> {
    policy_of("include pointsman:plugin/policy@0.1.0;", "", text)
}

/// A component of a world of its own, which may need packages of its own.
pub(super) fn policy_of(world: &str, packages: &str, text: PolicyText<'_>) -> Vec<u8> {
    let PolicyText { items, load, decide } = text;
    let module = format!(
        r#"(module
            {items}
            {ALLOCATOR}
            (func (export "pointsman:plugin/configure@0.1.0#load") (param $text i32) (param $len i32) (result i32) {load})
            (func (export "pointsman:plugin/configure@0.1.0#schema") (result i32) {ZEROS})
            (func (export "pointsman:plugin/route@0.1.0#decide") (param $inputs i32) (result i32) {decide}))"#
    );
    component(&module, world, packages)
}

/// A component of the world `adapter`: `encode` asks for the given path, `push` does what the body says.
pub(super) fn adapter(path: &str, items: &str, push: &str) -> Vec<u8> {
    let target = "i32 i32 i32 i32 i32 i32 i32 i32 i64";
    let len = path.len();
    let module = format!(
        r#"(module
            {items}
            {ALLOCATOR}
            (data (i32.const 16) "\60\00\00\00\01\00\00\00")
            (data (i32.const 132) "\c8\00\00\00\04\00\00\00\d0\00\00\00\{len:02x}\00\00\00")
            (data (i32.const 200) "POST")
            (data (i32.const 208) "{path}")
            (func (export "pointsman:plugin/describe@0.1.0#describe") (result i32) (i32.const 16))
            (func (export "pointsman:plugin/unary@0.1.0#encode") (param i32 {target} i32 i32 i32) (result i32)
                (i32.const 128))
            (func (export "pointsman:plugin/unary@0.1.0#decode") (param i32 {target} i32 i32) (result i32) {ZEROS})
            (func (export "pointsman:plugin/unary@0.1.0#explain") (param i32 i32 i32 i32 i32) (result i32) {ZEROS})
            (func (export "pointsman:plugin/streaming@0.1.0#begin") (param i32 {target}) (result i32) {ZEROS})
            (func (export "pointsman:plugin/streaming@0.1.0#push") (param i32 i32) (result i32) {push})
            (func (export "pointsman:plugin/streaming@0.1.0#finish") (result i32) {ZEROS}))"#
    );
    component(&module, "include pointsman:plugin/adapter@0.1.0;", "")
}

/// A module as a text says, without a component around it.
pub(super) fn module(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// Everything from the third page on is handed out; nothing is taken back.
const ALLOCATOR: &str = r#"
    (memory (export "memory") 3)
    (global $heap (mut i32) (i32.const 131072))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
        (global.set $heap (i32.add (local.get $at) (local.get 3)))
        (local.get $at))"#;

fn component(module: &str, world: &str, packages: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (contract, _) = resolve
        .push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit"))
        .unwrap();
    let text = format!("package test:guest; world guest {{ {world} }} {packages}");
    let package = resolve.push_str("guest.wit", &text).unwrap();
    let world = resolve
        .select_world(&[package, contract], Some("test:guest/guest"))
        .unwrap();
    let mut module = wat::parse_str(module).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .unwrap()
        .encode()
        .unwrap()
}
