//! Every way that an attempt can end, for whole answers and for streams: what is booked for it, and that nothing stays
//! reserved.

use tests::config::{openai, policy, route};
use tests::{Answer, Authority, End, FakeProvider, Gateway, Home, guests};

use super::{ANSWER, ask, stopped, take_all};

/// What a line is to say.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Booked {
    /// What the provider said.
    Said,
    /// Nothing: the provider answered with an error.
    Nothing,
    /// As much as it can have cost; nobody knows.
    Ceiling,
    /// What came until it broke off, by the gateway's count.
    Counted,
}

use Booked::{Ceiling, Counted, Nothing, Said};

/// One way out: its name, which is also that of its route and its providers, and the lines that are to be there.
type Way = (&'static str, &'static [(&'static str, Booked)]);

/// For both kinds of answer, but for `reset`.
const WAYS: &[Way] = &[
    ("well", &[("answered", Said)]),
    ("refused", &[]),
    ("unknown_host", &[]),
    ("tls", &[]),
    ("status401", &[("authentication", Nothing)]),
    ("status429", &[("rate_limited", Nothing)]),
    ("status500", &[("upstream", Nothing)]),
    ("rubbish", &[("upstream", Ceiling)]),
    ("denied", &[]),
    ("trapped", &[]),
    ("late", &[("timed_out", Ceiling)]),
    ("left", &[("unknown", Ceiling)]),
    ("hedged", &[("unknown", Ceiling), ("answered", Said)]),
    ("reviewed", &[("passed_over", Said), ("answered", Said)]),
    ("asked", &[("answered", Said), ("answered", Said)]),
    ("fallen", &[("upstream", Nothing), ("answered", Said)]),
];

/// A provider of this name behind a path of its own.
fn behind(provider: &FakeProvider, name: &str) -> String {
    openai(name, &format!("{}/{name}", provider.url()))
}

fn script(provider: &FakeProvider, name: &str, answers: impl IntoIterator<Item = Answer>) {
    provider.on(&format!("/{name}/v1/chat/completions"), answers);
}

/// Where nobody listens.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// The gateway with a route for every way, and the provider behind most of them.
async fn with_every_way(is_stream: bool) -> (FakeProvider, FakeProvider, Gateway) {
    let provider = FakeProvider::start().await;
    let strange = FakeProvider::start_tls(Authority::new().server("127.0.0.1", &["http/1.1"])).await;
    let fine = || {
        if is_stream {
            Answer::chat_stream(["one ", "two"])
        } else {
            Answer::chat("hello")
        }
    };
    let mut config = [
        openai("refused", &nowhere()),
        openai("unknown_host", "http://nobody.invalid"),
        openai("tls", &strange.url()),
    ]
    .concat();
    let answers = [
        ("well", fine()),
        ("status401", Answer::error(401, "no")),
        ("status429", Answer::error(429, "slow_down")),
        ("status500", Answer::error(500, "oh")),
        (
            "rubbish",
            Answer::new(200, "application/json", "no json").cut_after(4, End::Close),
        ),
        ("denied", fine()),
        ("trapped", fine()),
        ("late", Answer::never()),
        ("left", Answer::never()),
        ("hedged", Answer::never()),
        ("reviewed", fine()),
        ("asked", fine()),
        ("fallen", Answer::error(500, "oh")),
        ("beside", Answer::chat("hello")),
        ("second", fine()),
    ];
    for (name, answer) in answers {
        script(&provider, name, [answer]);
        config += &behind(&provider, name);
    }
    let reject = "reject = [403, \"denied\", \"not today\"]";
    let hedge = "steps = [{ candidate = \"hedged/model\", hedge_after_ms = 50 }, { candidate = \"second/model\" }]";
    let asks = "asks = [{ model = \"beside/model\", user = \"?\" }]";
    config += &policy("denies", "told.wasm", reject);
    config += &policy("traps", "traps.wasm", "");
    config += &policy("hedges", "told.wasm", hedge);
    config += &policy(
        "reviews",
        "reviews.wasm",
        "opinions = { \"reviewed/model\" = \"next\" }",
    );
    config += &policy("asks", "asks.wasm", asks).replace(
        "[policies.asks.config]",
        "grants = [\"models\"]\nmodels = [\"beside/model\"]\n[policies.asks.config]",
    );
    config += "\n[plugins.limits]\ncall_ms = 20_000\n";
    for (name, _) in WAYS {
        let (second, more): (&[&str], &str) = match *name {
            "denied" => (&[], "policies = [\"denies\"]"),
            "trapped" => (&[], "policies = [\"traps\"]"),
            "late" => (&[], "timeout_ms = 200"),
            "hedged" => (&["second"], "policies = [\"hedges\"]"),
            "reviewed" => (&["second"], "policies = [\"reviews\"]"),
            "asked" => (&[], "policies = [\"asks\"]"),
            "fallen" => (&["second"], ""),
            _ => (&[], "retries = 0"),
        };
        let budget = "\nbudget = { limit_usd = 1, period = \"total\" }";
        config += &route(
            &format!("via-{name}"),
            &[&[*name], second].concat(),
            &format!("{more}{budget}"),
        );
    }
    let home = Home::with_config(&config);
    for (file, guest) in [
        ("told", "decides-as-told"),
        ("traps", "traps"),
        ("reviews", "reviews"),
        ("asks", "asks"),
    ] {
        home.write(&format!("{file}.wasm"), guests::component(guest));
    }
    (provider, strange, Gateway::start_in(home).await)
}

/// Sends a request down one way, and takes what comes.
async fn take(gateway: &Gateway, provider: &FakeProvider, name: &str, is_stream: bool) {
    let (client, ask) = (gateway.data(), ask(&format!("via-{name}"), is_stream));
    if name == "left" {
        let waiting = tokio::spawn(async move { client.chat(&ask).await });
        let path = "/left/v1/chat/completions";
        provider
            .until(|journal| journal.iter().any(|received| received.path == path))
            .await;
        waiting.abort();
    } else {
        take_all(gateway, &ask).await;
    }
}

#[tokio::test]
async fn every_way_out_books_each_attempt_once_and_leaves_nothing_reserved() {
    for is_stream in [false, true] {
        let (provider, _strange, gateway) = with_every_way(is_stream).await;
        for (name, _) in WAYS {
            take(&gateway, &provider, name, is_stream).await;
        }
        provider.settled().await;
        let expected: usize = WAYS.iter().map(|(_, lines)| lines.len()).sum();
        // What reached the provider is what is booked.
        assert_eq!(provider.journal().len(), expected);
        let lines = stopped(gateway, expected).await;
        assert_eq!(lines.len(), expected, "{lines:#?}");
        for (name, wanted) in WAYS {
            let mut found: Vec<(String, Booked)> = Vec::new();
            let route = format!("via-{name}");
            for line in lines.iter().filter(|line| *line.tags.route == *route) {
                let cost = line.cost.expect("every model has a price").0;
                let booked = match (cost, line.is_estimated) {
                    (ANSWER, false) => Said,
                    (0, false) => Nothing,
                    (cost, true) if cost == line.ceiling.0 => Ceiling,
                    (1.., true) => Counted,
                    _ => panic!("{name}: {line:?}"),
                };
                found.push((line.outcome.clone(), booked));
            }
            let wanted: Vec<(String, Booked)> = wanted.iter().map(|(word, cost)| ((*word).to_owned(), *cost)).collect();
            found.sort_by(|a, b| b.0.cmp(&a.0));
            let mut wanted_in_order = wanted.clone();
            wanted_in_order.sort_by(|a, b| b.0.cmp(&a.0));
            assert_eq!(found, wanted_in_order, "{name}, stream: {is_stream}");
        }
    }
}

/// What one request is booked as, when its provider gives this answer.
async fn booked(answer: Answer, is_stream: bool) -> (String, Booked) {
    let provider = FakeProvider::chatting([answer]).await;
    let gateway = Gateway::start(&openai("p1", &provider.url())).await;
    take_all(&gateway, &ask("p1/model", is_stream)).await;
    let lines = stopped(gateway, 1).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    let booked = if line.cost == Some(line.ceiling) {
        Ceiling
    } else {
        Counted
    };
    assert!(
        line.is_estimated && line.cost.is_some_and(|cost| cost.0 > 0),
        "{line:?}"
    );
    (line.outcome.clone(), booked)
}

#[tokio::test]
async fn an_answer_that_breaks_off_costs_what_came_of_it_or_all_that_it_can_have_cost() {
    for end in [End::Close, End::Reset] {
        let whole = Answer::chat("a long answer").cut_after(20, end);
        assert_eq!(booked(whole, false).await, ("upstream".to_owned(), Ceiling));
        let stream = Answer::chat_stream(["one ", "two ", "three"]).cut_after_pieces(2, end);
        assert_eq!(booked(stream, true).await, ("stream_broken".to_owned(), Counted));
        let early = Answer::chat_stream(["one"]).cut_after(3, end);
        assert_eq!(booked(early, true).await, ("upstream".to_owned(), Ceiling));
    }
}

#[tokio::test]
async fn a_step_that_dies_before_the_client_sees_anything_is_booked_beside_the_one_that_answers() {
    let first = FakeProvider::chatting([Answer::chat("a long answer").cut_after(20, End::Reset)]).await;
    let second = FakeProvider::chatting([Answer::chat("hello")]).await;
    let gateway =
        |more: &str| openai("p1", &first.url()) + &openai("p2", &second.url()) + &route("auto", &["p1", "p2"], more);
    let running = Gateway::start(&gateway("")).await;
    let reply = running.data().chat(&ask("auto", false)).await;
    assert_eq!(reply.header("x-pointsman-model"), Some("p2/model"));
    let lines = stopped(running, 2).await;
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0].request, lines[1].request);
    assert_eq!((lines[0].cost, lines[0].is_estimated), (Some(lines[0].ceiling), true));
    assert_eq!((lines[1].cost.unwrap().0, lines[1].is_estimated), (ANSWER, false));

    // The same with money for one attempt only: the second is refused, and nothing goes out for it.
    let most = lines[0].ceiling.0;
    let limit = format!("budget = {{ limit_usd = 0.{most:09}, period = \"total\" }}");
    let running = Gateway::start(&gateway(&limit)).await;
    let reply = running.data().chat(&ask("auto", false)).await;
    reply.refused(429, "budget_exceeded");
    assert_eq!(stopped(running, 1).await.len(), 1);
    assert_eq!((first.journal().len(), second.journal().len()), (2, 1));
}
