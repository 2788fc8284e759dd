//! The fuzzer's door to `checks/eventstream.rs`.

#![no_main]

#[path = "../checks/eventstream.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
