//! Routing policies and provider adapters: WebAssembly components, loaded from bytes and called through typed faces.
//!
//! In reading order: `load` turns bytes into something that can be instantiated, `instance` makes one call of it within
//! its limits, [`Policy`] and [`Adapter`] are the faces that the rest of the gateway sees. What a guest may import is in
//! `grants`, what it finds there in `imports` and `wasi`, what it hands back is checked in `verdict` and `outgoing`.
//!
//! Nothing here knows of HTTP servers, upstreams, files that change or generations. A plugin is a value: the next
//! version of it is another value.

mod adapter;
mod asking;
mod bindings;
mod deadlines;
mod digest;
mod engine;
mod fault;
mod functions;
mod grants;
mod imports;
mod inspect;
mod instance;
mod lane;
mod limits;
mod load;
mod log;
pub mod outgoing;
mod plan;
mod policy;
mod prompt;
mod shown;
mod snapshot;
mod state;
mod stats;
mod stream;
mod timeouts;
mod verdict;
mod warm;
mod wasi;

#[cfg(test)]
mod tests;

pub use self::adapter::{Adapter, AdapterError, AdapterSpec, Place};
pub use self::asking::{Models, Replies};
pub use self::digest::Digest;
pub(crate) use self::engine::create_private;
pub use self::engine::{Engine, EngineConfig};
pub use self::fault::{Fault, LoadError};
pub use self::grants::{Grant, World};
pub use self::inspect::{Import, Inspection, Shape, inspect};
pub use self::limits::Limits;
pub use self::outgoing::take_dropped;
pub use self::policy::{Call, Policy, PolicySpec, Seat, config_schema};
pub use self::prompt::Prompt;
pub use self::state::{StateChange, StateStore, StateUse};
pub use self::stats::{Counters, Stats};
pub use self::stream::AdapterStream;
pub use self::verdict::STEPS;
pub use self::warm::Instances;

/// The contract's own words, as the host uses them; of a plan, with what was said beside it.
pub mod words {
    pub use super::bindings::exports::pointsman::plugin::outcome::{Attempt, Ended};
    pub use super::bindings::exports::pointsman::plugin::review::{Answer as Reviewed, Opinion};
    pub use super::bindings::exports::pointsman::plugin::route::{Edit, Rejection};
    pub use super::bindings::pointsman::plugin::catalog::{Abilities, Candidate, Health, Price};
    pub use super::bindings::pointsman::plugin::models::{
        Ask, Failure as AskFailure, Prompt as OwnPrompt, Question, Reply,
    };
    pub use super::bindings::pointsman::plugin::request::{Summary, Surface};
    pub use super::bindings::pointsman::plugin::wire::{
        Answer, Authentication, Chunk, Dialects, Event, Failure, Framing, Kind, Operation, Outgoing, Profile, Target,
        Usage,
    };
    pub use super::plan::{Plan, Step, Verdict};
}

use std::sync::Arc;

/// A component's bytes and the name that the configuration gives it.
#[derive(Clone, Debug)]
pub struct PluginSource {
    /// The name in the configuration: log lines, metrics and errors carry it.
    pub name: String,
    /// The component, read once.
    pub bytes: Arc<[u8]>,
    /// What the bytes are.
    pub digest: Digest,
    /// What the file is that the plugin's configuration names, where it names one.
    pub file: Option<Digest>,
}

impl PluginSource {
    /// Takes the bytes and computes their digest.
    pub fn new(name: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> PluginSource {
        let bytes = bytes.into();
        PluginSource {
            name: name.into(),
            digest: Digest::of(&bytes),
            bytes,
            file: None,
        }
    }

    /// What people see: the digest of what changes, which is the file where there is one.
    pub fn shown(&self) -> Digest {
        self.file.unwrap_or(self.digest)
    }
}

/// What a policy's fault means for the request. A setting of the route's, carried out by whoever asked the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFault {
    /// The request is refused: a policy that cannot be asked must not mean "allow".
    #[default]
    Deny,
    /// The candidates stay as they were.
    Skip,
}
