//! Signed requests.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("signature"), |data: &[u8]| moongate_fuzz::run(data));
