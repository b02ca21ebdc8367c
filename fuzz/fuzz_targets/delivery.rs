//! Any bytes as an encoded chunk as it travels.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vtp_engine::fuzzing::delivery(data));
