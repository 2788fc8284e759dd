//! Windows around midnight, holidays, and the days on which clocks are moved.

use serde_json::{Value, json};

use super::*;

/// A window by its fields; its zone is Berlin unless it says otherwise.
fn window(mut fields: Value) -> Schedule {
    fields["name"] = json!("test");
    let window: Window = serde_json::from_value(fields).unwrap();
    Schedule::new(&window, "Europe/Berlin").unwrap()
}

/// Whether the window is open at a moment in UTC.
fn is_open(schedule: &Schedule, utc: &str) -> bool {
    is_open_with(schedule, utc, &[])
}

fn is_open_with(schedule: &Schedule, utc: &str, holidays: &[Dates]) -> bool {
    schedule.is_open(utc.parse().unwrap(), holidays)
}

/// The minutes of a span in UTC in which the window is open.
fn open_minutes(schedule: &Schedule, from: &str, hours: i64) -> i64 {
    let from: Timestamp = from.parse().unwrap();
    let minute = |minute| Timestamp::from_millisecond(from.as_millisecond() + minute * MINUTE_MS).unwrap();
    let open = (0..hours * 60).filter(|&at| schedule.is_open(minute(at), &[]));
    i64::try_from(open.count()).unwrap()
}

fn dates(texts: &[&str]) -> Vec<Dates> {
    serde_json::from_value(json!(texts)).unwrap()
}

#[test]
fn a_window_opens_by_the_clock_of_its_zone() {
    let office = window(json!({ "from": "09:00", "to": "17:00", "days": ["mon-fri"] }));
    // A Friday in November, an hour ahead of UTC.
    assert!(!is_open(&office, "2026-11-20T07:59:59Z"));
    assert!(is_open(&office, "2026-11-20T08:00:00Z"));
    assert!(is_open(&office, "2026-11-20T15:59:59Z"));
    assert!(!is_open(&office, "2026-11-20T16:00:00Z"));
    assert!(!is_open(&office, "2026-11-21T10:00:00Z"), "a Saturday");
    // In July it is two hours ahead.
    assert!(is_open(&office, "2026-07-03T07:00:00Z"));
    let tokyo = window(json!({ "zone": "Asia/Tokyo", "from": "09:00", "to": "17:00" }));
    assert!(is_open(&tokyo, "2026-11-20T00:00:00Z") && !is_open(&tokyo, "2026-11-20T08:00:00Z"));
}

#[test]
fn over_midnight_the_day_that_a_window_opens_on_counts() {
    let night = window(json!({ "from": "22:00", "to": "06:00", "days": ["fri"] }));
    assert!(is_open(&night, "2026-11-20T21:00:00Z"), "Friday, 22:00");
    assert!(is_open(&night, "2026-11-21T04:59:59Z"), "Saturday, 05:59");
    assert!(!is_open(&night, "2026-11-21T05:00:00Z"), "Saturday, 06:00");
    assert!(!is_open(&night, "2026-11-21T21:00:00Z"), "Saturday, 22:00");
    assert!(!is_open(&night, "2026-11-20T04:00:00Z"), "Friday, 05:00");
}

#[test]
fn midnight_may_be_written_at_either_end() {
    for to in ["00:00", "24:00"] {
        let late = window(json!({ "zone": "UTC", "from": "22:00", "to": to }));
        assert!(
            is_open(&late, "2026-11-20T23:59:59Z") && !is_open(&late, "2026-11-21T00:00:00Z"),
            "{to}"
        );
    }
}

#[test]
fn the_hour_that_spring_leaves_out_is_in_no_window() {
    let early = window(json!({ "from": "02:00", "to": "03:00" }));
    assert_eq!(open_minutes(&early, "2026-03-28T00:00:00Z", 24), 60);
    assert_eq!(open_minutes(&early, "2026-03-29T00:00:00Z", 22), 0);
    let night = window(json!({ "from": "22:00", "to": "06:00" }));
    assert_eq!(open_minutes(&night, "2026-03-28T12:00:00Z", 24), 7 * 60);
}

#[test]
fn the_hour_that_autumn_shows_twice_is_in_a_window_twice() {
    let early = window(json!({ "from": "02:00", "to": "03:00" }));
    assert_eq!(open_minutes(&early, "2026-10-25T00:00:00Z", 22), 120);
    let night = window(json!({ "from": "22:00", "to": "06:00" }));
    assert_eq!(open_minutes(&night, "2026-10-24T12:00:00Z", 24), 9 * 60);
    // The southern half moves its clocks the other way, and Lord Howe by half an hour only.
    let howe = window(json!({ "zone": "Australia/Lord_Howe", "from": "01:30", "to": "02:00" }));
    assert_eq!(open_minutes(&howe, "2026-04-04T12:00:00Z", 20), 60);
}

#[test]
fn cron_opens_a_window_in_the_minutes_that_match() {
    let office = window(json!({ "cron": ["* 9-16 * * mon-fri", "* 10-11 * * sat"] }));
    assert!(is_open(&office, "2026-11-20T08:00:00Z") && is_open(&office, "2026-11-20T15:59:00Z"));
    assert!(!is_open(&office, "2026-11-20T16:00:00Z"));
    assert!(is_open(&office, "2026-11-21T09:30:00Z") && !is_open(&office, "2026-11-21T11:00:00Z"));
}

