//! Items of TARS.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("tars_value"), |data: &[u8]| moongate_fuzz::run(data));
