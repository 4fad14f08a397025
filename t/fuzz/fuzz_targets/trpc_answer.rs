//! Answers of a tRPC server.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| moongate_fuzz::trpc::answer(data));
