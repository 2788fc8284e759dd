//! Policies that are one file of JavaScript, on the real gateway: what an edit of the file does to traffic, what a broken one
//! does not, and what scripts that misbehave cost. What a script may say and return is in the policy's golden files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tests::{Gateway, Home, Reply, fences};
use tokio::task::JoinSet;
use xtask::workspace;

/// Events, and time for a busy machine.
const PATIENT: &str = "
[reload]
debounce_ms = 20
sweep_ms = 86_400_000
[plugins.limits]
call_ms = 20_000
configure_ms = 60_000
";

/// The route `auto` over two simulated models, as `policy.js` says.
fn config(more: &str) -> String {
    format!(
        r#"
[providers.simulated]
adapter = "simulated"
[models.a]
provider = "simulated"
[models.b]
provider = "simulated"
[policies.mine]
component = "script"
config.file = "policy.js"
{more}
[routes.auto]
candidates = ["a", "b"]
policies = ["mine"]
{PATIENT}"#
    )
}

fn home(script: &str, more: &str) -> Home {
    let home = Home::with_config(&config(more));
    home.write("policy.js", script);
    home
}

fn preferring(model: &str) -> String {
    format!("export const decide = () => ({{ prefer: \"{model}\", reason: \"as it is written\" }});\n")
}

fn question(text: &str) -> Value {
    json!({ "model": "auto", "messages": [{ "role": "user", "content": text }] })
}

