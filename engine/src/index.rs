//! The index: every video packet of a source, where decoding may start, and the frames that come out.
//!
//! It is made by demuxing without decoding. Where the packets alone do not tell what frames come out
//! (timestamps missing, damage), a *census* decodes the source once, in order, and its frames replace those
//! that were derived from the packets.

use serde::{Deserialize, Serialize};

use crate::units::{FrameIndex, PacketIndex};

/// One video packet, in decode order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketEntry {
    /// Presentation time in the stream's time base, healed; `None` if the container has none.
    pub pts: Option<i64>,
    /// Decode time, likewise.
    pub dts: Option<i64>,
    /// Size of the payload in bytes.
    pub size: u32,
    /// CRC-32 of the payload, by which a packet is known again when it is read a second time.
    pub crc: u32,
    /// Whether decoding may start here.
    pub cut: CutClass,
}

/// Whether decoding may start at a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CutClass {
    /// It may not.
    None,
    /// It may: what is shown before this picture but decoded after it (leading pictures) needs earlier
    /// packets, everything shown after it does not. H.264 recovery point with exact match and no frames,
    /// HEVC CRA, MPEG-2 open GOP.
    Open,
    /// It may, and nothing after it in decode order is shown before it: H.264 IDR, HEVC IDR and BLA without
    /// leading pictures, VP9 and AV1 key frames, intra-only codecs. A rendition that copies packets may cut here.
    Closed,
}

/// One frame of the source, in presentation order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameEntry {
    /// The packet that the decoder names as this frame's origin.
    pub packet: PacketIndex,
    /// Presentation time in the video stream's time base, healed. Strictly increasing over the frames.
    pub pts: i64,
}

/// Where the list of frames comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameList {
    /// Derived from the packets alone.
    Packets,
    /// Found by decoding the whole source once, in order.
    Census,
}

/// A jump in the source's timestamps that was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heal {
    /// Where in the healed timeline, in seconds.
    pub at_s: f64,
    /// By how much all later timestamps of audio and video are shifted, in seconds.
    pub shift_s: f64,
}

/// From one packet of a stream on, all its timestamps are shifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeShift {
    /// The first packet it applies to: its ordinal among the stream's own packets, in the container's order.
    pub from_packet: u64,
    /// What is added to the container's timestamps, in the stream's ticks. Replaces any earlier shift.
    pub shift: i64,
}

impl TimeShift {
    /// What `shifts`, in the order of their packets, add to the timestamps of packet `number`, in ticks.
    pub fn at(shifts: &[TimeShift], number: u64) -> i64 {
        let later = shifts.partition_point(|shift| shift.from_packet <= number);
        later.checked_sub(1).and_then(|last| shifts.get(last)).map_or(0, |shift| shift.shift)
    }
}

/// Parameter sets that the container keeps apart from the packets and changes in mid-stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterSets {
    /// The first packet they apply to.
    pub from: PacketIndex,
    /// What replaces the stream's extradata.
    pub extradata: Vec<u8>,
}

/// Where a packet lies at which decoding may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketPlace {
    /// The packet.
    pub packet: PacketIndex,
    /// The byte of the file at which the container has it.
    pub byte: u64,
    /// Its decode time in the stream's time base as the container tells it, not healed; `None` if it tells none.
    pub dts: Option<i64>,
}

/// Everything the plan needs to know about a source's video packets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// All packets of the video stream, in decode order.
    pub packets: Vec<PacketEntry>,
    /// All frames, in presentation order. Never empty.
    pub frames: Vec<FrameEntry>,
    /// Duration of the last frame in ticks, at least 1.
    pub last_duration: i64,
    /// Where `frames` comes from.
    pub frame_list: FrameList,
    /// Parameter sets other than the stream's own, in the order of their packets: whoever starts to decode later has to be
    /// told the last ones before.
    pub parameter_sets: Vec<ParameterSets>,
    /// Where packets lie at which decoding may start, in their order, if the container's times don't lead to them: they jump,
    /// or are missing. Otherwise empty.
    pub places: Vec<PacketPlace>,
    /// Timestamp jumps taken out.
    pub heals: Vec<Heal>,
    /// What a user should know about this source, in sentences.
    pub warnings: Vec<String>,
}

impl Index {
    /// An index of `packets` and `frames` of whose source there is nothing else to tell. The last frame lasts
    /// `last_duration` ticks.
    pub fn of(packets: Vec<PacketEntry>, frames: Vec<FrameEntry>, last_duration: i64) -> Self {
        Self {
            packets,
            frames,
            last_duration,
            frame_list: FrameList::Packets,
            parameter_sets: Vec::new(),
            places: Vec::new(),
            heals: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Number of frames.
    pub fn frame_count(&self) -> u32 {
        self.frames.len() as u32
    }

    /// Whether every packet yields exactly one frame: no field pairs, no hidden pictures, nothing cut away.
    pub fn has_one_frame_a_packet(&self) -> bool {
        let places: std::collections::HashSet<_> = self.frames.iter().map(|frame| frame.packet).collect();
        places.len() == self.frames.len() && self.frames.len() == self.packets.len()
    }

    /// The packets, in order, of which the packets themselves tell that they show no picture. None where the frames were
    /// found by decoding: what a decoder makes of damage depends on where it starts.
    pub fn hidden_packets(&self) -> Vec<PacketIndex> {
        if self.frame_list == FrameList::Census || self.has_one_frame_a_packet() {
            return Vec::new();
        }
        let shown: std::collections::HashSet<_> = self.frames.iter().map(|frame| frame.packet).collect();
        (0..self.packets.len() as u32).map(PacketIndex).filter(|packet| !shown.contains(packet)).collect()
    }

    /// The parameter sets that a decoder needs that starts at packet `at`, if they are not the stream's own.
    pub fn parameter_sets_at(&self, at: PacketIndex) -> Option<&[u8]> {
        let later = self.parameter_sets.partition_point(|sets| sets.from <= at);
        Some(&self.parameter_sets.get(later.checked_sub(1)?)?.extradata)
    }

    /// The last place that is known at packet `at` or before it.
    pub fn place_before(&self, at: PacketIndex) -> Option<PacketPlace> {
        let later = self.places.partition_point(|place| place.packet <= at);
        self.places.get(later.checked_sub(1)?).copied()
    }

    /// Presentation time of a frame; that of the end of the last frame for the index one past it.
    pub fn pts(&self, frame: FrameIndex) -> i64 {
        match self.frames.get(frame.0 as usize) {
            Some(entry) => entry.pts,
            None => self.end(),
        }
    }

    /// Presentation time at which the last frame ends.
    pub fn end(&self) -> i64 {
        self.frames.last().map_or(0, |last| last.pts + self.last_duration)
    }
}
