//! What instances remember: the configuration always, earlier calls only where instances are kept.

use std::time::Duration;

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
