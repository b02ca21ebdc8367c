//! Any bytes as published files, read back.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vtp_stitcher::fuzzing::published(data));
