//! The store's commands: what is damaged is told, copies are whole, corrections are lines of their own, and nobody opens
//! what somebody else serves from or what a later release wrote.

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use tests::config::{openai, route};
use tests::{Answer, FakeProvider, Gateway, Home};

const FILE: &str = "pointsman-data/pointsman.db";

fn ask() -> Value {
    json!({ "model": "auto", "max_tokens": 100, "messages": [{ "role": "user", "content": "hello" }] })
}

/// A gateway whose calls cost 20,000 nano-dollars each, with this much that it may spend in a month.
async fn gateway(provider: &FakeProvider, limit: &str) -> Gateway {
    let budget = format!("budget = {{ limit_usd = {limit}, period = \"month\" }}");
    Gateway::start(&(openai("p1", &provider.url()) + &route("auto", &["p1"], &budget))).await
}

/// What a command says, with its exit status.
fn run(home: &Home, arguments: &[&str]) -> (Option<i32>, String) {
    let output = home.run(arguments);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// A store of a gateway that has ended, with one call in it.
async fn of_one_call() -> Home {
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let gateway = gateway(&provider, "1").await;
    assert_eq!(gateway.data().chat(&ask()).await.status, 200);
    let home = gateway.home().clone();
    assert!(gateway.stop().await.success());
    home
}

#[tokio::test]
async fn a_store_is_checked_and_copied_while_a_gateway_serves_from_it() {
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let gateway = gateway(&provider, "1").await;
    for _ in 0..3 {
        assert_eq!(gateway.data().chat(&ask()).await.status, 200);
    }
    gateway.shows("/admin/spend").await;
    let home = gateway.home();
    let (code, said) = run(home, &["store", "check"]);
    assert_eq!((code, said.starts_with("good")), (Some(0), true), "{said}");
    assert_eq!(run(home, &["store", "backup", "copy.db"]).0, Some(0));
    assert_eq!(run(home, &["store", "check", "--store", "copy.db"]).0, Some(0));
    let exported = run(home, &["store", "export", "--store", "copy.db"]);
    assert_eq!(exported.1.lines().count(), 3, "{}", exported.1);
    assert_eq!(exported, run(home, &["store", "export"]));
    let rows = run(home, &["store", "export", "--format", "csv", "--from", "-1h"]).1;
    assert!(
        rows.starts_with("id,at,request,") && rows.lines().count() == 4,
        "{rows}"
    );
    // A copy never takes the place of anything.
    let (code, said) = run(home, &["store", "backup", "copy.db"]);
    assert_eq!((code, said.contains("copy.db")), (Some(1), true), "{said}");
}

#[tokio::test]
async fn what_a_disk_turned_over_is_told_and_never_counted() {
    let home = of_one_call().await;
    let whole = fs::read(home.path(FILE)).unwrap();
    let word = b"answered";
    let at = whole.windows(word.len()).position(|bytes| bytes == word).unwrap();
    let mut damaged = whole.clone();
    damaged[at] ^= 1;
    fs::write(home.path(FILE), damaged).unwrap();
    let (code, said) = run(&home, &["store", "check"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("line 1 is not what was written"), "{said}");
    let (code, said) = run(&home, &["store", "export"]);
    assert_eq!((code, said.contains("damaged")), (Some(1), true), "{said}");
    // Nothing that is left of it looks like a store.
    let mut beheaded = whole;
    beheaded[..100].fill(7);
    fs::write(home.path(FILE), beheaded).unwrap();
    for command in [&["store", "check"][..], &["spend"], &["serve"]] {
        let (code, said) = run(&home, command);
        assert_eq!(
            (code, said.contains("not a database")),
            (Some(1), true),
            "{command:?}: {said}"
        );
    }
}

#[tokio::test]
async fn a_store_of_a_later_release_is_refused() {
    let home = of_one_call().await;
    let mut file = fs::read(home.path(FILE)).unwrap();
    // SQLite's `user_version`.
    file[60..64].copy_from_slice(&99_u32.to_be_bytes());
    fs::write(home.path(FILE), file).unwrap();
    for command in [&["serve"][..], &["store", "check"], &["spend"]] {
        let (code, said) = run(&home, command);
        assert_eq!(code, Some(1), "{command:?}");
        assert!(
            said.contains("its schema has version 99") && said.contains("use the release that wrote it"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_migration_that_is_killed_is_done_by_the_next_start() {
    let home = Home::with_config(&openai("p1", "http://127.0.0.1:9"));
    let version = |file: &rusqlite::Connection| -> i64 {
        file.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    };
    let file = home.path(FILE);
    let first = include_str!("../stores/1.sql");
    rusqlite::Connection::open(&file).unwrap().execute_batch(first).unwrap();
    // Whenever it is killed, the store is of one version or of another.
    for pause in 0..12 {
        let mut gateway = home
            .command(&["serve"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        sleep(Duration::from_millis(8 * pause));
        gateway.kill().unwrap();
        gateway.wait().unwrap();
        let store = rusqlite::Connection::open(&file).unwrap();
        let months: i64 = store
            .query_row("SELECT count(*) FROM sums WHERE seconds = 2678400", [], |row| {
                row.get(0)
            })
            .unwrap();
        // The hold that it was left with may be booked by then.
        assert!(
            matches!((version(&store), months), (1, 0) | (2 | 3, 3 | 4)),
            "{months} months"
        );
    }
    let gateway = Gateway::start_in(home.clone()).await;
    let spent = gateway.shows("/admin/spend?by=key&from=1970-01-01").await;
    assert_eq!(spent["total"]["calls"], 4, "{spent}");
    assert!(gateway.stop().await.success());
    let (code, said) = run(&home, &["store", "check"]);
    assert_eq!((code, said.starts_with("good")), (Some(0), true), "{said}");
    assert_eq!(version(&rusqlite::Connection::open(&file).unwrap()), 3);
}

#[tokio::test]
async fn a_second_gateway_on_the_same_store_is_refused() {
    let provider = FakeProvider::start().await;
    let gateway = gateway(&provider, "1").await;
    let (code, said) = run(gateway.home(), &["serve"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("another gateway is serving from it"), "{said}");
}

#[tokio::test]
async fn a_start_without_its_store_ends_with_the_reason_and_one_without_names_of_providers_serves() {
    let good = FakeProvider::chatting([Answer::chat("hello")]).await;
    let nowhere = openai("nowhere", "https://provider.invalid");
    let config = nowhere + &openai("p1", &good.url()) + &route("auto", &["nowhere", "p1"], "");
    let home = Home::with_config(&format!("{config}[store]\npath = \"file/store\"\n"));
    home.write("file", "no folder");
    let (code, said) = run(&home, &["serve"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("file/store"), "{said}");
    // Nobody is looked for before somebody asks.
    let gateway = Gateway::start(&config).await;
    assert_eq!(gateway.admin().get("/readyz").await.status, 200);
    for _ in 0..3 {
        let reply = gateway.data().chat(&ask()).await;
        assert_eq!((reply.status, reply.header("x-pointsman-provider")), (200, Some("p1")));
    }
}

#[tokio::test]
async fn a_correction_is_a_line_of_its_own_and_frees_the_budget_that_it_was_booked_on() {
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    // Enough for one call and a bit: a call may cost a little more than 0.0002 USD before it is known.
    let gateway = gateway(&provider, "0.00034").await.with_token().await;
    let (home, token) = (gateway.home().clone(), gateway.token().to_owned());
    assert_eq!(gateway.data().chat(&ask()).await.status, 200);
    let spent = gateway.shows("/admin/spend").await;
    assert_eq!(spent["total"]["cost_usd"], "0.00002");
    let admin = format!("http://{}", gateway.admin_address());
    let correct = |line: &str, by: &str| {
        let arguments = [
            "store",
            "correct",
            line,
            "--by-usd",
            by,
            "--reason",
            "refunded, ticket 99",
            "--admin",
            &admin,
        ];
        let mut command = home.command(&arguments);
        let output = command.env("POINTSMAN_ADMIN_TOKEN", &token).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    for (line, by, expected) in [
        ("7", "-0.00001", "there is no line 7"),
        ("1", "-0.00003", "below nothing"),
        ("1", "0", "by nothing"),
    ] {
        let (code, said) = correct(line, by);
        assert_eq!((code, said.contains(expected)), (Some(1), true), "{said}");
    }
    let (code, said) = correct("1", "-0.00001");
    assert_eq!((code, said.trim()), (Some(0), "line 2 corrects line 1 by -0.00001 USD"));
    assert!(correct("2", "-0.00001").1.contains("correct line 1"));
    let budgets = gateway.shows("/admin/budgets").await;
    assert_eq!(budgets["budgets"][0]["spent_usd"], "0.00001");
    assert!(gateway.stop().await.success());
    // Where nobody serves, it is done here.
    let (code, said) = correct("1", "-0.000005");
    assert_eq!(
        (code, said.trim()),
        (Some(0), "line 3 corrects line 1 by -0.000005 USD")
    );
    let exported = run(&home, &["store", "export"]).1;
    let lines: Vec<Value> = exported
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (&lines[0]["cost_nano"], &lines[0]["at"]),
        (&json!(20_000), &lines[2]["at"])
    );
    assert_eq!(
        (&lines[2]["corrects"], &lines[2]["corrected_by_nano"]),
        (&json!(1), &json!(-5_000))
    );
    let report: Value = serde_json::from_str(&run(&home, &["spend", "--format", "json"]).1).unwrap();
    assert_eq!(
        (&report["total"]["cost_usd"], &report["total"]["calls"]),
        (&json!("0.000005"), &json!(1))
    );
    assert_eq!(report["total"]["savings_usd"], "0.000015");
    assert_eq!(run(&home, &["store", "check"]).0, Some(0));
}
