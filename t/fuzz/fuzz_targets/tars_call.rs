//! Calls that a client asks a TARS server for.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("tars_call"), |data: &[u8]| moongate_fuzz::run(data));
