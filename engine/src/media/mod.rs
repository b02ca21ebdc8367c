//! The wall around FFmpeg: handles that own and drop, verbs of the domain, and no raw error integers above it.
//!
//! Everything here works on untrusted bytes; nothing here decides what to do with the result.

pub mod audio;
pub mod condition;
pub mod cpu;
pub mod decode;
pub mod demux;
pub mod diagnose;
pub mod encode;
mod error;
pub mod picture;
pub mod scale;
#[cfg(test)]
pub(crate) mod testing;

pub use demux::Demuxer;
pub use error::{Error, Kind};
pub use picture::Picture;

/// Quietens FFmpeg's own log: what matters comes back as errors and counts.
pub fn silence_log() {
    ffmpeg_next::util::log::set_level(ffmpeg_next::util::log::Level::Fatal);
}
