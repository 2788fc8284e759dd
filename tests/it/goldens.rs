//! The golden files of the plugins in the box, put to their components in the gateway's own engine: natively they run in the
//! plugins' own tests, with other sizes of numbers and without the gateway's limits.

use std::fs::{create_dir, read_dir};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tests::{Home, guests};
use xtask::plugins::{self, Kind, Selection};
use xtask::workspace;

/// What the manifests of plugins in the box would say.
fn manifest(package: &str, kind: Kind, grants: &[String]) -> String {
    let kind = match kind {
        Kind::Policy => "policy",
        Kind::Adapter => "adapter",
    };
    format!("name = \"{package}\"\nkind = \"{kind}\"\nlang = \"rust\"\ngrants = {grants:?}\n")
}

/// The golden files of a plugin in the box.
fn golden(package: &str) -> Vec<PathBuf> {
    let folder = read_dir(workspace().join(format!("plugins/{package}/golden"))).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{package} has no golden files");
    files
}

#[test]
fn every_plugin_in_the_box_does_as_its_golden_files_say_as_a_component_too() {
    let home = Home::new();
    let mut wrong = Vec::new();
    for built in plugins::build(&guests::target_dir(), &Selection::All).unwrap() {
        let package = built.plugin.package();
        let bytes = std::fs::read(&built.path).unwrap();
        let imports = guests::imports(&bytes);
        let imports = |grant: &&str| imports.contains(&format!("pointsman:plugin/{grant}@0.1.0"));
        let grants: Vec<String> = ["models", "state"]
            .iter()
            .filter(|grant| imports(grant))
            .map(ToString::to_string)
            .collect();
        home.write(
            &format!("{package}/plugin.toml"),
            manifest(&package, built.plugin.kind, &grants),
        );
        let own = home.path(&format!("{package}/golden"));
        create_dir(&own).unwrap();
        // A component is compiled anew around each configuration, and JavaScript's engine takes many seconds for it: some files have
        // to do. The plugins' own tests read all of them.
        let every = match built.plugin.kind {
            _ if package == "policy-script" => 5,
            Kind::Policy => 3,
            Kind::Adapter => 1,
        };
        for file in golden(&package).iter().step_by(every) {
            symlink(file, own.join(file.file_name().unwrap())).unwrap();
        }
        let component = built.path.to_str().unwrap();
        // The scripts of the golden files throw on purpose, and odd requests find out.
        let odd = if package == "policy-script" { "0" } else { "20" };
        let tested = home.run(&["plugin", "test", &package, "--component", component, "--fuzz", odd]);
        if !tested.status.success() {
            wrong.push(format!(
                "{package}: {}{}",
                String::from_utf8_lossy(&tested.stdout),
                String::from_utf8_lossy(&tested.stderr)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
