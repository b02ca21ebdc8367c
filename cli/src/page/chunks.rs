//! The chunks of a rendition: how long each is, what is to be said of it, and the table of all.

use std::fmt::Write as _;

use vtp_engine::ladder::Search;
use vtp_engine::quality::Outcome;
use vtp_stitcher::{ChunkReport, RenditionReport};

use super::html::{Column, Table, escape};
use super::plot::{kilobits, number};
use crate::curves::SegmentSize;
use crate::text;

/// A narrower box, in hundredths of the plot's width, has no room for a number.
const LEAST_WIDTH: f64 = 1.6;

/// A chunk and when it ends, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk<'a> {
    pub(super) report: &'a ChunkReport,
    pub(super) end_s: f64,
}

/// The chunks of `rendition`; each ends where the next one starts, the last one at `end_s`.
pub(super) fn of(rendition: &RenditionReport, end_s: f64) -> Vec<Chunk<'_>> {
    let ends = rendition.chunks.iter().skip(1).map(|next| next.start_s).chain([end_s]);
    let pairs = rendition.chunks.iter().zip(ends);
    pairs.map(|(report, end_s)| Chunk { report, end_s: end_s.max(report.start_s) }).collect()
}

impl Chunk<'_> {
    /// Whether it is not as good as asked.
    pub(super) fn misses(&self) -> bool {
        self.report.met_target == Some(false)
    }

    /// The chunk as if it were one segment.
    pub(super) fn size(&self) -> SegmentSize {
        let start_s = self.report.start_s;
        SegmentSize { start_s, duration_s: self.end_s - start_s, bytes: self.report.bytes }
    }

    fn rate(&self) -> Option<String> {
        kilobits(&self.size()).map(|rate| text::bit_rate((rate * 1000.0).round() as u64))
    }

    /// All that is known of it, in lines.
    pub(super) fn told(&self) -> String {
        let chunk = self.report;
        let (from, to) = (text::moment(chunk.start_s), text::moment(self.end_s));
        let mut told =
            format!("chunk {}, {from} to {to}, {}\n", chunk.index, text::plural(chunk.frames.into(), "frame"));
        // Writing to a string cannot fail.
        let _ = write!(
            told,
            "{} by {}{}{}",
            text::plural(chunk.attempts.into(), "attempt"),
            chunk.encoder,
            crf(chunk.crf, ", crf "),
            search(chunk.search)
        );
        if let Some(scores) = chunk.fidelity {
            let _ = write!(told, "\nfidelity {:.1}, p1 {:.1}, min {:.1}", scores.mean, scores.p1, scores.min);
        }
        if let Some(outcome) = chunk.outcome {
            let _ = write!(told, "\n{}", sentence(outcome));
        }
        let _ = write!(told, "\n{}", text::bytes(chunk.bytes));
        if let Some(rate) = self.rate() {
            let _ = write!(told, ", {rate}");
        }
        told
    }

    /// The box over its time in all plots, `left` to `right` in hundredths of their width.
    pub(super) fn markup(&self, left: f64, right: f64) -> String {
        let class = match (self.misses(), self.report.attempts > 1) {
            (true, _) => "chunk miss",
            (false, true) => "chunk again",
            (false, false) => "chunk",
        };
        let badge = match self.report.attempts {
            0 | 1 => String::new(),
            _ if right - left < LEAST_WIDTH => "<b class=thin></b>".to_owned(),
            attempts => format!("<b>{attempts}</b>"),
        };
        let (left, width, told) = (number(left), number(right - left), escape(&self.told()));
        format!("<div class=\"{class}\" style=\"left:{left}%;width:{width}%\" title=\"{told}\">{badge}</div>\n")
    }
}

fn crf(crf: Option<f32>, before: &str) -> String {
    crf.map_or(String::new(), |crf| format!("{before}{}", number(crf.into())))
}

fn search(search: Search) -> &'static str {
    match search {
        Search::Preset => "",
        Search::Thorough => ", thorough search",
    }
}

fn sentence(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Met => "as good as asked",
        Outcome::Capped => "not as good as asked: the rate cap allows no more",
        Outcome::Missed => "not as good as asked",
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Met => "met",
        Outcome::Capped => "capped",
        Outcome::Missed => "missed",
    }
}

/// The table of all chunks; those that are not as good as asked stand out.
pub(super) fn table(chunks: &[Chunk<'_>]) -> String {
    let fidelity = |name| Column { group: "fidelity", ..Column::numbers(name) };
    let mut table = Table::new(vec![
        Column::numbers("chunk"),
        Column::numbers("start"),
        Column::numbers("length"),
        Column::numbers("frames"),
        Column::numbers("bytes"),
        Column::numbers("average"),
        Column::numbers("attempts"),
        Column::numbers("crf"),
        fidelity("mean"),
        fidelity("p1"),
        fidelity("min"),
        Column::words("outcome"),
        Column::words("encoder"),
    ]);
    for chunk in chunks {
        let report = chunk.report;
        let score = |pick: fn(&vtp_engine::quality::Summary) -> f64| {
            report.fidelity.as_ref().map_or(String::new(), |scores| format!("{:.1}", pick(scores)))
        };
        let cells = [
            report.index.to_string(),
            text::moment(report.start_s),
            format!("{:.2} s", chunk.end_s - report.start_s),
            text::count(report.frames.into()),
            text::bytes(report.bytes),
            chunk.rate().unwrap_or_default(),
            report.attempts.to_string(),
            crf(report.crf, ""),
            score(|scores| scores.mean),
            score(|scores| scores.p1),
            score(|scores| scores.min),
            report.outcome.map_or(String::new(), |outcome| word(outcome).to_owned()),
            report.encoder.clone() + search(report.search),
        ];
        table.row(cells, chunk.misses());
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn a_chunk_ends_where_the_next_one_starts_and_the_last_one_with_the_source() {
        let report = report();
        let ends: Vec<f64> = of(&report.renditions[0], 0.16).iter().map(|chunk| chunk.end_s).collect();
        assert_eq!(ends, [0.08, 0.16]);
    }

    #[test]
    fn a_chunk_is_told_with_its_attempts_its_factor_and_its_outcome() {
        let mut report = report();
        let chunk = &mut report.renditions[0].chunks[1];
        (chunk.attempts, chunk.crf, chunk.search) = (3, Some(19.4), Search::Thorough);
        (chunk.met_target, chunk.outcome) = (Some(false), Some(Outcome::Capped));
        let expected = "\
chunk 1, 0:00.08 to 0:00.16, 2 frames
3 attempts by libx264, crf 19.4, thorough search
fidelity 94.5, p1 88.0, min 87.5
not as good as asked: the rate cap allows no more
120 B, 12.0 kb/s";
        assert_eq!(of(&report.renditions[0], 0.16)[1].told(), expected);
    }

    #[test]
    fn a_chunk_that_misses_is_shaded_and_one_encoded_again_has_a_badge() {
        let mut report = report();
        report.renditions[0].chunks[0].met_target = Some(false);
        let chunks = of(&report.renditions[0], 0.16);
        assert!(chunks[0].markup(0.0, 50.0).starts_with("<div class=\"chunk miss\" style=\"left:0%;width:50%\""));
        assert!(chunks[1].markup(50.0, 100.0).ends_with("<b>2</b></div>\n"));
        assert!(chunks[1].markup(50.0, 50.5).ends_with("<b class=thin></b></div>\n"));
    }
}
