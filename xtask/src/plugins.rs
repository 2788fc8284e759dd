//! The plugins in the box: every folder `plugins/policy-*` and `plugins/adapter-*`. Adding one takes a new folder and
//! nothing else. One inner cargo builds them all, so that what they share is compiled once.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::nested::Build;
use crate::{component, workspace};

/// The plugins in the box import no WASI, and this target has none.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// What a plugin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Decides which model serves a request.
    Policy,
    /// Translates between the canonical form and a provider's.
    Adapter,
}

impl Kind {
    /// The word that folders, crates and the configuration use.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Policy => "policy",
            Kind::Adapter => "adapter",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A plugin's source.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// The first word of the folder's name.
    pub kind: Kind,
    /// The rest of it: `keyword` for `plugins/policy-keyword`.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
}

impl Plugin {
    /// The folder's and the crate's name, `policy-keyword` say.
    pub fn package(&self) -> String {
        format!("{}-{}", self.kind, self.name)
    }
}

/// A plugin as a component.
#[derive(Debug, Clone)]
pub struct BuiltPlugin {
    /// Where it comes from.
    pub plugin: Plugin,
    /// The component's file.
    pub path: PathBuf,
    /// The size of that file in bytes.
    pub size: u64,
}

/// Which plugins to build.
#[derive(Debug, Clone, Default)]
pub enum Selection {
    /// Every plugin in the box.
    #[default]
    All,
    /// Those with these package names.
    Named(Vec<String>),
}

/// Every plugin in the box, adapters after policies, each in the alphabet's order.
pub fn find() -> Result<Vec<Plugin>> {
    let folder = workspace().join("plugins");
    let mut plugins = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        plugins.extend(plugin_in(entry?.path()));
    }
    plugins.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Ok(plugins)
}

fn plugin_in(folder: PathBuf) -> Option<Plugin> {
    let (kind, name) = folder.file_name()?.to_str()?.split_once('-')?;
    let kind = [Kind::Policy, Kind::Adapter]
        .into_iter()
        .find(|known| known.as_str() == kind)?;
    let name = name.to_owned();
    folder
        .join("Cargo.toml")
        .is_file()
        .then_some(Plugin { kind, name, folder })
}

/// Builds the selected plugins under `dir`, which serves as the inner cargo's target directory and keeps the
/// components; `<target>/plugins` is the one that all callers share. What has not changed is not built again.
pub fn build(dir: &Path, selection: &Selection) -> Result<Vec<BuiltPlugin>> {
    let plugins = select(find()?, selection)?;
    let what: Vec<String> = plugins
        .iter()
        .flat_map(|plugin| ["--package".to_owned(), plugin.package()])
        .collect();
    let manifest = workspace().join("Cargo.toml");
    let modules = Build {
        manifest: &manifest,
        target_dir: dir,
        target: TARGET,
        what: &what,
    }
    .run()?;
    let components = dir.join("components");
    fs::create_dir_all(&components).with_context(|| format!("cannot make {}", components.display()))?;
    plugins
        .into_iter()
        .map(|plugin| finish(plugin, &modules, &components))
        .collect()
}

fn select(mut plugins: Vec<Plugin>, selection: &Selection) -> Result<Vec<Plugin>> {
    if let Selection::Named(names) = selection {
        for name in names {
            ensure!(
                plugins.iter().any(|plugin| plugin.package() == *name),
                "there is no plugin in plugins/{name}"
            );
        }
        plugins.retain(|plugin| names.contains(&plugin.package()));
    }
    ensure!(!plugins.is_empty(), "no plugin is selected");
    Ok(plugins)
}

fn finish(plugin: Plugin, modules: &Path, components: &Path) -> Result<BuiltPlugin> {
    let package = plugin.package();
    let module = modules.join(package.replace('-', "_")).with_extension("wasm");
    let path = components.join(&package).with_extension("wasm");
    component::encode(&module, &path)?;
    let size = fs::metadata(&path)?.len();
    Ok(BuiltPlugin { plugin, path, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plugin_folder_is_found_with_its_kind_and_name() {
        let found: Vec<String> = find().unwrap().iter().map(Plugin::package).collect();
        assert!(found.contains(&"policy-keyword".to_owned()), "{found:?}");
        assert!(found.contains(&"adapter-openai".to_owned()), "{found:?}");
    }

    #[test]
    fn a_selection_that_names_no_plugin_is_refused_by_name() {
        let error = select(find().unwrap(), &Selection::Named(vec!["policy-moon".into()])).unwrap_err();
        assert_eq!(error.to_string(), "there is no plugin in plugins/policy-moon");
    }
}
