//! Takes timestamp jumps out of a source's timeline, audio and video together. Pure; it reads no packet itself.
//!
//! A forward gap of up to [`LONGEST_GAP_US`] belongs to the source and stays, as does a longer one that the packet
//! before it is told to last. A jump backwards, or one further ahead than that, begins a new *epoch*: a shift that
//! makes the stream which met the jump first go on where it was. The other streams enter the same epoch when their
//! own timestamps jump, so that what belongs together stays together.

/// Forward gaps up to this long are kept, in microseconds.
pub const LONGEST_GAP_US: i64 = 60_000_000;
/// What is told to last longer, in microseconds, isn't believed.
const LONGEST_TOLD_US: i64 = 3_600_000_000;
/// Timestamps may go back by this much without being taken for a jump, in microseconds: muxers jitter.
const BACKWARD_TOLERANCE_US: i64 = 500_000;
/// A stream that jumps to within this distance of where another one already is only had a gap, in microseconds.
const COMPANY_US: i64 = 10_000_000;
/// So many packets of a stream may come without decode times before it is taken for one that has none: no codec here
/// reorders by more (ITU-T H.264, A.3.1).
const LONGEST_DELAY: u32 = 16;

/// How long after it is decoded a picture that lasts so long may be shown, in microseconds.
pub(crate) fn longest_delay_us(duration_us: i64) -> i64 {
    LONGEST_GAP_US.max(duration_us.clamp(0, LONGEST_TOLD_US) * i64::from(LONGEST_DELAY))
}

/// A jump that was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// Where in the healed timeline, in microseconds.
    pub at_us: i64,
    /// Shift of everything after it against the container's timestamps, in microseconds.
    pub shift_us: i64,
}

/// Healed timeline of several streams.
#[derive(Debug)]
pub struct Healer {
    shifts: Vec<i64>,
    streams: Vec<Position>,
    jumps: Vec<Jump>,
    began: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    epoch: usize,
    /// Healed time of the last packet and its duration.
    last: Option<(i64, i64)>,
    /// Whether that is the time at which a first packet is shown: those after it may be decoded at earlier ones.
    is_shown: bool,
    /// How many packets came without decode times; `None` once one has come with it.
    untimed: Option<u32>,
    /// Where the latest of the pictures ends that did not move `last`, healed.
    shown_until: Option<i64>,
}

impl Position {
    const NEW: Self = Self { epoch: 0, last: None, is_shown: false, untimed: Some(0), shown_until: None };

    /// How far it has come that is at `at`.
    fn reached(&self, at: i64) -> i64 {
        self.shown_until.map_or(at, |until| until.max(at))
    }
}

impl Healer {
    /// A healer for `streams` streams, numbered from 0.
    pub fn new(streams: usize) -> Self {
        Self { shifts: vec![0], streams: vec![Position::NEW; streams], jumps: Vec::new(), began: None }
    }

    /// Takes the next packet of `stream`, which is decoded at `time_us` and lasts `duration_us`, and returns the
    /// shift in microseconds that its timestamps need.
    pub fn place(&mut self, stream: usize, time_us: i64, duration_us: i64) -> i64 {
        let duration_us = duration_us.clamp(0, LONGEST_TOLD_US);
        let position = self.streams[stream];
        let epoch = match position.last {
            // A stream that begins late begins in the epoch that the others are in.
            None => self.shifts.len() - 1,
            Some((at, length)) => self.epoch_for(stream, position, time_us, at, length),
        };
        let shift = self.shifts[epoch];
        self.began = Some(self.began.unwrap_or(i64::MAX).min(time_us + shift));
        let last = Some((time_us + shift, duration_us));
        self.streams[stream] = Position { epoch, last, is_shown: false, untimed: None, ..position };
        shift
    }

