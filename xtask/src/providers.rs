//! What each provider is asked for, as a page for people: `docs/providers.md`. Nothing on it is claimed: a cell is filled from the
//! golden files, which the adapters' tests hold true. `operations.rs` has the table of operations; here are the golden files, and
//! the table of what a chat completion may ask for.

mod operations;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::plugins::{self, Kind};
use crate::workspace;

/// Something that a request may ask for.
struct Ability {
    /// The column's head.
    name: &'static str,
    /// Whether a canonical request asks for it.
    is_asked: fn(&Value) -> bool,
    /// Members of a provider's request that say it; one of them is enough.
    said_by: &'static [&'static str],
    /// How it is called where it is left out or refused.
    field: &'static str,
}

const ABILITIES: [Ability; 17] = [
    Ability {
        name: "tools",
        is_asked: |body| has_items(&body["tools"]),
        said_by: &["tools"],
        field: "tools",
    },
    Ability {
        name: "forced tool",
        is_asked: |body| body["tool_choice"] == "required" || body["tool_choice"].is_object(),
        said_by: &["tool_choice", "toolConfig", "toolChoice"],
        field: "tool_choice",
    },
    Ability {
        name: "one call at a time",
        is_asked: |body| body["parallel_tool_calls"] == false,
        said_by: &["parallel_tool_calls", "disable_parallel_tool_use"],
        field: "parallel_tool_calls",
    },
    Ability {
        name: "JSON schema",
        is_asked: |body| body["response_format"]["type"] == "json_schema",
        said_by: &[
            "json_schema",
            "responseJsonSchema",
            "responseSchema",
            "output_config",
            "jsonSchema",
            "format",
        ],
        field: "response_format",
    },
    Ability {
        name: "effort",
        is_asked: |body| body["reasoning_effort"].as_str().is_some_and(|effort| effort != "none"),
        said_by: &[
            "thinking",
            "thinkingConfig",
            "reasoning",
            "reasoning_effort",
            "enable_thinking",
            "think",
        ],
        field: "reasoning_effort",
    },
    Ability {
        name: "image, URL",
        is_asked: |body| shows_image(body, "http"),
        said_by: &["image_url", "source", "fileData"],
        field: "image_url",
    },
    Ability {
        name: "image, data",
        is_asked: |body| shows_image(body, "data:"),
        said_by: &["image_url", "source", "inlineData", "images"],
        field: "",
    },
    Ability {
        name: "file",
        is_asked: |body| parts(body).any(|part| part["type"] == "file"),
        said_by: &["file", "source", "inlineData", "fileData"],
        field: "file",
    },
    Ability {
        name: "sound",
        is_asked: |body| parts(body).any(|part| part["type"] == "input_audio"),
        said_by: &["input_audio", "inlineData"],
        field: "input_audio",
    },
    Ability {
        name: "stop",
        is_asked: |body| has_items(&body["stop"]),
        said_by: &["stop", "stop_sequences", "stopSequences"],
        field: "stop",
    },
    Ability {
        name: "seed",
        is_asked: |body| body["seed"].is_i64(),
        said_by: &["seed", "random_seed"],
        field: "seed",
    },
    Ability {
        name: "logprobs",
        is_asked: |body| body["logprobs"] == true,
        said_by: &["logprobs", "responseLogprobs"],
        field: "logprobs",
    },
    Ability {
        name: "logit bias",
        is_asked: |body| body["logit_bias"].as_object().is_some_and(|bias| !bias.is_empty()),
        said_by: &["logit_bias"],
        field: "logit_bias",
    },
    Ability {
        name: "n",
        is_asked: |body| body["n"].as_u64().is_some_and(|count| count > 1),
        said_by: &["n", "candidateCount"],
        field: "n",
    },
    Ability {
        name: "cache marks",
        is_asked: |body| body.to_string().contains("\"cache_control\""),
        said_by: &["cache_control", "cachePoint"],
        field: "cache_control",
    },
    Ability {
        name: "service tier",
        is_asked: |body| {
            body["service_tier"]
                .as_str()
                .is_some_and(|tier| !["auto", "default"].contains(&tier))
        },
        said_by: &["service_tier", "serviceTier"],
        field: "service_tier",
    },
    Ability {
        name: "metadata",
        is_asked: |body| body["metadata"].is_object(),
        said_by: &["metadata", "requestMetadata"],
        field: "metadata",
    },
];

const HEAD: &str = "# Providers

Made from the adapters' golden files by `cargo xtask providers`; an empty cell has no golden. Whether a model does what it is asked for is the model's matter.
";

const ABILITIES_HEAD: &str = "
## What a chat completion may ask for

