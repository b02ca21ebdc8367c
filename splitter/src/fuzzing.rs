//! What the fuzz targets call: everything that is concluded from the times in a container, up to the plan. It takes any
//! bytes at all, and panics where a step breaks a promise. Not part of the product.

use vtp_engine::bitstream::Access;
use vtp_engine::fuzzing::Reader;
use vtp_engine::index::{CutClass, FrameEntry, Index, PacketEntry};
use vtp_engine::plan::{PlanSettings, plan};
use vtp_engine::units::{PacketIndex, Ratio, TimeBase};

use crate::frames::{self, ScannedPacket};
use crate::heal::Healer;
use crate::mend::mend;
use crate::runs::Runs;
use crate::scan::{heal, placed};

/// More packets show nothing new.
const MOST_PACKETS: usize = 500;

/// A time base, and the packets of a video and of a sound.
pub fn times(data: &[u8]) {
    let mut data = Reader(data);
    let mut number = || u32::from(data.byte()) << 8 | u32::from(data.byte());
    let base = TimeBase(Ratio::new(number(), number()).unwrap_or(Ratio::ONE));
    let (mut healer, mut packets, mut is_fenced) = (Healer::new(2), Vec::new(), false);
    let mut runs = Runs::default();
    while !data.is_at_end() && packets.len() < MOST_PACKETS {
        let flags = data.byte();
        is_fenced |= flags & 0x80 != 0;
        let mut told = |bit: u8| (flags & bit != 0).then(|| data.number());
        let (pts, dts, duration) = (told(1), told(2), told(4).filter(|&ticks| ticks > 0));
        let stream = usize::from(flags & 8 != 0);
        let ([pts, dts], run) = placed(&mut healer, stream, base, [pts, dts], duration);
        if stream == 0 {
            run.into_iter().for_each(|run| runs.note(packets.len() as u64, run));
            let access = [Access::None, Access::None, Access::Recovery, Access::Reset][usize::from(flags >> 4 & 3)];
            let entry = PacketEntry { pts, dts, size: 1, crc: 0, cut: CutClass::None };
            packets.push(ScannedPacket {
                entry,
                access,
                shown: flags & 0x40 == 0,
                duration,
                place: None,
                told_dts: None,
            });
        }
    }
    if packets.is_empty() {
        return;
    }
    heal(&mut packets, &runs, &healer, base);
    let told: Vec<Option<i64>> = packets.iter().map(|packet| packet.entry.pts).collect();
    frames::classify_cuts(&mut packets);
    let nominal = base.ticks(1.0 / 25.0).max(1);
    let frames = match frames::list(&packets, is_fenced) {
        Ok(frames) => frames,
        Err(_) => {
            let times = mend(&told, nominal).0;
            times.into_iter().zip(0..).map(|(pts, at)| FrameEntry { packet: PacketIndex(at), pts }).collect()
        }
    };
    assert!(frames.windows(2).all(|pair| pair[0].pts < pair[1].pts), "{frames:?}");
    frames::frame_rate(&frames, base);
    let last_duration = frames::last_duration(&frames, &packets, nominal, frames::longest(base));
    let packets = packets.into_iter().map(|packet| packet.entry).collect();
    let index = Index::of(packets, frames, last_duration);
    assert!(index.end() > index.frames[0].pts);
    let settings = PlanSettings { segment_s: 4.0, chunk_s: None, copies_packets: false, context_frames: 1 };
    let plan = plan(&index, base, &settings);
    let mut next = 0;
    for chunk in &plan.chunks {
        assert!(chunk.frames.start == next && chunk.frames.end > next, "{plan:?}");
        next = chunk.frames.end;
    }
    assert_eq!(next, index.frame_count());
}

#[cfg(test)]
mod tests {
    use vtp_engine::fuzzing::each_damaged;

    use super::*;

    #[test]
    fn no_times_make_a_step_panic() {
        // 90 kHz; a key frame, its followers with B-frames, a sound, a jump.
        let head = [0, 1, 0x5F, 0x90];
        let packet = |flags: u8, times: [i32; 3]| {
            let times = times.iter().flat_map(|time| [&[2][..], &time.to_le_bytes()].concat());
            [vec![flags], times.collect()].concat()
        };
        let video = |base: i32| {
            let ahead = [(0, 0, 0x37), (3, 1, 7), (1, 2, 7), (2, 3, 7), (4, 4, 0x37)];
            let packets = ahead
                .map(|(shown, decoded, flags)| packet(flags, [base + 3600 * shown, base + 3600 * (decoded - 1), 3600]));
            packets.concat()
        };
        let sound = packet(0x0F, [0, 0, 1920]);
        let seeds = [
            [&head[..], &video(0), &sound, &video(18_000)].concat(),
            [&head[..], &video(0), &sound, &video(18_000_000), &video(0)].concat(),
            [&head[..], &[0x36, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0], &[0x06, 0, 5, 0, 1]].concat(),
        ];
        each_damaged(&seeds, 20_000, times);
    }
}
