//! A plot: values over time as SVG. It is stretched to the width that there is, so lines keep their width by themselves
//! (`vector-effect`), dots are strokes of no length, and words stand outside of it.

use std::fmt::Write as _;

use super::axis::Axis;
use super::thin::{Scores, Stretch};
use crate::curves::{Point, SegmentSize};

/// Width of the drawing in its own units.
const WIDTH: f64 = 1000.0;
/// Height of the drawing in its own units.
const HEIGHT: f64 = 100.0;
/// Curves of more points than this are lines without dots.
const MOST_DOTS: usize = 400;
/// More upright lines than this would be a grey wall.
const MOST_UPRIGHTS: usize = 120;
/// Height of a tick in the drawing's units.
const TICK: f64 = 3.0;
/// More bars than this stand without gaps.
const MOST_GAPS: usize = 200;

/// A drawing that grows by what is put into it, the first at the bottom.
#[derive(Debug)]
pub(super) struct Plot {
    time: Axis,
    value: Axis,
    drawn: String,
}

impl Plot {
    /// A plot with lines at the marks of its values.
    pub(super) fn new(time: Axis, value: Axis) -> Self {
        let mut plot = Self { time, value, drawn: String::new() };
        let grid: String = value.marks().map(|mark| plot.level_path(mark)).collect();
        plot.path("grid", &grid);
        plot
    }

    /// Its markup, with `label` for those who don't see it.
    pub(super) fn render(&self, class: &str, label: &str) -> String {
        format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=none role=img aria-label=\"{}\">\n{}</svg>\n",
            super::html::escape(label),
            self.drawn
        )
    }

    /// Scores as a curve: over a band, or with dots if they are few.
    pub(super) fn scores(&mut self, class: &str, scores: &Scores) {
        self.band(class, &scores.band);
        self.curve(class, &scores.line);
    }

    /// The space between the lows and the highs.
    fn band(&mut self, class: &str, stretches: &[Stretch]) {
        let corner = |(at, value)| format!("{} {}", self.x(at), self.y(value));
        let highs = stretches.iter().map(|it| (it.at_s, it.high));
        let lows = stretches.iter().rev().map(|it| (it.at_s, it.low));
        let corners: Vec<String> = highs.chain(lows).map(corner).collect();
        if !corners.is_empty() {
            self.path(&format!("{class} band"), &format!("M{}z", corners.join(" ")));
        }
    }

    fn curve(&mut self, class: &str, points: &[Point]) {
        let mut line = String::new();
        let mut dots = String::new();
        for point in points {
            let (x, y) = (self.x(point.0), self.y(point.1));
            let _ = write!(line, "{x},{y} ");
            let _ = write!(dots, "M{x} {y}h0");
        }
        let _ = writeln!(self.drawn, "<polyline class=\"{class} line\" points=\"{}\"/>", line.trim_end());
        if points.len() <= MOST_DOTS {
            self.path(&format!("{class} dots"), &dots);
        }
    }

    /// A line across the whole plot.
    pub(super) fn level(&mut self, class: &str, value: f64) {
        let path = self.level_path(value);
        self.path(class, &path);
    }

    /// Lines from top to bottom; ticks at the bottom alone, if they are many.
    pub(super) fn uprights(&mut self, class: &str, times: impl ExactSizeIterator<Item = f64>) {
        let top = if times.len() <= MOST_UPRIGHTS { 0.0 } else { HEIGHT - TICK };
        let path: String = times.map(|time| format!("M{} {top}V{HEIGHT}", self.x(time))).collect();
        self.path(class, &path);
    }

    /// A level stroke over each stretch of time: from, to, value.
    pub(super) fn steps(&mut self, class: &str, steps: impl Iterator<Item = (f64, f64, f64)>) {
        let step = |(from, to, value)| format!("M{} {}H{}", self.x(from), self.y(value), self.x(to));
        let path: String = steps.map(step).collect();
        self.path(class, &path);
    }

    /// A filled box over each stretch of time: from, to, lowest and highest value.
    pub(super) fn boxes(&mut self, class: &str, boxes: impl Iterator<Item = (f64, f64, f64, f64)>) {
        let path: String = boxes.map(|(from, to, low, high)| self.box_path(from, to, low, high)).collect();
        self.path(class, &path);
    }

    /// A bar for the rate of each segment, in kilobits a second.
    pub(super) fn bars(&mut self, segments: &[SegmentSize]) {
        let class = if segments.len() <= MOST_GAPS { "bars gaps" } else { "bars" };
        let bars = segments.iter().filter_map(|it| Some((it.start_s, it.start_s + it.duration_s, 0.0, kilobits(it)?)));
        self.boxes(class, bars);
    }

    fn path(&mut self, class: &str, path: &str) {
        if !path.is_empty() {
            let _ = writeln!(self.drawn, "<path class=\"{class}\" d=\"{path}\"/>");
        }
    }

    fn level_path(&self, value: f64) -> String {
        format!("M0 {}H{WIDTH}", self.y(value))
    }

    fn box_path(&self, from: f64, to: f64, low: f64, high: f64) -> String {
        format!("M{} {}V{}H{}V{}", self.x(from), self.y(low), self.y(high), self.x(to), self.y(low))
    }

    fn x(&self, time: f64) -> String {
        number(WIDTH * self.time.share(time))
    }

    fn y(&self, value: f64) -> String {
        number(HEIGHT * (1.0 - self.value.share(value)))
    }
}

