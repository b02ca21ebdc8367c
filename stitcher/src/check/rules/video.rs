//! Pictures.

use super::super::boxes::Media;
use super::super::rule::{Area, Findings, Level, Rule, Verdict};
use super::super::stream::{Form, Stream};
use super::{NO_VIDEO, is_video, multivariant, whole};

const fn rule(
    id: &'static str,
    source: &'static str,
    level: Level,
    text: &'static str,
    judge: fn(&Stream) -> Verdict,
) -> Rule {
    Rule { id, source, area: Area::Video, level, text, judge }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "video-container",
        "Apple 1.2, 1.5, 1.39",
        Level::Must,
        "Video is H.264, or HEVC or AV1 in fragmented MP4",
        container,
    ),
    rule(
        "video-profile",
        "Apple 1.3b, 1.6b, 1.37",
        Level::Must,
        "At most High 5.2 of H.264, Main 10 5.1 High of HEVC, Main 6.2 of AV1",
        profile,
    ),
    rule(
        "sample-entry",
        "Apple 1.10",
        Level::Should,
        "Parameter sets are in the sample entry: avc1 and hvc1, not avc3 and hev1",
        sample_entry,
    ),
    rule("key-frames", "Apple 1.13", Level::Should, "There is a key frame at least every 2 seconds", key_frames),
    rule("at-most-60fps", "Apple 1.19", Level::Must, "There are at most 60 pictures a second", sixty),
    rule(
        "opens-with-key",
        "Apple 7.4",
        Level::Must,
        "Every video segment starts with an IDR picture or key frame",
        opens_with_key,
    ),
];

fn container(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (rendition, media) in whole(stream).filter(|(rendition, media)| is_video(rendition, media)) {
        if let Some(track) = media.track(Media::Video) {
            let kind = track.entry.kind.as_str();
            let fits = matches!(kind, "avc1" | "avc3" | "hvc1" | "hev1" | "av01" | "dvh1" | "dvhe");
            findings.hold(fits, &rendition.name, || format!("it is {kind}"));
        }
        for (segment, contents) in media.contents() {
            let Form::Transport(transport) = &contents.form else { continue };
            for video in transport.streams.iter().filter(|stream| stream.media == Media::Video) {
                findings.hold(video.codec.starts_with("avc1"), &segment.name, || {
                    format!("it is {} in a transport stream", video.codec)
                });
            }
        }
    }
    findings.verdict(NO_VIDEO)
}

fn profile(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (rendition, media) in whole(stream).filter(|(rendition, media)| is_video(rendition, media)) {
        for codec in media.codecs() {
            if let Some(fits) = fits(&codec) {
                findings.hold(fits, &rendition.name, || format!("it is {codec}"));
            }
        }
    }
    findings.verdict("there is no H.264, HEVC or AV1")
}

/// Whether a codec stays below the limits; `None` for others.
fn fits(codec: &str) -> Option<bool> {
    let fields: Vec<&str> = codec.split('.').collect();
    match fields[..] {
        ["avc1" | "avc3", profile, ..] if profile.len() == 6 => {
            let number = |at: usize| u8::from_str_radix(profile.get(at..at + 2)?, 16).ok();
            Some(matches!(number(0)?, 66 | 77 | 88 | 100) && number(4)? <= 52)
        }
        // The tier, and thirty times the level.
        ["hvc1" | "hev1", profile, _, level, ..] => {
            let level: u32 = level.get(1..)?.parse().ok()?;
            Some(matches!(profile, "1" | "2" | "3") && level <= 153)
        }
        ["av01", profile, level, ..] => {
            let level: u32 = level.get(..2)?.parse().ok()?;
            Some(profile == "0" && level <= 18)
        }
        _ => None,
    }
}

fn sample_entry(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (rendition, media) in whole(stream) {
        let Some(track) = media.track(Media::Video) else { continue };
        let kind = track.entry.kind.as_str();
        if matches!(kind, "avc1" | "avc3" | "hvc1" | "hev1") {
            findings.hold(matches!(kind, "avc1" | "hvc1"), &rendition.name, || format!("it is {kind}"));
        }
    }
    findings.verdict("there is no H.264 or HEVC in MP4")
}

fn key_frames(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (rendition, media) in whole(stream).filter(|(rendition, media)| is_video(rendition, media)) {
        let (mut longest, mut before): ((f64, f64), Option<f64>) = ((0.0, 0.0), None);
        for (_, contents) in media.contents() {
            let Some((track, run)) = contents.run(Media::Video) else {
                findings.unknown();
                continue;
            };
            let seconds = |ticks: u64| ticks as f64 / f64::from(track.timescale);
            for time in run.syncs.iter().copied().map(seconds).chain([seconds(run.end)]) {
                let distance = before.map_or(0.0, |before| time - before);
                if distance > longest.0 {
                    longest = (distance, time - distance);
                }
                if time < seconds(run.end) {
                    before = Some(time);
                }
            }
        }
        if before.is_some() {
            // A picture more is rounding.
            findings.hold(longest.0 <= 2.05, &rendition.name, || {
                format!("none for {:.2} s from {:.2} s on", longest.0, longest.1)
            });
        }
    }
    findings.verdict(NO_VIDEO)
}

fn sixty(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (rendition, media) in whole(stream).filter(|(rendition, media)| is_video(rendition, media)) {
        match multivariant::rates(media) {
            Some(rates) => {
                let average = rates.average;
                findings.hold(average <= 60.06, &rendition.name, || format!("there are {average:.2}"))
            }
            None => findings.unknown(),
        }
    }
    findings.verdict(NO_VIDEO)
}

fn opens_with_key(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (_, media) in whole(stream).filter(|(rendition, media)| is_video(rendition, media)) {
        for (segment, contents) in media.contents() {
            match contents.span(Media::Video).map(|span| span.key) {
                Some(Some(key)) => findings.hold(key, &segment.name, || {
                    let flagged = contents.run(Media::Video).is_some_and(|(_, run)| run.sync);
                    match flagged {
                        true => "its first sample is flagged as a sync sample, but is no IDR picture or key frame"
                            .to_owned(),
                        false => "its first sample is no IDR picture or key frame".to_owned(),
                    }
                }),
                Some(None) => findings.unknown(),
                None => {}
            }
        }
    }
    findings.verdict(NO_VIDEO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_each_codec() {
        assert_eq!(fits("avc1.640034"), Some(true));
        assert_eq!(fits("avc1.64003C"), Some(false), "level 6");
        assert_eq!(fits("avc1.F4001F"), Some(false), "High 4:4:4");
        assert_eq!(fits("hvc1.2.4.H153.B0"), Some(true));
        assert_eq!(fits("hvc1.4.10.L120.90"), Some(false), "range extensions");
        assert_eq!(fits("av01.0.19H.10"), Some(false));
        assert_eq!(fits("vp09.00.31.08"), None);
        assert_eq!(fits("avc1"), None);
    }
}
