//! A key's text: `sk-pm-<id>-<secret><checksum>`, and that of a token for the admin listener, which differs in how it begins.
//! The id is public; the secret is shown once, when the key is made.

use sha2::{Digest, Sha256};

use crate::config::KeyHash;

/// What every key begins with. The whole is `sk-pm-[a-z0-9]{12}-[A-Za-z0-9]{49}`.
pub const PREFIX: &str = "sk-pm-";
/// What every token for the admin listener begins with, so that neither is ever taken for the other.
const ADMIN_PREFIX: &str = "pm-admin-";
/// 62^43 is more than 2^256.
const SECRET_LENGTH: usize = 43;
/// So that a mistyped key, or what only looks like one, is told without looking it up.
const CHECK_LENGTH: usize = 6;

const ALPHABET: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A key as somebody presents it. It can be neither shown nor written.
pub struct Presented<'a> {
    pub(super) id: &'a str,
    pub(super) text: &'a [u8],
}

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// It does not begin as one.
    Foreign,
    /// It begins as one and cannot be one: something is missing, or a character is wrong.
    Mistyped,
}

impl<'a> Presented<'a> {
    /// Reads a text that should be a key.
    pub fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse_with(PREFIX, text)
    }

    /// Reads a text that should be a token for the admin listener.
    pub fn parse_admin(text: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse_with(ADMIN_PREFIX, text)
    }

    fn parse_with(prefix: &str, text: &'a [u8]) -> Result<Self, Malformed> {
        let rest = text.strip_prefix(prefix.as_bytes()).ok_or(Malformed::Foreign)?;
        let parts = || {
            let (id, rest) = rest.split_at_checked(KeyHash::ID_LENGTH)?;
            let id = std::str::from_utf8(id).ok().filter(|id| KeyHash::is_id(id))?;
            let secret = rest.strip_prefix(b"-")?;
            let is_whole = secret.len() == SECRET_LENGTH + CHECK_LENGTH && secret.iter().all(u8::is_ascii_alphanumeric);
            let (body, check) = text.split_at(text.len() - CHECK_LENGTH);
            (is_whole && checksum(body) == check).then_some(id)
        };
        parts().map(|id| Self { id, text }).ok_or(Malformed::Mistyped)
    }
}

/// A key that has just been made. It can be shown on purpose only.
pub struct NewKey(String);

impl NewKey {
    /// A key with a new id.
    pub fn make() -> Result<Self, String> {
        Self::of(PREFIX, &new_id()?)
    }

    /// A token for the admin listener, with a new id.
    pub fn make_admin() -> Result<Self, String> {
        Self::of(ADMIN_PREFIX, &new_id()?)
    }

    /// Another key with this id.
    pub fn with_id(id: &str) -> Result<Self, String> {
        Self::of(PREFIX, id)
    }

    fn of(prefix: &str, id: &str) -> Result<Self, String> {
        let mut text = format!("{prefix}{id}-{}", random(ALPHABET, SECRET_LENGTH)?);
        let check = checksum(text.as_bytes());
        text.extend(check.iter().map(|byte| char::from(*byte)));
        Ok(Self(text))
    }

    /// For the one who asked for it, and nobody else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The public id in it.
    pub fn id(&self) -> &str {
        let end = self.0.len() - SECRET_LENGTH - CHECK_LENGTH - 1;
        &self.0[end - KeyHash::ID_LENGTH..end]
    }

    /// As if somebody presented it.
    pub fn presented(&self) -> Presented<'_> {
        Presented {
            id: self.id(),
            text: self.0.as_bytes(),
        }
    }
}

fn new_id() -> Result<String, String> {
    random(&ALPHABET[..36], KeyHash::ID_LENGTH)
}

/// A text that there was never before.
pub(super) fn mark() -> Result<String, String> {
    random(ALPHABET, 22)
}

/// Characters of an alphabet, all equally likely, from the operating system's randomness.
fn random(alphabet: &[u8], length: usize) -> Result<String, String> {
    let most = 256 / alphabet.len() * alphabet.len();
    let mut text = String::with_capacity(length);
    let mut bytes = [0; 64];
    while text.len() < length {
        getrandom::fill(&mut bytes).map_err(|error| format!("no randomness from the operating system: {error}"))?;
        let fair = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < most);
        let left = length - text.len();
        text.extend(fair.take(left).map(|byte| char::from(alphabet[byte % alphabet.len()])));
    }
    Ok(text)
}

fn checksum(body: &[u8]) -> [u8; CHECK_LENGTH] {
    let digest = Sha256::digest(body);
    let mut number = digest[..8]
        .iter()
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    std::array::from_fn(|_| {
        let digit = number % ALPHABET.len() as u64;
        number /= ALPHABET.len() as u64;
        ALPHABET[digit as usize]
    })
}

/// A text that goes on like this, with a checksum that fits it.
#[cfg(test)]
pub(super) fn sealed(begin: &str, rest: &str) -> String {
    let body = [begin, rest].concat();
    let check = checksum(body.as_bytes()).map(char::from);
    body + &String::from_iter(check)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_that_was_made_is_read_and_no_two_are_alike() {
        let (one, other) = (NewKey::make().unwrap(), NewKey::make().unwrap());
        assert!(one.reveal() != other.reveal());
        let read = Presented::parse(one.reveal().as_bytes()).ok().unwrap();
        assert_eq!(read.id, one.presented().id);
        let rotated = NewKey::with_id(read.id).unwrap();
        assert_eq!(rotated.presented().id, read.id);
        assert!(rotated.reveal() != one.reveal());
    }

    #[test]
    fn a_key_of_somebody_else_is_told_from_one_that_is_mistyped() {
        let parse = |text: &[u8]| Presented::parse(text).err();
        for foreign in [&b""[..], b"sk-", b"sk-proj-abc", b"'; DROP TABLE keys; --", b"\xff\0"] {
            assert_eq!(parse(foreign), Some(Malformed::Foreign));
        }
        let key = NewKey::make().unwrap();
        let key = key.reveal();
        for mistyped in [
            PREFIX,
            &key[..key.len() - 1],
            &format!("{key}a"),
            &format!("{key}\0"),
            &key.replace("sk-pm-", "sk-pm-\u{e4}"),
        ] {
            assert_eq!(parse(mistyped.as_bytes()), Some(Malformed::Mistyped));
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_presented_ends_in_a_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Presented::parse(&text);
            let _ = Presented::parse(&[PREFIX.as_bytes(), &text].concat());
        }

        #[test]
        fn one_wrong_character_is_told(place in 0_usize..68, wrong in any::<u8>()) {
            let key = NewKey::make().unwrap();
            let mut text = key.reveal().as_bytes().to_vec();
            prop_assume!(text[place] != wrong);
            text[place] = wrong;
            prop_assert!(Presented::parse(&text).is_err());
        }
    }
}
