//! JSON to protobuf.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("trpc_json_text"), |data: &[u8]| moongate_fuzz::run(data));
