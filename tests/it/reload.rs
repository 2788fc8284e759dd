//! Reloads, one change at a time: what makes a new file count, what keeps an old one in service, and what is said about it.
//! What wrong files do is in `refused.rs`, what many reloads do to traffic in `under_load.rs`, restarts in `restart.rs`.

mod refused;
mod restart;
mod under_load;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use pointsman::config::Source;
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tests::config::{openai, policy, route};
use tests::{Answer, Ending, FakeProvider, Gate, Gateway, Home, guests};

/// Nothing but events, and no haste for plugins: a busy machine changes nothing.
const EVENTS: &str = "\n[reload]\ndebounce_ms = 20\nsweep_ms = 86_400_000\n";
const SWEEPS: &str = "\n[reload]\ndebounce_ms = 20\nsweep_ms = 100\n";
const PATIENT: &str = "\n[plugins.limits]\ncall_ms = 20_000\nconfigure_ms = 60_000\n";

/// Two simulated models, `a` and `b`; the route `auto` leads to the first of these after asking the policy `told`, which is
/// the file `plugins/told.wasm`.
fn told(candidates: &str, more: &str) -> String {
    format!(
        r#"
[providers.simulated]
adapter = "simulated"
[models.a]
provider = "simulated"
[models.b]
provider = "simulated"
[policies.told]
component = "plugins/told.wasm"
{more}
[routes.auto]
candidates = [{candidates}]
policies = ["told"]
{PATIENT}"#
    )
}

/// A gateway with version 1 of the policy in service.
async fn serving(config: &str) -> Gateway {
    let home = Home::with_config(config);
    home.write("plugins/told.wasm", guests::version(1));
    let gateway = Gateway::start_in(home).await;
    assert_eq!(asked(&gateway).await, ("a".into(), "version 0001".into()));
    gateway
}

/// Which model answered, and why.
async fn asked(gateway: &Gateway) -> (String, String) {
    let hello = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] });
    let reply = gateway.data().chat(&hello).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let header = |name| reply.header(name).unwrap_or_default().to_owned();
    (header("x-pointsman-model"), header("x-pointsman-reason"))
}

/// The policy `told` as the admin API shows it.
fn plugin(shown: &Value) -> &Value {
    let plugins = shown["plugins"].as_array().unwrap();
    plugins.iter().find(|plugin| plugin["name"] == "told").unwrap()
}

/// Waits until this version is in service, and sees that it serves and that nothing is wrong.
async fn until_version(gateway: &Gateway, number: u32) {
    let digest = sha256(&guests::version(number));
    let shown = gateway
        .until("/admin/plugins", |shown| plugin(shown)["running_digest"] == digest)
        .await;
    assert_eq!(plugin(&shown)["error"], Value::Null);
    assert_eq!(asked(gateway).await.1, format!("version {number:04}"));
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As careful programs replace a file.
fn rename_over(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).unwrap();
    fs::rename(beside, path).unwrap();
}

#[tokio::test]
async fn an_edited_rule_routes_the_next_request_and_a_stream_under_way_ends_as_it_began() {
    let gate = Gate::shut();
    let (one, two) = (
        FakeProvider::chatting([Answer::chat_stream(["begun ", "and ended"]).held_after(1, &gate)]).await,
        FakeProvider::chatting([Answer::chat_stream(["new"])]).await,
    );
    let config = |preferred: &str| {
        let rules = format!("rules = [{{ any = [\"hello\"], label = \"greeting\", prefer = [\"{preferred}\"] }}]");
        [
            openai("one", &one.url()),
            openai("two", &two.url()),
            policy("words", "keyword", &rules),
            route("auto", &["one", "two"], "policies = [\"words\"]"),
            format!("{EVENTS}{PATIENT}"),
        ]
        .concat()
    };
    let gateway = Gateway::start(&config("one/model")).await;
    let ask = json!({ "model": "auto", "stream": true, "messages": [{ "role": "user", "content": "hello" }] });
    let mut under_way = gateway.data().chat_stream(&ask).await;
    assert_eq!(under_way.header("x-pointsman-model"), Some("one/model"));
    assert!(under_way.next().await.unwrap().data.contains("begun "));

    gateway.write_config(&config("two/model"));
    gateway
        .until("/admin/plugins", |shown| {
            shown["generation"] == 2 && shown["generations_alive"] == 2
        })
        .await;
    let next = gateway.data().chat_stream(&ask).await;
    assert_eq!(next.header("x-pointsman-model"), Some("two/model"));
    assert_eq!(next.rest().await.1, Ending::Whole);

    gate.open();
    let (events, ending) = under_way.rest().await;
    assert!(events[0].data.contains("and ended"), "{events:?}");
    assert_eq!(
        (events.last().unwrap().data.as_str(), ending),
        ("[DONE]", Ending::Whole)
    );
    // The old generation goes with the stream that held it.
    gateway
        .until("/admin/plugins", |shown| shown["generations_alive"] == 1)
        .await;
}

