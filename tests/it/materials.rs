//! The bill of materials says what is in the binary.

use std::collections::BTreeSet;
use std::fs;

use xtask::sbom;

/// Where Cargo keeps the sources of what it fetched: below it a folder for each place that it fetches from, and in that one for each package.
/// Messages of panics name the file that they come from.
const SOURCES: &[u8] = b"/registry/src/";

#[test]
fn whatever_is_in_the_binary_is_in_the_bill_of_materials() {
    let packages = sbom::packages().unwrap();
    let listed: BTreeSet<String> = packages
        .iter()
        .map(|package| format!("{}-{}", package.name, package.version))
        .collect();
    let binary = fs::read(env!("CARGO_BIN_EXE_pointsman")).unwrap();
    let package = |at: usize| {
        let rest = binary.get(at + SOURCES.len()..)?.get(..200)?;
        // Elsewhere than in a message it is followed by nothing.
        let mut folders = rest.split(|byte| matches!(byte, b'/' | 0));
        folders.next()?;
        std::str::from_utf8(folders.next()?).ok().map(str::to_owned)
    };
    let found: BTreeSet<String> = memchr::memmem::find_iter(&binary, SOURCES)
        .filter_map(package)
        .collect();
    assert!(found.len() > 100, "only {found:?}");
    let unlisted: Vec<_> = found.difference(&listed).collect();
    assert!(unlisted.is_empty(), "{unlisted:?}");
    for package in &packages {
        let is_own = package.checksum.is_none();
        assert!(package.license.is_some(), "{package:?}");
        assert!(
            is_own || package.checksum.as_ref().is_some_and(|checksum| checksum.len() == 64),
            "{package:?}"
        );
    }
    assert!(
        packages.iter().all(|package| package.name != "proptest"),
        "what only tests use is not in it"
    );
}
