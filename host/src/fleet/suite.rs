//! What every lender promises, tried on the one in memory, and on PostgreSQL where there is one.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::memory::Bank;
use super::postgres::{Database, Postgres};
use super::{Account, Answer, Entry, Fault, Lender, Terms};

/// Lenders of one place, by the names of their gateways; each call is a new one.
type Open<'a> = &'a dyn Fn(&str) -> Box<dyn Lender>;

const LIMIT: i64 = 1_600;

fn account(scope: &str) -> Account {
    Account {
        scope: scope.to_owned(),
        period: "month".to_owned(),
        zone: "UTC".to_owned(),
        start_ms: 0,
        end_ms: u64::MAX,
    }
}

/// What a gateway says that was lent so much, and has spent and holds so much of it.
fn says(scope: &str, [lent, spent, held]: [i64; 3]) -> Entry {
    Entry {
        account: account(scope),
        lent,
        spent,
        held,
        limit: LIMIT,
        need: 0,
        want: 0,
    }
}

/// What it asks for beyond that.
fn asks(scope: &str, has: [i64; 3], need: i64, want: i64) -> Entry {
    let said = says(scope, has);
    Entry { need, want, ..said }
}

fn joined(lender: &mut dyn Lender) -> Vec<Account> {
    let began = Instant::now();
    loop {
        match lender.join() {
            Ok(accounts) => return accounts,
            Err(fault) => assert!(began.elapsed() < Duration::from_secs(20), "{fault}"),
        }
        sleep(Duration::from_millis(20));
    }
}

/// What a lender says once it has heard everybody.
fn settled(lender: &mut dyn Lender, entries: &[Entry]) -> Vec<Terms> {
    let began = Instant::now();
    loop {
        match lender.exchange(entries) {
            Ok(Answer {
                is_settling: false,
                terms,
            }) => return terms,
            Ok(_) => assert!(began.elapsed() < Duration::from_secs(20), "it never settles"),
            Err(fault) => {
                assert!(began.elapsed() < Duration::from_secs(20), "{fault}");
                joined(lender);
            }
        }
        sleep(Duration::from_millis(20));
    }
}

fn one(lender: &mut dyn Lender, entry: Entry) -> Terms {
    settled(lender, &[entry])[0]
}

fn all(open: Open<'_>) {
    nobody_is_lent_what_another_has(open);
    what_is_needed_is_lent_or_nothing(open);
    what_is_given_back_is_lent_to_others(open);
    what_was_spent_beyond_what_was_lent_counts(open);
    what_an_earlier_connection_says_is_not_heard(open);
    a_gateway_finds_what_it_was_lent(open);
}

fn nobody_is_lent_what_another_has(open: Open<'_>) {
    let (mut a, mut b) = (open("a"), open("b"));
    joined(a.as_mut());
    joined(b.as_mut());
    let first = one(a.as_mut(), asks("key:1", [0; 3], 10, 10));
    // A share of what is left, since more was not asked for.
    assert_eq!((first.lent, first.unlent, first.is_wanted), (100, 1_500, false));
    let second = one(b.as_mut(), asks("key:1", [0; 3], 700, 1_000));
    assert_eq!((second.lent, second.unlent), (1_000, 500));
    let third = one(a.as_mut(), asks("key:1", [100, 20, 30], 1, 9_999));
    assert_eq!((third.lent, third.unlent), (600, 0));
    // Each hears what the other has spent and holds.
    let heard = one(b.as_mut(), says("key:1", [1_000, 0, 0]));
    assert_eq!((heard.spent, heard.held, heard.lent), (20, 30, 1_000));
    // Other budgets, and other windows of the same one, have nothing to do with it.
    let mut other = asks("key:1", [0; 3], 1_600, 1_600);
    other.account.start_ms = 5;
    let terms = settled(b.as_mut(), &[other, asks("key:2", [0; 3], 1_600, 1_600)]);
    assert_eq!(terms.iter().map(|terms| terms.lent).collect::<Vec<_>>(), [1_600, 1_600]);
}

fn what_is_needed_is_lent_or_nothing(open: Open<'_>) {
    let (mut a, mut b) = (open("a"), open("b"));
    joined(a.as_mut());
    joined(b.as_mut());
    one(a.as_mut(), asks("team:need", [0; 3], 1_500, 1_500));
    let short = one(b.as_mut(), asks("team:need", [0; 3], 101, 200));
    assert_eq!((short.lent, short.unlent), (0, 100));
    // The other hears that it is short, until it is not.
    assert!(one(a.as_mut(), says("team:need", [1_500, 0, 0])).is_wanted);
    let less = one(b.as_mut(), asks("team:need", [0; 3], 100, 200));
    assert_eq!((less.lent, less.unlent), (100, 0));
    assert!(!one(a.as_mut(), says("team:need", [1_500, 0, 0])).is_wanted);
}

fn what_is_given_back_is_lent_to_others(open: Open<'_>) {
    let (mut a, mut b) = (open("a"), open("b"));
    joined(a.as_mut());
    joined(b.as_mut());
    one(a.as_mut(), asks("route:back", [0; 3], 1_600, 1_600));
    one(a.as_mut(), says("route:back", [300, 200, 100]));
    assert_eq!(one(b.as_mut(), asks("route:back", [0; 3], 1_300, 1_300)).lent, 1_300);
}

