//! Answers to equal requests: when one is given again, to whom, and what becomes of requests that come at one time. The
//! provider's journal says who was asked.

use serde_json::{Value, json};
use tests::config::{openai, policy, route};
use tests::{Answer, End, Ending, FakeProvider, Gate, Gateway, Home, Reply, guests};

/// With temperature 0, so that the cache is for it.
fn ask(text: &str) -> Value {
    json!({ "model": "auto", "temperature": 0, "messages": [{ "role": "user", "content": text }] })
}

fn streamed(text: &str, wants_usage: bool) -> Value {
    let mut ask = ask(text);
    ask["stream"] = true.into();
    ask["stream_options"] = json!({ "include_usage": wants_usage });
    ask
}

/// A gateway whose route leads to this provider and keeps answers as these settings say.
async fn keeping(provider: &FakeProvider, settings: &str) -> Gateway {
    let route = route("auto", &["p1"], &format!("retries = 0\ncache = {{ {settings} }}"));
    Gateway::start(&(openai("p1", &provider.url()) + &route)).await
}

#[track_caller]
fn word(reply: &Reply) -> &str {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("x-pointsman-cache").unwrap_or("none")
}

async fn outcomes(gateway: &Gateway) -> [f64; 3] {
    let mut counts = [0.0; 3];
    for (count, outcome) in counts.iter_mut().zip(["hit", "miss", "bypass"]) {
        let series = format!("pointsman_cache_requests_total{{outcome=\"{outcome}\"}}");
        *count = gateway.metric(&series).await;
    }
    counts
}

#[tokio::test]
async fn an_equal_request_has_the_same_answer_for_nothing() {
    let provider = FakeProvider::chatting([Answer::chat("first"), Answer::chat("second")]).await;
    let gateway = keeping(&provider, "").await;
    let first = gateway.data().chat(&ask("hello")).await;
    assert_eq!(
        (word(&first), first.header("x-pointsman-cost-usd")),
        ("miss", Some("0.00002"))
    );
    // The same in other words: order, white space, numbers, and who asks.
    let text = r#"{ "user": "me", "metadata": {"a": "b"}, "stream": false, "temperature": 0.0,
        "messages": [ {"content": "h\u0065llo", "role": "user"} ], "model": "auto" }"#;
    let json = [("content-type", "application/json")];
    let again = gateway
        .data()
        .send("POST".parse().unwrap(), "/v1/chat/completions", &json, text)
        .await;
    assert_eq!(word(&again), "hit");
    assert_eq!(again.body, first.body);
    let shown = [
        "x-pointsman-cost-usd",
        "x-pointsman-model",
        "x-pointsman-provider",
        "x-pointsman-attempts",
    ];
    let shown = shown.map(|name| again.header(name).unwrap());
    assert_eq!(shown, ["0.00", "p1/model", "p1", "0"]);
    assert!(
        again.header("age").is_some_and(|age| age.parse::<u64>().is_ok()),
        "{:?}",
        again.headers
    );
    assert_eq!(provider.journal().len(), 1);

    let cache = gateway.shows("/admin/cache").await;
    let figures = ["entries", "hits", "misses", "saved_usd"].map(|name| cache[name].clone());
    assert_eq!(figures, [json!(1), json!(1), json!(1), json!("0.00002")]);
    assert_eq!(gateway.metric("pointsman_cache_saved_usd_total").await, 0.00002);
    let served = r#"pointsman_requests_total{route="auto",status="200"}"#;
    assert_eq!(gateway.metric(served).await, 2.0);
}

#[tokio::test]
async fn another_question_has_another_answer() {
    let provider = FakeProvider::chatting([Answer::chat("any")]).await;
    let gateway = keeping(&provider, "").await;
    let mut others = vec![ask("hello"), ask("Hello"), ask("hello ")];
    for (field, value) in [
        ("seed", json!(1)),
        ("max_tokens", json!(5)),
        ("tools", json!([{ "type": "function", "function": { "name": "f" } }])),
        ("an_extension", json!(true)),
        ("model", json!("p1/model")),
    ] {
        let mut other = ask("hello");
        other[field] = value;
        others.push(other);
    }
    for other in &others {
        let reply = gateway.data().chat(other).await;
        // A model that is asked for by its id has no settings of a route.
        let expected = if other["model"] == "auto" { "miss" } else { "none" };
        assert_eq!(word(&reply), expected, "{other}");
    }
    assert_eq!(provider.journal().len(), others.len());
}

