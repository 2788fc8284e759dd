//! Cargo inside cargo: building for WebAssembly from a build script or a test, while an outer cargo is running.
//! A target directory of its own keeps the two from waiting for each other's lock; a clean environment keeps the
//! outer build's flags and wrappers (clippy's, say) from leaking into the inner one and rebuilding it each time.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The profile that plugins are built with, from the workspace's `Cargo.toml`.
pub const PROFILE: &str = "plugin";

/// What the folder in which cargo keeps what it fetched is called in what is made: panics name the places of sources.
pub(crate) const CARGO_HOME: &str = "/cargo";

/// What the inner cargo may inherit of the `CARGO_` variables: where things are kept and how they are fetched, how
/// output looks, and the outer cargo's job server, so that both together use no more cores than one was given.
const INHERITED: &[&str] = &[
    "CARGO_HOME",
    "CARGO_MAKEFLAGS",
    "CARGO_NET_",
    "CARGO_HTTP_",
    "CARGO_REGISTRY_",
    "CARGO_REGISTRIES_",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
];

/// Variables without that prefix which steer a compilation, or tell build scripts about the outer one.
/// `RUSTC_WRAPPER` is not among them: a compiler cache serves the inner build as well.
const CLEARED: &[&str] = &[
    "RUSTFLAGS",
    "RUSTDOCFLAGS",
    "RUSTC",
    "RUSTDOC",
    "RUSTC_LINKER",
    "RUSTC_WORKSPACE_WRAPPER",
    "OUT_DIR",
    "TARGET",
    "HOST",
    "NUM_JOBS",
    "OPT_LEVEL",
    "DEBUG",
    "PROFILE",
];

/// One inner `cargo build`.
#[derive(Debug, Clone, Copy)]
pub struct Build<'a> {
    /// The `Cargo.toml` to build from.
    pub manifest: &'a Path,
    /// Its own target directory, never the outer cargo's.
    pub target_dir: &'a Path,
    /// The triple of the guests, `wasm32-unknown-unknown` say.
    pub target: &'a str,
    /// Which packages or targets, as cargo's own arguments.
    pub what: &'a [String],
}

impl Build<'_> {
    /// Builds, and returns the folder with the finished modules.
    pub fn run(&self) -> Result<PathBuf> {
        require_target(self.target)?;
        let mut cargo = cargo();
        cargo.args(["build", "--quiet", "--profile", PROFILE, "--target", self.target]);
        cargo
            .arg("--manifest-path")
            .arg(self.manifest)
            .arg("--target-dir")
            .arg(self.target_dir);
        if let Some(home) = cargo_home().as_deref().and_then(Path::to_str) {
            // Joined to the flags of `.cargo/config.toml`. TOML takes a path of any platform between these quotes.
            let flag = renamed(home, CARGO_HOME);
            cargo
                .arg("--config")
                .arg(format!("target.{}.rustflags=['''{flag}''']", self.target));
        }
        cargo.args(self.what);
        let status = cargo
            .status()
            .with_context(|| format!("cannot start {:?}", cargo.get_program()))?;
        ensure!(
            status.success(),
            "cargo could not build {} for {}",
            self.what.join(" "),
            self.target
        );
        Ok(self.target_dir.join(self.target).join(PROFILE))
    }
}

/// Where cargo keeps what it fetched, by its own rule.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let said = env::var_os("CARGO_HOME").filter(|home| !home.is_empty());
    said.map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))
}

/// The compiler's flag for a folder that is to have another name in what is made.
pub(crate) fn renamed(folder: &str, name: &str) -> String {
    format!("--remap-path-prefix={folder}={name}")
}

/// A cargo with an environment as from a fresh shell; the toolchain stays the outer one's.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os().filter(|(name, _)| !is_inherited(name)) {
        cargo.env_remove(name);
    }
    cargo
}

fn is_inherited(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return true };
    if name.starts_with("CARGO") && name != "CARGO" {
        return INHERITED.iter().any(|prefix| name.starts_with(prefix));
    }
    !name.starts_with("DEP_") && !CLEARED.contains(&name)
}

/// The target directory that belongs to a build script's `OUT_DIR` or a program's own path: the folder around the
/// profile's, which is the one that cargo locks. Its `CACHEDIR.TAG` says nothing: cargo leaves that out where somebody
/// else made the folder.
pub fn target_dir_above(path: &Path) -> Option<&Path> {
    path.ancestors()
        .skip(1)
        .find(|folder| folder.join(".cargo-lock").is_file())?
        .parent()
}

fn require_target(target: &str) -> Result<()> {
    ensure!(
        has_target(target)?,
        "the compiler has no standard library for {target}; add it with `rustup target add {target}`"
    );
    Ok(())
}

/// Whether the standard library for a target is installed.
pub fn has_target(target: &str) -> Result<bool> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", target]);
    let output = rustc.output().context("cannot start rustc")?;
    ensure!(output.status.success(), "rustc does not know the target {target}");
    let folder = String::from_utf8(output.stdout).context("rustc printed a path that is not UTF-8")?;
    Ok(Path::new(folder.trim()).is_dir())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn flags_and_wrappers_of_the_outer_build_are_not_inherited() {
        for name in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_BUILD_TARGET",
        ] {
            assert!(!is_inherited(OsStr::new(name)), "{name} leaks");
        }
        for name in [
            "CARGO_PKG_NAME",
            "CARGO_TARGET_DIR",
            "CARGO_PROFILE_PLUGIN_LTO",
            "DEP_Z_ROOT",
            "OUT_DIR",
        ] {
            assert!(!is_inherited(OsStr::new(name)), "{name} leaks");
        }
    }

    #[test]
    fn a_target_directory_that_cargo_did_not_make_is_found_too() {
        let made = env::temp_dir().join(format!("pointsman-nested-{}", std::process::id()));
        let out = made.join("debug/build/pointsman-0/out");
        fs::create_dir_all(&out).unwrap();
        assert_eq!(target_dir_above(&out), None);

        fs::write(made.join("debug/.cargo-lock"), "").unwrap();
        assert_eq!(target_dir_above(&out), Some(made.as_path()));
        fs::remove_dir_all(&made).unwrap();
    }

    #[test]
    fn what_finds_and_fetches_things_is_inherited() {
        for name in [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "RUSTUP_TOOLCHAIN",
            "RUSTC_WRAPPER",
        ] {
            assert!(is_inherited(OsStr::new(name)), "{name} is lost");
        }
    }
}
