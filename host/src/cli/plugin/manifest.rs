//! `plugin.toml`: what a plugin's folder says of itself, so that commands need no arguments.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Deserialize;

use crate::plugins::Grant;

/// The file's name in the plugin's folder.
pub(super) const FILE: &str = "plugin.toml";

/// Longer names make labels and log lines that nobody reads.
const NAME_BYTES: usize = 64;

/// A plugin's folder and what its `plugin.toml` says.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) dir: PathBuf,
    pub(super) manifest: Manifest,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) lang: Lang,
    /// What the plugin's world imports beside what every policy has. Toolchains that import all that their world offers
    /// make each of these a grant that somebody has to give.
    #[serde(default)]
    pub(super) grants: Vec<String>,
    /// What it imports besides, and nobody has to grant.
    #[serde(default)]
    pub(super) imports: Vec<Import>,
    /// Optional hooks of a policy that it exports.
    #[serde(default)]
    pub(super) hooks: Vec<Hook>,
    /// The file that a bundler or an interpreter begins with.
    pub(super) source: Option<String>,
    /// For JavaScript and TypeScript.
    #[serde(default)]
    pub(super) engine: Engine,
    /// For Rust: the compiler's target, for crates that need one with WASI.
    pub(super) target: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Policy,
    Adapter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Lang {
    Rust,
    Js,
    Ts,
    Python,
    Go,
    C,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Hook {
    Review,
    Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Import {
    Timeouts,
    Grants,
}

/// What runs JavaScript in the component: QuickJS is small and starts fast, StarlingMonkey is larger and knows more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Engine {
    #[default]
    QuickJs,
    StarlingMonkey,
}

impl Project {
    pub(super) fn read(dir: &Path) -> Result<Project> {
        let file = dir.join(FILE);
        let text = fs::read_to_string(&file).with_context(|| {
            format!(
                "{}: cannot be read; `pointsman plugin new` makes a folder with one",
                file.display()
            )
        })?;
        let manifest: Manifest = toml::from_str(&text).with_context(|| file.display().to_string())?;
        manifest.check().with_context(|| file.display().to_string())?;
        let dir = dir.canonicalize().with_context(|| dir.display().to_string())?;
        Ok(Project { dir, manifest })
    }

    /// A folder for what is made on the way.
    pub(super) fn build_dir(&self) -> Result<PathBuf> {
        let dir = self.dir.join("build");
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }
}

impl Manifest {
    fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        for grant in &self.grants {
            grant.parse::<Grant>().map_err(anyhow::Error::msg)?;
        }
        ensure!(
            self.kind == Kind::Policy || (self.grants.is_empty() && self.imports.is_empty() && self.hooks.is_empty()),
            "`grants`, `imports` and `hooks` are for policies: an adapter is given nothing"
        );
        ensure!(
            self.target.is_none() || self.lang == Lang::Rust,
            "`target` is for lang = \"rust\""
        );
        Ok(())
    }
}

/// Where the component is unless somebody says otherwise, as the user named the folder.
pub(super) fn component(dir: &Path, manifest: &Manifest) -> PathBuf {
    let file = PathBuf::from(&manifest.name).with_extension("wasm");
    if dir == Path::new(".") { file } else { dir.join(file) }
}

/// A name that is one in a path, in the configuration and in every language's package index.
pub(super) fn check_name(name: &str) -> Result<()> {
    let is_word = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    ensure!(
        is_word && name.len() <= NAME_BYTES && !name.ends_with('-'),
        "`{name}` is no name for a plugin: lower-case letters, digits and `-`, beginning with a letter, at most {NAME_BYTES}"
    );
    Ok(())
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Policy => "policy",
            Kind::Adapter => "adapter",
        })
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lang::Rust => "rust",
            Lang::Js => "js",
            Lang::Ts => "ts",
            Lang::Python => "python",
            Lang::Go => "go",
            Lang::C => "c",
        })
    }
}

impl Import {
    pub(super) fn name(self) -> &'static str {
        match self {
            Import::Timeouts => "timeouts",
            Import::Grants => "grants",
        }
    }
}

impl Hook {
    pub(super) fn name(self) -> &'static str {
        match self {
            Hook::Review => "review",
            Hook::Outcome => "outcome",
        }
    }
}
