//! The proof for one video rendition. Pure.

use vtp_engine::index::Index;
use vtp_engine::plan::Plan;

use super::Violation;
use super::read::ReadSegment;
use crate::layout::Clock;

/// Compares the segments of a rendition, one after the other, with the source.
#[derive(Clone, Debug)]
pub struct VideoCheck<'a> {
    track: &'a str,
    index: &'a Index,
    plan: &'a Plan,
    clock: Clock,
    segments: u32,
    fragments: u32,
    frames: u32,
    end: Option<u64>,
    shown: Option<(i64, i64)>,
}

impl<'a> VideoCheck<'a> {
    /// Nothing seen yet.
    pub fn new(track: &'a str, index: &'a Index, plan: &'a Plan, clock: Clock) -> Self {
        Self { track, index, plan, clock, segments: 0, fragments: 0, frames: 0, end: None, shown: None }
    }

    /// Takes the next segment.
    pub fn segment(&mut self, read: &ReadSegment) -> Result<(), Violation> {
        let due = self.plan.segments.get(self.segments as usize).cloned().ok_or(self.count(self.segments + 1))?;
        self.segments += 1;
        let (track, segment) = (self.track.to_owned(), self.segments);
        if read.sequence != self.fragments + 1 {
            return Err(Violation::Sequence { track, segment, got: read.sequence });
        }
        self.fragments += read.fragments;
        let start = self.end.unwrap_or(self.time(due.start));
        if read.start != start {
            return Err(Violation::DecodeTime { track, segment, got: read.start, due: start });
        }
        if due.start != self.frames || read.samples.len() != due.len() {
            return Err(Violation::Frames { track, segment, got: read.samples.len(), due: due.len() });
        }
        if !(read.samples.first().is_some_and(|sample| sample.sync) && read.opens_with_key == Some(true)) {
            return Err(Violation::NotKey { track, segment });
        }
        self.times(read, due.start)?;
        self.frames = due.end;
        self.end = Some(read.end());
        Ok(())
    }

    fn times(&mut self, read: &ReadSegment, first: u32) -> Result<(), Violation> {
        let mut shown: Vec<i64> = read.samples.iter().map(|sample| sample.shown).collect();
        shown.sort_unstable();
        for (frame, got) in (first..).zip(&shown) {
            let due = self.time(frame);
            if i64::try_from(due) != Ok(*got) {
                return Err(Violation::FrameTime { track: self.track.to_owned(), frame, got: *got, due });
            }
        }
        if let (Some(first), Some(last)) = (shown.first(), shown.last()) {
            self.shown = Some((self.shown.map_or(*first, |(start, _)| start), *last));
        }
        Ok(())
    }

    /// All segments were seen: the number of frames, and when the first and the last are shown.
    pub fn finish(self) -> Result<(u32, (i64, i64)), Violation> {
        let (count, track) = (self.index.frame_count(), self.track.to_owned());
        if self.segments as usize != self.plan.segments.len() {
            return Err(self.count(self.segments));
        }
        let due = self.time(count);
        match (self.shown, self.end) {
            (Some(shown), Some(end)) if self.frames == count && end == due => Ok((count, shown)),
            (Some(_), Some(got)) if self.frames == count => {
                Err(Violation::DecodeTime { track, segment: self.segments + 1, got, due })
            }
            _ => {
                Err(Violation::Frames { track, segment: self.segments, got: self.frames as usize, due: count as usize })
            }
        }
    }

    fn count(&self, got: u32) -> Violation {
        Violation::Segments { track: self.track.to_owned(), got, due: self.plan.segments.len() as u32 }
    }

    /// The media time of a frame; a frame that has none can equal nothing that was read.
    fn time(&self, frame: u32) -> u64 {
        self.clock.frame_time(self.index, frame).unwrap_or(u64::MAX)
    }
}
