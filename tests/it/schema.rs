//! The providers' own specifications drive the surfaces: requests of every kind that they allow, and of many that they do not. None is
//! answered with a server's error, and every error has the shape that its surface's clients read. The specifications are looked for
//! in `wire/specs/` below the folder that `POINTSMAN_SHARED` names.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use tests::{Gateway, not_tested, sdk};
use xtask::workspace;

/// Any name of a model is one.
const CONFIG: &str = r#"
[providers.simulated]
adapter = "simulated"
allow_any_model = true

[models."simulated/small"]
provider = "simulated"
price = { input = 0.10, output = 0.40 }
"#;

/// Sends what a specification says, below a path of the gateway, for the paths that this expression finds.
async fn holds(specification: &str, below: &str, paths: &str, shape: &str) {
    let shared = env::var_os("POINTSMAN_SHARED").map_or_else(|| workspace().join("../shared"), PathBuf::from);
    let file = shared.join("wire/specs").join(specification);
    if !file.is_file() {
        not_tested(&format!("there is no {}", file.display()), "set POINTSMAN_SHARED");
        return;
    }
    let program = workspace().join("target/sdk/schema/bin/schemathesis");
    if !program.is_file() {
        let (what, remedy) = ("Schemathesis is not installed", "`cargo xtask test` installs it");
        assert!(env::var_os("CI").is_none(), "{what}; {remedy}");
        not_tested(what, remedy);
        return;
    }
    let gateway = Gateway::start(CONFIG).await;
    let folder = gateway.home().path("schema");
    fs::create_dir(&folder).unwrap();
    fs::copy(workspace().join("tests/sdk/schema/hooks.py"), folder.join("hooks.py")).unwrap();
    let mut command = sdk::clean(Command::new(program));
    command
        .current_dir(&folder)
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("SHAPE", shape);
    command
        .arg("run")
        .arg(file)
        .args(["--url", &format!("{}{below}", gateway.url())]);
    command.args(["--include-path-regex", paths]);
    command.args(["--checks", "not_a_server_error,errors_have_their_shape"]);
    command.args(["--phases", "examples,coverage,fuzzing", "--max-examples", "30"]);
    // The same requests each time.
    command.args(["--generation-deterministic", "--suppress-health-check", "all"]);
    let output = sdk::finish(command, String::new()).await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let passed = said.lines().find(|line| line.contains(" generated, "));
    let passed = passed.and_then(|line| line.trim().split(' ').next()?.parse::<u32>().ok());
    assert!(passed.is_some_and(|passed| passed > 100), "{said}");
}

#[tokio::test]
async fn what_openais_specification_allows_and_what_not_is_never_a_servers_error() {
    let file = "openai/openapi.chat-embeddings-models.yaml";
    let paths = "^/(chat/completions|completions|embeddings|moderations|models)";
    holds(file, "/v1", paths, "openai").await;
}

/// Nobody here makes images or sound: what is tried is how requests for them are read, as JSON and as forms.
#[tokio::test]
async fn what_the_specification_of_images_and_sound_allows_and_what_not_is_never_a_servers_error() {
    let paths = "^/(images/(generations|edits)|audio/(speech|transcriptions|translations))$";
    holds("openai/openapi.full.yaml", "/v1", paths, "openai").await;
}

#[tokio::test]
async fn what_anthropics_specification_allows_and_what_not_is_never_a_servers_error() {
    let paths = "^/v1/messages(/count_tokens)?$";
    holds("anthropic/openapi.messages.yaml", "", paths, "anthropic").await;
}

#[tokio::test]
async fn what_the_specification_of_responses_allows_and_what_not_is_never_a_servers_error() {
    holds("openai/openapi.responses.yaml", "/v1", "^/responses$", "openai").await;
}

#[tokio::test]
async fn what_geminis_specification_allows_and_what_not_is_never_a_servers_error() {
    let paths = "^/models(/[^:]*(:countTokens|:generateContent|:streamGenerateContent|:embedContent)?)?$";
    holds("gemini/openapi.generate-content.yaml", "/v1beta", paths, "google").await;
}
