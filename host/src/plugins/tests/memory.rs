//! What instances remember: the configuration always, earlier calls only where instances are kept.

use super::guests::{PolicyText, REASON, REASON_ITEMS, ZEROS};
use super::*;

#[tokio::test]
async fn a_policy_that_passes_passes() {
    let policy = load(spec(guests::policy(PolicyText::default()))).unwrap();
    assert_eq!(policy.decide(&call()).await, Ok(Verdict::Pass));
    assert!(policy.is_baked() && !policy.has_outcome() && policy.warnings().is_empty());
    assert_eq!(policy.counters().read().calls, 1);
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
    let warm = load(PolicySpec {
        instances: KEPT,
        ..spec(guest)
    })
    .unwrap();
    for expected in ["1", "2", "3", "1", "2"] {
        assert_eq!(reason(&fresh).await, "1");
        assert_eq!(reason(&warm).await, expected);
    }
}

/// Says `!` where it finds anything in a page that it has not touched or in those that it asks for, and `0` where it does not; then it
/// leaves something in all of them.
const LOOKS_AND_LEAVES: &str = "(local $at i32)
    (drop (memory.grow (i32.const 4)))
    (local.set $at (i32.const 65536))
    (loop $next
        (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (global.set $digit (i32.const 33))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (if (i32.eq (local.get $at) (i32.const 131072)) (then (local.set $at (i32.const 196608))))
        (br_if $next (i32.lt_u (local.get $at) (i32.const 458752))))
    (memory.fill (i32.const 65536) (i32.const 90) (i32.const 65536))
    (memory.fill (i32.const 196608) (i32.const 90) (i32.const 262144))";

#[tokio::test]
async fn what_a_guest_leaves_in_its_memory_neither_another_one_finds_nor_its_own_next_call() {
    let engine = Engine::new(&EngineConfig {
        // So few that the same memory is given out again and again.
        slots: 4,
        ..EngineConfig::default()
    })
    .unwrap();
    let decide = format!("{LOOKS_AND_LEAVES} {REASON}");
    let guest = guests::policy(PolicyText {
        items: REASON_ITEMS,
        decide: &decide,
        ..Default::default()
    });
    // It has other code, or it would be the same plugin.
    let other = guests::policy(PolicyText {
        items: &format!("(global $other i32 (i32.const 1)) {REASON_ITEMS}"),
        decide: &decide,
        ..Default::default()
    });
    let load = |guest: &Vec<u8>| load_in(&engine, spec(guest.clone())).unwrap();
    let policies = [load(&guest), load(&other)];
    let named = std::env::var("POINTSMAN_SOAK_TIMES");
    let times = named.map_or(200, |times| times.parse::<usize>().expect("a number"));
    for number in 0..times {
        assert_eq!(reason(&policies[number % 2]).await, "0", "{number}");
    }
    // An instance that is kept has what it left.
    let kept = PolicySpec {
        instances: KEPT,
        ..spec(guest)
    };
    let kept = load_in(&engine, kept).unwrap();
    assert_eq!((reason(&kept).await, reason(&kept).await), ("0".into(), "!".into()));
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
