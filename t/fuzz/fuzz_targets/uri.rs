//! Targets of requests.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("uri"), |data: &[u8]| moongate_fuzz::run(data));
