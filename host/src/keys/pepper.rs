//! The pepper: a secret of the gateway's own that every key is hashed with, so that whoever gets hold of the hashes alone
//! can do nothing with them.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::token::Presented;
use crate::config::{KeyHash, PepperConfig};

/// Ready to hash.
#[derive(Clone)]
pub struct Pepper {
    keyed: Hmac<Sha256>,
    mark: [u8; 4],
}

impl fmt::Debug for Pepper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pepper(…)")
    }
}

impl Pepper {
    /// A pepper of this secret.
    pub fn new(secret: &[u8]) -> Result<Self, String> {
        let keyed = Hmac::new_from_slice(secret).map_err(|error| format!("the pepper cannot be used: {error}"))?;
        let mut pepper = Self { keyed, mark: [0; 4] };
        let digest = pepper.digest(b"the mark of a pepper");
        pepper.mark.copy_from_slice(&digest[..4]);
        Ok(pepper)
    }

    /// The one that there is; `None` where nothing has needed one yet.
    pub fn find(config: &PepperConfig) -> Result<Option<Self>, String> {
        match config {
            PepperConfig::Given(secret) => Self::new(secret.reveal().as_bytes()).map(Some),
            PepperConfig::File(path) => match std::fs::read(path) {
                Ok(secret) => Self::of_file(path, &secret).map(Some),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(format!("{}: {error}", path.display())),
            },
        }
    }

    /// The one that there is, or a new one.
    pub fn find_or_make(config: &PepperConfig) -> Result<Self, String> {
        if let Some(pepper) = Self::find(config)? {
            return Ok(pepper);
        }
        let PepperConfig::File(path) = config else {
            return Err("there is no pepper".to_owned());
        };
        write(path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Self::find(config)?.ok_or_else(|| format!("{} is gone", path.display()))
    }

    fn of_file(path: &Path, secret: &[u8]) -> Result<Self, String> {
        // Whoever emptied it would get hashes that anybody can make.
        if secret.len() < FILE_BYTES {
            let path = path.display();
            return Err(format!(
                "{path} has {} bytes and is not the pepper that was made; without that no key can be known",
                secret.len()
            ));
        }
        Self::new(secret)
    }

    pub(super) fn digest(&self, text: &[u8]) -> [u8; 32] {
        let mut keyed = self.keyed.clone();
        keyed.update(text);
        keyed.finalize().into_bytes().into()
    }

    /// What is kept of a key.
    pub fn hash(&self, key: &Presented<'_>) -> KeyHash {
        KeyHash {
            id: key.id.to_owned(),
            pepper: self.mark,
            digest: self.digest(key.text),
        }
    }

    /// Whether a hash was made with this pepper.
    pub(super) fn made(&self, hash: &KeyHash) -> bool {
        self.mark == hash.pepper
    }
}

/// 32 random bytes in hexadecimal.
const FILE_BYTES: usize = 64;

/// Written beside and linked, so that of two processes that start at once one wins, and nobody reads half of it.
fn write(path: &Path) -> std::io::Result<()> {
    let mut secret = [0; FILE_BYTES / 2];
    getrandom::fill(&mut secret).map_err(std::io::Error::other)?;
    let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(folder) = path.parent() {
        crate::plugins::create_private(folder)?;
    }
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = private(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&beside, path);
    std::fs::remove_file(&beside)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// A new file that its owner alone can read.
fn private(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::token::NewKey;
    use super::*;

    #[test]
    fn a_pepper_is_made_once_and_for_its_owner_alone() {
        let folder = ::tests::Home::new();
        let path = folder.path("store/pepper");
        let config = PepperConfig::File(path.clone());
        assert!(Pepper::find(&config).unwrap().is_none());
        let key = NewKey::make().unwrap();
        let hash = |pepper: Pepper| pepper.hash(&key.presented());
        let first = hash(Pepper::find_or_make(&config).unwrap());
        assert_eq!(hash(Pepper::find_or_make(&config).unwrap()), first);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let other = Pepper::new(b"another pepper").unwrap();
        assert!(!other.made(&first) && other.hash(&key.presented()).digest != first.digest);
    }

    #[test]
    fn an_emptied_pepper_is_no_pepper() {
        let folder = ::tests::Home::new();
        let config = PepperConfig::File(folder.write("pepper", ""));
        assert!(Pepper::find(&config).is_err() && Pepper::find_or_make(&config).is_err());
    }
}
