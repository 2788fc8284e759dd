//! How a policy asks models (grant `models`). The guest waits on a thread of its own; its asks go down a line to the
//! future of the request that it decides, which knows how to ask. So whoever drops that future takes the asks back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wasmtime::Error;

use super::limits::Limits;
use super::verdict;
use super::words::{Ask, AskFailure, Question, Reply};

/// Asks models for policies. The pipeline implements this over the request that is served.
pub trait Models: Send + Sync {
    /// Asks all of them side by side, each within its time; the replies come in the order of the asks. What may be asked has
    /// been checked. Dropping the future takes back what is under way.
    fn ask_all(&self, asks: Vec<(Ask, Duration)>) -> Replies<'_>;
}

/// The replies to come.
pub type Replies<'a> = Pin<Box<dyn Future<Output = Vec<Result<Reply, AskFailure>>> + Send + 'a>>;

/// What one policy may ask.
#[derive(Debug)]
pub(super) struct Terms {
    policy: String,
    /// Ids of the catalog, or `*` for all of it.
    models: Vec<String>,
    asks: u32,
    time: Duration,
}

impl Terms {
    pub(super) fn new(policy: &str, models: &[String], limits: &Limits) -> Terms {
        Terms {
            policy: policy.to_owned(),
            models: models.to_vec(),
            asks: limits.asks,
            time: Duration::from_millis(limits.ask_ms),
        }
    }

    fn allow(&self, model: &str) -> bool {
        self.models.iter().any(|allowed| allowed == model || allowed == "*")
    }
}

/// What becomes of a call's asks.
pub(super) enum Asking {
    /// Nobody is asked, for this reason.
    Refused(&'static str),
    /// Somebody answers.
    Line(Line),
}

/// The guest's end of the line, and what is left of one call's terms.
pub(super) struct Line {
    terms: Arc<Terms>,
    errands: Sender<Errand>,
    asks_left: u32,
    time_left: Duration,
    /// Kept on the guest's side, so that a caller who leaves does not give away the turn of a guest that still runs.
    turn: Turn,
}

/// Asks on their way, and where the replies go. Whoever waits needs no core: the turn comes along, and a new one comes back
/// with the replies.
pub(super) struct Errand {
    pub(super) asks: Vec<(Ask, Duration)>,
    pub(super) turn: Turn,
    pub(super) answer_to: oneshot::Sender<(Vec<Result<Reply, AskFailure>>, Turn)>,
}

/// Leave to use a core, for those who need one.
pub(super) type Turn = Option<OwnedSemaphorePermit>;

impl Asking {
    /// Blocks the thread until all replies are there.
    pub(super) fn ask_all(&mut self, asks: Vec<Ask>) -> wasmtime::Result<Vec<Result<Reply, AskFailure>>> {
        match self {
            Asking::Refused(why) => Ok(asks.iter().map(|_| Err(refused(*why))).collect()),
            Asking::Line(line) => line.ask_all(asks),
        }
    }

    /// How long the call has waited so far. Never longer than its terms allow, but for a little at the end.
    pub(super) fn waited(&self) -> Duration {
        match self {
            Asking::Refused(_) => Duration::ZERO,
            Asking::Line(line) => line.terms.time.saturating_sub(line.time_left),
        }
    }
}

impl Line {
    pub(super) fn new(terms: Arc<Terms>, turn: Turn) -> (Line, Receiver<Errand>) {
        let (errands, receiver) = mpsc::channel(1);
        let line = Line {
            asks_left: terms.asks,
            time_left: terms.time,
            terms,
            errands,
            turn,
        };
        (line, receiver)
    }

    fn ask_all(&mut self, asks: Vec<Ask>) -> wasmtime::Result<Vec<Result<Reply, AskFailure>>> {
        let admitted: Vec<Result<(), AskFailure>> = asks.iter().map(|ask| self.admit(ask)).collect();
        let may = asks.into_iter().zip(&admitted).filter(|(_, admitted)| admitted.is_ok());
        let timed = |(ask, _): (Ask, _)| {
            let within = self.within(&ask);
            (ask, within)
        };
        let may: Vec<(Ask, Duration)> = may.map(timed).collect();
        let replies = if may.is_empty() { Vec::new() } else { self.put(may)? };
        let mut replies = replies.into_iter();
        let mut next = || {
            replies
                .next()
                .unwrap_or_else(|| Err(AskFailure::Other("the gateway gave no reply".into())))
        };
        Ok(admitted
            .into_iter()
            .map(|admitted| admitted.and_then(|()| next()))
            .collect())
    }

    /// Whether one more may be asked. It counts from here on, however it goes.
    fn admit(&mut self, ask: &Ask) -> Result<(), AskFailure> {
        let policy = &self.terms.policy;
        if !self.terms.allow(&ask.model) {
            let model = ask.model[..ask.model.floor_char_boundary(200)].escape_debug();
            return Err(refused(format!(
                "the policy may not ask `{model}`: `models` of [policies.{policy}] names those that it may"
            )));
        }
        if let Question::Same(edits) = &ask.question {
            verdict::check_edits(edits).map_err(refused)?;
        }
        if self.time_left.is_zero() {
            return Err(AskFailure::TimedOut);
        }
        if self.asks_left == 0 {
            return Err(refused(format!(
                "more than {} asks in one call: `limits.asks` of [policies.{policy}]",
                self.terms.asks
            )));
        }
        self.asks_left -= 1;
        Ok(())
    }

    fn within(&self, ask: &Ask) -> Duration {
        let own = ask.timeout_ms.map(|ms| Duration::from_millis(ms.into()));
        own.map_or(self.time_left, |own| own.min(self.time_left))
    }

    fn put(&mut self, asks: Vec<(Ask, Duration)>) -> wasmtime::Result<Vec<Result<Reply, AskFailure>>> {
        let gone = || Error::msg("the request is over: its client has left");
        let began = Moment::now();
        let (answer_to, answer) = oneshot::channel();
        self.errands
            .blocking_send(Errand {
                asks,
                turn: self.turn.take(),
                answer_to,
            })
            .map_err(|_| gone())?;
        let (replies, turn) = answer.blocking_recv().map_err(|_| gone())?;
        self.turn = turn;
        self.time_left = self.time_left.saturating_sub(began.elapsed());
        Ok(replies)
    }
}

fn refused(why: impl Into<String>) -> AskFailure {
    AskFailure::Refused(why.into())
}
