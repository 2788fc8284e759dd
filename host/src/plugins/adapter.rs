//! A provider adapter as the pipeline sees it: canonical JSON in, the provider's request out, and the way back. Every
//! call is an instance of its own; a streamed answer is one instance for its length (`stream`).

use std::sync::Arc;
use std::time::Instant as Moment;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::PluginSource;
use super::bindings::exports::pointsman::plugin::{describe, streaming, unary};
use super::digest::Digest;
use super::engine::Engine;
use super::fault::{Fault, LoadError};
use super::grants::World;
use super::imports::{Host, Inputs};
use super::inspect::Shape;
use super::instance::{Blueprint, Instance};
use super::lane::Lane;
use super::limits::Limits;
use super::load::{self, Loaded, Order};
use super::outgoing;
use super::stats::Counters;
use super::stream::AdapterStream;
use super::words::{Answer, Failure, Operation, Outgoing, Profile, Target};

/// What an adapter is loaded from.
#[derive(Clone, Debug)]
pub struct AdapterSpec {
    /// The component and its name.
    pub source: PluginSource,
    /// What it may use.
    pub limits: Limits,
}

/// Why an adapter's call brought nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AdapterError {
    /// The adapter's considered answer: what the provider cannot do, or what it said.
    #[error("{}", .0.message)]
    Failure(Failure),
    /// The adapter itself failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl AdapterError {
    /// What an adapter says, fit to be shown.
    pub(super) fn of(failure: Failure) -> AdapterError {
        AdapterError::Failure(outgoing::bound(failure))
    }
}

/// Leave for one streamed answer.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

/// A loaded adapter. Cheap to clone; the code is freed with the last clone.
#[derive(Clone)]
pub struct Adapter {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) engine: Engine,
    source: PluginSource,
    pub(super) blueprint: Blueprint,
    unary: unary::GuestIndices,
    pub(super) streaming: streaming::GuestIndices,
    profile: Profile,
    pub(super) lane: Lane,
    pub(super) counters: Counters,
}

impl Adapter {
    /// Compiles, checks, and asks the adapter what it is. Blocks for as long as that takes: call it on the compile
    /// thread.
    pub fn load(engine: &Engine, spec: AdapterSpec) -> Result<Adapter, LoadError> {
        let order = Order {
            source: &spec.source,
            world: World::Adapter,
            grants: &[],
            limits: &spec.limits,
            configuration: "",
            // The snapshot is taken after the first call, when the guest's allocator is up.
            configure: &|blueprint, instance| profile(blueprint, instance).map(|_| Vec::new()),
        };
        let Loaded { blueprint, .. } = load::load(engine, &order)?;
        let mut probe = blueprint.start(Inputs::default(), spec.limits.configure_ms)?;
        let profile = profile(&blueprint, &mut probe)?;
        let unary = unary::GuestIndices::new(&blueprint.pre).map_err(load::mismatch)?;
        let streaming = streaming::GuestIndices::new(&blueprint.pre).map_err(load::mismatch)?;
        let (store, guest) = probe.parts();
        unary.load(&mut *store, guest).map_err(load::mismatch)?;
        streaming.load(&mut *store, guest).map_err(load::mismatch)?;
        let inner = Inner {
            engine: engine.clone(),
            lane: Lane::new(blueprint.uses_wasi, spec.limits.call_time()),
            source: spec.source,
            blueprint,
            unary,
            streaming,
            profile,
            counters: Counters::default(),
        };
        Ok(Adapter { inner: Arc::new(inner) })
    }

    /// What the adapter says of itself.
    pub fn profile(&self) -> &Profile {
        &self.inner.profile
    }

    /// The canonical request in, the provider's out.
    pub async fn encode(
        &self,
        operation: Operation,
        target: &Target,
        is_stream: bool,
        body: &Bytes,
    ) -> Result<Outgoing, AdapterError> {
        let (for_guest, body) = (target.clone(), body.clone());
        let encoded = self.call(target, move |unary, store| {
            unary.call_encode(store, operation, &for_guest, is_stream, &body)
        });
        let outgoing = encoded.await?.map_err(AdapterError::of)?;
        Ok(self.inner.usable(outgoing::check(outgoing))?)
    }

