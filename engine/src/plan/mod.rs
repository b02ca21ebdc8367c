//! Where a source is cut: segments, chunks and the packets each chunk needs. Pure.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::units::ChunkIndex;

/// What the plan depends on besides the index. The number of workers is not among it: the same source and
/// settings give the same bytes whatever the plan is carried out on.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanSettings {
    /// Target length of a segment in seconds.
    pub segment_s: f64,
    /// Length of a chunk in seconds; `None` lets the plan choose.
    pub chunk_s: Option<f64>,
    /// Whether a rendition copies packets: segments then start at closed cut points only.
    pub copies_packets: bool,
    /// Frames before and after a chunk's own that its decoding must also yield (a deinterlacer looks at its
    /// neighbours); 0 or 1.
    pub context_frames: u32,
}

/// The plan: segments partition the frames, chunks partition the segments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The frames of each segment, as half-open ranges of frame indices.
    pub segments: Vec<Range<u32>>,
    /// The chunks, in presentation order.
    pub chunks: Vec<ChunkPlan>,
    /// Why the plan is less parallel than it could be, if it is.
    pub reason: Option<String>,
}

/// One chunk: the unit of distribution, retry and measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkPlan {
    /// Its place.
    pub index: ChunkIndex,
    /// Its frames (indices in presentation order).
    pub frames: Range<u32>,
    /// Its segments (indices into [`Plan::segments`]).
    pub segments: Range<u32>,
    /// The packets that decoding it needs, in decode order: from the packet where decoding starts to the last
    /// packet that any of its frames (and context frames) comes from.
    pub packets: Range<u32>,
    /// Estimated work, in frames encoded (a frame decoded and dropped counts a tenth).
    pub cost: f64,
}
