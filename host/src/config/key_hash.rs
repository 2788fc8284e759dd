//! What is kept of a key: its public id, a mark of the pepper and a digest that nobody can turn back into the key.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One key's hash. It is written down on purpose only, with [`KeyHash::to_text`]; it is no credential.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyHash {
    /// The key's public id.
    pub id: String,
    /// Tells a hash that was made with another pepper, which fits no key.
    pub pepper: [u8; 4],
    /// HMAC-SHA-256 of the whole key under the pepper.
    pub digest: [u8; 32],
}

const KIND: &str = "hmac-sha256";

impl KeyHash {
    /// Letters and digits of an id.
    pub const ID_LENGTH: usize = 12;

    /// Whether a text has the form of a key's id.
    pub fn is_id(text: &str) -> bool {
        text.len() == Self::ID_LENGTH
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    }

    /// Reads what [`KeyHash::to_text`] wrote. The text is in no message: it may be a key.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("sk-") || text.starts_with("pm-admin-") {
            return Err(
                "this is a key and not its hash; `pointsman keys hash`, or `pointsman admin hash` for a token, makes one and prints its hash".to_owned(),
            );
        }
        let read = || {
            let mut parts = text.split(':');
            let (kind, id) = (parts.next()?, parts.next()?);
            let (pepper, digest) = (bytes(parts.next()?)?, bytes(parts.next()?)?);
            let is_whole = kind == KIND && Self::is_id(id) && parts.next().is_none();
            is_whole.then(|| Self {
                id: id.to_owned(),
                pepper,
                digest,
            })
        };
        read().ok_or_else(|| format!("this is not the hash of a key, `{KIND}:…`, as `pointsman keys hash` prints it"))
    }

    /// For the configuration, and for the store.
    pub fn to_text(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("{KIND}:{}:{}:{}", self.id, hex(&self.pepper), hex(&self.digest))
    }
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let is_hex = hex.len() == 2 * N && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|_| is_hex)?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    is_hex.then_some(bytes)
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyHash({}, …)", self.id)
    }
}

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> KeyHash {
        KeyHash {
            id: "abcdefghij12".to_owned(),
            pepper: [1, 2, 3, 4],
            digest: [0xab; 32],
        }
    }

    #[test]
    fn a_hash_survives_being_written_and_is_not_shown() {
        assert_eq!(KeyHash::parse(&hash().to_text()), Ok(hash()));
        assert!(!format!("{:?}", hash()).contains("abab"));
    }

    #[test]
    fn what_is_no_hash_is_told_without_being_repeated() {
        let good = hash().to_text();
        for wrong in [
            "",
            "hmac-sha256",
            &good[..good.len() - 1],
            &format!("{good}:"),
            &good.replace("hmac-sha256", "sha256"),
            &good.replace("abcdefghij12", "ABCDEFGHIJ12"),
            &good.replace("01020304", "+1020304"),
            &good.replace("abab", "a\u{e4}b"),
            "sk-pm-abcdefghij12-secretsecret",
        ] {
            let reason = KeyHash::parse(wrong).unwrap_err();
            assert!(
                wrong.is_empty() || !reason.contains(wrong) || wrong == "hmac-sha256",
                "{reason}"
            );
        }
    }
}
