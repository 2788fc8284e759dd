//! Keeps a session, key or user on the model that served it last, for as long as it can or while switching would not pay.
//!
//! `decide` reads who was where, `observe` writes who really served, so that fallbacks count. The label `sticky-for` takes
//! the key from one to the other. What switching costs is in `price.rs`, what can be configured in `config.rs`. The grant
//! `state` is needed: one read for a decision and one write for an answer, one key for each of whom there is something known.

mod config;
mod price;

use std::borrow::Cow;

use config::{Config, Mode, Whom};
use pointsman_plugin::{
    Candidate, Ended, Observe, Plan, Policy, Request, Verdict, export_policy, standing::Standing, state,
};
use price::{Place, Turn, turns_on};
use serde::{Deserialize, Serialize};

/// Who is meant and how long the input is estimated to be, as `KEY/TOKENS`: neither is told when a request ends.
const FOR: &str = "sticky-for";

struct Sticky(Config);

/// What is known of somebody's last answer.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Last {
    /// The candidate that served.
    model: String,
    at_ms: u64,
    /// Tokens of input, as billed or else as estimated.
    input: u64,
    output: u64,
}

/// Whether somebody is kept, and why.
enum Fate {
    Kept(String),
    /// The order of the candidates stands.
    Free(String),
}

impl Policy for Sticky {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        config.check()?;
        Ok(Sticky(config))
    }

    fn warnings(&self) -> Vec<String> {
        let longest = self.0.caches.iter().filter_map(|cache| cache.cache_s);
        let longest = longest.fold(self.0.cache_s, u32::max);
        if self.0.mode == Mode::Price && longest > self.0.keep_s {
            return vec![format!(
                "a cache of {longest} seconds outlives `keep_s` = {}, after which nobody knows of it",
                self.0.keep_s
            )];
        }
        Vec::new()
    }

    fn decide(&self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        let Some(key) = self.key(request) else {
            return Ok(Verdict::Pass);
        };
        let known_as = format!("{key}/{}", request.estimated_input_tokens);
        let plan = match state::get::<Last>(&key) {
            None => Plan::keep().label("sticky", "new"),
            Some(last) => match self.fate(request, &last, candidates) {
                Fate::Kept(why) => kept(&last.model, candidates).label("sticky", "kept").reason(why),
                Fate::Free(why) => Plan::keep().label("sticky", "free").reason(why),
            },
        };
        Ok(plan.label(FOR, known_as).into())
    }
}

impl Observe for Sticky {
    fn observe(&self, ended: &Ended) {
        let own = ended.labels.iter().rev().find(|(label, _)| label == FOR);
        let Some((key, estimate)) = own.and_then(|(_, value)| value.split_once('/')) else {
            return;
        };
        // Where all failed, nobody has moved.
        let Some(served) = ended.served().map(|index| &ended.attempts[index]) else {
            return;
        };
        let input = match ended.input_tokens {
            0 => estimate.parse().unwrap_or(0),
            billed => billed,
        };
        let last = Last {
            model: served.candidate.clone(),
            at_ms: ended.now_ms,
            input,
            output: ended.output_tokens,
        };
        // Whether this succeeds changes nothing for the answer, which has gone out.
        let _ = state::set(key, &last, Some(u64::from(self.0.keep_s) * 1000));
    }
}

impl Sticky {
    /// The store's key of whoever is meant. Names may be long and are nobody's business, so it is their digest; the
    /// caller's key is part of it, so that nobody is moved by another who takes the same name.
    fn key(&self, request: &Request) -> Option<String> {
        let name = match &self.0.by {
            Whom::Session => request.session.as_deref().map(Cow::Borrowed),
            Whom::Key => Some(Cow::Borrowed("")),
            Whom::User => request.string("/user").map(Cow::Owned),
            Whom::Header(name) => request.header(name).map(Cow::Owned),
        }?;
        Some(format!("{:016x}", digest([&*request.key_id, &*request.route, &*name])))
    }

