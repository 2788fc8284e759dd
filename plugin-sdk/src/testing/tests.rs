//! The test host refuses what the gateway refuses.

use super::{Case, TestHost};
use crate::{Candidate, Empty, Plan, Policy, Rejection, Request, Verdict, limits::STATE_KEYS, state, timeouts};

/// Does what the request's text names.
struct Odd;

impl Policy for Odd {
    type Config = Empty;

    fn new(_: Empty) -> Result<Self, String> {
        Ok(Odd)
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        let edit = |pointer: &str| Plan::keep().edit(pointer, &1);
        Ok(match &*request.last_user_text() {
            "twice" => Plan::of([&candidates[0], &candidates[0]]).into(),
            "label" => Plan::keep().label("a", "b\n").into(),
            "labels" => (0..33)
                .fold(Plan::keep(), |plan, n| plan.label(n.to_string(), "x"))
                .into(),
            "model" => edit("/model")?.into(),
            "pointer" => edit("model")?.into(),
            "time" => {
                timeouts::gap("z", 5);
                Plan::keep().reason("none").into()
            }
            "code" => Rejection::new(403, "not a word", "no").into(),
            "stranger" => Plan {
                steps: vec![crate::Step::new("z")],
                ..Plan::keep()
            }
            .into(),
            _ => Plan::of(candidates).label("a", "b").edit("/a~1b", &[1])?.into(),
        })
    }
}

#[test]
fn a_verdict_that_the_gateway_would_not_take_is_a_fault() {
    let host = TestHost::new();
    for (what, fault) in [
        ("twice", "step 2 names `a` again"),
        ("stranger", "step 1 names `z`, which was not offered"),
        ("time", "a time is said of `z`, which was not offered"),
        ("label", "label `a` is empty, too long or not printable"),
        ("labels", "33 labels; the limit is 32"),
        ("model", "`/model` is the host's and cannot be edited"),
        ("pointer", "`model` is not a JSON pointer to a part of the request"),
        ("code", "`not a word` is no error code"),
    ] {
        assert_eq!(host.decide(&Odd, &Case::user(what, &["a"])).unwrap_err(), fault);
    }
    assert!(host.decide(&Odd, &Case::user("well", &["a", "b"])).is_ok());
}

#[test]
#[should_panic(expected = "a state key has 257 bytes; the limit is 256")]
fn a_key_that_is_too_long_ends_the_run() {
    let _host = TestHost::new();
    state::add(&"k".repeat(257), 1, None);
}

#[test]
#[should_panic(expected = "the value of state key `k` has 65537 bytes; the limit is 65536")]
fn a_value_that_is_too_large_ends_the_run() {
    let _host = TestHost::new();
    let _ = state::set("k", &"x".repeat(65_535), None);
}

#[test]
fn what_was_not_touched_for_longest_makes_room() {
    let host = TestHost::new();
    for n in 0..STATE_KEYS {
        state::add(&n.to_string(), 1, None);
    }
    assert_eq!(state::get::<i64>("0"), Some(1));
    state::add("one more", 1, None);
    assert_eq!(host.keys().len(), STATE_KEYS);
    assert_eq!((state::get::<i64>("0"), state::get::<i64>("1")), (Some(1), None));
}

#[test]
#[should_panic(expected = "the times of a step are said in `decide`, and at no other time")]
fn a_time_that_is_said_while_nobody_decides_ends_the_run() {
    let _host = TestHost::new();
    timeouts::connect("a", 5);
}
