//! How playlists are written.

use std::collections::{HashMap, HashSet};

use super::super::playlist::Content;
use super::super::rule::{Area, Findings, Level, Rule, Verdict};
use super::super::stream::{Form, Stream};
use super::{NO_PLAYLIST, at, playlists, texts, whole};

const fn rule(
    id: &'static str,
    source: &'static str,
    level: Level,
    text: &'static str,
    judge: fn(&Stream) -> Verdict,
) -> Rule {
    Rule { id, source, area: Area::Playlists, level, text, judge }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "utf8",
        "RFC 8216bis 4.1",
        Level::Must,
        "Playlists are UTF-8 without byte order mark and control characters",
        utf8,
    ),
    rule("extm3u", "RFC 8216bis 4.4.1.1", Level::Must, "The first line is #EXTM3U", extm3u),
    rule(
        "attributes",
        "RFC 8216bis 4.2",
        Level::Must,
        "Attribute lists are well formed, each attribute once",
        attributes,
    ),
    rule("tags-once", "RFC 8216bis 4.4", Level::Must, "Tags that describe the whole playlist are there once", once),
    rule(
        "tags-apart",
        "RFC 8216bis 4.1",
        Level::Must,
        "Tags of multivariant and of media playlists are not mixed",
        apart,
    ),
    rule("tags-order", "RFC 8216bis 4.4.3", Level::Must, "Sequence numbers stand before the first segment", order),
    rule("version", "RFC 8216bis 8", Level::Must, "EXT-X-VERSION is high enough for the tags that are used", version),
    rule("extinf", "RFC 8216bis 4.4.4.1", Level::Must, "Every segment has its duration in an EXTINF", extinf),
    rule(
        "target-duration",
        "RFC 8216bis 4.4.3.1",
        Level::Must,
        "EXT-X-TARGETDURATION is there, and no EXTINF rounds to more",
        target,
    ),
    rule("keys", "RFC 8216bis 4.4.4.4", Level::Must, "EXT-X-KEY names a known method, and where the key is", keys),
    rule("target-6s", "Apple 7.5", Level::Should, "The target duration is 6 seconds", six_seconds),
    rule("nominal-6s", "Apple 7.6", Level::Should, "Segments last about 6 seconds (half of them 5 to 7)", nominal),
    rule("vod", "Apple 8.6", Level::Must, "What is complete has EXT-X-PLAYLIST-TYPE:VOD and EXT-X-ENDLIST", vod),
    rule("map", "Apple 8.20", Level::Must, "Segments of fragmented MP4 are under an EXT-X-MAP", map),
];

fn utf8(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for text in texts(stream) {
        findings.look();
        text.encoding.iter().for_each(|problem| findings.fail(&text.name, problem.clone()));
    }
    findings.verdict(NO_PLAYLIST)
}

fn extm3u(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    texts(stream).for_each(|text| findings.hold(text.opens, &text.name, || "it starts with something else".to_owned()));
    findings.verdict(NO_PLAYLIST)
}

fn attributes(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for text in texts(stream) {
        findings.look();
        text.syntax.iter().for_each(|(line, problem)| findings.fail(&at(text, *line), problem.clone()));
    }
    findings.verdict(NO_PLAYLIST)
}

/// Tags of which there may be one (RFC 8216bis 4.4.1 to 4.4.3).
const ONCE: [&str; 12] = [
    "EXTM3U",
    "EXT-X-VERSION",
    "EXT-X-INDEPENDENT-SEGMENTS",
    "EXT-X-START",
    "EXT-X-TARGETDURATION",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-ENDLIST",
    "EXT-X-PLAYLIST-TYPE",
    "EXT-X-I-FRAMES-ONLY",
    "EXT-X-PART-INF",
    "EXT-X-SERVER-CONTROL",
];

