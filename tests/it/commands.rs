//! The commands that end by themselves: their help, their exit status, and what they print.

use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tests::config::{openai, policy, route};
use tests::{Gateway, Home, guests};
use xtask::plugins::{self, Selection};

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn ask(text: &str) -> Value {
    json!({ "model": "auto", "messages": [{ "role": "user", "content": text }] })
}

/// Two models, a policy that prefers and refuses by words, and one that labels.
fn home() -> Home {
    let rules = r#"rules = [{ any = ["code"], label = "coding", prefer = ["two/model"] }, { any = ["secret"], reject = { status = 451, code = "not_here", message = "ask elsewhere" } }]"#;
    let config = [
        openai("one", "http://127.0.0.1:9"),
        openai("two", "http://127.0.0.1:9"),
        policy("words", "keyword", rules),
        policy("hard", "complexity", "score = \"density\""),
        route("auto", &["one", "two"], "policies = [\"words\", \"hard\"]"),
    ];
    Home::with_config(&config.concat())
}

#[test]
fn every_command_has_a_help_with_an_example() {
    let home = Home::new();
    let mut left: Vec<Vec<String>> = vec![Vec::new()];
    let mut seen = 0;
    while let Some(command) = left.pop() {
        let words: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
        let output = home.run(&words);
        let text = out(&output);
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        let called = ["pointsman", &command.join(" ")].join(" ");
        assert!(text.contains("Example") && text.contains(called.trim()), "{text}");
        assert!(text.contains("--config"), "{text}");
        seen += 1;
        let below = text.lines().skip_while(|line| *line != "Commands:").skip(1);
        let names = below.take_while(|line| !line.is_empty());
        // What a command does may take a second line, which is indented further.
        let names = names.filter_map(|line| {
            line.strip_prefix("  ")?
                .split(' ')
                .next()
                .filter(|name| !name.is_empty())
        });
        let names = names.filter(|name| *name != "help");
        left.extend(names.map(|name| [&command[..], &[name.to_owned()]].concat()));
    }
    assert!(seen > 30, "{seen} commands");
    assert!(out(&home.run(&["--version"])).starts_with("pointsman "));
}

