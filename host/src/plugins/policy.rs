//! A routing policy as the pipeline sees it: a summary and candidates in, a checked verdict out.

use std::sync::Arc;
use std::time::Instant as Moment;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wasmtime::{Store, component};

use super::PluginSource;
use super::asking::{Asking, Models, Terms};
use super::bindings::exports::pointsman::plugin::{configure, outcome, review, route};
use super::digest::Digest;
use super::engine::Engine;
use super::fault::{Fault, LoadError};
use super::grants::{Grant, World};
use super::imports::{Host, Inputs};
use super::inspect::Shape;
use super::instance::{Blueprint, Instance};
use super::lane::Lane;
use super::limits::Limits;
use super::load::{self, Loaded, Order};
use super::prompt::Prompt;
use super::state::{Space, StateStore};
use super::stats::Counters;
use super::timeouts::Timeouts;
use super::verdict;
use super::warm::{Instances, Shelf, Worn};
use super::words::{Candidate, Ended, Opinion, Reviewed, Summary, Verdict};

/// What a policy is loaded from.
#[derive(Clone, Debug)]
pub struct PolicySpec {
    /// The component and its name.
    pub source: PluginSource,
    /// Its configuration, as JSON text.
    pub config_json: String,
    /// What it may call besides its world.
    pub grants: Vec<Grant>,
    /// Ids of the models that it may ask, or `*` for all, with the grant `models`.
    pub models: Vec<String>,
    /// Whether its instances are kept.
    pub instances: Instances,
    /// What it may use.
    pub limits: Limits,
}

/// One question to a policy. Policies of a chain may share it: change labels and candidates in between.
#[derive(Clone)]
pub struct Call {
    /// What the host knows of the request.
    pub summary: Summary,
    /// What may serve it.
    pub candidates: Vec<Candidate>,
    /// The request's content.
    pub prompt: Arc<dyn Prompt>,
    /// Who asks models for policies; without it every ask is refused.
    pub models: Option<Arc<dyn Models>>,
}

