//! The bill of materials: every package that is in the gateway or in a plugin that comes with it, with version, licence and the
//! digest under which it was fetched. The format is CycloneDX 1.6 (<https://cyclonedx.org/docs/1.6/json/>).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{plugins, workspace};

/// The gateway's own package.
const GATEWAY: &str = "pointsman";

/// A package that is built in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// As an SPDX expression.
    pub license: Option<String>,
    /// SHA-256 of what was fetched; the project's own packages are fetched from nowhere.
    pub checksum: Option<String>,
}

/// Where the bill is written.
pub fn file() -> PathBuf {
    workspace().join("target/sbom/pointsman.cdx.json")
}

/// Writes the bill, and gives the number of packages in it.
pub fn write() -> Result<usize> {
    let packages = packages()?;
    let file = file();
    let folder = file.parent().context("a file in no folder")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let text = serde_json::to_string_pretty(&bill(&packages))? + "\n";
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    Ok(packages.len())
}

/// All packages that are in the binary: of this machine's platform, the sandboxed plugins' included.
pub fn packages() -> Result<BTreeSet<Package>> {
    let metadata = metadata()?;
    let checksums = checksums(&fs::read_to_string(workspace().join("Cargo.lock"))?);
    let text = |value: &Value, name: &str| value[name].as_str().map(str::to_owned);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let nodes: BTreeMap<String, Value> = list(&metadata["resolve"]["nodes"])
        .into_iter()
        .filter_map(|node| Some((text(&node, "id")?, node)))
        .collect();
    let all = list(&metadata["packages"]);
    let mut roots: BTreeSet<String> = plugins::find()?.iter().map(plugins::Plugin::package).collect();
    roots.insert(GATEWAY.to_owned());
    let is_root = |package: &&Value| text(package, "name").is_some_and(|name| roots.contains(&name));
    let mut waiting: Vec<String> = all
        .iter()
        .filter(is_root)
        .filter_map(|package| text(package, "id"))
        .collect();
    ensure!(
        waiting.len() == roots.len(),
        "not all packages of {roots:?} are in the workspace"
    );
    let mut met = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if !met.insert(id.clone()) {
            continue;
        }
        for dependency in nodes.get(&id).map(|node| list(&node["deps"])).unwrap_or_default() {
            // Neither what builds it nor what tests it is in it.
            let is_normal = list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
            waiting.extend(text(&dependency, "pkg").filter(|_| is_normal));
        }
    }
    let package = |package: &Value| {
        let (name, version) = (text(package, "name")?, text(package, "version")?);
        Some(Package {
            checksum: checksums.get(&(name.clone(), version.clone())).cloned(),
            license: text(package, "license"),
            name,
            version,
        })
    };
    let is_met = |package: &&Value| text(package, "id").is_some_and(|id| met.contains(&id));
    Ok(all.iter().filter(is_met).filter_map(package).collect())
}

fn metadata() -> Result<Value> {
    let mut rustc = Command::new("rustc");
    let version = rustc.arg("-vV").output().context("asking rustc for its host")?.stdout;
    let version = String::from_utf8_lossy(&version).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not say what it runs on")?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            host,
        ])
        .args(["--filter-platform", "wasm32-unknown-unknown"])
        .current_dir(workspace());
    let output = cargo.output().context("starting cargo")?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Of each package that was fetched, by name and version. Cargo writes a member on each line of its lock file.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |package: &str, name: &str| {
        let lines = package
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
        lines.map(|value| value.trim_end_matches('"').to_owned())
    };
    let packages = lock.split("[[package]]").skip(1);
    let found = packages.filter_map(|package| {
        Some((
            (value(package, "name")?, value(package, "version")?),
            value(package, "checksum")?,
        ))
    });
    found.collect()
}

fn bill(packages: &BTreeSet<Package>) -> Value {
    let version = packages.iter().find(|package| package.name == GATEWAY);
    let version = version.map_or("0", |package| &package.version);
    let component = |package: &Package| {
        let Package {
            name,
            version,
            license,
            checksum,
        } = package;
        let url = format!("pkg:cargo/{name}@{version}");
        let mut component = json!({
            "type": "library", "bom-ref": url, "name": name, "version": version, "purl": url, "scope": "required",
        });
        if let Some(license) = license {
            // Some packages are older than the standard's `OR`.
            component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
        }
        if let Some(checksum) = checksum {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
        }
        component
    };
    let libraries = packages.iter().filter(|package| package.name != GATEWAY);
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": {
            "type": "application", "bom-ref": GATEWAY, "name": GATEWAY, "version": version,
        } },
        "components": libraries.map(component).collect::<Vec<_>>(),
    })
}
