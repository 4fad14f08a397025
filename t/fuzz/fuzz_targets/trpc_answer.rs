//! Answers of a tRPC server.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("trpc_answer"), |data: &[u8]| moongate_fuzz::run(data));
