//! Any bytes as the codecs' headers.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vtp_engine::fuzzing::headers(data));
