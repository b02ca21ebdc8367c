//! Proof of conservation: what was read back from the written files, held against the index. Pure; [`read`] reads the
//! files and [`run`] brings both together.
//!
//! Proved is that every source frame is in exactly one segment of every rendition at exactly its time, that segments
//! join without gap or overlap and open with a key picture, that audio is whole, that every cue of subtitles stands in the
//! segments that show it, and that sound and picture have the offset they have in the source, at the start and at the
//! end; and that the I-frame playlists name key pictures at the times they say. What the pictures show is not looked at.

mod audio;
pub(crate) mod iframes;
pub(crate) mod pictures;
pub mod read;
pub(crate) mod run;
pub(crate) mod subtitles;
#[cfg(test)]
mod tests;
mod video;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use audio::{AudioCheck, MAX_AV_SHIFT_MS, Shift, SourceSound, shift};
pub use video::VideoCheck;

/// What was proved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// Frames of the source.
    pub frames_source: u32,
    /// Frames of each rendition, by name.
    pub frames_out: BTreeMap<String, u32>,
    /// By how many milliseconds the sound's start moved against the first frame; that of the track where it moved
    /// most, `None` without audio.
    pub av_offset_start_ms: Option<f64>,
    /// The same of the sound's end against the start of the last frame.
    pub av_offset_end_ms: Option<f64>,
    /// Whether all of it holds; an output is published only then.
    pub ok: bool,
}

/// The first difference between what was written and what the source has.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Violation {
    /// A file is not there or is not what it should be.
    #[error("{file}: {reason}")]
    Unreadable {
        /// The file, relative to the output folder.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// Segments are missing or too many.
    #[error("{track}: {got} segments, the plan has {due}")]
    Segments {
        /// The rendition.
        track: String,
        /// Segments found.
        got: u32,
        /// Segments planned.
        due: u32,
    },
    /// A segment's sequence number is not that of its place.
    #[error("{track}, segment {segment}: sequence number {got}")]
    Sequence {
        /// The rendition.
        track: String,
        /// The segment, from 1.
        segment: u32,
        /// The number it has.
        got: u32,
    },
    /// A segment does not start where the one before it ends.
    #[error("{track}, segment {segment}: decode time {got}, due is {due}")]
    DecodeTime {
        /// The rendition.
        track: String,
        /// The segment, from 1.
        segment: u32,
        /// Its decode time.
        got: u64,
        /// The end of the segment before it.
        due: u64,
    },
    /// A segment does not have its planned number of frames.
    #[error("{track}, segment {segment}: {got} frames, due are {due}")]
    Frames {
        /// The rendition.
        track: String,
        /// The segment, from 1.
        segment: u32,
        /// Frames found.
        got: usize,
        /// Frames planned.
        due: usize,
    },
    /// A frame is not shown when the source shows it.
    #[error("{track}: frame {frame} is shown at {got}, in the source at {due}")]
    FrameTime {
        /// The rendition.
        track: String,
        /// The frame, from 0.
        frame: u32,
        /// Its time in the output, in media time units.
        got: i64,
        /// Its time in the source, in the same.
        due: u64,
    },
    /// A segment cannot be decoded from its start.
    #[error("{track}, segment {segment}: does not open with a key picture")]
    NotKey {
        /// The rendition.
        track: String,
        /// The segment, from 1.
        segment: u32,
    },
    /// An I-frame playlist does not say what is there.
    #[error("{track}: its I-frame playlist: {reason}")]
    KeyPictures {
        /// The rendition.
        track: String,
        /// What is wrong.
        reason: String,
    },
    /// An audio segment's samples are not all frames of the due length.
    #[error("{track}, segment {segment}: a sample of {got} units, due are {due}")]
    AudioFrame {
        /// The track.
        track: String,
        /// The segment, from 1.
        segment: u32,
        /// Duration of the sample.
        got: u32,
        /// Duration of an audio frame.
        due: u32,
    },
    /// The edit list does not take out the priming.
    #[error("{track}: the edit list takes out {got} samples, priming are {due}")]
    Priming {
        /// The track.
        track: String,
        /// Samples taken out.
        got: u64,
        /// Samples of priming.
        due: u64,
    },
    /// Audio was lost, or more than a frame of padding was added.
    #[error("{track}: {got} samples are presented, the source gives {due}")]
    AudioLength {
        /// The track.
        track: String,
        /// Samples presented.
        got: u64,
        /// Samples due.
        due: u64,
    },
    /// Subtitles are not what they should be.
    #[error("{track}, segment {segment}: {reason}")]
    Text {
        /// The track.
        track: String,
        /// The segment, from 1.
        segment: u32,
        /// What is wrong, as the end of a sentence.
        reason: &'static str,
    },
    /// Sound moved against picture.
    #[error("{track}: sound is {start_ms:+.2} ms off at the start and {end_ms:+.2} ms off at the end")]
    Offset {
        /// The track.
        track: String,
        /// At the start.
        start_ms: f64,
        /// At the end.
        end_ms: f64,
    },
    /// There is no account of what the source's audio is.
    #[error("{got} sounds of the source are told for {due} audio tracks")]
    Sounds {
        /// Sounds told.
        got: usize,
        /// Audio tracks.
        due: usize,
    },
}
