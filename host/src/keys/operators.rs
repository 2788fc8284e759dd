//! Who may use the admin listener: tokens, declared in the configuration or made at run time, kept as keys are: by a hash.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::pepper::Pepper;
use super::token::Presented;
use crate::config::{KeyHash, PepperConfig, Role, TokenConfig};

/// A token of the store. What this version does not understand of one makes it unusable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Public.
    pub id: String,
    /// For people, and for the audit log.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// Of its text.
    pub hash: KeyHash,
    /// In milliseconds since 1970.
    pub created_ms: u64,
}

/// What the store has under a token's id; nobody can use one that cannot be read.
pub type StoredToken = (String, Option<TokenRecord>);

/// Whose token it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The token's name and id.
    pub name: String,
    /// What it is good for.
    pub role: Role,
}

/// All tokens at one time.
#[derive(Debug, Default)]
pub struct Operators {
    pepper: Option<Pepper>,
    /// By the id in the token's text.
    entries: HashMap<String, (KeyHash, Operator)>,
    is_required: bool,
}

impl Operators {
    /// Puts all tokens together, and says what is odd about them.
    pub(super) fn of(
        pepper: &PepperConfig,
        declared: &BTreeMap<String, TokenConfig>,
        stored: &[StoredToken],
    ) -> (Self, Vec<String>) {
        let mut warnings = Vec::new();
        let mut operators = Self {
            // Why there is none, the keyring has said.
            pepper: Pepper::find(pepper).unwrap_or_default(),
            entries: HashMap::new(),
            // One that cannot be read must not open the door to everybody.
            is_required: !declared.is_empty() || !stored.is_empty(),
        };
        let declared = declared.iter().map(|(name, token)| (name, &token.hash, token.role));
        for (name, hash, role) in declared {
            operators.put(name, hash, role, &mut warnings);
        }
        for (id, record) in stored {
            match record {
                Some(record) => operators.put(&record.name, &record.hash, record.role, &mut warnings),
                None => warnings.push(format!(
                    "the admin token {id} cannot be read by this version and is refused"
                )),
            }
        }
        (operators, warnings)
    }

    fn put(&mut self, name: &str, hash: &KeyHash, role: Role, warnings: &mut Vec<String>) {
        if self.pepper.as_ref().is_none_or(|pepper| !pepper.made(hash)) {
            warnings.push(format!(
                "the admin token `{name}`: its hash was made with another pepper than the gateway's, so that no token fits it"
            ));
        }
        let name = format!("{name} ({})", hash.id);
        self.entries
            .insert(hash.id.clone(), (hash.clone(), Operator { name, role }));
    }

    /// Whether the admin listener wants a token: once there is one.
    pub fn is_required(&self) -> bool {
        self.is_required
    }

    /// Whose token this is. One that is not there takes as long as one that is.
    pub fn find(&self, token: &Presented<'_>) -> Option<&Operator> {
        let digest = self.pepper.as_ref()?.digest(token.text);
        let (hash, operator) = self.entries.get(token.id)?;
        bool::from(hash.digest.ct_eq(&digest)).then_some(operator)
    }
}
