//! What a trial of the rungs found: quality over bit rate, and what became of each rung.

use vtp_engine::ladder::smart::Verdict;

use super::axis::Axis;
use super::html::{Column, Table};
use super::panel::gutter;
use super::plot::{Plot, number};
use super::thin::Scores;
use crate::curves::Point;
use crate::report::Report;
use crate::text;

/// The section on the trial; nothing where there was none.
pub(super) fn render(report: &Report) -> String {
    let choices = &report.choices;
    if choices.is_empty() {
        return String::new();
    }
    let kilobits = |bits: u64| bits as f64 / 1000.0;
    let rates = Axis::quantities(choices.iter().map(|it| kilobits(it.bit_rate)).fold(0.0, f64::max));
    let lowest = choices.iter().map(|it| it.vmaf).chain(report.target.map(|target| target.mean));
    let scores = Axis::scores(lowest.fold(100.0, f64::min));
    let points: Vec<Point> = choices.iter().map(|it| Point(kilobits(it.bit_rate), it.vmaf)).collect();
    let mut plot = Plot::new(rates, scores);
    if let Some(target) = report.target {
        plot.level("target", target.mean);
    }
    plot.scores("vmaf", &Scores::of(&points, rates.to));
    let marks: String = rates
        .marks()
        .map(|mark| format!("<span style=\"left:{}%\">{}</span>", number(100.0 * rates.share(mark)), number(mark)))
        .collect();
    format!(
        "<section class=trial>\n<h2>Trial of the rungs <small>VMAF over kb/s, on a few segments</small></h2>\n\
         <div class=chart>\n{}{}<div class=times>{marks}</div>\n</div>\n{}</section>\n",
        gutter("scores", "VMAF", scores),
        plot.render("scores", "VMAF of the rungs over their bit rates"),
        table(report).render(),
    )
}

fn table(report: &Report) -> Table {
    let mut table = Table::new(vec![
        Column::words("rung"),
        Column::numbers("size"),
        Column::numbers("bit rate"),
        Column::numbers("fidelity"),
        Column::numbers("VMAF"),
        Column::words("verdict"),
    ]);
    for it in &report.choices {
        let verdict = match &it.verdict {
            Verdict::Kept => "kept".to_owned(),
            Verdict::Lowered { crf } => format!("made at a rate factor of {crf}: it is better than asked"),
            Verdict::LeftOut { instead } => format!("left out: {instead} is enough"),
        };
        let size = format!("{} × {}", it.width, it.height);
        let (rate, fidelity, vmaf) = (text::bit_rate(it.bit_rate), it.fidelity, it.vmaf);
        table.row([it.name.clone(), size, rate, format!("{fidelity:.1}"), format!("{vmaf:.1}"), verdict], false);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Choice, tests::report};

    #[test]
    fn rungs_that_were_tried_stand_with_what_became_of_them() {
        let mut report = report();
        assert_eq!(render(&report), "");
        let choice = |name: &str, bit_rate, vmaf, verdict| Choice {
            name: name.to_owned(),
            width: 1280,
            height: 720,
            bit_rate,
            fidelity: 97.04,
            vmaf,
            verdict,
        };
        report.choices = vec![
            choice("<hd>", 4_000_000, 95.0, Verdict::LeftOut { instead: "standard".to_owned() }),
            choice("standard", 1_500_000, 94.0, Verdict::Lowered { crf: 25.5 }),
        ];
        let page = render(&report);
        assert!(page.contains("<td>&lt;hd&gt;") && page.contains("left out: standard is enough"), "{page}");
        assert!(page.contains("rate factor of 25.5") && page.contains("vmaf line"), "{page}");
    }
}
