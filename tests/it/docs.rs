//! Readers paste from the documentation, so every configuration in it has to be good. What is in a page but is no whole
//! configuration is completed as the text around it says: by the simulated provider, and by the policy in the README.

use std::fs;
use std::path::PathBuf;

use tests::{Home, fences, guests};
use xtask::nested::{self, Build};
use xtask::{reference, workspace};

/// A text that somebody may save as `pointsman.toml`.
struct Configuration {
    /// Where it stands.
    place: String,
    text: String,
}

/// What a fragment is put into: a block without a provider shows what to add to a configuration.
const SIMULATED: &str = r#"
[providers.simulated]
adapter = "simulated"
[models."simulated/small"]
provider = "simulated"
price = { input = 0.10, output = 0.40 }
[models."simulated/large"]
provider = "simulated"
price = { input = 3.00, output = 12.00 }
"#;

/// The file that the README has its readers build.
const PLUGIN: &str = "plugins/cheapest.wasm";

#[test]
fn every_configuration_in_the_documentation_is_good() {
    let configurations = configurations();
    let home = Home::new();
    if configurations.iter().any(|found| found.text.contains(PLUGIN)) {
        home.write(PLUGIN, policy_in_the_readme());
    }
    for folder in ["", "cookbook"] {
        for script in files(&format!("examples/{folder}"), "js") {
            let own = script.strip_prefix(workspace().join("examples")).unwrap();
            home.write(&own.to_string_lossy(), fs::read(&script).unwrap());
        }
    }
    let mut wrong = Vec::new();
    for Configuration { place, text } in configurations {
        home.write("pointsman.toml", &text);
        let mut command = home.command(&["check", "--config", "pointsman.toml"]);
        command.envs(variables(&text).map(|name| (name, "from-the-environment")));
        let checked = command.output().expect("cannot start pointsman");
        let said = String::from_utf8_lossy(&checked.stdout);
        if !checked.status.success() || !said.starts_with("pointsman.toml: good") {
            let complaint = String::from_utf8_lossy(&checked.stderr);
            wrong.push(format!("{place}:\n{said}{complaint}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_page_that_the_documentation_links_to_exists() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap_or_default();
            if !page.with_file_name(file).exists() {
                broken.push(format!("{}: {link}", name(&page)));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_reference_of_the_contract_is_what_the_contract_says() {
    let written = fs::read_to_string(reference::file()).unwrap();
    assert!(
        written == reference::page().unwrap(),
        "docs/plugins/reference.md is out of date: run cargo xtask reference"
    );
}

fn configurations() -> Vec<Configuration> {
    let mut found = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for fence in fences(&text, "toml") {
            let is_whole = fence.text.contains("[providers.");
            found.push(Configuration {
                place: format!("{}:{}", name(&page), fence.line),
                text: fence.text + if is_whole { "" } else { SIMULATED },
            });
        }
    }
    for file in files("examples", "toml") {
        found.push(Configuration {
            place: name(&file),
            text: fs::read_to_string(&file).unwrap(),
        });
    }
    assert!(!found.is_empty());
    found
}

/// What users read; decisions and contributions have no configurations.
fn pages() -> Vec<PathBuf> {
    let mut pages = files("", "md");
    for folder in ["docs", "docs/plugins", "docs/policies", "examples"] {
        pages.extend(files(folder, "md"));
    }
    pages.extend(files("wit", "md"));
    pages
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(workspace().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

fn name(file: &std::path::Path) -> String {
    file.strip_prefix(workspace()).unwrap_or(file).display().to_string()
}

/// The environment variables that a configuration reads.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    let inserted = text.split("${").skip(1).filter_map(|rest| rest.split('}').next());
    inserted.filter(|name| !name.starts_with("file:"))
}

/// The policy in the README, built as a user's own crate would be.
fn policy_in_the_readme() -> Vec<u8> {
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let source = fences(&readme, "rust")
        .into_iter()
        .find(|fence| fence.text.contains("export_policy!"));
    let source = source.expect("the README has no policy").text;
    let home = Home::new();
    home.write("src/lib.rs", source);
    // The versions of the workspace, so that nothing has to be fetched.
    home.write("Cargo.lock", fs::read(workspace().join("Cargo.lock")).unwrap());
    let sdk = workspace().join("plugin-sdk");
    let manifest = format!(
        "[workspace]\n[package]\nname = \"cheapest\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n\
         [dependencies]\npointsman-plugin = {{ path = {sdk:?} }}\n[profile.{}]\ninherits = \"release\"\n",
        nested::PROFILE
    );
    let built = Build {
        manifest: &home.write("Cargo.toml", manifest),
        target_dir: &guests::target_dir(),
        target: "wasm32-wasip2",
        what: &[],
    };
    let folder = built.run().expect("the README's policy cannot be built");
    fs::read(folder.join("cheapest.wasm")).unwrap()
}
