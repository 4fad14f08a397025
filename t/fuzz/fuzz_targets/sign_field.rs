//! Structured fields, digests, dates and keys of signatures.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("sign_field"), |data: &[u8]| moongate_fuzz::run(data));
