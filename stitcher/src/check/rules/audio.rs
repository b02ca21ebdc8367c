//! Sound.

use super::super::boxes::Media;
use super::super::codecs;
use super::super::rule::{Area, Findings, Level, Rule, Verdict};
use super::super::stream::{Form, Stream};
use super::{NO_AUDIO, master, whole};

const fn rule(
    id: &'static str,
    source: &'static str,
    level: Level,
    text: &'static str,
    judge: fn(&Stream) -> Verdict,
) -> Rule {
    Rule { id, source, area: Area::Audio, level, text, judge }
}

pub(super) const RULES: &[Rule] = &[
    rule("stereo-aac", "Apple 2.3", Level::Must, "Where there is sound, there is stereo in AAC or HE-AAC", stereo),
    rule("one-audio", "Apple 2.17", Level::Must, "A segment has at most one audio stream", one),
    rule(
        "channels",
        "RFC 8216bis 4.4.6.1",
        Level::Should,
        "EXT-X-MEDIA of audio has CHANNELS, and that is what the track has",
        channels,
    ),
];

fn stereo(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    let mut heard = Vec::new();
    for (rendition, media) in whole(stream) {
        if let Some(track) = media.track(Media::Audio) {
            let codec = track.entry.codec.clone().unwrap_or_else(|| track.entry.kind.clone());
            heard.push((codec, Some(track.entry.channels), &rendition.name));
        } else if media.holds(Media::Audio) {
            heard.extend(
                media
                    .codecs()
                    .into_iter()
                    .filter(|codec| codec.starts_with("mp4a"))
                    .map(|codec| (codec, None, &rendition.name)),
            );
            findings.look();
        }
    }
    // HE-AAC version 2 is told as one channel.
    let is_stereo = |codec: &str, channels: Option<u16>| {
        codecs::is_aac(codec) && channels.is_none_or(|count| matches!(count, 1 | 2))
    };
    if let Some((codec, channels, name)) = heard.first() {
        let holds = heard.iter().any(|(codec, channels, _)| is_stereo(codec, *channels));
        let channels = channels.map_or(String::new(), |count| format!(" with {count} channels"));
        findings.hold(holds, name, || format!("there is {codec}{channels}, and no stereo in AAC"));
    }
    findings.verdict(NO_AUDIO)
}

fn one(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (_, media) in whole(stream) {
        for (name, init) in &media.inits {
            let Ok(init) = init else { continue };
            let count = init.tracks.iter().filter(|track| track.media == Media::Audio).count();
            findings.hold(count <= 1, name, || format!("there are {count} tracks of audio"));
        }
        for (segment, contents) in media.contents() {
            let Form::Transport(transport) = &contents.form else { continue };
            let count = transport.streams.iter().filter(|stream| stream.media == Media::Audio).count();
            findings.hold(count <= 1, &segment.name, || format!("there are {count} streams of audio"));
        }
    }
    findings.verdict(NO_AUDIO)
}

fn channels(stream: &Stream) -> Verdict {
    let Some((hls, master)) = master(stream) else { return Verdict::NotApplicable(super::NO_MULTIVARIANT) };
    let mut findings = Findings::default();
    for (line, _, attributes) in master.tags("EXT-X-MEDIA").filter(|(_, _, media)| media.get("TYPE") == Some("AUDIO")) {
        let place = super::at(master, line);
        let Some(told) = attributes.get("CHANNELS") else {
            findings.fail(&place, "there is no CHANNELS");
            continue;
        };
        findings.look();
        let rendition = attributes.get("URI").and_then(|uri| super::named(hls, master, uri));
        let track = rendition.and_then(|rendition| rendition.playlist()).and_then(|media| media.track(Media::Audio));
        // What sample entries of Dolby's codecs say of channels means nothing (ETSI TS 102 366 F.2).
        if let Some(track) = track.filter(|track| matches!(track.entry.kind.as_str(), "mp4a" | "Opus" | "fLaC")) {
            let count = told.split('/').next().and_then(|count| count.parse::<u16>().ok());
            findings.hold(count == Some(track.entry.channels), &place, || {
                format!("CHANNELS is {told}, the track has {}", track.entry.channels)
            });
        }
    }
    findings.verdict("there is no EXT-X-MEDIA of audio")
}
