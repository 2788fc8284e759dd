//! The gateway as its users meet it: the real binary, real sockets, real components, and providers that the tests script.
//! Each module is one part of what it promises; `tests/src` is what they are written with.

mod admin;
mod asking;
mod attempts;
mod authoring;
mod bandit;
mod budgets;
mod cache;
mod cascade;
mod chat;
mod classifier;
mod commands;
mod config;
mod connections;
mod contract;
mod corpus;
mod dialects;
mod docs;
mod ensemble;
mod examples;
mod failover;
mod goldens;
mod grants;
mod isolation;
mod ladder;
mod languages;
mod recorded;
mod reload;
mod requests;
mod review;
mod routing;
mod script;
mod sdk;
mod streaming;
mod tidy;
mod transport;
