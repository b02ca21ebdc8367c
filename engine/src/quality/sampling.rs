//! Which frames of a chunk are measured.

use serde::{Deserialize, Serialize};

/// How far a chunk's frames are measured: those near its ends always, of the others one in so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampling {
    /// Frames at each end of the chunk that are all measured.
    pub ends: u32,
    /// Of the others, one in so many; 1 measures all.
    pub one_in: u32,
}

impl Sampling {
    /// What is measured unless more is asked for. An odd step, because encoders code every second, fourth or eighth
    /// frame alike: steps of 8, 12, 16 and 24 were up to 0.9 points off, of 11 at most 0.15 (docs/measurements.md).
    pub const DEFAULT: Self = Self { ends: 2, one_in: 11 };

    /// As [`Self::DEFAULT`], for the costlier score at the size that the source is shown at.
    pub const VIEWED: Self = Self { ends: 0, one_in: 33 };

    /// Every frame.
    pub const FULL: Self = Self { ends: 0, one_in: 1 };

    /// Whether the frame at `position` of a chunk of `frames` is measured.
    pub fn takes(self, position: u32, frames: u32) -> bool {
        self.is_end(position, frames) || (position - self.ends) % self.one_in.max(1) == self.phase(frames)
    }

    /// Whether the frame at `position` or one beside it is measured.
    pub fn is_near_taken(self, position: u32, frames: u32) -> bool {
        let near = position.saturating_sub(1)..frames.min(position.saturating_add(2));
        near.into_iter().any(|at| self.takes(at, frames))
    }

    /// How many frames of such a chunk the frame at `position` stands for, if it is measured.
    pub fn weight(self, position: u32, frames: u32) -> f64 {
        if self.is_end(position, frames) {
            return 1.0;
        }
        let inner = frames - 2 * self.ends;
        let (every, phase) = (self.one_in.max(1), self.phase(frames));
        let taken = (inner + every - 1 - phase) / every;
        f64::from(inner) / f64::from(taken.max(1))
    }

    fn is_end(self, position: u32, frames: u32) -> bool {
        let from_end = frames.saturating_sub(position + 1);
        position < self.ends || from_end < self.ends
    }

    /// The first inner frame that is taken: samples lie in the middle of what they stand for, if there is room.
    fn phase(self, frames: u32) -> u32 {
        let inner = frames.saturating_sub(2 * self.ends);
        (self.one_in.max(1) / 2).min(inner.saturating_sub(1) / 2)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_are_measured_whole_and_the_rest_in_steps() {
        let sampling = Sampling { ends: 2, one_in: 4 };
        let taken: Vec<u32> = (0..16).filter(|&at| sampling.takes(at, 16)).collect();
        assert_eq!(taken, [0, 1, 4, 8, 12, 14, 15]);
    }

    proptest! {
        #[test]
        fn the_measured_frames_stand_for_all(frames in 1_u32..400, ends in 0_u32..6, one_in in 1_u32..40) {
            let sampling = Sampling { ends, one_in };
            let taken = (0..frames).filter(|&at| sampling.takes(at, frames));
            let sum: f64 = taken.map(|at| sampling.weight(at, frames)).sum();
            prop_assert!((sum - f64::from(frames)).abs() < 1e-6, "{sum} of {frames}");
        }

        #[test]
        fn full_means_every_frame_once(frames in 1_u32..400) {
            prop_assert!((0..frames).all(|at| Sampling::FULL.takes(at, frames) && Sampling::FULL.weight(at, frames) == 1.0));
        }
    }
}
