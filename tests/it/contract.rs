//! What the components in the box import, read from the components themselves. What is not imported cannot be used, so
//! this is the whole of what they can do.

use tests::guests;
use xtask::plugins::{self, Kind, Selection};

/// What each kind's world in `wit/` offers; interfaces of types alone give nobody anything to call.
fn offered(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Policy => &["catalog", "request", "prompt", "log"],
        Kind::Adapter => &["wire", "log"],
    }
}

/// Plugins in the box that need a grant on top, and which.
const GRANTED: &[(&str, &str)] = &[("policy-budget", "state")];

#[test]
fn every_plugin_in_the_box_imports_only_what_its_world_offers() {
    let built = plugins::build(&guests::target_dir(), &Selection::All).unwrap();
    assert!(!built.is_empty());
    for built in built {
        let bytes = std::fs::read(&built.path).unwrap();
        let package = built.plugin.package();
        let granted = GRANTED
            .iter()
            .filter(|(plugin, _)| *plugin == package)
            .map(|(_, grant)| grant);
        let allowed = offered(built.plugin.kind).iter().chain(granted);
        let allowed: Vec<String> = allowed.map(|name| format!("pointsman:plugin/{name}@0.1.0")).collect();
        for import in guests::imports(&bytes) {
            assert!(allowed.contains(&import), "plugins/{package} imports `{import}`");
        }
    }
}

#[test]
fn a_plugin_that_reaches_for_more_is_found_out() {
    let imports = guests::imports(&guests::component("opens-sockets"));
    assert!(
        imports.iter().any(|import| import.starts_with("wasi:sockets/")),
        "{imports:?}"
    );
}
