//! The cache by itself, on a clock that the tests set.

use super::*;
use crate::ledger::Ledger;

const MINUTE: Duration = Duration::from_secs(60);
const ROOM: Room = Room {
    memory_bytes: 1 << 20,
    disk_bytes: 0,
};

fn empty() -> Arc<Cache> {
    Cache::new(CacheMeter::default(), Documents::new(Ledger::off()))
}

fn key(name: &str) -> Key {
    Key::of(&[name])
}

fn entry(text: &str, stored_ms: u64) -> Arc<Entry> {
    Arc::new(Entry {
        body: Bytes::copy_from_slice(text.as_bytes()),
        model: "p/m".into(),
        provider: "p".into(),
        cost: Some(Nanodollars(1)),
        usage: None,
        stored_ms,
    })
}

fn text(looked: &Looked) -> Option<String> {
    match looked {
        Looked::Hit(entry) => Some(String::from_utf8_lossy(&entry.body).into_owned()),
        _ => None,
    }
}

#[test]
fn parts_of_a_key_are_told_from_their_neighbours() {
    assert_eq!(Key::of(&["ab", "c"]), Key::of(&["ab", "c"]));
    assert_ne!(Key::of(&["ab", "c"]), Key::of(&["a", "bc"]));
    assert_ne!(Key::of(&["ab"]), Key::of(&["ab", ""]));
}

#[test]
fn an_answer_is_there_until_it_is_too_old_for_who_asks() {
    let mut shelf = Shelf::default();
    shelf.keep(key("a"), entry("one", 1000), MINUTE, 1 << 20);
    let mut at = |ttl, now_ms| text(&shelf.look(key("a"), ttl, now_ms, &|_| true));
    assert_eq!(at(MINUTE, 60_999).as_deref(), Some("one"));
    assert_eq!(at(2 * MINUTE, 120_999).as_deref(), Some("one"));
    assert_eq!(at(MINUTE, 61_000), None);
    // Too old once is gone.
    assert_eq!(at(2 * MINUTE, 61_000), None);
}

#[test]
fn a_clock_that_was_set_back_makes_no_answer_younger() {
    let mut shelf = Shelf::default();
    shelf.keep(key("a"), entry("one", 100_000), MINUTE, 1 << 20);
    assert_eq!(text(&shelf.look(key("a"), MINUTE, 99_999, &|_| true)), None);
}

#[test]
fn the_least_recently_used_answer_makes_room() {
    let mut shelf = Shelf::default();
    let room = 2 * entry("one", 0).bytes();
    shelf.keep(key("a"), entry("one", 0), MINUTE, room);
    shelf.keep(key("b"), entry("two", 0), MINUTE, room);
    assert!(text(&shelf.look(key("a"), MINUTE, 1, &|_| true)).is_some());
    assert_eq!(shelf.keep(key("c"), entry("six", 0), MINUTE, room), 1);
    let found = ["a", "b", "c"].map(|name| text(&shelf.look(key(name), MINUTE, 1, &|_| true)));
    assert_eq!(found, [Some("one".into()), None, Some("six".into())]);
    assert_eq!((shelf.entries(), shelf.bytes()), (2, room));
    // One that has no room at all pushes nobody out.
    let large = entry(&"x".repeat(1000), 0);
    assert_eq!(shelf.keep(key("d"), large, MINUTE, room), 0);
    assert_eq!((shelf.entries(), shelf.bytes()), (2, room));
}

#[test]
fn what_nobody_asks_for_goes_when_its_time_is_over() {
    let mut shelf = Shelf::default();
    shelf.keep(key("a"), entry("one", 0), MINUTE, 1 << 20);
    shelf.keep(key("b"), entry("two", 0), 10 * MINUTE, 1 << 20);
    shelf.keep(key("c"), entry("new", 120_000), MINUTE, 1 << 20);
    assert_eq!(shelf.entries(), 2);
}

#[test]
fn an_answer_that_the_asker_may_not_have_is_not_there() {
    let mut shelf = Shelf::default();
    shelf.keep(key("a"), entry("one", 0), MINUTE, 1 << 20);
    let looked = shelf.look(key("a"), MINUTE, 1, &|entry| entry.model == "other/m");
    assert!(matches!(looked, Looked::Lead(..)));
}

#[tokio::test]
async fn those_who_wait_get_the_answer_of_the_one_who_leads() {
    let cache = empty();
    let Found::Lead(lead) = cache.find(key("a"), MINUTE, ROOM, |_| true).await else {
        panic!("nobody was there before");
    };
    let waiting: Vec<_> = (0..50).map(|_| waiter(&cache)).collect();
    tokio::task::yield_now().await;
    lead.keep((*entry("one", now_ms())).clone(), MINUTE, ROOM);
    for waiting in waiting {
        assert!(matches!(waiting.await.unwrap(), Found::Hit(entry) if entry.body == "one"));
    }
}

#[tokio::test]
async fn a_lead_that_is_dropped_goes_to_one_of_those_who_wait() {
    let cache = empty();
    let Found::Lead(lead) = cache.find(key("a"), MINUTE, ROOM, |_| true).await else {
        panic!("nobody was there before");
    };
    let (one, other) = (waiter(&cache), waiter(&cache));
    tokio::task::yield_now().await;
    drop(lead);
    let (next, waits) = match futures_util::future::select(one, other).await {
        futures_util::future::Either::Left((ended, other)) => (ended, other),
        futures_util::future::Either::Right((ended, one)) => (ended, one),
    };
    let Found::Lead(next) = next.unwrap() else {
        panic!("nobody took the lead");
    };
    next.share((*entry("two", 0)).clone());
    assert!(matches!(waits.await.unwrap(), Found::Hit(entry) if entry.body == "two"));
    // What was shared is not kept.
    assert!(matches!(
        cache.find(key("a"), MINUTE, ROOM, |_| true).await,
        Found::Lead(_)
    ));
}

#[tokio::test]
async fn nobody_waits_for_an_answer_that_cannot_be_shared_or_for_ever() {
    let cache = empty();
    let Found::Lead(lead) = cache.find(key("a"), MINUTE, ROOM, |_| true).await else {
        panic!("nobody was there before");
    };
    let waits = waiter(&cache);
    tokio::task::yield_now().await;
    lead.decline();
    assert!(matches!(waits.await.unwrap(), Found::Alone));

    let mut waits = None;
    for _ in 0..=LEADS {
        // Before who waits hears that the one before is gone.
        let Found::Lead(_lead) = cache.find(key("a"), MINUTE, ROOM, |_| true).await else {
            panic!("the lead was not free");
        };
        waits.get_or_insert_with(|| waiter(&cache));
        tokio::task::yield_now().await;
    }
    assert!(matches!(waits.unwrap().await.unwrap(), Found::Alone));
}

#[tokio::test]
async fn what_is_on_its_way_when_the_cache_is_emptied_is_not_kept() {
    let cache = empty();
    let Found::Lead(lead) = cache.find(key("a"), MINUTE, ROOM, |_| true).await else {
        panic!("nobody was there before");
    };
    cache.clear().await.unwrap();
    lead.keep((*entry("one", now_ms())).clone(), MINUTE, ROOM);
    assert!(matches!(
        cache.find(key("a"), MINUTE, ROOM, |_| true).await,
        Found::Lead(_)
    ));
}

fn waiter(cache: &Arc<Cache>) -> tokio::task::JoinHandle<Found> {
    let cache = cache.clone();
    tokio::spawn(async move { cache.find(key("a"), MINUTE, ROOM, |_| true).await })
}
