//! Fewer points and bars for the same picture: what a screen has no columns for is put together. Pure.

use crate::curves::{Point, SegmentSize};

/// Points that are drawn one by one; more are put together by column.
const MOST_POINTS: usize = 1500;

/// Columns of the plot that points are put together in.
const COLUMNS: usize = 500;

/// Bars that are drawn at most.
const MOST_BARS: usize = 1000;

/// Scores over time, ready to be drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scores {
    /// The points in the order of time: single frames or, where there is a band, means of its columns.
    pub(super) line: Vec<Point>,
    /// From where to where the frames of each column go; empty where frames are drawn one by one.
    pub(super) band: Vec<Stretch>,
}

/// The range of the scores that are drawn at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stretch {
    pub(super) at_s: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Scores {
    /// The scores of `points`, which lie between 0 and `end_s`.
    pub(super) fn of(points: &[Point], end_s: f64) -> Self {
        let mut line = points.to_vec();
        line.sort_by(|a, b| a.0.total_cmp(&b.0));
        if line.len() <= MOST_POINTS {
            return Self { line, band: Vec::new() };
        }
        let column = |point: &Point| ((point.0 / end_s * COLUMNS as f64) as usize).min(COLUMNS - 1);
        line.chunk_by(|a, b| column(a) == column(b)).map(together).collect()
    }

    /// The lowest score there is.
    pub(super) fn lowest(&self) -> Option<f64> {
        let lows = self.band.iter().map(|stretch| stretch.low);
        self.line.iter().map(|point| point.1).chain(lows).reduce(f64::min)
    }
}

impl FromIterator<(Point, Stretch)> for Scores {
    fn from_iter<I: IntoIterator<Item = (Point, Stretch)>>(columns: I) -> Self {
        let (line, band) = columns.into_iter().unzip();
        Self { line, band }
    }
}

/// The mean and the range of some points, of which there is one at least.
fn together(points: &[Point]) -> (Point, Stretch) {
    let mean = |of: fn(&Point) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let middle = Point(mean(|it| it.0), mean(|it| it.1));
    let extreme = |pick: fn(f64, f64) -> f64| points.iter().map(|it| it.1).fold(points[0].1, pick);
    (middle, Stretch { at_s: middle.0, low: extreme(f64::min), high: extreme(f64::max) })
}

/// The bars of `segments`, no more than [`MOST_BARS`], and how many segments each is the mean of.
pub(super) fn bars(segments: &[SegmentSize]) -> (Vec<SegmentSize>, usize) {
    let each = segments.len().div_ceil(MOST_BARS).max(1);
    let merged = |run: &[SegmentSize]| SegmentSize {
        start_s: run[0].start_s,
        duration_s: run.iter().map(|segment| segment.duration_s).sum(),
        bytes: run.iter().map(|segment| segment.bytes).fold(0, u64::saturating_add),
    };
    (segments.chunks(each).map(merged).collect(), each)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_points_stay_as_they_are_in_the_order_of_time() {
        let points_of = |times: &[f64]| times.iter().map(|&t| Point(t, 90.0)).collect::<Vec<_>>();
        let scores = Scores::of(&points_of(&[2.0, 0.0, 1.0]), 3.0);
        assert_eq!(scores, Scores { line: points_of(&[0.0, 1.0, 2.0]), band: Vec::new() });
    }

    #[test]
    fn many_segments_become_bars_of_their_mean_rate() {
        let segment = |place: u32| SegmentSize { start_s: f64::from(place), duration_s: 1.0, bytes: 10 };
        let (bars, each) = bars(&(0..2500).map(segment).collect::<Vec<_>>());
        assert_eq!((bars.len(), each), (834, 3));
        assert_eq!(bars[1], SegmentSize { start_s: 3.0, duration_s: 3.0, bytes: 30 });
    }

    proptest! {
        #[test]
        fn no_dip_and_no_peak_of_many_points_is_lost(scores in proptest::collection::vec(0.0..100.0_f64, 1501..6000)) {
            let end_s = scores.len() as f64;
            let all: Vec<Point> = scores.iter().zip(0..).map(|(&score, at)| Point(f64::from(at), score)).collect();
            let kept = Scores::of(&all, end_s);
            prop_assert_eq!((kept.line.len(), kept.band.len()), (COLUMNS, COLUMNS));
            prop_assert!(kept.line.is_sorted_by(|a, b| a.0 < b.0));
            prop_assert_eq!(kept.lowest(), scores.iter().copied().reduce(f64::min));
            let highest = kept.band.iter().map(|stretch| stretch.high).reduce(f64::max);
            prop_assert_eq!(highest, scores.iter().copied().reduce(f64::max));
        }
    }
}
