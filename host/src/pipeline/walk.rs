//! The steps of a decision, walked until one answers: what a failure means, when the next step is tried, and when an answer
//! is shown to the policies that want to review it. How one step is taken is in `attempt`.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;

use super::Call;
use super::account::Account;
use super::asking::Asking;
use super::attempt::{self, Failure, Outcome, Reply, Run, take};
use super::bill::{Bill, GivenUp};
use super::decide::{Decision, Step};
use super::hold::{self, Held, Taken};
use super::order::{Order, Turn};
use super::review::Review;
use crate::error::ApiError;
use crate::json::Document;
use crate::money::Usage;

/// What a step brought.
#[derive(Debug)]
pub(super) struct Served<'a> {
    /// Which step.
    pub(super) step: &'a Step,
    /// What it brought.
    pub(super) reply: Reply,
    /// Why answers before it were passed over, in the policies' words.
    pub(super) reasons: Vec<String>,
    /// Steps that nobody has taken, and how many more may be.
    pub(super) untried: Vec<&'a Step>,
    pub(super) attempts_left: usize,
}

/// What the policies made of an answer. An error says what was used up to then.
enum Judged {
    Serves(Reply),
    /// Another step is tried first, for this reason.
    Next(Box<Held>, String),
}

/// Walks the steps. An answer that was passed over serves where nothing better comes; else the error is the last step's, or
/// the first that another step could not mend.
pub(super) async fn walk<'a>(
    call: &Call,
    decision: &'a Decision,
    account: &mut Account,
    asking: Option<&Asking>,
) -> Result<Served<'a>, ApiError> {
    let bill = account.bill().clone();
    let mut race = Race::new(call, decision, &bill);
    let mut reasons = Vec::new();
    let mut kept = None;
    let mut last = None;
    while let Some((step, outcome)) = race.next().await {
        account.waited(outcome.waited);
        let since = outcome.run.began;
        let judged = match outcome.result {
            Ok(reply) => match decision.review.as_ref().filter(|_| race.left() > 0) {
                None => {
                    account.serving(step, outcome.run);
                    Ok(Judged::Serves(reply))
                }
                Some(review) => {
                    let left = race.left();
                    let judging = judge(reply, step, outcome.run, left, review, account, asking);
                    race.beside(Box::pin(judging)).await
                }
            },
            Err(failure) => Err((failure, None)),
        };
        match judged {
            Ok(Judged::Serves(reply)) => {
                race.end(account);
                let (untried, attempts_left) = race.order.untried();
                return Ok(Served {
                    step,
                    reply,
                    reasons,
                    untried,
                    attempts_left,
                });
            }
            Ok(Judged::Next(held, reason)) => {
                tracing::debug!(request_id = %call.id, model = step.model.id, reason, "an answer was passed over");
                reasons.push(reason);
                race.order.hurry();
                kept = Some((step, held));
            }
            Err((failure, usage)) => {
                account.attempt_failed(step, &failure, since.elapsed(), usage);
                let goes_on = race.order.failed(step, &failure);
                last = Some(failure);
                if !goes_on {
                    break;
                }
            }
        }
    }
    race.end(account);
    if let Some((step, held)) = kept {
        account.serve_aside();
        let reply = held.release(account.receipt(), call.ask.wants_usage);
        return Ok(Served {
            step,
            reply,
            reasons,
            untried: Vec::new(),
            attempts_left: 0,
        });
    }
    let retry_after = race.order.retry_after();
    let failure = last.unwrap_or_else(|| Failure::limited(retry_after));
    let attempts = account.attempts().max(call.tried.begun());
    let error = failure.with_retry_after(retry_after).into_error(attempts);
    // What there was no room for here must not come from the caller's SDK instead.
    Err(if race.order.is_refused() {
        error.final_answer()
    } else {
        error
    })
}

/// Shows an answer to the policies that want to review it; another step could still follow.
async fn judge(
    reply: Reply,
    step: &Step,
    run: Run,
    left: usize,
    review: &Review,
    account: &mut Account,
    asking: Option<&Asking>,
) -> Result<Judged, (Failure, Option<Usage>)> {
    let holding = Instant::now();
    let taken = hold::whole(reply, step, account.review_bytes()).await;
    account.waited(holding.elapsed());
    let taken = match taken {
        Ok(taken) => taken,
        Err((failure, usage)) => {
            attempt::note(&step.model, &failure, run.credential);
            if let Some(payment) = run.payment {
                payment.failed(&failure, usage);
            }
            return Err((failure, usage));
        }
    };
    let began = run.began;
    account.serving(step, run);
    let held = match taken {
        Taken::Held(held) => held,
        Taken::TooLarge(reply) => {
            let (id, model) = (&account.call().id, &step.model.id);
            tracing::warn!(request_id = %id, model, "an answer is too large to be reviewed, and serves as it is");
            return Ok(Judged::Serves(reply));
        }
    };
    account.used(held.usage(), held.counted());
    account.is_whole();
    let answer = held.answer(step, began.elapsed(), left);
    let opinion = review.next(&answer).await;
    account.waited(asking.map_or(Duration::ZERO, Asking::waited));
    Ok(match opinion {
        None => Judged::Serves(held.release(account.receipt(), account.call().ask.wants_usage)),
        Some(reason) => {
            account.set_aside();
            Judged::Next(held, reason)
        }
    })
}

