//! Frames and heads of tRPC.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| moongate_fuzz::trpc::frame(data));
