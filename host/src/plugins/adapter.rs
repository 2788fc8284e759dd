//! A provider adapter as the pipeline sees it: canonical JSON in, the provider's request out, and the way back. Every
//! call is an instance of its own; a streamed answer is one instance for its length (`stream`).

use std::sync::Arc;
use std::time::Instant as Moment;

use bytes::Bytes;

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
        let outgoing = encoded.await?.map_err(AdapterError::Failure)?;
        Ok(outgoing::check(outgoing).inspect_err(|fault| self.inner.counters.fault(fault))?)
    }

    /// A success's body in, the canonical answer out.
    pub async fn decode(&self, operation: Operation, target: &Target, body: &Bytes) -> Result<Answer, AdapterError> {
        let (for_guest, body) = (target.clone(), body.clone());
        let decoded = self.call(target, move |unary, store| {
            unary.call_decode(store, operation, &for_guest, &body)
        });
        decoded.await?.map_err(AdapterError::Failure)
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
        self.call(target, move |unary, store| {
            unary.call_explain(store, status, &headers, &body)
        })
        .await
    }

    /// Begins a streamed answer.
    pub async fn stream(&self, operation: Operation, target: &Target) -> Result<AdapterStream, AdapterError> {
        AdapterStream::begin(self.inner.clone(), operation, target).await
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
        let began = Moment::now();
        let inputs = inputs(target);
        let outcome = match self.inner.lane.is_direct() {
            true => self.inner.call(inputs, call),
            false => {
                let inner = self.inner.clone();
                self.inner.lane.aside(move || inner.call(inputs, call)).await
            }
        };
        self.inner.account(began, &outcome);
        outcome
    }
}

impl Inner {
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

    pub(super) fn account<T>(&self, began: Moment, outcome: &Result<T, Fault>) {
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
