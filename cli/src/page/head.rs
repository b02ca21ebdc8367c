//! The top of the page: what the source is, and the verdicts on it.

use vtp_engine::quality::Outcome;
use vtp_stitcher::ChunkReport;

use super::html::escape;
use super::plot::number;
use crate::report::{Proof, Report};
use crate::text;

/// Its markup.
pub(super) fn render(report: &Report) -> String {
    format!(
        "<header>\n<p class=brand>VideoTranscode Pro</p>\n<h1>Encoding report</h1>\n<dl class=facts>{}</dl>\n\
         <div class=verdicts>\n{}{}</div>\n</header>\n",
        facts(report),
        proof(&report.proof),
        quality(report)
    )
}

fn facts(report: &Report) -> String {
    let source = &report.source;
    let facts = [
        ("Source", format!("{} × {}", source.width, source.height)),
        ("Frame rate", format!("{} fps", text::rate(source.fps))),
        ("Codec", source.codec.clone()),
        ("Duration", text::span(source.duration_s)),
        ("Frames", text::count(source.frames.into())),
        ("File", text::bytes(source.bytes)),
        ("Cut into", text::plural(report.plan.chunks as u64, "chunk")),
    ];
    facts.into_iter().map(|(name, value)| format!("<div><dt>{name}<dd>{}</div>", escape(&value))).collect()
}

/// A sentence that says how it went, and another with what that is founded on.
fn verdict(is_good: bool, sentence: &str, ground: &str) -> String {
    let (class, sign) = if is_good { ("good", "✓") } else { ("amiss", "!") };
    let (sentence, ground) = (escape(sentence), escape(ground));
    format!(
        "<div class=\"verdict {class}\"><b aria-hidden=true>{sign}</b><p>{sentence}<small>{ground}</small></p></div>\n"
    )
}

fn proof(proof: &Proof) -> String {
    let frames = format!(
        "{}: {} in, {} out of every rendition",
        if proof.ok { "Proven" } else { "Not proven" },
        text::plural(proof.frames_source, "frame"),
        text::count(proof.frames_out),
    );
    let sound = match (proof.av_offset_start_ms, proof.av_offset_end_ms) {
        (Some(start), Some(end)) => {
            let (start, end) = (text::tenths(start), text::tenths(end));
            format!("Sound against picture: {start:+.1} ms at the start, {end:+.1} ms at the end")
        }
        _ => "There is no sound".to_owned(),
    };
    verdict(proof.ok, &frames, &sound)
}

fn quality(report: &Report) -> String {
    let chunks = || report.renditions.iter().flat_map(|rendition| &rendition.chunks);
    let count = |is_one: fn(&&ChunkReport) -> bool| chunks().filter(is_one).count() as u64;
    let checked = count(|chunk| chunk.met_target.is_some());
    if checked == 0 {
        return String::new();
    }
    let missed = count(|chunk| chunk.met_target == Some(false));
    let again = count(|chunk| chunk.attempts > 1);
    let capped = count(|chunk| chunk.outcome == Some(Outcome::Capped));
    let sentence = match missed {
        0 => format!("{} measured, all as good as asked", text::plural(checked, "chunk")),
        _ => format!("{} of {} not as good as asked", text::count(missed), text::plural(checked, "chunk")),
    };
    let mut grounds = Vec::new();
    if let Some(target) = report.target {
        let (mean, floor) = (number(target.mean), number(target.floor));
        grounds.push(format!("Asked for: fidelity of {mean} on average, first percentile of {floor}"));
    }
    if again > 0 {
        grounds.push(format!("{} encoded again", text::count(again)));
    }
    if capped > 0 {
        grounds.push(format!("{} held back by the rate cap", text::count(capped)));
    }
    verdict(missed == 0, &sentence, &grounds.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn a_proven_output_is_said_to_be_one_with_its_figures() {
        let head = render(&report());
        assert!(head.contains("Proven: 4 frames in, 4 out of every rendition"), "{head}");
        assert!(head.contains("+0.0 ms at the start, -0.2 ms at the end"), "{head}");
        assert!(head.contains("2 chunks measured, all as good as asked"), "{head}");
    }

    #[test]
    fn chunks_that_miss_are_counted() {
        let mut report = report();
        let chunk = &mut report.renditions[0].chunks[0];
        (chunk.met_target, chunk.outcome) = (Some(false), Some(Outcome::Capped));
        let head = render(&report);
        assert!(head.contains("verdict amiss") && head.contains("1 of 2 chunks not as good as asked"), "{head}");
        assert!(head.contains("1 encoded again; 1 held back by the rate cap"), "{head}");
    }

    #[test]
    fn nothing_is_said_of_quality_that_was_not_checked() {
        let mut report = report();
        report.renditions[0].chunks.iter_mut().for_each(|chunk| chunk.met_target = None);
        assert!(!render(&report).contains("as good as asked"));
    }
}
