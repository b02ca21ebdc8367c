//! How segments follow each other, and how renditions keep step.

use std::collections::BTreeSet;

use super::super::boxes::Media;
use super::super::rule::{Area, Findings, Level, Rule, Verdict};
use super::super::stream::{Contents, Form, MediaPlaylist, Rendition, Role, Segment, Span, Stream};
use super::super::transport::{Transport, passed};
use super::{NO_MULTIVARIANT, is_video, master, whole};

const fn rule(
    id: &'static str,
    source: &'static str,
    level: Level,
    text: &'static str,
    judge: fn(&Stream) -> Verdict,
) -> Rule {
    Rule { id, source, area: Area::Continuity, level, text, judge }
}

const NO_SEAM: &str = "there are no two segments to compare";

/// Seconds by which boundaries of what is no video may differ from those of video: audio frames are up to 46 ms long.
const FRAME_S: f64 = 0.05;

pub(super) const RULES: &[Rule] = &[
    rule("continuous", "Apple 7.1", Level::Must, "Media goes on across every seam, within a frame", continuous),
    rule(
        "ts-counters",
        "Apple 7.2",
        Level::Must,
        "Continuity counters of transport streams count on, within and across segments",
        counters,
    ),
    rule(
        "decode-times",
        "Apple 7.3",
        Level::Must,
        "Each fragment starts exactly where the samples before it end (tfdt)",
        decode_times,
    ),
    rule(
        "segment-length",
        "Apple 7.7",
        Level::Must,
        "No segment is longer than the target duration and half a second",
        length,
    ),
    rule(
        "extinf-sums",
        "Apple 8.1",
        Level::Must,
        "Any run of EXTINFs is within a frame of what the segments last",
        sums,
    ),
    rule("same-target", "Apple 8.2", Level::Must, "Video and audio have the same target duration", same_target),
    rule(
        "same-duration",
        "Apple 8.3",
        Level::Must,
        "Video and audio have the same duration (within a quarter of a second)",
        same_duration,
    ),
    rule(
        "discontinuity-marked",
        "Apple 8.13",
        Level::Must,
        "EXT-X-DISCONTINUITY stands where codec, tracks or timescale change",
        marked,
    ),
    rule(
        "discontinuity-places",
        "Apple 8.14, 8.15",
        Level::Must,
        "Discontinuities are at the same times in all renditions",
        same_discontinuities,
    ),
    rule(
        "same-boundaries",
        "Apple 8.22",
        Level::Should,
        "Segments start at the same times in all renditions (video exactly, others within 50 ms)",
        same_boundaries,
    ),
];

/// Each pair of segments that follow each other without a discontinuity, both of them read.
fn seams(media: &MediaPlaylist) -> impl Iterator<Item = (&Contents, &Segment, &Contents)> {
    media.segments.windows(2).filter_map(|pair| {
        let [before, after] = pair else { return None };
        let (Ok(first), Ok(second)) = (&before.contents, &after.contents) else { return None };
        (!after.discontinuity).then_some((&**first, after, &**second))
    })
}

fn continuous(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (_, media) in whole(stream) {
        for (before, segment, after) in seams(media) {
            for kind in [Media::Video, Media::Audio] {
                let (Some(first), Some(second)) = (before.span(kind), after.span(kind)) else { continue };
                let step = match (&before.form, &after.form) {
                    (Form::Transport(_), Form::Transport(_)) => passed(first.end, second.start),
                    _ => second.start - first.end,
                };
                let frame = first.longest.max(second.longest).max(0.001);
                findings.hold(step.abs() <= 1.05 * frame, &segment.name, || {
                    let kind = if kind == Media::Video { "video" } else { "audio" };
                    let what = if step > 0.0 { "a gap" } else { "an overlap" };
                    format!("{what} of {:.3} s in {kind} before it, a frame is {frame:.3} s", step.abs())
                });
            }
        }
    }
    findings.verdict(NO_SEAM)
}

fn counters(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (_, media) in whole(stream) {
        for (segment, contents) in media.contents() {
            let Form::Transport(transport) = &contents.form else { continue };
            for (pid, counter) in &transport.counters {
                findings.hold(counter.breaks == 0, &segment.name, || {
                    format!("{} breaks of continuity in PID {pid}", counter.breaks)
                });
            }
        }
        for (before, segment, after) in seams(media) {
            let (Form::Transport(before), Form::Transport(after)) = (&before.form, &after.form) else { continue };
            for (pid, second) in &after.counters {
                let Some(first) = before.counters.get(pid) else { continue };
                findings.hold(second.resets || second.first == (first.last + 1) & 15, &segment.name, || {
                    format!("PID {pid} goes on with {} after {}", second.first, first.last)
                });
            }
        }
    }
    findings.verdict("there is no transport stream")
}

