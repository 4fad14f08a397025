//! `vars` expressions, as JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("expr"), |data: &[u8]| moongate_fuzz::run(data));