#[tokio::test]
async fn only_what_is_asked_for_at_temperature_0_is_kept_unless_somebody_says_otherwise() {
    let provider = FakeProvider::chatting([Answer::chat("any")]).await;
    let gateway = keeping(&provider, "").await;
    let mut warm = ask("hello");
    warm["temperature"] = 0.7.into();
    for _ in 0..2 {
        assert_eq!(word(&gateway.data().chat(&warm).await), "bypass");
    }
    let using = gateway.data().with_header("x-pointsman-cache", "use");
    assert_eq!(word(&using.chat(&warm).await), "miss");
    assert_eq!(word(&using.chat(&warm).await), "hit");
    assert_eq!(outcomes(&gateway).await, [1.0, 1.0, 2.0]);

    let gateway = keeping(&provider, "any_temperature = true").await;
    let mut two = warm.clone();
    two["n"] = 2.into();
    assert_eq!(word(&gateway.data().chat(&two).await), "miss");
    assert_eq!(word(&gateway.data().chat(&two).await), "hit");
}

#[tokio::test]
async fn a_client_may_pass_the_cache_by_or_have_an_answer_renewed() {
    let answers = ["old", "passing", "no store", "new"].map(Answer::chat);
    let provider = FakeProvider::chatting(answers).await;
    let gateway = keeping(&provider, "").await;
    let content = |reply: &Reply| reply.json()["choices"][0]["message"]["content"].clone();
    let told = |name: &'static str, value: &'static str| gateway.data().with_header(name, value);
    let cases = [
        (gateway.data(), "miss", "old"),
        (told("x-pointsman-cache", "bypass"), "bypass", "passing"),
        (told("cache-control", "no-store"), "bypass", "no store"),
        (gateway.data(), "hit", "old"),
        (told("x-pointsman-cache", "refresh"), "miss", "new"),
        (gateway.data(), "hit", "new"),
    ];
    for (client, expected, text) in cases {
        let reply = client.chat(&ask("hello")).await;
        assert_eq!((word(&reply), content(&reply)), (expected, json!(text)));
    }
    let odd = told("x-pointsman-cache", "perhaps").chat(&ask("hello")).await;
    assert!(odd.refused(400, "invalid_value").contains("`perhaps`"));
}

#[tokio::test]
async fn a_header_opens_the_cache_only_where_the_configuration_lets_it() {
    let provider = FakeProvider::chatting([Answer::chat("any")]).await;
    let plain = openai("p1", &provider.url()) + &route("auto", &["p1"], "");
    let gateway = Gateway::start(&plain).await;
    let using = gateway.data().with_header("x-pointsman-cache", "use");
    for _ in 0..2 {
        assert_eq!(word(&using.chat(&ask("hello")).await), "bypass");
    }
    assert_eq!(word(&gateway.data().chat(&ask("hello")).await), "none");
    gateway.write_config(&(plain + "\n[cache]\non_request = true\n"));
    assert_eq!(gateway.reload().await.status, 200);
    assert_eq!(word(&using.chat(&ask("hello")).await), "miss");
    assert_eq!(word(&using.chat(&ask("hello")).await), "hit");
    assert_eq!(word(&gateway.data().chat(&ask("hello")).await), "none");
}

