//! What a misbehaving guest costs: its own call, whatever it does.

use std::sync::Arc;

use super::guests::{PolicyText, ZEROS};
use super::*;

const FOREVER: &str = "(loop $again (br $again)) (unreachable)";

fn hasty() -> Limits {
    Limits {
        call_ms: 20,
        configure_ms: 50,
        ..Limits::default()
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

/// A prompt that takes the clock of the calls an hour on whenever somebody reads it.
struct LateTick(Engine);

impl Prompt for LateTick {
    fn last_user_text(&self) -> String {
        (0..3_600_000).for_each(|_| self.0.wasm().increment_epoch());
        String::new()
    }
    fn role(&self, _: u32) -> Option<String> {
        None
    }
    fn text(&self, _: u32) -> Option<String> {
        None
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

#[tokio::test]
async fn a_call_is_not_charged_for_time_from_before_it_that_the_clock_makes_up_for() {
    let items = r#"(import "pointsman:plugin/prompt@0.1.0" "last-user-text" (func $text (param i32)))"#;
    let decide = "(local $n i32) (call $text (i32.const 600))
        (loop $again (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $n) (i32.const 1000)))) (i32.const 512)";
    let guest = guests::policy(PolicyText {
        items,
        decide,
        ..Default::default()
    });
    let engine = engine();
    let policy = load_in(&engine, spec(guest)).unwrap();
    let late = Call {
        prompt: Arc::new(LateTick(engine)),
        ..call()
    };
    for _ in 0..3 {
        assert_eq!(policy.decide(&late).await, Ok(Verdict::Pass));
    }
    assert_eq!(policy.counters().read().faults, []);
}

#[test]
fn only_so_many_outcomes_wait_to_be_heard() {
    let engine = Engine::new(&EngineConfig {
        slots: 16,
        outcomes: 2,
        ..EngineConfig::default()
    })
    .unwrap();
    let policy = load_in(&engine, spec(guests::policy(PolicyText::default()))).unwrap();
    let seats = (policy.attend(), policy.attend());
    assert!(seats.0.is_ok() && seats.1.is_ok());
    assert_eq!(policy.attend().err(), Some(Fault::Busy));
    assert_eq!(policy.counters().read().faults, [("busy", 1)]);
    drop(seats);
    assert!(policy.attend().is_ok());
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

/// What is logged while the work runs, on this thread and those of its runtime.
pub(super) fn captured(work: impl FnOnce(&tokio::runtime::Runtime)) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let dispatch = tracing::Dispatch::new(subscriber);
    let for_threads = dispatch.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // To the end of the thread.
        .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&for_threads)))
        .build()
        .unwrap();
    tracing::dispatcher::with_default(&dispatch, || work(&runtime));
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
