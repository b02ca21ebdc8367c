//! What travels between splitter, encoder-node and stitcher: tasks and encoded chunks.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::index::FrameEntry;
use crate::ladder::{Bounds, Rendition, Search};
use crate::quality::{Check, FrameScore, Outcome, Summary, Tried};
use crate::source::VideoInfo;
use crate::units::{Attempt, ChunkIndex, PacketIndex};

/// One chunk to encode to all renditions of a ladder that encode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncodeTask {
    /// Which chunk.
    pub chunk: ChunkIndex,
    /// Whether no chunk follows it.
    pub last: bool,
    /// Which try.
    pub attempt: Attempt,
    /// The source's video stream.
    pub video: VideoInfo,
    /// The chunk's own frames, in presentation order.
    pub frames: Vec<FrameEntry>,
    /// Whether every packet of the source yields one frame, so that one whose frame is not wanted, and which no other
    /// is predicted from, need not be decoded.
    pub one_frame_a_packet: bool,
    /// Those of the packets that are known to show no picture: one that comes out of them was not expected.
    pub hidden: Vec<PacketIndex>,
    /// Whether the source's pictures are not to be decoded, which nobody could, but to be made up: black ones, in time.
    pub concealed: bool,
    /// Frames shown just before and after the chunk's own that the deinterlacer may look at.
    pub context: (Vec<FrameEntry>, Vec<FrameEntry>),
    /// Positions in `frames` at which a segment starts; the first is 0.
    pub segment_starts: Vec<u32>,
    /// What to make: renditions whose method encodes.
    pub renditions: Vec<Rendition>,
    /// How the quality of every encoded rendition is checked; `None` measures nothing.
    pub check: Option<Check>,
    /// Where the encoded samples are spooled: a folder of this attempt's own, which exists.
    pub spool: PathBuf,
}

/// One encoded picture in decode order. Its bytes stand in the spool file behind those of the samples before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Presentation time in the source video's time base.
    pub pts: i64,
    /// Size in bytes: NAL units with four-byte lengths (ISO/IEC 14496-15), or whatever the codec's sample is.
    pub size: u32,
    /// Whether decoding can start here.
    pub sync: bool,
}

/// One rendition of one encoded chunk, spooled durably.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncodedRendition {
    /// Name of the rendition.
    pub rendition: String,
    /// The decoder configuration record (`avcC`'s payload). Equal in every chunk of a rendition.
    pub config: Vec<u8>,
    /// Samples in decode order.
    pub samples: Vec<Sample>,
    /// The file that holds the samples' bytes, back to back.
    pub spool: PathBuf,
    /// The encoder that made it, such as `libx264`.
    pub encoder: String,
    /// The constant rate factor it was made at, if any.
    pub crf: Option<f32>,
    /// How hard the encoder searched.
    pub search: Search,
    /// VMAF of the measured frames against the source scaled to the rendition's own size, in presentation order;
    /// `None` where it was not measured.
    pub fidelity: Option<Vec<FrameScore>>,
    /// VMAF of the measured frames, scaled to the size that the source is shown at, against the source, in
    /// presentation order; `None` where it was not measured.
    pub vmaf: Option<Vec<FrameScore>>,
    /// How it stands to the quality that was asked for; `None` where that was not checked.
    pub outcome: Option<Outcome>,
    /// How often it was encoded until it was taken.
    pub encodings: u32,
}

impl EncodedRendition {
    /// What `encoder` made for the rendition of this name in one go, at no rate factor; nothing was measured.
    pub fn unmeasured(rendition: &str, config: &[u8], samples: Vec<Sample>, spool: PathBuf, encoder: &str) -> Self {
        Self {
            rendition: rendition.to_owned(),
            config: config.to_vec(),
            samples,
            spool,
            encoder: encoder.to_owned(),
            crf: None,
            search: Search::Preset,
            fidelity: None,
            vmaf: None,
            outcome: None,
            encodings: 1,
        }
    }

    /// The same without its samples.
    #[must_use]
    pub fn without_samples(self) -> Self {
        Self { samples: Vec::new(), ..self }
    }

    /// What came of it as far as quality goes, within such bounds, in a chunk of so many seconds; `None` if it has no rate
    /// factor or was not measured.
    pub fn tried(&self, bounds: Bounds, seconds: f64) -> Option<Tried> {
        Some(Tried {
            crf: self.crf?.into(),
            search: self.search,
            scores: Summary::of(self.fidelity.iter().flatten().map(|it| (it.score, it.weight)))?,
            bits: self.samples.iter().map(|sample| u64::from(sample.size) * 8).sum(),
            allowed_bits: bounds.max_rate.0 as f64 * seconds,
            factors: bounds.factors,
        })
    }
}

/// A chunk as an encoder node delivers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncodedChunk {
    /// Which chunk.
    pub chunk: ChunkIndex,
    /// Which try.
    pub attempt: Attempt,
    /// Every rendition of the task.
    pub renditions: Vec<EncodedRendition>,
    /// CPU seconds, by stage.
    pub cpu: StageCpu,
}

impl EncodedChunk {
    /// The same without its samples.
    #[must_use]
    pub fn without_samples(self) -> Self {
        let renditions = self.renditions.into_iter().map(EncodedRendition::without_samples).collect();
        Self { renditions, ..self }
    }
}

/// CPU seconds spent on a chunk, by stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageCpu {
    /// Demuxing and decoding.
    pub decode_s: f64,
    /// Conditioning and scaling.
    pub scale_s: f64,
    /// All encoders together.
    pub encode_s: f64,
    /// Decoding and scoring what was encoded.
    pub measure_s: f64,
}

impl StageCpu {
    /// All stages together.
    pub fn sum(&self) -> f64 {
        self.decode_s + self.scale_s + self.encode_s + self.measure_s
    }

    /// The same where the whole took `all_s`. Where something was encoded, time that no thread of ours took counts as
    /// encoding: some encoders have threads of their own.
    #[must_use]
    pub fn of_all(self, all_s: f64) -> Self {
        let rest = if self.encode_s > 0.0 { (all_s - self.sum()).max(0.0) } else { 0.0 };
        Self { encode_s: self.encode_s + rest, ..self }
    }
}

impl std::ops::AddAssign for StageCpu {
    fn add_assign(&mut self, more: Self) {
        self.decode_s += more.decode_s;
        self.scale_s += more.scale_s;
        self.encode_s += more.encode_s;
        self.measure_s += more.measure_s;
    }
}
