//! Pointsman, a self-hosted gateway for language models: the parts, in reading order.
//! `main.rs` is only the door; ARCHITECTURE.md tells how a request and a reload walk through these files.

// Who reads no more is no reason to panic: `cli::out`.
#![cfg_attr(not(test), warn(clippy::print_stdout))]

pub mod catalog;
pub mod cli;

pub mod admin;
pub mod server;

pub mod reload;

pub mod app;

pub mod reports;

pub mod pipeline;

pub mod generation;

pub mod surfaces;

pub mod audit;
pub mod cache;
pub mod documents;
pub mod idempotency;
pub mod keys;
pub mod load;
pub mod plugins;
pub mod upstream;
pub mod webhooks;

pub mod handover;

pub mod ledger;

pub mod fleet;
pub mod store;

pub mod spend;

pub mod config;

pub mod budget;

pub mod body;
pub mod error;
pub mod hops;
pub mod json;
pub mod money;
pub mod operation;
pub mod telemetry;
pub mod window;
