//! One policy in every language: the same configuration, the same requests, the same verdicts, from the components that
//! the real toolchains make. `tests/languages/README.md` says which part of the policy `keyword` this is. What becomes of
//! guests in these languages that misbehave is in `misbehaving.rs`.

mod misbehaving;

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::{Value, json};
use tests::languages::{self, LANGUAGES};
use tests::{Home, not_tested};
use xtask::workspace;

/// What may serve, in the order of the routes: that of the golden files.
const MODELS: &str = r#"
[plugins.limits]
call_ms = 60_000
configure_ms = 60_000
[providers.simulated]
adapter = "simulated"
[models."a/small"]
provider = "simulated"
tags = ["cheap"]
[models."b/mid"]
provider = "simulated"
tags = ["eu"]
[models."a/big"]
provider = "simulated"
tags = ["strong", "eu"]
"#;

/// Of the real prompts so many are left out for each that is asked.
const STRIDE: usize = 40;

#[test]
fn every_language_decides_alike() {
    if !languages::are_installed() {
        return;
    }
    let golden = golden("rules.json");
    let home = home_of(&golden["config"]);
    as_expected(&home, &golden);
    let mut bodies = odd(&words(&golden["config"]), 300);
    bodies.extend(shapes());
    bodies.extend(real());
    alike(&home, &bodies);
}

#[test]
fn every_language_decides_alike_on_parts_of_words_in_their_own_case() {
    if !languages::are_installed() {
        return;
    }
    let golden = golden("parts.json");
    let home = home_of(&golden["config"]);
    as_expected(&home, &golden);
    alike(&home, &odd(&words(&golden["config"]), 100));
}

#[test]
fn every_language_refuses_the_same_configurations() {
    if !languages::are_installed() {
        return;
    }
    let folder = workspace().join("tests/languages/golden");
    let names = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut bad: Vec<String> = names.filter(|name| name.starts_with("bad-")).collect();
    bad.sort();
    let mut config = MODELS.to_owned();
    for name in &bad {
        let name = name.trim_end_matches(".json");
        config += &policies(&format!("{name}-"), &golden(&format!("{name}.json"))["config"]);
    }
    let home = with_components(&config);
    let output = home.run(&["check"]);
    let said = String::from_utf8_lossy(&output.stderr);
    for name in bad {
        let error = golden(&name)["error"].as_str().unwrap().to_owned();
        for language in all() {
            let policy = format!(
                "{}-{language}: the plugin refuses its configuration: ",
                name.trim_end_matches(".json")
            );
            let line = said.lines().find(|line| line.starts_with(&policy));
            assert!(
                line.is_some_and(|line| line.contains(&error)),
                "{policy}{error}\nnot in\n{said}"
            );
        }
    }
}

/// Rust's is the one in the box.
fn all() -> impl Iterator<Item = &'static str> {
    ["rust"].into_iter().chain(LANGUAGES)
}

