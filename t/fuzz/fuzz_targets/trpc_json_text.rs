//! JSON to protobuf.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| moongate_fuzz::trpc::json_text(data));
