//! Calls that a client asks a tRPC server for.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("trpc_call"), |data: &[u8]| moongate_fuzz::run(data));
