//! Keeps decoded sound in its place: compares the time a run of samples declares with the number of samples placed
//! so far, and says what to insert, leave out or leave alone. Pure arithmetic; it touches no sample.
//!
//! What a deviation between the two means depends on its size:
//!
//! | deviation | taken for | answer |
//! | --- | --- | --- |
//! | up to 3 ms on average (or 2 ticks) | rounding of a coarse clock, jitter | nothing |
//! | more, building up slowly | clocks that drift apart | one sample more or less a run, which nobody hears |
//! | more than 20 ms at once (or 1.5 ticks) | a gap or an overlap | silence, or the overlapping samples are left out |
//! | more than 10 ms (or 1.5 ticks), and as much in the run after it | the same | the same |
//! | either, but no more than three times what runs differ by from one to the next | jitter, as of what is recorded as it arrives | nothing |
//! | more than 3 ms, in the last run of all | a gap or an overlap | the same |
//! | more than half a second, in one run only | a damaged timestamp | nothing |
//! | a backward jump of more than a minute, a forward one of more than six hours | another clock | the sound follows on |
//!
//! The first sample of all is placed exactly.

use serde::{Deserialize, Serialize};

use crate::units::TimeBase;

/// A point in source time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Ticks of `time_base`.
    pub ticks: i64,
    /// Their unit.
    pub time_base: TimeBase,
}

impl Moment {
    /// The moment in seconds.
    pub fn seconds(self) -> f64 {
        self.time_base.seconds(self.ticks)
    }
}

/// What turns a stream's timestamps into sample positions of the output.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Unit of the timestamps.
    pub time_base: TimeBase,
    /// The source time at which the output begins.
    pub origin: Moment,
    /// Samples a second, at least 1.
    pub rate: u32,
}

impl Clock {
    /// The position of the sample heard at `pts`, to the nearest, negative before the origin; `None` for times beyond
    /// all arithmetic, which only damage produces.
    pub fn sample_at(&self, pts: i64) -> Option<i64> {
        let (base, zero) = (self.time_base.0, self.origin.time_base.0);
        let (base_den, zero_den) = (i128::from(base.den()), i128::from(zero.den()));
        let time = i128::from(pts).checked_mul(i128::from(base.num()))?.checked_mul(zero_den)?;
        let origin = i128::from(self.origin.ticks).checked_mul(i128::from(zero.num()))?.checked_mul(base_den)?;
        let doubled = time.checked_sub(origin)?.checked_mul(2 * i128::from(self.rate))?;
        let scale = base_den * zero_den;
        i64::try_from(doubled.checked_add(scale)?.div_euclid(2 * scale)).ok()
    }

    /// Seconds from the origin to `pts`.
    pub fn seconds_at(&self, pts: i64) -> f64 {
        self.time_base.seconds(pts) - self.origin.seconds()
    }

    fn samples(&self, seconds: f64, ticks: f64) -> i64 {
        (f64::from(self.rate) * seconds.max(ticks * self.time_base.0.as_f64())).ceil() as i64
    }
}

/// What to do with one run of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// It follows on.
    Keep,
    /// This many silent samples go before it.
    Silence(u64),
    /// This many of its first samples are left out, at most all of them.
    Skip(u64),
    /// Its first sample is heard twice.
    Stretch,
}

/// A backward jump of more than this is another clock, not an overlap.
const FARTHEST_BACK_S: f64 = 60.0;
/// A forward jump of more than this is another clock, not a pause.
const FARTHEST_FORWARD_S: f64 = 6.0 * 3600.0;
/// What is more at once is a gap or an overlap.
const SMALLEST_JUMP_S: f64 = 0.020;
/// What the last run may deviate by.
const LARGEST_END_S: f64 = 0.003;
/// So many times what runs differ by from one to the next is no jump.
const JITTERS: f64 = 3.0;
/// Runs over which drift and jitter are averaged.
const DRIFT_RUNS: f64 = 16.0;

/// The output's samples as they are laid one after the other.
#[derive(Clone, Debug)]
pub struct Timeline {
    clock: Clock,
    next: i64,
    begun: bool,
    /// Added to every position since the last jump to another clock.
    slip: i64,
    /// Moving average of the deviation, in samples.
    drift: f64,
    /// Moving average of what the deviations of two runs differ by, in samples, over as many runs.
    jitter: (f64, f64),
    /// The deviation of the run before.
    before: i64,
    correcting: bool,
    slips: u32,
}

