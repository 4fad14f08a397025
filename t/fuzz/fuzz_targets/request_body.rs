//! Bodies of requests; the first byte chooses the framing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| moongate_fuzz::request_body(data));
