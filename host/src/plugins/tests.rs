//! Plugins at their boundary: what well-behaved ones get, and that what the others do costs them one call and no more.

mod guests;

use std::sync::Arc;
use std::time::Duration;

use self::guests::{PolicyText, REASON, REASON_ITEMS, ZEROS};
use super::words::*;
use super::*;

const FOREVER: &str = "(loop $again (br $again)) (unreachable)";

/// Nobody looks at the clock here but guests that never end, so that a busy machine changes nothing.
fn patient() -> Limits {
    Limits {
        call_ms: 20_000,
        configure_ms: 20_000,
        ..Limits::default()
    }
}

fn hasty() -> Limits {
    Limits {
        call_ms: 20,
        configure_ms: 50,
        ..Limits::default()
    }
}

fn engine() -> Engine {
    Engine::new(&EngineConfig {
        cache_dir: None,
        slots: 16,
        ..EngineConfig::default()
    })
    .unwrap()
}

fn spec(component: Vec<u8>) -> PolicySpec {
    PolicySpec {
        source: PluginSource::new("guest", component),
        config_json: r#"{"a":1}"#.into(),
        grants: vec![],
        instances: Instances::Fresh,
        limits: patient(),
    }
}

/// On a thread of its own, as the gateway does it.
fn load(spec: PolicySpec) -> Result<Policy, LoadError> {
    let load = || Policy::load(&engine(), spec, &StateStore::default());
    std::thread::scope(|scope| scope.spawn(load).join().unwrap())
}

fn refusal(spec: PolicySpec) -> String {
    match load(spec) {
        Ok(_) => panic!("it was loaded"),
        Err(error) => error.to_string(),
    }
}

struct NoPrompt;

