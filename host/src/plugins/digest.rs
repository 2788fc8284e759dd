//! What bytes are: their SHA-256, shown in hexadecimal, and cut to twelve places where people read it.

use std::fmt;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// The digest of several parts, each preceded by its length, so that no two lists of parts share one.
    pub fn of_parts(parts: &[&[u8]]) -> Digest {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Digest(hash.finalize().into())
    }

    /// The digest of all that is read here, which need not fit into memory.
    pub fn of_reader(mut reader: impl Read) -> io::Result<Digest> {
        let mut hash = Sha256::new();
        let mut piece = vec![0; 64 << 10];
        loop {
            match reader.read(&mut piece)? {
                0 => return Ok(Digest(hash.finalize().into())),
                read => hash.update(&piece[..read]),
            }
        }
    }

    /// The first twelve hexadecimal places: enough to tell versions apart in a log line or a header.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}