/// An outcome's place among those that wait to be heard, to the end of its hearing.
#[derive(Debug)]
pub struct Seat(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

/// A loaded policy. Cheap to clone; the code is freed with the last clone.
#[derive(Clone)]
pub struct Policy {
    inner: Arc<Inner>,
}

/// Why nobody is asked where a decision is only tried.
const UNSERVED: &str =
    "no model is asked for a decision that serves no request: `explain`, or a test of the configuration";
/// Why nobody is asked any more.
const ENDED: &str = "models are asked only while a request is decided or reviewed";

struct Inner {
    engine: Engine,
    source: PluginSource,
    blueprint: Blueprint,
    route: route::GuestIndices,
    review: Option<review::GuestIndices>,
    outcome: Option<outcome::GuestIndices>,
    /// Set where no snapshot could be made: what every new instance is configured with.
    configure: Option<(configure::GuestIndices, String)>,
    state: Option<Arc<Space>>,
    /// What it may ask, where it may ask at all.
    terms: Option<Arc<Terms>>,
    shelf: Shelf,
    lane: Lane,
    counters: Counters,
    warnings: Vec<String>,
    schema: String,
}

impl Policy {
    /// Compiles, checks and configures. Blocks for as long as that takes: call it on the compile thread.
    pub fn load(engine: &Engine, spec: PolicySpec, state: &StateStore) -> Result<Policy, LoadError> {
        let order = Order {
            source: &spec.source,
            world: World::Policy,
            grants: &spec.grants,
            limits: &spec.limits,
            configuration: &spec.config_json,
            configure: &|blueprint, instance| {
                let indices = configure::GuestIndices::new(&blueprint.pre).map_err(load::mismatch)?;
                configure(&indices, instance, &spec.config_json)?.map_err(LoadError::Configuration)
            },
        };
        let Loaded {
            blueprint,
            is_baked,
            warnings,
        } = load::load(engine, &order)?;
        let configure = configure::GuestIndices::new(&blueprint.pre).map_err(load::mismatch)?;
        let schema = schema(&blueprint, &configure)?;
        let inner = Inner {
            route: route::GuestIndices::new(&blueprint.pre).map_err(load::mismatch)?,
            review: review::GuestIndices::new(&blueprint.pre).ok(),
            outcome: outcome::GuestIndices::new(&blueprint.pre).ok(),
            configure: (!is_baked).then(|| (configure, spec.config_json.clone())),
            state: spec
                .grants
                .contains(&Grant::State)
                .then(|| state.space(&spec.source.name)),
            shelf: Shelf::new(spec.instances),
            terms: blueprint
                .may_ask
                .then(|| Arc::new(Terms::new(&spec.source.name, &spec.models, &spec.limits))),
            lane: Lane::new(blueprint.uses_wasi || blueprint.may_ask, spec.limits.call_time()),
            counters: Counters::default(),
            engine: engine.clone(),
            source: spec.source,
            blueprint,
            warnings,
            schema,
        };
        inner.probe()?;
        Ok(Policy { inner: Arc::new(inner) })
    }

    /// Asks the policy. The verdict names only candidates that were offered.
    pub async fn decide(&self, call: &Call) -> Result<Verdict, Fault> {
        if self.inner.lane.is_direct() {
            return self.inner.direct(|inner| inner.decide(call, None));
        }
        let (call, models) = (call.clone(), call.models.as_deref());
        let work = move |inner: &Inner, asking| inner.decide(&call, asking);
        self.inner.aside(models, work).await
    }

    /// Shows the policy an answer to a request that it planned; one that has no review accepts.
    pub async fn review(&self, call: &Call, answer: &Reviewed) -> Result<Opinion, Fault> {
        let Some(indices) = self.inner.review.clone() else {
            return Ok(Opinion::Accept);
        };
        if self.inner.lane.is_direct() {
            return self.inner.direct(|inner| inner.review(&indices, call, answer, None));
        }
        let models = call.models.as_deref();
        let (call, answer) = (call.clone(), answer.clone());
        let work = move |inner: &Inner, asking| inner.review(&indices, &call, &answer, asking);
        self.inner.aside(models, work).await
    }

    /// Counts a verdict as a fault that turned out to be of no use, for this reason.
    pub fn refuse(&self, why: String) -> Fault {
        let fault = Fault::InvalidOutput(why);
        self.inner.counters.fault(&fault);
        fault
    }

    /// Whether the policy may ask models while it decides.
    pub fn may_ask(&self) -> bool {
        self.inner.terms.is_some()
    }

    /// Whether the policy wants to hear how requests ended.
    pub fn has_outcome(&self) -> bool {
        self.inner.outcome.is_some()
    }

    /// A seat for one outcome that is to be heard. Where too many wait already, that is a fault.
    pub fn attend(&self) -> Result<Seat, Fault> {
        let seat = self.inner.engine.outcome().map(Seat);
        seat.inspect_err(|fault| self.inner.counters.fault(fault))
    }

    /// Tells the policy how a request ended; nothing happens where it does not want to hear.
    pub async fn observe(&self, _seat: Seat, ended: Ended) -> Result<(), Fault> {
        let Some(indices) = self.inner.outcome.clone() else {
            return Ok(());
        };
        let _turn = self.inner.engine.hear().await?;
        if self.inner.lane.is_direct() {
            return self.inner.direct(|inner| inner.observe(&indices, &ended));
        }
        let work = move |inner: &Inner, _| inner.observe(&indices, &ended);
        self.inner.aside(None, work).await
    }

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.inner.source.name
    }

    /// What people see: what the component's bytes are, or the file's that its configuration names.
    pub fn digest(&self) -> Digest {
        self.inner.source.shown()
    }

    /// Whether it was loaded from these bytes, and with the same file.
    pub fn is_of(&self, source: &PluginSource) -> bool {
        self.inner.source.digest == source.digest && self.inner.source.file == source.file
    }

    /// What the policy found odd about its configuration.
    pub fn warnings(&self) -> &[String] {
        &self.inner.warnings
    }

    /// The JSON Schema of its configuration; empty where it gives none.
    pub fn schema(&self) -> &str {
        &self.inner.schema
    }

    /// Whether its instances start configured.
    pub fn is_baked(&self) -> bool {
        self.inner.configure.is_none()
    }

    /// What it looks like from outside.
    pub fn shape(&self) -> Shape {
        Shape::of(&self.inner.source, &self.inner.blueprint)
    }

    /// How it has been doing.
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }
}

