//! What a request's attempts are paid from: for each, the most that it can cost is held before anything goes out, and what it
//! came to is booked on every way it can end. Everything that the ledger wants to know of an attempt is put together here.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::Call;
use super::attempt::Failure;
use super::bill::Hit;
use super::decide::Step;
use crate::budget::Scoped;
use crate::generation::{Generation, Model, Route};
use crate::handover::{self, Books, Claim};
use crate::json::{Document, Edit, Limits};
use crate::ledger::{Settlement, Wish};
use crate::money::{Most, Nanodollars, Price, Usage};
use crate::plugins::words::Abilities;
use crate::store::{self, Line, Tags};
use crate::surfaces::chat::Ask;
use crate::surfaces::media;
use crate::upstream::limits::Pass;

/// What an answer is taken to be at most where neither the client nor the catalog says.
pub(super) const MOST_OUTPUT_TOKENS: u64 = 128_000;
/// With less output than this an answer that nobody limited is not worth asking for.
const LEAST_OUTPUT_TOKENS: u64 = 1_024;
/// A provider that says more than this has been used does not know.
const IMPLAUSIBLE_TOKENS: u64 = 1_000_000_000;
/// Models that think have hardly a faster way to do it.
const THOUGHT_A_SECOND: u128 = 150;
/// Nor does one that says that it has made more searches, unless more were asked for.
const MOST_SEARCHES: u64 = 10_000;
/// Where a conversation's most tokens of output stand, newer and older.
const LIMIT_MEMBERS: [&str; 2] = ["/max_completion_tokens", "/max_tokens"];
/// As deep as a request may be configured to be.
const LIMITS: Limits = Limits { depth: 512 };

/// One request's.
#[derive(Debug)]
pub(super) struct Purse {
    ledger: Books,
    generation: Arc<Generation>,
    route: Arc<Route>,
    call: Arc<Call>,
    /// Known once policies have decided.
    labels: OnceLock<Vec<(String, String)>>,
    warnings: Mutex<Vec<String>>,
    /// Of all attempts, as far as they are known.
    tokens: AtomicU64,
    /// Attempts of which nobody has said what they used.
    untold: AtomicU64,
}

/// The money for one attempt. Dropped, it books all that was held, if something was sent.
#[derive(Debug)]
pub(super) struct Payment {
    claim: Claim,
    /// The attempt's place within limits, which it keeps as long.
    pass: Pass,
    purse: Arc<Purse>,
    model: Arc<Model>,
    /// The gateway's own guess of the input, for answers that do not say.
    input: u64,
    /// The output that the money is enough for, where nobody else limited it.
    pub(super) output: Option<u64>,
    /// The output that the client has limited it to, where a hard budget counts on that.
    stated: Option<u64>,
    /// The most searches that there can have been.
    searches: u64,
    /// The most output that is paid for.
    most_output: u64,
    /// Whether nobody but the provider can tell what was used: an image or a sound has no length that is tokens.
    is_told_only: bool,
    /// What speech is taken to have used where nobody tells, and whether that is exact.
    spoken: Option<(Usage, bool)>,
}

/// Who answers for an attempt's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is the answer.
    Serves,
    /// Something beside the answer: what routing costs.
    Beside,
}

impl Purse {
    pub(super) fn new(ledger: Books, generation: Arc<Generation>, route: Arc<Route>, call: Arc<Call>) -> Arc<Self> {
        Arc::new(Self {
            ledger,
            generation,
            route,
            call,
            labels: OnceLock::new(),
            warnings: Mutex::default(),
            tokens: AtomicU64::default(),
            untold: AtomicU64::default(),
        })
    }

    /// What policies called the request. Attempts from now on are counted under it.
    pub(super) fn label(&self, labels: &[(String, String)]) {
        let mut sorted = labels.to_vec();
        sorted.sort();
        let _ = self.labels.set(sorted);
    }

    /// What the client is to hear of its budgets.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What all attempts have used; where somebody did not say, at least what was expected.
    pub(super) fn tokens(&self, expected: u64) -> u64 {
        let told = self.tokens.load(Relaxed);
        let is_all = self.untold.load(Relaxed) == 0;
        if is_all { told } else { told.max(expected) }
    }

    fn told(&self, usage: &Usage) {
        self.tokens.fetch_add(usage.all(), Relaxed);
        self.untold.fetch_sub(1, Relaxed);
    }

