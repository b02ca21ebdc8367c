//! Clips for the audio tests: synthesised by the `ffmpeg` on PATH, or real ones from the shared collection.

#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use vtp_engine::media::demux::{Demuxer, Medium, StreamFacts};

/// Runs `ffmpeg` with `args` (separated by blanks) and returns the path of what it wrote to `name` in `dir`.
pub(crate) fn synthesise(dir: &Path, name: &str, args: &str) -> PathBuf {
    let path = dir.join(name);
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-y", "-v", "error"])
        .args(args.split_whitespace())
        .arg(&path)
        .status()
        .expect("the tests need ffmpeg on PATH");
    assert!(status.success(), "ffmpeg {args} failed");
    path
}

/// A real clip of the shared collection; `None`, said aloud, where the collection is not installed.
pub(crate) fn clip(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/media").join(name);
    if !path.exists() {
        eprintln!("SKIPPED: {name} is not here");
        return None;
    }
    Some(path)
}

/// The container's audio streams.
pub(crate) fn audio_streams(demuxer: &Demuxer) -> Vec<StreamFacts> {
    demuxer.streams().into_iter().filter(|stream| stream.medium == Medium::Audio).collect()
}