impl Inner {
    /// Runs a call right here.
    fn direct<T>(&self, work: impl FnOnce(&Inner) -> Result<T, Fault>) -> Result<T, Fault> {
        let began = Moment::now();
        let outcome = work(self);
        self.account(began, &outcome);
        outcome
    }

    /// Runs a call on a blocking thread; what it asks is asked by these models. Whatever bounds such calls, and whatever
    /// counts them, goes with the call: it runs on when its caller leaves.
    async fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        models: Option<&dyn Models>,
        work: impl FnOnce(&Inner, Option<Asking>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let began = Moment::now();
        let (caller, _waits) = oneshot::channel::<()>();
        let inner = self.clone();
        let work = move |asking| {
            let outcome = work(&inner, asking);
            // What failed because its caller had left speaks against nobody; what overran its time always does.
            if !caller.is_closed() || matches!(outcome, Err(Fault::Deadline(_))) {
                inner.account(began, &outcome);
            }
            outcome
        };
        let ran = match (&self.terms, models) {
            (Some(terms), Some(models)) => match self.engine.ask() {
                Ok(leave) => {
                    let work = move |asking| {
                        let _leave = leave;
                        work(Some(asking))
                    };
                    self.lane.asking(terms.clone(), models, work).await
                }
                Err(busy) => Err(busy),
            },
            (Some(_), None) => self.lane.aside(move || work(Some(Asking::Refused(UNSERVED)))).await,
            (None, _) => self.lane.aside(move || work(None)).await,
        };
        ran.unwrap_or_else(|fault| {
            let unrun = Err(fault);
            self.account(began, &unrun);
            unrun
        })
    }

    fn decide(&self, call: &Call, asking: Option<Asking>) -> Result<Verdict, Fault> {
        let ((verdict, timeouts), worn) = self.ask(call, asking, |store, instance| {
            let route = self.route.load(&mut *store, instance)?;
            let may_say_times = self.blueprint.may_say_times;
            store.data_mut().timeouts = may_say_times.then(|| Timeouts::of(&call.candidates));
            let verdict = route.call_decide(&mut *store, &call.summary, &call.candidates)?;
            Ok((verdict, store.data_mut().timeouts.take()))
        })?;
        let verdict = verdict.map_err(Fault::Guest)?;
        let verdict = verdict::check(verdict, timeouts, &call.candidates, self.review.is_some())?;
        self.shelf.park(worn, &self.engine);
        Ok(verdict)
    }

    fn review(
        &self,
        indices: &review::GuestIndices,
        call: &Call,
        answer: &Reviewed,
        asking: Option<Asking>,
    ) -> Result<Opinion, Fault> {
        let (opinion, worn) = self.ask(call, asking, |store, instance| {
            let review = indices.load(&mut *store, instance)?;
            review.call_review(&mut *store, &call.summary, answer)
        })?;
        let opinion = verdict::check_opinion(opinion.map_err(Fault::Guest)?);
        self.shelf.park(worn, &self.engine);
        Ok(opinion)
    }

