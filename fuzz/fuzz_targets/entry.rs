//! Any bytes as kept encodings.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vtp_encoder_node::fuzzing::entry(data));
