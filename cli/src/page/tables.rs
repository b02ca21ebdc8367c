//! The tables of the page: renditions, audio tracks, what the run took, and what a user should know.

use std::collections::BTreeMap;

use vtp_engine::quality::Summary;
use vtp_stitcher::RenditionReport;

use super::html::{Column, Table, escape};
use crate::report::{Report, Timing};
use crate::text;

/// A measure of quality as the table of renditions shows it.
struct Measure {
    name: &'static str,
    of: fn(&RenditionReport) -> Option<Summary>,
    figures: &'static [Figure],
}

/// A figure of a summary, and what it is called.
type Figure = (&'static str, fn(&Summary) -> f64);

/// The measures; one that no rendition has takes no room.
const MEASURES: &[Measure] = &[
    Measure {
        name: "fidelity",
        of: |rendition| rendition.fidelity,
        figures: &[
            ("mean", |it| it.mean),
            ("harmonic", |it| it.harmonic_mean),
            ("p1", |it| it.p1),
            ("min", |it| it.min),
        ],
    },
    Measure { name: "VMAF", of: |rendition| rendition.vmaf, figures: &[("mean", |it| it.mean), ("p1", |it| it.p1)] },
];

/// The renditions, one a row.
pub(super) fn renditions(report: &Report) -> String {
    let is_there = |measure: &&Measure| report.renditions.iter().any(|rendition| (measure.of)(rendition).is_some());
    let measures: Vec<&Measure> = MEASURES.iter().filter(is_there).collect();
    let mut columns = vec![
        Column::words("rendition"),
        Column::numbers("size"),
        Column::numbers("bytes"),
        Column::numbers("average"),
        Column::numbers("peak"),
    ];
    for measure in &measures {
        let column = |figure: &Figure| Column { group: measure.name, ..Column::numbers(figure.0) };
        columns.extend(measure.figures.iter().map(column));
    }
    columns.extend([Column::numbers("below target"), Column::words("codec")]);
    let mut table = Table::new(columns);
    for rendition in &report.renditions {
        let mut cells = vec![
            rendition.name.clone(),
            format!("{} × {}", rendition.width, rendition.height),
            text::bytes(rendition.bytes),
            text::bit_rate(rendition.average_bandwidth),
            text::bit_rate(rendition.bandwidth),
        ];
        for measure in &measures {
            let summary = (measure.of)(rendition);
            let cell =
                |figure: &Figure| summary.as_ref().map_or("–".to_owned(), |it| format!("{:.1}", (figure.1)(it)));
            cells.extend(measure.figures.iter().map(cell));
        }
        let (below, is_amiss) = below_target(rendition);
        cells.extend([below, rendition.codec.clone()]);
        table.row(cells, is_amiss);
    }
    format!("<section>\n<h2>Renditions</h2>\n{}</section>\n", table.render())
}

/// How many of the chunks that were checked are not as good as asked, and whether any is.
fn below_target(rendition: &RenditionReport) -> (String, bool) {
    let checked = rendition.chunks.iter().filter_map(|chunk| chunk.met_target);
    let (all, below) = checked.fold((0, 0), |(all, below), met| (all + 1, below + usize::from(!met)));
    let words = if all == 0 { "–".to_owned() } else { format!("{below} of {all}") };
    (words, below > 0)
}

/// The audio tracks; nothing where there are none.
pub(super) fn audio(report: &Report) -> String {
    if report.audio.is_empty() {
        return String::new();
    }
    let mut table = Table::new(vec![
        Column::words("track"),
        Column::words("language"),
        Column::numbers("channels"),
        Column::numbers("samples a second"),
        Column::numbers("length"),
        Column::numbers("bytes"),
        Column::numbers("peak"),
        Column::words("codec"),
    ]);
    for track in &report.audio {
        let cells = [
            track.name.clone(),
            track.language.clone().unwrap_or_else(|| "–".to_owned()),
            track.channels.to_string(),
            text::count(track.sample_rate.into()),
            text::span(track.samples as f64 / f64::from(track.sample_rate.max(1))),
            text::bytes(track.bytes),
            text::bit_rate(track.bandwidth),
            track.codec.clone(),
        ];
        table.row(cells, false);
    }
    format!("<section>\n<h2>Sound</h2>\n{}</section>\n", table.render())
}

/// The tracks of subtitles and the captions in the video; nothing where there are none.
pub(super) fn subtitles(report: &Report) -> String {
    if report.subtitles.is_empty() && report.captions.is_empty() {
        return String::new();
    }
    let mut table = Table::new(vec![
        Column::words("track"),
        Column::words("language"),
        Column::words("shown as"),
        Column::numbers("cues"),
        Column::numbers("bytes"),
        Column::words("flags"),
    ]);
    for track in &report.subtitles {
        let flags = [(track.default, "default"), (track.forced, "forced")];
        let flags: Vec<&str> = flags.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        let cells = [
            track.name.clone(),
            track.language.clone(),
            track.title.clone(),
            text::count(track.cues),
            text::bytes(track.bytes),
            flags.join(", "),
        ];
        table.row(cells, false);
    }
    let table = if report.subtitles.is_empty() { String::new() } else { table.render() };
    let captions = match &report.captions[..] {
        [] => String::new(),
        channels => format!("<p>Captions in the video: {}</p>\n", escape(&channels.join(", "))),
    };
    format!("<section>\n<h2>Subtitles</h2>\n{table}{captions}</section>\n")
}

/// What the run took, as a whole and by stage.
pub(super) fn timing(report: &Report) -> String {
    let timing = &report.timing;
    let mut all = format!("{}, {} of CPU", text::span(timing.wall_s), text::span(timing.cpu_s));
    if timing.wall_s > 0.0 {
        all.push_str(&format!(", {:.2} times real time", report.source.duration_s / timing.wall_s));
    }
    if let Some(reused @ 1..) = timing.reused {
        all.push_str(&format!("; {} from the cache", text::plural(reused, "encoding")));
    }
    let mut table = Table::new(vec![Column::words("stage"), Column::numbers("on the clock"), Column::numbers("CPU")]);
    for (name, stage) in stages(timing) {
        let cell = |seconds: Option<f64>| seconds.map_or(String::new(), |seconds| format!("{seconds:.2} s"));
        table.row([name.to_owned(), cell(stage.wall_s), cell(stage.cpu_s)], false);
    }
    format!("<section class=time>\n<h2>Time</h2>\n<p>{all}</p>\n{}</section>\n", table.render())
}

/// What one stage took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Stage {
    wall_s: Option<f64>,
    cpu_s: Option<f64>,
}