#[tokio::test]
async fn a_stream_is_given_again_as_the_same_stream() {
    let provider = FakeProvider::chatting([Answer::chat_stream(["one ", "two"])]).await;
    let gateway = keeping(&provider, "").await;
    for wants_usage in [false, true] {
        let mut both = Vec::new();
        for expected in ["miss", "hit"] {
            let stream = gateway.data().chat_stream(&streamed("hello", wants_usage)).await;
            assert_eq!(stream.header("x-pointsman-cache"), Some(expected));
            assert_eq!(stream.header("content-type"), Some("text/event-stream"));
            let (mut events, ending) = stream.rest().await;
            assert_eq!((ending, events.pop().unwrap().data.as_str()), (Ending::Whole, "[DONE]"));
            both.push(events.iter().map(|event| event.json()).collect::<Vec<_>>());
        }
        if wants_usage {
            // Usage stays as the answer said; what it cost is what this request has cost.
            let costs = both.iter_mut().map(|events| {
                let usage = events.last_mut().unwrap()["usage"].as_object_mut().unwrap();
                usage.remove("cost_details");
                usage.remove("cost").unwrap()
            });
            assert_eq!(costs.collect::<Vec<_>>(), [json!(0.00002), json!(0.0)]);
        }
        assert_eq!(both[0], both[1]);
    }
    // Streams and whole answers do not stand for each other.
    assert_eq!(provider.journal().len(), 2);
    provider.on("/v1/chat/completions", [Answer::chat("whole")]);
    assert_eq!(word(&gateway.data().chat(&ask("hello")).await), "miss");
}

#[tokio::test]
async fn fifty_equal_requests_at_one_time_are_one_call() {
    for is_stream in [false, true] {
        let gate = Gate::shut();
        let answer = if is_stream {
            Answer::chat_stream(["one ", "two"]).held_after(1, &gate)
        } else {
            Answer::chat("one two").held(&gate)
        };
        let provider = FakeProvider::chatting([answer]).await;
        let gateway = keeping(&provider, "").await;
        let mut asking = Vec::new();
        for _ in 0..50 {
            let client = gateway.data();
            asking.push(tokio::spawn(async move {
                let mut body = ask("hello");
                body["stream"] = is_stream.into();
                let reply = client.chat(&body).await;
                (word(&reply).to_owned(), reply.body)
            }));
        }
        all_in_flight(&gateway, 50.0).await;
        gate.open();
        let mut replies = Vec::new();
        for one in asking {
            replies.push(one.await.unwrap());
        }
        assert_eq!(provider.journal().len(), 1);
        assert_eq!(replies.iter().filter(|(word, _)| word == "hit").count(), 49);
        assert!(replies.iter().all(|(_, body)| *body == replies[0].1));
    }
}