/// Steps under way: one, unless a policy asked for hedging.
struct Race<'a, 's> {
    call: &'a Call,
    document: (&'a Document, Option<&'a Document>),
    bill: &'a Arc<Bill>,
    order: Order<'s>,
    /// After so long the next step starts beside the one that was started last.
    hedge_after: Option<Duration>,
    running: FuturesUnordered<Taking<'a, 's>>,
    /// Those under way, with when each began.
    begun: Vec<(&'s Step, Instant)>,
    /// Those that ended while another's answer was reviewed.
    early: VecDeque<(&'s Step, Outcome)>,
}

type Taking<'a, 's> = Pin<Box<dyn Future<Output = (&'s Step, Outcome)> + Send + 'a>>;

impl<'a, 's: 'a> Race<'a, 's> {
    fn new(call: &'a Call, decision: &'s Decision, bill: &'a Arc<Bill>) -> Self {
        Self {
            call,
            document: (decision.document(call), decision.own(call)),
            bill,
            order: Order::new(decision, call),
            hedge_after: None,
            running: FuturesUnordered::new(),
            begun: Vec::new(),
            early: VecDeque::new(),
        }
    }

    /// How the next step to end went; `None` when there is none left. Dropping the race cancels what is under way.
    async fn next(&mut self) -> Option<(&'s Step, Outcome)> {
        let asked = Instant::now();
        if let Some(early) = self.early.pop_front() {
            return self.ended(Some(early), asked);
        }
        if self.running.is_empty() {
            let turn = self.order.next().await?;
            let paused = asked.elapsed();
            if turn.hedge_after.is_none() {
                // The usual case needs neither a box nor a race.
                let _trial = turn.trial;
                self.begun.push((turn.step, Instant::now()));
                let outcome = take(self.call, self.document, turn.step, self.bill, turn.pass).await;
                self.begun.clear();
                let waited = outcome.waited + paused;
                return Some((turn.step, Outcome { waited, ..outcome }));
            }
            self.run(turn);
        }
        while let Some(after) = self.hedge_after {
            if let Ok(ended) = tokio::time::timeout(after, self.running.next()).await {
                return self.ended(ended, asked);
            }
            match self.order.beside(false) {
                Some(turn) => self.run(turn),
                None => self.hedge_after = None,
            }
        }
        let ended = self.running.next().await;
        self.ended(ended, asked)
    }

    /// One of those under way has ended. All of the time since somebody asked was waiting, whoever was waited for.
    fn ended(&mut self, ended: Option<(&'s Step, Outcome)>, asked: Instant) -> Option<(&'s Step, Outcome)> {
        let (step, outcome) = ended?;
        self.begun.retain(|(begun, _)| !std::ptr::eq(*begun, step));
        let waited = asked.elapsed();
        Some((step, Outcome { waited, ..outcome }))
    }

    /// Does something else while the steps under way go on.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        while !self.running.is_empty() {
            match select(work.as_mut(), self.running.next()).await {
                Either::Left((done, _)) => return done,
                Either::Right((ended, _)) => self.early.extend(ended),
            }
        }
        work.await
    }

    /// Nobody waits for those that are under way any more.
    fn end(&mut self, account: &mut Account) {
        for (step, since) in self.begun.drain(..) {
            account.attempt_lost(step, since.elapsed());
        }
    }

    /// Steps that could still answer: those not started yet, and those under way.
    fn left(&self) -> usize {
        self.order.left() + self.running.len() + self.early.len()
    }

    fn run(&mut self, turn: Turn<'s>) {
        let (call, document, bill) = (self.call, self.document, self.bill);
        let Turn {
            step,
            pass,
            hedge_after,
            trial,
        } = turn;
        self.hedge_after = hedge_after;
        let taking = async move {
            let _trial = trial;
            (step, take(call, document, step, bill, pass).await)
        };
        self.begun.push((step, Instant::now()));
        self.running.push(Box::pin(taking));
    }
}

/// A client that goes away leaves the steps behind that were under way.
impl Drop for Race<'_, '_> {
    fn drop(&mut self) {
        for (step, since) in self.begun.drain(..) {
            self.bill.give_up(GivenUp {
                model: step.model.clone(),
                after: since.elapsed(),
            });
        }
    }
}
