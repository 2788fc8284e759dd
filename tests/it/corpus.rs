//! Many prompts, two ways: `pointsman explain` and the running gateway must make the same decision, by every policy in the
//! box, and the share of each model is what it was when its figures were written down. `explain` decides of all of them; of
//! the many prompts of benchmarks the gateway is sent some, other ones by each route. The prompts are a few of our own and,
//! where they are at hand, some ten thousand of public benchmarks; those are looked for in `routing/open/` below the folder that
//! `POINTSMAN_SHARED` names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tests::{Gateway, Home, not_tested};
use tokio::task::JoinSet;
use xtask::workspace;

const CONFIG: &str = include_str!("../corpus/routes.toml");

/// A policy each, by the names of their routes.
const ROUTES: [&str; 6] = [
    "keyword",
    "density",
    "indicators",
    "seven-signals",
    "budget",
    "weighted",
];

/// Requests that are under way at the same time, each on a connection of its own.
const CONNECTIONS: usize = 8;

/// Set, it makes these tests write down what they have found.
const RENEW: &str = "POINTSMAN_RENEW";

#[derive(Debug, Clone)]
struct Prompt {
    id: String,
    text: String,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decision {
    model: String,
    reason: String,
}

/// What is written down of a corpus.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Figures {
    prompts: usize,
    /// Of the ids and texts: other prompts have other figures.
    sha256: String,
    /// Route, model, requests.
    shares: BTreeMap<String, BTreeMap<String, usize>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_and_the_gateway_route_our_own_prompts_alike_and_as_ever() {
    let prompts = read(&workspace().join("tests/corpus/prompts.jsonl"));
    as_written_down("own", both_ways(prompts, 1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_and_the_gateway_route_the_prompts_of_benchmarks_alike_and_as_ever() {
    let shared = env::var_os("POINTSMAN_SHARED").map_or_else(|| workspace().join("../shared"), PathBuf::from);
    let folder = shared.join("routing/open");
    let files = fs::read_dir(&folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    if files.is_empty() {
        not_tested(
            &format!("there are no prompts of benchmarks at {}", folder.display()),
            "set POINTSMAN_SHARED",
        );
        return;
    }
    let prompts = files.iter().flat_map(|file| read(file)).collect();
    as_written_down("open", both_ways(prompts, ROUTES.len()).await);
}

#[test]
fn explain_says_the_same_again_byte_for_byte() {
    let prompts = read(&workspace().join("tests/corpus/prompts.jsonl"));
    let home = Home::with_config(CONFIG);
    let lines: String = ROUTES.iter().map(|route| envelopes(route, &prompts)).collect();
    let once = explain(&home, "all", &lines);
    assert_eq!(once.lines().count(), ROUTES.len() * prompts.len());
    assert_eq!(explain(&home, "all", &lines), once);
}

/// Lines without a prompt, the header of a file say, are none.
fn read(file: &Path) -> Vec<Prompt> {
    let name = file.file_stem().unwrap().to_string_lossy();
    let text = fs::read_to_string(file).unwrap();
    let prompt = |(index, line): (usize, &str)| {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = line["prompt"].as_str()?.to_owned();
        Some(Prompt {
            id: format!("{name}:{}", index + 1),
            text,
        })
    };
    let prompts: Vec<Prompt> = text.lines().enumerate().filter_map(prompt).collect();
    assert!(!prompts.is_empty(), "{} has no prompts", file.display());
    prompts
}

/// Those whose place is chosen.
fn of<T>(all: &[T], is_chosen: impl Fn(usize) -> bool) -> impl Iterator<Item = &T> {
    let all = all.iter().enumerate();
    all.filter(move |(index, _)| is_chosen(*index)).map(|(_, one)| one)
}

async fn both_ways(prompts: Vec<Prompt>, one_of: usize) -> Figures {
    let gateway = Gateway::start(CONFIG).await;
    let mut shares = BTreeMap::new();
    for (turn, route) in ROUTES.into_iter().enumerate() {
        let sent = |index: usize| index % one_of == turn % one_of;
        let (home, lines) = (gateway.home().clone(), envelopes(route, &prompts));
        let explaining = tokio::task::spawn_blocking(move || explain(&home, route, &lines));
        let some: Vec<Prompt> = of(&prompts, sent).cloned().collect();
        let served = serve(&gateway, route, &some).await;
        let explained: Vec<Decision> = explaining.await.unwrap().lines().map(explained).collect();
        assert_eq!(explained.len(), prompts.len(), "{route}");
        agree(route, &some, of(&explained, sent), &served);
        let share: &mut BTreeMap<String, usize> = shares.entry(route.to_owned()).or_default();
        for decision in explained {
            *share.entry(decision.model).or_default() += 1;
        }
    }
    let mut digest = Sha256::new();
    for Prompt { id, text } in &prompts {
        digest.update(format!("{id}\n{text}\n"));
    }
    let sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Figures {
        prompts: prompts.len(),
        sha256,
        shares,
    }
}

fn body(route: &str, prompt: &Prompt) -> Value {
    json!({ "model": route, "max_tokens": 8, "messages": [{ "role": "user", "content": prompt.text }] })
}

/// What `explain` reads: requests with the ids that they have at the gateway.
fn envelopes(route: &str, prompts: &[Prompt]) -> String {
    let envelope = |prompt: &Prompt| format!("{}\n", json!({ "id": prompt.id, "body": body(route, prompt) }));
    prompts.iter().map(envelope).collect()
}

fn explain(home: &Home, name: &str, lines: &str) -> String {
    let file = format!("{name}.jsonl");
    home.write(&file, lines);
    let explained = home.run(&["explain", "--config", "pointsman.toml", &file]);
    assert!(
        explained.status.success(),
        "{}",
        String::from_utf8_lossy(&explained.stderr)
    );
    String::from_utf8(explained.stdout).unwrap()
}

fn explained(line: &str) -> Decision {
    let explained: Value = serde_json::from_str(line).unwrap();
    let text = |key: &str| {
        explained[key]
            .as_str()
            .unwrap_or_else(|| panic!("no `{key}`: {line}"))
            .to_owned()
    };
    Decision {
        model: text("serves"),
        reason: text("reason"),
    }
}

/// Every prompt through the gateway, in the order of the prompts.
async fn serve(gateway: &Gateway, route: &'static str, prompts: &[Prompt]) -> Vec<Decision> {
    let mut workers = JoinSet::new();
    for (index, prompts) in prompts.chunks(prompts.len().div_ceil(CONNECTIONS)).enumerate() {
        let (stream, prompts) = (gateway.data().connect().await, prompts.to_vec());
        workers.spawn(async move {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let mut served = Vec::with_capacity(prompts.len());
            for prompt in &prompts {
                served.push(ask(&mut sender, route, prompt).await);
            }
            (index, served)
        });
    }
    let mut served = workers.join_all().await;
    served.sort_by_key(|(index, _)| *index);
    served.into_iter().flat_map(|(_, served)| served).collect()
}

async fn ask(sender: &mut SendRequest<Full<Bytes>>, route: &str, prompt: &Prompt) -> Decision {
    let request = Request::post("/v1/chat/completions")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("x-request-id", &prompt.id)
        .body(Full::from(body(route, prompt).to_string()))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert_eq!(head.status, 200, "{}: {}", prompt.id, String::from_utf8_lossy(&body));
    let text = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(text("x-pointsman-request-id").as_ref(), Some(&prompt.id));
    Decision {
        model: text("x-pointsman-model").unwrap(),
        reason: text("x-pointsman-reason").unwrap_or_default(),
    }
}

#[track_caller]
fn agree<'a>(route: &str, prompts: &[Prompt], explained: impl Iterator<Item = &'a Decision>, served: &[Decision]) {
    assert_eq!(served.len(), prompts.len(), "{route}");
    let all = prompts.iter().zip(explained.zip(served));
    let differ: Vec<String> = all
        .filter(|(_, (explained, served))| explained != served)
        .map(|(prompt, (explained, served))| format!("{}: {explained:?}, but was {served:?}", prompt.id))
        .collect();
    let some = &differ[..differ.len().min(10)];
    assert!(
        differ.is_empty(),
        "{route}: {} decisions differ:\n{}",
        differ.len(),
        some.join("\n")
    );
}

/// Compares with the figures in `tests/corpus/NAME.json`.
#[track_caller]
fn as_written_down(name: &str, found: Figures) {
    let path = workspace().join(format!("tests/corpus/{name}.json"));
    eprintln!("{}", table(&found));
    if env::var_os(RENEW).is_some() {
        fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&found).unwrap())).unwrap();
        return;
    }
    let written: Figures = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let renew = format!("to write the new figures down: {RENEW}=1 cargo test -p pointsman --test it corpus");
    let (file, sha256) = (path.display(), &found.sha256);
    assert_eq!(
        *sha256, written.sha256,
        "the prompts are others than those of {file}; {renew}"
    );
    assert_eq!(
        found, written,
        "requests go elsewhere than {file} says; if that is intended, {renew}"
    );
}

/// The shares, for people.
fn table(figures: &Figures) -> String {
    let mut text = format!("{} prompts\n", figures.prompts);
    for (route, share) in &figures.shares {
        let of = |count: usize| 100.0 * count as f64 / figures.prompts as f64;
        let parts: Vec<String> = share
            .iter()
            .map(|(model, count)| format!("{model} {:.2} %", of(*count)))
            .collect();
        text.push_str(&format!("{route:<14}{}\n", parts.join("  ")));
    }
    text
}
