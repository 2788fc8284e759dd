//! The APIs that clients speak. Each reads a request into what the pipeline needs to know of it and nothing more.

pub mod chat;
mod inputs;
pub mod models;
