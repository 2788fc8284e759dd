//! The gateway as its users meet it: the real binary, real sockets, real components, and providers that the tests script.
//! Each module is one part of what it promises; `tests/src` is what they are written with.

mod contract;
mod reload;
mod tidy;
