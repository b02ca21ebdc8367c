//! That what is named is there, and is whole.

use std::collections::HashSet;

use super::super::boxes::{Init, Media};
use super::super::rule::{Area, Findings, Level, Rule, Verdict};
use super::super::stream::{Absent, Contents, Form, Found, Stream};
use super::playlists;

const fn rule(
    id: &'static str,
    source: &'static str,
    level: Level,
    text: &'static str,
    judge: fn(&Stream) -> Verdict,
) -> Rule {
    Rule { id, source, area: Area::Files, level, text, judge }
}

pub(super) const RULES: &[Rule] = &[
    rule("files-present", "RFC 8216bis 4.1", Level::Must, "Every file and byte range that is named is there", present),
    rule(
        "files-whole",
        "14496-12 4.2",
        Level::Must,
        "Every segment can be read: whole boxes, samples inside, whole packets",
        intact,
    ),
    rule("cmaf-brand", "23000-19 7.2", Level::Should, "Initialization segments carry the brand cmfc or cmf2", brand),
    rule("shared-media", "23000-19 1", Level::Should, "HLS and DASH name the same segments", shared),
];

/// Calls `see` once for each thing that is named: its name, why it was not read, what was.
fn each<'a>(stream: &'a Stream, mut see: impl FnMut(&'a str, Option<&'a Absent>, Option<&'a Contents>)) {
    let mut seen = HashSet::new();
    let mut once = |name: &'a str, absent: Option<&'a Absent>, contents: Option<&'a Contents>| {
        if seen.insert(name) {
            see(name, absent, contents);
        }
    };
    for rendition in stream.hls.iter().flat_map(|hls| &hls.renditions) {
        once(&rendition.name, rendition.media.as_ref().err(), None);
    }
    for (_, media) in playlists(stream) {
        media.inits.iter().for_each(|(name, init)| once(name, init.as_ref().err(), None));
        for segment in media.segments.iter().filter(|segment| !segment.gap) {
            once(&segment.name, segment.contents.as_ref().err(), read(&segment.contents));
        }
    }
    for track in stream.dash.iter().flat_map(|dash| &dash.tracks) {
        track.init.iter().for_each(|(name, init)| once(name, init.as_ref().err(), None));
        track
            .segments
            .iter()
            .for_each(|segment| once(&segment.name, segment.contents.as_ref().err(), read(&segment.contents)));
    }
}

fn read(contents: &Found<std::rc::Rc<Contents>>) -> Option<&Contents> {
    contents.as_ref().ok().map(|contents| &**contents)
}

fn present(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    each(stream, |name, absent, _| match absent {
        Some(absent @ (Absent::Missing | Absent::Short { .. })) => findings.fail(name, absent.to_string()),
        Some(Absent::Outside | Absent::Elsewhere) => findings.unknown(),
        _ => findings.look(),
    });
    findings.verdict("no file is named")
}

fn intact(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    each(stream, |name, absent, contents| match (absent, contents.map(|contents| &contents.form)) {
        (Some(Absent::Damaged(why)), _) => findings.fail(name, why.clone()),
        (_, Some(Form::Fragments(_, fragments))) => {
            findings.look();
            fragments.problems.iter().for_each(|problem| findings.fail(name, problem.clone()));
        }
        (_, Some(Form::Transport(transport))) => {
            findings.look();
            if let Some(lost) = &transport.lost {
                findings.fail(name, lost.clone());
            }
            let tables = transport.opens_with_tables;
            findings.hold(tables, name, || "it does not start with a PAT and a PMT".to_owned());
        }
        (_, Some(Form::WebVtt(_))) => findings.look(),
        _ => {}
    });
    findings.verdict("no segment was read")
}

fn brand(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    let hls = playlists(stream).flat_map(|(_, media)| &media.inits);
    let dash = stream.dash.iter().flat_map(|dash| &dash.tracks).filter_map(|track| track.init.as_ref());
    let mut seen = HashSet::new();
    for (name, init) in hls.chain(dash) {
        let Ok(init) = init else { continue };
        if seen.insert(name) {
            let Init { brands, .. } = &**init;
            let is_cmaf = brands.iter().any(|brand| matches!(brand.as_str(), "cmfc" | "cmf2"));
            findings.hold(is_cmaf, name, || format!("its brands are {}", brands.join(", ")));
        }
    }
    findings.verdict("there is no initialization segment")
}

fn shared(stream: &Stream) -> Verdict {
    if stream.hls.is_none() || stream.dash.is_none() {
        return Verdict::NotApplicable("there are not both");
    }
    let listed: HashSet<&str> =
        playlists(stream).flat_map(|(_, media)| &media.segments).map(|segment| segment.name.as_str()).collect();
    let mut findings = Findings::default();
    for segment in stream.dash.iter().flat_map(|dash| &dash.tracks).flat_map(|track| &track.segments) {
        // Images and subtitles have their own form in each.
        let has_own_form = read(&segment.contents).is_some_and(|contents| {
            matches!(contents.form, Form::WebVtt(_) | Form::Other(_)) || contents.leading() == Some(Media::Text)
        });
        findings.hold(has_own_form || listed.contains(segment.name.as_str()), &segment.name, || {
            "no media playlist names it".to_owned()
        });
    }
    findings.verdict("the MPD names no segments")
}
