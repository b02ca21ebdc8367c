//! Any bytes as an output's records, drawn.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vtp_cli::fuzzing::output(data));