#[tokio::test]
async fn who_waits_takes_over_when_the_first_leaves_or_fails() {
    for leaves in [true, false] {
        let gate = Gate::shut();
        let first = if leaves {
            Answer::never()
        } else {
            Answer::chat("half").cut_after(30, End::Reset).held(&gate)
        };
        let provider = FakeProvider::chatting([first, Answer::chat("second")]).await;
        let gateway = keeping(&provider, "").await;
        let chat = || {
            let client = gateway.data();
            tokio::spawn(async move { client.chat(&ask("hello")).await })
        };
        let leader = chat();
        provider.until(|journal| journal.len() == 1).await;
        let others = [chat(), chat(), chat()];
        all_in_flight(&gateway, 4.0).await;
        gate.open();
        if leaves {
            leader.abort();
        } else {
            leader.await.unwrap().refused(502, "upstream_error");
        }
        let mut words = Vec::new();
        for other in others {
            words.push(word(&other.await.unwrap()).to_owned());
        }
        words.sort();
        assert_eq!(words, ["hit", "hit", "miss"]);
        assert_eq!(provider.journal().len(), 2);
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_disturbs_nobody() {
    let gate = Gate::shut();
    let provider = FakeProvider::chatting([Answer::chat("one").held(&gate)]).await;
    let gateway = keeping(&provider, "").await;
    let chat = || {
        let client = gateway.data();
        tokio::spawn(async move { client.chat(&ask("hello")).await })
    };
    let leader = chat();
    provider.until(|journal| journal.len() == 1).await;
    let (leaves, stays) = (chat(), chat());
    all_in_flight(&gateway, 3.0).await;
    leaves.abort();
    all_in_flight(&gateway, 2.0).await;
    gate.open();
    assert_eq!(word(&leader.await.unwrap()), "miss");
    assert_eq!(word(&stays.await.unwrap()), "hit");
    assert_eq!(provider.journal().len(), 1);
}

#[tokio::test]
async fn what_is_not_a_good_whole_answer_is_not_kept() {
    let filtered = Answer::json(
        200,
        &json!({ "choices": [{ "message": { "content": "cut" }, "finish_reason": "content_filter" }] }),
    );
    let cut = Answer::chat_stream(["one", "two"]).cut_after_pieces(1, End::Close);
    for (bad, is_stream) in [(Answer::error(500, "oops"), false), (filtered, false), (cut, true)] {
        let good = if is_stream {
            Answer::chat_stream(["good"])
        } else {
            Answer::chat("good")
        };
        let provider = FakeProvider::chatting([bad, good]).await;
        let gateway = keeping(&provider, "").await;
        let mut body = ask("hello");
        body["stream"] = is_stream.into();
        let mut words = Vec::new();
        for _ in 0..3 {
            let mut stream = gateway.data().chat_stream(&body).await;
            words.push(stream.header("x-pointsman-cache").unwrap_or("none").to_owned());
            while stream.next().await.is_some() {}
        }
        assert_eq!(words[1..], ["miss", "hit"]);
        assert_eq!(provider.journal().len(), 2);
    }
}

#[tokio::test]
async fn an_answer_that_stood_in_for_another_is_not_kept() {
    let (first, second) = (
        FakeProvider::chatting([Answer::error(500, "oops"), Answer::chat("first")]).await,
        FakeProvider::chatting([Answer::chat("second")]).await,
    );
    let config = [
        openai("p1", &first.url()),
        openai("p2", &second.url()),
        route("auto", &["p1", "p2"], "cache = {}"),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    for (expected, model) in [("miss", "p2/model"), ("miss", "p1/model"), ("hit", "p1/model")] {
        let reply = gateway.data().chat(&ask("hello")).await;
        assert_eq!(
            (word(&reply), reply.header("x-pointsman-model")),
            (expected, Some(model))
        );
    }
}

#[tokio::test]
async fn an_answer_is_given_again_only_for_so_long() {
    let provider = FakeProvider::chatting([Answer::chat("any")]).await;
    let gateway = keeping(&provider, "ttl_seconds = 1").await;
    while provider.journal().len() < 2 {
        gateway.data().chat(&ask("hello")).await;
    }
    let [_, misses, _] = outcomes(&gateway).await;
    assert_eq!(misses, 2.0);
}

#[tokio::test]
async fn answers_have_bounded_room() {
    let provider = FakeProvider::chatting([Answer::chat(&"long ".repeat(400))]).await;
    let config = openai("p1", &provider.url()) + &route("auto", &["p1"], "cache = {}");
    let bounded = |bounds: &str| format!("{config}\n[cache]\n{bounds}\n");
    let gateway = Gateway::start(&bounded("memory_bytes = 6000\ndisk_bytes = 0")).await;
    for text in ["one", "two", "three"] {
        gateway.data().chat(&ask(text)).await;
    }
    let cache = gateway.shows("/admin/cache").await;
    assert_eq!((&cache["entries"], &cache["evictions"]), (&json!(2), &json!(1)));
    assert!(
        cache["bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes > 4000 && bytes <= 6000),
        "{cache}"
    );
    assert_eq!(word(&gateway.data().chat(&ask("one")).await), "miss");
    assert_eq!(word(&gateway.data().chat(&ask("three")).await), "hit");
    gateway.write_config(&bounded("entry_bytes = 1000"));
    assert_eq!(gateway.reload().await.status, 200);
    for _ in 0..2 {
        assert_eq!(word(&gateway.data().chat(&ask("four")).await), "miss");
    }
}

#[tokio::test]
async fn what_memory_has_no_room_for_or_a_restart_clears_is_in_the_store() {
    let provider = FakeProvider::chatting([Answer::chat(&"long ".repeat(400))]).await;
    let config = openai("p1", &provider.url()) + &route("auto", &["p1"], "cache = {}") + "\n[cache]\n";
    let gateway = Gateway::start(&(config.clone() + "memory_bytes = 3000")).await;
    for text in ["one", "two"] {
        assert_eq!(word(&gateway.data().chat(&ask(text)).await), "miss");
    }
    assert_eq!(gateway.shows("/admin/cache").await["entries"], 1);
    // Answers are written some time soon; a report waits for all that there is.
    gateway.shows("/admin/spend").await;
    let first = gateway.data().chat(&ask("one")).await;
    assert_eq!(word(&first), "hit");
    let home = gateway.home().clone();
    assert!(gateway.stop().await.success());
    let gateway = Gateway::start_in(home).await;
    let again = gateway.data().chat(&ask("one")).await;
    assert_eq!((word(&again), again.json()), ("hit", first.json()));
    // What is emptied is gone from the disk as well, and what has no room there is not written.
    let removed = gateway
        .admin()
        .send("DELETE".parse().unwrap(), "/admin/cache", &[], "")
        .await;
    assert_eq!(removed.json(), json!({ "removed": 2 }));
    assert_eq!(word(&gateway.data().chat(&ask("one")).await), "miss");
    gateway.write_config(&(config + "memory_bytes = 0\ndisk_bytes = 0"));
    assert_eq!(gateway.reload().await.status, 200);
    assert_eq!(word(&gateway.data().chat(&ask("one")).await), "miss");
    assert_eq!(provider.journal().len(), 4);
}

#[tokio::test]
async fn what_a_policy_refuses_is_refused_whatever_is_kept() {
    let provider = FakeProvider::chatting([Answer::chat("any")]).await;
    let config = |verdict: &str| {
        [
            openai("p1", &provider.url()),
            policy("told", "told.wasm", verdict),
            route("auto", &["p1"], "policies = [\"told\"]\ncache = {}"),
        ]
        .concat()
    };
    let home = Home::with_config(&config("steps = [{ candidate = \"p1/model\" }]"));
    home.write("told.wasm", guests::component("decides-as-told"));
    let gateway = Gateway::start_in(home).await;
    assert_eq!(word(&gateway.data().chat(&ask("hello")).await), "miss");
    assert_eq!(word(&gateway.data().chat(&ask("hello")).await), "hit");
    gateway.write_config(&config("reject = [403, \"no\", \"not today\"]"));
    assert_eq!(gateway.reload().await.status, 200);
    gateway.data().chat(&ask("hello")).await.refused(403, "no");
}

#[tokio::test]
async fn a_reload_leaves_answers_alone_unless_it_changes_who_gives_them() {
    let provider = FakeProvider::chatting([Answer::chat("any")]).await;
    let config = openai("p1", &provider.url()) + &route("auto", &["p1"], "cache = {}");
    let gateway = Gateway::start(&config).await;
    assert_eq!(word(&gateway.data().chat(&ask("hello")).await), "miss");
    gateway.write_config(&format!("{config}\n[server]\naccess_log = true\n"));
    assert_eq!(gateway.reload().await.status, 200);
    assert_eq!(word(&gateway.data().chat(&ask("hello")).await), "hit");
    gateway.write_config(&config.replace("upstream-model", "upstream-model-2"));
    assert_eq!(gateway.reload().await.status, 200);
    assert_eq!(word(&gateway.data().chat(&ask("hello")).await), "miss");
}

#[tokio::test]
async fn an_operator_empties_the_cache() {
    let provider = FakeProvider::chatting([Answer::chat("any")]).await;
    let gateway = keeping(&provider, "").await;
    gateway.data().chat(&ask("hello")).await;
    let removed = gateway
        .admin()
        .send("DELETE".parse().unwrap(), "/admin/cache", &[], "")
        .await;
    assert_eq!((removed.status, removed.json()), (200, json!({ "removed": 1 })));
    assert_eq!(gateway.shows("/admin/cache").await["entries"], 0);
    assert_eq!(word(&gateway.data().chat(&ask("hello")).await), "miss");
    assert_eq!(gateway.admin().post("/admin/cache", &json!({})).await.status, 405);
}

/// Waits until so many requests are being served.
async fn all_in_flight(gateway: &Gateway, count: f64) {
    while gateway.metric("pointsman_in_flight").await != count {
        tokio::task::yield_now().await;
    }
}
