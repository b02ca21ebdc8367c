//! What is made of measured quality. Pure: which frames are measured, what their scores come to, whether that is good
//! enough, and whether chunks join without a visible step.

use serde::{Deserialize, Serialize};

mod faithful;
mod gate;
mod joins;
mod sampling;

pub use faithful::{Fault, Likeness, Neighbour, fault};
pub use gate::{Decision, MOST_ATTEMPTS, Outcome, Target, Tried, decide, outcome};
pub use joins::{Cause, Edge, Encode, SampleSize, Side, Step, VISIBLE, is_improved, judge, step};
pub use sampling::{Sampling, shown, weights};

/// How quality is checked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Which frames are measured.
    pub sampling: Sampling,
    /// What is asked of them.
    pub target: Target,
}

/// The score of one measured frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameScore {
    /// The frame's position in its chunk.
    pub position: u32,
    /// VMAF, 0 to 100.
    pub score: f64,
    /// How many frames of the chunk it stands for, itself included.
    pub weight: f64,
}

/// What many scores come to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The mean.
    pub mean: f64,
    /// The harmonic mean (of scores plus one, less one, so that a score of zero can be averaged).
    pub harmonic_mean: f64,
    /// The first percentile: 1 % of the frames score less.
    pub p1: f64,
    /// The least.
    pub min: f64,
    /// How many frames were measured.
    pub measured: u32,
}

impl Summary {
    /// What scores come to, each with the number of frames that it stands for; `None` if there are none.
    pub fn of(scores: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        let mut scores: Vec<(f64, f64)> = scores.into_iter().filter(|(_, weight)| *weight > 0.0).collect();
        scores.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total: f64 = scores.iter().map(|(_, weight)| weight).sum();
        let (least, _) = *scores.first()?;
        let mean = scores.iter().map(|(score, weight)| score * weight).sum::<f64>() / total;
        let inverse = scores.iter().map(|(score, weight)| weight / (score + 1.0)).sum::<f64>();
        let mut passed = 0.0;
        let p1 = scores.iter().find(|(_, weight)| {
            passed += weight;
            passed >= total * 0.01
        });
        Some(Self {
            mean,
            harmonic_mean: total / inverse - 1.0,
            p1: p1.map_or(least, |(score, _)| *score),
            min: least,
            measured: u32::try_from(scores.len()).unwrap_or(u32::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_measured_comes_to_nothing() {
        assert_eq!(Summary::of([]), None);
    }

    #[test]
    fn a_frame_counts_as_often_as_frames_it_stands_for() {
        let summary = Summary::of([(90.0, 3.0), (50.0, 1.0)]).unwrap();
        assert_eq!((summary.mean, summary.min, summary.measured), (80.0, 50.0, 2));
    }

    #[test]
    fn the_first_percentile_leaves_one_frame_of_two_hundred_out() {
        let mut values = vec![(90.0, 1.0); 199];
        values.push((10.0, 1.0));
        let summary = Summary::of(values).unwrap();
        assert_eq!((summary.p1, summary.min), (90.0, 10.0));
    }

    proptest! {
        #[test]
        fn the_figures_stand_in_their_order(values in proptest::collection::vec((0.0..100.0_f64, 0.1..20.0_f64), 1..200)) {
            let summary = Summary::of(values).unwrap();
            prop_assert!(summary.min <= summary.p1);
            prop_assert!(summary.min <= summary.harmonic_mean + 1e-9);
            prop_assert!(summary.harmonic_mean <= summary.mean + 1e-9);
        }
    }
}
