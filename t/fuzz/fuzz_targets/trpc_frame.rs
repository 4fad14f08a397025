//! Frames and heads of tRPC.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("trpc_frame"), |data: &[u8]| moongate_fuzz::run(data));
