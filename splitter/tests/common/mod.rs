//! What several tests make sources and decode with.

#![allow(dead_code, clippy::unwrap_used)]

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vtp_engine::limits::Limits;
use vtp_engine::media::decode::VideoDecoder;
use vtp_engine::media::{self, Picture};
use vtp_splitter::{ChunkReader, Source};

/// Writes `folder/name` with FFmpeg. `None` if there is no such command here.
pub(crate) fn generate(folder: &Path, name: &str, arguments: &str) -> Option<PathBuf> {
    let path = folder.join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y"]).args(arguments.split_whitespace()).arg(&path).stdin(Stdio::null());
    match command.status() {
        Ok(status) => {
            assert!(status.success(), "ffmpeg writes {name}");
            Some(path)
        }
        Err(error) => {
            eprintln!("SKIPPED: no ffmpeg command to generate {name} with ({error})");
            None
        }
    }
}

/// Checksums of the decoded pictures by the packet they come from, decoding packets `range` alone.
pub(crate) fn decode_range(reader: &mut ChunkReader, source: &Source, range: Range<u32>) -> Vec<(u32, u32)> {
    let (parameters, base) = (source.video_parameters().unwrap(), source.info.video.time_base);
    let mut decoder = VideoDecoder::for_chunk(parameters, base, &Limits::DEFAULT).unwrap();
    let mut shown = Vec::new();
    let mut keep = |picture: Picture| -> Result<(), media::Error> {
        shown.push((picture.packet().unwrap().0, picture.checksum()));
        Ok(())
    };
    reader.start(range).unwrap();
    while let Some((place, packet)) = reader.next_packet(&mut || {}).unwrap() {
        decoder.send(place, packet, &mut keep).unwrap();
    }
    decoder.finish(&mut keep).unwrap();
    shown
}