#[tokio::test]
async fn however_a_file_is_replaced_the_new_one_serves() {
    let gateway = serving(&told("\"a\"", EVENTS)).await;
    let path = gateway.home().path("plugins/told.wasm");
    rename_over(&path, &guests::version(2));
    until_version(&gateway, 2).await;
    fs::write(&path, guests::version(3)).unwrap();
    until_version(&gateway, 3).await;
    fs::remove_file(&path).unwrap();
    fs::write(&path, guests::version(4)).unwrap();
    until_version(&gateway, 4).await;
    let shown = gateway.shows("/admin/plugins").await;
    assert_eq!(shown["last_reload"]["cause"], "file event");
    assert_eq!(shown["last_reload"]["outcome"], "success");
}

#[tokio::test]
async fn a_volume_of_kubernetes_is_swapped_as_a_whole() {
    let home = Home::new();
    let publish = |number: u32, candidate: &str| {
        let config = tests::gateway::complete(&told(&format!("\"{candidate}\""), EVENTS));
        home.write(&format!("volume/..{number}/pointsman.toml"), config);
        home.write(&format!("volume/..{number}/told.wasm"), guests::version(number));
        symlink(format!("..{number}"), home.path("volume/..data_tmp")).unwrap();
        fs::rename(home.path("volume/..data_tmp"), home.path("volume/..data")).unwrap();
    };
    publish(1, "a");
    symlink("..data/pointsman.toml", home.path("volume/pointsman.toml")).unwrap();
    fs::create_dir(home.path("volume/plugins")).unwrap();
    symlink("../..data/told.wasm", home.path("volume/plugins/told.wasm")).unwrap();
    let command = home.command(&["serve", "--config", "volume/pointsman.toml"]);
    let gateway = Gateway::start_with(home.clone(), command).await;
    assert_eq!(asked(&gateway).await, ("a".into(), "version 0001".into()));
    for (number, candidate) in [(2, "b"), (3, "a")] {
        publish(number, candidate);
        until_version(&gateway, number).await;
        assert_eq!(asked(&gateway).await.0, candidate);
    }
    // One swap of the volume is one reload, or several that found the same: never one for the half of it.
    assert_eq!(gateway.metric("pointsman_generation").await, 3.0);
}

#[tokio::test]
async fn two_plugins_whose_files_trade_places_have_traded_places() {
    let home = Home::with_config(&format!(
        "{}\n[policies.other]\ncomponent = \"plugins/other.wasm\"\n",
        told("\"a\"", EVENTS).replace("[\"told\"]", "[\"told\", \"other\"]")
    ));
    home.write("plugins/told.wasm", guests::version(1));
    home.write("plugins/other.wasm", guests::version(2));
    let gateway = Gateway::start_in(home).await;
    assert_eq!(asked(&gateway).await.1, "version 0001; version 0002");
    let path = |name: &str| gateway.home().path(&format!("plugins/{name}"));
    fs::rename(path("told.wasm"), path("aside")).unwrap();
    fs::rename(path("other.wasm"), path("told.wasm")).unwrap();
    fs::rename(path("aside"), path("other.wasm")).unwrap();
    gateway
        .until("/admin/plugins", |shown| {
            shown["plugins"][0]["running_digest"] == sha256(&guests::version(1))
                && shown["plugins"][1]["running_digest"] == sha256(&guests::version(2))
        })
        .await;
    assert_eq!(asked(&gateway).await.1, "version 0002; version 0001");
}

