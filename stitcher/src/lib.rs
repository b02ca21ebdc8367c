//! Stitcher: gather → cut → prove → package (HLS, DASH) → publish.
//!
//! *In:* encoded chunks in any order, AAC frames of whole audio tracks. *Out:* one set of CMAF segments a
//! rendition, and, once conservation is proved, the playlists and the MPD that name them. *Never:* decodes,
//! encodes, or publishes a manifest of segments that it has not read back and compared with the source.
//!
//! Reading order: [`layout`] says what is to come out, `extras` what besides; [`cut`] turns a chunk's samples into segments; [`boxes`]
//! are their bytes; [`iframes`] puts key pictures where they can be fetched alone; [`video`], [`audio`] and `subtitles`
//! write them; [`proof`] reads them back; [`rates`] and [`listing`] are what the manifests ([`hls`], [`dash`]) say of
//! them; [`pictures`] are thumbnails and poster; [`remux`] makes one file of the same samples, [`transport`] transport streams,
//! `archive` a file of samples that are nowhere else; [`stitcher`] ties it together. [`vbv`] stands alone.

mod archive;
pub mod audio;
pub mod boxes;
pub mod check;
pub mod cut;
pub mod dash;
mod early;
mod error;
mod extras;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod hls;
pub mod iframes;
pub mod language;
pub mod layout;
pub mod listing;
pub mod pictures;
pub mod proof;
pub mod rates;
pub mod remux;
pub mod report;
pub mod seal;
mod sealing;
pub mod stitcher;
mod stop;
mod subtitles;
pub mod transport;
pub mod vbv;
pub mod video;

pub use archive::{ArchiveSound, ArchiveSpec, ArchivedSound};
pub use audio::{AudioWriter, FinishedAudio};
pub use error::Error;
pub use extras::{Extras, Refusal};
pub use layout::{AudioTrack, Durability, OutputLayout, SubtitleTrack, VideoTimeline};
pub use pictures::Pictures;
pub use proof::{Proof, SourceSound};
pub use report::{
    AudioReport, ChunkReport, Curve, FileReport, JoinReport, Published, RenditionReport, SegmentSize, StreamsReport,
    SubtitleReport, TimedScore,
};
pub use stitcher::{Delivery, Stitcher};
