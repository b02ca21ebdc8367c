//! The gate: whether what was encoded is good enough, and at what it is encoded again if not. Pure.
//!
//! A rendition of a chunk passes when the mean of its scores and their first percentile reach what is asked for. One
//! that misses is encoded again at a lower rate factor, found from the scores so far (a secant through the nearest two;
//! a usual slope where there is but one). Where the rate cap is what keeps it from getting better, it is left alone.

use serde::{Deserialize, Serialize};

use super::Summary;

/// What is asked of every chunk of every rendition.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The least mean of the scores.
    pub mean: f64,
    /// The least first percentile.
    pub floor: f64,
    /// Whether a chunk far above both is encoded again to take fewer bits.
    pub save: bool,
}

impl Default for Target {
    /// Better than most viewers can tell from the source, and nowhere bad.
    fn default() -> Self {
        Self { mean: 93.0, floor: 80.0, save: false }
    }
}

/// One way a chunk was encoded, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tried {
    /// The constant rate factor.
    pub crf: f64,
    /// What its frames scored.
    pub scores: Summary,
    /// Size of its samples.
    pub bits: u64,
    /// Bits that its rate cap allows in its time.
    pub allowed_bits: f64,
}

/// What is to be done after the attempts so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    /// Encode it again at this rate factor.
    Again(f64),
    /// Deliver the attempt at this place in the list.
    Deliver(usize, Outcome),
}

/// How a delivered chunk stands to what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is as good as asked.
    Met,
    /// The rate cap does not allow what was asked.
    Capped,
    /// It is not as good as asked, although the cap would allow better.
    Missed,
}

/// The most times a rendition of a chunk is encoded.
pub const MOST_ATTEMPTS: usize = 3;

/// Points a score usually falls by when the rate factor rises by one.
pub(super) const USUAL_SLOPE: f64 = 1.2;

/// The slopes that are believed of a secant.
const SLOPES: std::ops::RangeInclusive<f64> = 0.3..=6.0;

/// Points above what is asked that a new attempt aims at.
const MARGIN: f64 = 0.3;

/// The same where bits are to be saved.
const SAVING_MARGIN: f64 = 0.1;

/// Points above what is asked from which on `save` makes another attempt.
const FAR_ABOVE: f64 = 0.5;

/// A chunk that takes this share of what its cap allows is held back by the cap: x264 leaves a little unused.
const AT_THE_CAP: f64 = 0.9;

/// The rate factors there are.
pub(super) const FACTORS: std::ops::RangeInclusive<f64> = 1.0..=51.0;

/// What to do after `tried`, of which there is at least one.
pub fn decide(target: &Target, tried: &[Tried]) -> Decision {
    let place = best(target, tried);
    let chosen = &tried[place];
    let deliver = |outcome| Decision::Deliver(place, outcome);
    let outcome = outcome(target, chosen);
    let is_final = match outcome {
        Outcome::Met => !target.save || lacks(target, &chosen.scores) > -FAR_ABOVE,
        Outcome::Capped => true,
        Outcome::Missed => false,
    };
    if is_final || tried.len() >= MOST_ATTEMPTS {
        return deliver(outcome);
    }
    let next = next_factor(target, tried);
    let is_new = tried.iter().all(|it| (it.crf - next).abs() > 0.2);
    if is_new { Decision::Again(next) } else { deliver(outcome) }
}

/// How an encode stands to what is asked.
pub fn outcome(target: &Target, tried: &Tried) -> Outcome {
    match (lacks(target, &tried.scores) <= 0.0, is_capped(tried)) {
        (true, _) => Outcome::Met,
        (false, true) => Outcome::Capped,
        (false, false) => Outcome::Missed,
    }
}

/// By how many points it misses what is asked; negative is what it exceeds it by.
fn lacks(target: &Target, scores: &Summary) -> f64 {
    f64::max(target.mean - scores.mean, target.floor - scores.p1)
}

/// Whether the rate cap holds it back.
pub(super) fn is_capped(tried: &Tried) -> bool {
    tried.bits as f64 >= AT_THE_CAP * tried.allowed_bits
}

/// The attempt to deliver: of those that are good enough the smallest, else the best.
fn best(target: &Target, tried: &[Tried]) -> usize {
    let good = tried.iter().enumerate().filter(|(_, it)| lacks(target, &it.scores) <= 0.0);
    let smallest = good.min_by_key(|(_, it)| it.bits);
    let nearest =
        || tried.iter().enumerate().min_by(|a, b| lacks(target, &a.1.scores).total_cmp(&lacks(target, &b.1.scores)));
    smallest.or_else(nearest).map_or(0, |(place, _)| place)
}

