//! The gate: whether what was encoded is good enough, and at what it is encoded again if not. Pure.
//!
//! A rendition of a chunk passes when the mean of its scores and their first percentile reach what is asked for. One
//! that misses is encoded again at a lower rate factor, found from the scores so far (a secant through the nearest two,
//! a usual slope where there is but one; over the logarithm of the odds, what a score lacks of 100 to what it has). Where
//! the rate cap is what keeps it from getting better, a more thorough search is tried if little is missing; else it is
//! left alone.

use serde::{Deserialize, Serialize};

use super::Summary;
use crate::ladder::{Factors, Search};

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
    /// How hard the encoder searched.
    pub search: Search,
    /// What its frames scored.
    pub scores: Summary,
    /// Size of its samples.
    pub bits: u64,
    /// Bits that its rate cap allows in its time.
    pub allowed_bits: f64,
    /// The rate factors there are.
    pub factors: Factors,
}

/// What is to be done after the attempts so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    /// Encode it again.
    Again {
        /// At this rate factor.
        crf: f64,
        /// Searching so hard.
        search: Search,
    },
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

/// The slopes that are believed of a secant, as multiples of the usual one ([`Factors::slope`]). That a score's odds double
/// as the factor rises, rather than grow by so much, holds from the best scores down to poor ones, as a logistic curve
/// does.
const SLOPES: std::ops::RangeInclusive<f64> = 0.35..=3.0;

/// Points above what is asked that a new attempt aims at.
const MARGIN: f64 = 0.3;

/// The same where bits are to be saved and no attempt went too far yet.
const SAVING_MARGIN: f64 = 0.1;

/// Points above what is asked from which on `save` makes another attempt.
const FAR_ABOVE: f64 = 0.5;

/// A chunk that takes this share of what its cap allows is held back by the cap: x264 leaves a little unused.
const AT_THE_CAP: f64 = 0.9;

/// Points that a thorough search may bring where the cap holds quality back.
const SEARCHED: f64 = 1.0;

/// Rate factors that differ by less make no difference.
const SAME: f64 = 0.2;

