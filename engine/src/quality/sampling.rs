//! Which frames of a chunk are measured, and what they say of all of them.

use serde::{Deserialize, Serialize};

use super::FrameScore;

/// How far a chunk's frames are measured: those next to its joins always, of the others one in so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampling {
    /// Frames at each end of the chunk that are all measured.
    pub ends: u32,
    /// Of the others, one in so many; 1 measures all.
    pub one_in: u32,
    /// Of the measured frames, one in so many is also looked at as it is shown, which costs more.
    pub viewed_one_in: u32,
}

impl Sampling {
    /// What is measured unless more is asked for. An odd step, because encoders code every second, fourth or eighth
    /// frame alike; docs/measurements.md has the errors of other steps.
    pub const DEFAULT: Self = Self { ends: 1, one_in: 17, viewed_one_in: 5 };

    /// Every frame.
    pub const FULL: Self = Self { ends: 0, one_in: 1, viewed_one_in: 1 };

    /// One frame in so many between the ends; all of them as they are shown, too, if it is every frame.
    pub fn every(one_in: u32) -> Self {
        if one_in <= 1 { Self::FULL } else { Self { one_in, ..Self::DEFAULT } }
    }

    /// The positions of the measured frames of a chunk of `frames`, in order.
    pub fn measured(self, frames: u32) -> Vec<u32> {
        let ends = self.ends.min(frames);
        let inner = frames.saturating_sub(2 * self.ends);
        // Samples lie in the middle of what they stand for, if there is room.
        let phase = (self.one_in.max(1) / 2).min(inner.saturating_sub(1) / 2);
        let inner = (ends..ends + inner).skip(phase as usize).step_by(self.one_in.max(1) as usize);
        let last = frames.saturating_sub(self.ends).max(ends)..frames;
        (0..ends).chain(inner).chain(last).collect()
    }

    /// Those of the measured frames that are also looked at as they are shown, in order: at least one.
    pub fn viewed(self, frames: u32) -> Vec<u32> {
        let measured = self.measured(frames);
        let every = self.viewed_one_in.max(1) as usize;
        let first = (every / 2).min(measured.len().saturating_sub(1) / 2);
        measured.into_iter().skip(first).step_by(every).collect()
    }
}

/// How many frames of a chunk of `frames` each of those at `positions`, which rise, stands for: all that are nearer to
/// it than to the others. A mean by these weights is the trapezoidal rule.
pub fn weights(positions: &[u32], frames: u32) -> Vec<f64> {
    let middle = |pair: &[u32]| f64::from(pair[0] + pair[1]) / 2.0;
    let inner = positions.windows(2).map(middle);
    let bounds: Vec<f64> = [-0.5].into_iter().chain(inner).chain([f64::from(frames) - 0.5]).collect();
    bounds.windows(2).take(positions.len()).map(|pair| pair[1] - pair[0]).collect()
}

/// What the frames with a fidelity score as they are shown, with the number of frames that each stands for: as it was
/// measured, or, where it was not, as far from the fidelity as in those where it was (a difference estimator: Cochran,
/// Sampling Techniques, 1977, 7.2). The positions of both rise.
pub fn shown(fidelity: &[FrameScore], vmaf: &[FrameScore]) -> Vec<(f64, f64)> {
    let measured = |position: u32| Some(&vmaf[vmaf.binary_search_by_key(&position, |it| it.position).ok()?]);
    let both: Vec<_> = fidelity.iter().filter_map(|it| Some((it, measured(it.position)?))).collect();
    if both.is_empty() {
        return vmaf.iter().map(|it| (it.score, it.weight)).collect();
    }
    let weight: f64 = both.iter().map(|(_, vmaf)| vmaf.weight).sum();
    let differences = both.iter().map(|(fidelity, vmaf)| (vmaf.score - fidelity.score) * vmaf.weight);
    let difference = differences.sum::<f64>() / weight;
    let score = |it: &FrameScore| measured(it.position).map(|vmaf| vmaf.score).unwrap_or(it.score + difference);
    fidelity.iter().map(|it| (score(it).clamp(0.0, 100.0), it.weight)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_are_measured_whole_and_the_rest_in_steps() {
        let sampling = Sampling { ends: 2, one_in: 4, viewed_one_in: 3 };
        assert_eq!(sampling.measured(16), [0, 1, 4, 8, 12, 14, 15]);
        assert_eq!(sampling.viewed(16), [1, 12]);
    }

    #[test]
    fn a_frame_stands_for_those_that_are_nearer_to_it_than_to_others() {
        assert_eq!(weights(&[0, 1, 5, 9], 10), [1.0, 2.5, 4.0, 2.5]);
        assert_eq!(weights(&[3], 10), [10.0]);
    }

    #[test]
    fn frames_that_are_not_looked_at_are_as_far_from_their_fidelity_as_the_others() {
        let score = |position, score, weight| FrameScore { position, score, weight };
        let fidelity = [score(0, 90.0, 1.0), score(5, 80.0, 8.0), score(9, 95.0, 1.0)];
        assert_eq!(shown(&fidelity, &[score(5, 60.0, 10.0)]), [(70.0, 1.0), (60.0, 8.0), (75.0, 1.0)]);
        assert_eq!(shown(&fidelity, &fidelity), [(90.0, 1.0), (80.0, 8.0), (95.0, 1.0)]);
    }

    proptest! {
        #[test]
        fn the_measured_frames_stand_for_all(frames in 1_u32..400, ends in 0_u32..6, one_in in 1_u32..40, viewed_one_in in 1_u32..5) {
            let sampling = Sampling { ends, one_in, viewed_one_in };
            let (measured, viewed) = (sampling.measured(frames), sampling.viewed(frames));
            prop_assert!(measured.is_sorted_by(|a, b| a < b) && measured.last().is_some_and(|&last| last < frames));
            prop_assert!(!viewed.is_empty() && viewed.iter().all(|it| measured.contains(it)));
            for positions in [measured, viewed] {
                let sum: f64 = weights(&positions, frames).iter().sum();
                prop_assert!((sum - f64::from(frames)).abs() < 1e-6, "{sum} of {frames}");
            }
        }

        #[test]
        fn frames_that_are_looked_at_count_as_they_are_shown(looked_at in proptest::collection::vec(any::<bool>(), 1..200)) {
            let score = |position: usize, score| FrameScore { position: position as u32, score, weight: 1.0 };
            let fidelity: Vec<_> = (0..looked_at.len()).map(|at| score(3 * at, 50.0)).collect();
            let looked_at: Vec<_> = (0..looked_at.len()).filter(|&at| looked_at[at]).collect();
            let vmaf: Vec<_> = looked_at.iter().map(|&at| score(3 * at, (at % 100) as f64)).collect();
            let shown = shown(&fidelity, &vmaf);
            prop_assert!(looked_at.iter().all(|&at| shown[at] == ((at % 100) as f64, 1.0)));
        }

        #[test]
        fn full_means_every_frame_once(frames in 1_u32..400) {
            prop_assert_eq!(Sampling::FULL.measured(frames), (0..frames).collect::<Vec<_>>());
            prop_assert_eq!(Sampling::FULL.viewed(frames), (0..frames).collect::<Vec<_>>());
        }
    }
}
