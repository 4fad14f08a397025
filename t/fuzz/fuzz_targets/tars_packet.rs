//! Packets of TARS, and whole answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| moongate_fuzz::tars::packet(data));