async fn served(gateway: &Gateway, text: &str) -> Reply {
    let reply = gateway.data().chat(&question(text)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply
}

async fn model(gateway: &Gateway) -> String {
    let reply = served(gateway, "hello").await;
    reply.header("x-pointsman-model").unwrap_or_default().to_owned()
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As editors do it.
fn save(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

fn mine(shown: &Value) -> &Value {
    let plugins = shown["plugins"].as_array().unwrap();
    plugins.iter().find(|plugin| plugin["name"] == "mine").unwrap()
}

#[tokio::test]
async fn a_script_that_is_saved_routes_the_next_request_and_no_request_is_lost() {
    let gateway = Gateway::start_in(home(&preferring("a"), "")).await;
    let reply = served(&gateway, "hello").await;
    assert_eq!(reply.header("x-pointsman-model"), Some("a"));
    assert_eq!(reply.header("x-pointsman-reason"), Some("as it is written"));
    let first = format!("mine@{}", &sha256(&preferring("a"))[..12]);
    assert_eq!(reply.header("x-pointsman-policy"), Some(&*first));

    let is_over = Arc::new(AtomicBool::new(false));
    let mut traffic = JoinSet::new();
    for _ in 0..4 {
        let (client, is_over) = (gateway.data(), Arc::clone(&is_over));
        traffic.spawn(async move {
            let mut connection = client.keep().await;
            let mut models = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let reply = connection.chat(&question("hello")).await.unwrap();
                assert_eq!(reply.status, 200, "{}", reply.text());
                models.push(reply.header("x-pointsman-model").unwrap().to_owned());
                // The thread that compiles has the lowest priority, and two cores may be all there are.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            models
        });
    }
    let path = gateway.home().path("policy.js");
    save(&path, &preferring("b"));
    let digest = sha256(&preferring("b"));
    gateway
        .until("/admin/plugins", |shown| mine(shown)["running_digest"] == digest)
        .await;
    assert_eq!(model(&gateway).await, "b");
    is_over.store(true, Ordering::Relaxed);
    while let Some(models) = traffic.join_next().await {
        let models = models.unwrap();
        // From one version to the next, and never back.
        assert!(
            models.is_sorted() && models.iter().all(|model| model == "a" || model == "b"),
            "{models:?}"
        );
    }
}

#[tokio::test]
async fn a_broken_script_keeps_the_last_good_one_and_says_where_it_is_broken() {
    let gateway = Gateway::start_in(home(&preferring("b"), "")).await;
    let path = gateway.home().path("policy.js");
    for (broken, said) in [
        (
            "export function decide() {\n  return { prefer: 'a' ;\n}\n",
            "policy.js:2:24: SyntaxError",
        ),
        (
            "const list = [];\n\nlist.pusch(1);\nexport function decide() {}\n",
            "policy.js:3:",
        ),
        (
            "function decide() {}\n",
            "policy.js: the script exports no function `decide`",
        ),
    ] {
        save(&path, broken);
        let shown = gateway
            .until("/admin/plugins", |shown| {
                mine(shown)["candidate_digest"] == sha256(broken)
            })
            .await;
        let error = mine(&shown)["error"].as_str().unwrap_or_default();
        assert!(error.contains(said), "{error}");
        assert_eq!(mine(&shown)["running_digest"], sha256(&preferring("b")));
        assert_eq!(model(&gateway).await, "b");
        gateway.logged(&["not put in service", said]).await;
    }
    let home = gateway.home().clone();
    assert!(gateway.stop().await.success());

    // It is still broken when the gateway starts anew.
    let gateway = Gateway::start_in(home).await;
    assert_eq!(model(&gateway).await, "b");
    save(&path, &preferring("a"));
    let digest = sha256(&preferring("a"));
    let shown = gateway
        .until("/admin/plugins", |shown| mine(shown)["running_digest"] == digest)
        .await;
    assert_eq!(mine(&shown)["error"], Value::Null);
    assert_eq!(model(&gateway).await, "a");
}

#[test]
fn a_script_that_cannot_be_read_is_told_with_the_place_that_names_it() {
    let home = Home::with_config(&config(""));
    let line = fs::read_to_string(home.path("pointsman.toml")).unwrap();
    let line = line.lines().position(|line| line.starts_with("config.file")).unwrap() + 1;
    let complaint = |home: &Home| {
        let output = home.run(&["check", "--config", "pointsman.toml"]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = complaint(&home);
    assert!(said.contains(&format!("{line}:15: `file`: cannot read ")), "{said}");
    assert!(said.contains("policy.js"), "{said}");
    fs::create_dir(home.path("policy.js")).unwrap();
    assert!(complaint(&home).contains("policy.js is not a file"));
    fs::remove_dir(home.path("policy.js")).unwrap();
    home.write("policy.js", b"// \xff\n");
    assert!(complaint(&home).contains("policy.js is not UTF-8 from its byte 4 on"));
    home.write("policy.js", vec![b' '; (1 << 20) + 1]);
    assert!(complaint(&home).contains("policy.js has 1048577 bytes; 1048576 is the most"));
    home.write("pointsman.toml", config("config.source = \"\""));
    assert!(complaint(&home).contains("`source` is what the gateway reads from `file`: give one of them"));
}

/// What is asked of `MISBEHAVING`, and the kinds of fault that may come of it.
const MISBEHAVIOUR: &[(&str, &[&str])] = &[
    ("loops", &["deadline"]),
    ("loops in a regular expression", &["deadline"]),
    ("loops in promises", &["deadline", "memory"]),
    ("hoards", &["memory"]),
    ("recurses", &["guest"]),
    ("nests", &["guest", "stack", "trap"]),
    ("throws", &["guest"]),
    ("returns a giant", &["copied_too_much", "memory"]),
    ("returns very many steps", &["guest", "deadline"]),
    ("names the moon", &["guest"]),
    ("edits the model", &["invalid_output"]),
    ("awaits for ever", &["guest"]),
];

const MISBEHAVING: &str = r#"
let calls = 0;
const forms = {
  "loops": () => { for (;;); },
  "loops in a regular expression": () => /^(a+)+$/.test("a".repeat(60) + "b"),
  "loops in promises": () => { const again = () => Promise.resolve().then(again); return again(); },
  "hoards": () => { const hoard = []; for (;;) hoard.push(new Uint8Array(1 << 20)); },
  "recurses": () => forms.recurses() + 1,
  "nests": () => eval("(".repeat(200000)),
  "throws": () => { throw new Error("on purpose"); },
  "returns a giant": () => ({ reason: "giant".repeat(3000000) }),
  "returns very many steps": () => ({ steps: new Array(100000).fill("moon") }),
  "names the moon": () => ({ steps: ["moon"] }),
  "edits the model": () => ({ edits: { "/model": "moon" } }),
  "awaits for ever": () => new Promise(() => {}),
};
export function decide(request) {
  calls += 1;
  globalThis.calls = (globalThis.calls ?? 0) + 1;
  const form = forms[request.lastUserText()];
  if (form) return form();
  return { labels: { calls: calls + globalThis.calls, chance: Math.random(), punctual: Date.now() === request.nowMs }, reason: `${calls} ${Math.random()}` };
}
"#;

const KINDS: [&str; 7] = [
    "deadline",
    "memory",
    "guest",
    "stack",
    "trap",
    "copied_too_much",
    "invalid_output",
];

/// How many faults of each kind were counted.
async fn faults(gateway: &Gateway) -> BTreeMap<&'static str, u64> {
    let mut faults = BTreeMap::new();
    for kind in KINDS {
        let series = format!("pointsman_plugin_faults_total{{plugin=\"mine\",kind=\"{kind}\"}}");
        faults.insert(kind, gateway.metric(&series).await as u64);
    }
    faults
}

#[tokio::test]
async fn a_script_that_misbehaves_costs_its_own_call_and_keeps_nothing() {
    let gateway = Gateway::start_in(home(MISBEHAVING, "limits = { call_ms = 2_000 }")).await;
    let mut before = faults(&gateway).await;
    for (form, kinds) in MISBEHAVIOUR {
        let reply = gateway.data().chat(&question(form)).await;
        assert_eq!(reply.status, 503, "{form}: {}", reply.text());
        reply.refused(503, "policy_unavailable");
        let now = faults(&gateway).await;
        let risen: Vec<&str> = KINDS
            .into_iter()
            .filter(|kind| now.get(kind) != before.get(kind))
            .collect();
        assert!(
            risen.len() == 1 && kinds.contains(&risen[0]),
            "{form} is counted as {risen:?}"
        );
        before = now;
        // The next call begins where every call begins.
        let reason = served(&gateway, "hello")
            .await
            .header("x-pointsman-reason")
            .unwrap()
            .to_owned();
        assert!(reason.starts_with("1 0."), "{form}: {reason}");
    }
}

#[tokio::test]
async fn a_script_that_never_ends_loading_is_refused() {
    for endless in [
        "for (;;);\nexport const decide = () => ({});\n",
        "export const configure = () => { for (;;); };\nexport const decide = () => ({});\n",
    ] {
        let home = home(
            endless,
            "config.settings = { any = 1 }\nlimits = { configure_ms = 1_000 }",
        );
        let checked = home.run(&["check"]);
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(
            !checked.status.success() && said.contains("1000 ms"),
            "{endless}: {said}"
        );
    }
}

#[tokio::test]
async fn a_script_on_a_kept_instance_keeps_what_it_has_for_so_many_calls_or_so_much_memory() {
    let counting = "let calls = 0;\nconst kept = [];\nexport function decide(request) {\n  calls += 1;\n  \
                    if (request.lastUserText() === \"leak\") kept.push(new Array(1 << 18).fill(calls));\n  \
                    return { reason: String(calls) };\n}\n";
    let reason = async |gateway: &Gateway, text: &str| {
        let reply = served(gateway, text).await;
        reply.header("x-pointsman-reason").unwrap().to_owned()
    };
    let few = "instances = { warm = 1, max_calls = 3, max_age_ms = 3_600_000 }";
    let gateway = Gateway::start_in(home(counting, few)).await;
    for expected in ["1", "2", "3", "1", "2", "3", "1"] {
        assert_eq!(reason(&gateway, "hello").await, expected);
    }
    let many = "instances = { warm = 1, max_calls = 10_000, max_age_ms = 3_600_000 }";
    let gateway = Gateway::start_in(home(counting, many)).await;
    let mut served = 0;
    while gateway.data().chat(&question("leak")).await.status == 200 {
        served += 1;
        assert!(served < 1_000, "it has more than its memory");
    }
    assert!(served > 1, "{}", gateway.log());
    assert_eq!(faults(&gateway).await["memory"] + faults(&gateway).await["trap"], 1);
    assert_eq!(reason(&gateway, "hello").await, "1");
}

#[tokio::test]
async fn chance_follows_from_the_requests_id() {
    let gateway = Gateway::start_in(home(MISBEHAVING, "")).await;
    let reason = async |id: &str| {
        let client = gateway.data().with_header("x-request-id", id);
        client
            .chat(&question("hello"))
            .await
            .header("x-pointsman-reason")
            .unwrap()
            .to_owned()
    };
    assert_eq!(reason("one").await, reason("one").await);
    assert_ne!(reason("one").await, reason("two").await);
}

/// Readers copy from the page, so what is on it has to be what is tested.
#[test]
fn the_cookbook_shows_the_scripts_that_are_tested() {
    let page = fs::read_to_string(workspace().join("docs/plugins/cookbook.md")).unwrap();
    let shown: Vec<String> = fences(&page, "js").into_iter().map(|fence| fence.text).collect();
    let entries = fs::read_dir(workspace().join("examples/cookbook")).unwrap();
    let mut scripts = 0;
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension == "js") {
            let text = fs::read_to_string(&path).unwrap();
            assert!(
                shown.contains(&text),
                "{} is not in the cookbook as it is",
                path.display()
            );
            scripts += 1;
        }
    }
    assert_eq!(shown.len(), scripts);
}