    /// A success's body in, the canonical answer out.
    pub async fn decode(&self, operation: Operation, target: &Target, body: &Bytes) -> Result<Answer, AdapterError> {
        let (for_guest, body) = (target.clone(), body.clone());
        let decoded = self.call(target, move |unary, store| {
            unary.call_decode(store, operation, &for_guest, &body)
        });
        let answer = decoded.await?.map_err(AdapterError::of)?;
        Ok(self.inner.usable(outgoing::check_answer(answer))?)
    }

    /// What a status that is no success means.
    pub async fn explain(
        &self,
        status: u16,
        headers: &[(String, String)],
        body: &Bytes,
        target: &Target,
    ) -> Result<Failure, Fault> {
        let (headers, body) = (headers.to_vec(), body.clone());
        let explained = self.call(target, move |unary, store| {
            unary.call_explain(store, status, &headers, &body)
        });
        explained.await.map(outgoing::bound)
    }

    /// A place for one streamed answer, of which there are only so many. It is taken before the provider is asked for
    /// the answer: one that nobody could read would be paid for all the same.
    pub fn place(&self) -> Result<Place, Fault> {
        self.inner.usable(self.inner.engine.hold().map(Place))
    }

    /// Begins a streamed answer.
    pub async fn stream(
        &self,
        place: Place,
        operation: Operation,
        target: &Target,
    ) -> Result<AdapterStream, AdapterError> {
        AdapterStream::begin(self.inner.clone(), place, operation, target).await
    }

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.inner.source.name
    }

    /// What the component's bytes are.
    pub fn digest(&self) -> Digest {
        self.inner.source.digest
    }

    /// What it looks like from outside.
    pub fn shape(&self) -> Shape {
        Shape::of(&self.inner.source, &self.inner.blueprint)
    }

    /// How it has been doing.
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// One call in an instance of its own.
    async fn call<T: Send + 'static>(
        &self,
        target: &Target,
        call: impl FnOnce(&unary::Guest, &mut wasmtime::Store<Host>) -> wasmtime::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let inputs = inputs(target);
        self.inner.run(move |inner| inner.call(inputs, call)).await
    }
}

impl Inner {
    /// Runs a call where its lane says. It is counted where it runs: it runs on when its caller leaves.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Inner) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let began = Moment::now();
        let counted = move |inner: &Inner| {
            let outcome = work(inner);
            inner.account(began, &outcome);
            outcome
        };
        if self.lane.is_direct() {
            return counted(self);
        }
        let inner = self.clone();
        let ran = self.lane.aside(move || counted(&inner)).await;
        ran.unwrap_or_else(|fault| {
            let unrun = Err(fault);
            self.account(began, &unrun);
            unrun
        })
    }

    /// Counts what turned out to be of no use.
    pub(super) fn usable<T>(&self, checked: Result<T, Fault>) -> Result<T, Fault> {
        checked.inspect_err(|fault| self.counters.fault(fault))
    }

    fn call<T>(
        &self,
        inputs: Inputs,
        call: impl FnOnce(&unary::Guest, &mut wasmtime::Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<T, Fault> {
        let mut instance = self.blueprint.start(inputs, self.blueprint.limits.call_ms)?;
        instance.run(|store, guest| {
            let unary = self.unary.load(&mut *store, guest)?;
            call(&unary, store)
        })
    }

    fn account<T>(&self, began: Moment, outcome: &Result<T, Fault>) {
        self.counters.record(began.elapsed(), outcome);
        self.lane.note(outcome);
    }
}

/// An adapter has no seed: what it needs of chance is in the request's id.
pub(super) fn inputs(target: &Target) -> Inputs {
    Inputs {
        now_ms: target.now_ms,
        seed: 0,
    }
}

fn profile(blueprint: &Blueprint, instance: &mut Instance) -> Result<Profile, LoadError> {
    let indices = describe::GuestIndices::new(&blueprint.pre).map_err(load::mismatch)?;
    let profile = instance.run(|store, guest| indices.load(&mut *store, guest)?.call_describe(&mut *store))?;
    outgoing::check_profile(&profile).map_err(LoadError::Profile)?;
    Ok(profile)
}
