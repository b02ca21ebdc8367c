//! Any bytes as segments of a transport stream of ours, read back.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vtp_stitcher::fuzzing::transport(data));
