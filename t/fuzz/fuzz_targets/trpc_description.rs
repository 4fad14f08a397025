//! Interface descriptions: `.proto` text and descriptor sets.
#![no_main]

libfuzzer_sys::fuzz_target!(init: moongate_fuzz::begin("trpc_description"), |data: &[u8]| moongate_fuzz::run(data));
