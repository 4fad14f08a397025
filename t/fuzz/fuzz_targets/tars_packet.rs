//! Packets of TARS, and whole answers.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("tars_packet"), |data: &[u8]| moongate_fuzz::run(data));
