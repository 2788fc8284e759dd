//! A plugin from `plugin new` to a running gateway: folders for every kind and language, real toolchains, and what the tests
//! say of plugins that are wrong. Where a toolchain is not installed its tests say so and pass, but not in CI.

use std::process::Output;
use std::{env, fs};

use serde_json::{Value, json};
use tests::absent::not_tested;
use tests::config::{openai, policy, route};
use tests::{Gateway, Home, guests};
use xtask::toolchains;

const LANGUAGES: [&str; 6] = ["rust", "js", "ts", "python", "go", "c"];

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs a command with the toolchains in front of the path; it must end with this status.
#[track_caller]
fn run(home: &Home, arguments: &[&str], status: i32) -> String {
    let mut command = home.command(arguments);
    command.env("PATH", toolchains::path().unwrap());
    let output = command.output().unwrap();
    let text = out(&output);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
    text
}

fn new(home: &Home, name: &str, kind: &str, lang: &str) {
    run(home, &["plugin", "new", name, "--kind", kind, "--lang", lang], 0);
}

fn has_toolchain(program: &str) -> bool {
    let is_there = toolchains::programs()
        .iter()
        .any(|folder| folder.join(program).is_file());
    if !is_there {
        let (what, remedy) = (
            format!("{program} is not installed"),
            "install it with: cargo xtask toolchains",
        );
        assert!(env::var_os("CI").is_none(), "{what}; {remedy}");
        not_tested(&what, remedy);
    }
    is_there
}

/// Makes, builds and tests a policy and an adapter.
fn built_and_tested(lang: &str) -> Home {
    let home = Home::new();
    for kind in ["policy", "adapter"] {
        new(&home, kind, kind, lang);
        let built = run(&home, &["plugin", "build", kind], 0);
        assert!(
            built.contains("grants   none needed") && !built.contains("wasi:"),
            "{built}"
        );
        let tested = run(&home, &["plugin", "test", kind, "--fuzz", "5"], 0);
        assert!(tested.contains("0 are wrong; 0 of 5 odd requests fault"), "{tested}");
    }
    home
}

#[test]
fn a_new_folder_has_all_that_its_language_wants() {
    let home = Home::new();
    for kind in ["policy", "adapter"] {
        for (lang, file) in LANGUAGES.iter().zip([
            "Cargo.toml",
            "package.json",
            "tsconfig.json",
            "requirements.txt",
            "go.mod",
            "json.h",
        ]) {
            let name = format!("{kind}-{lang}");
            new(&home, &name, kind, lang);
            for file in [
                file,
                "plugin.toml",
                "README.md",
                ".gitignore",
                "wit/world.wit",
                "wit/deps/pointsman-plugin/policy.wit",
            ] {
                let text = fs::read_to_string(home.path(&name).join(file))
                    .unwrap_or_else(|error| panic!("{name}/{file}: {error}"));
                assert!(!text.contains("{{") && !text.is_empty(), "{name}/{file}: {text}");
            }
            assert!(
                fs::read_dir(home.path(&name).join("golden")).unwrap().count() >= 3,
                "{name}"
            );
        }
    }
    let again = run(
        &home,
        &["plugin", "new", "policy-c", "--kind", "policy", "--lang", "c"],
        1,
    );
    assert!(again.contains("policy-c is there already"), "{again}");
}

