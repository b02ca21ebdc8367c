//! One segment after another of a transport stream: access units in the order in which they are due, the tables before them,
//! and the program's clock. Pure.
//!
//! The clock runs by when units are due, not by bytes: a unit arrives between its own clock and the next one's, a good while
//! before it is decoded.

use std::ops::Range;

use super::packet::{AUDIO, Adaptation, Packets, Program, VIDEO, pes_header};

/// How long before it is due a unit has its turn, in ticks: 200 ms.
pub(super) const LEAD: i64 = 18_000;
/// The clock has to be told every 100 ms (ISO/IEC 13818-1, 2.7.2).
const LONGEST_PAUSE: i64 = 9_000;
/// Where units come more seldom, it is told by itself so often.
const STEP: i64 = 8_100;
/// Where they come often, it is told with one of them every 40 ms.
const SHORTEST_PAUSE: i64 = 3_600;

/// What is in a PES packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Whether it is a picture; else it is sound.
    pub(super) video: bool,
    /// When it is shown, in ticks.
    pub(super) pts: i64,
    /// When it is decoded.
    pub(super) dts: i64,
    /// Its turn among the units of all streams, which is the time it is decoded or near it.
    pub(super) turn: i64,
    /// Whether decoding can start here.
    pub(super) key: bool,
    /// Whether it is to be fetched alone, tables and all.
    pub(super) alone: bool,
    /// Itself, as the stream carries it.
    pub(super) bytes: Vec<u8>,
}

/// A segment as it is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    /// Where the pictures are that can be fetched alone, in order.
    pub(super) pictures: Vec<Range<u64>>,
}

/// Writes the segments of one stream.
#[derive(Clone, Debug)]
pub(super) struct Muxer {
    program: Program,
    packets: Packets,
    /// How long before its turn a unit is sent, in ticks.
    lead: i64,
    /// What the clock said last.
    clock: Option<i64>,
}

impl Muxer {
    /// A stream whose units are decoded at most `early` ticks before their turn.
    pub(super) fn new(program: Program, early: i64) -> Self {
        Self { program, packets: Packets::default(), lead: LEAD + early.max(0), clock: None }
    }

    /// The next segment. The turns of its `units` are not before those of the segment before.
    pub(super) fn segment(&mut self, mut units: Vec<Unit>) -> Written {
        // Stable: what is due together stays in its order.
        units.sort_by_key(|unit| unit.turn);
        let mut pictures = Vec::new();
        self.packets.tables(&self.program);
        for (place, unit) in units.iter().enumerate() {
            self.tell_time(unit, place == 0);
            let from = if place == 0 { 0 } else { self.packets.len() };
            if unit.alone && place > 0 {
                self.packets.tables(&self.program);
            }
            self.unit(unit, place == 0);
            if unit.alone {
                pictures.push(from..self.packets.len());
            }
        }
        Written { bytes: self.packets.take(), pictures }
    }

    /// Keeps the clock going until `unit` has its turn; if it is the `first` of a segment, the clock stands before it.
    fn tell_time(&mut self, unit: &Unit, first: bool) {
        let due = unit.turn - self.lead;
        while let Some(clock) = self.clock.filter(|clock| due - clock > LONGEST_PAUSE) {
            self.packets.clock(self.program.clock(), clock + STEP);
            self.clock = Some(clock + STEP);
        }
        if first && !self.has_clock(unit) && self.clock.is_none_or(|clock| clock < due) {
            self.packets.clock(self.program.clock(), due);
            self.clock = Some(due);
        }
    }

    fn has_clock(&self, unit: &Unit) -> bool {
        unit.video == self.program.video
    }

