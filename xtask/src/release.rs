//! The gateway as it is given to others: the same source makes the same bytes, in whichever folder it lies and wherever cargo keeps what
//! it fetched. Compilers write the paths of sources into what they make, for backtraces and panics; here both folders have
//! names of their own there, as `--remap-path-prefix` (rustc) and `-ffile-prefix-map` (GCC, Clang) are for.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::{nested, sbom, workspace};

/// What the folder of the source is called in what is made.
const SOURCE: &str = "/pointsman";

/// Builds the gateway and its bill of materials into `target/release-files`, and gives those files.
pub fn write() -> Result<Vec<PathBuf>> {
    let built = gateway(workspace())?;
    sbom::write()?;
    let packages = sbom::file();
    let folder = workspace().join("target/release-files");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let copy = |file: &PathBuf| {
        let copied = folder.join(file.file_name().context("a file without a name")?);
        fs::copy(file, &copied).with_context(|| format!("copying {}", file.display()))?;
        Ok(copied)
    };
    [built, packages].iter().map(copy).collect()
}

/// Builds the gateway from the source in a folder, into a target directory of its own there; gives the file.
pub fn gateway(source: &Path) -> Result<PathBuf> {
    let source = source
        .canonicalize()
        .with_context(|| format!("finding {}", source.display()))?;
    let target_dir = source.join("target/reproducible");
    let home = nested::cargo_home();
    let mut folders = vec![(spelled(&source)?, SOURCE)];
    if let Some(home) = &home {
        folders.push((spelled(home)?, nested::CARGO_HOME));
    }
    let mut cargo = nested::cargo();
    cargo.args(["build", "--quiet", "--release", "--locked"]);
    cargo.args(["--package", "pointsman", "--bin", "pointsman", "--target-dir"]);
    cargo.arg(&target_dir).current_dir(&source);
    let flags = folders.iter().map(|(folder, name)| nested::renamed(folder, name));
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.collect::<Vec<_>>().join("\u{1f}"));
    if cfg!(unix) {
        let own = env::var("CFLAGS").ok();
        let flags = folders
            .iter()
            .map(|(folder, name)| format!("-ffile-prefix-map={folder}={name}"));
        cargo.env("CFLAGS", own.into_iter().chain(flags).collect::<Vec<_>>().join(" "));
    }
    // Where a package is compiled in several units, what one lends to another is named by a digest of the lender's intermediate code,
    // and in that of the gateway's own something of the folder is left.
    cargo.args(["--config", "profile.release.package.pointsman.codegen-units=1"]);
    // Functions keep their names for backtraces; where their lines are is three quarters of the file.
    cargo.env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo");
    let status = cargo
        .status()
        .with_context(|| format!("cannot start {:?}", cargo.get_program()))?;
    ensure!(status.success(), "cargo could not build the gateway");
    let built = target_dir.join("release/pointsman");
    Ok(built.with_extension(env::consts::EXE_EXTENSION))
}

/// A folder as flags name it: what builds the C libraries takes flags apart at spaces.
fn spelled(folder: &Path) -> Result<&str> {
    let name = folder.to_str().filter(|name| !name.contains(char::is_whitespace));
    name.with_context(|| {
        format!(
            "{}: a release cannot be built where a folder has a space in its name, or what is not UTF-8",
            folder.display()
        )
    })
}
