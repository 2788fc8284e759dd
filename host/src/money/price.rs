//! What a model costs: rates for each kind of tokens, more of them above a size of input, and what follows for a call.
//!
//! A price list seldom states every kind. What it leaves out is filled in once, when it becomes a [`Price`], and always with
//! a rate that providers bill such tokens at, never with zero: see [`StatedRates`].

mod version;

pub use version::PriceVersion;

use super::service::{Service, Shares, WHOLE};
use super::{Nanodollars, Usage};

/// Rates per million tokens, but for the last two, as far as somebody stated them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatedRates {
    /// Input that was not cached.
    pub input: Nanodollars,
    /// As `input` where absent.
    pub cached_input: Option<Nanodollars>,
    /// As `input` where absent.
    pub cache_write: Option<Nanodollars>,
    /// As `cache_write` where absent; twice the `input` where a cache write is dearer than input.
    pub cache_write_1h: Option<Nanodollars>,
    /// Output that was neither reasoning nor sound.
    pub output: Nanodollars,
    /// As `output` where absent.
    pub reasoning: Option<Nanodollars>,
    /// As `input` where absent.
    pub audio_input: Option<Nanodollars>,
    /// Where absent, the dearer of `output` and `audio_input`.
    pub audio_output: Option<Nanodollars>,
    /// As `input` where absent.
    pub image_input: Option<Nanodollars>,
    /// As `output` where absent.
    pub image_output: Option<Nanodollars>,
    /// Per million characters that are spoken; nothing where absent: then tokens are billed.
    pub characters: Option<Nanodollars>,
    /// Per search; nothing where absent.
    pub search: Option<Nanodollars>,
}

/// Rates for every kind of what is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in `StatedRates`, which explains them")]
pub struct Rates {
    pub input: Nanodollars,
    pub cached_input: Nanodollars,
    pub cache_write: Nanodollars,
    pub cache_write_1h: Nanodollars,
    pub output: Nanodollars,
    pub reasoning: Nanodollars,
    pub audio_input: Nanodollars,
    pub audio_output: Nanodollars,
    pub image_input: Nanodollars,
    pub image_output: Nanodollars,
    pub characters: Nanodollars,
    pub search: Nanodollars,
}

impl StatedRates {
    /// Takes over what another list states of kinds that this one says nothing of, and that few lists have words for.
    pub fn add_kinds(&mut self, other: &Self) {
        let kinds = [
            (&mut self.image_input, other.image_input),
            (&mut self.image_output, other.image_output),
            (&mut self.characters, other.characters),
            (&mut self.search, other.search),
        ];
        for (own, more) in kinds {
            *own = own.or(more);
        }
    }

    /// Fills in what is not stated.
    fn fill(&self) -> Rates {
        let input = self.input;
        let cache_write = self.cache_write.unwrap_or(input);
        let twice = Nanodollars(input.0.saturating_mul(2));
        let for_an_hour = if cache_write > input {
            cache_write.max(twice)
        } else {
            cache_write
        };
        let audio_input = self.audio_input.unwrap_or(input);
        Rates {
            input,
            cached_input: self.cached_input.unwrap_or(input),
            cache_write,
            cache_write_1h: self.cache_write_1h.unwrap_or(for_an_hour),
            output: self.output,
            reasoning: self.reasoning.unwrap_or(self.output),
            audio_input,
            audio_output: self.audio_output.unwrap_or(self.output.max(audio_input)),
            image_input: self.image_input.unwrap_or(input),
            image_output: self.image_output.unwrap_or(self.output),
            characters: self.characters.unwrap_or_default(),
            search: self.search.unwrap_or_default(),
        }
    }

    /// As [`Self::fill`], for the rates above a size: what is not stated costs no less than below.
    fn fill_above(&self, below: &Rates) -> Rates {
        let filled = self.fill();
        let dearer = |stated: Option<Nanodollars>, filled: Nanodollars, below: Nanodollars| {
            stated.unwrap_or_else(|| filled.max(below))
        };
        Rates {
            cached_input: dearer(self.cached_input, filled.cached_input, below.cached_input),
            cache_write: dearer(self.cache_write, filled.cache_write, below.cache_write),
            cache_write_1h: dearer(self.cache_write_1h, filled.cache_write_1h, below.cache_write_1h),
            reasoning: dearer(self.reasoning, filled.reasoning, below.reasoning),
            audio_input: dearer(self.audio_input, filled.audio_input, below.audio_input),
            audio_output: dearer(self.audio_output, filled.audio_output, below.audio_output),
            image_input: dearer(self.image_input, filled.image_input, below.image_input),
            image_output: dearer(self.image_output, filled.image_output, below.image_output),
            characters: dearer(self.characters, filled.characters, below.characters),
            search: dearer(self.search, filled.search, below.search),
            ..filled
        }
    }
}

