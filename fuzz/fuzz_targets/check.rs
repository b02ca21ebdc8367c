//! Any bytes as a stream to check: playlists, MPD, segments.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vtp_stitcher::fuzzing::stream(data));
