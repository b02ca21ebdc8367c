//! The join check: whether a viewer sees where two chunks of a rendition meet, why, and what would mend it. Pure.
//!
//! The frames on both sides of a join are held against each other, and each side against its own chunk. A step is the
//! encoding's doing if the worse side sags (it scores clearly less than its chunk does, on no more bits, and the other
//! side does not), or if it was made at a rate factor so much higher that it shows. Then the chunk on that
//! side is to be encoded once more, at a matched factor: down towards its neighbour's, as far as the step needs. All else
//! is content, as at a cut between scenes: what comes is harder to encode, and the viewer has something else to look at.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::gate;
use super::{FrameScore, Target, Tried};

/// Points of VMAF from which on a step counts as visible. A convention, not a law: about six points are taken for one
/// just noticeable difference, which three viewers of four see (R. Rassool, "VMAF reproducibility", IEEE BMSB 2017;
/// J. Ozer, "Finding the Just Noticeable Difference with Netflix VMAF", 2017). It is one of whole clips; that it holds for
/// a step in mid-film is not established.
pub const VISIBLE: f64 = 6.0;

/// Points below a visible step that a repair aims at. It aims no lower, for what closes the step at one end of a chunk
/// opens one at its other end.
const TO_SPARE: f64 = 1.0;

/// Points below its own chunk from which on an edge sags.
const SAGS: f64 = VISIBLE / 2.0;

/// Points that different rate factors account for at the usual slope, from which on a step is theirs. What is not will be
/// left when the factors are matched.
const ACCOUNTED: f64 = VISIBLE / 2.0;

/// The most that a repair lowers a rate factor by, in points of VMAF that it usually brings. In H.264 that is a factor of
/// six, which halves the quantizer's step (ITU-T H.264, 8.5.9) and takes about twice the bits.
const MOST_CHANGE: f64 = 6.0 * 1.2;

/// The least change of a rate factor that is worth encoding a chunk again.
const LEAST_CHANGE: f64 = 0.2;

/// Points a score usually falls by while its odds double.
const USUAL_FALL: f64 = 6.0;

/// Frames at each end of a chunk that count as near the join, half a second of film; no more than half of the chunk.
const NEAR: usize = 12;

/// What the join check looks at in one encode of a chunk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Encode {
    /// The encode as a whole.
    pub tried: Tried,
    /// The frames near the join with the chunk before.
    pub start: Edge,
    /// The frames near the join with the chunk after.
    pub end: Edge,
    /// Whether it is a repair already.
    pub is_repair: bool,
}

/// The frames of an encode near one of its joins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edge {
    /// Mean score of those that were measured, but of sync samples only if no others were: they score more than what
    /// follows them (by 12 points at a rate factor of 36), at every start of a segment.
    pub score: f64,
    /// Their mean size against that of all frames of the chunk. Sync samples, which are large wherever they stand, count
    /// in neither; `None` if there are no others.
    pub share: Option<f64>,
}

/// A sample's size, in presentation order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleSize {
    /// In bytes.
    pub bytes: u32,
    /// Whether decoding can start here.
    pub sync: bool,
}

/// One side of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The chunk that is shown first.
    Before,
    /// The chunk that is shown next.
    After,
}

/// Where a visible step comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// From what is shown.
    Content,
    /// From how it was encoded.
    Encoding,
}

/// A visible step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// By how many points the frames after the join score more than those before it.
    pub points: f64,
    /// The side that scores less.
    pub worse: Side,
    /// Where it comes from.
    pub cause: Cause,
    /// The rate factor at which the worse side is to be encoded again; `None` if that is of no use: the step is the
    /// content's, the rate cap holds that side back, or it is a repair already.
    pub factor: Option<f64>,
}

impl Encode {
    /// An encode whose measured frames have these scores and whose samples have these sizes, in presentation order.
    /// `None` if no frame near one of its ends was measured.
    pub fn new(tried: Tried, scores: &[FrameScore], sizes: &[SampleSize]) -> Option<Self> {
        let near = NEAR.min(sizes.len() / 2).max(1);
        let edge = |frames| Edge::new(frames, scores, sizes);
        let (start, end) = (edge(0..near)?, edge(sizes.len().saturating_sub(near)..sizes.len())?);
        Some(Self { tried, start, end, is_repair: false })
    }
}