impl Timeline {
    /// An empty timeline.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            next: 0,
            begun: false,
            slip: 0,
            drift: 0.0,
            jitter: (0.0, 0.0),
            before: 0,
            correcting: false,
            slips: 0,
        }
    }

    /// Goes on at another sample rate, whose samples are counted from `next` on.
    pub fn set_rate(&mut self, rate: u32, next: i64) {
        let scale = f64::from(rate) / f64::from(self.clock.rate);
        self.slip = (self.slip as f64 * scale).round() as i64;
        (self.drift, self.jitter.0) = (self.drift * scale, self.jitter.0 * scale);
        self.before = (self.before as f64 * scale).round() as i64;
        self.clock.rate = rate;
        self.next = next;
    }

    /// The clock in force.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Number of samples placed so far.
    pub fn len(&self) -> i64 {
        self.next
    }

    /// Whether nothing was placed yet.
    pub fn is_empty(&self) -> bool {
        self.next == 0
    }

    /// How often the sound jumped to another clock, and followed on instead.
    pub fn slips(&self) -> u32 {
        self.slips
    }

    /// Places a run of `samples` that declares the time `pts` (`None`: it follows on), and whose successor declares
    /// `following`, where that is known.
    pub fn place(&mut self, pts: Option<i64>, samples: u64, following: Option<i64>) -> Edit {
        let edit = match self.deviation(pts, 0) {
            None => Edit::Keep,
            Some(deviation) => {
                let after = i64::try_from(samples).unwrap_or(i64::MAX);
                self.steer(deviation, samples, self.deviation(following, after))
            }
        };
        self.advance(edit, samples);
        edit
    }

    /// Places the last run of all. It may jitter less than others, for the sound has to end where it is declared to.
    pub fn place_last(&mut self, pts: Option<i64>, samples: u64) -> Edit {
        let believed = self.clock.samples(LARGEST_END_S, 0.0)..=self.clock.samples(SMALLEST_JUMP_S, 1.5);
        match self.deviation(pts, 0) {
            Some(deviation) if self.begun && believed.contains(&deviation.saturating_abs()) => {
                let size = deviation.unsigned_abs();
                let edit = if deviation > 0 { Edit::Silence(size) } else { Edit::Skip(size.min(samples)) };
                self.advance(edit, samples);
                edit
            }
            _ => self.place(pts, samples, None),
        }
    }

    /// By how many samples `pts` is later than the place `ahead` samples after the last one.
    fn deviation(&self, pts: Option<i64>, ahead: i64) -> Option<i64> {
        let due = self.clock.sample_at(pts?)?;
        due.checked_add(self.slip)?.checked_sub(self.next.checked_add(ahead)?)
    }

    fn steer(&mut self, deviation: i64, samples: u64, following: Option<i64>) -> Edit {
        let size = deviation.unsigned_abs();
        let more_than = |seconds: f64, ticks: f64| size > self.clock.samples(seconds, ticks).unsigned_abs();
        if more_than(0.5, 4.0) && following.is_some_and(|f| f.abs_diff(deviation) > size / 4) {
            return Edit::Keep;
        }
        if more_than(if deviation < 0 { FARTHEST_BACK_S } else { FARTHEST_FORWARD_S }, 0.0) {
            self.slip -= deviation;
            self.slips += 1;
            return Edit::Keep;
        }
        let steady = following.is_some_and(|f| f.abs_diff(deviation) <= self.clock.samples(0.002, 1.0).unsigned_abs());
        let is_jitter = (size as f64) <= JITTERS * self.jitter.0;
        if !self.begun || (!is_jitter && more_than(if steady { 0.010 } else { SMALLEST_JUMP_S }, 1.5)) {
            (self.drift, self.before, self.correcting) = (0.0, 0, false);
            return match deviation {
                0 => Edit::Keep,
                1.. => Edit::Silence(size),
                _ => Edit::Skip(size.min(samples)),
            };
        }
        self.nudge(deviation)
    }

    /// Follows a slow drift, a sample at a time.
    fn nudge(&mut self, deviation: i64) -> Edit {
        let (jitter, runs) = (self.jitter.0, (self.jitter.1 + 1.0).min(DRIFT_RUNS));
        self.jitter = (jitter + (deviation.abs_diff(self.before) as f64 - jitter) / runs, runs);
        self.before = deviation;
        self.drift += (deviation as f64 - self.drift) / DRIFT_RUNS;
        let tolerance = self.clock.samples(0.003, 2.0) as f64;
        self.correcting = self.drift.abs() > if self.correcting { tolerance / 4.0 } else { tolerance };
        match self.correcting {
            false => Edit::Keep,
            true if self.drift > 0.0 => Edit::Stretch,
            true => Edit::Skip(1),
        }
    }

    fn advance(&mut self, edit: Edit, samples: u64) {
        let length = match edit {
            Edit::Keep => samples,
            Edit::Silence(silent) => samples.saturating_add(silent),
            Edit::Skip(skipped) => samples - skipped.min(samples),
            Edit::Stretch => samples + 1,
        };
        self.begun |= length > 0;
        self.next = self.next.saturating_add(i64::try_from(length).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: u64 = 1024;

    fn base(per_second: u32) -> TimeBase {
        TimeBase::per_second(per_second).unwrap()
    }

    fn clock(per_second: u32, rate: u32, origin_ms: i64) -> Clock {
        Clock { time_base: base(per_second), origin: Moment { ticks: origin_ms, time_base: base(1000) }, rate }
    }

    /// Places runs that begin at these exact seconds, their times rounded down to ticks.
    fn place_all(timeline: &mut Timeline, starts: &[f64]) -> Vec<Edit> {
        let per_second = f64::from(timeline.clock.time_base.0.den());
        let ticks: Vec<i64> = starts.iter().map(|s| (s * per_second + 1e-6).floor() as i64).collect();
        (0..ticks.len()).map(|i| timeline.place(Some(ticks[i]), FRAME, ticks.get(i + 1).copied())).collect()
    }

    fn steady(runs: usize, rate: u32, from: f64) -> Vec<f64> {
        (0..runs).map(|i| from + (i as u64 * FRAME) as f64 / f64::from(rate)).collect()
    }

    #[test]
    fn a_position_is_exact_over_days_and_none_beyond_all_arithmetic() {
        let ntsc = Moment { ticks: 1001, time_base: TimeBase(crate::units::Ratio::new(1, 30_000).unwrap()) };
        let clock = Clock { time_base: base(90_000), origin: ntsc, rate: 48_000 };
        assert_eq!(clock.sample_at(3003), Some(0));
        assert_eq!(clock.sample_at(3003 + 90_000 * 1_000_000), Some(48_000 * 1_000_000));
        assert_eq!(clock.sample_at(3002), Some(-1));
        let minutes = TimeBase(crate::units::Ratio::new(60, 1).unwrap());
        assert_eq!(Clock { time_base: minutes, ..clock }.sample_at(i64::MAX), None);
    }

    #[test]
    fn a_late_start_becomes_silence_to_the_sample() {
        let mut timeline = Timeline::new(clock(48_000, 48_000, 500));
        assert_eq!(timeline.place(Some(24_001), FRAME, None), Edit::Silence(1));
        assert_eq!(timeline.place(Some(24_001 + 1024), FRAME, None), Edit::Keep);
    }

    #[test]
    fn sound_before_the_origin_is_left_out_to_the_sample() {
        let mut timeline = Timeline::new(clock(48_000, 48_000, 0));
        assert_eq!(timeline.place(Some(-1100), FRAME, None), Edit::Skip(1024));
        assert_eq!(timeline.place(Some(-76), FRAME, None), Edit::Skip(76));
        assert_eq!(timeline.len(), 948);
    }

    #[test]
    fn a_lost_frame_becomes_as_much_silence() {
        let mut timeline = Timeline::new(clock(90_000, 48_000, 0));
        let mut starts = steady(100, 48_000, 0.0);
        starts.remove(50);
        let edits = place_all(&mut timeline, &starts);
        assert!(matches!(edits[50], Edit::Silence(1023..=1025)), "{:?}", edits[50]);
        assert_eq!(edits.iter().filter(|&&e| e != Edit::Keep).count(), 1);
    }

    /// As of what is recorded with the times at which it arrives.
    #[test]
    fn times_that_jitter_by_a_frame_cut_nothing_once_that_is_known() {
        let mut timeline = Timeline::new(clock(1000, 48_000, 0));
        let jitter = |run: usize| [0.0, 0.012, -0.014, 0.008, -0.009, 0.015, -0.013, 0.003][run % 8];
        let starts: Vec<f64> = steady(400, 48_000, 0.1).iter().enumerate().map(|(run, at)| at + jitter(run)).collect();
        let edits = place_all(&mut timeline, &starts);
        assert!(edits[8..].iter().all(|edit| *edit == Edit::Keep), "{edits:?}");
        // What is lost is known all the same.
        let mut lost = steady(400, 48_000, 0.1);
        lost.drain(200..204);
        let mut timeline = Timeline::new(clock(1000, 48_000, 0));
        let starts: Vec<f64> = lost.iter().enumerate().map(|(run, at)| at + jitter(run)).collect();
        let edits = place_all(&mut timeline, &starts);
        let silent: Vec<(usize, u64)> = edits
            .iter()
            .enumerate()
            .skip(8)
            .filter_map(|(run, edit)| if let Edit::Silence(samples) = edit { Some((run, *samples)) } else { None })
            .collect();
        assert!(matches!(silent[..], [(200, 3500..=4700)]), "{silent:?}");
    }

    #[test]
    fn the_last_run_ends_where_it_is_declared_to() {
        let last = |ms: i64| {
            let mut timeline = Timeline::new(clock(1000, 48_000, 0));
            timeline.place(Some(0), 48_000, Some(1000));
            timeline.place_last(Some(1000 + ms), FRAME)
        };
        assert_eq!([last(0), last(2), last(-2)], [Edit::Keep; 3]);
        assert_eq!([last(10), last(300)], [Edit::Silence(480), Edit::Silence(14_400)]);
        assert_eq!([last(-10), last(-300)], [Edit::Skip(480), Edit::Skip(FRAME)]);
        assert_eq!(Timeline::new(clock(1000, 48_000, 0)).place_last(Some(10), FRAME), Edit::Silence(480));
    }

    #[test]
    fn one_damaged_timestamp_changes_nothing() {
        let mut timeline = Timeline::new(clock(90_000, 48_000, 0));
        let mut starts = steady(100, 48_000, 0.0);
        starts[40] += 95_443.7;
        starts[60] -= 0.9;
        assert!(place_all(&mut timeline, &starts).iter().all(|&e| e == Edit::Keep));
    }

    #[test]
    fn a_jump_to_another_clock_follows_on() {
        let mut timeline = Timeline::new(clock(90_000, 48_000, 0));
        let mut starts = steady(50, 48_000, 95_000.0);
        timeline.begun = true;
        timeline.next = 95_000 * 48_000;
        starts.extend(steady(50, 48_000, 0.0));
        assert!(place_all(&mut timeline, &starts).iter().all(|&e| e == Edit::Keep));
        assert_eq!(timeline.slips(), 1);
    }

    #[test]
    fn a_pause_of_minutes_stays() {
        let mut timeline = Timeline::new(clock(1000, 44_100, 0));
        let mut starts = steady(10, 44_100, 0.0);
        starts.extend(steady(10, 44_100, 600.0));
        place_all(&mut timeline, &starts);
        assert!((timeline.len() as f64 / 44_100.0 - 600.0 - 10_240.0 / 44_100.0).abs() < 0.002);
    }

    proptest! {
        #[test]
        fn coarse_clocks_never_cause_an_edit(
            per_second in prop_oneof![Just(1000_u32), Just(600), Just(90_000), Just(44_100)],
            rate in prop_oneof![Just(8000_u32), Just(22_050), Just(44_100), Just(48_000), Just(96_000)],
            jitter in proptest::collection::vec(-0.0005_f64..0.0005, 300),
        ) {
            let mut timeline = Timeline::new(clock(per_second, rate, 0));
            let starts: Vec<f64> =
                steady(300, rate, 1.0).iter().zip(&jitter).map(|(s, j)| s + j).collect();
            let edits = place_all(&mut timeline, &starts);
            prop_assert!(edits[1..].iter().all(|&e| e == Edit::Keep));
        }

        #[test]
        fn the_timeline_is_as_long_as_its_times_say_whatever_gaps_and_overlaps_there_are(
            jumps in proptest::collection::vec((1_usize..40, -0.3_f64..3.0), 1..12),
        ) {
            let (mut timeline, mut starts, mut at) = (Timeline::new(clock(90_000, 48_000, 0)), Vec::new(), 0.0);
            for (runs, jump) in jumps {
                starts.extend(steady(runs + 60, 48_000, at));
                at += (runs + 60) as f64 * FRAME as f64 / 48_000.0 + jump;
            }
            let edits = place_all(&mut timeline, &starts);
            let end = starts.last().unwrap() + FRAME as f64 / 48_000.0;
            prop_assert!((timeline.len() as f64 / 48_000.0 - end).abs() < 0.0205);
            let laid: i64 = edits.iter().map(|edit| match *edit {
                Edit::Keep => FRAME as i64,
                Edit::Silence(n) => (FRAME + n) as i64,
                Edit::Skip(n) => (FRAME - n) as i64,
                Edit::Stretch => FRAME as i64 + 1,
            }).sum();
            prop_assert_eq!(laid, timeline.len());
        }

    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_drift_of_hours_stays_below_five_milliseconds_and_is_met_a_sample_at_a_time(ppm in -200_i32..200) {
            let mut timeline = Timeline::new(clock(1000, 48_000, 0));
            let speed = 1.0 + f64::from(ppm) * 1e-6;
            let starts: Vec<f64> = steady(100_000, 48_000, 0.0).iter().map(|s| s * speed).collect();
            for (i, &start) in starts.iter().enumerate() {
                let edit = timeline.place(Some((start * 1000.0) as i64), FRAME, None);
                prop_assert!(matches!(edit, Edit::Keep | Edit::Stretch | Edit::Skip(1)), "{edit:?} at {i}");
                let placed = (timeline.len() as f64 - FRAME as f64) / 48_000.0;
                prop_assert!((placed - start).abs() < 0.005, "{placed} instead of {start}");
            }
        }
    }
}
