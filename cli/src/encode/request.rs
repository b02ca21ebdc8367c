//! What is to be encoded, and how, as the driver is told.

use std::num::NonZeroUsize;

use vtp_engine::ladder::{AudioChoice, LadderOptions, LadderRequest};
use vtp_engine::quality::Check;
use vtp_engine::stills::Every;
use vtp_stitcher::remux::Container;
use vtp_stitcher::seal::Seal;

use super::subtitles::SubtitleArguments;
use crate::place::Place;

/// Everything that decides what is encoded, and on how many cores.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodeRequest {
    /// The source.
    pub input: Place,
    /// The rungs asked for.
    pub ladder: LadderRequest,
    /// Codecs, preset and rate factors.
    pub options: LadderOptions,
    /// Target length of a segment in seconds.
    pub segment_s: f64,
    /// Length of a chunk in seconds; `None` lets the plan choose.
    pub chunk_s: Option<f64>,
    /// How the quality of what was encoded is checked, if it is.
    pub check: Option<Check>,
    /// Thumbnails to scrub by.
    pub thumbnails: Every,
    /// Whether there is to be a poster.
    pub poster: bool,
    /// Which subtitles go into the output.
    pub subtitles: SubtitleArguments,
    /// Whether pictures that can't be decoded may be made up.
    pub allow_damage: bool,
    /// The whole files that stand beside the ladder.
    pub files: Vec<Container>,
    /// Whether there is to be HLS in transport streams, too.
    pub hls_ts: bool,
    /// Whether an archive stands there, too.
    pub archive: bool,
    /// What the output is encrypted with, if it is.
    pub seal: Option<Seal>,
    /// Whether playlists of what is there are written before all is.
    pub play_early: bool,
    /// Whether sound of more than five channels is made in surround, besides stereo.
    pub surround: bool,
    /// How loud every track is made, in LUFS; `None` is as loud as it is.
    pub loudness: Option<f64>,
    /// How sound is made, in order and each once.
    pub audio: Vec<AudioChoice>,
    /// Chunks encoded at the same time. The bytes of the result do not depend on it.
    pub workers: NonZeroUsize,
}
