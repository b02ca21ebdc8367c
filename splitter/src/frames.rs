//! From packets to frames: which pictures a source shows, in presentation order, as far as its packets tell. Pure.

use vtp_engine::bitstream::Access;
use vtp_engine::index::{CutClass, FrameEntry, PacketEntry, PacketPlace};
use vtp_engine::units::{PacketIndex, Ratio, TimeBase};

/// One video packet as the scan sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScannedPacket {
    pub(crate) entry: PacketEntry,
    pub(crate) access: Access,
    /// Whether it shows a picture: not cut away by an edit list, not a hidden frame.
    pub(crate) shown: bool,
    pub(crate) duration: Option<i64>,
    /// Where the container has it, in bytes.
    pub(crate) place: Option<u64>,
    /// Its decode time as the container tells it.
    pub(crate) told_dts: Option<i64>,
}

/// The frames in presentation order, or why the packets do not tell. `is_fenced` says that nothing before a reset is shown
/// after it or what follows it.
pub(crate) fn list(packets: &[ScannedPacket], is_fenced: bool) -> Result<Vec<FrameEntry>, String> {
    if is_fenced && overlaps(packets) {
        return Err("parts that overlap in time".into());
    }
    let mut frames = Vec::with_capacity(packets.len());
    for (packet, index) in packets.iter().zip(0..) {
        if packet.shown {
            let pts = packet.entry.pts.ok_or("packets without presentation times")?;
            frames.push(FrameEntry { packet: PacketIndex(index), pts });
        }
    }
    frames.sort_by_key(|frame| frame.pts);
    if frames.windows(2).any(|pair| pair[0].pts == pair[1].pts) {
        return Err("two packets with one presentation time".into());
    }
    match packets.first() {
        Some(first) if first.access == Access::None => Err("it does not begin with a key frame".into()),
        _ if frames.is_empty() => Err("no packet shows a picture".into()),
        _ => Ok(frames),
    }
}

/// Whether a picture is told to be shown no later than one before the last reset, as where recordings were joined that
/// share some pictures. A decoder shows them one after the other all the same.
fn overlaps(packets: &[ScannedPacket]) -> bool {
    let (mut latest, mut fence) = (i64::MIN, i64::MIN);
    packets.iter().filter(|packet| packet.shown).any(|packet| {
        if packet.access == Access::Reset {
            fence = latest;
        }
        let pts = packet.entry.pts;
        latest = latest.max(pts.unwrap_or(latest));
        pts.is_some_and(|pts| pts <= fence)
    })
}

/// Whether in video of this codec a reset also ends what is shown: all before it comes out first (H.264 and H.265).
pub(crate) fn is_fenced(codec: &str) -> bool {
    ["h264", "hevc"].contains(&codec)
}

/// Where the packets lie at which decoding may start, if their times don't lead to them: they are not the container's,
/// or some have none.
pub(crate) fn places(packets: &[ScannedPacket], are_healed: bool) -> Vec<PacketPlace> {
    let cuts = || packets.iter().zip(0..).filter(|(packet, _)| packet.entry.cut != CutClass::None);
    if !are_healed && cuts().all(|(packet, _)| packet.entry.dts.is_some()) {
        return Vec::new();
    }
    let place = |(packet, at): (&ScannedPacket, u32)| {
        Some(PacketPlace { packet: PacketIndex(at), byte: packet.place?, dts: packet.told_dts })
    };
    cuts().filter_map(place).collect()
}

/// Sets the cut class of every packet from its access and from what is shown before it though decoded after it.
pub(crate) fn classify_cuts(packets: &mut [ScannedPacket]) {
    // Walking backwards: the earliest presentation time among the packets from here to the next place to start.
    let mut earliest = i64::MAX;
    for packet in packets.iter_mut().rev() {
        let pts = packet.entry.pts.unwrap_or(i64::MIN);
        packet.entry.cut = match packet.access {
            Access::None => CutClass::None,
            Access::Reset if packet.entry.pts.is_some() && earliest > pts => CutClass::Closed,
            Access::Reset | Access::Recovery => CutClass::Open,
        };
        earliest = if packet.access == Access::None { earliest.min(pts) } else { i64::MAX };
    }
}

/// The longest time that a frame can be shown, in ticks: 32 bits in the boxes of the output.
pub(crate) fn longest(time_base: TimeBase) -> i64 {
    i64::from(u32::MAX / time_base.timescale().1).max(1)
}

/// How long the last frame is shown, in ticks: as its packet says, else as long as the median frame.
pub(crate) fn last_duration(frames: &[FrameEntry], packets: &[ScannedPacket], nominal: i64, longest: i64) -> i64 {
    let told = frames.last().and_then(|last| packets.get(last.packet.0 as usize)).and_then(|packet| packet.duration);
    told.or_else(|| median_gap(frames)).unwrap_or(nominal).clamp(1, longest)
}

/// The median distance of neighbouring frames in ticks.
pub(crate) fn median_gap(frames: &[FrameEntry]) -> Option<i64> {
    let mut gaps: Vec<i64> = frames.windows(2).map(|pair| pair[1].pts - pair[0].pts).collect();
    let middle = gaps.len() / 2;
    (!gaps.is_empty()).then(|| *gaps.select_nth_unstable(middle).1)
}

