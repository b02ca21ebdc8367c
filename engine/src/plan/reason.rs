//! Why a plan is less parallel than it could be, in sentences.

use super::PlanSettings;
use super::chunks::{self, Choice, Table};
use super::decode::Decoding;
use super::timeline::Timeline;

/// Pre-roll below this share of the encoding is not worth a word.
const WORTH_SAYING: f64 = 0.02;

/// What a reason is found in.
pub(super) struct Facts<'a> {
    pub(super) timeline: Timeline<'a>,
    pub(super) decoding: &'a Decoding,
    pub(super) table: &'a Table,
    pub(super) choice: &'a Choice,
    pub(super) settings: &'a PlanSettings,
}

/// Sentences, if there is anything to say.
pub(super) fn reason(facts: &Facts) -> Option<String> {
    let sentences: Vec<String> = [single(facts), sparse_copies(facts), preroll(facts)].into_iter().flatten().collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

fn single(facts: &Facts) -> Option<String> {
    let length = facts.timeline.length();
    (facts.table.count() == 1)
        .then(|| format!("The source is one segment of {length:.1} s, and a chunk holds whole segments."))
}

fn sparse_copies(facts: &Facts) -> Option<String> {
    let at = |frame| facts.timeline.at(frame);
    let longest = facts.table.segments().map(|s| at(s.end) - at(s.start)).fold(0.0, f64::max);
    (facts.settings.copies_packets && longest > 1.5 * facts.settings.segment_s).then(|| {
        format!(
            "Packets are copied, so segments start at closed cut points only, and those are up to {longest:.1} s apart."
        )
    })
}

fn preroll(facts: &Facts) -> Option<String> {
    let Facts { table, choice, .. } = facts;
    let extra = chunks::preroll(table, &choice.runs);
    let merged = choice.runs.len() < choice.finest;
    if table.count() == 1 || !merged && extra < WORTH_SAYING {
        return None;
    }
    let dropped: f64 = choice.runs.iter().map(|run| f64::from(table.dropped(run))).sum();
    let percent = 100.0 * dropped / f64::from(table.total().max(1));
    let mut text = cut_points(facts);
    if extra >= WORTH_SAYING {
        let work = 100.0 * extra;
        text += &format!(
            " Chunks that start elsewhere decode frames again: {percent:.0} % more decoding, about {work:.0} % more work."
        );
    }
    if merged {
        text += &format!(
            " To keep that low there are {} chunks where there could be {}.",
            choice.runs.len(),
            choice.finest
        );
    }
    Some(text)
}

fn cut_points(facts: &Facts) -> String {
    match facts.decoding.cut_count() {
        0 => "The source has no cut point: decoding starts at its first packet.".to_owned(),
        1 => "The source has one cut point only.".to_owned(),
        _ => format!("Cut points are up to {:.1} s apart.", longest_gop(facts)),
    }
}

fn longest_gop(facts: &Facts) -> f64 {
    let end = facts.timeline.frames();
    let mut longest = 0.0f64;
    let mut from = 0;
    while from < end {
        let next = facts.decoding.next_cut(from).unwrap_or(end);
        longest = longest.max(facts.timeline.at(next) - facts.timeline.at(from));
        from = next;
    }
    longest
}
