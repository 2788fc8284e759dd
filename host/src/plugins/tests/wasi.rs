//! Guests whose toolchain imports WASI, called where its functions would panic.

use super::guests::{PolicyText, ZEROS};
use super::isolation::captured;
use super::*;

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
 (import "pointsman:plugin/log@0.1.0" "log" (func $log (param i32 i32 i32)))
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

#[test]
fn what_a_guest_prints_and_what_it_logs_are_counted_together() {
    let decide = format!(
        "(local $n i32) (loop $again PRINT (call $log (i32.const 1) (i32.const 600) (i32.const 5))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $n) (i32.const 100)))) {ZEROS}"
    );
    let policy = load(spec(printing(ZEROS, &decide))).unwrap();
    let lines = captured(|runtime| assert_eq!(runtime.block_on(policy.decide(&call())), Ok(Verdict::Pass)));
    let said = lines.lines().filter(|line| line.contains("plugin=\"guest\"")).count();
    assert_eq!(said, 64, "{lines}");
}

#[tokio::test]
async fn a_guest_that_exits_costs_its_call() {
    let policy = load(spec(printing(ZEROS, "(call $exit (i32.const 1)) (unreachable)"))).unwrap();
    assert_eq!(
        policy.decide(&call()).await,
        Err(Fault::Trap("it exited with status 1".into()))
    );
}
