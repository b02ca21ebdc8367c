//! What the events so far amount to: frames, rate, time left. Pure; the clock is a parameter.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::ProgressEvent;

/// The rate is that of this much of the past.
const WINDOW: Duration = Duration::from_secs(20);
/// No rate is told before this much of it has been seen.
const LEAST: Duration = Duration::from_secs(2);
/// Two samples of the rate are at least this far apart.
const GRAIN: Duration = Duration::from_millis(250);

/// The state of the work as its events tell it. Frames and audio never go backwards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meter {
    /// The stage that the work is in.
    pub stage: Cow<'static, str>,
    /// Number of chunks; 0 while unknown.
    pub chunks: u32,
    /// Length of the source in seconds; 0 while unknown.
    pub duration_s: f64,
    /// Frames of the source; 0 while unknown.
    pub frames_total: u64,
    /// Frames encoded.
    pub frames_done: u64,
    /// Audio encoded and all audio, in seconds; `None` without audio.
    pub audio: Option<(f64, f64)>,
    running: BTreeSet<u32>,
    finished: BTreeSet<u32>,
    /// When how many frames were done, oldest first.
    samples: VecDeque<(Duration, u64)>,
}

impl Meter {
    /// Takes in an event that came at `now`.
    pub fn take(&mut self, event: &ProgressEvent, now: Duration) {
        match *event {
            ProgressEvent::Planned { chunks, frames_total, duration_s, .. } => {
                (self.chunks, self.frames_total, self.duration_s) = (chunks, frames_total, duration_s);
            }
            ProgressEvent::ChunkStarted { chunk, .. } => {
                self.running.insert(chunk);
                if self.samples.is_empty() {
                    self.samples.push_back((now, self.frames_done));
                }
            }
            ProgressEvent::ChunkDone { chunk } => {
                self.running.remove(&chunk);
                self.finished.insert(chunk);
            }
            ProgressEvent::Frames { done, total } => self.frames(done, total, now),
            ProgressEvent::AudioProgress { seconds, total } => {
                let before = self.audio.map_or(0.0, |(seconds, _)| seconds);
                self.audio = Some((seconds.min(total).max(before), total));
            }
            ProgressEvent::Stage(ref stage) => self.stage = stage.clone(),
        }
    }

    fn frames(&mut self, done: u64, total: u64, now: Duration) {
        self.frames_total = total;
        self.frames_done = self.frames_done.max(done.min(total));
        if self.frames_done == 0 {
            // Encoders look ahead for a while before the first frame comes out; that tells nothing of their speed.
            self.samples.clear();
        }
        if self.samples.back().is_none_or(|(last, _)| now >= *last + GRAIN) {
            self.samples.push_back((now, self.frames_done));
        }
        while self.samples.get(1).is_some_and(|(second, _)| *second + WINDOW <= now) {
            self.samples.pop_front();
        }
    }

    /// Chunks that are encoded.
    pub fn chunks_done(&self) -> usize {
        self.finished.len()
    }

    /// Chunks that are being encoded.
    pub fn chunks_running(&self) -> usize {
        self.running.len()
    }

    /// The share of the work that is done, 0 to 0.99: only publishing makes it whole.
    pub fn fraction(&self) -> f64 {
        match self.frames_total {
            0 => 0.0,
            total => (self.frames_done as f64 / total as f64).min(0.99),
        }
    }

    /// Frames a second of late; `None` before there is enough to tell, and once all frames are encoded.
    pub fn frames_per_s(&self, now: Duration) -> Option<f64> {
        let (since, before) = *self.samples.front().filter(|_| self.frames_done < self.frames_total)?;
        let seen = now.checked_sub(since)?;
        let frames = self.frames_done - before;
        (seen >= LEAST && frames > 0).then(|| frames as f64 / seen.as_secs_f64())
    }

    /// Seconds of the source a second of late; `None` where [`Meter::frames_per_s`] is.
    pub fn speed(&self, now: Duration) -> Option<f64> {
        let frame_s = self.duration_s / self.frames_total as f64;
        self.frames_per_s(now).map(|rate| rate * frame_s).filter(|speed| speed.is_finite() && *speed > 0.0)
    }

