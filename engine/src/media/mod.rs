//! The wall around FFmpeg.