    /// One call about a request, of an instance that sees the request while it runs.
    fn ask<T>(
        &self,
        call: &Call,
        asking: Option<Asking>,
        run: impl FnOnce(&mut Store<Host>, &component::Instance) -> wasmtime::Result<T>,
    ) -> Result<(T, Worn), Fault> {
        let inputs = Inputs {
            now_ms: call.summary.now_ms,
            seed: call.summary.seed,
        };
        let mut worn = self.instance(inputs)?;
        let host = worn.instance.host();
        (host.prompt, host.asking) = (Some(call.prompt.clone()), asking);
        let answer = worn.instance.run(run)?;
        let host = worn.instance.host();
        (host.prompt, host.asking) = (None, None);
        Ok((answer, worn))
    }

    fn observe(&self, indices: &outcome::GuestIndices, ended: &Ended) -> Result<(), Fault> {
        let mut worn = self.instance(Inputs {
            now_ms: ended.now_ms,
            seed: 0,
        })?;
        worn.instance.host().asking = Some(Asking::Refused(ENDED));
        worn.instance
            .run(|store, instance| indices.load(&mut *store, instance)?.call_observe(&mut *store, ended))?;
        worn.instance.host().asking = None;
        self.shelf.park(worn, &self.engine);
        Ok(())
    }

    /// A configured instance: a kept one, or a new one.
    fn instance(&self, inputs: Inputs) -> Result<Worn, Fault> {
        let deadline_ms = self.blueprint.limits.call_ms;
        if let Some(mut worn) = self.shelf.take() {
            worn.instance.renew(inputs, deadline_ms);
            return Ok(worn);
        }
        let mut instance = self.blueprint.start(inputs, deadline_ms)?;
        if let Some((indices, config_json)) = &self.configure {
            configure(indices, &mut instance, config_json)?.map_err(Fault::NotConfigured)?;
        }
        instance.host().state = self.state.clone();
        Ok(Worn::new(instance))
    }

    /// Checks the types of the hooks that calls will use, so that a wrong one is an error at load.
    fn probe(&self) -> Result<(), LoadError> {
        let mut instance = self
            .blueprint
            .start(Inputs::default(), self.blueprint.limits.configure_ms)?;
        let (store, guest) = instance.parts();
        self.route.load(&mut *store, guest).map_err(load::mismatch)?;
        if let Some(review) = &self.review {
            review.load(&mut *store, guest).map_err(load::mismatch)?;
        }
        if let Some(outcome) = &self.outcome {
            outcome.load(&mut *store, guest).map_err(load::mismatch)?;
        }
        Ok(())
    }

    fn account<T>(&self, began: Moment, outcome: &Result<T, Fault>) {
        self.counters.record(began.elapsed(), outcome);
        self.lane.note(outcome);
    }
}

/// The outer error is a fault, the inner one the plugin's own.
fn configure(
    indices: &configure::GuestIndices,
    instance: &mut Instance,
    config_json: &str,
) -> Result<Result<Vec<String>, String>, Fault> {
    instance.run(|store, guest| indices.load(&mut *store, guest)?.call_load(&mut *store, config_json))
}

/// The JSON Schema of a policy's configuration, which is asked for without one. Blocks for as long as compiling takes.
pub fn config_schema(engine: &Engine, source: &PluginSource, grants: &[Grant]) -> Result<String, LoadError> {
    let order = Order {
        source,
        world: World::Policy,
        grants,
        limits: &Limits::default(),
        configuration: "",
        configure: &|_, _| Ok(Vec::new()),
    };
    let blueprint = load::blueprint(engine, &order, &source.bytes)?;
    let indices = configure::GuestIndices::new(&blueprint.pre).map_err(load::mismatch)?;
    schema(&blueprint, &indices)
}

fn schema(blueprint: &Blueprint, indices: &configure::GuestIndices) -> Result<String, LoadError> {
    let mut instance = blueprint.start(Inputs::default(), blueprint.limits.configure_ms)?;
    Ok(instance.run(|store, guest| indices.load(&mut *store, guest)?.call_schema(&mut *store))?)
}