A golden shows that it is asked of the provider (✓), that it is left out and [named](configuration.md#what-an-adapter-leaves-out) (named), that such a
request is refused (refused), or that it is left out without a word, since the provider does the same by itself (needless).
To providers of OpenAI's dialect what is not named here passes as it came; so does everything to `openai` itself.
";

/// What a golden file shows of one request.
#[derive(Clone)]
struct Case {
    operation: String,
    is_stream: bool,
    asked: Value,
    /// What was sent, and what the header says was left out.
    sent: Option<(Value, String)>,
    /// Why nothing was.
    refused: String,
    /// Whether the settings have refused what is left out otherwise.
    is_strict: bool,
    /// Whose place the settings say that it is, where one dialect is served at several.
    place: Option<String>,
}

/// A provider, and what golden files show of it.
struct Provider {
    name: String,
    /// Whether it speaks OpenAI's dialect, so that what no setting of it changes passes as it came.
    is_dialect: bool,
    /// What of images and sound it is known to have; all of them where nothing is said.
    media: Option<String>,
    /// Which of `rerank` and `moderation` it has.
    beside: Vec<&'static str>,
    cases: Vec<Case>,
}

/// Where the page is.
pub fn file() -> PathBuf {
    workspace().join("docs/providers.md")
}

/// Writes the page.
pub fn write() -> Result<()> {
    let path = file();
    fs::write(&path, page()?).with_context(|| format!("cannot write {}", path.display()))
}

/// The name of every provider that there is an adapter for.
pub fn names() -> Result<Vec<String>> {
    Ok(providers()?.into_iter().map(|provider| provider.name).collect())
}

/// The page as the golden files have it.
pub fn page() -> Result<String> {
    let providers = providers()?;
    let mut page = String::from(HEAD);
    page += &operations::table(&providers)?;
    page += ABILITIES_HEAD;
    let heads: Vec<&str> = ABILITIES.iter().map(|ability| ability.name).collect();
    write!(
        page,
        "\n| provider | {} |\n|---{}|\n",
        heads.join(" | "),
        "|---".repeat(heads.len())
    )?;
    for provider in providers.iter().filter(|provider| provider.name != "openai") {
        let cells: Vec<&str> = ABILITIES.iter().map(|ability| cell(ability, &provider.cases)).collect();
        writeln!(page, "| `{}` | {} |", provider.name, cells.join(" | "))?;
    }
    Ok(page)
}

/// Every adapter, and behind it the providers that are data of it.
fn providers() -> Result<Vec<Provider>> {
    let mut providers = Vec::new();
    for plugin in plugins::find()?
        .into_iter()
        .filter(|plugin| plugin.kind == Kind::Adapter)
    {
        let cases = translated(&plugin.folder.join("golden"))?;
        let of = |place: Option<&str>| -> Vec<Case> {
            let is_there = |case: &&Case| case.place.is_none() || case.place.as_deref() == place;
            cases.iter().filter(is_there).cloned().collect()
        };
        providers.push(Provider {
            name: plugin.name.clone(),
            is_dialect: plugin.name == "openai",
            media: None,
            beside: vec!["moderation"],
            cases: of(None),
        });
        for file in files(&plugin.folder.join("providers"), "toml").unwrap_or_default() {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let is_dialect = file.with_extension("json").is_file();
            let cases = if is_dialect {
                dialect(&file.with_extension("json"))?
            } else {
                of(line(&file, "place = ")?.as_deref())
            };
            providers.push(Provider {
                name,
                is_dialect,
                media: line(&file, "media = ")?,
                beside: beside(&file)?,
                cases,
            });
        }
    }
    Ok(providers)
}

/// What the file says that the provider has, though not all do that speak the dialect.
fn beside(file: &Path) -> Result<Vec<&'static str>> {
    let mut has = Vec::new();
    for (word, beginning) in [("rerank", "rerank = "), ("moderation", "moderation = ")] {
        if line(file, beginning)?.as_deref() == Some("true") {
            has.push(word);
        }
    }
    Ok(has)
}

/// What stands behind these words in a provider's file.
fn line(file: &Path, beginning: &str) -> Result<Option<String>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix(beginning));
    Ok(line.map(|rest| rest.trim_matches('"').to_owned()))
}

/// The best that any golden shows.
fn cell(ability: &Ability, cases: &[Case]) -> &'static str {
    let asks = |case: &&Case| case.operation == "chat" && (ability.is_asked)(&case.asked);
    // What is shown for its place alone counts before what is shown for all.
    let is_own = cases.iter().filter(asks).any(|case| case.place.is_some());
    let asking = || {
        let asking = cases.iter().filter(asks);
        asking.filter(|case| !is_own || case.place.is_some())
    };
    let is_said = |case: &Case| {
        let (sent, _) = case.sent.as_ref()?;
        let mut names = BTreeSet::new();
        collect_names(sent, &mut names);
        Some(ability.said_by.iter().any(|name| names.contains(*name)))
    };
    let is_named = |words: &str| {
        let is_field = |word: &str| word == ability.field || word.ends_with(&format!(".{}", ability.field));
        !ability.field.is_empty() && words.split([' ', ',', '(', '`']).any(is_field)
    };
    let is_dropped = |case: &Case| match &case.sent {
        Some((_, dropped)) => is_named(dropped),
        None => case.is_strict && is_named(&case.refused),
    };
    if asking().any(|case| is_said(case) == Some(true) && !is_dropped(case)) {
        "✓"
    } else if asking().any(is_dropped) {
        "named"
    } else if asking().any(|case| is_named(&case.refused)) {
        "refused"
    } else if ability.name == "cache marks" && asking().any(|case| case.sent.is_some()) {
        "needless"
    } else {
        ""
    }
}

