//! Interface descriptions: `.proto` text and descriptor sets.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| moongate_fuzz::trpc::description(data));
