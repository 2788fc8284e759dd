//! What the integration tests are written with: the real gateway as a process, a provider that the test scripts, a client
//! that sees every byte, and guests that misbehave. The tests themselves are in `it/`; they belong to the package
//! `pointsman`, so that cargo builds its binary for them. Failures here are panics that say what was expected: only tests
//! call this.

pub mod absent;
pub mod answer;
pub mod chaos;
pub mod client;
pub mod clouds;
pub mod config;
pub mod conversation;
pub mod database;
pub mod events;
pub mod fences;
pub mod gateway;
pub mod guests;
pub mod languages;
pub mod provider;
pub mod proxies;
pub mod recordings;
pub mod replay;
pub mod schema;
pub mod sdk;
mod secrets;
pub mod specification;
pub mod tls;

pub use absent::not_tested;
pub use answer::{Answer, End, Gate};
pub use chaos::{Chaos, Cut, Silent, Weather};
pub use client::{Client, Reply};
pub use database::Database;
pub use events::{Ending, Event, EventStream};
pub use fences::fences;
pub use gateway::{Gateway, Home};
pub use provider::{FakeProvider, Outcome, Received};
pub use recordings::Recording;
pub use specification::Specification;
pub use tls::Authority;
