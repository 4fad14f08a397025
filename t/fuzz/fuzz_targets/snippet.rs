//! Configuration snippets.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("snippet"), |data: &[u8]| moongate_fuzz::run(data));
