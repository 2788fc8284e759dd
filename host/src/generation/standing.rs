//! Whether a model is asked now, and with which of its provider's credentials.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::Model;
use crate::upstream::breaker::Current;
use crate::upstream::health::Health;
use crate::upstream::lane::Lane;
use crate::upstream::limits::{Limited, Limiter, Pass, Room};
use crate::upstream::queue::Queue;

/// Nobody is told to come back later than this because of those in line before them: they may be gone by then.
const LINE_MOST: Duration = Duration::from_secs(60);

/// One of a provider's credentials, without what it is.
#[derive(Debug, Default)]
pub struct Credential {
    /// How much of it may be used.
    pub limited: Limited,
    /// It was refused, or its account is used up. It belongs to the generation, so that any change of the configuration is a
    /// new beginning.
    is_refused: AtomicBool,
}

/// All of them. There is one even where a provider needs none.
#[derive(Debug)]
pub struct Credentials {
    all: Vec<Credential>,
    turn: AtomicUsize,
}

/// What was seen of a model, in generations before as well.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// How it has been doing.
    pub health: Arc<Health>,
    /// What its provider said of it, by credential.
    pub lanes: Vec<Arc<Lane>>,
    /// How much of it has been used.
    pub limiter: Arc<Limiter>,
    /// Who waits for it.
    pub queue: Arc<Queue>,
}

/// Whether a model is asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Yes.
    Ready,
    /// It failed lately, and one request is to try it.
    Due,
    /// Only where nobody else is left: it failed lately, and is left alone for so long.
    Failing(Duration),
    /// Only where nobody else is left: its provider had no room, and is left alone for so long by a guess.
    Full(Duration),
    /// Only where nobody else is left: its provider refuses the gateway's credentials, or the account is used up.
    Refused,
    /// Not at all: its provider said when to come back.
    Limited(Duration),
}

impl Standing {
    /// As one word, for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Due => "due",
            Self::Failing(_) => "failing",
            Self::Full(_) => "full",
            Self::Refused => "refused",
            Self::Limited(_) => "limited",
        }
    }

    /// For how long it stays so, where that is known.
    pub fn left(self) -> Option<Duration> {
        match self {
            Self::Failing(left) | Self::Full(left) | Self::Limited(left) => Some(left),
            Self::Ready | Self::Due | Self::Refused => None,
        }
    }
}

impl Credential {
    /// One of which so much may be used.
    pub fn new(limited: Limited) -> Self {
        Self {
            limited,
            is_refused: AtomicBool::new(false),
        }
    }

    /// Whether it was refused.
    pub fn is_refused(&self) -> bool {
        self.is_refused.load(Relaxed)
    }

    /// It was refused; whether that is news.
    pub fn refuse(&self) -> bool {
        !self.is_refused.swap(true, Relaxed)
    }
}

