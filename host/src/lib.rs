//! Pointsman, a self-hosted gateway for language models: the parts, in reading order.
//! `main.rs` is only the door; ARCHITECTURE.md tells how a request and a reload walk through these files.

pub mod admin;
pub mod app;
pub mod body;
pub mod cli;
pub mod config;
pub mod error;
pub mod generation;
pub mod json;
pub mod money;
pub mod pipeline;
pub mod plugins;
pub mod reload;
pub mod server;
pub mod surfaces;
pub mod telemetry;
pub mod upstream;