/// Frames a second as the timestamps show them, named as a standard rate where they are within 0.2 % of one.
pub(crate) fn frame_rate(frames: &[FrameEntry], time_base: TimeBase) -> Option<Ratio> {
    const STANDARD: [(u32, u32); 13] = [
        (24_000, 1001),
        (24, 1),
        (25, 1),
        (30_000, 1001),
        (30, 1),
        (48, 1),
        (50, 1),
        (60_000, 1001),
        (60, 1),
        (100, 1),
        (120_000, 1001),
        (120, 1),
        (15, 1),
    ];
    let (first, last) = (frames.first()?, frames.last()?);
    let seconds = time_base.seconds(last.pts - first.pts);
    if seconds <= 0.0 {
        return None;
    }
    let rate = (frames.len() - 1) as f64 / seconds;
    let near = STANDARD.iter().filter_map(|&(num, den)| Ratio::new(num, den));
    let best = near.min_by(|a, b| (a.as_f64() - rate).abs().total_cmp(&(b.as_f64() - rate).abs()))?;
    if (best.as_f64() / rate - 1.0).abs() < 0.002 {
        return Some(best);
    }
    Ratio::new((rate * 1000.0).round().clamp(1.0, 1_000_000.0) as u32, 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(pts: Option<i64>, access: Access) -> ScannedPacket {
        let entry = PacketEntry { pts, dts: None, size: 1, crc: 0, cut: CutClass::None };
        ScannedPacket { entry, access, shown: true, duration: None, place: None, told_dts: pts }
    }

    fn cuts(packets: &[(i64, Access)]) -> Vec<CutClass> {
        let mut packets: Vec<_> = packets.iter().map(|&(pts, access)| packet(Some(pts), access)).collect();
        classify_cuts(&mut packets);
        packets.iter().map(|p| p.entry.cut).collect()
    }

    #[test]
    fn frames_come_in_presentation_order() {
        let packets: Vec<_> =
            [(0, Access::Reset), (3, Access::None), (1, Access::None)].map(|(t, a)| packet(Some(t), a)).into();
        let frames = list(&packets, true).unwrap();
        assert_eq!(frames.iter().map(|f| f.packet.0).collect::<Vec<_>>(), [0, 2, 1]);
    }

    #[test]
    fn parts_that_overlap_in_time_are_doubted_and_leading_pictures_are_not() {
        use Access::{None as No, Reset};
        let doubt = |packets: &[(i64, Access)]| {
            let packets: Vec<_> = packets.iter().map(|&(pts, access)| packet(Some(pts), access)).collect();
            list(&packets, true).err()
        };
        let overlap = Some("parts that overlap in time".to_owned());
        assert_eq!(doubt(&[(0, Reset), (8, No), (4, No), (6, Reset), (10, No)]), overlap);
        assert_eq!(doubt(&[(0, Reset), (8, No), (12, Reset), (7, No)]), overlap, "what follows the reset");
        assert_eq!(doubt(&[(0, Reset), (8, No), (4, No), (12, Reset), (10, No), (16, Reset)]), None);
        let joined = [(0, Reset), (8, No), (6, Reset)].map(|(pts, access)| packet(Some(pts), access));
        assert!(list(&joined, false).is_ok());
    }

    #[test]
    fn what_the_packets_do_not_tell_is_said() {
        assert!(list(&[packet(None, Access::Reset)], true).unwrap_err().contains("without presentation times"));
        assert!(list(&[packet(Some(0), Access::None)], true).unwrap_err().contains("key frame"));
        let twice = [packet(Some(0), Access::Reset), packet(Some(0), Access::None)];
        assert!(list(&twice, true).unwrap_err().contains("one presentation time"));
    }

    #[test]
    fn a_reset_with_leading_pictures_is_no_closed_cut() {
        use Access::{None as No, Reset};
        assert_eq!(cuts(&[(0, Reset), (1, No)]), [CutClass::Closed, CutClass::None]);
        assert_eq!(cuts(&[(0, Reset), (4, Reset), (3, No)]), [CutClass::Closed, CutClass::Open, CutClass::None]);
        assert_eq!(cuts(&[(0, Reset), (4, Access::Recovery)]), [CutClass::Closed, CutClass::Open]);
    }

    #[test]
    fn the_last_frame_is_shown_as_long_as_its_packet_says_and_an_output_can_hold() {
        let frames = [FrameEntry { packet: PacketIndex(0), pts: 7 }];
        let last = |duration, num| {
            let packets = [ScannedPacket { duration, ..packet(Some(7), Access::Reset) }];
            last_duration(&frames, &packets, 40, longest(TimeBase(Ratio::new(num, 90_001).unwrap())))
        };
        assert_eq!((last(Some(3), 1), last(None, 1), last(Some(0), 1)), (3, 40, 1));
        assert_eq!((last(Some(i64::MAX), 1), last(Some(i64::MAX), 2)), (0xFFFF_FFFF, 0x7FFF_FFFF));
    }

    #[test]
    fn a_rate_near_a_standard_one_is_that_one() {
        let ms = TimeBase::per_second(1000).unwrap();
        let frames = |step: f64| -> Vec<_> {
            (0..100).map(|i| FrameEntry { packet: PacketIndex(i), pts: (f64::from(i) * step).round() as i64 }).collect()
        };
        assert_eq!(frame_rate(&frames(41.7083), ms), Ratio::new(24_000, 1001));
        assert_eq!(frame_rate(&frames(40.0), ms), Ratio::new(25, 1));
        assert_eq!(frame_rate(&frames(80.0), ms), Ratio::new(12_500, 1000));
        assert_eq!(frame_rate(&frames(0.0)[..1], ms), None);
    }
}
