//! Where decoding starts for a frame, and which packets a run of frames needs.
//!
//! Decoding from a cut packet yields right pictures for all frames shown at or after that packet's own; what
//! is shown before but decoded after it (its leading pictures) needs an earlier start. A packet that yields no
//! frame is no place to start at, whatever its class: nothing says from which frame on the pictures are right.

use std::ops::Range;

use crate::index::{CutClass, Index};

/// A packet where decoding may start, and the frame from which on it is right.
#[derive(Clone, Copy)]
struct Cut {
    packet: u32,
    frame: u32,
}

/// What the index says about decoding, ready for questions.
pub(super) struct Decoding {
    /// The packet of each frame, inside the list of packets whatever the index says.
    packet_of: Vec<u32>,
    /// Places to start at, in decode order.
    cuts: Vec<Cut>,
    /// The frames of `cuts`, in presentation order.
    cut_frames: Vec<u32>,
    /// Whether a copy may be cut before each frame.
    closed: Vec<bool>,
    /// The lowest packet of each frame and those after it.
    lowest_from: Vec<u32>,
    /// Number of frames that come from packets before each packet; one entry more than packets.
    frames_before: Vec<u32>,
}

impl Decoding {
    pub(super) fn new(index: &Index) -> Self {
        let last = super::index(index.packets.len()).saturating_sub(1);
        let packet_of: Vec<u32> = index.frames.iter().map(|frame| frame.packet.0.min(last)).collect();
        let lowest_from = lowest_from(&packet_of);
        let cuts = cuts(index, &packet_of);
        let mut cut_frames: Vec<u32> = cuts.iter().map(|cut| cut.frame).collect();
        cut_frames.sort_unstable();
        let closed = closed(index, &packet_of, &lowest_from);
        let frames_before = frames_before(index.packets.len(), &packet_of);
        Self { packet_of, cuts, cut_frames, closed, lowest_from, frames_before }
    }

    /// The packet where decoding starts so that this frame and all later ones are right.
    pub(super) fn start(&self, frame: u32) -> u32 {
        let Some(lowest) = self.lowest_from.get(frame as usize) else { return 0 };
        let within = self.cuts.partition_point(|cut| cut.packet <= *lowest);
        self.cuts[..within].iter().rev().find(|cut| cut.frame <= frame).map_or(0, |cut| cut.packet)
    }

    /// One past the last packet that a frame of this run comes from.
    pub(super) fn end(&self, frames: Range<u32>) -> u32 {
        let run = self.packet_of.get(frames.start as usize..frames.end as usize).unwrap_or_default();
        run.iter().max().map_or(0, |last| last.saturating_add(1))
    }

    /// The packets that decoding these frames and their context needs.
    pub(super) fn packets(&self, frames: &Range<u32>, context: u32) -> Range<u32> {
        let wanted = self.with_context(frames, context);
        let start = self.start(wanted.start);
        start..self.through_frameless(self.end(wanted)).max(start)
    }

    /// The frames with `context` more on both sides, as far as there are any.
    pub(super) fn with_context(&self, frames: &Range<u32>, context: u32) -> Range<u32> {
        let all = super::index(self.packet_of.len());
        frames.start.saturating_sub(context)..frames.end.saturating_add(context).min(all)
    }

    /// How many frames come from these packets.
    pub(super) fn frames_in(&self, packets: &Range<u32>) -> u32 {
        self.frames_before_packet(packets.end).saturating_sub(self.frames_before_packet(packets.start))
    }

    /// Whether decoding may start at this frame's own packet, without pre-roll.
    pub(super) fn is_free(&self, frame: u32) -> bool {
        self.cut_frames.binary_search(&frame).is_ok()
            && self.packet_of.get(frame as usize).is_some_and(|packet| self.start(frame) == *packet)
    }

    /// Whether packets can be parted before this frame: nothing before needs what comes after, nor the reverse.
    pub(super) fn is_closed(&self, frame: u32) -> bool {
        self.closed.get(frame as usize).copied().unwrap_or(false)
    }

    /// The next frame after this one where decoding may start, if there is one.
    pub(super) fn next_cut(&self, frame: u32) -> Option<u32> {
        let after = self.cut_frames.partition_point(|cut| *cut <= frame);
        self.cut_frames.get(after).copied()
    }

    /// The last frame up to this one where decoding may start, or the first frame.
    pub(super) fn last_cut(&self, frame: u32) -> u32 {
        let within = self.cut_frames.partition_point(|cut| *cut <= frame);
        within.checked_sub(1).map_or(0, |at| self.cut_frames[at])
    }

    /// Number of places to start at.
    pub(super) fn cut_count(&self) -> usize {
        self.cuts.len()
    }

    fn frames_before_packet(&self, packet: u32) -> u32 {
        self.frames_before.get(packet as usize).or(self.frames_before.last()).copied().unwrap_or(0)
    }

    /// Moves the end of a range of packets past those that yield no frame.
    fn through_frameless(&self, end: u32) -> u32 {
        let before = self.frames_before_packet(end);
        let next = self.frames_before.partition_point(|count| *count <= before);
        super::index(next.saturating_sub(1)).max(end)
    }
}

/// Where a packet yields several frames, only the last of them is surely not a leading picture.
fn cuts(index: &Index, packet_of: &[u32]) -> Vec<Cut> {
    let mut last_frame = vec![None; index.packets.len()];
    for (frame, packet) in packet_of.iter().enumerate() {
        if let Some(slot) = last_frame.get_mut(*packet as usize) {
            *slot = Some(super::index(frame));
        }
    }
    let packets = index.packets.iter().zip(last_frame).enumerate();
    packets
        .filter(|(_, (packet, _))| packet.cut != CutClass::None)
        .filter_map(|(at, (_, frame))| Some(Cut { packet: super::index(at), frame: frame? }))
        .collect()
}

fn lowest_from(packet_of: &[u32]) -> Vec<u32> {
    let mut lowest = u32::MAX;
    let mut from: Vec<u32> = packet_of
        .iter()
        .rev()
        .map(|packet| {
            lowest = lowest.min(*packet);
            lowest
        })
        .collect();
    from.reverse();
    from
}

fn closed(index: &Index, packet_of: &[u32], lowest_from: &[u32]) -> Vec<bool> {
    let mut highest = None;
    let frames = packet_of.iter().zip(lowest_from);
    frames
        .map(|(packet, lowest)| {
            let class = index.packets.get(*packet as usize).map(|entry| entry.cut);
            let parted = packet == lowest && highest.is_none_or(|before| before < *packet);
            highest = highest.max(Some(*packet));
            parted && class == Some(CutClass::Closed)
        })
        .collect()
}

fn frames_before(packets: usize, packet_of: &[u32]) -> Vec<u32> {
    let mut count = vec![0u32; packets + 1];
    for packet in packet_of {
        if let Some(slot) = count.get_mut(*packet as usize + 1) {
            *slot += 1;
        }
    }
    let mut sum = 0;
    for slot in &mut count {
        sum += *slot;
        *slot = sum;
    }
    count
}
