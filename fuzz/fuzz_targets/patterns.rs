//! Any destinations and patterns.
#![no_main]

#[path = "../checks/patterns.rs"]
mod patterns;

libfuzzer_sys::fuzz_target!(|script: &[u8]| patterns::check(script));
