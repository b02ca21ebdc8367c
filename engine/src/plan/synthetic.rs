//! Indices of sources that do not exist: GOP structures with leading pictures, B-frames, field pairs, gaps.

use crate::index::{CutClass, FrameEntry, Index, PacketEntry};
use crate::units::PacketIndex;

/// One GOP in presentation order: leading pictures, the cut picture, then groups of B-frames with their anchor.
#[derive(Clone, Debug)]
pub(super) struct Gop {
    /// Whether decoding may start at the first picture.
    pub(super) cut: CutClass,
    /// Pictures decoded after the first and shown before it.
    pub(super) leading: u32,
    /// Pictures shown after the first.
    pub(super) trailing: u32,
    /// B-frames before each anchor.
    pub(super) b_frames: u32,
    /// Whether every picture is two packets, the second of which yields no frame.
    pub(super) fields: bool,
}

impl Gop {
    pub(super) fn closed(frames: u32) -> Self {
        Self { cut: CutClass::Closed, leading: 0, trailing: frames.saturating_sub(1), b_frames: 0, fields: false }
    }

    pub(super) fn open(leading: u32, frames: u32) -> Self {
        let trailing = frames.saturating_sub(leading + 1);
        Self { cut: CutClass::Open, leading, trailing, b_frames: leading, fields: false }
    }

    /// The GOP's frames in decode order, by their place in presentation order from `first` on.
    fn decode_order(&self, first: u32) -> Vec<u32> {
        let key = first + self.leading;
        let mut order = vec![key];
        order.extend(first..key);
        let mut shown = key + 1;
        let end = shown + self.trailing;
        while shown < end {
            let anchor = (shown + self.b_frames).min(end - 1);
            order.push(anchor);
            order.extend(shown..anchor);
            shown = anchor + 1;
        }
        order
    }
}

/// The index of these GOPs; each frame lasts as many ticks as `ticks` says, in turns.
pub(super) fn index(gops: &[Gop], ticks: &[i64]) -> Index {
    let mut packets = Vec::new();
    let mut packet_of = Vec::new();
    for gop in gops {
        let order = gop.decode_order(packet_of.len() as u32);
        packet_of.resize(packet_of.len() + order.len(), 0);
        for (at, frame) in order.into_iter().enumerate() {
            packet_of[frame as usize] = packets.len() as u32;
            packets.push(if at == 0 { gop.cut } else { CutClass::None });
            packets.extend(gop.fields.then_some(CutClass::None));
        }
    }
    let mut pts = 0;
    let mut frames = Vec::new();
    for (at, packet) in packet_of.into_iter().enumerate() {
        frames.push(FrameEntry { packet: PacketIndex(packet), pts });
        pts += ticks[at % ticks.len()];
    }
    let entry = |(at, cut)| PacketEntry { pts: None, dts: Some(at as i64), size: 1000, crc: at as u32, cut };
    let last_duration = ticks[(frames.len() - 1) % ticks.len()];
    Index::of(packets.into_iter().enumerate().map(entry).collect(), frames, last_duration)
}

/// An index of closed GOPs at 25 frames a second in a time base of 1/25.
pub(super) fn steady(gop_frames: u32, frames: u32) -> Index {
    let whole = std::iter::repeat_n(gop_frames, (frames / gop_frames) as usize);
    let rest = Some(frames % gop_frames).filter(|rest| *rest > 0);
    let gops: Vec<Gop> = whole.chain(rest).map(Gop::closed).collect();
    index(&gops, &[1])
}