    /// The same for a packet of pictures of which only the time is told at which it is shown. Containers without decode
    /// times (Matroska) get them only once as many packets have come as pictures are held back. Until then, and where one
    /// is missing later, the times at which pictures are shown go up and down, which is no jump.
    pub fn place_shown(&mut self, stream: usize, time_us: i64, duration_us: i64) -> i64 {
        let position = self.streams[stream];
        let untimed = position.untimed.map(|count| count.saturating_add(1));
        let has_none = untimed.is_some_and(|count| count > LONGEST_DELAY);
        let shift = match position.last {
            Some((at, _)) if !has_none => {
                let shift = self.shifts[position.epoch];
                let time = time_us + shift;
                if time <= position.reached(at) + longest_delay_us(duration_us) {
                    let end = time + duration_us.clamp(0, LONGEST_TOLD_US);
                    self.streams[stream].shown_until = position.shown_until.max(Some(end));
                }
                shift
            }
            last => {
                let shift = self.place(stream, time_us, duration_us);
                self.streams[stream].is_shown = last.is_none();
                shift
            }
        };
        self.streams[stream].untimed = untimed;
        shift
    }

    /// The shift that timestamps of `stream` need where it is now, in microseconds.
    pub fn shift_us(&self, stream: usize) -> i64 {
        self.shifts[self.streams[stream].epoch]
    }

    /// Where the first packet of all starts, in microseconds; `None` before any packet.
    pub fn began_us(&self) -> Option<i64> {
        self.began
    }

    /// Where the stream that came furthest ends in the healed timeline, in microseconds; `None` before any packet.
    pub fn reached_us(&self) -> Option<i64> {
        let end = |position: &Position| position.last.map(|(time, duration)| time + duration).max(position.shown_until);
        self.streams.iter().filter_map(end).max()
    }

    /// Where `stream` is in the healed timeline, in microseconds; `None` before its first packet.
    pub fn at_us(&self, stream: usize) -> Option<i64> {
        self.streams.get(stream)?.last.map(|(time, _)| time)
    }

    /// Every shift that was needed so far, in microseconds, in the order in which they came; the first is 0.
    pub fn shifts_us(&self) -> &[i64] {
        &self.shifts
    }

    /// The jumps that were taken out so far.
    pub fn jumps(&self) -> &[Jump] {
        &self.jumps
    }

    fn epoch_for(&mut self, stream: usize, position: Position, time_us: i64, at: i64, length: i64) -> usize {
        let current = position.epoch;
        let backward_us = if position.is_shown { LONGEST_GAP_US } else { BACKWARD_TOLERANCE_US };
        let goes_on = |shift: i64| {
            let time = time_us + shift;
            (at - backward_us..=position.reached(at) + LONGEST_GAP_US).contains(&time)
                || (time - at - length).abs() <= BACKWARD_TOLERANCE_US
        };
        if goes_on(self.shifts[current]) || self.has_company(stream, current, time_us, at) {
            return current;
        }
        if let Some(later) = (current + 1..self.shifts.len()).find(|&epoch| goes_on(self.shifts[epoch])) {
            return later;
        }
        // Where something else follows, it does not wait longer.
        let length = length.min(LONGEST_GAP_US);
        let shift = at + length - time_us;
        self.jumps.push(Jump { at_us: at + length, shift_us: shift });
        self.shifts.push(shift);
        self.shifts.len() - 1
    }

