//! What a request used and how it ended: kept while it runs, and booked once on every way out, a dropped stream included.

mod restart;

use std::sync::Arc;
use std::time::Duration;

use super::attempt::{self, Failure, Run};
use super::bill::{Bill, Hit};
use super::decide::{Decided, Decision, Step};
use super::purse::{Payment, Place, Purse};
use super::receipt::Receipt;
use super::record::{self, Told};
use super::{Call, milliseconds, prefix, telling};
use crate::error::ApiError;
use crate::generation::{Generation, Model, Route};
use crate::keys::Admission;
use crate::money::{Nanodollars, Usage};
use crate::plugins::words;
use crate::telemetry::{self, Meter};

/// One request's book.
#[derive(Debug)]
pub(super) struct Account {
    /// Held to the end, so that no request sees two generations.
    generation: Arc<Generation>,
    route: Arc<Route>,
    call: Arc<Call>,
    meter: Meter,
    labels: Vec<(String, String)>,
    decision: record::Decision,
    attempts: Vec<words::Attempt>,
    served: Option<Serving>,
    /// Time spent on providers, which is not the gateway's own.
    waited: Duration,
    /// The answer that was passed over last, and its place among the attempts.
    aside: Option<(Serving, usize)>,
    /// What it has cost beside the answer.
    bill: Arc<Bill>,
    /// What policies are told of later requests of the same.
    conversation: Option<u64>,
    /// The answer was there already.
    hit: Option<Hit>,
    /// Whether an attempt failed before another answered.
    has_fallen_back: bool,
    /// Whether policies were asked, and so want to hear how it ended.
    is_decided: bool,
    ending: Ending,
    /// Its place within the caller's limits.
    admission: Admission,
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ending {
    /// Not yet; where it stays so, the client has gone.
    Open,
    /// Whole.
    Well,
    /// Broken off by the provider.
    Broken,
    /// Broken off by somebody else, in one word.
    Spoilt(String),
}

impl Ending {
    /// As metrics and policies name it; nothing for a good one.
    fn error(&self) -> Option<&str> {
        match self {
            Self::Open => Some("client_disconnected"),
            Self::Well => None,
            Self::Broken => Some("stream_broken"),
            Self::Spoilt(word) => Some(word),
        }
    }
}

/// The attempt that answers.
#[derive(Debug)]
struct Serving {
    model: Arc<Model>,
    run: Run,
    /// Where it was held back: when it was whole, before anybody looked at it.
    total: Option<Duration>,
    usage: Option<Usage>,
    /// Tokens of output as the gateway counts them.
    counted: u64,
    /// Whether it was booked when it was passed over.
    is_booked: bool,
}

impl Serving {
    fn cost(&self) -> Option<Nanodollars> {
        self.model.cost(self.usage.as_ref())
    }

    /// Books what it came to; once.
    fn pay(&mut self, outcome: Option<&str>, place: Place) {
        if let Some(payment) = self.run.payment.take() {
            payment.answered(outcome, self.usage, (self.counted, self.total()), place);
        }
    }

    fn total(&self) -> Duration {
        self.total.unwrap_or_else(|| self.run.began.elapsed())
    }
}

impl Account {
    pub(super) fn open(
        generation: Arc<Generation>,
        route: Arc<Route>,
        call: Arc<Call>,
        meter: Meter,
        purse: Arc<Purse>,
        admission: Admission,
    ) -> Self {
        meter.in_flight.inc();
        Self {
            generation,
            route,
            call,
            meter,
            labels: Vec::new(),
            decision: record::Decision::default(),
            attempts: Vec::new(),
            served: None,
            waited: Duration::ZERO,
            aside: None,
            bill: Arc::new(Bill::new(purse)),
            conversation: None,
            hit: None,
            has_fallen_back: false,
            is_decided: false,
            ending: Ending::Open,
            admission,
        }
    }

