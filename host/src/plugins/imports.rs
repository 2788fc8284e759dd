//! What a guest finds when it calls the host: the request's content, the log, and what it was granted. Every function
//! answers from memory, but for `models`, which waits; a guest that calls wrongly traps, which costs it this call.

use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use rustix::time::ClockId;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker};

use super::asking::Asking;
use super::bindings::pointsman::plugin::log::Level;
use super::bindings::pointsman::plugin::{grants, log, models, prompt, state, timeouts};
use super::deadlines::Deadlines;
use super::grants::{Access, Grant};
use super::limits::{Limits, Quota};
use super::log::{Identity, Log};
use super::prompt::Prompt;
use super::state::Space;
use super::timeouts::Timeouts;
use super::wasi::{self, Wasi};
use super::words::{Ask, AskFailure, Reply};

/// One instance's side of the host: the data of its store.
pub(super) struct Host {
    pub(super) quota: Quota,
    pub(super) log: Log,
    pub(super) inputs: Inputs,
    pub(super) prompt: Option<Arc<dyn Prompt>>,
    pub(super) state: Option<Arc<Space>>,
    pub(super) asking: Option<Asking>,
    /// There while a policy that may say some decides.
    pub(super) timeouts: Option<Timeouts>,
    pub(super) grants: Arc<[Grant]>,
    /// Set before anything of the guest runs.
    pub(super) clock: Option<Clock>,
    pub(super) limits: Arc<Limits>,
    /// Made when a guest first calls WASI, which most never do.
    pub(super) wasi: Option<Box<Wasi>>,
}

/// The clock and the seed of a call: recorded, so that it can be replayed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Inputs {
    pub(super) now_ms: u64,
    pub(super) seed: u64,
}

/// When a call began, and how long it may compute. What it computes is counted by its thread's own clock: a call that a busy
/// machine keeps from its core has done nothing wrong.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    deadlines: Arc<Deadlines>,
    began: Moment,
    /// What the thread had computed by then.
    computed: Duration,
    time: Duration,
}

impl Clock {
    /// For a call that ends on the thread that it begins on.
    pub(super) fn start(deadlines: Arc<Deadlines>, time: Duration) -> Clock {
        Clock {
            deadlines,
            began: Moment::now(),
            computed: computed(),
            time,
        }
    }

    /// What is left of the time, of which waiting is no part.
    fn left(&self, waited: Duration) -> Duration {
        let to_compute = self.time.saturating_sub(computed().saturating_sub(self.computed));
        let to_pass = (self.time * STRETCH + waited).saturating_sub(self.began.elapsed());
        to_compute.min(to_pass)
    }
}

/// However busy the machine is, a call is over after so many times its time, in which it may also have slept.
const STRETCH: u32 = 8;

/// What this thread has computed since it began.
fn computed() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

impl Host {
    pub(super) fn new(identity: Arc<Identity>, limits: Arc<Limits>, grants: Arc<[Grant]>, inputs: Inputs) -> Host {
        Host {
            quota: Quota::new(&limits),
            log: Log::new(identity, &limits),
            inputs,
            prompt: None,
            state: None,
            asking: None,
            timeouts: None,
            grants,
            clock: None,
            limits,
            wasi: None,
        }
    }

    /// Readies a kept instance's host for its next call.
    pub(super) fn renew(&mut self, inputs: Inputs) {
        self.inputs = inputs;
        self.log.renew();
        if let Some(wasi) = &mut self.wasi {
            wasi.renew(inputs);
        }
    }

    /// What is left of the time for computing, which is kept from here on: waiting for models does not count, and while
    /// all calls wait, deadlines may have been asleep.
    pub(super) fn resume(&self) -> Duration {
        let Some(clock) = &self.clock else {
            return Duration::ZERO;
        };
        let waited = self.asking.as_ref().map_or(Duration::ZERO, Asking::waited);
        let left = clock.left(waited);
        clock.deadlines.keep(left.as_millis() as u64);
        left
    }

    fn timeouts(&mut self) -> wasmtime::Result<&mut Timeouts> {
        self.timeouts
            .as_mut()
            .ok_or_else(|| wasmtime::Error::msg("the times of a step are said in `decide`, and at no other time"))
    }

    fn state(&self) -> wasmtime::Result<&Space> {
        self.state.as_deref().ok_or_else(|| {
            wasmtime::Error::msg("state cannot be used while the plugin is being configured: do it in `decide`")
        })
    }
}

