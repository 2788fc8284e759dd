//! What must hold of the sources themselves: which way imports point, golden files for every plugin, what every file
//! begins with, what must not be in any. Each check lists the lines that break it.

use std::fs;
use std::path::{Path, PathBuf};

use xtask::{plugins, workspace};

/// The modules of `host/src`, from the door inwards. A module uses what stands in the rows below its own and nothing else,
/// so that plugins know no upstream and no HTTP, and whoever reads a row has to know only what is beneath it.
const ROWS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["admin"],
    &["server"],
    &["reload"],
    &["app"],
    &["pipeline"],
    &["surfaces"],
    &["generation"],
    &["idempotency", "webhooks"],
    &["cache", "upstream", "reports", "keys"],
    &["documents", "audit", "load"],
    &["handover"],
    &["ledger", "spend"],
    &["config", "telemetry"],
    &["store", "fleet"],
    &["plugins", "budget", "catalog"],
    &["body", "error", "hops", "json", "money", "operation", "window"],
];

/// What must not be in any source: work that is not finished, and folders of somebody's own machine. In pieces, because
/// this file is searched as well.
const BANNED: &[&[&str]] = &[
    &["TO", "DO"],
    &["FIX", "ME"],
    &["to", "do!("],
    &["unimple", "mented!("],
    &["db", "g!("],
    &["#[ig", "nore"],
    &["\"/ro", "ot/"],
    &["\"/ho", "me/"],
    &["\"/wo", "rk/"],
];

/// Longer files tell more than one story.
const MOST_LINES: usize = 500;

#[test]
fn imports_in_the_host_point_one_way() {
    let source = workspace().join("host/src");
    let mut wrong = Vec::new();
    for file in files_under(&source, &["rs"]) {
        let own = module_of(file.strip_prefix(&source).unwrap());
        if own == "lib" {
            continue;
        }
        let Some(row) = row_of(&own) else {
            wrong.push(format!(
                "{}: the module `{own}` has no row in tests/it/tidy.rs",
                name(&file)
            ));
            continue;
        };
        for (number, used) in modules_used(&code(&file)) {
            if used != own && row_of(&used).is_some_and(|other| other <= row) {
                wrong.push(format!("{}:{number}: `{own}` must not know `{used}`", name(&file)));
            }
        }
    }
    none(wrong);
}

/// Only what builds plugins for their authors runs other programs: a gateway that serves has nothing to run.
#[test]
fn no_process_is_started_but_to_build_plugins() {
    let source = workspace().join("host/src");
    let mut wrong = Vec::new();
    for file in files_under(&source, &["rs"]) {
        let starts = ["process::Command", "Command::new(", "exec("].map(|call| code(&file).contains(call));
        if starts.contains(&true) && !file.starts_with(source.join("cli/plugin")) {
            wrong.push(format!("{} starts a process", name(&file)));
        }
    }
    none(wrong);
}

#[test]
fn every_provider_that_is_data_has_a_golden_file_of_its_name() {
    let plugins = plugins::find().unwrap();
    let folders = plugins.iter().map(|plugin| &plugin.folder);
    let without = folders.flat_map(|folder| {
        let providers = files_under(&folder.join("providers"), &["toml"]);
        providers.into_iter().filter(|file| {
            let golden = folder
                .join("golden")
                .join(file.file_stem().unwrap())
                .with_extension("json");
            !file.with_extension("json").is_file() && !golden.is_file()
        })
    });
    none(without.map(|file| name(&file)).collect());
}

#[test]
fn every_plugin_has_golden_files() {
    let plugins = plugins::find().unwrap();
    assert!(!plugins.is_empty());
    let without = plugins
        .iter()
        .filter(|plugin| files_under(&plugin.folder.join("golden"), &[]).is_empty());
    none(
        without
            .map(|plugin| format!("plugins/{} has no golden files", plugin.package()))
            .collect(),
    );
}

