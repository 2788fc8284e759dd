//! Two hundred reloads, good ones and bad ones, while requests keep coming at a fixed rate and long streams are under way:
//! nobody notices but by the version that answers.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Answer, Ending, FakeProvider, Gate, Gateway, Home, guests};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::{rename_over, sha256};

/// Versions come again, so that most reloads find what they need in the cache of compiled plugins.
const VERSIONS: u32 = 8;
const RELOADS: f64 = 200.0;
const STREAMS: usize = 20;
const CONNECTIONS: usize = 16;
/// Requests that may wait for a connection: more than there will be.
const QUEUE: usize = 1 << 16;
const BETWEEN_REQUESTS: Duration = Duration::from_millis(2);
/// What the process may have grown by at the end. One generation that is not freed for each reload would be more.
const GROWTH: u64 = 32 << 20;

/// One change of the files.
#[derive(Debug, Clone, Copy)]
enum Change {
    /// `lone.wasm`, with something that can be loaded.
    Renamed,
    Overwritten,
    Recreated,
    Halved,
    /// `lone.wasm`, with something that cannot, and then with something that can.
    Truncated,
    WrongWorld,
    CoreModule,
    NativeCode,
    Oversized,
    Empty,
    /// The configuration and the plugin that it pins: by the link to their folder, or one after the other.
    Swapped,
    Together,
}

use Change::*;

/// How often each of them; wrong files take two reloads, the wrong one and the right one.
const CHANGES: [(Change, usize); 12] = [
    (Renamed, 25),
    (Overwritten, 18),
    (Recreated, 18),
    (Halved, 8),
    (Truncated, 7),
    (WrongWorld, 7),
    (CoreModule, 7),
    (NativeCode, 7),
    (Oversized, 7),
    (Empty, 7),
    (Swapped, 30),
    (Together, 20),
];

/// All of them, in an order that is arbitrary and always the same.
fn changes() -> Vec<Change> {
    let all = CHANGES.iter().flat_map(|(change, count)| vec![*change; *count]);
    let mut changes: Vec<Change> = all.collect();
    let mut random: u64 = 2_026;
    for last in (1..changes.len()).rev() {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        changes.swap(last, (random >> 33) as usize % (last + 1));
    }
    changes
}

/// The folder of a gateway whose configuration is mounted as Kubernetes does it, beside a plugin that is not.
struct Files {
    home: Home,
    provider: String,
    /// What is in service of the pair and of the plugin by itself.
    pair: u32,
    lone: u32,
    folders: u32,
}

impl Files {
    fn new(provider: &FakeProvider) -> Files {
        let mut files = Files {
            home: Home::new(),
            provider: provider.url(),
            pair: 0,
            lone: 0,
            folders: 0,
        };
        files.home.write("plugins/lone.wasm", guests::version(0));
        files.publish();
        for name in ["pointsman.toml", "paired.wasm"] {
            symlink(format!("..data/{name}"), files.home.path(&format!("mount/{name}"))).unwrap();
        }
        files
    }

    /// The pair's version stands in the configuration twice: which model serves, and which plugin is the right one.
    fn config(&self) -> String {
        let (pair, provider) = (self.pair, &self.provider);
        let pin = sha256(&guests::version(pair));
        tests::gateway::complete(&format!(
            r#"
[store]
path = "../store"
[reload]
debounce_ms = 20
sweep_ms = 2_000
[plugins.limits]
component_bytes = 1_000_000
call_ms = 1_000
configure_ms = 60_000
[providers.simulated]
adapter = "simulated"
[providers.streams]
adapter = "openai"
base_url = "{provider}/v1"
[models.stream]
provider = "streams"
[models."version-{pair:04}"]
provider = "simulated"
[policies.paired]
component = "paired.wasm"
sha256 = "{pin}"
[policies.lone]
component = "../plugins/lone.wasm"
[routes.auto]
candidates = ["version-{pair:04}"]
policies = ["paired", "lone"]
[routes.streamed]
candidates = ["stream"]
policies = ["paired", "lone"]
"#
        ))
    }

    /// The pair in a new folder, and the link to it swapped.
    fn publish(&mut self) {
        self.folders += 1;
        let (folder, before) = (format!("..{}", self.folders), format!("mount/..{}", self.folders - 1));
        self.home
            .write(&format!("mount/{folder}/pointsman.toml"), self.config());
        self.home
            .write(&format!("mount/{folder}/paired.wasm"), guests::version(self.pair));
        symlink(folder, self.home.path("mount/..data_tmp")).unwrap();
        fs::rename(self.home.path("mount/..data_tmp"), self.home.path("mount/..data")).unwrap();
        if self.folders > 1 {
            fs::remove_dir_all(self.home.path(&before)).unwrap();
        }
    }

