//! JSON for TARS.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("tars_json"), |data: &[u8]| moongate_fuzz::run(data));