#[test]
fn every_source_file_says_what_is_in_it() {
    let silent = sources(&["rs"])
        .into_iter()
        .filter(|file| !fs::read_to_string(file).unwrap().starts_with("//! "));
    none(
        silent
            .map(|file| format!("{} does not begin with `//!`", name(&file)))
            .collect(),
    );
}

#[test]
fn no_source_file_tells_more_than_one_story() {
    let long = sources(&["rs"]).into_iter().map(|file| (lines(&file).len(), file));
    none(
        long.filter(|(lines, _)| *lines > MOST_LINES)
            .map(|(n, file)| format!("{}: {n} lines", name(&file)))
            .collect(),
    );
}

#[test]
fn nothing_unfinished_and_no_ones_own_machine_is_in_the_sources() {
    let banned: Vec<String> = BANNED.iter().map(|pieces| pieces.concat()).collect();
    let mut wrong = Vec::new();
    for file in sources(&["rs", "toml", "wit", "wat", "md", "py", "mjs", "sh"]) {
        for (number, line) in lines(&file) {
            let found = banned.iter().filter(|banned| line.contains(*banned));
            wrong.extend(found.map(|banned| format!("{}:{number}: `{banned}`", name(&file))));
        }
    }
    none(wrong);
}

#[test]
fn every_crate_takes_its_lints_from_the_workspace() {
    let crates = sources(&["toml"])
        .into_iter()
        .filter(|file| file.ends_with("Cargo.toml"));
    let lax = crates.filter(|file| {
        let text = fs::read_to_string(file).unwrap();
        text.contains("[package]") && !text.contains("[lints]\nworkspace = true")
    });
    none(
        lax.map(|file| format!("{} has no `[lints] workspace = true`", name(&file)))
            .collect(),
    );
}

#[track_caller]
fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn row_of(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

/// `pipeline` for `pipeline.rs` and for everything below `pipeline/`.
fn module_of(path: &Path) -> String {
    let first = path.iter().next().unwrap_or_default();
    Path::new(first)
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The modules that stand after `crate::`, one by one or in braces, with the numbers of their lines.
fn modules_used(code: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let number = code[..at].matches('\n').count() + 1;
        let path = &code[at + prefix.len()..];
        match path.strip_prefix('{') {
            Some(list) => used.extend(
                outermost(list)
                    .filter(|path| !path.trim().is_empty())
                    .map(|path| (number, first_word(path))),
            ),
            None => used.push((number, first_word(path))),
        }
    }
    used
}

/// The items of a list in braces, which may have lists in braces themselves.
fn outermost(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 1;
    let end = list.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0
    });
    let mut depth = 0;
    list[..end.unwrap_or(list.len())].split(move |c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    })
}

/// A file without its comments.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

fn first_word(path: &str) -> String {
    path.trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// The files that belong to the project: whatever is neither built nor hidden.
fn sources(extensions: &[&str]) -> Vec<PathBuf> {
    let files = files_under(workspace(), extensions);
    assert!(!files.is_empty(), "found no {extensions:?} at all");
    files
}

fn files_under(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !file_name.starts_with('.') && !["target", "node_modules"].contains(&file_name.as_str()) {
                files.extend(files_under(&path, extensions));
            }
        } else if extensions.is_empty()
            || path
                .extension()
                .is_some_and(|found| extensions.iter().any(|e| found == *e))
        {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The lines of a file with their numbers.
fn lines(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.lines()
        .map(str::to_owned)
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .collect()
}

/// A path as people write it, from the root of the workspace.
fn name(file: &Path) -> String {
    file.strip_prefix(workspace()).unwrap_or(file).display().to_string()
}

#[test]
fn an_import_in_nested_braces_is_seen() {
    let code = "use std::fs;\nuse crate::{\n    config::{self, Config},\n    money,\n};\nlet a = crate::json::parse();";
    let used = modules_used(code);
    assert_eq!(used, [(2, "config".into()), (2, "money".into()), (6, "json".into())]);
}
