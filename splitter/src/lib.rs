//! The splitter: looks into a source, lists its packets, and hands out the packets of each chunk.
//!
//! * step: index (demux without decoding), plan (`engine::plan`), then serve chunk packets
//! * in: a source file
//! * out: a [`Source`] (facts, index, timestamp shifts) and a [`ChunkReader`]
//! * never: writes to the source, or encodes

mod audio;
mod census;
mod clock;
mod frames;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod heal;
mod mend;
mod others;
mod reader;
mod runs;
mod scan;
mod subtitles;
mod tracks;

use std::path::Path;

use serde::{Deserialize, Serialize};
use vtp_engine::index::{Index, TimeShift};
use vtp_engine::limits::Exceeded;
use vtp_engine::media::demux::{CodecParameters, KnownContainer, SourceFile};
use vtp_engine::media::{self, Kind};
use vtp_engine::source::SourceInfo;
use vtp_engine::subtitles::Cue;
use vtp_engine::units::TimeBase;

pub use reader::ChunkReader;

/// A source that was looked into: what was found, without the file. It crosses processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The codec parameters of all streams of the container, by which it is opened again quickly.
    pub streams: Vec<CodecParameters>,
    /// Its streams.
    pub info: SourceInfo,
    /// Its video packets and frames.
    pub index: Index,
    /// For each of `info.audio`: how its timestamps are shifted.
    pub audio_shifts: Vec<Vec<TimeShift>>,
    /// For each of `info.subtitles`: its cues, in the container's order, their times on the healed timeline.
    pub cues: Vec<Vec<Cue>>,
    /// The moment that becomes time 0 of the output, in the video's ticks: where the earlier of picture and sound
    /// starts.
    pub origin: i64,
}

impl Source {
    /// Looks into the source at `path`, in this very process; see [`Source::read`].
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::read(&SourceFile::open(path)?, &mut || {})
    }

    /// Looks into the source in `file`: reads it once from end to end, decoding the first picture and the first
    /// sound only. Where the packets do not tell what frames come out, a second pass decodes them (see
    /// [`Source::with_census`]). `alive` is called with every packet.
    ///
    /// # Errors
    /// [`Error`] with code 1001 when it is not a video that we read, 1005 when it is damaged beyond use.
    pub fn read(file: &SourceFile, alive: &mut dyn FnMut()) -> Result<Self, Error> {
        let scanned = scan::scan(file, alive)?;
        match scanned.doubt {
            None => Ok(scanned.source),
            Some(doubt) => scanned.source.with_census(file, &doubt, alive),
        }
    }

    /// Its container in `file`, ready to be opened again.
    pub fn container(&self, file: &SourceFile) -> KnownContainer {
        KnownContainer::new(file.clone(), self.streams.clone())
    }

    /// The moment that becomes time 0 of the output, in microseconds.
    pub fn origin_us(&self) -> i64 {
        self.info.video.time_base.rescale(self.origin, TimeBase::MICROSECONDS)
    }

    /// The codec parameters of its video.
    ///
    /// # Errors
    /// None but a fault of the product.
    pub fn video_parameters(&self) -> Result<&CodecParameters, Error> {
        let missing = || media::Error::new(Kind::Internal, "the source's video stream is not among its streams");
        Ok(self.streams.get(self.info.video.stream).ok_or_else(missing)?)
    }

    /// The same source with its frames found by decoding it once, in order. `doubt` says why that is needed.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn with_census(mut self, file: &SourceFile, doubt: &str, alive: &mut dyn FnMut()) -> Result<Self, Error> {
        census::take(&mut self, file, doubt, alive)?;
        Ok(self)
    }
}

/// Why a source can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// It is not a video that we read.
    #[error("{0}")]
    Unsupported(String),
    /// It is damaged beyond use.
    #[error("{0}")]
    Corrupt(String),
    /// It changed since it was indexed.
    #[error("the source changed while it was read; nothing of it is used: run again when it is complete")]
    Changed,
    /// Everything else.
    #[error("{0}")]
    Internal(media::Error),
}

impl Error {
    /// The specification's numeric code; `None` for what is not the input's fault.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Unsupported(_) => Some(1001),
            Self::Corrupt(_) | Self::Changed => Some(1005),
            Self::Internal(_) => None,
        }
    }
}

impl From<Exceeded> for Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::Unsupported(exceeded.to_string())
    }
}

impl From<media::Error> for Error {
    fn from(error: media::Error) -> Self {
        match error.kind() {
            Kind::Unsupported => Self::Unsupported(error.to_string()),
            Kind::Corrupt => Self::Corrupt(error.to_string()),
            Kind::Retryable | Kind::Internal => Self::Internal(error),
        }
    }
}