#[test]
fn a_command_whose_output_nobody_reads_any_more_ends_well() {
    let home = home();
    home.write("one.json", ask("hello").to_string());
    for arguments in [
        &["check", "--print"][..],
        &["catalog", "list"],
        &["explain", "one.json"],
        &["keys", "create", "--name", "one"],
        &["keys", "list", "--format", "json"],
        &["spend", "--format", "json"],
        &["store", "export"],
        &["store", "check"],
    ] {
        let mut command = home.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (output.status.code(), errors(&output).as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_whose_output_has_no_room_says_so() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = home().command(&["check", "--print"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("cannot write to standard output"),
        "{output:?}"
    );
}

#[test]
fn the_exit_status_tells_good_from_wrong_and_wrong_from_misused() {
    let home = home();
    home.write("good.json", ask("hello").to_string());
    home.write("bad.json", "{}");
    for (arguments, status) in [
        (&["check"][..], 0),
        (&["--config", "pointsman.toml", "check"], 0),
        (&["explain", "good.json"], 0),
        (&["check", "--config", "missing.toml"], 1),
        (&["explain", "missing.json"], 1),
        (&["explain", "bad.json"], 1),
        (&["plugin", "inspect", "missing.wasm"], 1),
        (&["plugin", "build", "missing"], 1),
        (&["plugin", "test", "missing"], 1),
        (&["plugin", "new", "Night", "--kind", "policy", "--lang", "c"], 1),
        (&[], 2),
        (&["srve"], 2),
        (&["check", "--fast"], 2),
        (&["explain"], 2),
        (&["explain", "good.json", "--format", "xml"], 2),
        (&["plugin"], 2),
        (&["plugin", "inspect"], 2),
        (&["plugin", "new", "night"], 2),
        (&["plugin", "new", "night", "--kind", "policy", "--lang", "cobol"], 2),
    ] {
        let output = home.run(arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", errors(&output));
        assert_eq!(
            status == 0,
            output.stderr.is_empty(),
            "{arguments:?}: {}",
            errors(&output)
        );
    }
}

#[test]
fn check_says_what_there_is() {
    let output = home().run(&["check"]);
    let text = out(&output);
    assert!(
        text.contains("pointsman.toml: good: 2 providers, 2 models, 2 policies, 1 route"),
        "{text}"
    );
    let home = Home::with_config(&openai("one", "http://127.0.0.1:9").replace("price", "# price"));
    let text = out(&home.run(&["check"]));
    assert!(text.contains("warning: models.\"one/model\" has no price"), "{text}");
}

#[test]
fn explain_tells_people_in_a_table_where_a_request_would_go() {
    let home = home();
    home.write("request.json", ask("Review this code").to_string());
    let table = out(&home.run(&["explain", "request.json"]));
    let line = |name: &str| {
        let line = table.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name} in {table}")).to_owned()
    };
    assert!(line("route").ends_with("auto"));
    assert!(line("candidates").ends_with("one/model, two/model"));
    assert!(line("policy").contains("words@") && line("policy").contains("found `code`"));
    assert!(line("serves").ends_with("two/model"));
    assert!(line("then").ends_with("one/model"));
    assert!(line("labels").contains("coding"));
    home.write("request.json", ask("a secret").to_string());
    let table = out(&home.run(&["explain", "request.json"]));
    assert!(
        table.contains("refused") && table.contains("451 not_here: ask elsewhere"),
        "{table}"
    );
}

#[tokio::test]
async fn explain_tells_programs_in_json_what_the_gateway_then_does() {
    let home = home();
    let requests = [
        ask("Review this code"),
        ask("hello"),
        ask("a secret"),
        json!({ "model": "two/model", "messages": [{ "role": "user" }] }),
    ];
    let envelope = json!({ "body": ask("hello"), "id": "my-id", "headers": { "x-session-id": "s" }, "now_ms": 5 });
    let lines: Vec<String> = requests.iter().chain([&envelope]).map(Value::to_string).collect();
    home.write("requests.jsonl", lines.join("\n") + "\n\n");
    let first = home.run(&["explain", "requests.jsonl"]);
    assert!(first.status.success(), "{}", errors(&first));
    assert_eq!(
        first.stdout,
        home.run(&["explain", "requests.jsonl"]).stdout,
        "the same requests were explained differently"
    );
    let explained: Vec<Value> = out(&first)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(explained.len(), 5);
    let serves: Vec<Option<&str>> = explained.iter().map(|one| one["serves"].as_str()).collect();
    assert_eq!(
        serves,
        [
            Some("two/model"),
            Some("one/model"),
            None,
            Some("two/model"),
            Some("one/model")
        ]
    );
    assert_eq!(explained[0]["labels"]["class"], "coding");
    assert_eq!(explained[0]["steps"][1]["model"], "one/model");
    assert_eq!(
        (&explained[2]["error"]["status"], &explained[2]["error"]["code"]),
        (&451.into(), &"not_here".into())
    );
    assert_eq!(explained[4]["id"], "my-id");

    // No provider was called: there is none. A running gateway gives the same reasons for refusing and names the versions.
    let gateway = Gateway::start_in(home).await;
    gateway.data().chat(&requests[2]).await.refused(451, "not_here");
    let plugins = gateway.shows("/admin/plugins").await;
    for policy in explained[0]["policies"].as_array().unwrap() {
        let running = plugins["plugins"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["name"] == policy["policy"])
            .unwrap();
        let digest = policy["digest"].as_str().unwrap();
        assert!(running["running_digest"].as_str().unwrap().starts_with(digest));
    }
}

#[test]
fn explain_goes_on_after_a_line_that_is_no_request_and_ends_wrong() {
    let home = home();
    home.write(
        "requests.jsonl",
        format!(
            "{}\nnot json\n{{}}\n{}\n",
            ask("hello"),
            json!({ "model": "nobody", "messages": [{ "role": "user" }] })
        ),
    );
    let output = home.run(&["explain", "requests.jsonl"]);
    let codes: Vec<Value> = out(&output)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["error"]["code"].clone())
        .collect();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        codes,
        [
            Value::Null,
            "invalid_json".into(),
            "missing_required_parameter".into(),
            "model_not_found".into()
        ]
    );
    assert!(
        errors(&output).contains("request 2: ") && errors(&output).contains("request 3: "),
        "{}",
        errors(&output)
    );
}

#[test]
fn inspect_tells_people_and_programs_what_a_component_is() {
    // Each look compiles the component: of one in four of the plugins, and of those that a table is looked at.
    const TABLES: [&str; 3] = ["adapter-openai", "policy-budget", "policy-ensemble"];
    let home = Home::new();
    let built = plugins::build(&guests::target_dir(), &Selection::All).unwrap();
    let built = built.into_iter().enumerate();
    for (_, built) in built.filter(|(index, built)| index % 4 == 0 || TABLES.contains(&built.plugin.package().as_str()))
    {
        let bytes = std::fs::read(&built.path).unwrap();
        let (package, path) = (built.plugin.package(), built.path.to_str().unwrap().to_owned());
        let json = home.run(&["plugin", "inspect", "--json", &path]);
        assert!(json.status.success(), "{package}: {}", errors(&json));
        let json: Value = serde_json::from_slice(&json.stdout).unwrap();
        let world = package.split('-').next().unwrap();
        assert_eq!(
            (json["world"].as_str(), json["size"].as_u64()),
            (Some(world), Some(bytes.len() as u64)),
            "{package}"
        );
        let names: Vec<String> = json["imports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|import| import["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(sorted(names.clone()), sorted(guests::imports(&bytes)), "{package}");
        let imports = |grant: &&str| names.iter().any(|name| name.contains(&format!("/{grant}@")));
        let grants: Vec<&str> = ["state", "spend", "models", "fetch"]
            .into_iter()
            .filter(imports)
            .collect();
        assert_eq!(json["grants"], json!(grants), "{package}");
        assert!(
            json["initial_memory_bytes"].as_u64().unwrap() > 0 && json["memories"] == 1,
            "{json:#}"
        );
        if !TABLES.contains(&package.as_str()) {
            continue;
        }
        let table = home.run(&["plugin", "inspect", &path]);
        assert!(table.status.success(), "{package}: {}", errors(&table));
        let table = out(&table);
        let digest = json["digest"].as_str().unwrap();
        assert!(
            table.contains(&format!("sha256:{digest}")) && digest.len() == 64,
            "{table}"
        );
        assert!(names.iter().all(|name| table.contains(name)), "{table}");
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    // The order of imports is the component's own business, and types alone need nothing.
    names.retain(|name| !name.contains("/catalog@") && !name.contains("/request@") && !name.contains("/wire@"));
    names.sort();
    names
}

#[test]
fn inspect_tells_what_a_component_would_need() {
    let home = Home::new();
    let inspect = |name: &str, bytes: Vec<u8>| {
        home.write(name, bytes);
        home.run(&["plugin", "inspect", name])
    };
    let state = out(&inspect("state.wasm", guests::component("asks-for-state")));
    assert!(
        state
            .lines()
            .any(|line| line.starts_with("grants") && line.contains("state")),
        "{state}"
    );
    let sockets = out(&inspect("sockets.wasm", guests::component("opens-sockets")));
    assert!(sockets.contains("inert WASI"), "{sockets}");
}

#[test]
fn inspect_refuses_what_is_no_component_and_says_what_it_is() {
    let home = Home::new();
    for (name, bytes, expected) in [
        ("module", guests::core_module("well-behaved"), "core WebAssembly module"),
        ("native", guests::native_code(), "native code"),
        ("half", guests::truncated("well-behaved"), "does not compile"),
        ("empty", Vec::new(), "not a WebAssembly component"),
        ("text", b"(module)".to_vec(), "`(module)`"),
        ("large", guests::padded("well-behaved", 65 << 20), "the limit is"),
    ] {
        home.write("file.wasm", bytes);
        let output = home.run(&["plugin", "inspect", "file.wasm"]);
        assert_eq!(
            (output.status.code(), output.stdout.is_empty()),
            (Some(1), true),
            "{name}"
        );
        let said = errors(&output);
        assert!(
            said.contains("file.wasm: ") && said.contains(expected),
            "{name}: {said}"
        );
    }
}

#[test]
fn the_schema_of_a_policys_configuration_is_there_to_read() {
    let home = Home::new();
    let schema: Value = serde_json::from_str(&out(&home.run(&["plugin", "inspect", "cost", "--schema"]))).unwrap();
    assert_eq!(schema["type"], "object");
    assert!(schema["properties"]["max_call_usd"].is_object(), "{schema:#}");

    home.write("adapter.wasm", guests::component("forges-requests"));
    let refused = home.run(&["plugin", "inspect", "adapter.wasm", "--schema"]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("only a policy has a configuration"), "{said}");
}
