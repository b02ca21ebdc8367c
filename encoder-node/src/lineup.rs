//! Puts what the decoder gives into the order in which it is shown, and knows what is missing. Pure.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::Range;

use vtp_engine::units::PacketIndex;

/// How many pictures are held while an earlier one is awaited: no codec here reorders by more (ITU-T H.264, A.3.1).
const PATIENCE: usize = 16;

/// How many packets of a mismatch are named.
const NAMED: usize = 8;

/// The expected frames of one chunk with their neighbours, and what has come of them.
pub(crate) struct Lineup<T> {
    /// The packet of each place, in presentation order.
    packets: Vec<PacketIndex>,
    /// The places that each packet still has to fill.
    open: HashMap<PacketIndex, VecDeque<usize>>,
    /// The places that must be filled; the others are neighbours, welcome but not needed.
    own: Range<usize>,
    /// The packets of which no picture is expected, neither here nor elsewhere.
    hidden: HashSet<PacketIndex>,
    next: usize,
    held: BTreeMap<usize, T>,
    missing: Vec<PacketIndex>,
    extra: Vec<PacketIndex>,
    ended: bool,
}

/// In what the decoder has differed from the index so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// How many of the chunk's own frames are known to be missing.
    pub(crate) missing_count: u32,
    /// The packets of the first few.
    pub(crate) missing: Vec<PacketIndex>,
    /// How many pictures have come out that had no place left.
    pub(crate) extra_count: u32,
    /// The packets of the first few.
    pub(crate) extra: Vec<PacketIndex>,
}

impl<T> Lineup<T> {
    /// A line-up of `packets`, the origins of frames in presentation order, of which those at `own` must come.
    pub(crate) fn new(packets: Vec<PacketIndex>, own: Range<usize>) -> Self {
        let mut open: HashMap<_, VecDeque<_>> = HashMap::new();
        for (place, packet) in packets.iter().enumerate() {
            open.entry(*packet).or_default().push_back(place);
        }
        Self {
            packets,
            open,
            own,
            hidden: HashSet::new(),
            next: 0,
            held: BTreeMap::new(),
            missing: Vec::new(),
            extra: Vec::new(),
            ended: false,
        }
    }

    /// The same, where no picture is expected of the packets `hidden`.
    pub(crate) fn without(self, hidden: &[PacketIndex]) -> Self {
        Self { hidden: hidden.iter().copied().collect(), ..self }
    }

    /// Whether a picture that comes from `packet` has a place.
    pub(crate) fn awaits(&self, packet: PacketIndex) -> bool {
        self.open.contains_key(&packet)
    }

    /// Takes a picture that came from `packet`. One whose packet is not in the line-up belongs to another chunk, unless it
    /// is to show none.
    pub(crate) fn take(&mut self, packet: PacketIndex, picture: T) {
        let Some(places) = self.open.get_mut(&packet) else {
            if self.hidden.contains(&packet) {
                self.extra.push(packet);
            }
            return;
        };
        match places.pop_front() {
            Some(place) if place >= self.next => {
                self.held.insert(place, picture);
            }
            Some(place) if !self.own.contains(&place) => {}
            _ => self.extra.push(packet),
        }
    }

    /// The next picture in order and its place, once it is certain that none comes before it. When there are no more, the
    /// places that are left are missing.
    pub(crate) fn pop(&mut self) -> Option<(usize, T)> {
        let Some((&place, _)) = self.held.first_key_value() else {
            if self.ended {
                self.skip_to(self.packets.len());
            }
            return None;
        };
        if place > self.next && !self.ended && self.held.len() <= PATIENCE {
            return None;
        }
        self.skip_to(place);
        self.next = place + 1;
        self.held.remove(&place).map(|picture| (place, picture))
    }

    /// No more pictures come: what is held can be popped.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// What is known to differ so far; all of it once the line-up has ended and there is nothing more to pop.
    pub(crate) fn mismatch(&self) -> Option<Mismatch> {
        if self.missing.is_empty() && self.extra.is_empty() {
            return None;
        }
        let first = |packets: &[PacketIndex]| packets.iter().take(NAMED).copied().collect();
        let count = |packets: &[PacketIndex]| u32::try_from(packets.len()).unwrap_or(u32::MAX);
        Some(Mismatch {
            missing_count: count(&self.missing),
            missing: first(&self.missing),
            extra_count: count(&self.extra),
            extra: first(&self.extra),
        })
    }

