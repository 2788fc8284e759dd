//! One instance in a store of its own, and one call of it: limits are set before anything of the guest runs, and
//! whatever goes wrong comes back as a [`Fault`]. An instance that faulted is never called again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{self, InstancePre};
use wasmtime::{Store, StoreContextMut, UpdateDeadline};

use super::deadlines::{Deadlines, TICK};
use super::fault::Fault;
use super::grants::Grant;
use super::imports::{Clock, Host, Inputs};
use super::limits::Limits;
use super::log::Identity;

/// A component that is compiled, checked and linked: what instances are made from.
pub(super) struct Blueprint {
    pub(super) pre: InstancePre<Host>,
    pub(super) identity: Arc<Identity>,
    pub(super) limits: Arc<Limits>,
    pub(super) grants: Arc<[Grant]>,
    pub(super) uses_wasi: bool,
    pub(super) deadlines: Arc<Deadlines>,
    pub(super) may_ask: bool,
    pub(super) may_say_times: bool,
}

impl Blueprint {
    /// A new instance. The time runs from here: what the guest does when it starts counts.
    pub(super) fn start(&self, inputs: Inputs, deadline_ms: u64) -> Result<Instance, Fault> {
        let host = Host::new(self.identity.clone(), self.limits.clone(), self.grants.clone(), inputs);
        let mut store = Store::new(self.pre.engine(), host);
        store.limiter(|host| &mut host.quota);
        store.set_hostcall_fuel(self.limits.copied_bytes);
        store.set_max_component_handles(self.limits.handles);
        set_deadline(&mut store, &self.deadlines, deadline_ms);
        store.epoch_deadline_callback(at_the_deadline);
        let started = guarded(|| self.pre.instantiate(&mut store));
        match started {
            Ok(Ok(instance)) => Ok(Instance {
                store,
                instance,
                deadline_ms,
                deadlines: self.deadlines.clone(),
            }),
            Ok(Err(error)) => Err(Fault::of(error, deadline_ms, self.limits.copied_bytes)),
            Err(fault) => Err(fault),
        }
    }
}

/// A live instance.
pub(super) struct Instance {
    store: Store<Host>,
    instance: component::Instance,
    deadline_ms: u64,
    deadlines: Arc<Deadlines>,
}

impl Instance {
    /// Readies a kept instance for its next call, with the whole time again.
    pub(super) fn renew(&mut self, inputs: Inputs, deadline_ms: u64) {
        self.store.data_mut().renew(inputs);
        set_deadline(&mut self.store, &self.deadlines, deadline_ms);
        self.deadline_ms = deadline_ms;
    }

    /// Runs one guest function, named by the closure, in what is left of the time.
    pub(super) fn run<R>(
        &mut self,
        call: impl FnOnce(&mut Store<Host>, &component::Instance) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        let Instance {
            store,
            instance,
            deadline_ms,
            ..
        } = self;
        let copied_bytes = store.data().limits.copied_bytes;
        guarded(|| call(store, instance))?.map_err(|error| Fault::of(error, *deadline_ms, copied_bytes))
    }

    pub(super) fn host(&mut self) -> &mut Host {
        self.store.data_mut()
    }

    pub(super) fn parts(&mut self) -> (&mut Store<Host>, &component::Instance) {
        (&mut self.store, &self.instance)
    }
}

fn set_deadline(store: &mut Store<Host>, deadlines: &Arc<Deadlines>, deadline_ms: u64) {
    store.data_mut().clock = Some(Clock::start(deadlines.clone(), Duration::from_millis(deadline_ms)));
    deadlines.set(store, deadline_ms);
}

/// The epoch says when to look at the clock, and the clock decides. The epoch makes up for ticks that came late, so it
/// counts time from before a call that began in between, and time in which others had the core; and a call that has waited for
/// models has as much time more.
fn at_the_deadline(store: StoreContextMut<'_, Host>) -> wasmtime::Result<UpdateDeadline> {
    let left = store.data().resume();
    if left.is_zero() {
        return Ok(UpdateDeadline::Interrupt);
    }
    let ticks = left.as_nanos() / TICK.as_nanos();
    Ok(UpdateDeadline::Continue(ticks as u64 + 1))
}

/// A panic of the host's own functions unwinds through the guest up to here. The store is dropped by the caller's
/// error path, so nothing that the panic left half done is seen again.
fn guarded<R>(work: impl FnOnce() -> R) -> Result<R, Fault> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Fault::panicked(&*payload))
}