fn decode_times(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (_, media) in whole(stream) {
        for (segment, contents) in media.contents() {
            let Form::Fragments(_, fragments) = &contents.form else { continue };
            for run in &fragments.runs {
                findings.look();
                for (due, told) in &run.gaps {
                    findings.fail(
                        &segment.name,
                        format!("inside, a fragment of track {} starts at {told}, due is {due}", run.track),
                    );
                }
            }
        }
        for (before, segment, after) in seams(media) {
            let (Form::Fragments(_, first), Form::Fragments(_, second)) = (&before.form, &after.form) else { continue };
            for run in &second.runs {
                let Some(earlier) = first.runs.iter().find(|earlier| earlier.track == run.track) else { continue };
                findings.hold(run.start == earlier.end, &segment.name, || {
                    let by = i128::from(run.start) - i128::from(earlier.end);
                    format!("track {} starts at {}, due is {} ({by:+} units)", run.track, run.start, earlier.end)
                });
            }
        }
    }
    findings.verdict("there is no fragmented MP4")
}

fn length(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (_, media) in whole(stream) {
        let Some(target) = media.target() else { continue };
        for (segment, contents) in media.contents() {
            let Some(span) = contents.leading().and_then(|kind| contents.span(kind)) else { continue };
            let seconds = span.end - span.start;
            findings.hold(seconds <= target + 0.5, &segment.name, || {
                format!("it lasts {seconds:.3} s, of a target of {target} s")
            });
        }
    }
    findings.verdict("no segment tells its length")
}

fn sums(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (_, media) in timed(stream) {
        let (mut told, mut real) = (0.0, 0.0);
        // How far the sum of EXTINFs was ahead of the segments at most, and behind.
        let (mut most, mut least): ((f64, &str), (f64, &str)) = ((0.0, ""), (0.0, ""));
        let (mut frame, mut unread) = (0.0_f64, false);
        for (place, segment) in media.segments.iter().enumerate() {
            let (Some(span), Some(seconds)) = (leading(segment), segment.seconds) else {
                unread = true;
                break;
            };
            told += seconds;
            real += media.lasts(place, span, leading);
            frame = frame.max(span.longest);
            let ahead = told - real;
            if ahead > most.0 {
                most = (ahead, &segment.name);
            }
            if ahead < least.0 {
                least = (ahead, &segment.name);
            }
        }
        if unread {
            findings.unknown();
        } else if !media.segments.is_empty() {
            // A millisecond is what many playlists are rounded to.
            let off = most.0 - least.0;
            let worst = if most.0 > -least.0 { most.1 } else { least.1 };
            let ends = media.segments.first().map_or(0.0, before) + media.segments.last().map_or(0.0, behind);
            findings.hold(off <= frame + 0.001 + ends, worst, || {
                format!("EXTINFs are up to {off:.3} s off what the segments last, a frame is {frame:.3} s")
            });
        }
    }
    findings.verdict("there is no media playlist")
}

/// Where a segment's leading kind lies in time.
fn leading(segment: &Segment) -> Option<Span> {
    let contents = segment.contents.as_ref().ok()?;
    contents.span(contents.leading()?)
}

/// The spans of pictures and sound of a transport stream.
fn spans(segment: &Segment) -> impl Iterator<Item = Span> {
    let contents = segment.contents.as_ref().ok().filter(|_| segment.is_transport());
    contents.into_iter().flat_map(|contents| [Media::Video, Media::Audio].map(|kind| contents.span(kind))).flatten()
}

/// Seconds by which something else of a transport stream begins before what leads; the EXTINF may have them or not.
fn before(segment: &Segment) -> f64 {
    let Some(leads) = leading(segment) else { return 0.0 };
    spans(segment).map(|span| passed(span.start, leads.start)).fold(0.0, f64::max)
}

/// Seconds by which it ends after that.
fn behind(segment: &Segment) -> f64 {
    let Some(leads) = leading(segment) else { return 0.0 };
    spans(segment).map(|span| passed(leads.end, span.end)).fold(0.0, f64::max)
}

/// Renditions of video and of audio.
fn timed(stream: &Stream) -> impl Iterator<Item = (&Rendition, &MediaPlaylist)> {
    whole(stream).filter(|(rendition, _)| !rendition.is(Role::Subtitles) && !rendition.is(Role::IFrames))
}

fn same_target(stream: &Stream) -> Verdict {
    if master(stream).is_none() {
        return Verdict::NotApplicable(NO_MULTIVARIANT);
    }
    let (mut findings, mut first) = (Findings::default(), None);
    for (rendition, media) in timed(stream) {
        let Some(target) = media.target() else { continue };
        let (name, due) = *first.get_or_insert((&rendition.name, target));
        findings.hold(target == due, &rendition.name, || format!("it is {target} s, that of {name} is {due} s"));
    }
    findings.verdict("there is no media playlist")
}

