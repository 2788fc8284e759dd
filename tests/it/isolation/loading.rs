//! Guests that are not loaded: `check` says why in words, all of them at once, and a running gateway keeps what it has.

use std::fs::{self, File};

use tests::{Gateway, Home, guests};

use super::{MODELS, PATIENT, home_of, route, served};

/// Guests that fail while they are loaded, with a word of what is said about each.
fn refused() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let guest = |name, says| (name, guests::component(name), says);
    vec![
        guest(
            "loops-in-start",
            "while it was being loaded: the plugin did not answer within 300 ms",
        ),
        guest(
            "loops-in-configure",
            "while it was being loaded: the plugin did not answer within 300 ms",
        ),
        guest(
            "traps-in-start",
            "while it was being loaded: the plugin trapped: it panicked or aborted",
        ),
        guest(
            "refuses-its-configuration",
            "the plugin refuses its configuration: the moon is in the wrong house",
        ),
        guest(
            "asks-for-state",
            "imports `pointsman:plugin/state@0.1.0`, which needs the grant `state`: add grants = [\"state\"] to \
             [policies.asks-for-state]",
        ),
        guest(
            "declares-huge-memory",
            "minimum byte size of 3221225472 which exceeds the limit of",
        ),
        guest(
            "declares-a-huge-table",
            "minimum element size of 40000000 which exceeds the limit of 100000",
        ),
        guest(
            "forges-requests",
            "this is a component of world `adapter`; a policy is needed here",
        ),
        (
            "core-module",
            guests::core_module("well-behaved"),
            "this is a core WebAssembly module, not a component",
        ),
        (
            "native-code",
            guests::native_code(),
            "precompiled native code (.cwasm), which is never loaded",
        ),
        (
            "empty",
            Vec::new(),
            "this is not a WebAssembly component: it begins with nothing, it is empty",
        ),
        (
            "truncated",
            guests::truncated("well-behaved"),
            "the component does not compile",
        ),
    ]
}

const HASTY: &str = "limits = { configure_ms = 300 }";
const LARGE: u64 = 200 << 20;

/// A file of 200 MB that begins as a component does.
fn write_large(home: &Home, name: &str) {
    let path = home.write(name, guests::component("well-behaved"));
    File::options().write(true).open(path).unwrap().set_len(LARGE).unwrap();
}

#[test]
fn check_says_of_every_guest_at_once_why_it_is_not_loaded() {
    let refused = refused();
    let mut config = MODELS.to_owned();
    for (name, _, _) in &refused {
        let more = if name.starts_with("loops") { HASTY } else { "" };
        config += &route(name, name, more);
    }
    config += &route("oversized", "oversized", "");
    config += &route("missing", "missing", "");
    let home = Home::with_config(&format!("{config}{PATIENT}"));
    for (name, bytes, _) in &refused {
        home.write(&format!("plugins/{name}.wasm"), bytes);
    }
    write_large(&home, "plugins/oversized.wasm");
    let output = home.run(&["check"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let oversized = format!("has {LARGE} bytes; the limit is {}", 64 << 20);
    let all = refused.iter().map(|(name, _, says)| (*name, *says));
    for (name, says) in all.chain([
        ("oversized", oversized.as_str()),
        ("missing", "cannot read plugins/missing.wasm"),
    ]) {
        let line = said.lines().find(|line| line.starts_with(&format!("{name}: ")));
        assert!(
            line.is_some_and(|line| line.contains(says)),
            "{name}: {says}\nnot in\n{said}"
        );
    }
}

#[tokio::test]
async fn a_running_gateway_keeps_the_last_good_one_whatever_comes_after_it() {
    let config = route("guest", "guest", HASTY);
    let home = home_of(&config, []);
    let path = home.write("plugins/guest.wasm", guests::version(1));
    let mut gateway = Gateway::start_in(home).await;
    let before = gateway.resident_bytes();
    for (name, bytes, says) in refused() {
        gateway.home().write("next.wasm", bytes);
        fs::rename(gateway.home().path("next.wasm"), &path).unwrap();
        let report = gateway.reload().await;
        assert_eq!(report.status, 422, "{name}: {}", report.text());
        let message = report.json()["problems"][0]["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains(&says.replace("asks-for-state]", "guest]")),
            "{name}: {message}"
        );
        let reply = served(&gateway, "guest").await;
        assert_eq!(reply.header("x-pointsman-reason"), Some("version 0001"), "{name}");
    }
    write_large(gateway.home(), "next.wasm");
    fs::rename(gateway.home().path("next.wasm"), &path).unwrap();
    let report = gateway.reload().await;
    assert_eq!(report.status, 422, "{}", report.text());
    served(&gateway, "guest").await;
    assert!(gateway.is_running());
    // None of it stays in memory, the largest file least of all.
    if let (Some(before), Some(after)) = (before, gateway.resident_bytes()) {
        assert!(
            after < before + (64 << 20),
            "from {} MiB to {} MiB",
            before >> 20,
            after >> 20
        );
    }
}