#[tokio::test]
async fn a_file_that_is_touched_and_stays_the_same_is_not_loaded_again() {
    let gateway = serving(&told("\"a\"", EVENTS)).await;
    let touched = gateway.home().write("plugins/told.wasm", guests::version(1));
    rename_over(&touched, &guests::version(1));
    let report = gateway.reload().await;
    assert_eq!((report.status, &report.json()["outcome"]), (200, &json!("unchanged")));
    let shown = gateway.shows("/admin/plugins").await;
    assert_eq!((&shown["generation"], &shown["last_reload"]), (&json!(1), &Value::Null));
    // The plugin was taken over, with its count of calls.
    assert_eq!(plugin(&shown)["calls"], 1);
}

/// Puts another folder in the place of the one that is watched, of which no event tells.
fn swap_folders(home: &Home, number: u32) {
    home.write("next/told.wasm", guests::version(number));
    fs::rename(home.path("plugins"), home.path(&format!("before-{number}"))).unwrap();
    fs::rename(home.path("next"), home.path("plugins")).unwrap();
}

#[tokio::test]
async fn a_change_without_an_event_is_found_by_the_sweep() {
    let gateway = serving(&told("\"a\"", SWEEPS)).await;
    for number in [2, 3] {
        swap_folders(gateway.home(), number);
        until_version(&gateway, number).await;
        let shown = gateway.shows("/admin/plugins").await;
        assert_eq!(shown["last_reload"]["cause"], "sweep");
    }
}

#[tokio::test]
async fn a_change_without_an_event_is_found_on_sighup() {
    let gateway = serving(&told("\"a\"", EVENTS)).await;
    swap_folders(gateway.home(), 2);
    gateway.signal(Signal::HUP);
    until_version(&gateway, 2).await;
    let shown = gateway.shows("/admin/plugins").await;
    assert_eq!(shown["last_reload"]["cause"], "SIGHUP");
    // And from now on the new folder is the one that is watched.
    gateway.home().write("plugins/told.wasm", guests::version(3));
    until_version(&gateway, 3).await;
}

#[tokio::test]
async fn whoever_asks_for_a_reload_is_told_how_it_went() {
    let gateway = serving(&told("\"a\"", EVENTS)).await;
    swap_folders(gateway.home(), 2);
    let report = gateway.reload().await;
    assert_eq!(report.status, 200, "{}", report.text());
    let report = report.json();
    assert_eq!(
        (&report["outcome"], &report["cause"]),
        (&json!("success"), &json!("admin"))
    );
    assert_eq!((&report["generation"], &report["problems"]), (&json!(2), &json!([])));
    until_version(&gateway, 2).await;

    let report = gateway.reload().await;
    assert_eq!((report.status, &report.json()["outcome"]), (200, &json!("unchanged")));

    swap_folders(gateway.home(), 3);
    let bad = guests::core_module("well-behaved");
    gateway.home().write("plugins/told.wasm", &bad);
    // Asked again, the same failure is reported again, though nothing is tried again.
    for _ in 0..2 {
        let report = gateway.reload().await;
        assert_eq!(report.status, 422, "{}", report.text());
        let report = report.json();
        assert_eq!(
            (&report["outcome"], &report["generation"]),
            (&json!("failure"), &json!(2))
        );
        assert_eq!(report["problems"][0]["plugin"], "told");
        let message = report["problems"][0]["message"].as_str().unwrap();
        assert!(message.starts_with("this is a core WebAssembly module"), "{message}");
    }
    assert_eq!(
        gateway.metric("pointsman_reloads_total{outcome=\"failure\"}").await,
        1.0
    );
}

#[tokio::test]
async fn a_provider_that_is_removed_serves_its_streams_to_their_end() {
    let gate = Gate::shut();
    let provider = FakeProvider::chatting([Answer::chat_stream(["begun ", "and ended"]).held_after(1, &gate)]).await;
    let other = FakeProvider::chatting([Answer::chat("other")]).await;
    let (kept, gone) = (openai("kept", &other.url()), openai("gone", &provider.url()));
    let gateway = Gateway::start(&format!("{kept}{gone}{EVENTS}")).await;
    let ask = json!({ "model": "gone/model", "stream": true, "messages": [{ "role": "user", "content": "hello" }] });
    let mut stream = gateway.data().chat_stream(&ask).await;
    assert!(stream.next().await.unwrap().data.contains("begun "));

    gateway.write_config(&format!("{kept}{EVENTS}"));
    gateway.until("/admin/plugins", |shown| shown["generation"] == 2).await;
    gateway.data().chat(&ask).await.refused(404, "model_not_found");

    gate.open();
    let (events, ending) = stream.rest().await;
    assert!(events[0].data.contains("and ended"), "{events:?}");
    assert_eq!(
        (events.last().unwrap().data.as_str(), ending),
        ("[DONE]", Ending::Whole)
    );
}

