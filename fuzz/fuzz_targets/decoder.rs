//! Any bytes, to the decoder.

#![no_main]

#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|stream: &[u8]| checks::decoder(stream));