fn once(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for text in texts(stream) {
        findings.look();
        for tag in ONCE {
            let mut lines = text.tags(tag).map(|(line, ..)| line);
            if let Some(first) = lines.next() {
                lines.for_each(|line| findings.fail(&at(text, line), format!("{tag} is in line {first} already")));
            }
        }
    }
    findings.verdict(NO_PLAYLIST)
}

const MULTIVARIANT: [&str; 6] = [
    "EXT-X-MEDIA",
    "EXT-X-STREAM-INF",
    "EXT-X-I-FRAME-STREAM-INF",
    "EXT-X-SESSION-DATA",
    "EXT-X-SESSION-KEY",
    "EXT-X-CONTENT-STEERING",
];
const MEDIA: [&str; 16] = [
    "EXTINF",
    "EXT-X-TARGETDURATION",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-ENDLIST",
    "EXT-X-PLAYLIST-TYPE",
    "EXT-X-I-FRAMES-ONLY",
    "EXT-X-BYTERANGE",
    "EXT-X-DISCONTINUITY",
    "EXT-X-KEY",
    "EXT-X-MAP",
    "EXT-X-PROGRAM-DATE-TIME",
    "EXT-X-GAP",
    "EXT-X-BITRATE",
    "EXT-X-PART",
    "EXT-X-PART-INF",
];

fn apart(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for text in texts(stream) {
        findings.look();
        let (foreign, kind) = match text.is_multivariant() {
            true => (&MEDIA[..], "a multivariant"),
            false => (&MULTIVARIANT[..], "a media"),
        };
        for tag in foreign {
            text.tags(tag).for_each(|(line, ..)| findings.fail(&at(text, line), format!("{tag} in {kind} playlist")));
        }
    }
    findings.verdict(NO_PLAYLIST)
}

fn order(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (_, media) in playlists(stream) {
        findings.look();
        let first = media.segments.first().map_or(usize::MAX, |segment| segment.line);
        let marked = media.text.tags("EXT-X-DISCONTINUITY").next().map_or(usize::MAX, |(line, ..)| line);
        for (tag, before) in [("EXT-X-MEDIA-SEQUENCE", first), ("EXT-X-DISCONTINUITY-SEQUENCE", first.min(marked))] {
            for (line, ..) in media.text.tags(tag).filter(|(line, ..)| *line > before) {
                findings.fail(&at(&media.text, line), format!("{tag} stands behind line {before}"));
            }
        }
    }
    findings.verdict("there is no media playlist")
}

fn version(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for text in texts(stream) {
        let declared = text.number("EXT-X-VERSION").unwrap_or(1);
        let mut needed: HashMap<u64, String> = HashMap::new();
        let frames = text.has("EXT-X-I-FRAMES-ONLY");
        for line in &text.lines {
            let Content::Tag { name, value, attributes } = &line.content else { continue };
            let has = |attribute: &str| attributes.get(attribute).is_some();
            let least = match name.as_str() {
                "EXT-X-KEY" if has("KEYFORMAT") || has("KEYFORMATVERSIONS") => 5,
                "EXT-X-KEY" if has("IV") => 2,
                "EXTINF" if value.split(',').next().is_some_and(|seconds| seconds.contains('.')) => 3,
                "EXT-X-BYTERANGE" | "EXT-X-I-FRAMES-ONLY" => 4,
                "EXT-X-MAP" => {
                    if frames {
                        5
                    } else {
                        6
                    }
                }
                "EXT-X-MEDIA" if attributes.get("INSTREAM-ID").is_some_and(|id| id.starts_with("SERVICE")) => 7,
                "EXT-X-DEFINE" if has("QUERYPARAM") => 11,
                "EXT-X-DEFINE" => 8,
                "EXT-X-SKIP" => 9,
                _ => 1,
            };
            if least > declared {
                needed.entry(least).or_insert_with(|| format!("{name} in line {}", line.number));
            }
        }
        let most = needed.into_iter().max_by_key(|(least, _)| *least);
        findings.look();
        if let Some((least, by)) = most {
            findings.fail(&text.name, format!("version {declared} is declared, {least} is needed by {by}"));
        }
    }
    findings.verdict(NO_PLAYLIST)
}

