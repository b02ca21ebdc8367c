//! The panel of one rendition: its scores and, beneath them on the same time axis, its bits; over both its chunks.

use std::fmt::Write as _;

use vtp_engine::quality::Target;
use vtp_stitcher::RenditionReport;

use super::axis::Axis;
use super::chunks::{self, Chunk};
use super::html::escape;
use super::joins;
use super::plot::{Plot, kilobits, number};
use super::thin::{self, Scores};
use crate::curves::{Curve, Point, SegmentSize};
use crate::text;

/// What one panel shows.
#[derive(Debug)]
pub(super) struct Panel<'a> {
    rendition: &'a RenditionReport,
    target: Option<Target>,
    /// The axis that all panels share.
    time: Axis,
    chunks: Vec<Chunk<'a>>,
    fidelity: Scores,
    vmaf: Scores,
    /// Whether the one measure is the other, as for a rendition of the display's size; it is drawn once then.
    is_one_measure: bool,
    /// Its segments or, where they are not known, its chunks.
    bars: Vec<SegmentSize>,
    /// What a bar is the rate of.
    bar: String,
}

impl<'a> Panel<'a> {
    pub(super) fn new(
        rendition: &'a RenditionReport,
        curve: Option<&Curve>,
        target: Option<Target>,
        time: Axis,
    ) -> Self {
        let chunks = chunks::of(rendition, time.to);
        let scores = |of: fn(&Curve) -> &[Point]| curve.map_or_else(Scores::default, |it| Scores::of(of(it), time.to));
        let is_one_measure = curve.is_some_and(|curve| !curve.vmaf.is_empty() && curve.vmaf == curve.fidelity);
        let of_chunks: Vec<SegmentSize> = chunks.iter().map(Chunk::size).collect();
        let segments = curve.map(|curve| curve.segments.as_slice()).filter(|segments| !segments.is_empty());
        let (bars, each) = thin::bars(segments.unwrap_or(&of_chunks));
        let noun = if segments.is_some() { "segment" } else { "chunk" };
        Self {
            rendition,
            target,
            time,
            fidelity: scores(|curve| &curve.fidelity),
            vmaf: if is_one_measure { Scores::default() } else { scores(|curve| &curve.vmaf) },
            is_one_measure,
            chunks,
            bars,
            bar: if each == 1 { format!("of each {noun}") } else { format!("of each {each} {noun}s") },
        }
    }

    /// Its markup.
    pub(super) fn render(&self) -> String {
        let RenditionReport { name, width, height, .. } = self.rendition;
        let (name, scores, rates) = (escape(name), self.scores(), self.rates());
        let (marks, low, top) = (self.time_marks(), number(scores.from), number(rates.to));
        let mut charts = String::new();
        if self.is_measured() {
            charts.push_str(&gutter("scores", "VMAF", scores));
            charts.push_str(&self.score_plot(scores));
        }
        charts.push_str(&gutter("rates", "kb/s", rates));
        charts.push_str(&self.rate_plot(rates));
        let class = if self.is_measured() { "chart" } else { "chart unmeasured" };
        format!(
            "<section class=panel>\n<h2>{name} <small>{width} × {height}</small></h2>\n{keys}\
             <div class=\"{class}\" data-end={end} data-low={low} data-top={top}>\n{charts}\
             <div class=chunks>\n{chunks}{steps}<i class=cursor></i></div>\n<div class=times>{marks}</div>\n</div>\n\
             <details><summary>{count}</summary>\n{table}</details>\n</section>\n",
            keys = self.keys(),
            end = self.time.to,
            chunks = self.chunk_boxes(),
            steps = self.step_marks(),
            count = text::plural(self.chunks.len() as u64, "chunk"),
            table = chunks::table(&self.chunks),
        )
    }

    fn is_measured(&self) -> bool {
        !self.fidelity.line.is_empty() || !self.vmaf.line.is_empty() || self.summaries().next().is_some()
    }

    /// From, to, first percentile and mean of the fidelity of each measured chunk.
    fn summaries(&self) -> impl Iterator<Item = (f64, f64, f64, f64)> {
        self.chunks.iter().filter_map(|chunk| {
            let scores = chunk.report.fidelity?;
            Some((chunk.report.start_s, chunk.end_s, scores.p1, scores.mean))
        })
    }