/// A linker that offers what was granted, and nothing else.
pub(super) fn linker(component: &Component, access: &Access) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(component.engine());
    log::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    if access.prompt {
        prompt::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    }
    if access.timeouts {
        timeouts::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    }
    if access.state {
        state::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    }
    if access.grants {
        grants::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    }
    if access.models {
        models::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    }
    if access.wasi {
        wasi::add_to_linker(&mut linker)?;
    }
    for (import, what) in &access.lacking {
        trap(&mut linker, component, import, what)?;
    }
    Ok(linker)
}

/// Has every function of an interface trap with this text.
fn trap(linker: &mut Linker<Host>, component: &Component, import: &str, what: &str) -> wasmtime::Result<()> {
    let engine = component.engine();
    let ty = component.component_type();
    let Some(ComponentItem::ComponentInstance(instance)) = ty.get_import(engine, import).map(|item| item.ty) else {
        return Ok(());
    };
    let mut interface = linker.instance(import)?;
    for (function, item) in instance.exports(engine) {
        if let ComponentItem::ComponentFunc(_) = item.ty {
            let what = what.to_owned();
            interface.func_new(function, move |_, _, _, _| Err(wasmtime::Error::msg(what.clone())))?;
        }
    }
    Ok(())
}

impl grants::Host for Host {
    fn given(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.grants.iter().map(|grant| grant.name().to_owned()).collect())
    }
}

impl timeouts::Host for Host {
    fn connect(&mut self, candidate: String, ms: u32) -> wasmtime::Result<()> {
        self.timeouts()?.say(&candidate, |step| step.connect_ms = Some(ms));
        Ok(())
    }

    fn gap(&mut self, candidate: String, ms: u32) -> wasmtime::Result<()> {
        self.timeouts()?.say(&candidate, |step| step.gap_ms = Some(ms));
        Ok(())
    }
}

impl models::Host for Host {
    fn ask_all(&mut self, asks: Vec<Ask>) -> wasmtime::Result<Vec<Result<Reply, AskFailure>>> {
        let replies = match &mut self.asking {
            Some(asking) => asking.ask_all(asks),
            None => Err(wasmtime::Error::msg(
                "models cannot be asked while the plugin is being configured: do it in `decide` or `review`",
            )),
        };
        self.resume();
        replies
    }
}

impl log::Host for Host {
    fn log(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        self.log.line(level, &message);
        Ok(())
    }
}

/// Outside of a call there is no request: everything is absent or empty.
impl prompt::Host for Host {
    fn role(&mut self, index: u32) -> wasmtime::Result<Option<String>> {
        Ok(self.prompt.as_ref().and_then(|prompt| prompt.role(index)))
    }

    fn text(&mut self, index: u32) -> wasmtime::Result<Option<String>> {
        Ok(self.prompt.as_ref().and_then(|prompt| prompt.text(index)))
    }

    fn last_user_text(&mut self) -> wasmtime::Result<String> {
        Ok(self
            .prompt
            .as_ref()
            .map(|prompt| prompt.last_user_text())
            .unwrap_or_default())
    }

    fn system_text(&mut self) -> wasmtime::Result<String> {
        Ok(self
            .prompt
            .as_ref()
            .map(|prompt| prompt.system_text())
            .unwrap_or_default())
    }

    fn all_text(&mut self, at_most: u32) -> wasmtime::Result<String> {
        Ok(self
            .prompt
            .as_ref()
            .map(|prompt| prompt.all_text(at_most))
            .unwrap_or_default())
    }

    fn header(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.prompt.as_ref().and_then(|prompt| prompt.header(&name)))
    }

    fn get(&mut self, pointer: String) -> wasmtime::Result<Option<String>> {
        Ok(self.prompt.as_ref().and_then(|prompt| prompt.get(&pointer)))
    }
}

impl state::Host for Host {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.state()?.get(&key, self.inputs.now_ms))
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> wasmtime::Result<()> {
        Ok(self.state()?.set(&key, value, ttl_ms, self.inputs.now_ms)?)
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<()> {
        self.state()?.delete(&key);
        Ok(())
    }

    fn add(&mut self, key: String, delta: i64, ttl_ms: Option<u64>) -> wasmtime::Result<i64> {
        Ok(self.state()?.add(&key, delta, ttl_ms, self.inputs.now_ms)?)
    }
}
