//! Protobuf messages to JSON and back.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| moongate_fuzz::trpc::message(data));