    /// Time until all frames are encoded at the rate of late; `None` where [`Meter::frames_per_s`] is.
    pub fn time_left(&self, now: Duration) -> Option<Duration> {
        let left = self.frames_total.checked_sub(self.frames_done)?;
        Duration::try_from_secs_f64(left as f64 / self.frames_per_s(now)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(s: f64) -> Duration {
        Duration::from_secs_f64(s)
    }

    /// A meter of a source of 1000 frames at 25 a second whose first chunk started at 1 s.
    fn started() -> Meter {
        let mut meter = Meter::default();
        let plan = ProgressEvent::Planned {
            chunks: 4,
            frames_total: 1000,
            duration_s: 40.0,
            renditions: vec!["hd".to_owned()],
            reason: None,
        };
        meter.take(&plan, seconds(0.5));
        meter.take(&ProgressEvent::ChunkStarted { chunk: 0, worker: 0 }, seconds(1.0));
        meter
    }

    fn frames(meter: &mut Meter, done: u64, at_s: f64) {
        meter.take(&ProgressEvent::Frames { done, total: 1000 }, seconds(at_s));
    }

    #[test]
    fn nothing_is_estimated_before_there_is_data() {
        let mut meter = started();
        assert_eq!(meter.time_left(seconds(10.0)), None);
        frames(&mut meter, 30, 2.0);
        assert_eq!(meter.time_left(seconds(2.0)), None);
    }

    #[test]
    fn the_estimate_is_what_the_rate_makes_of_the_frames_that_are_left() {
        let mut meter = started();
        frames(&mut meter, 100, 3.0);
        assert_eq!(meter.frames_per_s(seconds(3.0)), Some(50.0));
        assert_eq!(meter.speed(seconds(3.0)), Some(2.0));
        assert_eq!(meter.time_left(seconds(3.0)), Some(seconds(18.0)));
    }

    #[test]
    fn the_wait_for_the_first_frame_is_not_taken_for_slowness() {
        let mut meter = started();
        (10..=60).for_each(|tenth| frames(&mut meter, 0, f64::from(tenth) / 10.0));
        frames(&mut meter, 5, 6.1);
        frames(&mut meter, 100, 8.0);
        assert_eq!(meter.frames_per_s(seconds(8.0)), Some(50.0));
    }

    #[test]
    fn a_standstill_lengthens_the_estimate() {
        let mut meter = started();
        frames(&mut meter, 100, 3.0);
        assert!(meter.time_left(seconds(6.0)) > meter.time_left(seconds(3.0)));
    }

    #[test]
    fn the_rate_is_that_of_late_not_of_the_whole_run() {
        let mut meter = started();
        for step in 0..=100 {
            frames(&mut meter, step, 1.0 + step as f64);
        }
        for step in 1..=30 {
            frames(&mut meter, 100 + 10 * step, 101.0 + step as f64);
        }
        let rate = meter.frames_per_s(seconds(131.0)).unwrap();
        assert!((rate - 10.0).abs() < 0.5, "{rate}");
    }

    #[test]
    fn a_retry_takes_no_frames_back_and_starts_no_chunk_twice() {
        let mut meter = started();
        frames(&mut meter, 200, 2.0);
        frames(&mut meter, 120, 3.0);
        meter.take(&ProgressEvent::ChunkStarted { chunk: 0, worker: 1 }, seconds(3.0));
        assert_eq!((meter.frames_done, meter.chunks_running()), (200, 1));
    }

    #[test]
    fn encoding_the_last_frame_is_not_yet_the_end() {
        let mut meter = started();
        frames(&mut meter, 1000, 30.0);
        assert_eq!((meter.fraction(), meter.time_left(seconds(30.0))), (0.99, None));
    }

    proptest! {
        #[test]
        fn the_fraction_never_falls_nor_leaves_its_range(
            steps in proptest::collection::vec((0_u64..2000, 0_u64..3000), 1..50),
        ) {
            let (mut meter, mut now, mut before) = (started(), seconds(1.0), 0.0);
            for (done, wait_ms) in steps {
                now += Duration::from_millis(wait_ms);
                meter.take(&ProgressEvent::Frames { done, total: 1000 }, now);
                let fraction = meter.fraction();
                prop_assert!((before..=0.99).contains(&fraction));
                prop_assert!(meter.frames_per_s(now).is_none_or(|rate| rate.is_finite() && rate > 0.0));
                before = fraction;
            }
        }
    }
}
