//! Subtitles.

use super::super::boxes::Media;
use super::super::rule::{Area, Findings, Level, Rule, Verdict};
use super::super::stream::{Form, Role, Stream};
use super::whole;

const fn rule(
    id: &'static str,
    source: &'static str,
    level: Level,
    text: &'static str,
    judge: fn(&Stream) -> Verdict,
) -> Rule {
    Rule { id, source, area: Area::Subtitles, level, text, judge }
}

const NO_SUBTITLES: &str = "there are no subtitles";

pub(super) const RULES: &[Rule] = &[
    rule("subtitle-format", "Apple 5.2", Level::Must, "Subtitles are WebVTT, or IMSC1 in fragmented MP4", format),
    rule("timestamp-map", "Apple 5.3", Level::Must, "Every WebVTT segment has its X-TIMESTAMP-MAP", mapped),
    rule(
        "webvtt",
        "WebVTT 4",
        Level::Must,
        "WebVTT segments can be read; cues end after their start, and stand in order",
        readable,
    ),
];

fn format(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (rendition, media) in whole(stream).filter(|(rendition, _)| rendition.is(Role::Subtitles)) {
        for (segment, contents) in media.contents() {
            let what = match &contents.form {
                Form::WebVtt(_) => None,
                Form::Fragments(..) => {
                    let kind = media.track(Media::Text).map(|track| track.entry.kind.as_str());
                    (!matches!(kind, Some("stpp"))).then_some("it is in MP4, and not IMSC1")
                }
                Form::Transport(_) => Some("it is a transport stream"),
                Form::Other(what) => Some(*what),
            };
            findings.hold(what.is_none(), &segment.name, || what.unwrap_or_default().to_owned());
        }
        if media.segments.is_empty() {
            findings.fail(&rendition.name, "it has no segments");
        }
    }
    findings.verdict(NO_SUBTITLES)
}

fn mapped(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (_, media) in whole(stream) {
        for (segment, contents) in media.contents() {
            let Form::WebVtt(text) = &contents.form else { continue };
            findings.hold(text.mapped, &segment.name, || "there is none that can be read".to_owned());
        }
    }
    findings.verdict("there is no WebVTT")
}

fn readable(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    let hls =
        whole(stream).flat_map(|(_, media)| media.contents()).map(|(segment, contents)| (&segment.name, contents));
    let tracks = stream.dash.iter().flat_map(|dash| &dash.tracks).flat_map(|track| &track.segments);
    let dash = tracks.filter_map(|segment| Some((&segment.name, &**segment.contents.as_ref().ok()?)));
    let mut seen = std::collections::HashSet::new();
    for (name, contents) in hls.chain(dash) {
        let Form::WebVtt(text) = &contents.form else { continue };
        if seen.insert(name) {
            findings.look();
            text.problems.iter().for_each(|problem| findings.fail(name, problem.clone()));
        }
    }
    findings.verdict("there is no WebVTT")
}
