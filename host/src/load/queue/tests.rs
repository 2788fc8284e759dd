//! Who is let in when, of several callers and in turns of several lengths.

use super::*;

const WAIT: Duration = Duration::from_secs(60);

fn caller(name: &str) -> Arc<str> {
    name.into()
}

#[test]
fn who_has_least_is_next_and_of_its_own_the_newest() {
    let mut queue = Queue::new(4, 4, 8);
    let (many, one) = (caller("many"), caller("one"));
    for _ in 0..3 {
        assert!(matches!(queue.ask(&many, WAIT), Granted::Now));
    }
    assert!(matches!(queue.ask(&one, WAIT), Granted::Now));
    let mut waiting = Vec::new();
    for who in [&many, &many, &one, &one] {
        match queue.ask(who, WAIT) {
            Granted::Later(place, _) => waiting.push(place),
            _ => panic!("there is no room, and a queue"),
        }
    }
    assert!(queue.next(Instant::now()).is_none());
    queue.left(&many, true);
    let (who, waiter) = queue.next(Instant::now()).unwrap();
    drop(waiter);
    assert_eq!(who, one);
    // Its newer one has had its turn, all others still wait.
    let has_ended =
        |place: &mut oneshot::Receiver<Place>| matches!(place.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    assert_eq!(
        waiting.iter_mut().map(has_ended).collect::<Vec<_>>(),
        [false, false, false, true]
    );
}

#[test]
fn who_waits_for_a_turn_is_served_in_order_while_all_can_be_and_else_the_newest_is() {
    let mut queue = Queue::new(10_000, 10_000, 2);
    queue.is_over = true;
    let one = caller("one");
    while let Granted::Now = queue.ask(&one, WAIT) {}
    let mut waiting = Vec::new();
    for is_crowded in [false, true] {
        // One waits since the loop before this.
        queue.sweep(Instant::now());
        while let Granted::Later(place, until) = queue.ask(&one, WAIT) {
            assert!(until <= Instant::now() + BRIEF);
            waiting.push(place);
            if !is_crowded && waiting.len() == 2 {
                break;
            }
        }
        assert!(queue.next(Instant::now()).is_none(), "before the turn is over");
        queue.turned(Duration::from_millis(1), None);
        drop(queue.next(Instant::now()).expect("there is room again"));
        let has_ended = |place: &mut oneshot::Receiver<Place>| {
            matches!(place.try_recv(), Err(oneshot::error::TryRecvError::Closed))
        };
        let served = waiting.iter_mut().position(has_ended);
        assert_eq!(served, Some(if is_crowded { waiting.len() - 1 } else { 0 }));
        waiting.remove(served.unwrap());
        // What is left of the turn.
        while queue.has_room() {
            queue.enter(&one);
        }
    }
}

#[test]
fn the_pace_is_kept_to_only_where_what_is_begun_makes_turns_long() {
    const LONG: Duration = Duration::from_millis(50);
    let mut queue = Queue::new(10_000, 10_000, 1_000);
    let one = caller("one");
    let begin = |queue: &mut Queue, count: usize| {
        let begun = (0..count).take_while(|_| matches!(queue.ask(&one, WAIT), Granted::Now));
        begun.count()
    };
    assert_eq!(begin(&mut queue, 1_000), 1_000);
    queue.turned(Duration::from_millis(1), None);
    assert_eq!(begin(&mut queue, 10), 10);
    queue.turned(LONG, None);
    assert_eq!(begin(&mut queue, 100), 100, "it was not the doing of ten");
    queue.turned(LONG, None);
    let paced = begin(&mut queue, 1_000);
    assert!(paced < 100, "{paced}");
    // Until nobody has to wait any more.
    queue.adapt(false);
    queue.turned(Duration::ZERO, None);
    queue.adapt(false);
    assert_eq!(begin(&mut queue, 500), 500);
}

/// Where too much has come for a while, in turns of this length.
fn standing(turn: Duration) -> Queue {
    let mut queue = Queue::new(10_000, 10_000, 1_000);
    queue.is_over = true;
    for _ in 0..2 {
        assert!(!queue.is_standing, "it has not lasted yet");
        for _ in 0..50 {
            while queue.pace.has_room() {
                queue.pace.begin();
            }
            queue.pace.wait();
            queue.turned(turn, Some(Duration::from_millis(3)));
        }
        queue.adapt(false);
    }
    assert!(queue.is_standing);
    queue
}

#[test]
fn where_too_much_comes_all_the_time_nobody_waits_for_a_long_turn() {
    let mut queue = standing(Duration::from_millis(30));
    let one = caller("one");
    let begun = (0..)
        .take_while(|_| matches!(queue.ask(&one, WAIT), Granted::Now))
        .count();
    assert_eq!(begun, queue.pace.most());
    assert!(matches!(queue.ask(&one, WAIT), Granted::Never("beginning")));
    // The turns after it are not full.
    for _ in 0..3 {
        queue.turned(Duration::from_millis(30), Some(Duration::from_millis(3)));
    }
    queue.adapt(false);
    while let Granted::Now = queue.ask(&one, WAIT) {}
    assert!(matches!(queue.ask(&one, WAIT), Granted::Later(..)));
}

#[test]
fn where_turns_are_short_a_few_of_them_are_waited_for() {
    let mut queue = standing(Duration::from_millis(4));
    let one = caller("one");
    while let Granted::Now = queue.ask(&one, WAIT) {}
    let waiting = (0..).map_while(|_| match queue.ask(&one, WAIT) {
        Granted::Later(place, until) => Some((place, until)),
        _ => None,
    });
    let waiting: Vec<_> = waiting.collect();
    assert!(waiting.iter().all(|(_, until)| *until <= Instant::now() + SHORT));
    assert_eq!(waiting.len(), queue.pace.most() * 2);
}

#[test]
fn where_nobody_waits_a_flood_leaves_others_their_share_of_a_turn() {
    let mut queue = standing(Duration::from_millis(30));
    let (flood, others) = (caller("flood"), ["a", "b", "c"].map(caller));
    let most = queue.pace.most();
    let begin = |queue: &mut Queue, who: &Arc<str>, many: usize| {
        let asked = (0..many).map(|_| queue.ask(who, WAIT));
        let begun = asked.filter(|granted| matches!(granted, Granted::Now)).count();
        // All of them are answered at once: it is not what is under way that is scarce.
        for _ in 0..begun {
            queue.left(who, true);
        }
        begun
    };
    let mut last = Vec::new();
    for _ in 0..2 {
        // The flood is always first.
        last = vec![begin(&mut queue, &flood, most * 3)];
        last.extend(others.iter().map(|other| begin(&mut queue, other, most / 8)));
        queue.pace.wait();
        queue.turned(Duration::from_millis(30), Some(Duration::from_millis(10)));
    }
    assert_eq!(last[1..], [most / 8; 3], "the first turn has shown who asks");
    assert_eq!(last.iter().sum::<usize>(), most, "and nothing of it is left");
    assert_eq!(queue.callers.len(), 0, "nobody is kept who has nothing");
}

#[test]
fn a_share_is_what_all_who_want_more_can_have() {
    for (wishes, all, expected) in [
        (&[][..], 10, usize::MAX),
        (&[5, 5], 10, usize::MAX),
        (&[100], 10, 10),
        (&[100, 2, 1], 10, 7),
        (&[100, 100], 5, 3),
        (&[9, 9, 9, 9, 9], 4, 1),
    ] {
        assert_eq!(share(wishes.to_vec(), all), expected, "{wishes:?} of {all}");
    }
}

#[test]
fn who_waits_for_calls_of_its_own_stands_in_nobodys_way() {
    let mut queue = Queue::new(3, 2, 8);
    let (one, other) = (caller("one"), caller("other"));
    let begun = [&one, &other, &other].map(|who| matches!(queue.ask(who, WAIT), Granted::Now));
    assert_eq!(begun, [true; 3]);
    let Granted::Later(_place, _) = queue.ask(&one, WAIT) else {
        panic!("there is no room")
    };
    // Its own place was given to its older call meanwhile.
    queue.left(&other, true);
    queue.enter(&one);
    queue.left(&other, true);
    assert!(matches!(queue.ask(&other, WAIT), Granted::Now));
}

#[test]
fn a_full_queue_takes_from_who_has_most_in_it() {
    let mut queue = Queue::new(1, 1_000, 4);
    let (flood, other) = (caller("flood"), caller("other"));
    assert!(matches!(queue.ask(&flood, WAIT), Granted::Now));
    let waiting: Vec<Granted> = (0..4).map(|_| queue.ask(&flood, WAIT)).collect();
    assert!(waiting.iter().all(|granted| matches!(granted, Granted::Later(..))));
    assert!(matches!(queue.ask(&flood, WAIT), Granted::Never("in_flight")));
    let place = queue.ask(&other, WAIT);
    assert!(matches!(place, Granted::Later(..)));
    assert_eq!(queue.shown(), (1, 1, 4, 1));
}

#[test]
fn nobody_holds_more_than_a_share() {
    let mut queue = Queue::new(4, 3, 8);
    for _ in 0..3 {
        assert!(matches!(queue.ask(&caller("a"), WAIT), Granted::Now));
    }
    assert!(matches!(queue.ask(&caller("a"), WAIT), Granted::Never("key")));
    assert!(matches!(queue.ask(&caller("b"), WAIT), Granted::Now));
}

#[test]
fn the_limit_falls_while_tasks_are_late_and_comes_back() {
    let mut queue = Queue::new(1_000, 1_000, 8);
    for _ in 0..500 {
        queue.ask(&caller("a"), WAIT);
    }
    assert_eq!(queue.adapt(true), 400);
    assert!(matches!(queue.ask(&caller("a"), WAIT), Granted::Later(..)));
    for _ in 0..500 {
        queue.left(&caller("a"), true);
    }
    assert_eq!(queue.adapt(true), FLOOR);
    let steps = (0..).take_while(|_| queue.adapt(false) < 1_000).count();
    assert!(steps < 60, "{steps}");
}