    /// Holds the most that an attempt can cost. What comes back is on disk.
    pub(super) async fn pay(
        self: &Arc<Self>,
        step: &Step,
        call: &Call,
        document: &Document,
        mut pass: Pass,
    ) -> Result<Payment, Failure> {
        let model = &step.model;
        // Policies may have changed what is asked for, and a bound is of what goes out.
        let edited = (!std::ptr::eq(document, &call.document))
            .then(|| Ask::read(document, call.ask.operation).ok())
            .flatten();
        let ask = edited.as_ref().unwrap_or(&call.ask);
        let budgets = self.budgets(model);
        let bounds = Bounds::of(model, ask, budgets.iter().any(|scoped| scoped.budget.is_hard));
        let wish = Wish {
            request: self.call.id.clone(),
            tags: Arc::new(Tags {
                provider: model.provider.counted_as.clone(),
                model: model.counted_as.clone(),
                ..self.tags()
            }),
            budgets,
            at_most: bounds.at_most,
            at_least: bounds.at_least,
            price_version: model.price.as_ref().map(|price| price.version().0),
            metadata: self.call.caller.metadata.clone(),
        };
        let reserved = Claim::reserve(&self.ledger, wish).await;
        let claim = reserved.inspect_err(|_| pass.give_back()).map_err(Failure::unpaid)?;
        self.untold.fetch_add(1, Relaxed);
        if !claim.warnings().is_empty() {
            let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
            *warnings = claim.warnings().to_vec();
        }
        let is_by_character = model.price.as_deref().is_some_and(Price::is_by_character);
        let output = bounds.output(model, ask, claim.granted());
        Ok(Payment {
            most_output: output
                .unwrap_or_else(|| most_output(model, ask))
                .saturating_mul(ask.choices.into()),
            spoken: media::spoken(ask, is_by_character, most_output(model, ask)).map(|usage| (usage, is_by_character)),
            output,
            claim,
            pass,
            purse: self.clone(),
            model: model.clone(),
            input: ask.untold_input_tokens(model.context),
            stated: bounds.stated(ask),
            searches: ask.searches.max(MOST_SEARCHES),
            is_told_only: ask.operation.is_media(),
        })
    }

    /// Books an answer that was given again: it cost nothing, and saved all that it would have cost elsewhere.
    pub(super) fn hit(&self, hit: &Hit) {
        let tags = Tags {
            provider: hit.provider.as_str().into(),
            model: hit.model.as_str().into(),
            ..self.tags()
        };
        let line = Line {
            id: 0,
            at_ms: 0,
            request: self.call.id.clone(),
            tags: Arc::new(tags),
            outcome: "cached".to_owned(),
            usage: Usage::default(),
            cost: Some(Nanodollars(0)),
            ceiling: Nanodollars(0),
            reference: hit.reference,
            price_version: 0,
            is_estimated: false,
            is_recovered: false,
            corrects: None,
            metadata: self.call.caller.metadata.clone(),
        };
        handover::note(&self.ledger, line);
    }

    /// Writes a document, some time soon.
    pub(super) fn keep(&self, document: store::Document) {
        handover::keep(&self.ledger, vec![document]);
    }

    /// All budgets that an attempt has to fit into.
    fn budgets(&self, model: &Model) -> Vec<Arc<Scoped>> {
        let labels = self.labels.get().into_iter().flatten();
        let labels = labels
            .filter_map(|label| self.generation.label_budgets.get(label))
            .flatten();
        let (caller, route) = (&self.call.caller.budgets, &self.route.budgets);
        let own = [caller, route, &model.provider.budgets, &model.budgets];
        own.into_iter().flatten().chain(labels).cloned().collect()
    }

    /// What every attempt is counted under.
    fn tags(&self) -> Tags {
        let caller = &self.call.caller;
        Tags {
            key: caller.id.clone(),
            team: caller.team.clone().unwrap_or_default(),
            organisation: caller.organisation.clone().unwrap_or_default(),
            route: self.route.counted_as.clone(),
            provider: Arc::default(),
            model: Arc::default(),
            labels: self.labels.get().cloned().unwrap_or_default(),
        }
    }

    /// What the same tokens would have cost at the route's reference: the model that it names, else the dearest that it
    /// could have been.
    pub(super) fn reference(&self, served: &Model, usage: &Usage) -> Option<Nanodollars> {
        let cost = |model: &Arc<Model>| model.price.as_ref().map(|price| price.cost(usage));
        match &self.route.reference {
            Some(model) => cost(model),
            None => {
                let own = served.price.as_ref().map(|price| price.cost(usage));
                let others = self.route.candidates.iter().filter_map(|(model, _)| cost(model));
                others.chain(own).max()
            }
        }
    }
}