#[test]
fn all_missing_tools_are_told_at_once_with_what_gets_them() {
    let home = Home::new();
    for (lang, tools) in [
        ("rust", &["cargo", "rustc", "rustup.rs"][..]),
        ("ts", &["node", "esbuild", "tsc", "componentize-qjs", "npm install"]),
        ("python", &["componentize-py", "pip install -r requirements.txt"]),
        ("go", &["go, the compiler", "go.dev/dl"]),
        ("c", &["a C compiler for WASI", "ziglang"]),
    ] {
        new(&home, lang, "policy", lang);
        let mut command = home.command(&["plugin", "build", lang]);
        let output = command.env("PATH", "").output().unwrap();
        let text = out(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(tools.iter().all(|tool| text.contains(tool)), "{lang}: {text}");
    }
}

#[tokio::test]
async fn a_policy_in_rust_goes_from_nothing_to_a_running_gateway() {
    let home = built_and_tested("rust");
    let config = [
        openai("one", "http://127.0.0.1:9"),
        openai("two", "http://127.0.0.1:9"),
        policy(
            "words",
            "policy/policy.wasm",
            "words = [\"python\"]\nprefer = [\"two/model\"]\nlabel = \"code\"",
        ),
        route("auto", &["one", "two"], "policies = [\"words\"]"),
    ];
    home.write("pointsman.toml", tests::gateway::complete(&config.concat()));
    let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "My Python" }] });
    home.write("request.json", body.to_string());
    let explained = run(&home, &["explain", "request.json", "--format", "json"], 0);
    let explained: Value = serde_json::from_str(&explained).unwrap();
    assert_eq!(
        (&explained["serves"], &explained["labels"]["class"]),
        (&json!("two/model"), &json!("code"))
    );

    let gateway = Gateway::start_in(home).await;
    let (home, admin) = (gateway.home().clone(), format!("http://{}", gateway.admin_address()));
    let inspect = |file: &str, more: &[&str]| {
        let arguments = ["plugin", "inspect", file, "--admin", &admin];
        run(&home, &[&arguments, more].concat(), 0)
    };
    let same = inspect("policy/policy.wasm", &[]);
    assert!(same.contains("running   words: this very version"), "{same}");
    home.write("next.wasm", guests::component("asks-for-state"));
    assert!(inspect("next.wasm", &[]).contains("not in service at"));
    let differs = inspect("next.wasm", &["--name", "words"]);
    for line in [
        "running   words: another version",
        "+ grant   state",
        "+ import  pointsman:plugin/state@0.1.0",
        "- digest  sha256:",
    ] {
        assert!(differs.contains(line), "{differs}");
    }
    let absent = run(
        &home,
        &["plugin", "inspect", "next.wasm", "--admin", "http://127.0.0.1:9"],
        1,
    );
    assert!(absent.contains("http://127.0.0.1:9: "), "{absent}");
}

#[test]
fn plugins_in_c_build_and_pass_their_tests() {
    if has_toolchain("python-zig") {
        built_and_tested("c");
    }
}

#[test]
fn plugins_in_go_build_and_pass_their_tests() {
    if has_toolchain("go") {
        built_and_tested("go");
    }
}

#[test]
fn plugins_in_javascript_build_and_pass_their_tests() {
    if has_toolchain("componentize-qjs") {
        built_and_tested("js");
    }
}

#[test]
fn plugins_in_typescript_build_and_pass_their_tests() {
    if has_toolchain("componentize-qjs") {
        built_and_tested("ts");
    }
}

#[test]
fn plugins_in_python_build_and_pass_their_tests() {
    if has_toolchain("componentize-py") {
        built_and_tested("python");
    }
}

/// A folder that takes a guest of the tests for its component.
fn guest(name: &str, golden: &Value) -> Home {
    let home = Home::new();
    home.write(
        "guest/plugin.toml",
        "name = \"guest\"\nkind = \"policy\"\nlang = \"c\"\n",
    );
    home.write("guest/golden/case.json", golden.to_string());
    home.write("guest.wasm", guests::component(name));
    home
}

fn tested(home: &Home, more: &[&str], status: i32) -> String {
    let arguments = ["plugin", "test", "guest", "--component", "guest.wasm"];
    run(home, &[&arguments, more].concat(), status)
}

#[test]
fn a_verdict_that_is_not_the_expected_one_is_shown_by_its_lines() {
    let case = json!({ "name": "all pass", "candidates": [{ "id": "a" }], "verdict": { "plan": { "steps": ["a"] } } });
    let home = guest("well-behaved", &json!({ "config": {}, "cases": [case] }));
    let text = tested(&home, &["--fuzz", "0"], 1);
    for line in [
        "wrong: case.json: all pass",
        "-   \"plan\": {",
        "+   \"pass\": true",
        "1 are wrong",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn what_an_odd_request_brings_to_light_can_be_replayed() {
    let home = guest("traps", &json!({ "config": {}, "warnings": [] }));
    let text = tested(&home, &["--fuzz", "5", "--seed", "3"], 1);
    assert!(
        text.contains("fault: odd request 0: the plugin trapped") && text.contains("5 of 5 odd requests fault"),
        "{text}"
    );
    assert_eq!(text, tested(&home, &["--fuzz", "5", "--seed", "3"], 1));
    let file = text
        .split_once("--replay ")
        .unwrap()
        .1
        .lines()
        .next()
        .unwrap()
        .to_owned();
    let again = tested(&home, &["--replay", &file], 1);
    assert!(
        again.contains("wrong: odd-3-0.json: odd request 0") && again.contains("the plugin trapped"),
        "{again}"
    );
    home.write("guest.wasm", guests::component("well-behaved"));
    tested(&home, &["--replay", &file], 0);
}