    fn scores(&self) -> Axis {
        let points = [self.fidelity.lowest(), self.vmaf.lowest()].into_iter().flatten();
        let summaries = self.summaries().map(|(.., p1, _)| p1).filter(|_| self.fidelity.line.is_empty());
        Axis::scores(points.chain(summaries).chain(self.target.map(|target| target.mean)).fold(100.0, f64::min))
    }

    fn rates(&self) -> Axis {
        let peak = self.rendition.bandwidth as f64 / 1000.0;
        Axis::quantities(self.bars.iter().filter_map(kilobits).fold(peak, f64::max))
    }

    fn joins(&self) -> impl ExactSizeIterator<Item = f64> {
        self.chunks.iter().skip(1).map(|chunk| chunk.report.start_s)
    }

    fn score_plot(&self, scores: Axis) -> String {
        let mut plot = Plot::new(self.time, scores);
        plot.uprights("joins", self.joins());
        if let Some(target) = self.target {
            if self.shows_floor(scores) {
                plot.level("floor", target.floor);
            }
            plot.level("target", target.mean);
        }
        if self.fidelity.line.is_empty() {
            plot.boxes("fidelity band", self.summaries());
            plot.steps("fidelity mean", self.summaries().map(|(from, to, _, mean)| (from, to, mean)));
        }
        if !self.vmaf.line.is_empty() {
            plot.scores("vmaf", &self.vmaf);
        }
        if !self.fidelity.line.is_empty() {
            plot.scores("fidelity", &self.fidelity);
        }
        plot.render("scores", &format!("Quality of {} over time", self.rendition.name))
    }

    fn shows_floor(&self, scores: Axis) -> bool {
        self.target.is_some_and(|target| target.floor >= scores.from)
    }

    fn rate_plot(&self, rates: Axis) -> String {
        let mut plot = Plot::new(self.time, rates);
        plot.bars(&self.bars);
        plot.uprights("joins", self.joins());
        plot.level("peak", self.rendition.bandwidth as f64 / 1000.0);
        plot.level("average", self.rendition.average_bandwidth as f64 / 1000.0);
        plot.render("rates", &format!("Bits of {} over time", self.rendition.name))
    }

    fn chunk_boxes(&self) -> String {
        let place = |time| 100.0 * self.time.share(time);
        self.chunks.iter().map(|chunk| chunk.markup(place(chunk.report.start_s), place(chunk.end_s))).collect()
    }

    fn step_marks(&self) -> String {
        let place = |time| 100.0 * self.time.share(time);
        self.rendition.joins.iter().map(|join| joins::markup(join, place(join.at_s))).collect()
    }

    fn time_marks(&self) -> String {
        let mark = |time: f64| {
            let at = if self.time.step < 1.0 { text::moment(time) } else { text::clock(time) };
            format!("<span style=\"left:{}%\">{at}</span>", number(100.0 * self.time.share(time)))
        };
        self.time.marks().map(mark).collect()
    }

    /// What is drawn how. The boxes hide a curve when they are unticked, by the style sheet alone.
    fn keys(&self) -> String {
        let mut keys = String::from("<div class=keys>");
        let mut key = |class: &str, hides: bool, words: &str| {
            let tick = if hides { format!("<input type=checkbox checked value={class}>") } else { String::new() };
            // Writing to a string cannot fail.
            let _ = write!(keys, "<label>{tick}<i class=\"key {class}\"></i>{words}</label>");
        };
        let how = |scores: &Scores| if scores.band.is_empty() { "" } else { ": mean, lowest and highest" };
        if !self.fidelity.line.is_empty() {
            let size = if self.is_one_measure { "its own size, which is the display’s" } else { "its own size" };
            key("fidelity", true, &format!("fidelity, at {size}{}", how(&self.fidelity)));
        } else if self.summaries().next().is_some() {
            key("fidelity", true, "fidelity of each chunk: mean, and down to its first percentile");
        }
        if !self.vmaf.line.is_empty() {
            key("vmaf", true, &format!("VMAF, at the display’s size{}", how(&self.vmaf)));
        }
        if let Some(target) = self.target.filter(|_| self.is_measured()) {
            key("target", false, &format!("mean asked for: {}", number(target.mean)));
            if self.shows_floor(self.scores()) {
                key("floor", false, &format!("first percentile asked for: {}", number(target.floor)));
            }
        }
        key("bars", false, &format!("bit rate {}", self.bar));
        key("average", false, &format!("average {}", text::bit_rate(self.rendition.average_bandwidth)));
        key("peak", false, &format!("peak {}", text::bit_rate(self.rendition.bandwidth)));
        if self.chunks.iter().any(|chunk| chunk.report.attempts > 1) {
            key("again", false, "encoded again: attempts");
        }
        if self.chunks.iter().any(Chunk::misses) {
            key("miss", false, "not as good as asked");
        }
        for kind in joins::kinds(&self.rendition.joins) {
            key(&format!("step {}", kind.class()), false, kind.words());
        }
        keys.push_str("</div>\n");
        keys
    }
}

