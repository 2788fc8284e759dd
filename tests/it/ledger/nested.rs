//! Budgets of a key, its team and its organisation together: a call fits into all of them, or nothing is reserved in any.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use tests::config::{openai, route};
use tests::gateway::complete;
use tests::{Answer, FakeProvider, Gate, Gateway, Home};

use super::{ask, stopped};

/// A key that was made, and its hash.
fn key(home: &Home) -> (String, String) {
    let output = home.run(&["keys", "hash", "--format", "json"]);
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("key"), text("hash"))
}

#[tokio::test]
async fn two_hundred_calls_of_four_new_keys_are_served_as_far_as_every_budget_above_them_reaches() {
    let home = Home::with_config("");
    let keys: Vec<(String, String)> = (0..4).map(|_| key(&home)).collect();
    let gate = Gate::shut();
    let provider = FakeProvider::chatting([Answer::chat("hello").held(&gate)]).await;
    let ceiling = ask("auto", false).to_string().len() as u64 * 1_000 + 100 * 2_000;
    let limit = |calls: u64| {
        format!(
            "budget = {{ limit_usd = 0.{:09}, period = \"month\" }}",
            calls * ceiling
        )
    };
    let mut config = openai("p1", &provider.url()) + &route("auto", &["p1"], "");
    for (number, (_, hash)) in keys.iter().enumerate() {
        let team = if number < 2 { "one" } else { "two" };
        config += &format!("[keys.k{number}]\nhash = \"{hash}\"\nteam = \"{team}\"\n{}\n", limit(4));
    }
    // The keys of team one could spend eight, the team five, both teams eleven, the organisation ten.
    config += &format!("[teams.one]\norganisation = \"all\"\n{}\n", limit(5));
    config += &format!("[teams.two]\norganisation = \"all\"\n{}\n", limit(6));
    config += &format!("[organisations.all]\n{}\n", limit(10));
    home.write("pointsman.toml", complete(&config));
    let gateway = Gateway::start_in(home).await;
    let clients: Vec<_> = keys
        .iter()
        .map(|(key, _)| gateway.data().with_header("authorization", &format!("Bearer {key}")))
        .collect();
    let mut asking: FuturesUnordered<_> = (0..200)
        .map(|number| {
            let client = &clients[number % 4];
            async move { (number % 4, client.chat(&ask("auto", false)).await) }
        })
        .collect();
    // None is served while the gate is shut.
    for _ in 0..190 {
        let (_, refused) = asking.next().await.unwrap();
        refused.refused(429, "budget_exceeded");
        assert_eq!(refused.header("x-should-retry"), Some("false"));
    }
    (0..10).for_each(|_| gate.open());
    let mut served = [0; 4];
    while let Some((key, reply)) = asking.next().await {
        assert_eq!(reply.status, 200);
        served[key] += 1;
    }
    assert_eq!(provider.journal().len(), 10);
    assert!(served.iter().all(|calls| *calls <= 4), "{served:?}");
    assert!(served[0] + served[1] <= 5 && served[2] + served[3] <= 6, "{served:?}");
    let lines = stopped(gateway, 10).await;
    assert_eq!(lines.len(), 10);
}
