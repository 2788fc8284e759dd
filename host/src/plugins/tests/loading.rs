//! What is refused when it is loaded, in which words, and what a grant gives.

use super::guests::{PolicyText, REASON, REASON_ITEMS, ZEROS};
use super::*;

#[test]
fn what_is_not_a_component_is_refused_with_what_to_do() {
    let module = guests::module("(module)");
    assert!(refusal(spec(module)).contains("core WebAssembly module, not a component"));
    let native = engine()
        .wasm()
        .precompile_component(&guests::policy(PolicyText::default()))
        .unwrap();
    assert!(refusal(spec(native)).contains(".cwasm"));
    assert!(refusal(spec(vec![])).contains("it is empty"));
    assert!(refusal(spec(b"#!/bin/sh\nexit".to_vec())).contains("begins with `#!/bin/s`"));
    let mut half = guests::policy(PolicyText::default());
    half.truncate(half.len() / 2);
    assert!(refusal(spec(half)).starts_with("the component does not compile: "));
}

#[test]
fn a_component_that_is_too_large_is_refused_unread() {
    let limits = Limits {
        component_bytes: 100,
        ..patient()
    };
    let component = guests::policy(PolicyText::default());
    let size = component.len();
    let refusal = refusal(PolicySpec {
        limits,
        ..spec(component)
    });
    assert_eq!(
        refusal,
        format!("the component has {size} bytes; the limit is 100 (limits.component_bytes)")
    );
}

#[test]
fn an_adapter_is_no_policy() {
    let refusal = refusal(spec(guests::adapter("/v1", "", ZEROS)));
    assert_eq!(
        refusal,
        "this is a component of world `adapter`; a policy is needed here"
    );
}

#[test]
fn a_component_that_needs_more_memory_than_it_may_have_is_refused() {
    let limits = Limits {
        memory_bytes: 64 << 10,
        ..patient()
    };
    let refusal = refusal(PolicySpec {
        limits,
        ..spec(guests::policy(PolicyText::default()))
    });
    assert_eq!(
        refusal,
        "the component needs 196608 bytes of memory to begin with; the limit is 65536 (limits.memory_bytes)"
    );
}

const COUNTS: &str = r#"
    (import "pointsman:plugin/state@0.1.0" "add" (func $add (param i32 i32 i64 i32 i64) (result i64)))
    (data (i32.const 600) "k")"#;

fn counting(load: &str) -> Vec<u8> {
    let items = format!("{COUNTS} {REASON_ITEMS}");
    let add = "(call $add (i32.const 600) (i32.const 1) (i64.const 1) (i32.const 0) (i64.const 0))";
    let decide = format!("(global.set $digit (i32.add (i32.const 48) (i32.wrap_i64 {add}))) {REASON}");
    let load = load.replace("ADD", add);
    let world = "include pointsman:plugin/policy@0.1.0; import pointsman:plugin/state@0.1.0;";
    guests::policy_of(
        world,
        "",
        PolicyText {
            items: &items,
            load: &load,
            decide: &decide,
        },
    )
}

#[test]
fn an_import_that_was_not_granted_is_named_with_its_grant() {
    assert_eq!(
        refusal(spec(counting(ZEROS))),
        "imports `pointsman:plugin/state@0.1.0`, which needs the grant `state`: add grants = [\"state\"] to \
         [policies.guest], or leave the import out of the plugin's world"
    );
}

#[test]
fn a_grant_that_there_is_not_yet_is_refused() {
    let refusal = refusal(PolicySpec {
        grants: vec![Grant::Fetch],
        ..spec(guests::policy(PolicyText::default()))
    });
    assert_eq!(
        refusal,
        "the grant `fetch` is not offered by this version of the gateway"
    );
}

#[tokio::test]
async fn state_is_shared_by_instances_and_kept_over_reloads() {
    let store = StateStore::default();
    for expected in ["1", "2", "3"] {
        let spec = PolicySpec {
            grants: vec![Grant::State],
            ..spec(counting(ZEROS))
        };
        let policy = Policy::load(&engine(), spec, &store).unwrap();
        assert_eq!(reason(&policy).await, expected);
    }
    assert_eq!(store.used_by("guest").keys, 1);
}

#[test]
fn state_is_not_to_be_had_while_configuring() {
    let spec = PolicySpec {
        grants: vec![Grant::State],
        ..spec(counting(&format!("(drop ADD) {ZEROS}")))
    };
    assert!(refusal(spec).contains("state cannot be used while the plugin is being configured"));
}

#[test]
fn inspecting_names_imports_and_the_grants_that_they_take() {
    let component = counting(ZEROS);
    let seen = inspect(&engine(), &component).unwrap();
    assert_eq!(
        (seen.world, seen.grants, seen.size),
        (Some(World::Policy), vec![Grant::State], component.len())
    );
    assert_eq!((seen.memories, seen.initial_memory_bytes), (1, 3 << 16));
    let state = seen
        .imports
        .iter()
        .find(|import| import.name == "pointsman:plugin/state@0.1.0")
        .unwrap();
    assert_eq!((state.needs.as_str(), state.is_offered), ("the grant `state`", true));
}
