//! Any bytes as a chunk's packets as they travel.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vtp_engine::fuzzing::archive(data));