fn golden(file: &str) -> Value {
    let path = workspace().join("tests/languages/golden").join(file);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn home_of(config: &Value) -> Home {
    with_components(&format!("{MODELS}{}", policies("", config)))
}

fn with_components(config: &str) -> Home {
    let home = Home::with_config(config);
    for language in LANGUAGES {
        home.write(
            &format!("plugins/{language}.wasm"),
            languages::component(language, "keyword"),
        );
    }
    home
}

/// A policy in each language, and a route of the same name that asks it.
fn policies(prefix: &str, config: &Value) -> String {
    let policy = |language: &str| {
        let component = match language {
            "rust" => "keyword".to_owned(),
            other => format!("plugins/{other}.wasm"),
        };
        format!(
            "[policies.{prefix}{language}]\ncomponent = \"{component}\"\nconfig = {}\n\
             [routes.{prefix}{language}]\ncandidates = [\"a/small\", \"b/mid\", \"a/big\"]\npolicies = [\"{prefix}{language}\"]\n",
            toml(config)
        )
    };
    all().map(policy).collect()
}

/// JSON as a value in a TOML file. Their texts are written alike.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{key} = {}", toml(value)))
                .collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// Every golden case, by every language.
fn as_expected(home: &Home, golden: &Value) {
    let cases = golden["cases"].as_array().unwrap();
    let bodies: Vec<Value> = cases.iter().map(|case| case["request"].clone()).collect();
    for language in all() {
        for (case, decision) in cases.iter().zip(decisions(home, language, &bodies)) {
            let name = format!("{language}: {}: {decision}", case["name"]);
            let expected = &case["verdict"]["plan"];
            assert_eq!(decision["verdict"] == "plan", expected.is_object(), "{name}");
            assert_eq!(
                decision["labels"],
                expected.get("labels").cloned().unwrap_or(json!({})),
                "{name}"
            );
            assert_eq!(
                decision["reason"],
                expected.get("reason").cloned().unwrap_or(json!("")),
                "{name}"
            );
            let unchanged = json!(["a/small", "b/mid", "a/big"]);
            assert_eq!(
                decision["steps"],
                *expected.get("steps").unwrap_or(&unchanged),
                "{name}"
            );
        }
    }
}

/// What each language decides, compared with Rust.
fn alike(home: &Home, bodies: &[Value]) {
    let expected = decisions(home, "rust", bodies);
    assert!(expected.iter().any(|decision| decision["reason"] != "no rule matches"));
    for language in LANGUAGES {
        let found = decisions(home, language, bodies);
        let differ = bodies
            .iter()
            .zip(expected.iter().zip(&found))
            .filter(|(_, (expected, found))| expected != found);
        let differ: Vec<String> = differ
            .map(|(body, (expected, found))| format!("{body}\n  rust: {expected}\n  {language}: {found}"))
            .collect();
        let some = differ[..differ.len().min(5)].join("\n");
        assert!(
            differ.is_empty(),
            "{} of {} differ:\n{some}",
            differ.len(),
            bodies.len()
        );
    }
}

/// What `explain` says of each request, as far as it is the policy's.
fn decisions(home: &Home, route: &str, bodies: &[Value]) -> Vec<Value> {
    let line = |body: &Value| {
        let mut body = body.clone();
        body["model"] = route.into();
        format!("{body}\n")
    };
    let file = format!("{route}.jsonl");
    home.write(&file, bodies.iter().map(line).collect::<String>());
    let output = home.run(&["explain", "--config", "pointsman.toml", &file]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let found: Vec<Value> = text.lines().map(decision).collect();
    assert_eq!(found.len(), bodies.len());
    found
}

fn decision(line: &str) -> Value {
    let explained: Value = serde_json::from_str(line).unwrap();
    let steps: Vec<&Value> = explained["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| &step["model"])
        .collect();
    let (labels, reason) = (&explained["labels"], &explained["reason"]);
    json!({ "verdict": explained["policies"][0]["verdict"], "steps": steps, "labels": labels, "reason": reason })
}

fn body(text: &str) -> Value {
    json!({ "messages": [{ "role": "user", "content": text }] })
}

/// The words that a configuration looks for.
fn words(config: &Value) -> Vec<String> {
    let rules = config["rules"].as_array().unwrap().iter();
    let lists = rules
        .flat_map(|rule| [&rule["any"], &rule["all"]])
        .filter_map(Value::as_array);
    lists
        .flatten()
        .filter_map(|word| word.as_str().map(str::to_owned))
        .collect()
}

/// Texts of words, parts of them and their capitals, with all sorts of things between: always the same ones.
fn odd(words: &[String], count: usize) -> Vec<Value> {
    const BETWEEN: [&str; 24] = [
        "", " ", "  ", "_", "-", ".", ",", "\n", "\t", "1", "x", "É", "é", "ß", "я", "λ", "中", "の", "ไ", "😀", "'",
        "“", "\u{0}", "+",
    ];
    let mut state = 2026_u64;
    let mut any = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut text = || {
        let mut text = String::new();
        for _ in 0..any(8) {
            let word = &words[any(words.len())];
            let word = match any(6) {
                0 => word.to_uppercase(),
                1 => word.chars().skip(1).collect(),
                2 => word.chars().rev().collect(),
                _ => word.clone(),
            };
            text += &word;
            text += BETWEEN[any(BETWEEN.len())];
        }
        text
    };
    (0..count).map(|_| body(&text())).collect()
}

/// Requests of unusual shapes.
fn shapes() -> Vec<Value> {
    let parts = json!([{ "type": "text", "text": "how many" }, { "type": "text", "text": "apples" }]);
    let called = json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": "1", "type": "function", "function": { "name": "python", "arguments": "{}" } }] });
    vec![
        body(""),
        body(&"python".repeat(20_000)),
        body(&format!("{}python", "x ".repeat(50_000))),
        body(&"how many ".repeat(10_000)),
        json!({ "messages": [{ "role": "system", "content": "python" }] }),
        json!({ "messages": [{ "role": "user", "content": parts }] }),
        json!({ "messages": [{ "role": "user", "content": "hello" }, called, { "role": "tool", "tool_call_id": "1", "content": "python" }] }),
    ]
}

/// Some of the real prompts, where they are at hand.
fn real() -> Vec<Value> {
    let shared = env::var_os("POINTSMAN_SHARED").map_or_else(|| workspace().join("../shared"), PathBuf::from);
    let folder = shared.join("routing/open");
    let read = |file: &Path| fs::read_to_string(file).unwrap();
    let files = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|file| file.extension().is_some_and(|found| found == "jsonl"))
        .collect();
    files.sort();
    if files.is_empty() {
        not_tested(
            &format!("there are no prompts of benchmarks at {}", folder.display()),
            "set POINTSMAN_SHARED",
        );
    }
    let text: String = files.iter().map(|file| read(file)).collect();
    let prompts = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let texts = prompts.filter_map(|prompt| prompt["prompt"].as_str().map(body));
    texts.step_by(STRIDE).collect()
}
