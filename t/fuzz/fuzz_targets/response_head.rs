//! Heads of answers.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("response_head"), |data: &[u8]| moongate_fuzz::run(data));
