//! Presentation times of the frames, in seconds from the first.

use crate::index::Index;
use crate::units::{FrameIndex, TimeBase};

/// The frames on the clock.
#[derive(Clone, Copy)]
pub(super) struct Timeline<'a> {
    index: &'a Index,
    time_base: TimeBase,
}

impl<'a> Timeline<'a> {
    pub(super) fn new(index: &'a Index, time_base: TimeBase) -> Self {
        Self { index, time_base }
    }

    /// Number of frames.
    pub(super) fn frames(&self) -> u32 {
        super::index(self.index.frames.len())
    }

    /// When a frame is shown, in seconds after the first; that of the end for the frame one past the last.
    pub(super) fn at(&self, frame: u32) -> f64 {
        let first = self.index.pts(FrameIndex(0));
        self.time_base.seconds(self.index.pts(FrameIndex(frame)).saturating_sub(first))
    }

    /// Length of the source's video in seconds.
    pub(super) fn length(&self) -> f64 {
        self.at(self.frames())
    }

    /// The first frame of `from..` that is shown at `seconds` or later, or one past the last.
    pub(super) fn first_at_or_after(&self, seconds: f64, from: u32) -> u32 {
        let (mut low, mut high) = (from, self.frames());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.at(middle) < seconds {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}