    /// Notes a decision.
    pub(super) fn decided(&mut self, decided: Decided) -> Result<Decision, ApiError> {
        self.is_decided = true;
        self.decision.trace = decided.trace;
        let decision = decided.outcome?;
        if self.generation.config.decisions.is_some() {
            self.decision.reason.clone_from(&decision.reason);
            self.decision.steps = decision.steps.iter().map(|step| step.model.id.clone()).collect();
        }
        self.labels.clone_from(&decision.labels);
        self.conversation = decision.conversation;
        self.bill.purse.label(&decision.labels);
        Ok(decision)
    }

    /// Notes time spent on a provider.
    pub(super) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    /// Notes a failed attempt, and what it used before it failed.
    pub(super) fn attempt_failed(&mut self, step: &Step, failure: &Failure, total: Duration, usage: Option<Usage>) {
        self.has_fallen_back = true;
        let model = &step.model;
        let word = failure.word();
        model.meter.failed(&word);
        let cost = model.cost(usage.as_ref());
        if usage.is_some() {
            model.meter.used(usage.as_ref(), cost);
            self.bill.add(cost);
        }
        tracing::warn!(
            request_id = %self.call.id, model = model.id, kind = %word, status = failure.status,
            detail = failure.detail(), attempt = self.attempts.len() + 1, "an attempt failed"
        );
        self.attempts.push(words::Attempt {
            candidate: model.id.clone(),
            status: failure.status,
            error: Some(word.into_owned()),
            first_token_ms: None,
            total_ms: milliseconds(total),
            cost: cost.map(|cost| cost.0),
        });
    }

    /// Notes an attempt that was under way when another answered, and that is given up. What it would have cost nobody says.
    pub(super) fn attempt_lost(&mut self, step: &Step, took: Duration) {
        step.model.seen.health.outlasted(took, self.call.ask.is_stream);
        self.unanswered(&step.model, took, "hedge_lost");
    }

    fn unanswered(&mut self, model: &Model, took: Duration, error: &str) {
        model.meter.failed(error);
        self.attempts.push(words::Attempt {
            candidate: model.id.clone(),
            status: 0,
            error: Some(error.to_owned()),
            first_token_ms: None,
            total_ms: milliseconds(took),
            cost: None,
        });
    }

    /// Notes the attempt that answers.
    pub(super) fn serving(&mut self, step: &Step, run: Run) {
        self.served = Some(Serving {
            model: step.model.clone(),
            usage: run.payment.as_ref().and_then(Payment::untold),
            run,
            total: None,
            counted: 0,
            is_booked: false,
        });
    }

    /// Notes that an answer is given again. Here, and nowhere else, it is known what that saves.
    pub(super) fn hit(&mut self, hit: Hit) {
        self.meter.cache.hit(hit.saved);
        self.bill.purse.hit(&hit);
        tracing::debug!(
            request_id = %self.call.id, model = hit.model, provider = hit.provider,
            saved_usd = hit.saved.map(|saved| saved.to_string()), "an answer was given again"
        );
        self.hit = Some(hit);
    }

    /// Another answer may serve in the place of the one that was to: it is booked as an attempt that went well.
    pub(super) fn set_aside(&mut self) {
        if let Some(served) = self.served.take() {
            self.pay_aside();
            self.book_attempt(&served, &Ending::Well);
            // The model did what it was asked to; that it did not serve is for the policies to know.
            if let Some(attempt) = self.attempts.last_mut() {
                attempt.error = Some("passed_over".to_owned());
            }
            self.bill.add(served.cost());
            self.aside = Some((served, self.attempts.len() - 1));
        }
    }

    /// What was passed over before will not serve any more.
    fn pay_aside(&mut self) {
        if let Some((mut aside, _)) = self.aside.take() {
            aside.pay(Some("passed_over"), Place::Beside);
        }
    }

    /// None of those after it answered: what was passed over last serves after all.
    pub(super) fn serve_aside(&mut self) {
        if let Some((served, place)) = self.aside.take() {
            // The attempt that serves comes last, as it always does.
            let attempt = self.attempts.remove(place);
            self.attempts.push(words::Attempt { error: None, ..attempt });
            self.served = Some(Serving {
                is_booked: true,
                ..served
            });
        }
    }