/// The cases of an adapter's `golden/`.
fn translated(folder: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for file in files(folder, "json")? {
        let listed = match read(&file)? {
            Value::Array(listed) => listed,
            one => vec![one],
        };
        for case in listed {
            let given = ["encode", "stream"].into_iter().find(|kind| case[*kind].is_object());
            let Some(given) = given else { continue };
            let outgoing = &case["outgoing"];
            let settings = &case[given]["target"]["settings"];
            cases.push(Case {
                operation: case[given]["operation"].as_str().unwrap_or("chat").to_owned(),
                is_stream: given == "stream" && case["failure"].is_null(),
                place: settings["place"].as_str().map(str::to_owned),
                asked: case["encode"]["body"].clone(),
                sent: outgoing
                    .is_object()
                    .then(|| (outgoing["body"].clone(), dropped(outgoing))),
                refused: case["failure"]["message"].as_str().unwrap_or_default().to_owned(),
                is_strict: settings["on_unsupported"] == "refuse",
            });
        }
    }
    Ok(cases)
}

/// The golden of a provider that is data, beside the request that all of them are made from; what it refuses is in its file.
fn dialect(file: &Path) -> Result<Vec<Case>> {
    let asked = read(&file.with_file_name("request.golden"))?;
    let golden = read(file)?;
    let table = fs::read_to_string(file.with_extension("toml"))?;
    let refused = table
        .lines()
        .find(|line| line.starts_with("refuse"))
        .unwrap_or_default();
    let shown = |asked: Value, sent: Option<&Value>, refused: &str| Case {
        operation: "chat".to_owned(),
        is_stream: false,
        asked,
        sent: sent.map(|sent| (sent["body"].clone(), dropped(sent))),
        refused: refused.to_owned(),
        is_strict: false,
        place: None,
    };
    let streamed = Case {
        is_stream: golden["streamed"]["body"]["stream"] == true,
        ..shown(Value::Null, None, "")
    };
    let mut cases = vec![shown(asked, Some(&golden["whole"]), ""), streamed];
    for name in refused.split('"').skip(1).step_by(2) {
        let value = if name == "n" { json!(2) } else { json!([{}]) };
        cases.push(shown(json!({ name: value }), None, name));
    }
    if let Some(taken) = table.lines().find(|line| line.starts_with("parts")) {
        for kind in ["file", "input_audio"].into_iter().filter(|kind| !taken.contains(kind)) {
            let part = json!({ "type": kind });
            cases.push(shown(json!({ "messages": [{ "content": [part] }] }), None, kind));
        }
    }
    Ok(cases)
}

fn dropped(outgoing: &Value) -> String {
    let told = outgoing["headers"]["x-pointsman-dropped"].as_str();
    told.unwrap_or_default().to_owned()
}

fn collect_names<'v>(value: &'v Value, names: &mut BTreeSet<&'v str>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                names.insert(name);
                collect_names(value, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_names(item, names)),
        _ => {}
    }
}

fn has_items(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty()) || value.as_array().is_some_and(|items| !items.is_empty())
}

fn parts(body: &Value) -> impl Iterator<Item = &Value> {
    let messages = body["messages"].as_array().into_iter().flatten();
    messages.flat_map(|message| message["content"].as_array().into_iter().flatten())
}

fn shows_image(body: &Value, scheme: &str) -> bool {
    parts(body).any(|part| {
        part["image_url"]["url"]
            .as_str()
            .is_some_and(|url| url.starts_with(scheme))
    })
}

fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|other| other == ending));
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_providers_is_what_the_golden_files_show() {
        let written = fs::read_to_string(file()).unwrap_or_default();
        assert!(
            written == page().unwrap(),
            "docs/providers.md is out of date: run cargo xtask providers"
        );
    }

    #[test]
    fn a_cell_is_filled_by_a_golden_alone() {
        let case = |sent: Value, dropped: &str| Case {
            operation: "chat".to_owned(),
            is_stream: false,
            place: None,
            asked: json!({ "seed": 1 }),
            sent: Some((sent, dropped.to_owned())),
            refused: String::new(),
            is_strict: false,
        };
        let seed = ABILITIES.iter().find(|ability| ability.name == "seed").unwrap();
        assert_eq!(cell(seed, &[]), "");
        assert_eq!(cell(seed, &[case(json!({}), "")]), "");
        assert_eq!(cell(seed, &[case(json!({}), "n, seed")]), "named");
        assert_eq!(cell(seed, &[case(json!({ "a": [{ "random_seed": 1 }] }), "")]), "✓");
    }
}
