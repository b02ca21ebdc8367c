//! What the finished output is, as `report.json` tells it. Values only.

use serde::{Deserialize, Serialize};
use vtp_engine::ladder::Search;
use vtp_engine::quality::{Cause, Outcome, Summary};

use crate::listing::{Listing, Presentation};
use crate::pictures::Pictures;
use crate::proof::Proof;
use crate::transport;

/// A published output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// The video renditions, in the layout's order.
    pub renditions: Vec<RenditionReport>,
    /// The audio tracks that have samples, in the layout's order.
    pub audio: Vec<AudioReport>,
    /// The subtitle tracks, in the layout's order.
    #[serde(default)]
    pub subtitles: Vec<SubtitleReport>,
    /// What is told of each rendition over time, in the same order.
    pub curves: Vec<Curve>,
    /// Thumbnails and poster.
    pub pictures: Pictures,
    /// The whole files beside the ladder.
    #[serde(default)]
    pub files: Vec<FileReport>,
    /// The transport streams beside the segments, if there are some.
    #[serde(default)]
    pub hls_ts: Option<StreamsReport>,
    /// That nothing of the source was lost.
    pub proof: Proof,
}

/// One rendition over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// VMAF of the measured frames at the rendition's own size.
    pub fidelity: Vec<TimedScore>,
    /// The same at the size that the source is shown at.
    pub vmaf: Vec<TimedScore>,
    /// Its segments.
    pub segments: Vec<SegmentSize>,
}

/// A measured frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedScore {
    /// When it is shown in the output, in seconds.
    pub time_s: f64,
    /// VMAF, 0 to 100.
    pub score: f64,
    /// How many frames it stands for.
    pub weight: f64,
}

/// A segment's place and size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentSize {
    /// When its first sample is decoded, in seconds.
    pub start_s: f64,
    /// How long its samples last.
    pub duration_s: f64,
    /// Size of its file.
    pub bytes: u64,
}

/// One video rendition. Rates are its own, without audio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RenditionReport {
    /// Its name.
    pub name: String,
    /// RFC 6381 name of its codec.
    pub codec: String,
    /// Columns of the coded picture.
    pub width: u32,
    /// Rows of the coded picture.
    pub height: u32,
    /// Number of frames.
    pub frames: u32,
    /// Size of its media segments.
    pub bytes: u64,
    /// Peak segment bit rate in bits a second.
    pub bandwidth: u64,
    /// Average segment bit rate in bits a second.
    pub average_bandwidth: u64,
    /// By how many bits it exceeds the buffer of its rate cap at worst, all joins included; negative is what is left,
    /// `None` is no cap.
    pub cap_overflow_bits: Option<i64>,
    /// VMAF of the measured frames against the source scaled to this rendition's own size; `None` if none were.
    pub fidelity: Option<Summary>,
    /// VMAF of the measured frames, scaled to the size that the source is shown at, against the source; `None` if none
    /// were.
    pub vmaf: Option<Summary>,
    /// Its chunks.
    pub chunks: Vec<ChunkReport>,
    /// The joins of its chunks at which a viewer sees a step in quality, or would have seen it, in order. The stitcher
    /// knows of none: whoever judged the joins fills them in.
    #[serde(default)]
    pub joins: Vec<JoinReport>,
}

/// A visible step in quality between two chunks of a rendition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinReport {
    /// Where it is in the output, in seconds.
    pub at_s: f64,
    /// The chunk after the join.
    pub chunk: u32,
    /// By how many points of fidelity the frames after it score more than those before it: as delivered or, where that
    /// was repaired, as it was.
    pub step: f64,
    /// Where it comes from.
    pub cause: Cause,
    /// Whether it was made invisible, by encoding one of the chunks again.
    pub repaired: bool,
}

/// One chunk of a rendition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkReport {
    /// Its place, from 0.
    pub index: u32,
    /// Where it starts in the output, in seconds.
    pub start_s: f64,
    /// Number of frames.
    pub frames: u32,
    /// Size of its media segments.
    pub bytes: u64,
    /// How often it was encoded: until an attempt ended well, and until its quality was taken.
    pub attempts: u32,
    /// The encoder that made it.
    pub encoder: String,
    /// The constant rate factor it was made at, if any.
    pub crf: Option<f32>,
    /// How hard the encoder searched.
    #[serde(default)]
    pub search: Search,
    /// As the rendition's, of this chunk.
    pub fidelity: Option<Summary>,
    /// As the rendition's, of this chunk.
    pub vmaf: Option<Summary>,
    /// Whether it is as good as asked; `None` where that was not checked.
    pub met_target: Option<bool>,
    /// How it stands to what was asked.
    pub outcome: Option<Outcome>,
}

/// One audio track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioReport {
    /// Its folder.
    pub name: String,
    /// BCP 47 tag.
    pub language: String,
    /// RFC 6381 name of its codec.
    pub codec: String,
    /// Samples a second.
    pub sample_rate: u32,
    /// Number of channels.
    pub channels: u16,
    /// Size of its media segments.
    pub bytes: u64,
    /// Peak segment bit rate in bits a second.
    pub bandwidth: u64,
    /// Average segment bit rate in bits a second.
    pub average_bandwidth: u64,
}

/// One whole file beside the ladder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Its name in the output folder.
    pub name: String,
    /// `mp4`, `mov`, `mkv` or `webm`.
    pub container: String,
    /// The rendition whose pictures it shows.
    pub video: String,
    /// The audio tracks that it holds, by their folders.
    pub audio: Vec<String>,
    /// The tracks of subtitles that it holds, likewise.
    #[serde(default)]
    pub subtitles: Vec<String>,
    /// Its size.
    pub bytes: u64,
}

/// Transport streams for old devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamsReport {
    /// The multivariant playlist, in the output folder.
    pub file: String,
    /// The renditions that are in it.
    pub renditions: Vec<String>,
    /// The audio tracks that are in it, by their folders; the first is in the segments of the pictures.
    pub audio: Vec<String>,
    /// Size of all segments.
    pub bytes: u64,
}

impl StreamsReport {
    pub(crate) fn new(streams: &Presentation) -> Self {
        let name = |listing: &Listing| transport::rendition(&listing.folder).to_owned();
        let mut audio: Vec<_> = streams.audio.iter().collect();
        audio.sort_by_key(|track| !track.muxed);
        Self {
            file: transport::MASTER.to_owned(),
            renditions: streams.video.iter().map(|video| name(&video.listing)).collect(),
            audio: audio.into_iter().map(|track| name(&track.listing)).collect(),
            bytes: streams.listings().map(Listing::bytes).sum(),
        }
    }
}

/// One track of subtitles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtitleReport {
    /// Its folder.
    pub name: String,
    /// What users read.
    pub title: String,
    /// BCP 47 tag.
    pub language: String,
    /// Whether it is shown when the user has no preference.
    pub default: bool,
    /// Whether it has to be shown to everybody.
    pub forced: bool,
    /// Number of cues.
    pub cues: u64,
    /// Size of its WebVTT files.
    pub bytes: u64,
}