fn same_duration(stream: &Stream) -> Verdict {
    if master(stream).is_none() {
        return Verdict::NotApplicable(NO_MULTIVARIANT);
    }
    let (mut findings, mut first) = (Findings::default(), None);
    for (rendition, media) in timed(stream).filter(|(_, media)| media.is_ended()) {
        let seconds = media.seconds();
        let (name, due) = *first.get_or_insert((&rendition.name, seconds));
        findings.hold((seconds - due).abs() <= 0.25, &rendition.name, || {
            format!("it is {seconds:.3} s, that of {name} is {due:.3} s")
        });
    }
    findings.verdict("no media playlist is complete")
}

fn marked(stream: &Stream) -> Verdict {
    let mut findings = Findings::default();
    for (_, media) in whole(stream) {
        for (before, segment, after) in seams(media) {
            let what = match (&before.form, &after.form) {
                (Form::Fragments(first, _), Form::Fragments(second, _)) => {
                    let shape = |init: &super::super::boxes::Init| {
                        let tracks = init.tracks.iter();
                        tracks.map(|track| (track.media, track.timescale, track.entry.kind.clone())).collect::<Vec<_>>()
                    };
                    shape(first) == shape(second)
                }
                (Form::Transport(first), Form::Transport(second)) => {
                    let pids = |transport: &Transport| {
                        transport.streams.iter().map(|stream| stream.pid).collect::<BTreeSet<u16>>()
                    };
                    // Of one that a segment has nothing of, the codec is not known.
                    let same = first.streams.iter().all(|one| {
                        let other = second.streams.iter().find(|other| other.pid == one.pid);
                        other.is_some_and(|other| one.codec == other.codec || one.packets == 0 || other.packets == 0)
                    });
                    pids(first) == pids(second) && same
                }
                (Form::Fragments(..), Form::Transport(_)) | (Form::Transport(_), Form::Fragments(..)) => false,
                _ => true,
            };
            findings.hold(what, &segment.name, || "it is coded differently, and none stands before it".to_owned());
        }
    }
    findings.verdict(NO_SEAM)
}

/// When each discontinuity is, in seconds by the EXTINFs.
fn discontinuities(media: &MediaPlaylist) -> Vec<f64> {
    let mut time = 0.0;
    let mut found = Vec::new();
    for segment in &media.segments {
        if segment.discontinuity {
            found.push(time);
        }
        time += segment.seconds.unwrap_or(0.0);
    }
    found
}

fn same_discontinuities(stream: &Stream) -> Verdict {
    let (mut findings, mut first): (_, Option<(&str, Vec<f64>)>) = (Findings::default(), None);
    for (rendition, media) in whole(stream) {
        let places = discontinuities(media);
        let (name, due) = first.get_or_insert_with(|| (&rendition.name, places.clone()));
        let same = places.len() == due.len() && places.iter().zip(due.iter()).all(|(a, b)| (a - b).abs() <= 0.25);
        findings.hold(same, &rendition.name, || {
            let told = |places: &[f64]| {
                let places: Vec<String> = places.iter().take(5).map(|at| format!("{at:.2} s")).collect();
                if places.is_empty() { "none".to_owned() } else { places.join(", ") }
            };
            format!("there are {} ({}), in {name} {} ({})", places.len(), told(&places), due.len(), told(due))
        });
    }
    findings.verdict("there is no media playlist")
}

fn same_boundaries(stream: &Stream) -> Verdict {
    let (mut findings, mut first): (_, Option<(&str, Vec<f64>)>) = (Findings::default(), None);
    let mut all: Vec<_> = whole(stream).collect();
    // What leads is video.
    all.sort_by_key(|(rendition, media)| !is_video(rendition, media));
    for (rendition, media) in all {
        let ends: Vec<f64> = media
            .segments
            .iter()
            .scan(0.0, |time, segment| {
                *time += segment.seconds.unwrap_or(0.0);
                Some(*time)
            })
            .collect();
        let slack = if is_video(rendition, media) { 0.002 } else { FRAME_S };
        // Where the last one ends is another rule's matter.
        let inner = |ends: &[f64]| ends[..ends.len().saturating_sub(1)].to_vec();
        let (name, due) = first.get_or_insert_with(|| (&rendition.name, inner(&ends)));
        let ends = inner(&ends);
        let wrong = ends.iter().zip(due.iter()).position(|(a, b)| (a - b).abs() > slack);
        match wrong {
            Some(place) => findings.fail(
                &rendition.name,
                format!(
                    "its segment {} starts at {:.3} s, that of {name} at {:.3} s",
                    place + 2,
                    ends[place],
                    due[place]
                ),
            ),
            None => findings.hold(ends.len() == due.len(), &rendition.name, || {
                format!("it has {} segments, {name} has {}", ends.len() + 1, due.len() + 1)
            }),
        }
    }
    findings.verdict("there is no media playlist")
}
