//! Golden files, the cookbook's scripts with their cases, and what golden files have no words for.

use std::fs;
use std::path::{Path, PathBuf};

use pointsman_plugin::Verdict;
use pointsman_plugin::log::Level;
use pointsman_plugin::policy::load;
use pointsman_plugin::testing::{Case, TestHost, golden, review_golden};
use serde_json::{Value, json};

use super::Script;

#[test]
fn golden_files() {
    golden::<Script>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn golden_reviews() {
    review_golden::<Script>(env!("CARGO_MANIFEST_DIR"));
}

/// Every `examples/cookbook/NAME.js` with the settings and cases in `NAME.json`.
#[test]
fn every_script_of_the_cookbook_decides_as_its_cases_say() {
    let cookbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cookbook");
    let entries = fs::read_dir(&cookbook).unwrap().map(|entry| entry.unwrap().path());
    let scripts: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "js"))
        .collect();
    assert_eq!(scripts.len(), 10);
    let merged = tempfile::tempdir().unwrap();
    fs::create_dir(merged.path().join("golden")).unwrap();
    for script in scripts {
        let cases = fs::read_to_string(script.with_extension("json")).unwrap();
        let mut file: Value = serde_json::from_str(&cases).unwrap();
        let mut config =
            json!({ "file": script.file_name().unwrap().to_str(), "source": fs::read_to_string(&script).unwrap() });
        if let Some(settings) = file.as_object_mut().unwrap().remove("settings") {
            config["settings"] = settings;
        }
        file["config"] = config;
        file["warnings"] = json!([]);
        let name = script.with_extension("json");
        fs::write(
            merged.path().join("golden").join(name.file_name().unwrap()),
            file.to_string(),
        )
        .unwrap();
    }
    golden::<Script>(merged.path().to_str().unwrap());
}

fn script(source: &str) -> Script {
    load(&json!({ "file": "policy.js", "source": source }).to_string()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_is_written_to_the_console_is_the_plugins_log() {
    let policy = script(
        "export function decide(request, candidates) {
            console.log('text', 1, true, undefined, null, { a: [1] }, [2n === 2n]);
            console.debug(new RangeError('odd'));
            console.warn(() => 1);
            console.error('red');
            console.info();
        }",
    );
    let host = TestHost::new();
    host.decide(&policy, &Case::user("hello", &["a"])).unwrap();
    let lines = host.log_lines();
    let lines: Vec<(Level, &str)> = lines.iter().map(|(level, line)| (*level, &**line)).collect();
    assert_eq!(lines[0], (Level::Info, "text 1 true undefined null {\"a\":[1]} [true]"));
    assert_eq!(lines[1], (Level::Debug, "RangeError: odd"));
    assert_eq!((lines[2].0, lines[3]), (Level::Warn, (Level::Error, "red")));
    assert_eq!(lines[4], (Level::Info, ""));
}

#[test]
fn without_their_grants_state_and_models_say_what_to_add() {
    for (source, grant) in [
        ("export const decide = () => void state.add('a', 1);", "state"),
        (
            "export const decide = () => void models.ask({ model: 'a', user: 'b' });",
            "models",
        ),
        ("export const decide = () => void models.askAll([]);", "models"),
    ] {
        let case = json!({ "grants": [], "candidates": [{ "id": "a" }] });
        let host = TestHost::new();
        let case = Case::json(case);
        host.show(&case);
        let policy = script(source);
        let fault = host.decide(&policy, &case).unwrap_err();
        let advice = format!("`{grant}` is not granted: add grants = [\"{grant}\"] to the policy's configuration");
        assert!(fault.contains(&advice), "{fault}");
    }
}

#[test]
fn a_place_is_told_by_the_scripts_own_name() {
    let config = json!({ "file": "scripts/my policy.js", "source": "\u{feff}// a comment\nexport function decide() {\n  undefined.x;\n}\n" });
    let policy: Script = load(&config.to_string()).unwrap_or_else(|error| panic!("{error}"));
    let fault = TestHost::new()
        .decide(&policy, &Case::user("hello", &["a"]))
        .unwrap_err();
    assert!(fault.starts_with("scripts/my policy.js:3:"), "{fault}");
    assert!(fault.ends_with("(in `decide`)"), "{fault}");
}

#[test]
fn a_script_that_breaks_the_builtins_harms_itself_alone() {
    let policy = script("export function decide() { JSON.stringify = 3; return { edits: { '/a': {} } }; }");
    let fault = TestHost::new()
        .decide(&policy, &Case::user("hello", &["a"]))
        .unwrap_err();
    assert!(fault.contains("`JSON.stringify` is no function any more"), "{fault}");
    let other = script("export function decide() { return { edits: { '/a': {} } }; }");
    let verdict = TestHost::new().decide(&other, &Case::user("hello", &["a"])).unwrap();
    assert!(matches!(verdict, Verdict::Plan(plan) if plan.edits[0].value == "{}"));
}
