//! Any bytes as times in a container, up to the plan.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vtp_splitter::fuzzing::times(data));
