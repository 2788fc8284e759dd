//! `pointsman plugin new`: the folder of a new plugin, from the templates in the binary.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::manifest::{self, Kind, Lang, Project};
use super::{contract, templates};
use crate::cli::out::say;

#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// The plugin's name and its folder's: lower-case letters, digits and `-`
    name: String,
    /// What it is for: a policy decides which model serves a request, an adapter speaks a provider's dialect
    #[arg(long, value_enum)]
    kind: Kind,
    /// What it is written in
    #[arg(long, value_enum)]
    lang: Lang,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let Options { name, kind, lang } = options;
    manifest::check_name(name)?;
    let dir = PathBuf::from(name);
    ensure!(
        !dir.exists(),
        "{name} is there already: give another name, or remove it"
    );
    let files = templates::files(*kind, *lang);
    for (path, text) in &files {
        write(&dir.join(path), &filled(text, options, &files))?;
    }
    contract::write(&dir, &Project::read(&dir)?.manifest)?;
    say!("{name}/ holds a {kind} in {lang}; its README.md says what is what. The next commands:\n");
    for command in templates::commands(*lang) {
        say!("  {}", command.replace("{{name}}", name));
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn filled(text: &str, Options { name, kind, lang }: &Options, files: &[templates::Template]) -> String {
    // The source is what stands last.
    let source = files.last().map_or("", |(path, _)| path);
    let dependencies = match kind {
        Kind::Policy => {
            "# The JSON Schema of the configuration.\n\
             schemars = { version = \"1.2.0\", default-features = false, features = [\"derive\", \"std\"] }\n"
        }
        Kind::Adapter => "",
    };
    text.replace("{{commands}}", &templates::commands(*lang).join("\n"))
        .replace("{{source}}", source)
        .replace("{{dependencies}}", dependencies)
        .replace("{{lang}}", &lang.to_string())
        .replace("{{name}}", name)
}
