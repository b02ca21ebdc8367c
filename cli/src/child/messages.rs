//! What parent and child say to each other, one after the other: values of serde in postcard's format. Both ends are the
//! same program, so it has no version; but what a child says is never trusted to be true.

use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vtp_encoder_node as node;
use vtp_engine::chunk::{EncodeTask, EncodedChunk, EncodedRendition, Sample};
use vtp_engine::index::FrameEntry;
use vtp_engine::limits::Limits;
use vtp_engine::media;
use vtp_engine::media::audio::{AudioOutcome, AudioRequest, AudioTrackConfig};
use vtp_engine::pcm::Moment;
use vtp_splitter::Source;

/// What is said of a source whose descriptor follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Given {
    /// What it is called.
    pub(super) name: PathBuf,
    /// How much of it is taken on.
    pub(super) limits: Limits,
    /// Its size in bytes, if the descriptor is no file's: they are asked for through it.
    pub(super) served: Option<u64>,
}

/// What the parent asks for. One that says so is followed by a descriptor.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Look into the source whose descriptor follows, and keep it.
    Index { given: Given },
    /// Look into the kept source again, by decoding it.
    Census { doubt: String },
    /// Keep this source, whose descriptor follows.
    Adopt { given: Given, source: Box<Source> },
    /// Keep a chunk's packets, in the archive whose descriptor follows, in place of a source.
    AdoptChunk { given: Given },
    /// Put these packets of the kept source into an archive.
    Pack { packets: Range<u32> },
    /// Hash these packets of the kept source.
    Hash { packets: Range<u32> },
    /// Encode these packets.
    Encode { task: Box<EncodeTask>, packets: Range<u32> },
    /// Copy the packets of these frames for the rendition of this name.
    Copy { rendition: String, frames: Vec<FrameEntry>, packets: Range<u32> },
    /// Prepare the kept source's sound.
    OpenSound { requests: Vec<AudioRequest>, origin: Moment },
    /// Make it.
    RunSound,
}

/// What a child answers. Samples, units and signs of life come before the last answer to a request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// The walls stand, but for these.
    Ready { missing: Vec<String> },
    /// It works on it.
    Alive,
    /// The source is kept.
    Adopted,
    /// What was found in the source.
    Source(Box<Source>),
    /// So much more of the archive.
    Piece {
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The archive is whole.
    Packed,
    /// The packets' hash.
    Hash([u8; 32]),
    /// A sample of the task's rendition at this place.
    Sample {
        place: u16,
        sample: Sample,
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The chunk is encoded; the samples came before, and are not in it.
    Encoded(Box<EncodedChunk>),
    /// The chunk is copied, likewise.
    Copied(Box<EncodedRendition>),
    /// What each track will be.
    SoundConfigs(Vec<AudioTrackConfig>),
    /// An access unit of the track at this place.
    Unit {
        track: u16,
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// So much sound is made.
    SoundReached { seconds: f64 },
    /// The sound is made.
    SoundDone(Vec<AudioOutcome>),
    /// It can't be done.
    Failed(Failure),
}

/// Why a child could not do what it was asked for.
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
pub enum Failure {
    /// The source is at fault, or reading it.
    #[error(transparent)]
    Source(#[from] vtp_splitter::Error),
    /// Encoding.
    #[error(transparent)]
    Node(#[from] node::Error),
    /// The sound.
    #[error(transparent)]
    Media(#[from] media::Error),
}
