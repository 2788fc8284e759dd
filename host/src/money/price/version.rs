//! Which price a cost was counted with.

use std::fmt;

use sha2::{Digest, Sha256};

use super::super::service::WHOLE;
use super::super::{Nanodollars, Service, Shares};
use super::{Rates, Tier};

/// Which price a cost was counted with: the first 32 bits of the SHA-256 of all that it states, shown in hexadecimal. The
/// same rates have the same version, wherever they were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PriceVersion(pub u32);

impl fmt::Display for PriceVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08x}", self.0)
    }
}

/// All rates in nano-dollars, in one fixed order, one tier a line: whatever changes a cost changes this text.
pub(super) fn of(base: &Rates, tiers: &[Tier], shares: &Shares) -> PriceVersion {
    let line = |above: u64, rates: &Rates| {
        let always = [
            rates.input,
            rates.audio_input,
            rates.cached_input,
            rates.cache_write,
            rates.cache_write_1h,
            rates.output,
            rates.reasoning,
            rates.audio_output,
        ];
        // Kinds that were added later stand there where they change anything, so that older versions stay what they were.
        let added = [
            ("image_input", rates.image_input, rates.input),
            ("image_output", rates.image_output, rates.output),
            ("characters", rates.characters, Nanodollars(0)),
            ("search", rates.search, Nanodollars(0)),
        ];
        let added = added.iter().filter(|(_, rate, usual)| rate != usual);
        let added: String = added.map(|(name, rate, _)| format!(" {name}={}", rate.0)).collect();
        format!("{above} {}{added}\n", always.map(|rate| rate.0.to_string()).join(" "))
    };
    let batch = shares.of(Service::Batch);
    let priority = Some(shares.of(Service::Priority)).filter(|share| *share != WHOLE);
    let priority = priority.map(|share| format!(" priority {share}")).unwrap_or_default();
    let mut text = format!("batch {batch}{priority}\n{}", line(0, base));
    for tier in tiers {
        text.push_str(&line(tier.above, &tier.rates));
    }
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(text).into();
    // 0 is left to what has no price.
    PriceVersion(u32::from_be_bytes([a, b, c, d]).max(1))
}