/// Between which amounts a hold makes sense.
struct Bounds {
    at_most: Nanodollars,
    at_least: Nanodollars,
    /// Whether the output is limited by what is granted.
    is_open: bool,
    has_hard_budget: bool,
}

impl Bounds {
    fn of(model: &Model, ask: &Ask, has_hard_budget: bool) -> Self {
        let at_most = ceiling(model, ask, most_output(model, ask)).unwrap_or_default();
        // Nothing but the length of a text can be limited.
        let can_limit = ask.max_output_tokens.is_none() && !ask.operation.is_media();
        let is_open = has_hard_budget && can_limit && model.price.is_some();
        let least = most_output(model, ask).min(LEAST_OUTPUT_TOKENS);
        let at_least = if is_open {
            ceiling(model, ask, least).unwrap_or_default()
        } else {
            at_most
        };
        Self {
            at_most,
            at_least,
            is_open,
            has_hard_budget,
        }
    }

    /// The client's own limit, where its provider must know it.
    fn stated(&self, ask: &Ask) -> Option<u64> {
        let stated = ask
            .max_output_tokens
            .filter(|_| self.has_hard_budget && !ask.operation.is_media());
        stated.map(u64::from)
    }

    /// The most output that what was granted is enough for, where it has to be limited.
    fn output(&self, model: &Model, ask: &Ask, granted: Nanodollars) -> Option<u64> {
        if !self.is_open {
            return None;
        }
        let (mut enough, mut most) = (0, most_output(model, ask));
        // No ceiling falls with more output.
        while enough < most {
            let middle = most - (most - enough) / 2;
            if ceiling(model, ask, middle).is_some_and(|ceiling| ceiling <= granted) {
                enough = middle;
            } else {
                most = middle - 1;
            }
        }
        Some(enough)
    }
}

fn most_output(model: &Model, ask: &Ask) -> u64 {
    let image = ask
        .image_tokens
        .map(|most| model.max_output.map_or(most, |known| known.min(most)));
    let most = image.or(ask.max_output_tokens).or(model.max_output);
    most.map_or(MOST_OUTPUT_TOKENS, u64::from)
}

/// The most that a request can cost at a model with so much output; unknown without a price.
pub(super) fn ceiling(model: &Model, ask: &Ask, output: u64) -> Option<Nanodollars> {
    let price = model.price.as_ref()?;
    Some(price.dearest(&Most {
        input: ask.most_input_tokens(model.context),
        output: output.saturating_mul(ask.choices.into()),
        characters: ask.characters,
        searches: ask.searches,
        // A part that is no text and no image may be sound, or hold images.
        has_audio: ask.wants_audio || ask.other_parts > 0,
        has_images: ask.images > 0 || ask.other_parts > 0,
        wants_priority: ask.wants_priority,
    }))
}

impl Payment {
    /// What is taken to have been used where nobody tells.
    pub(super) fn untold(&self) -> Option<Usage> {
        self.spoken.map(|(usage, _)| usage)
    }

    /// From now on the provider may have got something.
    pub(super) fn sending(&self) {
        self.claim.sending();
    }

    /// The most output that the money is enough for, where the client has named no limit of its own; and its own where it has.
    pub(super) fn most_output(&self) -> (Option<u64>, Option<u64>) {
        (self.output, self.stated)
    }

    /// The request, limited to what the money is enough for; `None` where it goes out as it is. A limit of the client's own
    /// is written where this provider reads it, and nowhere else: else it might have been held for one and go by another.
    pub(super) fn limited(&self, document: &Document) -> Result<Option<Document>, Failure> {
        let Some(output) = self.output.or(self.stated) else {
            return Ok(None);
        };
        let at = self.model.provider.output_limit();
        let other = LIMIT_MEMBERS
            .into_iter()
            .find(|member| *member != at)
            .unwrap_or_default();
        let output = output.to_string();
        let is_said = document.pointer(at).is_some_and(|said| said.raw() == output);
        if is_said && document.pointer(other).is_none() {
            return Ok(None);
        }
        let edit = |pointer, value| Edit { pointer, value };
        let text = document
            .with(&[edit(at, Some(&*output)), edit(other, None)])
            .map_err(|error| Failure::fault(&error.to_string()))?;
        let limited = Document::parse(text.into(), LIMITS);
        limited.map(Some).map_err(|error| Failure::fault(&error.to_string()))
    }