/// What to do after `tried`, of which there is at least one.
pub fn decide(target: &Target, tried: &[Tried]) -> Decision {
    let place = best(target, tried);
    let chosen = &tried[place];
    let outcome = outcome(target, chosen);
    let next = match outcome {
        _ if tried.len() >= MOST_ATTEMPTS => None,
        Outcome::Met if target.save && lacks(target, &chosen.scores) <= -FAR_ABOVE => Some(next_factor(target, tried)),
        Outcome::Met => None,
        Outcome::Capped => search_harder(target, chosen),
        Outcome::Missed => Some(next_factor(target, tried)),
    };
    let is_new = |next: &(f64, Search)| tried.iter().all(|it| it.search != next.1 || (it.crf - next.0).abs() > SAME);
    match next.filter(is_new) {
        Some((crf, search)) => Decision::Again { crf, search },
        None => Decision::Deliver(place, outcome),
    }
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

/// How often its odds must be halved until it is as good as asked; negative is how often they may double.
fn halvings(target: &Target, scores: &Summary) -> f64 {
    let halvings = |asked: f64, score: f64| (odds(score) / odds(asked)).log2();
    f64::max(halvings(target.mean, scores.mean), halvings(target.floor, scores.p1))
}

/// What a score lacks of 100 to what it has. Towards 100 VMAF cuts off, so that the best scores tell little of how far a
/// rate factor may rise.
fn odds(score: f64) -> f64 {
    let score = score.clamp(2.0, 98.0);
    (100.0 - score) / score
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

/// What the cap holds back a little may get there by a search that finds more for the same bits.
fn search_harder(target: &Target, tried: &Tried) -> Option<(f64, Search)> {
    let may_suffice =
        tried.factors.searches && tried.search < Search::Thorough && lacks(target, &tried.scores) <= SEARCHED;
    may_suffice.then_some((tried.crf, Search::Thorough))
}

/// Where the line through the two attempts nearest to what is asked reaches it, with a little to spare. Only attempts
/// that were searched as hard as the nearest make a line with it, and none whose quality the cap decided: of these the
/// one at the highest factor is the nearest to what its factor alone would give.
fn next_factor(target: &Target, tried: &[Tried]) -> (f64, Search) {
    let has_missed = tried.iter().any(|it| lacks(target, &it.scores) > 0.0);
    let margin = if target.save && !has_missed { SAVING_MARGIN } else { MARGIN };
    let goal = Target { mean: target.mean + margin, floor: target.floor + margin, ..*target };
    let (capped, free): (Vec<&Tried>, Vec<&Tried>) = tried.iter().partition(|it| is_capped(it));
    let capped = capped.into_iter().max_by(|a, b| a.crf.total_cmp(&b.crf));
    let mut near: Vec<(&Tried, f64)> =
        capped.into_iter().chain(free).map(|it| (it, halvings(&goal, &it.scores))).collect();
    near.sort_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
    let (nearest, halvings) = near[0];
    let makes_a_line = |it: &Tried| it.search == nearest.search && !is_capped(it) && !is_capped(nearest);
    let other = near[1..].iter().find(|(it, _)| makes_a_line(it));
    let secant = other.map(|(other, theirs)| (theirs - halvings) / (other.crf - nearest.crf));
    let usual = nearest.factors.slope;
    let slope = match secant {
        Some(secant) if secant.is_finite() => secant.clamp(SLOPES.start() * usual, SLOPES.end() * usual),
        _ => usual,
    };
    (nearest.factors.at_most(nearest.crf - halvings / slope), nearest.search)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ladder::VideoCodec;

    const TARGET: Target = Target { mean: 93.0, floor: 80.0, save: false };

    fn tried(crf: f64, mean: f64, p1: f64, bits: u64) -> Tried {
        let scores = Summary { mean, harmonic_mean: mean, p1, min: p1, measured: 10 };
        Tried {
            crf,
            search: Search::Preset,
            scores,
            bits,
            allowed_bits: 1_000_000.0,
            factors: VideoCodec::H264.factors(),
        }
    }

    fn again(crf: f64) -> Decision {
        Decision::Again { crf, search: Search::Preset }
    }

    #[test]
    fn what_is_good_enough_is_delivered() {
        assert_eq!(decide(&TARGET, &[tried(23.0, 95.0, 85.0, 500_000)]), Decision::Deliver(0, Outcome::Met));
    }

    #[test]
    fn a_low_mean_or_a_low_percentile_is_encoded_better() {
        // The odds are to fall from 10:90 to 6.7:93.3, or from 30:70 to 19.7:80.3.
        assert_eq!(decide(&TARGET, &[tried(23.0, 90.0, 85.0, 500_000)]), again(19.8));
        assert_eq!(decide(&TARGET, &[tried(23.0, 95.0, 70.0, 500_000)]), again(18.9));
    }

    #[test]
    fn what_the_cap_holds_back_is_not_tried_again_and_said_to_be_capped() {
        assert_eq!(decide(&TARGET, &[tried(23.0, 85.0, 70.0, 950_000)]), Decision::Deliver(0, Outcome::Capped));
    }

    #[test]
    fn what_the_cap_holds_back_a_little_is_searched_harder_once() {
        let preset = tried(23.0, 92.2, 84.0, 950_000);
        let thorough = Decision::Again { crf: 23.0, search: Search::Thorough };
        assert_eq!(decide(&TARGET, &[preset]), thorough);
        let searched = |mean| Tried { search: Search::Thorough, ..tried(23.0, mean, 84.0, 940_000) };
        assert_eq!(decide(&TARGET, &[preset, searched(93.1)]), Decision::Deliver(1, Outcome::Met));
        assert_eq!(decide(&TARGET, &[preset, searched(92.8)]), Decision::Deliver(1, Outcome::Capped));
        assert_eq!(decide(&TARGET, &[searched(92.8)]), Decision::Deliver(0, Outcome::Capped));
    }

    #[test]
    fn a_thorough_search_that_leaves_bits_to_spare_goes_on_with_them() {
        let thorough = Tried { search: Search::Thorough, ..tried(23.0, 92.6, 84.0, 850_000) };
        let decision = decide(&TARGET, &[tried(23.0, 92.2, 84.0, 950_000), thorough]);
        assert!(matches!(decision, Decision::Again { crf, search: Search::Thorough } if crf < 23.0), "{decision:?}");
    }

    #[test]
    fn two_points_make_a_secant() {
        let points = [tried(23.0, 90.0, 85.0, 500_000), tried(20.0, 92.4, 86.0, 600_000)];
        // They double in seven steps; from 7.6:92.4 they are to fall to 6.7:93.3.
        assert_eq!(decide(&TARGET, &points), again(18.6));
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
        let Decision::Again { crf: factor, .. } = decide(&target, &[first]) else { panic!("it should save") };
        assert!(factor > 25.0, "{factor}");
        let points = [first, tried(factor, 93.4, 90.0, 300_000)];
        assert_eq!(decide(&target, &points), Decision::Deliver(1, Outcome::Met));
        let points = [first, tried(factor, 91.0, 90.0, 300_000), tried(25.0, 93.3, 90.0, 350_000)];
        assert_eq!(decide(&target, &points), Decision::Deliver(2, Outcome::Met));
    }

    #[test]
    fn where_the_cap_decides_saving_goes_on_from_the_highest_factor() {
        let target = Target { save: true, ..TARGET };
        let points = [tried(14.0, 97.1, 95.0, 950_000), tried(20.0, 97.0, 95.0, 940_000)];
        let Decision::Again { crf, .. } = decide(&target, &points) else { panic!("there is more to save") };
        assert!((25.0..28.0).contains(&crf), "{crf}");
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
                    Decision::Again { crf: next, .. } => crf = next,
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