#[test]
fn cron_opens_a_window_for_as_long_as_was_said() {
    let weekend = window(json!({ "cron": ["0 18 * * fri"], "for_minutes": 3600 }));
    assert!(!is_open(&weekend, "2026-11-20T16:59:59Z"));
    assert!(is_open(&weekend, "2026-11-20T17:00:00Z"));
    assert!(is_open(&weekend, "2026-11-23T04:59:59Z"), "Monday, 05:59");
    assert!(!is_open(&weekend, "2026-11-23T05:00:00Z"));
    let dense = window(json!({ "cron": ["*/10 * * * *"], "for_minutes": 3 }));
    assert_eq!(open_minutes(&dense, "2026-11-20T00:00:00Z", 24), 24 * 6 * 3);
    let week = window(json!({ "cron": ["0 0 * * mon"], "for_minutes": 10080 }));
    assert_eq!(open_minutes(&week, "2026-11-16T00:00:00Z", 24), 24 * 60);
}

#[test]
fn what_cron_opens_lasts_as_long_while_clocks_are_moved() {
    let backup = window(json!({ "cron": ["30 1 * * *"], "for_minutes": 120 }));
    for day in ["2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z", "2026-11-20T12:00:00Z"] {
        assert_eq!(open_minutes(&backup, day, 24), 120, "{day}");
    }
}

#[test]
fn a_minute_that_the_clock_leaves_out_opens_at_the_one_that_it_shows_instead() {
    let backup = window(json!({ "cron": ["30 2 * * *"], "for_minutes": 10 }));
    assert!(!is_open(&backup, "2026-03-29T01:29:59Z"));
    assert!(
        is_open(&backup, "2026-03-29T01:30:00Z"),
        "03:30, which is what 02:30 became"
    );
    assert_eq!(open_minutes(&backup, "2026-03-28T22:00:00Z", 24), 10);
    assert_eq!(
        open_minutes(&backup, "2026-10-24T22:00:00Z", 25),
        10,
        "the first of two"
    );
    let both = window(json!({ "cron": ["30 2 * * *", "0 3 * * *"], "for_minutes": 15 }));
    assert_eq!(open_minutes(&both, "2026-03-28T22:00:00Z", 24), 30);
    let one = window(json!({ "cron": ["0,30 2-3 * * *"], "for_minutes": 15 }));
    assert_eq!(
        open_minutes(&one, "2026-03-28T22:00:00Z", 24),
        30,
        "02:00 is 03:00, and 02:30 is 03:30"
    );
}

#[test]
fn holidays_are_what_a_window_takes_them_for() {
    // Christmas Eve of 2026 is a Thursday, the 26th a Saturday.
    let holidays = dates(&["12-24", "2026-12-25/2026-12-26"]);
    let cases = [
        ("same", [true, false, true]),
        ("skip", [false, false, true]),
        ("also", [true, true, true]),
        ("only", [true, false, false]),
    ];
    for (holidays_are, expected) in cases {
        let office = window(json!({ "from": "09:00", "to": "17:00", "days": ["mon-fri"], "holidays": holidays_are }));
        let days = ["2026-12-24T10:00:00Z", "2026-12-26T10:00:00Z", "2026-12-28T10:00:00Z"];
        assert_eq!(
            days.map(|day| is_open_with(&office, day, &holidays)),
            expected,
            "{holidays_are}"
        );
    }
}

#[test]
fn dates_open_a_window_on_those_days_alone() {
    let sale = window(json!({ "dates": ["2026-11-27/2026-11-30", "02-29"] }));
    assert!(is_open(&sale, "2026-11-26T23:00:00Z"), "midnight in Berlin");
    assert!(!is_open(&sale, "2026-11-26T22:59:59Z"));
    assert!(is_open(&sale, "2026-11-30T22:59:59Z") && !is_open(&sale, "2026-11-30T23:00:00Z"));
    assert!(is_open(&sale, "2028-02-29T12:00:00Z"));
}

#[test]
fn it_is_said_when_a_window_closes_by_the_quarter_of_an_hour() {
    let peak = window(json!({ "from": "09:00", "to": "17:20", "days": ["mon-fri"] }));
    let at = |utc: &str| peak.closes_in_ms(utc.parse().unwrap(), &[]);
    assert_eq!(at("2026-11-20T15:29:59.900Z"), Some(60 * 60_000 + 100));
    assert_eq!(at("2026-11-20T08:00:00Z"), Some(8 * 3_600_000 + 30 * 60_000));
    let ever = window(json!({ "days": ["mon-sun"] }));
    assert_eq!(ever.closes_in_ms("2026-11-20T08:00:00Z".parse().unwrap(), &[]), None);
}

#[test]
fn the_calendars_ends_are_no_trap() {
    let schedules = [
        window(json!({ "from": "22:00", "to": "06:00" })),
        window(json!({ "cron": ["0 0 * * *"], "for_minutes": 10080 })),
    ];
    for schedule in &schedules {
        for at in [Timestamp::MIN, Timestamp::MAX] {
            let _ = schedule.is_open(at, &[]);
            let _ = schedule.closes_in_ms(at, &[]);
        }
    }
}
