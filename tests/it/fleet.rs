//! Gateways that share budgets through a database: what both spend together stays within the limit, whatever becomes of the database,
//! the way to it, or one of them; who has no budget never notices. The truth is what the provider received.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::config::{openai, route};
use tests::{Answer, Authority, Chaos, Client, Cut, Database, FakeProvider, Gate, Gateway, Home, Reply, Weather};

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
/// What an answer comes to, in nano-dollars: 10 tokens of input and 5 of output.
const ANSWER: u64 = 20_000;

/// A gateway of this name whose route `auto` has a budget, and whose route `free` has none.
fn config(name: &str, provider: &FakeProvider, database: &str, limit_usd: &str) -> String {
    let budget = format!("budget = {{ limit_usd = {limit_usd}, period = \"total\" }}");
    // Longer than a busy machine keeps a database waiting.
    let fleet = format!("[fleet]\nname = \"{name}\"\ndatabase = \"{database}\"\ntimeout_ms = 600\n");
    fleet + &openai("p1", &provider.url()) + &route("auto", &["p1"], &budget) + &route("free", &["p1"], "")
}

async fn joined(home: Home) -> Gateway {
    let gateway = Gateway::start_in(home).await;
    lends(&gateway).await;
    gateway
}

/// Waits until there is somebody to borrow from.
async fn lends(gateway: &Gateway) {
    let shown = |shown: &Value| shown["fleet"]["state"] == "lends";
    gateway.until("/admin/budgets", shown).await;
}

async fn lost(gateway: &Gateway) {
    gateway
        .until("/admin/health", |shown| shown["fleet"]["state"] == "lost")
        .await;
}

fn ask(route: &str, max_tokens: u64) -> Value {
    json!({ "model": route, "max_tokens": max_tokens, "messages": [{ "role": "user", "content": "hello" }] })
}

async fn call(gateway: &Gateway, max_tokens: u64) -> Reply {
    gateway.data().chat(&ask("auto", max_tokens)).await
}

/// Calls until it is served.
async fn served(gateway: &Gateway, max_tokens: u64) {
    let began = Instant::now();
    loop {
        let reply = call(gateway, max_tokens).await;
        if reply.status == 200 {
            return;
        }
        assert!(matches!(reply.status, 429 | 503), "{}", reply.text());
        assert!(began.elapsed() < PATIENCE, "{}", reply.text());
        tokio::time::sleep(PAUSE).await;
    }
}

/// Calls on and on; ends when nothing was served for a while, and says how much was, and how much was not.
async fn spend(gateway: &Gateway, quiet: Duration) -> (usize, usize) {
    let (client, mut counts, mut since) = (gateway.data(), (0, 0), Instant::now());
    while since.elapsed() < quiet {
        let reply = client.chat(&ask("auto", 100)).await;
        match reply.status {
            200 => {
                counts.0 += 1;
                since = Instant::now();
            }
            429 | 503 => {
                counts.1 += 1;
                tokio::time::sleep(PAUSE).await;
            }
            _ => panic!("{}", reply.text()),
        }
    }
    counts
}