/// The stages by name: `encode_wall_s` and `encode_cpu_s` are of one stage.
fn stages(timing: &Timing) -> BTreeMap<&str, Stage> {
    let mut stages: BTreeMap<&str, Stage> = BTreeMap::new();
    for (key, &seconds) in &timing.stages {
        match key.strip_suffix("_cpu_s") {
            Some(name) => stages.entry(name).or_default().cpu_s = Some(seconds),
            None => stages.entry(key.strip_suffix("_wall_s").unwrap_or(key)).or_default().wall_s = Some(seconds),
        }
    }
    stages
}

/// What a user should know; nothing where there is nothing.
pub(super) fn notes(report: &Report) -> String {
    let notes: String =
        (report.plan.reason.iter().chain(&report.warnings)).map(|words| format!("<li>{}\n", escape(words))).collect();
    if notes.is_empty() {
        return String::new();
    }
    format!("<section>\n<h2>Notes</h2>\n<ul class=notes>\n{notes}</ul>\n</section>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn renditions_are_listed_with_their_rates_and_scores() {
        let table = renditions(&report());
        let row = "<td>standard<td class=n>1280 × 720<td class=n>260 B<td class=n>13.0 kb/s<td class=n>26.0 kb/s\
                   <td class=n>94.5<td class=n>94.2<td class=n>88.0<td class=n>87.5<td class=n>94.5<td class=n>88.0\
                   <td class=n>0 of 2<td>avc1.64001f";
        assert!(table.contains(row), "{table}");
    }

    #[test]
    fn a_measure_that_nobody_took_has_no_columns() {
        let mut report = report();
        report.renditions[0].fidelity = None;
        assert!(!renditions(&report).contains("harmonic") && renditions(&report).contains("VMAF"));
    }

    #[test]
    fn a_rendition_with_chunks_below_the_target_stands_out() {
        let mut report = report();
        report.renditions[0].chunks[0].met_target = Some(false);
        let table = renditions(&report);
        assert!(table.contains("<tr class=bad>") && table.contains("1 of 2"), "{table}");
    }

    #[test]
    fn what_a_stage_took_by_both_clocks_stands_in_one_row() {
        let seconds = [("encode_cpu_s", 3.0), ("encode_wall_s", 2.0), ("index_wall_s", 1.0)];
        let stages_of = seconds.map(|(name, seconds)| (name.to_owned(), seconds)).into();
        let timing = Timing { wall_s: 3.0, cpu_s: 4.0, stages: stages_of, reused: None };
        let expected = [
            ("encode", Stage { wall_s: Some(2.0), cpu_s: Some(3.0) }),
            ("index", Stage { wall_s: Some(1.0), cpu_s: None }),
        ];
        assert_eq!(stages(&timing), expected.into());
    }

    #[test]
    fn a_silent_run_without_remarks_has_neither_table_nor_list() {
        let mut report = report();
        report.audio.clear();
        report.warnings.clear();
        report.plan.reason = None;
        assert_eq!(audio(&report) + &notes(&report), "");
    }
}
