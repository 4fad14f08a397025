//! Protobuf messages to JSON and back.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("trpc_message"), |data: &[u8]| moongate_fuzz::run(data));