    /// The attempt brought nothing that could be used, but for what was counted until then.
    pub(super) fn failed(mut self, failure: &Failure, usage: Option<Usage>) {
        // A provider that answers with an error bills nothing for it.
        let usage = usage.or_else(|| (failure.status > 0).then(Usage::default));
        let Some(usage) = usage else {
            if failure.is_unsent() {
                self.pass.give_back();
                self.purse.told(&Usage::default());
                self.claim.unsent();
            } else {
                let (word, all) = (failure.word().into_owned(), self.claim.granted());
                let cost = self.model.price.is_some().then_some(all);
                self.book(word, Usage::default(), cost, Place::Beside, true);
            }
            return;
        };
        self.pass.settle(usage.all());
        self.purse.told(&usage);
        let cost = self.model.cost(Some(&usage));
        self.book(failure.word().into_owned(), usage, cost, Place::Beside, false);
    }

    /// The attempt answered. What nobody said is counted: the input by the gateway's guess, the output by what came, and how long
    /// that took.
    pub(super) fn answered(
        mut self,
        outcome: Option<&str>,
        usage: Option<Usage>,
        counted: (u64, Duration),
        place: Place,
    ) {
        let outcome_word = outcome.unwrap_or("answered").to_owned();
        if let Some((spoken, is_exact)) = self.spoken
            && usage.is_none_or(|usage| usage == spoken)
        {
            self.pass.settle(spoken.all());
            self.purse.told(&spoken);
            let cost = self.model.cost(Some(&spoken));
            return self.book(outcome_word, spoken, cost, place, !is_exact);
        }
        if self.is_told_only && usage.is_none() {
            // What was taken for it stays taken.
            let all = self.model.price.is_some().then_some(self.claim.granted());
            return self.book(outcome_word, Usage::default(), all, place, true);
        }
        // What is beside the answer was read to its end before anybody looked at it.
        let is_whole = outcome.is_none() || place == Place::Beside;
        let (usage, is_estimated) = self.plausible(usage, counted, is_whole);
        self.pass.settle(usage.all());
        self.purse.told(&usage);
        let cost = self.model.cost(Some(&usage));
        self.book(outcome_word, usage, cost, place, is_estimated);
    }

    /// What was used, and whether that is the gateway's own figure.
    fn plausible(&self, usage: Option<Usage>, (counted, took): (u64, Duration), is_whole: bool) -> (Usage, bool) {
        let said = usage
            .filter(|usage| usage.all() <= IMPLAUSIBLE_TOKENS)
            .unwrap_or_default();
        let price = self.model.price.as_deref();
        // What is billed by the search has no tokens.
        let is_by_search = said.searches > 0 && price.is_some_and(Price::is_by_search);
        let has_input = said.all_input() > 0 || is_by_search;
        let input = if has_input { said.input } else { self.input };
        let has_output = said.output > 0 && (is_whole || said.output >= counted);
        let (output, reasoning) = if has_output {
            (said.output, said.reasoning)
        } else {
            let shown = said.output.max(counted);
            let all = shown.max(self.thought(took));
            (all, said.reasoning.max(all - shown))
        };
        let searches = said.searches.min(self.searches);
        let usage = Usage {
            input,
            output,
            reasoning,
            searches,
            ..said
        };
        (usage, !is_whole || usage != said)
    }

    /// The tokens that a model which thinks may have made in this time, most of them unseen: no more than are paid for.
    fn thought(&self, took: Duration) -> u64 {
        let thinks = self
            .model
            .abilities
            .is_some_and(|all| all.contains(Abilities::REASONING));
        let tokens = u64::try_from(took.as_millis().saturating_mul(THOUGHT_A_SECOND) / 1_000).unwrap_or(u64::MAX);
        if thinks { tokens.min(self.most_output) } else { 0 }
    }

    fn book(self, outcome: String, usage: Usage, cost: Option<Nanodollars>, place: Place, is_estimated: bool) {
        let reference = match place {
            // What nobody can count costs the same everywhere.
            Place::Serves if usage == Usage::default() => cost,
            Place::Serves => self.purse.reference(&self.model, &usage),
            Place::Beside => Some(Nanodollars(0)),
        };
        self.claim.settle(Settlement {
            outcome,
            usage,
            cost,
            reference,
            is_estimated,
        });
    }
}

impl crate::generation::Provider {
    /// Where the most tokens of output stand in a request to it.
    fn output_limit(&self) -> &'static str {
        match &self.way {
            crate::generation::Way::Remote(remote) => remote.output_limit,
            crate::generation::Way::Simulated(_) => "/max_completion_tokens",
        }
    }
}