    fn skip_to(&mut self, place: usize) {
        let needed = (self.next..place).filter(|place| self.own.contains(place));
        self.missing.extend(needed.map(|place| self.packets[place]));
        self.next = self.next.max(place);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packets(numbers: impl IntoIterator<Item = u32>) -> Vec<PacketIndex> {
        numbers.into_iter().map(PacketIndex).collect()
    }

    /// Feeds the packets as they come and collects (place, packet).
    fn feed(lineup: &mut Lineup<u32>, order: &[u32]) -> Vec<(usize, u32)> {
        let mut out = Vec::new();
        for &packet in order {
            lineup.take(PacketIndex(packet), packet);
            out.extend(std::iter::from_fn(|| lineup.pop()));
        }
        lineup.end();
        out.extend(std::iter::from_fn(|| lineup.pop()));
        out
    }

    #[test]
    fn pictures_of_other_chunks_are_left_out() {
        let mut lineup = Lineup::new(packets([4, 6, 5]), 0..3);
        assert_eq!(feed(&mut lineup, &[2, 3, 4, 6, 5, 7]), [(0, 4), (1, 6), (2, 5)]);
        assert_eq!(lineup.mismatch(), None);
    }

    #[test]
    fn a_packet_may_give_as_many_frames_as_the_index_says_and_no_more() {
        let mut lineup = Lineup::new(packets([1, 2, 2, 3]), 0..4);
        assert_eq!(feed(&mut lineup, &[1, 2, 2, 3, 2]), [(0, 1), (1, 2), (2, 2), (3, 3)]);
        let mismatch = lineup.mismatch().unwrap();
        assert_eq!((mismatch.missing_count, mismatch.extra), (0, packets([2])));
    }

    #[test]
    fn a_picture_of_a_packet_that_shows_none_is_one_too_many() {
        let mut lineup = Lineup::new(packets([1, 2]), 0..2).without(&packets([3]));
        assert_eq!(feed(&mut lineup, &[0, 1, 3, 2, 4]), [(0, 1), (1, 2)]);
        let mismatch = lineup.mismatch().unwrap();
        assert_eq!((mismatch.missing_count, mismatch.extra), (0, packets([3])));
    }

    #[test]
    fn a_missing_neighbour_is_no_mismatch() {
        let mut lineup = Lineup::new(packets([1, 2, 3, 4]), 1..3);
        assert_eq!(feed(&mut lineup, &[2, 3]), [(1, 2), (2, 3)]);
        assert_eq!(lineup.mismatch(), None);
    }

    #[test]
    fn a_missing_frame_is_reported_before_the_end_of_a_long_chunk() {
        let mut lineup = Lineup::new(packets(0..100), 0..100);
        for packet in (0..40).filter(|&packet| packet != 3) {
            lineup.take(PacketIndex(packet), packet);
            while lineup.pop().is_some() {}
        }
        let mismatch = lineup.mismatch().unwrap();
        assert_eq!((mismatch.missing_count, mismatch.missing), (1, packets([3])));
    }

    #[test]
    fn an_empty_decoder_misses_everything_and_names_the_first() {
        let mut lineup = Lineup::<u32>::new(packets(0..100), 10..100);
        lineup.end();
        assert_eq!(lineup.mismatch(), None);
        assert_eq!(lineup.pop(), None);
        let mismatch = lineup.mismatch().unwrap();
        assert_eq!((mismatch.missing_count, mismatch.missing), (90, packets(10..18)));
    }

    proptest! {
        #[test]
        fn any_reordering_within_patience_is_undone(swaps in proptest::collection::vec((0_usize..60, 0_usize..8), 0..30)) {
            let mut order: Vec<u32> = (0..68).collect();
            for (at, by) in swaps {
                order[at..at + by].reverse();
            }
            let displaced = order.iter().enumerate().any(|(at, &packet)| at.abs_diff(packet as usize) > PATIENCE);
            prop_assume!(!displaced);
            let mut lineup = Lineup::new(packets(0..68), 0..68);
            let out: Vec<_> = feed(&mut lineup, &order).into_iter().map(|(_, packet)| packet).collect();
            prop_assert_eq!(out, (0..68).collect::<Vec<_>>());
            prop_assert_eq!(lineup.mismatch(), None);
        }

        #[test]
        fn what_is_missing_and_what_comes_out_make_up_the_chunk(gone in proptest::collection::btree_set(0_u32..50, 0..20)) {
            let order: Vec<u32> = (0..50).filter(|packet| !gone.contains(packet)).collect();
            let mut lineup = Lineup::new(packets(0..50), 0..50);
            let out = feed(&mut lineup, &order);
            prop_assert_eq!(out.len() + gone.len(), 50);
            prop_assert_eq!(lineup.mismatch().map_or(0, |m| m.missing_count) as usize, gone.len());
        }
    }
}