    /// Notes what was used: as the provider says, and so many tokens of output by the gateway's own count.
    pub(super) fn used(&mut self, usage: Option<Usage>, counted: u64) {
        if let Some(served) = &mut self.served {
            served.usage = usage.or(served.usage);
            served.counted = counted.max(served.counted);
        }
    }

    /// All of the answer has come, though nothing of it has gone out.
    pub(super) fn is_whole(&mut self) {
        let served = self.served.as_mut();
        served.map(|served| served.total.insert(served.run.began.elapsed()));
    }

    /// Its provider was waited for so long after the stream had begun; the rest was the client's time to read.
    pub(super) fn took_more(&mut self, waited: Duration) {
        if let Some(served) = &mut self.served {
            served.total = served.total.or(Some(served.run.took + waited));
        }
    }

    /// The answer is on its way.
    pub(super) fn ended_well(&mut self) {
        self.ending = Ending::Well;
    }

    /// The answer broke off.
    pub(super) fn broke(&mut self, failure: &Failure) {
        if let Some(served) = &self.served {
            attempt::note(&served.model, failure, served.run.credential);
        }
        self.ending = if failure.is_the_providers() {
            Ending::Broken
        } else {
            Ending::Spoilt(failure.word().into_owned())
        };
    }

    /// So far, the one that answers included.
    pub(super) fn attempts(&self) -> usize {
        self.attempts.len() + usize::from(self.served.as_ref().is_some_and(|served| !served.is_booked))
    }

    /// What the request has cost, the answer included, where it is known.
    pub(super) fn cost(&self) -> Option<Nanodollars> {
        match &self.served {
            Some(served) if served.is_booked => self.bill.total(),
            Some(served) => self.bill.with(served.cost()?),
            None if self.hit.is_some() => self.bill.total(),
            // Where nobody answered, there may still be what was spent on the way.
            None => self.bill.total().filter(|total| *total > Nanodollars(0)),
        }
    }

    /// [`Self::cost`] with its parts.
    pub(super) fn receipt(&self) -> Option<Receipt> {
        let cost = self.cost()?;
        match &self.served {
            Some(served) => Some(Receipt::new(served.model.price.as_ref()?, served.usage.as_ref()?, cost)),
            None => self.hit.as_ref().map(|_| Receipt::again(cost)),
        }
    }

    /// Headers of other gateways that are to say what an answer cost.
    pub(super) fn cost_headers(&self) -> &[&'static str] {
        &self.generation.config.server.cost_headers
    }

    /// Who answers, what that answer has used, and what it has cost: all but what policies asked before they decided.
    pub(super) fn served(&self) -> Option<(&Model, Option<Usage>, Option<Nanodollars>)> {
        let served = self.served.as_ref()?;
        let cost = self.cost().zip(self.bill.asked());
        Some((
            &served.model,
            served.usage,
            cost.map(|(cost, asked)| Nanodollars(cost.0.saturating_sub(asked.0))),
        ))
    }

    /// Whether somebody else was to answer first and could not.
    pub(super) fn has_fallen_back(&self) -> bool {
        self.has_fallen_back
    }

    /// Where what it costs beside the answer is put down.
    pub(super) fn bill(&self) -> &Arc<Bill> {
        &self.bill
    }

    /// The gateway's own time since the request's head was read.
    pub(super) fn overhead(&self) -> Duration {
        self.call.received.elapsed().saturating_sub(self.waited)
    }

    /// The most of an answer that is held back for a review.
    pub(super) fn review_bytes(&self) -> usize {
        self.generation.config.plugins.review_bytes
    }

    pub(super) fn route_name(&self) -> &str {
        &self.route.name
    }