fn extinf(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (_, media) in playlists(stream) {
        for segment in &media.segments {
            findings.hold(segment.seconds.is_some(), &at(&media.text, segment.line), || {
                format!("{} has no EXTINF that can be read", segment.name)
            });
        }
    }
    findings.verdict("no segment is listed")
}

fn target(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (_, media) in playlists(stream) {
        let Some(target) = media.target() else {
            findings.fail(&media.text.name, "there is no EXT-X-TARGETDURATION that can be read");
            continue;
        };
        findings.look();
        for segment in &media.segments {
            let seconds = segment.seconds.unwrap_or(0.0);
            findings.hold(seconds.round() <= target, &at(&media.text, segment.line), || {
                format!("{} lasts {seconds:.3} s, of a target of {target} s", segment.name)
            });
        }
    }
    findings.verdict("there is no media playlist")
}

fn keys(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (_, media) in playlists(stream) {
        for (line, _, key) in media.text.tags("EXT-X-KEY") {
            let place = at(&media.text, line);
            match key.get("METHOD") {
                Some("NONE") => findings.look(),
                Some("AES-128" | "AES-256" | "SAMPLE-AES" | "SAMPLE-AES-CTR") => {
                    findings.hold(key.get("URI").is_some(), &place, || "there is no URI of the key".to_owned());
                }
                Some(other) => findings.fail(&place, format!("the method {other} is not known")),
                None => findings.fail(&place, "there is no METHOD"),
            }
        }
    }
    findings.verdict("nothing is encrypted")
}

fn six_seconds(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (_, media) in whole(stream) {
        let Some(target) = media.target() else { continue };
        findings.hold((target - 6.0).abs() < 0.5, &media.text.name, || format!("it is {target} s"));
    }
    findings.verdict("there is no media playlist")
}

fn nominal(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (_, media) in whole(stream) {
        let mut seconds: Vec<f64> = media.segments.iter().filter_map(|segment| segment.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        let Some(median) = seconds.get(seconds.len().saturating_sub(1) / 2) else { continue };
        findings.hold((5.0..=7.0).contains(median), &media.text.name, || {
            format!("half of them last {median:.1} s or less")
        });
    }
    findings.verdict("no segment is listed")
}

fn vod(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (_, media) in playlists(stream) {
        let kind = media.text.tags("EXT-X-PLAYLIST-TYPE").next().map(|(_, kind, _)| kind);
        match (kind, media.is_ended()) {
            (Some("EVENT"), false) => findings.unknown(),
            (Some("VOD" | "EVENT"), true) => findings.look(),
            (Some("VOD"), false) => findings.fail(&media.text.name, "there is no EXT-X-ENDLIST"),
            (Some(other), _) => findings.fail(&media.text.name, format!("the type {other} is not known")),
            (None, true) => findings.fail(&media.text.name, "there is no EXT-X-PLAYLIST-TYPE"),
            (None, false) => findings.fail(&media.text.name, "there are neither EXT-X-PLAYLIST-TYPE nor EXT-X-ENDLIST"),
        }
    }
    findings.verdict("there is no media playlist")
}

fn map(stream: &Stream) -> Verdict {
    let (mut findings, mut told) = (Findings::default(), HashSet::new());
    for (_, media) in playlists(stream) {
        for segment in &media.segments {
            let is_fragments = match &segment.contents {
                Ok(contents) => matches!(contents.form, Form::Fragments(..)),
                Err(_) => segment.name.ends_with(".m4s") || segment.name.ends_with(".mp4"),
            };
            if is_fragments && (segment.init.is_some() || told.insert(&media.text.name)) {
                findings
                    .hold(segment.init.is_some(), &media.text.name, || format!("none stands before {}", segment.name));
            }
        }
    }
    findings.verdict("there is no fragmented MP4")
}
