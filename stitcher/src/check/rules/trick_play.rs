//! I-frame playlists.

use super::super::boxes::Media;
use super::super::rule::{Area, Findings, Level, Rule, Verdict};
use super::super::stream::{Absent, MediaPlaylist, Rendition, Role, Stream};
use super::{NO_MULTIVARIANT, NO_VIDEO, is_video, master, playlists, whole};

const fn rule(
    id: &'static str,
    source: &'static str,
    level: Level,
    text: &'static str,
    judge: fn(&Stream) -> Verdict,
) -> Rule {
    Rule { id, source, area: Area::TrickPlay, level, text, judge }
}

const NONE: &str = "there is no I-frame playlist";

pub(super) const RULES: &[Rule] = &[
    rule("iframe-playlists", "Apple 6.1", Level::Must, "There are I-frame playlists", exist),
    rule("iframe-density", "Apple 6.2", Level::Should, "I-frame playlists have a picture a second", dense),
    rule("iframes-only", "Apple 6.8", Level::Must, "I-frame playlists are marked EXT-X-I-FRAMES-ONLY", marked),
    rule(
        "iframe-ranges",
        "Apple 6.10",
        Level::Must,
        "Byte ranges of I-frames in fragmented MP4 start with their moof and hold a key picture",
        ranges,
    ),
];

fn frames(stream: &Stream) -> impl Iterator<Item = (&Rendition, &MediaPlaylist)> {
    playlists(stream).filter(|(rendition, media)| rendition.is(Role::IFrames) || media.text.has("EXT-X-I-FRAMES-ONLY"))
}

fn exist(stream: &Stream) -> Verdict {
    let Some((_, master)) = master(stream) else { return Verdict::NotApplicable(NO_MULTIVARIANT) };
    if !whole(stream).any(|(rendition, media)| is_video(rendition, media)) {
        return Verdict::NotApplicable(NO_VIDEO);
    }
    let mut findings = Findings::default();
    findings.hold(master.has("EXT-X-I-FRAME-STREAM-INF"), &master.name, || {
        "there is no EXT-X-I-FRAME-STREAM-INF".to_owned()
    });
    findings.verdict(NO_VIDEO)
}

fn dense(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (rendition, media) in frames(stream) {
        let seconds = media.segments.iter().filter_map(|segment| segment.seconds);
        let longest = seconds.fold(0.0, f64::max);
        findings.hold(longest <= 1.05, &rendition.name, || format!("the next picture is up to {longest:.2} s away"));
    }
    findings.verdict(NONE)
}

fn marked(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (rendition, media) in frames(stream) {
        findings.hold(media.text.has("EXT-X-I-FRAMES-ONLY"), &rendition.name, || "it is not".to_owned());
    }
    findings.verdict(NONE)
}

fn ranges(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (_, media) in frames(stream) {
        for segment in &media.segments {
            match &segment.contents {
                Ok(contents) => match contents.run(Media::Video) {
                    Some((_, run)) => findings.hold(run.sync && run.key != Some(false), &segment.name, || {
                        "its first sample is no key picture".to_owned()
                    }),
                    None => findings.unknown(),
                },
                Err(Absent::Damaged(why)) => findings.fail(&segment.name, why.clone()),
                Err(_) => findings.unknown(),
            }
        }
    }
    findings.verdict(NONE)
}
