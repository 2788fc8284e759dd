//! What becomes of a wish that a provider has no word for. One setting says it for every adapter, `on_unsupported`: it is left
//! out, and the client is told so by a header of the answer, or the request is refused with the field's name.

use std::cell::RefCell;

use serde::Deserialize;

use super::refuse;
use crate::{Failure, Outgoing};

/// The header of an encoded request by which an adapter tells the gateway what it left out. It is not sent to the provider;
/// the client finds it at its answer.
pub const DROPPED: &str = "x-pointsman-dropped";

/// A header has to stay short; what goes beyond is counted.
const MOST_NAMES: usize = 24;

/// The setting `on_unsupported`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnsupported {
    /// It is left out of the request, and named to the client.
    #[default]
    Drop,
    /// The request is refused, with the name of the field.
    Refuse,
}

/// What one request has lost on its way into a provider's words.
#[derive(Debug)]
pub struct Losses {
    provider: &'static str,
    mode: OnUnsupported,
    /// Translation reads its settings everywhere and writes nothing but this.
    names: RefCell<Vec<String>>,
}

impl Losses {
    /// Nothing yet; `provider` is how people call it.
    pub fn of(provider: &'static str, mode: OnUnsupported) -> Self {
        let names = RefCell::default();
        Losses { provider, mode, names }
    }

    /// How people call the provider.
    pub fn provider(&self) -> &'static str {
        self.provider
    }

    /// A wish without a counterpart; an answer may differ by it.
    pub fn leave_out(&self, field: impl Into<String>) -> Result<(), Failure> {
        let field = field.into();
        match self.mode {
            OnUnsupported::Refuse => Err(refuse(format!(
                "{field} cannot be asked of {}; leave it out",
                self.provider
            ))),
            OnUnsupported::Drop => {
                self.name(field);
                Ok(())
            }
        }
    }

    /// A wish without a counterpart by which no answer differs: named, and never a reason to refuse.
    pub fn name(&self, field: impl Into<String>) {
        let (field, mut names) = (field.into(), self.names.borrow_mut());
        let is_plain = |byte: u8| (b'!'..=b'~').contains(&byte) && byte != b',';
        if !names.contains(&field) && field.len() <= 80 && field.bytes().all(|byte| is_plain(byte) || byte == b' ') {
            names.push(field);
        }
    }

    /// Tells the gateway, by a header that it takes out.
    pub fn tell(&self, mut outgoing: Outgoing) -> Outgoing {
        let names = self.names.borrow();
        if !names.is_empty() {
            let mut value = names[..names.len().min(MOST_NAMES)].join(", ");
            if names.len() > MOST_NAMES {
                value.push_str(&format!(", and {} more", names.len() - MOST_NAMES));
            }
            outgoing.headers.push((DROPPED.to_owned(), value));
        }
        outgoing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_named_once_or_refused() {
        let losses = Losses::of("Moon", OnUnsupported::Drop);
        losses.leave_out("seed").unwrap();
        losses.leave_out("seed").unwrap();
        losses.name("messages[0].name");
        losses.name("ä\r\nx: y");
        let told = losses.tell(Outgoing::json("/", b"{}".to_vec()));
        assert_eq!(
            told.headers[1],
            (DROPPED.to_owned(), "seed, messages[0].name".to_owned())
        );
        let strict = Losses::of("Moon", OnUnsupported::Refuse);
        strict.name("user");
        let failure = strict.leave_out("seed").unwrap_err();
        assert_eq!(failure.message, "seed cannot be asked of Moon; leave it out");
    }
}
