//! Any bytes as decoder configurations.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vtp_stitcher::fuzzing::configuration(data));