/// Where the line through the two attempts nearest to what is asked reaches it, with a little to spare.
fn next_factor(target: &Target, tried: &[Tried]) -> f64 {
    let mut near: Vec<&Tried> = tried.iter().collect();
    near.sort_by(|a, b| lacks(target, &a.scores).abs().total_cmp(&lacks(target, &b.scores).abs()));
    let nearest = near[0];
    let slope = near.get(1).map_or(USUAL_SLOPE, |other| {
        let secant = (lacks(target, &other.scores) - lacks(target, &nearest.scores)) / (other.crf - nearest.crf);
        if secant.is_finite() { secant.clamp(*SLOPES.start(), *SLOPES.end()) } else { USUAL_SLOPE }
    });
    let margin = if target.save { SAVING_MARGIN } else { MARGIN };
    let wanted = nearest.crf - (lacks(target, &nearest.scores) + margin) / slope;
    ((wanted * 10.0).floor() / 10.0).clamp(*FACTORS.start(), *FACTORS.end())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TARGET: Target = Target { mean: 93.0, floor: 80.0, save: false };

    fn tried(crf: f64, mean: f64, p1: f64, bits: u64) -> Tried {
        let scores = Summary { mean, harmonic_mean: mean, p1, min: p1, measured: 10 };
        Tried { crf, scores, bits, allowed_bits: 1_000_000.0 }
    }

    #[test]
    fn what_is_good_enough_is_delivered() {
        assert_eq!(decide(&TARGET, &[tried(23.0, 95.0, 85.0, 500_000)]), Decision::Deliver(0, Outcome::Met));
    }

    #[test]
    fn a_low_mean_or_a_low_percentile_is_encoded_better() {
        for missed in [tried(23.0, 90.0, 85.0, 500_000), tried(23.0, 95.0, 77.0, 500_000)] {
            assert_eq!(decide(&TARGET, &[missed]), Decision::Again(20.2));
        }
    }

    #[test]
    fn what_the_cap_holds_back_is_not_tried_again_and_said_to_be_capped() {
        assert_eq!(decide(&TARGET, &[tried(23.0, 85.0, 70.0, 950_000)]), Decision::Deliver(0, Outcome::Capped));
    }

    #[test]
    fn two_points_make_a_secant() {
        let points = [tried(23.0, 90.0, 85.0, 500_000), tried(20.0, 92.4, 86.0, 600_000)];
        // 0.8 points a step: 0.6 and the margin are 1.125 steps away.
        assert_eq!(decide(&TARGET, &points), Decision::Again(18.8));
    }

    #[test]
    fn after_three_attempts_the_best_is_delivered_as_missed() {
        let points =
            [tried(23.0, 90.0, 85.0, 400_000), tried(20.0, 92.9, 86.0, 500_000), tried(19.5, 92.0, 86.0, 510_000)];
        assert_eq!(decide(&TARGET, &points), Decision::Deliver(1, Outcome::Missed));
    }

    #[test]
    fn saving_goes_down_to_what_is_asked_and_delivers_the_smallest_that_is_good_enough() {
        let target = Target { save: true, ..TARGET };
        let first = tried(23.0, 98.0, 95.0, 500_000);
        let Decision::Again(factor) = decide(&target, &[first]) else { panic!("it should save") };
        assert!(factor > 25.0, "{factor}");
        let points = [first, tried(factor, 93.4, 90.0, 300_000)];
        assert_eq!(decide(&target, &points), Decision::Deliver(1, Outcome::Met));
        let points = [first, tried(factor, 91.0, 90.0, 300_000), tried(25.0, 93.3, 90.0, 350_000)];
        assert_eq!(decide(&target, &points), Decision::Deliver(2, Outcome::Met));
    }

    proptest! {
        /// Content whose score falls with the factor along some curve.
        #[test]
        fn a_reachable_target_is_met_in_three_attempts_or_nearly(
            top in 94.0..100.0_f64, slope in 0.5..2.5_f64, bend in 0.0..0.05_f64, start in 18.0..30.0_f64,
        ) {
            let score = |crf: f64| (top - slope * (crf - 14.0) - bend * (crf - 14.0).powi(2)).clamp(0.0, 100.0);
            prop_assume!(score(6.0) > 93.5);
            let mut points = Vec::new();
            let mut crf = start;
            let outcome = loop {
                points.push(tried(crf, score(crf), 90.0, 1000));
                match decide(&TARGET, &points) {
                    Decision::Again(next) => crf = next,
                    Decision::Deliver(place, outcome) => break (points[place].scores.mean, outcome),
                }
            };
            prop_assert!(points.len() <= MOST_ATTEMPTS);
            prop_assert!(outcome.0 > 92.0, "{outcome:?} after {points:?}");
        }

        #[test]
        fn every_story_ends_with_the_best_of_its_attempts(scores in proptest::collection::vec((50.0..100.0_f64, 40.0..100.0_f64), 3), save: bool) {
            let target = Target { save, ..TARGET };
            let points: Vec<Tried> =
                scores.iter().zip(1..).map(|(&(mean, p1), at)| tried(20.0 + f64::from(at), mean, p1.min(mean), 1000)).collect();
            let Decision::Deliver(place, outcome) = decide(&target, &points) else { panic!("three are enough") };
            let any_good = points.iter().any(|it| lacks(&target, &it.scores) <= 0.0);
            prop_assert_eq!(any_good, outcome == Outcome::Met);
            prop_assert!(lacks(&target, &points[place].scores) <= 0.0 || points.iter().all(|it| lacks(&target, &it.scores) >= lacks(&target, &points[place].scores)));
        }
    }
}
