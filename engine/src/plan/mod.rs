//! Where a source is cut: segments, chunks and the packets each chunk needs. Pure.
//!
//! Three questions are answered in turn: where may decoding start for a given frame (`decode`), where do
//! segments start (`segments`), and which runs of segments make the chunks (`chunks`). [`plan`] never fails
//! and never looks at how many workers there are: the chunks suit one as well as thirty-two.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::index::Index;
use crate::units::{ChunkIndex, TimeBase};

use decode::Decoding;
use timeline::Timeline;

mod chunks;
mod decode;
mod reason;
mod segments;
#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;
mod timeline;

/// What a frame that is decoded and dropped costs, in frames encoded.
const DECODE_COST: f64 = 0.1;

/// What the plan depends on besides the index. The number of workers is not among it: the same source and
/// settings give the same bytes whatever the plan is carried out on.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanSettings {
    /// Target length of a segment in seconds; 4 is taken where it is not a positive number.
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
    /// packet that any of its frames (and context frames) comes from, with the packets behind that one that
    /// yield no frame of their own (a second field).
    pub packets: Range<u32>,
    /// Estimated work, in frames encoded (a frame decoded and dropped counts a tenth).
    pub cost: f64,
}

/// Cuts a source into segments and chunks. A function of its arguments alone.
pub fn plan(index: &Index, time_base: TimeBase, settings: &PlanSettings) -> Plan {
    let timeline = Timeline::new(index, time_base);
    let decoding = Decoding::new(index);
    let starts = segments::starts(&timeline, &decoding, settings);
    let table = chunks::Table::new(&starts, &decoding, settings.context_frames);
    let choice = match settings.chunk_s {
        Some(length) => chunks::fixed(&table, &timeline, length),
        None => chunks::auto(&table, &timeline),
    };
    let chunks: Vec<ChunkPlan> =
        choice.runs.iter().enumerate().map(|(at, run)| chunk(at, run, &table, &decoding, settings)).collect();
    let reason =
        reason::reason(&reason::Facts { timeline, decoding: &decoding, table: &table, choice: &choice, settings });
    Plan { segments: table.segments().collect(), chunks, reason }
}

fn chunk(
    at: usize,
    run: &Range<usize>,
    table: &chunks::Table,
    decoding: &Decoding,
    settings: &PlanSettings,
) -> ChunkPlan {
    let frames = table.frames(run);
    let packets = decoding.packets(&frames, settings.context_frames);
    let own = f64::from(frames.end - frames.start);
    let dropped = f64::from(decoding.frames_in(&packets)) - own;
    ChunkPlan {
        index: ChunkIndex(index(at)),
        frames,
        segments: index(run.start)..index(run.end),
        packets,
        cost: own + DECODE_COST * dropped.max(0.0),
    }
}

/// A place in a list of at most `u32::MAX` entries.
fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