    /// Makes the change and waits until the gateway has it in service, or has refused what is wrong.
    async fn make(&mut self, change: Change, gateway: &Gateway) {
        let path = self.home.path("plugins/lone.wasm");
        match change {
            Swapped => {
                self.pair = (self.pair + 1) % VERSIONS;
                self.publish();
            }
            Together => {
                self.pair = (self.pair + 3) % VERSIONS;
                let plugin = self.home.path("mount/..data/paired.wasm");
                let config = self.home.path("mount/..data/pointsman.toml");
                let (bytes, text) = (guests::version(self.pair), self.config());
                if self.pair.is_multiple_of(2) {
                    rename_over(&plugin, &bytes);
                    rename_over(&config, text.as_bytes());
                } else {
                    rename_over(&config, text.as_bytes());
                    rename_over(&plugin, &bytes);
                }
            }
            _ => {
                let bad = match change {
                    Truncated => Some(guests::truncated("says-its-version")),
                    WrongWorld => Some(guests::component("forges-requests")),
                    CoreModule => Some(guests::core_module("says-its-version")),
                    NativeCode => Some(guests::native_code()),
                    Oversized => Some(guests::padded("says-its-version", 1_000_001)),
                    Empty => Some(Vec::new()),
                    _ => None,
                };
                if let Some(bad) = bad {
                    rename_over(&path, &bad);
                    let digest = sha256(&bad);
                    gateway
                        .until("/admin/plugins", |shown| {
                            shows(shown, "lone", "candidate_digest", &digest)
                        })
                        .await;
                }
                self.lone = (self.lone + 1) % VERSIONS;
                let bytes = guests::version(self.lone);
                match change {
                    Overwritten => fs::write(&path, &bytes).unwrap(),
                    Recreated => {
                        fs::remove_file(&path).unwrap();
                        fs::write(&path, &bytes).unwrap();
                    }
                    Halved => {
                        let (first, second) = bytes.split_at(bytes.len() / 2);
                        fs::write(&path, first).unwrap();
                        // Long enough for the half to be looked at, or not: neither may matter.
                        tokio::time::sleep(Duration::from_millis(60)).await;
                        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
                        file.write_all(second).unwrap();
                    }
                    _ => rename_over(&path, &bytes),
                }
            }
        }
        let (pair, lone) = (sha256(&guests::version(self.pair)), sha256(&guests::version(self.lone)));
        gateway
            .until("/admin/plugins", |shown| {
                shows(shown, "paired", "running_digest", &pair) && shows(shown, "lone", "running_digest", &lone)
            })
            .await;
    }
}

/// Whether the admin API shows this digest of this plugin.
fn shows(shown: &Value, name: &str, key: &str, digest: &str) -> bool {
    let plugins = shown["plugins"].as_array().unwrap();
    plugins.iter().find(|plugin| plugin["name"] == name).unwrap()[key] == digest
}

/// What the open-loop client saw.
#[derive(Debug, Default)]
struct Seen {
    /// Requests that were due, and the time in which they were.
    due: usize,
    elapsed: Duration,
    requests: usize,
    wrong: Vec<String>,
    pairs: BTreeSet<String>,
}

/// Requests in a fixed rhythm, whether or not earlier ones have been answered, each on the connection whose turn it is.
/// Ends when the receiver is told to.
async fn load(gateway: &Gateway, mut stop: tokio::sync::oneshot::Receiver<()>) -> Seen {
    let mut connections = Vec::new();
    let mut workers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut connection = gateway.data().keep().await;
        let (sender, mut due) = mpsc::channel::<()>(QUEUE);
        connections.push(sender);
        workers.spawn(async move {
            let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] });
            let mut seen = Seen::default();
            while due.recv().await.is_some() {
                seen.requests += 1;
                match connection.chat(&body).await {
                    Ok(reply) => judge(&reply, &mut seen),
                    Err(error) => {
                        seen.wrong.push(error);
                        break;
                    }
                }
            }
            seen
        });
    }
    let mut all = Seen::default();
    let began = Instant::now();
    let mut rhythm = interval(BETWEEN_REQUESTS);
    // What was late is made up for.
    rhythm.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            biased;
            _ = rhythm.tick() => {
                if let Err(error) = connections[all.due % CONNECTIONS].try_send(()) {
                    all.wrong.push(format!("request {} was not sent: {error}", all.due));
                }
                all.due += 1;
            }
            _ = &mut stop => break,
        }
    }
    all.elapsed = began.elapsed();
    drop(connections);
    while let Some(seen) = workers.join_next().await {
        let seen = seen.unwrap();
        all.requests += seen.requests;
        all.wrong.extend(seen.wrong);
        all.pairs.extend(seen.pairs);
    }
    all
}

