//! Any bytes as command lines.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vtp_cli::fuzzing::words(data));