/// The words at the left of a plot: the unit above, and the values of its marks.
pub(super) fn gutter(class: &str, unit: &str, axis: Axis) -> String {
    let mark = |value: f64| {
        let words = if axis.step < 1.0 { number(value) } else { text::count(value.round() as u64) };
        format!("<span style=\"bottom:{}%\">{words}</span>", number(100.0 * axis.share(value)))
    };
    let marks: String = axis.marks().map(mark).collect();
    format!("<div class=\"unit {class}\">{unit}</div><div class=\"values {class}\">{marks}</div>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    fn curve(fidelity: Vec<Point>) -> Curve {
        let segments = vec![SegmentSize { start_s: 0.0, duration_s: 0.16, bytes: 260 }];
        Curve { name: "standard".to_owned(), fidelity, vmaf: Vec::new(), segments }
    }

    #[test]
    fn without_curves_a_panel_is_drawn_from_the_chunks_summaries() {
        let report = report();
        let panel = Panel::new(&report.renditions[0], None, report.target, Axis::time(0.16)).render();
        assert!(panel.contains("class=\"fidelity band\"") && panel.contains("class=\"fidelity mean\""), "{panel}");
        assert!(panel.contains("bit rate of each chunk") && !panel.contains("polyline"), "{panel}");
    }

    #[test]
    fn with_curves_it_is_drawn_from_frames_and_segments() {
        let report = report();
        let curve = curve(vec![Point(0.0, 95.0), Point(0.08, 88.0)]);
        let panel = Panel::new(&report.renditions[0], Some(&curve), report.target, Axis::time(0.16)).render();
        assert!(panel.contains("class=\"fidelity line\"") && !panel.contains("band"), "{panel}");
        assert!(panel.contains("bit rate of each segment") && panel.contains("mean asked for: 93"), "{panel}");
    }

    #[test]
    fn two_measures_that_are_one_are_drawn_once() {
        let report = report();
        let points = vec![Point(0.0, 95.0), Point(0.08, 88.0)];
        let curve = Curve { vmaf: points.clone(), ..curve(points) };
        let panel = Panel::new(&report.renditions[0], Some(&curve), report.target, Axis::time(0.16)).render();
        assert!(panel.contains("its own size, which is the display’s"), "{panel}");
        assert_eq!(panel.matches("polyline").count(), 1);
    }

    #[test]
    fn what_was_not_measured_has_bits_and_no_scores() {
        let mut report = report();
        report.renditions[0].chunks.iter_mut().for_each(|chunk| chunk.fidelity = None);
        let panel = Panel::new(&report.renditions[0], Some(&curve(Vec::new())), None, Axis::time(0.16)).render();
        assert!(panel.contains("chart unmeasured") && !panel.contains("VMAF"), "{panel}");
    }

    #[test]
    fn a_floor_below_what_is_shown_does_not_stretch_the_axis() {
        let mut report = report();
        report.target = Some(Target { mean: 93.0, floor: 20.0, save: false });
        let panel = Panel::new(&report.renditions[0], None, report.target, Axis::time(0.16)).render();
        assert!(panel.contains("data-low=85") && !panel.contains("floor"), "{panel}");
    }
}
