//! The fuzzer's door to `checks/prices.rs`.

#![no_main]

#[path = "../checks/prices.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
