//! Any bytes as what child processes say and are told.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vtp_cli::fuzzing::messages(data));
