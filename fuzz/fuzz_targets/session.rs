//! Any inputs keep the invariants of a session.
#![no_main]

#[path = "../checks/session.rs"]
mod session;

libfuzzer_sys::fuzz_target!(|script: &[u8]| session::check(script, std::time::Instant::now()));
