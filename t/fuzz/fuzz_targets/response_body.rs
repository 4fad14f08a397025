//! Bodies of answers; the first byte chooses the framing.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("response_body"), |data: &[u8]| moongate_fuzz::run(data));