    pub(super) fn call(&self) -> &Call {
        &self.call
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// For policies that count money: what others of them spent on asking models.
    fn asked_cost(&self) -> Option<(String, String)> {
        let cost = self.bill.asked().filter(|cost| cost.0 > 0)?;
        Some(("asked_cost".to_owned(), cost.0.to_string()))
    }

    fn book(&mut self) {
        for attempt in self.bill.take_given_up() {
            self.unanswered(&attempt.model, attempt.after, "client_disconnected");
        }
        let cost = self.cost();
        let usage = self.served.as_ref().and_then(|served| served.usage).unwrap_or_default();
        self.book_labels(cost);
        self.pay_aside();
        if let Some(mut served) = self.served.take() {
            if self.ending == Ending::Well {
                self.route.served.inc();
            }
            served.pay(self.ending.error(), Place::Serves);
            if !served.is_booked {
                let ending = self.ending.clone();
                self.book_attempt(&served, &ending);
            }
        }
        self.record(cost);
        let wants_to_hear = self.route.policies.iter().any(|policy| policy.policy.has_outcome());
        if self.hit.is_some() && self.ending == Ending::Well {
            self.route.served.inc();
        }
        if self.is_decided && wants_to_hear {
            self.tell(usage);
        }
        self.admission.settle(self.bill.purse.tokens(self.admission.tokens()));
    }

    /// Keeps what was decided and what came of it, where the configuration asks for that.
    fn record(&self, cost: Option<Nanodollars>) {
        let Some(config) = &self.generation.config.decisions else {
            return;
        };
        let told = Told {
            call: &self.call,
            route: &self.route,
            decision: &self.decision,
            labels: &self.labels,
            attempts: &self.attempts,
            cost,
        };
        self.bill.purse.keep(record::of(&told, config));
    }

    /// Counts the request once for each of its labels that metrics are wanted of.
    fn book_labels(&self, cost: Option<Nanodollars>) {
        let wanted = &self.generation.config.metric_labels;
        let served = self.served.as_ref();
        let failed = self.attempts.last().and_then(|attempt| attempt.error.as_deref());
        let is_well = self.ending == Ending::Well;
        let ended = telemetry::Ended {
            error: if served.is_some() { self.ending.error() } else { failed },
            first_token: served.filter(|_| self.call.ask.is_stream).map(|served| served.run.took),
            total: served.filter(|_| is_well).map(Serving::total),
            usage: served.and_then(|served| served.usage.as_ref()),
            cost,
        };
        for (label, value) in self.labels.iter().filter(|(label, _)| wanted.contains(label)) {
            self.meter.labelled(label, value, ended);
        }
    }

    fn book_attempt(&mut self, served: &Serving, ending: &Ending) {
        let cost = served.cost();
        let total = served.total();
        let (health, meter) = (&served.model.seen.health, &served.model.meter);
        if let Some((conversation, usage)) = self.conversation.zip(served.usage) {
            prefix::answered(&served.model, conversation, &usage);
        }
        // A whole answer has no first token that anybody saw.
        let first_token = self.call.ask.is_stream.then_some(served.run.took);
        if let Some(first_token) = first_token {
            meter.first_token(first_token);
        }
        if *ending == Ending::Well {
            health.success(total);
            meter.served(total);
        }
        let error = ending.error();
        error.iter().for_each(|error| meter.failed(error));
        meter.used(served.usage.as_ref(), cost);
        self.attempts.push(words::Attempt {
            candidate: served.model.id.clone(),
            status: 200,
            error: error.map(str::to_owned),
            first_token_ms: first_token.map(milliseconds),
            total_ms: milliseconds(total),
            cost: cost.map(|cost| cost.0),
        });
    }

    /// Tells the policies that want to know, off the request's path.
    fn tell(&mut self, usage: Usage) {
        let ended = words::Ended {
            request_id: self.call.id.to_string(),
            key_id: self.call.caller.id.to_string(),
            route: self.route.name.clone(),
            now_ms: self.call.now_ms + u64::from(milliseconds(self.call.received.elapsed())),
            labels: std::mem::take(&mut self.labels),
            attempts: std::mem::take(&mut self.attempts),
            input_tokens: usage.all_input(),
            output_tokens: usage.output,
            score: None,
            extras: self.asked_cost().into_iter().collect(),
        };
        telling::tell(&self.route, ended);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.book();
        self.meter.in_flight.dec();
    }
}