/// Calls without a budget are served, whatever happens, until this is told to stop.
async fn free(gateway: &Gateway, mut stop: tokio::sync::watch::Receiver<bool>) -> usize {
    let mut calls = 0;
    while !*stop.borrow_and_update() {
        let reply = gateway.data().chat(&ask("free", 100)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        calls += 1;
        tokio::time::sleep(PAUSE).await;
    }
    calls
}

fn listed(home: &Home) -> Value {
    let output = home.run(&["fleet", "list", "--format", "json", "--config", "pointsman.toml"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Waits until the first gateway has said that it has spent more than before, and holds nothing.
async fn said(home: &Home, before: &Value) {
    let began = Instant::now();
    loop {
        let shown = &listed(home)[0];
        if shown["spent_usd"] != *before && shown["held_usd"] == "0.00" {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{shown}");
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_spend_one_budget_together_and_no_more_than_it() {
    let Some(database) = Database::start() else { return };
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let limit = 10_000_000;
    let home = |name| Home::with_config(&config(name, &provider, &database.url(), "0.01"));
    let early = home("early").run(&["fleet", "list", "--config", "pointsman.toml"]);
    let said = String::from_utf8_lossy(&early.stderr).into_owned();
    assert!(said.contains("no gateway has borrowed there yet"), "{said}");
    let (a, b) = tokio::join!(joined(home("a")), joined(home("b")));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let quiet = Duration::from_secs(5);
    let spending = async {
        let spent = tokio::join!(spend(&a, quiet), spend(&a, quiet), spend(&b, quiet), spend(&b, quiet));
        stop.send_replace(true);
        spent
    };
    let (spent, free_a, free_b) = tokio::join!(spending, free(&a, stopped.clone()), free(&b, stopped));
    let by_a = spent.0.0 + spent.1.0;
    let by_b = spent.2.0 + spent.3.0;
    assert_eq!(provider.journal().len(), by_a + by_b + free_a + free_b);
    let spent = (by_a + by_b) as u64 * ANSWER;
    assert!(spent <= limit && spent >= limit / 100 * 95, "{spent} of {limit}");
    assert!(by_a > 0 && by_b > 0, "{by_a} and {by_b}");
    // Each knows what the other has spent, and says it to whoever is refused.
    let all = |shown: &Value| {
        let budget = &shown["budgets"][0];
        let nano = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap() * 1e9;
        let spent = nano(&budget["spent_usd"]) + nano(&budget["fleet"]["others_spent_usd"]);
        spent.round() as u64
    };
    for gateway in [&a, &b] {
        gateway.until("/admin/budgets", |shown| all(shown) == spent).await;
    }
    call(&a, 100).await.refused(429, "budget_exceeded");
    // Whoever leaves gives back what was not spent.
    let home = b.home().clone();
    assert!(a.stop().await.success());
    let gateways = listed(&home);
    assert_eq!((&gateways[0]["name"], &gateways[1]["name"]), (&json!("a"), &json!("b")));
    assert_eq!(gateways[0]["lent_usd"], gateways[0]["spent_usd"]);
    // Who takes a name that is taken borrows nothing.
    let other = Gateway::start(&config("b", &provider, &database.url(), "0.01")).await;
    other.logged(&["another gateway", "`b`"]).await;
    assert_eq!(call(&other, 100).await.status, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_calls_go_as_far_as_what_was_lent_and_go_on_when_it_is_back() {
    let Some(mut database) = Database::start() else { return };
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let proxy = Chaos::before(database.address()).await;
    let address: SocketAddr = proxy.url().trim_start_matches("http://").parse().unwrap();
    let home = Home::with_config(&config("a", &provider, &database.url_by(address), "1.0"));
    let gateway = joined(home).await;
    served(&gateway, 100).await;
    // A sixteenth of the budget was lent, or some of them; this needs more.
    let (within, beyond) = (1_000, 300_000);
    let without = async |what: &str| {
        call(&gateway, beyond).await.refused(503, "budget_store_unavailable");
        lost(&gateway).await;
        call(&gateway, beyond).await.refused(503, "budget_store_unavailable");
        assert_eq!(call(&gateway, within).await.status, 200, "{what}");
        assert_eq!(gateway.data().chat(&ask("free", 100)).await.status, 200, "{what}");
        assert_eq!(gateway.metric("pointsman_fleet_lost").await, 1.0, "{what}");
    };
    let again = async || {
        lends(&gateway).await;
        assert_eq!(gateway.metric("pointsman_fleet_lost").await, 0.0);
        served(&gateway, 31_000).await;
    };
    database.kill();
    without("killed").await;
    database.run();
    again().await;
    database.suspend();
    without("suspended").await;
    database.resume();
    again().await;
    proxy.set(Weather::Cut(0, Cut::Hang));
    without("cut off").await;
    proxy.set(Weather::Clear);
    again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_database_has_forgotten_is_not_lent_twice() {
    let Some(mut database) = Database::start() else { return };
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let home = |name| Home::with_config(&config(name, &provider, &database.url(), "0.002"));
    let (homes, limit) = ([home("a"), home("b")], 2_000_000);
    let [one, other] = homes.clone();
    let (a, b) = tokio::join!(joined(one), joined(other));
    served(&b, 100).await;
    // A replica that hears nothing of what `a` spends from now on.
    database.copy();
    served(&a, 300).await;
    spend(&a, Duration::from_secs(2)).await;
    let spent = || provider.journal().len() as u64 * ANSWER;
    let before = spent();
    assert!(before <= limit && before > limit / 2, "{before}");
    database.fall_back();
    // Longer than it takes until it lends again.
    spend(&b, Duration::from_secs(4)).await;
    assert!(spent() <= limit, "{} after it fell back", spent());
    // The next process knows what the one before it has spent, though nobody asks it for anything.
    let a = {
        assert!(a.stop().await.success());
        let [home, _] = homes;
        joined(home).await
    };
    database.begin_anew();
    let (_, refused) = spend(&b, Duration::from_secs(4)).await;
    assert!(spent() <= limit, "{} after it was made anew", spent());
    assert!(refused > 0);
    drop(a);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_had_that_was_killed_is_its_own_until_it_is_back_or_forgotten() {
    let Some(database) = Database::start() else { return };
    let gate = Gate::shut();
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let home = |name| Home::with_config(&config(name, &provider, &database.url(), "0.005"));
    let (a, b) = tokio::join!(joined(home("a")), joined(home("b")));
    // `a` borrows some 2 million, spends 20 thousand, and holds some 300 thousand when it is killed.
    served(&a, 1_000).await;
    said(a.home(), &json!("0.00")).await;
    provider.on("/v1/chat/completions", [Answer::chat("hello").held(&gate)]);
    let received = provider.journal().len();
    let data = a.data();
    let waiting = tokio::spawn(async move {
        let mut kept = data.keep().await;
        kept.chat(&ask("auto", 100)).await
    });
    provider.until(|journal| journal.len() > received).await;
    a.signal(Signal::KILL);
    let killed = a.home().clone();
    a.ended().await;
    assert!(waiting.await.unwrap().is_err());
    provider.on("/v1/chat/completions", [Answer::chat("hello")]);
    // 4 million and more are not left to the other one, though not as much is spent.
    call(&b, 2_000).await.refused(429, "budget_exceeded");
    let a = joined(killed.clone()).await;
    served(&b, 2_000).await;
    // The same once more, and this time it does not come back.
    let before = listed(&killed)[0]["spent_usd"].clone();
    served(&a, 1_000).await;
    said(&killed, &before).await;
    a.signal(Signal::KILL);
    a.ended().await;
    call(&b, 2_000).await.refused(429, "budget_exceeded");
    let forgotten = b.home().run(&["fleet", "forget", "a", "--config", "pointsman.toml"]);
    let said = String::from_utf8_lossy(&forgotten.stdout).into_owned();
    assert!(
        forgotten.status.success() && said.contains("route:auto (total"),
        "{forgotten:?}"
    );
    served(&b, 2_000).await;
    let unknown = b.home().run(&["fleet", "forget", "a", "--config", "pointsman.toml"]);
    assert!(!unknown.status.success());
    drop(gate);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_must_prove_its_name_before_it_hears_the_password() {
    let (authority, another) = (Authority::new(), Authority::new());
    let Some(database) = Database::start_with_certificate(&authority, "localhost") else {
        return;
    };
    let provider = FakeProvider::chatting([Answer::chat("hello")]).await;
    let home = |host, trusts: &Authority, settings: &str| {
        let url = database.url_as(host, &format!("sslrootcert=authority.pem&{settings}"));
        let home = Home::with_config(&config("a", &provider, &url, "1.0"));
        home.write("authority.pem", trusts.pem());
        home
    };
    let a = joined(home("localhost", &authority, "sslmode=verify-full")).await;
    served(&a, 100).await;
    let is_encrypted =
        "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'pointsman'";
    assert_eq!(database.answer(is_encrypted), "t");
    assert!(a.stop().await.success());
    // `require` is no less: PostgreSQL's own would take anybody's certificate.
    for (home, reason) in [
        (
            home("localhost", &another, "sslmode=verify-full"),
            "invalid peer certificate",
        ),
        (
            home("localhost", &another, "sslmode=require"),
            "invalid peer certificate",
        ),
        (
            home("127.0.0.1", &authority, "sslmode=verify-full"),
            "not valid for name",
        ),
    ] {
        let listed = home.run(&["fleet", "list", "--config", "pointsman.toml"]);
        let said = String::from_utf8_lossy(&listed.stderr).into_owned();
        assert!(!listed.status.success() && said.contains(reason), "{said}");
        let gateway = Gateway::start_in(home).await;
        call(&gateway, 100).await.refused(503, "budget_store_unavailable");
        let free = gateway.data().chat(&ask("free", 100)).await;
        assert_eq!(free.status, 200, "{}", free.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_takes_over_borrows_by_the_same_name_and_knows_what_was_spent() {
    let Some(database) = Database::start() else { return };
    let gate = Gate::shut();
    let provider = FakeProvider::chatting([Answer::chat("late").held(&gate), Answer::chat("hello")]).await;
    let limit = 1_000_000;
    let first = joined(Home::with_config(&config("a", &provider, &database.url(), "0.001"))).await;
    let address = first.data_address();
    let data = first.data();
    let late = tokio::spawn(async move { data.chat(&ask("auto", 100)).await });
    provider.until(|journal| journal.len() == 1).await;
    served(&first, 100).await;

    let command = first
        .home()
        .command(&["serve", "--config", "pointsman.toml", "--take-over"]);
    let second = Gateway::start_with(first.home().clone(), command).await;
    gate.open();
    assert_eq!(late.await.unwrap().status, 200);
    assert_eq!(first.ended().await.code(), Some(0));
    lends(&second).await;
    assert_eq!(second.data_address(), address);
    let (more, refused) = spend(&second, Duration::from_secs(3)).await;
    assert!(refused > 0);
    let spent = (2 + more) as u64 * ANSWER;
    assert_eq!(provider.journal().len(), 2 + more);
    assert!(spent <= limit && spent > limit / 2, "{spent} of {limit}");
    let refused = Client::new(address).chat(&ask("auto", 100)).await;
    refused.refused(429, "budget_exceeded");
    let home = second.home().clone();
    assert!(second.stop().await.success());
    let listed = listed(&home);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    let usd = format!("{}", spent as f64 / 1e9);
    assert_eq!(
        (listed[0]["spent_usd"].as_str(), listed[0]["held_usd"].as_str()),
        (Some(usd.as_str()), Some("0.00"))
    );
}
