//! Any bytes as what packets say of themselves.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vtp_engine::fuzzing::classifier(data));
