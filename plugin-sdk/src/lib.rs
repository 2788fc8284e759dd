//! Write routing policies and provider adapters for Pointsman: a trait, an export macro, typed configuration.
//!
//! # A policy
//! decides which model serves a request. The smallest one that does something:
//! ```
//! use pointsman_plugin::{Candidate, Empty, Plan, Policy, Request, Verdict, export_policy};
//!
//! struct Cheapest;
//! impl Policy for Cheapest {
//!     type Config = Empty;
//!     fn new(_: Empty) -> Result<Self, String> { Ok(Cheapest) }
//!     fn decide(&self, _: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
//!         let mut ladder: Vec<_> = candidates.iter().collect();
//!         ladder.sort_by_key(|candidate| candidate.estimated_cost.unwrap_or(u64::MAX));
//!         Ok(Plan::of(ladder).reason("cheapest first").into())
//!     }
//! }
//! export_policy!(Cheapest);
//! ```
//!
//! # An adapter
//! translates between OpenAI's JSON and a provider's. For a provider that speaks OpenAI's JSON there is nothing to translate:
//! ```
//! use pointsman_plugin::{Adapter, Passthrough, Profile, export_adapter};
//!
//! struct Example;
//! impl Adapter for Example {
//!     type Stream = Passthrough;
//!     fn describe() -> Profile {
//!         Profile { base_url: Some("https://api.example.com/v1".into()), ..Profile::openai() }
//!     }
//! }
//! export_adapter!(Example);
//! ```
//!
//! # Building and testing
//! A plugin is a crate of type `["cdylib", "lib"]`. Built for `wasm32-wasip2` it is a component as it stands. Natively the
//! same code runs without WebAssembly: imports are served by [`testing::TestHost`], and [`testing::golden`] runs the
//! examples in the plugin's `golden/` folder.

#[doc(hidden)]
pub mod bindings;

pub mod action;
pub mod adapter;
pub mod checks;
pub mod config;
pub mod draw;
pub mod finals;
pub mod grants;
pub mod limits;
pub mod log;
pub mod models;
pub mod money;
pub mod policy;
pub mod standing;
pub mod state;
pub mod terms;
pub mod timeouts;
pub mod translate;
pub mod when;

mod host;
mod outcome;
mod passthrough;
mod verdict;

#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use adapter::{
    Adapter, AdapterStream, Answer, Authentication, Chunk, Dialects, Event, Failure, Framing, Kind, Operation,
    Outgoing, Profile, Target, Usage,
};
pub use config::Empty;
pub use passthrough::Passthrough;
pub use policy::{
    Abilities, Attempt, Candidate, Edit, Ended, Health, Observe, Opinion, Plan, Policy, Price, Rejection, Request,
    Review, Reviewed, Step, Summary, Surface, Verdict,
};
pub use verdict::named;