    fn fate(&self, request: &Request, last: &Last, candidates: &[Candidate]) -> Fate {
        let was = &last.model;
        let let_go = self.0.let_go.iter().find(|(label, values)| {
            let value = request.label(label);
            value.is_some_and(|value| values.iter().any(|one| one == value))
        });
        if let Some((label, _)) = let_go {
            return Fate::Free(format!("let go of {was} by the label {label}"));
        }
        let Some(current) = candidates.iter().find(|candidate| candidate.id == *was) else {
            return Fate::Free(format!("{was} served before and is no candidate"));
        };
        if !self.is_well(current, request) {
            return Fate::Free(format!("{was} served before and is cooling, failing or out of quota"));
        }
        let first = candidates.iter().find(|candidate| self.is_well(candidate, request));
        let Some(first) = first.filter(|first| first.id != *was) else {
            return Fate::Kept(format!("{was} served before and comes first"));
        };
        match self.0.mode {
            Mode::Always => Fate::Kept(format!("{was} served before")),
            Mode::Price => self.weigh(request, last, current, first),
        }
    }

    /// Whether what the current model has in its cache is worth more than what the first one would save.
    fn weigh(&self, request: &Request, last: &Last, current: &Candidate, first: &Candidate) -> Fate {
        let (was, to) = (&current.id, &first.id);
        let input = u64::from(request.estimated_input_tokens);
        let turn = Turn {
            input,
            prefix: last.input.min(input),
            output: last.output,
        };
        // What the gateway has learnt from answers goes before what can be guessed from the time.
        let is_cached = |candidate: &Candidate| {
            let (cache_s, min_tokens) = self.cache(candidate);
            let is_guessed = cache_s > 0 && turn.prefix > 0 && turn.prefix >= u64::from(min_tokens);
            is_guessed || candidate.cached_tokens().is_some_and(|tokens| tokens > 0)
        };
        let age_ms = request.now_ms.saturating_sub(last.at_ms);
        let guessed = if is_cached(current) && age_ms < u64::from(self.cache(current).0) * 1000 {
            turn.prefix
        } else {
            0
        };
        let left = current.cached_tokens().unwrap_or(guessed).min(input);
        if left == 0 {
            return Fate::Free(format!("{was} served before and has nothing left in its cache"));
        }
        let (Some(here), Some(there)) = (&current.price, &first.price) else {
            return Fate::Kept(format!("{was} served before, and what switching costs is unknown"));
        };
        let turns = self.0.turns;
        let place = |candidate, price| Place {
            price,
            is_cached: is_cached(candidate),
        };
        let stay = turns_on(place(current, here), turn, turns, left);
        let found = first.cached_tokens().unwrap_or(0).min(input);
        let switch = turns_on(place(first, there), turn, turns, found);
        let why = format!("{turns} turns cost {} on {was}, {} on {to}", stay.usd(), switch.usd());
        if switch < stay {
            Fate::Free(why)
        } else {
            Fate::Kept(why)
        }
    }

    fn is_well(&self, candidate: &Candidate, request: &Request) -> bool {
        candidate.standing(request, self.0.max_error_percent) == Standing::Well
    }

    /// A model's cache: its lifetime in seconds and its least number of tokens.
    fn cache(&self, candidate: &Candidate) -> (u32, u32) {
        let own = self.0.caches.iter();
        let own = own
            .filter(|cache| cache.models.iter().any(|name| candidate.answers_to(name)))
            .map(|cache| (cache.cache_s, cache.cache_min_tokens))
            .next();
        let (cache_s, min_tokens) = own.unwrap_or_default();
        (
            cache_s.unwrap_or(self.0.cache_s),
            min_tokens.unwrap_or(self.0.cache_min_tokens),
        )
    }
}

/// The model first and the others behind it; nothing changes where it is first anyway.
fn kept(model: &str, candidates: &[Candidate]) -> Plan {
    if candidates.first().is_some_and(|first| first.id == model) {
        return Plan::keep();
    }
    Plan::prefer(&[model], candidates)
}

/// 64-bit FNV-1a over the parts, each closed by a byte that no text has.
fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> u64 {
    let bytes = parts.into_iter().flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

export_policy!(Sticky, outcome);

#[cfg(test)]
mod tests;
