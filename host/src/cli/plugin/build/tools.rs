//! Finds the programs of a toolchain: in the plugin's folder first, then where the user's shell finds them. All that is
//! missing is told at once, with the command that gets it.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::cli::plugin::manifest::Project;

/// Folders that npm and Python's `venv` put programs in.
const OWN: [&str; 2] = ["node_modules/.bin", ".venv/bin"];

/// Looks for programs and remembers what it did not find.
pub(super) struct Search<'a> {
    project: &'a Project,
    missing: Vec<String>,
}

impl<'a> Search<'a> {
    pub(super) fn new(project: &'a Project) -> Search<'a> {
        let missing = Vec::new();
        Search { project, missing }
    }

    /// The program by the first of its names that is there.
    pub(super) fn find(&self, names: &[&str]) -> Option<PathBuf> {
        names.iter().find_map(|name| find(&self.project.dir, name))
    }

    /// A program that cannot be done without; an empty path where it is missing, which [`Search::end`] tells.
    pub(super) fn need(&mut self, name: &str, what: &str, remedy: &str) -> PathBuf {
        self.find(&[name]).unwrap_or_else(|| {
            self.lack(name, what, remedy);
            PathBuf::new()
        })
    }

    pub(super) fn lack(&mut self, name: &str, what: &str, remedy: &str) {
        self.missing.push(format!("  {name}, {what}\n      {remedy}"));
    }

    /// An error with all that is missing.
    pub(super) fn end(self) -> Result<()> {
        if self.missing.is_empty() {
            return Ok(());
        }
        bail!(
            "{} cannot be built yet; missing:\n{}\n(looked in {}, and in PATH)",
            self.project.dir.display(),
            self.missing.join("\n"),
            OWN.join(" and ")
        )
    }
}

fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    // npm installs for a whole workspace into a folder above.
    let own = dir
        .ancestors()
        .map(|folder| folder.join(OWN[0]))
        .chain([dir.join(OWN[1])]);
    let system = env::var_os("PATH").unwrap_or_default();
    own.chain(env::split_paths(&system))
        .map(|folder| folder.join(name))
        .find(|program| is_program(program))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}
