//! A ladder for what is in the picture: rungs that this content does not need are left out or lowered. Pure.

use serde::{Deserialize, Serialize};

use super::{Method, Rendition, VideoCodec};
use crate::quality::Target;

/// What a sample of the source came to on one rung.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The rung.
    pub rendition: Rendition,
    /// Bits a second.
    pub bit_rate: f64,
    /// Mean VMAF against the source scaled to the rung's own size.
    pub fidelity: f64,
    /// Mean VMAF of the rung, scaled to the size that the source is shown at, against the source.
    pub vmaf: f64,
}

/// What becomes of a rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It stays as it is.
    Kept,
    /// It takes fewer bits: it is better than asked.
    Lowered {
        /// The constant rate factor it is made at.
        crf: f32,
    },
    /// Another rung looks as good, for fewer bits.
    LeftOut {
        /// The name of that rung.
        instead: String,
    },
}

/// VMAF points between rungs that a viewer does not see: a third of the 6 points that are taken for a just noticeable
/// difference.
const UNSEEN: f64 = 2.0;

/// A rung is cheaper than another if it takes at most this share of its bits.
const CHEAPER: f64 = 0.9;

/// Points above the target from which on a rung is lowered, and how many are left to it then.
const FAR_ABOVE: f64 = 2.0;
const LEFT: f64 = 1.0;

/// Points of fidelity that a step of the rate factor costs, and the most steps that are taken on that assumption.
const SLOPE: f64 = 1.2;
const MOST_STEPS: f64 = 6.0;

/// The verdicts on `trials`, in their order. A rung is left out where a cheaper one of the same codec looks as good, or as
/// good as `target` asks for; a player of one codec may not play another. `lower` says whether rate factors may be changed;
/// the gate still makes sure that every chunk reaches `target`.
pub fn choose(trials: &[Trial], target: &Target, lower: bool) -> Vec<Verdict> {
    let mut order: Vec<usize> = (0..trials.len()).collect();
    order.sort_by(|&a, &b| trials[b].bit_rate.total_cmp(&trials[a].bit_rate));
    // What a rung has to look like: itself, and those that were left out in its favour; what is above the target is not
    // missed.
    let mut wanted: Vec<f64> = trials.iter().map(|it| it.vmaf.min(target.mean + UNSEEN)).collect();
    let mut instead: Vec<Option<usize>> = vec![None; trials.len()];
    for of in order {
        let codec = |at: usize| trials[at].rendition.codec();
        let cheaper = |it: &usize| {
            instead[*it].is_none() && codec(*it) == codec(of) && trials[*it].bit_rate <= CHEAPER * trials[of].bit_rate
        };
        let as_good = |it: &usize| trials[*it].vmaf >= wanted[of] - UNSEEN;
        let best =
            (0..trials.len()).filter(cheaper).filter(as_good).max_by(|&a, &b| by_quality(&trials[a], &trials[b]));
        if let Some(best) = best {
            wanted[best] = wanted[best].max(wanted[of]);
            instead[of] = Some(best);
        }
    }
    // The one that took another's place may have been left out itself.
    let last = |of: usize| std::iter::successors(instead[of], |&at| instead[at]).last();
    let stands_for_others = |of: usize| instead.contains(&Some(of));
    (0..trials.len())
        .map(|of| verdict(trials, &trials[of], last(of), target, lower && !stands_for_others(of)))
        .collect()
}

fn by_quality(a: &Trial, b: &Trial) -> std::cmp::Ordering {
    a.vmaf.total_cmp(&b.vmaf).then(b.bit_rate.total_cmp(&a.bit_rate))
}

fn verdict(trials: &[Trial], trial: &Trial, instead: Option<usize>, target: &Target, lower: bool) -> Verdict {
    if let Some(instead) = instead {
        return Verdict::LeftOut { instead: trials[instead].rendition.name.clone() };
    }
    let Method::Capped { crf, codec, .. } = trial.rendition.method else { return Verdict::Kept };
    let above = trial.fidelity - target.mean;
    if !lower || above < FAR_ABOVE {
        return Verdict::Kept;
    }
    // What is known of x264's factors, on the scale of this codec's.
    let factors = codec.factors();
    let steps = ((above - LEFT) / SLOPE).min(MOST_STEPS) * VideoCodec::H264.factors().slope / factors.slope;
    Verdict::Lowered { crf: factors.at_most(f64::from(crf) + steps) as f32 }
}