    /// Whether another stream of the same epoch already is where this one jumps ahead to.
    fn has_company(&self, stream: usize, epoch: usize, time_us: i64, at: i64) -> bool {
        let target = time_us + self.shifts[epoch];
        target > at
            && self.streams.iter().enumerate().any(|(other, position)| {
                other != stream
                    && position.epoch == epoch
                    && position.last.is_some_and(|(time, _)| (time - target).abs() <= COMPANY_US)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: i64 = 40_000;

    #[test]
    fn a_gap_of_up_to_a_minute_stays() {
        let mut healer = Healer::new(1);
        assert_eq!(healer.place(0, 0, FRAME), 0);
        assert_eq!(healer.place(0, 59_000_000, FRAME), 0);
        assert!(healer.jumps().is_empty());
    }

    #[test]
    fn a_longer_gap_stays_where_the_packet_before_it_is_told_to_last_so_long() {
        let mut healer = Healer::new(1);
        let slide = 90_000_000;
        assert!((0..5).all(|number| healer.place(0, number * slide, slide) == 0));
        assert_eq!(healer.reached_us(), Some(5 * slide));
        let shift = healer.place(0, 7 * slide, slide);
        assert_eq!(shift, 4 * slide + LONGEST_GAP_US - 7 * slide, "longer than it was told");
    }

    #[test]
    fn what_is_told_to_last_for_days_is_not_believed() {
        let mut healer = Healer::new(1);
        let day = 86_400_000_000;
        healer.place(0, 0, day);
        assert_eq!(healer.place(0, day, FRAME), LONGEST_GAP_US - day);
    }

    #[test]
    fn a_jump_back_is_healed_for_audio_and_video_together() {
        let mut healer = Healer::new(2);
        healer.place(0, 10_000_000, FRAME);
        healer.place(1, 10_010_000, 21_333);
        let shift = healer.place(0, 1_000_000, FRAME);
        assert_eq!(shift, 9_040_000);
        assert_eq!(healer.place(1, 1_001_333, 21_333), shift, "audio keeps its place beside the video");
        assert_eq!(healer.jumps(), [Jump { at_us: 10_040_000, shift_us: shift }]);
    }

    #[test]
    fn the_stream_that_has_not_jumped_yet_stays_in_its_epoch() {
        let mut healer = Healer::new(2);
        healer.place(0, 10_000_000, FRAME);
        healer.place(1, 9_000_000, 21_333);
        healer.place(0, 0, FRAME);
        assert_eq!(healer.place(1, 9_021_333, 21_333), 0);
    }

    #[test]
    fn a_jump_ahead_of_more_than_a_minute_is_healed() {
        let mut healer = Healer::new(1);
        healer.place(0, 0, FRAME);
        assert_eq!(healer.place(0, 3_600_000_000, FRAME), FRAME - 3_600_000_000);
    }

    #[test]
    fn video_that_pauses_for_minutes_while_the_sound_goes_on_is_no_jump() {
        let mut healer = Healer::new(2);
        healer.place(0, 0, FRAME);
        for second in 0..300 {
            healer.place(1, second * 1_000_000, 1_000_000);
        }
        assert_eq!(healer.place(0, 300_000_000, FRAME), 0);
    }

    #[test]
    fn pictures_that_are_told_only_when_they_are_shown_go_up_and_down_without_a_jump() {
        let mut healer = Healer::new(1);
        let second = 1_000_000;
        assert_eq!([0, 4, 2].map(|time| healer.place_shown(0, time * second, second)), [0; 3]);
        assert_eq!(healer.reached_us(), Some(5 * second));
        assert_eq!([-2, 1, 2].map(|time| healer.place(0, time * second, second)), [0; 3]);
        assert_eq!(healer.place_shown(0, 9 * second, second), 0, "one is missing among others");
        assert_eq!(healer.place(0, 3 * second, second), 0);
        assert!(healer.jumps().is_empty());
        let shift = healer.place(0, -100 * second, second);
        assert_eq!(healer.place_shown(0, -98 * second, second), shift, "shifted like its neighbours");
    }

    #[test]
    fn a_jump_is_found_in_a_stream_that_has_no_decode_times_at_all() {
        let mut healer = Healer::new(1);
        for frame in 0..40 {
            assert_eq!(healer.place_shown(0, 10_000_000 + frame * FRAME, FRAME), 0);
        }
        assert_eq!(healer.place_shown(0, 100_000_000_000, FRAME), 10_000_000 + 40 * FRAME - 100_000_000_000);
    }

    #[test]
    fn a_stream_that_begins_after_a_jump_begins_in_the_new_epoch() {
        let mut healer = Healer::new(2);
        healer.place(0, 10_000_000, FRAME);
        let shift = healer.place(0, 0, FRAME);
        assert_eq!(healer.place(1, 5_000, 21_333), shift);
    }
}