impl Rates {
    /// By the words of the configuration.
    pub fn named(&self) -> [(&'static str, Nanodollars); KINDS] {
        [
            ("input", self.input),
            ("cached_input", self.cached_input),
            ("cache_write", self.cache_write),
            ("cache_write_1h", self.cache_write_1h),
            ("output", self.output),
            ("reasoning", self.reasoning),
            ("audio_input", self.audio_input),
            ("audio_output", self.audio_output),
            ("image_input", self.image_input),
            ("image_output", self.image_output),
            ("characters", self.characters),
            ("search", self.search),
        ]
    }

    /// In the order in which [`Usage::amounts`] counts.
    fn list(&self) -> [Nanodollars; KINDS] {
        [
            self.input,
            self.audio_input,
            self.image_input,
            self.cached_input,
            self.cache_write,
            self.cache_write_1h,
            self.output,
            self.reasoning,
            self.audio_output,
            self.image_output,
            self.characters,
            self.search,
        ]
    }

    /// What a token of input, and one of output, can cost at most.
    fn dearest(&self, most: &Most) -> (Nanodollars, Nanodollars) {
        let cached = self.cached_input.max(self.cache_write).max(self.cache_write_1h);
        let mut input = self.input.max(cached);
        // What makes images may do so whenever it answers.
        let mut output = self.output.max(self.reasoning).max(self.image_output);
        if most.has_images {
            input = input.max(self.image_input);
        }
        if most.has_audio {
            (input, output) = (input.max(self.audio_input), output.max(self.audio_output));
        }
        (input, output)
    }
}

/// The most that a call can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Most {
    /// Tokens of input, of whatever kind.
    pub input: u64,
    /// Tokens of output, of whatever kind.
    pub output: u64,
    /// Characters that are spoken.
    pub characters: u64,
    /// Searches.
    pub searches: u64,
    /// Whether any of it can be sound; if not, the rates for sound are left out.
    pub has_audio: bool,
    /// Whether any input can be an image.
    pub has_images: bool,
    /// Whether it is to be served before others.
    pub wants_priority: bool,
}

/// Kinds of what is billed that have a rate of their own.
const KINDS: usize = 12;

impl Usage {
    /// Each token in the one kind that it is billed as, and what is no token. Parts that claim more than there is are cut to it.
    fn amounts(&self) -> [u64; KINDS] {
        let audio_input = self.audio_input.min(self.input);
        let image_input = self.image_input.min(self.input - audio_input);
        let for_an_hour = self.cache_write_1h.min(self.cache_write);
        let reasoning = self.reasoning.min(self.output);
        let audio_output = self.audio_output.min(self.output - reasoning);
        let image_output = self.image_output.min(self.output - reasoning - audio_output);
        [
            self.input - audio_input - image_input,
            audio_input,
            image_input,
            self.cache_read,
            self.cache_write - for_an_hour,
            for_an_hour,
            self.output - reasoning - audio_output - image_output,
            reasoning,
            audio_output,
            image_output,
            self.characters,
            self.searches,
        ]
    }
}

/// What a price list states of a model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriceList {
    /// The rates of an ordinary call.
    pub rates: StatedRates,
    /// The rates of calls with more input than so many tokens, all kinds of input counted. They hold for the whole call.
    pub tiers: Vec<(u64, StatedRates)>,
    /// What other services than the ordinary one cost.
    pub shares: Shares,
}

/// The rates above a size of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// All input, in tokens; the rates hold for calls with more.
    pub above: u64,
    /// What holds instead of the ordinary rates.
    pub rates: Rates,
}

/// What a model costs, ready to be counted with. Made once, when a configuration is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    base: Rates,
    /// By rising size.
    tiers: Box<[Tier]>,
    shares: Shares,
    version: PriceVersion,
}

/// A cost in its parts, which add up to it exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts {
    /// Text that was not cached.
    pub input: Nanodollars,
    /// Sound that was heard.
    pub audio_input: Nanodollars,
    /// Images that were looked at.
    pub image_input: Nanodollars,
    /// What the provider's cache served.
    pub cached_input: Nanodollars,
    /// What it took in, for however long.
    pub cache_write: Nanodollars,
    /// Text that was written.
    pub output: Nanodollars,
    /// Reasoning.
    pub reasoning: Nanodollars,
    /// Sound that was made.
    pub audio_output: Nanodollars,
    /// Images that were made.
    pub image_output: Nanodollars,
    /// Characters that were spoken.
    pub characters: Nanodollars,
    /// Searches.
    pub searches: Nanodollars,
}

impl Parts {
    /// The whole cost.
    pub fn total(&self) -> Nanodollars {
        let parts = [
            self.input,
            self.audio_input,
            self.image_input,
            self.cached_input,
            self.cache_write,
            self.output,
            self.reasoning,
            self.audio_output,
            self.image_output,
            self.characters,
            self.searches,
        ];
        Nanodollars(parts.iter().fold(0, |sum, part| sum.saturating_add(part.0)))
    }
}

impl Price {
    /// Makes a price of what a list states.
    pub fn new(list: &PriceList) -> Self {
        let base = list.rates.fill();
        let mut stated = list.tiers.clone();
        stated.sort_by_key(|(above, _)| *above);
        let mut tiers: Vec<Tier> = Vec::with_capacity(stated.len());
        for (above, rates) in stated {
            let below = tiers.last().map_or(&base, |tier| &tier.rates);
            let rates = rates.fill_above(below);
            tiers.push(Tier { above, rates });
        }
        let shares = list.shares;
        Self {
            base,
            version: version::of(&base, &tiers, &shares),
            tiers: tiers.into(),
            shares,
        }
    }

