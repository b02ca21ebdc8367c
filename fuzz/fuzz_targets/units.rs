//! Any bytes as NAL units, and `avcC` made and read.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vtp_engine::fuzzing::units(data));
