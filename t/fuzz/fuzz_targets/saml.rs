//! Messages of SAML.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("saml"), |data: &[u8]| moongate_fuzz::run(data));