fn what_was_spent_beyond_what_was_lent_counts(open: Open<'_>) {
    let (mut a, mut b) = (open("a"), open("b"));
    joined(a.as_mut());
    joined(b.as_mut());
    one(a.as_mut(), says("model:over", [100, 1_400, 300]));
    let terms = one(b.as_mut(), asks("model:over", [0; 3], 1, 1));
    assert_eq!((terms.lent, terms.unlent), (0, -100));
    // A correction takes from what was spent.
    one(a.as_mut(), says("model:over", [0, -50, 0]));
    assert_eq!(one(b.as_mut(), asks("model:over", [0; 3], 1_600, 1_600)).lent, 1_600);
}

fn what_an_earlier_connection_says_is_not_heard(open: Open<'_>) {
    let (mut before, mut after, mut other) = (open("a"), open("a"), open("b"));
    joined(before.as_mut());
    one(before.as_mut(), asks("label:a=b", [0; 3], 100, 100));
    joined(after.as_mut());
    joined(other.as_mut());
    one(after.as_mut(), asks("label:a=b", [100, 0, 0], 900, 900));
    let late: Result<Answer, Fault> = before.exchange(&[says("label:a=b", [100, 0, 0])]);
    assert!(late.is_err(), "{late:?}");
    assert_eq!(one(other.as_mut(), asks("label:a=b", [0; 3], 600, 600)).lent, 600);
}

fn a_gateway_finds_what_it_was_lent(open: Open<'_>) {
    let mut a = open("finder");
    assert_eq!(joined(a.as_mut()), []);
    one(a.as_mut(), asks("provider:x", [0; 3], 100, 100));
    let mut again = open("finder");
    assert_eq!(joined(again.as_mut()), [account("provider:x")]);
}

#[test]
fn a_lender_in_memory_keeps_what_lenders_promise() {
    let bank = Bank::default();
    all(&|name| Box::new(bank.teller(name)));
}

#[test]
fn postgres_keeps_what_lenders_promise() {
    let Some(mut server) = tests::Database::start() else {
        return;
    };
    let database = Database::parse(&server.url(), Path::new("")).unwrap();
    let open = |name: &str, store: &str| {
        let patience = Duration::from_secs(10);
        Postgres::new(database.clone(), name, store, patience).unwrap()
    };
    all(&|name| Box::new(open(name, name)));
    // Another store's gateway cannot go by the name.
    let fault = open("a", "another").join().unwrap_err().to_string();
    assert!(fault.contains("pointsman fleet forget a"), "{fault}");
    // A crash loses nothing, and everybody is heard before more is lent.
    let (mut a, mut b) = (open("a", "a"), open("b", "b"));
    joined(&mut a);
    joined(&mut b);
    one(&mut a, asks("key:crash", [0; 3], 1_000, 1_000));
    server.kill();
    assert!(a.exchange(&[]).is_err());
    server.run();
    joined(&mut b);
    let asked = b.exchange(&[asks("key:crash", [0; 3], 600, 600)]).unwrap();
    assert_eq!(
        (asked.is_settling, asked.terms[0].lent, asked.terms[0].unlent),
        (true, 0, 600)
    );
    assert_eq!(one(&mut b, asks("key:crash", [0; 3], 600, 600)).lent, 600);
    // The tables are gone: what a gateway knows it was lent is its own as before.
    joined(&mut a);
    one(&mut a, says("key:crash", [1_000, 0, 0]));
    server.answer("DROP TABLE pointsman_fleet, pointsman_gateways, pointsman_leases");
    assert!(a.exchange(&[]).is_err());
    joined(&mut a);
    joined(&mut b);
    let asked = b.exchange(&[asks("key:crash", [600, 0, 0], 500, 500)]).unwrap();
    assert_eq!((asked.is_settling, asked.terms[0].lent), (true, 600));
    let told = a.exchange(&[says("key:crash", [1_000, 0, 0])]).unwrap();
    assert_eq!((told.is_settling, told.terms[0].lent), (true, 1_000));
    assert_eq!(one(&mut b, asks("key:crash", [600, 0, 0], 500, 500)).lent, 600);
}

#[test]
fn what_the_database_is_called_says_how_it_is_spoken_to() {
    let parse = |url: &str| Database::parse(url, Path::new("")).map(|_| ());
    for good in [
        "postgres://u:p@localhost/db",
        "postgresql://u@10.0.0.1:5433/db?sslmode=disable",
        "postgres://u:p@db.internal/db?sslmode=verify-full&target_session_attrs=read-write",
        "postgres://u@%2Fvar%2Frun%2Fpostgresql/db",
    ] {
        assert_eq!(parse(good), Ok(()), "{good}");
    }
    for bad in [
        "mysql://u:a-password@localhost/db",
        "postgres://u:a-password@localhost/db?sslmode=prefer",
        "postgres://u:a-password@localhost/db?what=ever",
        "postgres://u:a-password@/db",
        "postgres://u:a-password@db.internal/db?sslrootcert=nowhere.pem",
    ] {
        let message = parse(bad).unwrap_err();
        assert!(!message.contains("a-password") && !message.is_empty(), "{message}");
    }
}