    /// The rates of an ordinary call.
    pub fn base(&self) -> &Rates {
        &self.base
    }

    /// The rates above sizes of input, by rising size.
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    /// What other services than the ordinary one cost.
    pub fn shares(&self) -> &Shares {
        &self.shares
    }

    /// Which price this is.
    pub fn version(&self) -> PriceVersion {
        self.version
    }

    /// What this many tokens cost. The kinds are summed exactly and rounded once, to the nearest nano-dollar, halves up; a
    /// sum beyond what 64 bits hold is the most that they hold.
    pub fn cost(&self, usage: &Usage) -> Nanodollars {
        rounded(self.charges(usage).into_iter().fold(0, u128::saturating_add), UNIT)
    }

    /// [`Self::cost`] in its parts. A part is what the sum grows by, rounded, when its kind is added to those before it: so
    /// each is within a nano-dollar of its exact amount, and all of them add up to the cost.
    pub fn parts(&self, usage: &Usage) -> Parts {
        let mut sum = 0_u128;
        let [
            input,
            audio_input,
            image_input,
            cached_input,
            write,
            for_an_hour,
            output,
            reasoning,
            audio_output,
            image_output,
            characters,
            searches,
        ] = self.charges(usage).map(|charge| {
            let before = rounded(sum, UNIT);
            sum = sum.saturating_add(charge);
            rounded(sum, UNIT).0 - before.0
        });
        Parts {
            input: Nanodollars(input),
            audio_input: Nanodollars(audio_input),
            image_input: Nanodollars(image_input),
            cached_input: Nanodollars(cached_input),
            // Both are differences of one rising sum, so they do not overflow.
            cache_write: Nanodollars(write + for_an_hour),
            output: Nanodollars(output),
            reasoning: Nanodollars(reasoning),
            audio_output: Nanodollars(audio_output),
            image_output: Nanodollars(image_output),
            characters: Nanodollars(characters),
            searches: Nanodollars(searches),
        }
    }

    /// Whether speech is billed by what is spoken, and not by what is heard.
    pub fn is_by_character(&self) -> bool {
        self.base.characters.0 > 0
    }

    /// Whether searches are billed.
    pub fn is_by_search(&self) -> bool {
        self.base.search.0 > 0
    }

    /// The most that a call that uses at most so much can cost, whatever kinds its tokens turn out to be of and whichever
    /// tier it reaches.
    pub fn dearest(&self, most: &Most) -> Nanodollars {
        let reached = self.tiers.iter().filter(|tier| most.input > tier.above);
        let rates = std::iter::once(&self.base).chain(reached.map(|tier| &tier.rates));
        // Whoever asks to be served before others may still be served as they are.
        let share = match most.wants_priority {
            true => self.shares.of(Service::Priority).max(WHOLE),
            false => WHOLE,
        };
        let sums = rates.map(|rates| {
            let (dearest_input, dearest_output) = rates.dearest(most);
            let parts = [
                charge(most.input, dearest_input),
                charge(most.output, dearest_output),
                charge(most.characters, rates.characters),
            ];
            let served = parts
                .into_iter()
                .fold(0, u128::saturating_add)
                .saturating_mul(share.into());
            served.saturating_add(searched(most.searches, rates.search))
        });
        rounded(sums.max().unwrap_or_default(), UNIT)
    }

    /// What each kind comes to, exactly, in parts of a nano-dollar of which [`UNIT`] make one.
    fn charges(&self, usage: &Usage) -> [u128; KINDS] {
        let all_input = usage.all_input();
        let tier = self.tiers.iter().rev().find(|tier| all_input > tier.above);
        let rates = tier.map_or(&self.base, |tier| &tier.rates).list();
        let mut charges = [0; KINDS];
        for ((sum, tokens), rate) in charges.iter_mut().zip(usage.amounts()).zip(rates) {
            *sum = charge(tokens, rate);
        }
        let share = u128::from(self.shares.of(usage.service));
        let mut charges = charges.map(|charge| charge.saturating_mul(share));
        charges[KINDS - 1] = searched(usage.searches, rates[KINDS - 1]);
        charges
    }
}

/// Rates are for so many tokens.
const MILLION: u128 = 1_000_000;
/// And services are billed at so many parts of them.
const UNIT: u128 = MILLION * WHOLE as u128;

/// Two numbers of 64 bits fit, multiplied, into one of 128.
fn charge(tokens: u64, rate: Nanodollars) -> u128 {
    u128::from(tokens) * u128::from(rate.0)
}

/// Searches have a rate for one, which is the same however their call was served.
fn searched(searches: u64, rate: Nanodollars) -> u128 {
    charge(searches, rate).saturating_mul(UNIT)
}

fn rounded(sum: u128, unit: u128) -> Nanodollars {
    let nano = sum.saturating_add(unit / 2) / unit;
    Nanodollars(u64::try_from(nano).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