impl Prompt for NoPrompt {
    fn role(&self, _: u32) -> Option<String> {
        None
    }
    fn text(&self, _: u32) -> Option<String> {
        None
    }
    fn last_user_text(&self) -> String {
        panic!("the host's own mistake")
    }
    fn system_text(&self) -> String {
        String::new()
    }
    fn all_text(&self, _: u32) -> String {
        String::new()
    }
    fn header(&self, _: &str) -> Option<String> {
        None
    }
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

fn call() -> Call {
    let summary = Summary {
        id: "request".into(),
        route: "auto".into(),
        model: "auto".into(),
        surface: Surface::ChatCompletions,
        key_id: "key".into(),
        team: None,
        labels: vec![],
        message_count: 1,
        text_bytes: 10,
        estimated_input_tokens: 3,
        max_output_tokens: None,
        is_stream: false,
        has_tools: false,
        has_images: false,
        wants_structured_output: false,
        session: None,
        now_ms: 1_000,
        seed: 1,
        extras: vec![],
    };
    Call {
        summary,
        candidates: vec![],
        prompt: Arc::new(NoPrompt),
    }
}

pub(super) fn candidate(id: &str) -> Candidate {
    let health = Health {
        first_token_ms: None,
        total_ms: None,
        error_permille: 0,
        in_flight: 0,
        cooling_ms: None,
        requests_left: None,
        tokens_left: None,
    };
    Candidate {
        id: id.into(),
        provider: "provider".into(),
        tags: vec![],
        weight: 1,
        price: None,
        estimated_cost: None,
        ceiling_cost: None,
        context_window: 0,
        abilities: Abilities::empty(),
        health,
        extras: vec![],
    }
}

fn offering(id: &str) -> Call {
    Call {
        candidates: vec![candidate(id)],
        ..call()
    }
}

async fn decide(text: PolicyText<'_>, limits: Limits) -> Result<Verdict, Fault> {
    let policy = load(PolicySpec {
        limits,
        ..spec(guests::policy(text))
    })
    .unwrap();
    policy.decide(&call()).await
}

async fn reason(policy: &Policy) -> String {
    match policy.decide(&call()).await.unwrap() {
        Verdict::Plan(plan) => plan.reason,
        other => panic!("not a plan: {other:?}"),
    }
}

#[tokio::test]
async fn a_policy_that_passes_passes() {
    let policy = load(spec(guests::policy(PolicyText::default()))).unwrap();
    assert_eq!(policy.decide(&call()).await, Ok(Verdict::Pass));
    assert!(policy.is_baked() && !policy.has_outcome() && policy.warnings().is_empty());
    assert_eq!(policy.counters().read().calls, 1);
}

#[tokio::test]
async fn an_endless_loop_ends_at_the_deadline_and_the_next_call_waits_elsewhere() {
    let text = PolicyText {
        decide: FOREVER,
        ..Default::default()
    };
    let policy = load(PolicySpec {
        limits: hasty(),
        ..spec(guests::policy(text))
    })
    .unwrap();
    assert_eq!(policy.decide(&call()).await, Err(Fault::Deadline(20)));
    assert_eq!(policy.decide(&call()).await, Err(Fault::Deadline(20)));
    assert_eq!(policy.counters().read().faults, [("deadline", 2)]);
}

#[tokio::test]
async fn memory_ends_at_the_limit() {
    let bomb = "(loop $again (drop (memory.grow (i32.const 16))) (br $again)) (unreachable)";
    let fault = decide(
        PolicyText {
            decide: bomb,
            ..Default::default()
        },
        patient(),
    )
    .await
    .unwrap_err();
    assert_eq!(fault.kind(), "memory", "{fault}");
}

#[tokio::test]
async fn tables_end_at_the_limit() {
    let items = "(table $bomb 1 funcref)";
    let bomb = "(loop $again (drop (table.grow $bomb (ref.null func) (i32.const 5000))) (br $again)) (unreachable)";
    let fault = decide(
        PolicyText {
            items,
            decide: bomb,
            ..Default::default()
        },
        patient(),
    )
    .await
    .unwrap_err();
    assert_eq!(fault.kind(), "memory", "{fault}");
}

#[tokio::test]
async fn deep_recursion_ends_at_the_stacks_end() {
    let items = "(func $deeper (param i32) (result i32) (i32.add (i32.const 1) (call $deeper (local.get 0))))";
    let text = PolicyText {
        items,
        decide: "(call $deeper (i32.const 0))",
        ..Default::default()
    };
    assert_eq!(decide(text, patient()).await, Err(Fault::Stack));
}

#[tokio::test]
async fn a_trap_costs_its_call_and_no_other() {
    // Traps without candidates; their number is the last word of the inputs, which begin with the summary's 128 bytes.
    let decide = format!("(if (i32.eqz (i32.load offset=132 (local.get $inputs))) (then (unreachable))) {ZEROS}");
    let policy = load(spec(guests::policy(PolicyText {
        decide: &decide,
        ..Default::default()
    })))
    .unwrap();
    for _ in 0..20 {
        assert_eq!(policy.decide(&call()).await.unwrap_err().kind(), "trap");
        assert_eq!(policy.decide(&offering("a")).await, Ok(Verdict::Pass));
    }
}

#[tokio::test]
async fn a_plugins_own_error_is_told_in_its_own_words() {
    let items = r#"(data (i32.const 256) "\01\00\00\00\90\01\00\00\04\00\00\00") (data (i32.const 400) "oops")"#;
    let text = PolicyText {
        items,
        decide: "(i32.const 256)",
        ..Default::default()
    };
    assert_eq!(decide(text, patient()).await, Err(Fault::Guest("oops".into())));
    let text = PolicyText {
        items,
        load: "(i32.const 256)",
        ..Default::default()
    };
    assert_eq!(
        refusal(spec(guests::policy(text))),
        "the plugin refuses its configuration: oops"
    );
}

/// A plan with so many steps; the first names what is in `name`, which has so many bytes.
fn plan(steps: u32, name: &str, bytes: u8) -> String {
    let steps: String = steps.to_le_bytes().iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!(
        r#"(data (i32.const 260) "\01\00\00\00\40\01\00\00{steps}")
           (data (i32.const 320) "\90\01\00\00\{bytes:02x}\00\00\00")
           (data (i32.const 400) "{name}")"#
    )
}

async fn planned(items: &str) -> Fault {
    decide(
        PolicyText {
            items,
            decide: "(i32.const 256)",
            ..Default::default()
        },
        patient(),
    )
    .await
    .unwrap_err()
}

#[tokio::test]
async fn a_plan_that_names_an_unknown_candidate_is_refused() {
    let fault = planned(&plan(1, "none", 4)).await;
    assert_eq!(
        fault,
        Fault::InvalidOutput("step 1 names `none`, which was not offered".into())
    );
}

#[tokio::test]
async fn a_plan_of_what_was_offered_is_taken() {
    let text = PolicyText {
        items: &plan(1, "none", 4),
        decide: "(i32.const 256)",
        ..Default::default()
    };
    let policy = load(spec(guests::policy(text))).unwrap();
    let Ok(Verdict::Plan(plan)) = policy.decide(&offering("none")).await else {
        panic!("no plan")
    };
    assert_eq!(plan.steps[0].candidate, "none");
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_refused() {
    let fault = planned(&plan(1, r"\ff\fe", 2)).await;
    assert_eq!(fault.kind(), "invalid_output", "{fault}");
}

#[tokio::test]
async fn a_million_steps_are_refused_before_they_are_copied() {
    let items = plan(1_000_000, "none", 4);
    let decide = "(drop (memory.grow (i32.const 600))) (i32.const 256)";
    let fault = self::decide(
        PolicyText {
            items: &items,
            decide,
            ..Default::default()
        },
        patient(),
    )
    .await;
    assert_eq!(fault, Err(Fault::CopiedTooMuch(8 << 20)));
}

#[tokio::test]
async fn a_gigabyte_that_is_not_there_is_refused() {
    let items = r#"(data (i32.const 260) "\01") (data (i32.const 288) "\00\00\00\00\00\00\00\40")"#;
    assert!(matches!(
        planned(items).await.kind(),
        "invalid_output" | "copied_too_much"
    ));
}

#[tokio::test]
async fn a_panic_of_the_host_is_a_fault_of_the_call() {
    let items = r#"(import "pointsman:plugin/prompt@0.1.0" "last-user-text" (func $text (param i32)))"#;
    let text = PolicyText {
        items,
        decide: "(call $text (i32.const 600)) (i32.const 512)",
        ..Default::default()
    };
    let policy = load(spec(guests::policy(text))).unwrap();
    assert_eq!(
        policy.decide(&call()).await,
        Err(Fault::Host("the host's own mistake".into()))
    );
}

#[test]
fn loops_in_start_and_configure_end_at_their_deadline() {
    let starting = PolicyText {
        items: "(func $spin (loop $again (br $again))) (start $spin)",
        ..Default::default()
    };
    let configuring = PolicyText {
        load: FOREVER,
        ..Default::default()
    };
    for text in [starting, configuring] {
        let refusal = refusal(PolicySpec {
            limits: hasty(),
            ..spec(guests::policy(text))
        });
        assert_eq!(
            refusal,
            "while it was being loaded: the plugin did not answer within 50 ms"
        );
    }
}

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
    assert_eq!(refusal, format!("the component has {size} bytes; the limit is 100"));
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
        "the component needs 196608 bytes of memory to begin with; the limit is 65536"
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

/// Says how often this instance was asked, after one character of its configuration.
const REMEMBERS: &str = "(global.set $digit (i32.add (i32.const 1) (global.get $digit)))";

#[tokio::test]
async fn a_fresh_instance_remembers_nothing_and_a_warm_one_serves_so_many_calls() {
    let decide = format!("{REMEMBERS} {REASON}");
    let guest = guests::policy(PolicyText {
        items: REASON_ITEMS,
        decide: &decide,
        ..Default::default()
    });
    let fresh = load(spec(guest.clone())).unwrap();
    let instances = Instances::Warm {
        warm: 1,
        max_calls: 3,
        max_age: Duration::from_secs(3600),
    };
    let warm = load(PolicySpec {
        instances,
        ..spec(guest)
    })
    .unwrap();
    for expected in ["1", "2", "3", "1", "2"] {
        assert_eq!(reason(&fresh).await, "1");
        assert_eq!(reason(&warm).await, expected);
    }
}

#[tokio::test]
async fn a_configured_snapshot_answers_as_a_new_configuration_does() {
    let load_text = format!("(global.set $digit (i32.load8_u offset=2 (local.get $text))) {ZEROS}");
    // Growing a table is what a snapshot cannot restore.
    let items =
        format!("(table $t 1 funcref) (func $f (drop (table.grow $t (ref.null func) (i32.const 0)))) {REASON_ITEMS}");
    let bakes = PolicyText {
        items: REASON_ITEMS,
        load: &load_text,
        decide: REASON,
    };
    let cannot = PolicyText {
        items: &items,
        load: &load_text,
        decide: REASON,
    };
    let baked = load(spec(guests::policy(bakes))).unwrap();
    let plain = load(spec(guests::policy(cannot))).unwrap();
    assert!(baked.is_baked() && !plain.is_baked());
    assert_eq!((reason(&baked).await, reason(&plain).await), ("a".into(), "a".into()));
}

#[tokio::test]
async fn a_kept_snapshot_answers_as_the_first_one_did_and_a_damaged_one_is_made_again() {
    let dir = std::env::temp_dir().join(format!("pointsman-snapshots-{}", std::process::id()));
    let load_text = format!("(global.set $digit (i32.load8_u offset=2 (local.get $text))) {ZEROS}");
    let guest = guests::policy(PolicyText {
        items: REASON_ITEMS,
        load: &load_text,
        decide: REASON,
    });
    for damage in [false, true, false] {
        let engine = Engine::new(&EngineConfig {
            cache_dir: Some(dir.clone()),
            slots: 16,
            ..EngineConfig::default()
        })
        .unwrap();
        let policy = Policy::load(&engine, spec(guest.clone()), &StateStore::default()).unwrap();
        assert_eq!(reason(&policy).await, "a");
        let kept: Vec<_> = std::fs::read_dir(dir.join("snapshots"))
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        assert_eq!(kept.len(), 1);
        if damage {
            std::fs::write(&kept[0], b"[]\n\0asm damaged").unwrap();
        }
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_plugin_whose_instances_are_all_taken_says_so() {
    let engine = Engine::new(&EngineConfig {
        cache_dir: None,
        slots: 4,
        ..EngineConfig::default()
    })
    .unwrap();
    let spec = AdapterSpec {
        source: PluginSource::new("guest", guests::adapter("/v1", "", ZEROS)),
        limits: patient(),
    };
    let adapter = Adapter::load(&engine, spec).unwrap();
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(adapter.stream(Operation::Chat, &target()).await.ok().unwrap());
    }
    let refused = adapter.stream(Operation::Chat, &target()).await.err();
    assert_eq!(refused, Some(AdapterError::Fault(Fault::Busy)));
    drop(streams.pop());
    assert!(adapter.stream(Operation::Chat, &target()).await.is_ok());
}

fn target() -> Target {
    Target {
        model: "m".into(),
        settings: "{}".into(),
        max_output_tokens: None,
        request_id: "r".into(),
        now_ms: 0,
    }
}

fn adapter(component: Vec<u8>, limits: Limits) -> Adapter {
    Adapter::load(
        &engine(),
        AdapterSpec {
            source: PluginSource::new("guest", component),
            limits,
        },
    )
    .unwrap()
}

#[tokio::test]
async fn an_adapter_encodes_and_what_it_may_not_ask_for_is_refused() {
    let good = adapter(guests::adapter("/v1/chat", "", ZEROS), patient());
    assert_eq!(good.profile().operations, [Operation::Chat]);
    let outgoing = good
        .encode(Operation::Chat, &target(), false, &"{}".into())
        .await
        .unwrap();
    assert_eq!((outgoing.method.as_str(), outgoing.path.as_str()), ("POST", "/v1/chat"));
    let bad = adapter(guests::adapter("//evil/v1", "", ZEROS), patient());
    let error = bad
        .encode(Operation::Chat, &target(), false, &"{}".into())
        .await
        .unwrap_err();
    assert!(matches!(error, AdapterError::Fault(Fault::InvalidOutput(_))), "{error}");
}

#[tokio::test]
async fn a_stream_is_one_instance_for_its_length_and_a_trap_ends_it() {
    // One chunk, `{1}` and so on; the fourth push traps. Three data segments: the result, the chunk, its text.
    let items = r#"
        (global $digit (mut i32) (i32.const 48))
        (data (i32.const 704) "\00\00\00\00\d0\02\00\00\01\00\00\00")
        (data (i32.const 720) "\00\04\00\00\03\00\00\00")
        (data (i32.const 1024) "{0}")"#;
    let push = "(global.set $digit (i32.add (i32.const 1) (global.get $digit)))
        (if (i32.eq (global.get $digit) (i32.const 52)) (then (unreachable)))
        (i32.store8 (i32.const 1025) (global.get $digit)) (i32.const 704)";
    let adapter = adapter(guests::adapter("/v1", items, push), patient());
    let mut stream = adapter.stream(Operation::Chat, &target()).await.ok().unwrap();
    for expected in ["{1}", "{2}", "{3}"] {
        let chunks = stream.push(vec![]).await.unwrap();
        assert_eq!(chunks[0].data, expected.as_bytes());
    }
    assert!(matches!(
        stream.push(vec![]).await,
        Err(AdapterError::Fault(Fault::Trap(_)))
    ));
    assert!(stream.push(vec![]).await.is_err());
    let mut other = adapter.stream(Operation::Chat, &target()).await.ok().unwrap();
    assert_eq!(other.push(vec![]).await.unwrap()[0].data, b"{1}");
}

/// As much of WASI 0.2 as printing takes.
const WASI: &str = "
    package wasi:io@0.2.0 {
        interface error { resource error; }
        interface streams {
            use error.{error};
            variant stream-error { last-operation-failed(error), closed }
            resource output-stream {
                blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
            }
        }
    }
    package wasi:cli@0.2.0 {
        interface stdout { use wasi:io/streams@0.2.0.{output-stream}; get-stdout: func() -> output-stream; }
        interface exit { exit: func(status: result); }
    }";

fn printing(load: &str, decide: &str) -> Vec<u8> {
    let items = r#"
        (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
        (import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))
        (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
            (func $write (param i32 i32 i32 i32)))
        (data (i32.const 600) "hello\n")"#;
    let print = "(call $write (call $stdout) (i32.const 600) (i32.const 6) (i32.const 800))";
    let (load, decide) = (load.replace("PRINT", print), decide.replace("PRINT", print));
    let world = "include pointsman:plugin/policy@0.1.0; import wasi:cli/stdout@0.2.0; import wasi:cli/exit@0.2.0;";
    guests::policy_of(
        world,
        WASI,
        PolicyText {
            items,
            load: &load,
            decide: &decide,
        },
    )
}

#[tokio::test]
async fn a_guest_that_prints_is_served_on_a_runtimes_worker() {
    let policy = load(spec(printing(ZEROS, &format!("PRINT {ZEROS}")))).unwrap();
    assert!(policy.is_baked());
    assert_eq!(policy.decide(&call()).await, Ok(Verdict::Pass));
}

#[tokio::test]
async fn a_guest_that_holds_a_handle_after_configuring_is_configured_at_every_call() {
    let policy = load(spec(printing(&format!("PRINT {ZEROS}"), &format!("PRINT {ZEROS}")))).unwrap();
    assert!(!policy.is_baked());
    assert_eq!(policy.decide(&call()).await, Ok(Verdict::Pass));
}

#[tokio::test]
async fn a_guest_that_exits_costs_its_call() {
    let policy = load(spec(printing(ZEROS, "(call $exit (i32.const 1)) (unreachable)"))).unwrap();
    assert_eq!(
        policy.decide(&call()).await,
        Err(Fault::Trap("it exited with status 1".into()))
    );
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

#[test]
fn log_lines_are_capped_in_number_and_carry_the_plugins_name() {
    let items = r#"
        (import "pointsman:plugin/log@0.1.0" "log" (func $log (param i32 i32 i32)))
        (data (i32.const 600) "a\nb")"#;
    let decide = format!(
        "(local $n i32) (loop $again (call $log (i32.const 1) (i32.const 600) (i32.const 3))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $n) (i32.const 1000)))) {ZEROS}"
    );
    let policy = load(spec(guests::policy(PolicyText {
        items,
        decide: &decide,
        ..Default::default()
    })))
    .unwrap();
    let lines = captured(|runtime| assert_eq!(runtime.block_on(policy.decide(&call())), Ok(Verdict::Pass)));
    let lines: Vec<_> = lines.lines().filter(|line| line.contains("plugin=\"guest\"")).collect();
    assert_eq!(lines.len(), 64);
    assert!(lines[0].contains(r"a\nb") && lines[0].contains(&policy.digest().short()));
    assert!(lines[63].contains("further lines are dropped"));
}

/// What is logged on this thread while the work runs.
fn captured(work: impl FnOnce(&tokio::runtime::Runtime)) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tracing::subscriber::with_default(subscriber, || work(&runtime));
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[derive(Clone, Default)]
struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
