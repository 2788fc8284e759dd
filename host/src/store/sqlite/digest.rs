//! Digests of rows. A report computes thousands: what goes in is small, and is put together where it is asked for.

use sha2::{Digest as _, Sha256};

/// Of one row: its values in order, each with its length where it has one.
pub(super) struct Digest(Sha256);

impl Digest {
    #[inline]
    pub(super) fn of(table: &str) -> Self {
        Self(Sha256::new()).text(table)
    }

    #[inline]
    pub(super) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    #[inline]
    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let mut this = self.number(bytes.len() as i64);
        this.0.update(bytes);
        this
    }

    #[inline]
    pub(super) fn number(mut self, number: i64) -> Self {
        self.0.update(number.to_le_bytes());
        self
    }

    /// Nothing differs from every number.
    #[inline]
    pub(super) fn maybe(self, number: Option<i64>) -> Self {
        match number {
            Some(number) => self.number(1).number(number),
            None => self.number(0),
        }
    }

    #[inline]
    pub(super) fn end(self) -> i64 {
        let digest = self.0.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        i64::from_le_bytes(first)
    }
}
