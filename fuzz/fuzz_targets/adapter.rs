//! The fuzzer's door to `checks/adapter.rs`.

#![no_main]

#[path = "../checks/adapter.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
