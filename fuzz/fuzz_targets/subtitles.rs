//! Any bytes as subtitles: the packets of containers, and files.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vtp_engine::fuzzing::subtitles(data));