impl Edge {
    fn new(frames: Range<usize>, scores: &[FrameScore], sizes: &[SampleSize]) -> Option<Self> {
        let near = || scores.iter().filter(|it| frames.contains(&(it.position as usize)));
        let is_sync = |it: &&FrameScore| sizes.get(it.position as usize).is_some_and(|size| size.sync);
        let others = mean(near().filter(|it| !is_sync(it)).map(|it| it.score));
        let score = others.or_else(|| mean(near().map(|it| it.score)))?;
        let of_all = mean_size(sizes).filter(|mean| *mean > 0.0);
        let of_these = sizes.get(frames.clone()).and_then(mean_size);
        Some(Self { score, share: of_these.zip(of_all).map(|(these, all)| these / all) })
    }

    /// Whether it scores clearly less than its chunk, on no more bits than its share. Frames that take more and score
    /// less are hard.
    fn sags(&self, of: &Encode) -> bool {
        of.tried.scores.mean - self.score >= SAGS && self.share.is_none_or(|share| share <= 1.0)
    }
}

fn mean_size(sizes: &[SampleSize]) -> Option<f64> {
    mean(sizes.iter().filter(|it| !it.sync).map(|it| it.bytes.into()))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// By how many points the frames after the join score more than those before it.
pub fn step(before: &Encode, after: &Encode) -> f64 {
    after.start.score - before.end.score
}

/// What a viewer sees where `before` and `after` join; `None` is nothing.
pub fn judge(before: &Encode, after: &Encode) -> Option<Step> {
    let points = step(before, after);
    if points.abs() < VISIBLE {
        return None;
    }
    let (worse, (own, edge), (other, beside)) = match points > 0.0 {
        true => (Side::Before, (before, &before.end), (after, &after.start)),
        false => (Side::After, (after, &after.start), (before, &before.end)),
    };
    let sags = edge.sags(own) && !beside.sags(other);
    let is_coarser = (own.tried.crf - other.tried.crf) * usual_slope(own) >= ACCOUNTED;
    if !sags && !is_coarser {
        return Some(Step { points, worse, cause: Cause::Content, factor: None });
    }
    // Below its neighbour's factor a chunk is matched, and what is left of the step is content; but where it sags.
    let least = if sags { own.tried.factors.least } else { other.tried.crf };
    Some(Step { points, worse, cause: Cause::Encoding, factor: matched(own, points.abs(), least) })
}

/// Points a score of this encode usually falls by when its rate factor rises by one.
fn usual_slope(of: &Encode) -> f64 {
    USUAL_FALL * of.tried.factors.slope
}

/// The factor, not below `least`, at which a chunk that is `gap` points worse than its neighbour joins it well.
fn matched(own: &Encode, gap: f64, least: f64) -> Option<f64> {
    let (crf, factors) = (own.tried.crf, own.tried.factors);
    let wanted = factors.at_most(crf - (gap - VISIBLE + TO_SPARE) / usual_slope(own));
    let factor = wanted.max(crf - MOST_CHANGE / usual_slope(own)).max(least).max(factors.least);
    (crf - factor >= LEAST_CHANGE && !own.is_repair && !gate::is_capped(&own.tried)).then_some(factor)
}

/// Whether the repair `again` is better than `first`, between neighbours as they were first encoded: a visible step down
/// to it becomes smaller, no other one appears, its bits stay within its cap, and it is as good as asked if `first` was.
pub fn is_improved(
    target: &Target,
    first: &Encode,
    again: &Encode,
    before: Option<&Encode>,
    after: Option<&Encode>,
) -> bool {
    let is_met = |it: &Encode| gate::outcome(target, &it.tried) == gate::Outcome::Met;
    let fits = again.tried.bits as f64 <= again.tried.allowed_bits;
    // How much it rises above its neighbour, first and again.
    let at_start = before.map(|it| (step(it, first), step(it, again)));
    let at_end = after.map(|it| (-step(first, it), -step(again, it)));
    let joins = || at_start.into_iter().chain(at_end);
    let mends = joins().any(|(was, is)| was <= -VISIBLE && is > was);
    let spoils = joins().any(|(was, is)| match was {
        _ if was <= -VISIBLE => is <= was || is >= VISIBLE,
        _ if was < VISIBLE => is.abs() >= VISIBLE,
        _ => false,
    });
    mends && !spoils && fits && (is_met(again) || !is_met(first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ladder::{Search, VideoCodec};
    use crate::quality::Summary;

    const TARGET: Target = Target { mean: 80.0, floor: 40.0, save: false };

    /// Half of what its cap allows, each edge with its share of the bits.
    fn encode(crf: f64, mean: f64, start: f64, end: f64) -> Encode {
        let scores = Summary { mean, harmonic_mean: mean, p1: mean - 10.0, min: mean - 10.0, measured: 9 };
        let factors = VideoCodec::H264.factors();
        let tried = Tried { crf, search: Search::Preset, scores, bits: 500_000, allowed_bits: 1_000_000.0, factors };
        let edge = |score| Edge { score, share: Some(1.0) };
        Encode { tried, start: edge(start), end: edge(end), is_repair: false }
    }

    fn mirrored(it: Encode) -> Encode {
        Encode { start: it.end, end: it.start, ..it }
    }

    fn capped(it: Encode) -> Encode {
        Encode { tried: Tried { bits: 950_000, ..it.tried }, ..it }
    }

    #[test]
    fn a_step_below_the_just_noticeable_is_none() {
        assert_eq!(judge(&encode(30.0, 90.0, 90.0, 90.0), &encode(20.0, 95.9, 95.9, 95.9)), None);
    }

    #[test]
    fn a_cut_to_a_harder_scene_is_content() {
        let step = judge(&encode(23.0, 97.0, 97.0, 97.0), &encode(23.0, 89.0, 89.0, 89.0)).unwrap();
        assert_eq!(step, Step { points: -8.0, worse: Side::After, cause: Cause::Content, factor: None });
    }

    #[test]
    fn frames_that_take_more_bits_and_score_less_are_content() {
        let mut before = encode(23.0, 95.0, 95.0, 86.0);
        before.end.share = Some(1.8);
        assert_eq!(judge(&before, &encode(23.0, 95.0, 95.0, 95.0)).unwrap().cause, Cause::Content);
    }

    #[test]
    fn an_edge_that_sags_is_encoded_better_as_far_as_the_step_needs() {
        let step = judge(&encode(23.0, 95.0, 95.0, 86.0), &encode(23.0, 95.0, 95.0, 95.0)).unwrap();
        // Four points, of which the usual slope needs 3.33 factors.
        assert_eq!(step, Step { points: 9.0, worse: Side::Before, cause: Cause::Encoding, factor: Some(19.6) });
    }

    #[test]
    fn where_both_edges_sag_it_is_the_content() {
        let step = judge(&encode(23.0, 95.0, 95.0, 78.0), &encode(23.0, 95.0, 86.0, 95.0)).unwrap();
        assert_eq!(step.cause, Cause::Content);
    }

    #[test]
    fn a_coarser_chunk_is_matched_to_its_neighbour_and_not_beyond() {
        let fine = encode(28.0, 93.0, 93.0, 93.0);
        let step = judge(&encode(38.0, 84.0, 84.0, 84.0), &fine).unwrap();
        assert_eq!((step.cause, step.factor), (Cause::Encoding, Some(34.6)));
        let step = judge(&encode(30.4, 84.0, 84.0, 84.0), &encode(28.0, 93.0, 93.0, 93.0)).unwrap();
        assert_eq!((step.cause, step.factor), (Cause::Content, None), "factors account for too little");
        let step = judge(&encode(33.0, 81.0, 81.0, 81.0), &fine).unwrap();
        assert_eq!(step.factor, Some(28.0), "what is left of the step is content");
    }

    #[test]
    fn a_repair_halves_the_quantizer_at_most() {
        let step = judge(&encode(40.0, 60.0, 60.0, 60.0), &encode(20.0, 95.0, 95.0, 95.0)).unwrap();
        assert_eq!(step.factor, Some(34.0));
    }

    #[test]
    fn what_the_rate_cap_holds_back_is_left_as_it_is() {
        let step = judge(&capped(encode(23.0, 95.0, 95.0, 86.0)), &encode(23.0, 95.0, 95.0, 95.0)).unwrap();
        assert_eq!((step.cause, step.factor), (Cause::Encoding, None));
    }

    #[test]
    fn edges_are_the_frames_near_the_ends_but_for_sync_samples() {
        let score = |position, score| FrameScore { position, score, weight: 10.0 };
        let size = |at: u32| SampleSize { bytes: if at >= 36 { 50 } else { 150 }, sync: at == 0 };
        let mut sizes: Vec<_> = (0..48).map(size).collect();
        sizes[0].bytes = 9000;
        let scores =
            [score(0, 99.0), score(8, 90.0), score(11, 94.0), score(24, 10.0), score(36, 80.0), score(47, 60.0)];
        let it = Encode::new(encode(23.0, 90.0, 0.0, 0.0).tried, &scores, &sizes).unwrap();
        assert_eq!((it.start.score, it.end.score), (92.0, 70.0));
        let only_sync = Encode::new(it.tried, &[scores[0], scores[4], scores[5]], &sizes).unwrap();
        assert_eq!(only_sync.start.score, 99.0);
        let mean = (35.0 * 150.0 + 12.0 * 50.0) / 47.0;
        assert_eq!((it.start.share, it.end.share), (Some(150.0 / mean), Some(50.0 / mean)));
    }

    #[test]
    fn a_chunk_of_one_frame_is_its_own_edges_and_one_that_was_not_measured_has_none() {
        let tried = encode(23.0, 90.0, 0.0, 0.0).tried;
        let sizes = [SampleSize { bytes: 9, sync: true }];
        let it = Encode::new(tried, &[FrameScore { position: 0, score: 90.0, weight: 1.0 }], &sizes).unwrap();
        assert_eq!((it.start, it.end), (Edge { score: 90.0, share: None }, Edge { score: 90.0, share: None }));
        assert_eq!(Encode::new(tried, &[], &sizes), None);
        assert_eq!(Encode::new(tried, &[], &[]), None);
    }

    #[test]
    fn a_repair_is_taken_if_it_closes_the_step_and_opens_none() {
        let first = encode(38.0, 84.0, 84.0, 84.0);
        let again = encode(34.6, 88.0, 88.0, 88.0);
        let (level, fine) = (encode(38.0, 84.0, 84.0, 84.0), encode(28.0, 93.0, 93.0, 93.0));
        let is_taken = |again: &Encode, before: &Encode| is_improved(&TARGET, &first, again, Some(before), Some(&fine));
        assert!(is_taken(&again, &level));
        assert!(!is_taken(&again, &encode(38.0, 81.0, 81.0, 81.0)), "a step opens at its other end");
        assert!(!is_taken(&encode(34.6, 83.0, 83.0, 83.0), &level), "it is no better");
        assert!(!is_taken(&encode(34.6, 88.0, 88.0, 100.0), &level), "now it is better than its neighbour");
        assert!(!is_taken(&encode(34.6, 79.0, 88.0, 88.0), &level), "it is no more as good as asked");
        let over = Encode { tried: Tried { bits: 1_000_001, ..again.tried }, ..again };
        assert!(!is_taken(&over, &level), "it exceeds its cap");
        assert!(is_improved(&TARGET, &first, &again, None, Some(&fine)), "it is the first of all");
    }

    prop_compose! {
        fn any_encode()(
            crf in 1.0..51.0_f64, scores in [0.0..100.0_f64, 0.0..100.0_f64, 0.0..100.0_f64],
            shares in [proptest::option::of(0.1..4.0_f64), proptest::option::of(0.1..4.0_f64)],
            bits in 100_000_u64..1_000_000, is_repair: bool,
        ) -> Encode {
            let mut it = encode(crf, scores[0], scores[1], scores[2]);
            (it.tried.bits, it.is_repair) = (bits, is_repair);
            (it.start.share, it.end.share) = (shares[0], shares[1]);
            it
        }
    }

    proptest! {
        #[test]
        fn a_join_is_judged_the_same_from_both_sides(a in any_encode(), b in any_encode()) {
            let turned = judge(&mirrored(b), &mirrored(a)).map(|step| Step {
                points: -step.points,
                worse: match step.worse { Side::Before => Side::After, Side::After => Side::Before },
                ..step
            });
            prop_assert_eq!(judge(&a, &b), turned);
        }

        #[test]
        fn content_is_never_repaired_and_neither_is_a_repair_nor_what_its_cap_holds_back(a in any_encode(), b in any_encode()) {
            let Some(step) = judge(&a, &b) else { return Ok(()) };
            let worse = if step.worse == Side::Before { a } else { b };
            if step.cause == Cause::Content || worse.is_repair || gate::is_capped(&worse.tried) {
                prop_assert_eq!(step.factor, None);
            }
        }

        #[test]
        fn a_repair_is_finer_by_a_little_or_more_and_within_bounds(a in any_encode(), b in any_encode()) {
            let Some(step) = judge(&a, &b) else { return Ok(()) };
            let (worse, better) = if step.worse == Side::Before { (a, b) } else { (b, a) };
            let edge = |it: &Encode, side| if side == Side::Before { it.end } else { it.start };
            if let Some(factor) = step.factor {
                prop_assert!((1.0..=51.0).contains(&factor));
                prop_assert!((LEAST_CHANGE..=6.0 + 1e-9).contains(&(worse.tried.crf - factor)));
                prop_assert!(factor >= better.tried.crf || edge(&worse, step.worse).sags(&worse));
            }
        }
    }
}
