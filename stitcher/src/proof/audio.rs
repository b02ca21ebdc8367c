//! The proof for one audio track, and for its place against the picture. Pure.

use serde::{Deserialize, Serialize};

use super::Violation;
use super::read::{ReadInit, ReadSegment};

/// By how many milliseconds sound may move against picture: rounding of timestamps, far below what anyone notices.
pub const MAX_AV_SHIFT_MS: f64 = 5.0;

/// What the source's audio is, as far as the files made of it cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceSound {
    /// When its first sample that is heard was to be: seconds on the clock of the index's timestamps.
    pub start_s: f64,
    /// Where that sample was put: samples of the output before it. Negative where it lies in the priming.
    pub start_sample: i64,
    /// When its last sample ends, likewise.
    pub end_s: f64,
    /// Samples of silence that were put behind it so that the track ends with the picture.
    pub silence_after: u64,
    /// Samples that were given to the encoder, all that silence included, at the output's sample rate.
    pub samples: u64,
}

/// Compares the segments of an audio track, one after the other, with what they must be.
#[derive(Clone, Debug)]
pub struct AudioCheck<'a> {
    track: &'a str,
    /// Samples of an access unit.
    frame: u32,
    segments: u32,
    end: u64,
}

impl<'a> AudioCheck<'a> {
    /// Nothing seen yet of a track whose access units hold `frame` samples.
    pub fn new(track: &'a str, frame: u32) -> Self {
        Self { track, frame, segments: 0, end: 0 }
    }

    /// Takes the next segment.
    pub fn segment(&mut self, read: &ReadSegment) -> Result<(), Violation> {
        self.segments += 1;
        let (track, segment) = (self.track.to_owned(), self.segments);
        if read.sequence != segment {
            return Err(Violation::Sequence { track, segment, got: read.sequence });
        }
        if read.start != self.end {
            return Err(Violation::DecodeTime { track, segment, got: read.start, due: self.end });
        }
        if let Some(odd) = read.samples.iter().find(|sample| sample.duration != self.frame) {
            return Err(Violation::AudioFrame { track, segment, got: odd.duration, due: self.frame });
        }
        if !read.samples.iter().all(|sample| sample.sync) {
            return Err(Violation::NotKey { track, segment });
        }
        self.end = read.end();
        Ok(())
    }

    /// All segments were seen: presented must be what was encoded and less than a frame of padding.
    pub fn finish(self, init: &ReadInit, priming: u32, sound: &SourceSound) -> Result<(), Violation> {
        let (track, due) = (self.track.to_owned(), u64::from(priming));
        if init.skipped != due {
            return Err(Violation::Priming { track, got: init.skipped, due });
        }
        let (got, due) = (self.end.saturating_sub(init.skipped), sound.samples);
        if got < due || got - due >= self.frame.into() {
            return Err(Violation::AudioLength { track, got, due });
        }
        Ok(())
    }
}

/// By how much sound moved against picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// At the start, in milliseconds; positive where sound comes too late.
    pub start_ms: f64,
    /// At the end.
    pub end_ms: f64,
}

/// By how much sound moved against picture. `source` and `output` are when the first and the last frame are shown in
/// either, in seconds.
pub fn shift(sound: &SourceSound, rate: u32, source: (f64, f64), output: (f64, f64)) -> Shift {
    let start_s = sound.start_sample as f64 / f64::from(rate);
    let start = (start_s - output.0) - (sound.start_s - source.0);
    let end_s = sound.samples.saturating_sub(sound.silence_after) as f64 / f64::from(rate);
    let end = (end_s - output.1) - (sound.end_s - source.1);
    Shift { start_ms: start * 1000.0, end_ms: end * 1000.0 }
}

impl Shift {
    /// Refuses what would be heard.
    pub fn check(self, track: &str) -> Result<Self, Violation> {
        let within = |ms: f64| ms.abs() <= MAX_AV_SHIFT_MS;
        if within(self.start_ms) && within(self.end_ms) {
            return Ok(self);
        }
        Err(Violation::Offset { track: track.to_owned(), start_ms: self.start_ms, end_ms: self.end_ms })
    }
}