#[tokio::test]
async fn what_is_put_in_service_by_files_stands_in_the_audit_log() {
    let gateway = serving(&told("\"a\", \"b\"", EVENTS)).await;
    let sha = |gateway: &Gateway| {
        let text = fs::read(gateway.home().path("pointsman.toml")).unwrap();
        let digest = Sha256::digest(text);
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let before = sha(&gateway);
    gateway.write_config(&told("\"b\", \"a\"", EVENTS));
    gateway.signal(Signal::HUP);
    gateway.logged(&["reloaded", "generation=2"]).await;
    let log = fs::read_to_string(gateway.home().path("pointsman-data/audit.jsonl")).unwrap();
    let line: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&line["what"], &line["subject"]),
        (&json!("reload"), &json!("generation 2"))
    );
    assert!(line["before"].as_str().unwrap().ends_with(&before), "{line}");
    assert!(line["after"].as_str().unwrap().ends_with(&sha(&gateway)), "{line}");
    // What nobody may put in service changes nothing, and is not there.
    gateway.write_config("[server]\nlisten = 1\n");
    gateway.signal(Signal::HUP);
    gateway.logged(&["not put in service"]).await;
    let log = fs::read_to_string(gateway.home().path("pointsman-data/audit.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[tokio::test]
async fn a_configuration_that_is_cut_off_anywhere_takes_nothing_out_of_service() {
    let whole = told("\"a\", \"b\"", EVENTS);
    let gateway = serving(&whole).await;
    let file = fs::read(gateway.home().path("pointsman.toml")).unwrap();
    let mut refused = 0;
    for end in (0..file.len()).step_by(23) {
        gateway.home().write("pointsman.toml", &file[..end]);
        gateway.reload().await;
        let part = Source {
            path: None,
            text: String::from_utf8_lossy(&file[..end]).into_owned(),
        };
        // A part may be a configuration itself, and is then what the operator said.
        if part.load().is_err() {
            refused += 1;
            assert_eq!(asked(&gateway).await.0, "a", "cut at {end}");
        } else {
            gateway.write_config(&whole);
            gateway.reload().await;
        }
        assert_eq!(gateway.admin().get("/readyz").await.status, 200, "cut at {end}");
    }
    assert!(refused > 3, "{refused}");
}

#[tokio::test]
async fn ten_thousand_routes_are_served_and_what_is_larger_is_refused_whole() {
    let routes: String = (0..10_000)
        .map(|number| format!("[routes.\"route-{number}\"]\ncandidates = [\"b\", \"a\"]\n"))
        .collect();
    let config = format!("{}{routes}", told("\"a\", \"b\"", EVENTS));
    let gateway = serving(&config).await;
    let ask = |route: &str| json!({ "model": route, "messages": [{ "role": "user", "content": "hello" }] });
    let listed = gateway.data().get("/v1/models").await.json();
    let listed = listed["data"].as_array().unwrap();
    assert!(
        listed.iter().any(|model| model["id"] == "route-9999"),
        "{}",
        listed.len()
    );
    for route in ["route-0", "route-9999"] {
        let reply = gateway.data().chat(&ask(route)).await;
        assert_eq!(
            (reply.status, reply.header("x-pointsman-model")),
            (200, Some("b")),
            "{route}"
        );
    }
    gateway
        .data()
        .chat(&ask("route-10000"))
        .await
        .refused(404, "model_not_found");

    // One that is wrong is told among all the others, and one file of more than is read of any changes nothing.
    let wrong = config.replace(
        "[routes.\"route-7000\"]\ncandidates = [\"b\"",
        "[routes.\"route-7000\"]\ncandidates = [\"moon\"",
    );
    let large = format!("{config}# {}", "x".repeat(9 << 20));
    for (config, says) in [(wrong, "moon"), (large, "a configuration is at most")] {
        gateway.write_config(&config);
        let report = gateway.reload().await;
        assert_eq!(report.status, 422);
        assert!(report.text().contains(says), "{}", report.text());
        assert_eq!(gateway.data().chat(&ask("route-9999")).await.status, 200);
    }
}