impl Credentials {
    /// These, or the one that a provider without any has.
    pub fn new(mut all: Vec<Credential>) -> Self {
        if all.is_empty() {
            all.push(Credential::default());
        }
        Self {
            all,
            turn: AtomicUsize::new(0),
        }
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Option<&Credential> {
        self.all.get(index)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none left that was not refused.
    fn are_all_refused(&self) -> bool {
        self.all.iter().all(Credential::is_refused)
    }

    /// All, beginning with another one each time.
    fn in_turn(&self) -> impl Iterator<Item = (usize, &Credential)> {
        let count = self.all.len();
        let first = if count > 1 { self.turn.fetch_add(1, Relaxed) } else { 0 };
        (0..count).map(move |step| {
            let index = first.wrapping_add(step) % count;
            (index, &self.all[index])
        })
    }
}

impl Model {
    /// Whether it is asked now, as far as its provider's word and its own failures go.
    pub fn standing(&self) -> Standing {
        let credentials = &self.provider.credentials;
        let are_all_refused = credentials.are_all_refused();
        let is_refused = |index: usize| credentials.get(index).is_some_and(Credential::is_refused);
        // A credential that was refused does not serve where another one only has no room.
        let lanes = || {
            let lanes = self.seen.lanes.iter().enumerate();
            lanes.filter(|(index, _)| are_all_refused || !is_refused(*index))
        };
        let told: Option<Vec<Duration>> = lanes().map(|(_, lane)| lane.told()).collect();
        if let Some(soonest) = told.and_then(|told| told.into_iter().min()) {
            return Standing::Limited(soonest);
        }
        let open = lanes().filter(|(index, lane)| lane.told().is_none() && !is_refused(*index));
        let guessed = open.map(|(_, lane)| lane.guessed().unwrap_or_default()).min();
        match (self.seen.health.current(), guessed) {
            (_, None) => Standing::Refused,
            (Current::Open(left), _) => Standing::Failing(left),
            (_, Some(left)) if !left.is_zero() => Standing::Full(left),
            (Current::Due, _) => Standing::Due,
            (Current::Closed, _) => Standing::Ready,
        }
    }

    /// A place for an attempt of so many tokens, under the credential whose turn it is; else how long it takes until there is
    /// one. Those that rest by a guess come last, and those that were refused serve only where all were.
    pub fn admit(&self, tokens: u64) -> Result<Pass, Duration> {
        let mut wait = Duration::MAX;
        let are_all_refused = self.provider.credentials.are_all_refused();
        for is_last_resort in [false, true] {
            for (index, credential) in self.provider.credentials.in_turn() {
                let Some(lane) = self.seen.lanes.get(index) else {
                    continue;
                };
                let is_out = credential.is_refused() && !are_all_refused;
                if is_out || lane.guessed().is_some() != is_last_resort {
                    continue;
                }
                let limited = [&self.provider.limited, &self.limited, &credential.limited];
                match lane.room_for(tokens).and_then(|()| Pass::of(limited, index, tokens)) {
                    Ok(pass) => return Ok(pass),
                    Err(until) => wait = wait.min(until),
                }
            }
        }
        Err(wait)
    }

    /// How long it takes until there is a place for an attempt of so many tokens; nothing where there is one now.
    pub fn admit_later(&self, tokens: u64) -> Option<Duration> {
        match self.admit(tokens) {
            Ok(mut pass) => {
                pass.give_back();
                None
            }
            Err(wait) => Some(wait),
        }
    }

    /// How long those who wait for it take, as its answers usually do, so many at a time as there are now; nothing where nobody
    /// waits.
    pub fn line(&self) -> Option<Duration> {
        let waiting = self.seen.queue.len() as u64;
        if waiting == 0 {
            return None;
        }
        let known = self.seen.health.read();
        let (each, at_once) = (known.total_ms.unwrap_or_default(), known.in_flight.max(1));
        let line = Duration::from_millis(waiting * u64::from(each) / u64::from(at_once));
        Some(line.min(LINE_MOST))
    }

    /// What there is room for, by the configuration and by its provider's word: under the credential with the most.
    pub fn room(&self) -> Room {
        let lane = |(index, lane): (usize, &Arc<Lane>)| {
            let own = self.provider.credentials.get(index).map(|own| own.limited.room());
            lane.room().and(own.unwrap_or_default())
        };
        let lanes = self.seen.lanes.iter().enumerate().map(lane);
        // What is not limited is more than anything that is.
        let known = |left: Option<u64>| left.unwrap_or(u64::MAX);
        let most = lanes.max_by_key(|room| (room.requests.map_or(u32::MAX, |left| left), known(room.tokens)));
        let shared = self.provider.limited.room().and(self.limited.room());
        most.unwrap_or_default().and(shared)
    }

    /// It has answered under this credential, or begun to.
    pub fn answers(&self, credential: usize) {
        if let Some(lane) = self.seen.lanes.get(credential) {
            lane.answered();
        }
        self.seen.health.answers();
        if let Some(credential) = self.provider.credentials.get(credential).filter(|one| one.is_refused()) {
            credential.is_refused.store(false, Relaxed);
        }
    }
}
