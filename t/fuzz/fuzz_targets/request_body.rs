//! Bodies of requests; the first byte chooses the framing.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("request_body"), |data: &[u8]| moongate_fuzz::run(data));
