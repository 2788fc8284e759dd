//! What a guest finds when it calls the host: the request's content, the log, and the state that it was granted.
//! Every function answers from memory; a guest that calls wrongly traps, which costs it this call.

use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker};

use super::bindings::pointsman::plugin::log::Level;
use super::bindings::pointsman::plugin::{log, prompt, state};
use super::grants::Access;
use super::limits::{Limits, Quota};
use super::log::{Identity, Log};
use super::prompt::Prompt;
use super::state::Space;
use super::wasi::{self, Wasi};

/// One instance's side of the host: the data of its store.
pub(super) struct Host {
    pub(super) quota: Quota,
    pub(super) log: Log,
    pub(super) inputs: Inputs,
    pub(super) prompt: Option<Arc<dyn Prompt>>,
    pub(super) state: Option<Arc<Space>>,
    pub(super) limits: Arc<Limits>,
    pub(super) identity: Arc<Identity>,
    /// Made when a guest first calls WASI, which most never do.
    pub(super) wasi: Option<Box<Wasi>>,
}

/// The clock and the seed of a call: recorded, so that it can be replayed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Inputs {
    pub(super) now_ms: u64,
    pub(super) seed: u64,
}

impl Host {
    pub(super) fn new(identity: Arc<Identity>, limits: Arc<Limits>, inputs: Inputs) -> Host {
        Host {
            quota: Quota::new(&limits),
            log: Log::new(identity.clone(), &limits),
            inputs,
            prompt: None,
            state: None,
            limits,
            identity,
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

    fn state(&self) -> wasmtime::Result<&Space> {
        self.state.as_deref().ok_or_else(|| {
            wasmtime::Error::msg("state cannot be used while the plugin is being configured: do it in `decide`")
        })
    }
}

/// A linker that offers what was granted, and nothing else.
pub(super) fn linker(engine: &wasmtime::Engine, access: &Access) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    log::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    if access.prompt {
        prompt::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    }
    if access.state {
        state::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
    }
    if access.wasi {
        wasi::add_to_linker(&mut linker)?;
    }
    Ok(linker)
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