/// The model is the configuration's word, the first reason the plugin's: both are of one version, or the request saw two
/// generations.
fn judge(reply: &tests::Reply, seen: &mut Seen) {
    let model = reply.header("x-pointsman-model").unwrap_or_default().replace('-', " ");
    let reason = reply.header("x-pointsman-reason").unwrap_or_default();
    let is_one = reason.split_once("; ").is_some_and(|(first, _)| first == model);
    if reply.status != 200 || !is_one {
        seen.wrong.push(format!(
            "{} from `{model}` because `{reason}`: {}",
            reply.status,
            reply.text()
        ));
    }
    seen.pairs.insert(model);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_reloads_under_load_cost_no_request_and_no_stream() {
    let changes = changes();
    let gate = Gate::shut();
    let pieces: Vec<String> = (0..changes.len()).map(|index| format!("piece {index} ")).collect();
    let stream = Answer::chat_stream(pieces.iter().map(String::as_str));
    let held = (0..pieces.len())
        .rev()
        .fold(stream, |stream, index| stream.held_after(index, &gate));
    let provider = FakeProvider::chatting([held]).await;
    let mut files = Files::new(&provider);
    let command = files.home.command(&["serve", "--config", "mount/pointsman.toml"]);
    let gateway = Gateway::start_with(files.home.clone(), command).await;

    let ask = json!({ "model": "streamed", "stream": true, "messages": [{ "role": "user", "content": "hello" }] });
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let client = gateway.data();
        let ask = ask.clone();
        streams.spawn(async move { client.chat_stream(&ask).await.rest().await });
    }
    provider.until(|journal| journal.len() == STREAMS).await;

    let (stop, stopped) = tokio::sync::oneshot::channel();
    let reloads = async {
        let mut warm = None;
        for (index, change) in changes.iter().enumerate() {
            files.make(*change, &gateway).await;
            (0..STREAMS).for_each(|_| gate.open());
            // Every version has been in service by then.
            if index == changes.len() / 4 {
                warm = gateway.resident_bytes();
            }
        }
        stop.send(()).unwrap();
        warm
    };
    let (seen, warm) = tokio::join!(load(&gateway, stopped), reloads);

    assert!(
        seen.wrong.is_empty(),
        "{} of {} requests: {:#?}",
        seen.wrong.len(),
        seen.requests,
        seen.wrong
    );
    assert_eq!(seen.requests, seen.due);
    // All that were due until the end, but for those of the moment in which it ended.
    let wanted = seen.elapsed.as_millis() / BETWEEN_REQUESTS.as_millis();
    assert!(
        seen.due as u128 * 100 >= wanted * 99,
        "{} requests in {:?} are less than {wanted}",
        seen.due,
        seen.elapsed
    );
    assert_eq!(seen.pairs.len(), VERSIONS as usize, "{:?}", seen.pairs);
    let mut ended = 0;
    while let Some(stream) = streams.join_next().await {
        let (events, ending) = stream.unwrap();
        let (done, said) = events.split_last().unwrap();
        let said: String = said
            .iter()
            .filter_map(|event| Some(event.json()["choices"][0]["delta"]["content"].as_str()?.to_owned()))
            .collect();
        assert_eq!((done.data.as_str(), ending), ("[DONE]", Ending::Whole));
        assert_eq!(said, pieces.concat());
        ended += 1;
    }
    assert_eq!(ended, STREAMS);

    let good = gateway.metric("pointsman_reloads_total{outcome=\"success\"}").await;
    let bad = gateway.metric("pointsman_reloads_total{outcome=\"failure\"}").await;
    assert!(
        good + bad >= RELOADS,
        "{good} reloads that went well and {bad} that did not"
    );
    let shown = gateway
        .until("/admin/plugins", |shown| shown["generations_alive"] == 1)
        .await;
    assert_eq!(shown["generation"].as_f64(), Some(good + 1.0));
    if let (Some(warm), Some(now)) = (warm, gateway.resident_bytes()) {
        assert!(now < warm + GROWTH, "from {} MiB to {} MiB", warm >> 20, now >> 20);
    }
}