/// The rate of a segment in kilobits a second; `None` for one that takes no time.
pub(super) fn kilobits(segment: &SegmentSize) -> Option<f64> {
    (segment.duration_s > 0.0).then(|| segment.bytes as f64 * 8.0 / 1000.0 / segment.duration_s)
}

/// A number with at most two decimals, in as few letters as it needs.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> Plot {
        Plot { time: Axis::time(10.0), value: Axis::scores(84.0), drawn: String::new() }
    }

    #[test]
    fn time_goes_to_the_right_and_scores_go_up() {
        let mut plot = plot();
        plot.curve("fidelity", &[Point(0.0, 80.0), Point(5.0, 100.0), Point(7.5, 90.0)]);
        assert!(plot.drawn.contains("points=\"0,100 500,0 750,50\""), "{}", plot.drawn);
        assert!(plot.drawn.contains("d=\"M0 100h0M500 0h0M750 50h0\""), "{}", plot.drawn);
    }

    #[test]
    fn what_is_out_of_range_is_drawn_at_the_edge() {
        let mut plot = plot();
        plot.curve("fidelity", &[Point(-3.0, 101.0), Point(1e300, -7.0)]);
        assert!(plot.drawn.contains("points=\"0,0 1000,100\""), "{}", plot.drawn);
    }

    #[test]
    fn many_points_are_a_band_under_their_means() {
        let mut plot = plot();
        let band = vec![Stretch { at_s: 0.0, low: 80.0, high: 90.0 }, Stretch { at_s: 5.0, low: 85.0, high: 100.0 }];
        plot.scores("fidelity", &Scores { line: vec![Point(0.0, 85.0), Point(5.0, 95.0)], band });
        assert!(
            plot.drawn.contains("<path class=\"fidelity band\" d=\"M0 50 500 0 500 75 0 100z\"/>"),
            "{}",
            plot.drawn
        );
    }

    #[test]
    fn very_many_joins_are_ticks() {
        let mut plot = plot();
        plot.uprights("joins", [5.0].into_iter());
        assert!(plot.drawn.contains("d=\"M500 0V100\""), "{}", plot.drawn);
        plot.uprights("joins", [5.0; 500].into_iter());
        assert!(plot.drawn.contains("d=\"M500 97V100M500 97V100"), "{}", plot.drawn);
    }

    #[test]
    fn a_segment_is_as_high_as_its_rate_and_one_without_length_is_left_out() {
        let mut plot = Plot { value: Axis::quantities(400.0), ..plot() };
        let segment = |start_s, duration_s| SegmentSize { start_s, duration_s, bytes: 100_000 };
        plot.bars(&[segment(0.0, 4.0), segment(4.0, 0.0), segment(4.0, 2.0)]);
        assert!(plot.drawn.contains("d=\"M0 100V50H400V100M400 100V0H600V100\""), "{}", plot.drawn);
    }

    #[test]
    fn numbers_take_no_more_letters_than_they_need() {
        assert_eq!([1.0, 0.5, 99.994, 0.001, 120.0].map(number), ["1", "0.5", "99.99", "0", "120"]);
    }
}
