//! Bytes that two readers could understand differently, clients that are slow, and headers that are meant for the next
//! server only: what a provider gets is what the client meant, and nobody holds a connection up.

mod floods;
pub(crate) mod frames;
mod patience;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tests::config::openai;
use tests::proxies::Proxy;
use tests::{Answer, Client, FakeProvider, Gateway, not_tested};
use xtask::workspace;

/// Everything ends by itself, and soon.
const IMPATIENT: &str =
    "[server]\nhead_ms = 500\nidle_ms = 500\nbody_grace_ms = 500\naccess_log = true\nstall_ms = 5000\n";

struct Case {
    name: String,
    /// How many requests a strict reader sees.
    expected: usize,
    bytes: Vec<u8>,
    /// Of what may be seen, and of what may not.
    ids: (String, String),
}

fn body(id: &str) -> String {
    format!("{{\"model\":\"one/model\",\"messages\":[{{\"role\":\"user\",\"content\":\"{id}\"}}]}}")
}

fn head(id: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nX-Request-Id: {id}\r\n"
    )
}

fn corpus() -> Vec<Case> {
    let text = std::fs::read_to_string(workspace().join("tests/smuggling/corpus.txt")).unwrap();
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut cases = Vec::new();
    while let (Some(title), Some(bytes)) = (lines.next(), lines.next()) {
        let (name, expected) = title.split_once(" | ").unwrap();
        let number = cases.len();
        let ids = (format!("case-{number}-meant"), format!("case-{number}-smuggled"));
        let (meant, evil) = (body(&ids.0), body(&ids.1));
        let evil = format!(
            "{}Connection: close\r\nContent-Length: {}\r\n\r\n{evil}",
            head(&ids.1),
            evil.len()
        );
        let bytes = unescape(bytes);
        let bytes = [
            ("{post}", head(&ids.0)),
            ("{body}", meant.clone()),
            ("{length}", meant.len().to_string()),
            ("{hex}", format!("{:x}", meant.len())),
            ("{id}", ids.0.clone()),
            ("{evil}", evil),
        ]
        .iter()
        .fold(bytes, |bytes, (name, value)| {
            replace(&bytes, name.as_bytes(), value.as_bytes())
        });
        cases.push(Case {
            name: name.to_owned(),
            expected: expected.parse().unwrap(),
            bytes,
            ids,
        });
    }
    assert!(cases.len() > 100);
    cases
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => bytes.push(match rest.next().unwrap() {
                'r' => b'\r',
                'n' => b'\n',
                't' => b'\t',
                '0' => 0,
                'x' => u8::from_str_radix(&rest.by_ref().take(2).collect::<String>(), 16).unwrap(),
                other => other as u8,
            }),
            other => bytes.push(other as u8),
        }
    }
    bytes
}

fn replace(bytes: &[u8], name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(name.len()).position(|part| part == name) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(value);
        rest = &rest[at + name.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

async fn gateway() -> (FakeProvider, Gateway) {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let gateway = Gateway::start(&(openai("one", &provider.url()) + IMPATIENT)).await;
    (provider, gateway)
}

/// All cases, each on a connection of its own. Some at a time: a proxy has only so many.
async fn send(cases: &[Case], to: SocketAddr) {
    for some in cases.chunks(16) {
        let sending = some.iter().map(|case| {
            let bytes = case.bytes.clone();
            tokio::spawn(async move { Client::new(to).raw(&bytes).await })
        });
        for sent in sending.collect::<Vec<_>>() {
            sent.await.unwrap();
        }
    }
}

/// How often the provider has got what.
fn received(provider: &FakeProvider) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    for received in provider.journal() {
        let said = received.json()["messages"][0]["content"].as_str().unwrap().to_owned();
        *seen.entry(said).or_default() += 1;
    }
    seen
}

#[tokio::test]
async fn a_provider_gets_the_requests_that_were_meant_and_no_others() {
    let (provider, gateway) = gateway().await;
    let cases = corpus();
    send(&cases, gateway.data_address()).await;
    let seen = received(&provider);
    let count = |id: &String| seen.get(id).copied().unwrap_or_default();
    let wrong: Vec<String> = cases
        .iter()
        .filter(|case| (count(&case.ids.0), count(&case.ids.1)) != (case.expected, 0))
        .map(|case| {
            format!(
                "{}: {} and {}, not {}",
                case.name,
                count(&case.ids.0),
                count(&case.ids.1),
                case.expected
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn behind_other_peoples_proxies_no_request_is_seen_that_they_have_not_sent() {
    let cases = corpus();
    for name in ["nginx", "haproxy"] {
        let (provider, gateway) = gateway().await;
        let proxy = match name {
            "nginx" => Proxy::nginx(gateway.data_address()).await,
            _ => Proxy::haproxy(gateway.data_address()).await,
        };
        let Some(proxy) = proxy else {
            not_tested(
                &format!("the gateway behind {name}"),
                &format!("install it: apt-get install {name}"),
            );
            continue;
        };
        send(&cases, proxy.address()).await;
        let sent = proxy.sent();
        let log = gateway.log();
        let seen = received(&provider);
        assert!(
            seen.values().sum::<usize>() > 5,
            "{name} sends hardly anything on: {seen:?}"
        );
        for case in &cases {
            for id in [&case.ids.0, &case.ids.1] {
                let forwarded = sent.iter().filter(|sent| *sent == id).count();
                let taken = log.matches(&format!("request_id={id} ")).count();
                let paid = seen.get(id).copied().unwrap_or_default();
                assert!(
                    taken <= forwarded && paid <= forwarded,
                    "{name}, {}: {id} was sent {forwarded} times, and taken {taken} and {paid} times",
                    case.name
                );
            }
        }
    }
}