    fn unit(&mut self, unit: &Unit, first: bool) {
        let due = unit.turn - self.lead;
        // What is fetched alone has the time in it.
        let pause = if unit.alone { 1 } else { SHORTEST_PAUSE };
        let tells = self.has_clock(unit) && (first || self.clock.is_none_or(|clock| clock + pause <= due));
        if tells {
            self.clock = Some(due);
        }
        let adaptation = Adaptation { clock: tells.then_some(due), random_access: unit.key };
        let pid = if unit.video { VIDEO } else { AUDIO };
        let header = pes_header(pid, unit.pts, unit.dts, unit.bytes.len());
        self.packets.pes(pid, adaptation, &header, &unit.bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::clock::wrapped;
    use super::super::packet::{ADTS, H264, PACKET};
    use super::super::read::{Reader, Segment};
    use super::*;

    const BOTH: Program = Program { video: true, audio: Some(*b"deu") };

    fn picture(at: i64, key: bool, bytes: Vec<u8>) -> Unit {
        Unit { video: true, pts: at, dts: at, turn: at, key, alone: false, bytes }
    }

    fn sound(at: i64, bytes: Vec<u8>) -> Unit {
        Unit { video: false, pts: at, dts: at, turn: at, key: false, alone: false, bytes }
    }

    /// What was read of a unit, against what it was: stream, times, whether it is a key picture, bytes.
    fn same(found: &Segment, due: &[Unit]) {
        let read = found.units.iter().map(|it| (it.pid == VIDEO, it.pts, it.dts, it.random_access, &it.bytes));
        let mut due: Vec<&Unit> = due.iter().collect();
        due.sort_by_key(|unit| unit.turn);
        let due = due.iter().map(|it| (it.video, wrapped(it.pts), wrapped(it.dts), it.key, &it.bytes));
        assert_eq!(read.collect::<Vec<_>>(), due.collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn whatever_goes_in_is_read_again_segment_after_segment(
            start in prop_oneof![Just(900_000_i64), (1_i64 << 33) - 200_000..(1 << 33) + 200_000],
            early in 0_i64..50_000,
            segments in prop::collection::vec(
                prop::collection::vec((any::<bool>(), 0_i64..40_000, 0_i64..4_000, 0_usize..5_000), 1..20), 1..6),
        ) {
            let (mut muxer, mut reader) = (Muxer::new(BOTH, early), Reader::default());
            let mut turn = start;
            for segment in segments {
                let mut units = Vec::new();
                for (place, (video, step, reordered, size)) in segment.into_iter().enumerate() {
                    // Two of a stream are never due at the same time, and a segment opens with a picture.
                    turn += step + 1;
                    let bytes = (0..size + 1).map(|n| (n * 31 + place) as u8).collect();
                    units.push(match video || place == 0 {
                        true => {
                            let dts = turn - early / 2;
                            Unit { pts: dts + reordered, dts, turn, ..picture(0, place == 0, bytes) }
                        }
                        false => sound(turn, bytes),
                    });
                }
                let written = muxer.segment(units.clone());
                let found = reader.segment(&written.bytes);
                prop_assert!(found.is_ok(), "{found:?}");
                let found = found.unwrap_or_default();
                prop_assert_eq!(&found.streams, &[(VIDEO, H264), (AUDIO, ADTS)]);
                same(&found, &units);
            }
        }

        #[test]
        fn no_damage_goes_unnoticed(at in 0_usize..4_000, by in 1_u8..=255) {
            let units: Vec<Unit> = (0..8).flat_map(|n| {
                [picture(n * 3750 + 1, n == 0, vec![n as u8; 300]), sound(n * 3750 + 2, vec![n as u8; 30])]
            }).collect();
            let written = Muxer::new(BOTH, 0).segment(units.clone());
            let mut damaged = written.bytes.clone();
            let at = at % damaged.len();
            damaged[at] ^= by;
            let (found, due) = (Reader::default().segment(&damaged), Reader::default().segment(&written.bytes).unwrap());
            // What fills packets up, what is reserved, and how finely the clock is told nobody looks at.
            let place = at % PACKET;
            let is_filling = written.bytes[at] == 0xFF || place == 3 || place < 12;
            prop_assert!(found != Ok(due) || is_filling, "byte {place} of packet {}", at / PACKET);
        }
    }

    #[test]
    fn a_packet_that_is_missing_or_comes_twice_or_elsewhere_is_noticed() {
        let units = (0..4).map(|n| picture(n * 3750, n == 0, vec![n as u8; 600])).collect();
        let bytes = Muxer::new(BOTH, 0).segment(units).bytes;
        let packets: Vec<&[u8]> = bytes.chunks(PACKET).collect();
        let read = |packets: &[&[u8]]| Reader::default().segment(&packets.concat());
        let whole = read(&packets).unwrap();
        for place in 0..packets.len() {
            let mut fewer = packets.clone();
            fewer.remove(place);
            // Of the last one only the length tells.
            assert_ne!(read(&fewer).as_ref(), Ok(&whole), "{place} is missing");
            let mut more = packets.clone();
            more.insert(place, packets[place]);
            assert!(read(&more).is_err(), "{place} comes twice");
            let mut turned = packets.clone();
            turned.swap(place, (place + 1) % packets.len());
            assert!(read(&turned).is_err(), "{place} comes late");
        }
        assert!(Reader::default().segment(&bytes[..bytes.len() - 1]).is_err());
        assert!(Reader::default().segment(&[]).is_err());
    }

    #[test]
    fn a_segment_that_does_not_go_on_where_the_one_before_ended_is_noticed() {
        let mut muxer = Muxer::new(BOTH, 0);
        let segments: Vec<_> = (0..3).map(|n| muxer.segment(vec![picture(n * 3750, true, vec![1; 600])])).collect();
        let mut reader = Reader::default();
        assert!(reader.segment(&segments[0].bytes).is_ok());
        assert!(reader.clone().segment(&segments[1].bytes).is_ok());
        assert_eq!(reader.segment(&segments[2].bytes), Err("a counter that does not go on"));
    }

    #[test]
    fn the_clock_goes_on_where_pictures_are_seldom_and_is_not_told_with_each_where_they_are_not() {
        let slow = Muxer::new(BOTH, 0).segment(vec![picture(0, true, vec![1]), picture(900_000, false, vec![2])]);
        let clocks = |bytes: &[u8]| Reader::default().segment(bytes).unwrap().clocks;
        assert_eq!(clocks(&slow.bytes), 1 + 110 + 1);
        let fast = Muxer::new(BOTH, 0).segment((0..120).map(|n| picture(n * 750, n == 0, vec![n as u8])).collect());
        assert_eq!(clocks(&fast.bytes), 24);
    }

    #[test]
    fn a_picture_that_is_fetched_alone_has_all_that_it_takes() {
        let mut key = picture(9_500, true, vec![7; 1000]);
        key.alone = true;
        let mut muxer = Muxer::new(BOTH, 0);
        let written =
            muxer.segment(vec![sound(9_000, vec![1]), sound(9_400, vec![2]), key, picture(9_900, false, vec![3])]);
        let [range] = &written.pictures[..] else { panic!("{:?}", written.pictures) };
        let part = &written.bytes[range.start as usize..range.end as usize];
        let found = Reader::default().segment(part).unwrap();
        assert_eq!((found.units.len(), found.units[0].bytes.len(), found.clocks), (1, 1000, 1));
        let mut first = picture(12_000, true, vec![8; 10]);
        first.alone = true;
        let [range] = &muxer.segment(vec![first]).pictures[..] else { panic!("one picture") };
        assert_eq!(*range, 0..3 * 188);
    }

    #[test]
    fn sound_by_itself_has_the_clock() {
        let program = Program { video: false, audio: Some(*b"und") };
        let written = Muxer::new(program, 0).segment((0..47).map(|n| sound(n * 1920, vec![1; 300])).collect());
        let found = Reader::default().segment(&written.bytes).unwrap();
        assert_eq!((found.streams, found.clocks), (vec![(AUDIO, ADTS)], 24));
    }
}