/// The renditions that the verdicts leave.
pub fn apply(trials: &[Trial], verdicts: &[Verdict]) -> Vec<Rendition> {
    let rendition = |(trial, verdict): (&Trial, &Verdict)| match verdict {
        Verdict::Kept => Some(trial.rendition.clone()),
        Verdict::LeftOut { .. } => None,
        Verdict::Lowered { crf: lowered } => {
            let mut rendition = trial.rendition.clone();
            if let Method::Capped { crf, .. } = &mut rendition.method {
                *crf = *lowered;
            }
            Some(rendition)
        }
    };
    trials.iter().zip(verdicts).filter_map(rendition).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::{BitRate, Ratio, Size};

    const TARGET: Target = Target { mean: 93.0, floor: 80.0, save: false };

    fn trial(name: &str, bit_rate: f64, fidelity: f64, vmaf: f64) -> Trial {
        let method = Method::h264(23.0, BitRate(5_000_000), 10_000_000, "medium");
        let size = Size { width: 64, height: 36 };
        let rendition = Rendition { name: name.to_owned(), size, sample_aspect: Ratio::ONE, method };
        Trial { rendition, bit_rate, fidelity, vmaf }
    }

    fn left_out(instead: &str) -> Verdict {
        Verdict::LeftOut { instead: instead.to_owned() }
    }

    #[test]
    fn rungs_that_look_different_stay() {
        let trials =
            [trial("hd", 4e6, 94.0, 94.0), trial("standard", 2e6, 94.0, 86.0), trial("mobile", 7e5, 94.0, 66.0)];
        assert_eq!(choose(&trials, &TARGET, true), [Verdict::Kept, Verdict::Kept, Verdict::Kept]);
        assert_eq!(apply(&trials, &[Verdict::Kept, Verdict::Kept, Verdict::Kept]).len(), 3);
    }

    #[test]
    fn a_rung_whose_quality_a_cheaper_one_reaches_is_left_out() {
        let trials =
            [trial("hd", 4e6, 94.0, 98.0), trial("standard", 2e6, 98.0, 93.0), trial("mobile", 7e5, 94.0, 75.0)];
        let verdicts = choose(&trials, &TARGET, true);
        assert_eq!(verdicts, [left_out("standard"), Verdict::Kept, Verdict::Kept]);
        let names: Vec<_> = apply(&trials, &verdicts).into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["standard", "mobile"]);
    }

    #[test]
    fn rungs_are_not_left_out_one_for_the_other_until_much_is_lost() {
        let trials =
            [trial("hd", 4e6, 94.0, 90.0), trial("standard", 2e6, 94.0, 88.5), trial("mobile", 7e5, 94.0, 87.0)];
        assert_eq!(choose(&trials, &TARGET, true), [left_out("standard"), Verdict::Kept, Verdict::Kept]);
    }

    #[test]
    fn a_rung_that_is_better_than_asked_is_lowered_unless_the_rate_factor_is_given() {
        let trials = [trial("hd", 4e6, 97.0, 97.0)];
        assert_eq!(choose(&trials, &TARGET, true), [Verdict::Lowered { crf: 25.5 }]);
        assert_eq!(choose(&trials, &TARGET, false), [Verdict::Kept]);
        let lowered = apply(&trials, &[Verdict::Lowered { crf: 25.5 }]);
        assert!(matches!(lowered[0].method, Method::Capped { crf, .. } if crf == 25.5));
    }

    proptest! {
        #[test]
        fn something_is_always_left_and_nothing_unseen_is_lost(
            rungs in proptest::collection::vec((1e5..1e7_f64, 50.0..100.0_f64), 1..7),
        ) {
            let trials: Vec<Trial> =
                rungs.iter().enumerate().map(|(at, &(rate, vmaf))| trial(&at.to_string(), rate, 93.0, vmaf)).collect();
            let verdicts = choose(&trials, &TARGET, true);
            let kept: Vec<&Trial> =
                trials.iter().zip(&verdicts).filter(|(_, it)| **it == Verdict::Kept).map(|(trial, _)| trial).collect();
            prop_assert!(!kept.is_empty());
            for (trial, verdict) in trials.iter().zip(&verdicts) {
                if let Verdict::LeftOut { .. } = verdict {
                    let enough = trial.vmaf.min(TARGET.mean + UNSEEN) - UNSEEN;
                    let replaces = |it: &&Trial| it.vmaf >= enough && it.bit_rate <= trial.bit_rate;
                    prop_assert!(kept.iter().any(replaces), "{trial:?} {verdicts:?}");
                }
            }
        }
    }
}
