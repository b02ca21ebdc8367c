//! The MPD, held against the segments.

use std::collections::{HashMap, HashSet};

use super::super::boxes::{Media, Run, Track};
use super::super::codecs;
use super::super::mpd::{Addressing, Listed, Outline};
use super::super::rule::{Area, Findings, Level, Rule, Verdict};
use super::super::stream::{Dash, DashSegment, DashTrack, Form, Stream};
use super::multivariant::Rates;
use crate::listing::MOST_PART;
use crate::rates::BufferModel;

const fn rule(
    id: &'static str,
    source: &'static str,
    level: Level,
    text: &'static str,
    judge: fn(&Stream) -> Verdict,
) -> Rule {
    Rule { id, source, area: Area::Dash, level, text, judge }
}

const NO_MPD: &str = "there is no MPD";
const NO_SEGMENTS: &str = "no segment of fragmented MP4 was read";

pub(super) const RULES: &[Rule] = &[
    rule(
        "mpd",
        "23009-1 5.2",
        Level::Must,
        "The MPD can be read, and says where every Representation's segments are",
        readable,
    ),
    rule(
        "mpd-attributes",
        "23009-1 5.3",
        Level::Must,
        "profiles, minBufferTime, and id, bandwidth and mimeType of every Representation are there",
        attributes,
    ),
    rule(
        "mpd-duration",
        "23009-1 5.3.1.2",
        Level::Must,
        "mediaPresentationDuration is what the segments last (within a tenth of a second)",
        duration,
    ),
    rule(
        "mpd-period-start",
        "23009-1 5.3.9.2",
        Level::Must,
        "The first segment holds the start of its period",
        period_start,
    ),
    rule(
        "mpd-timeline",
        "23009-1 5.3.9.6",
        Level::Must,
        "Starts and durations in the SegmentTimeline are those of the segments (within half a frame)",
        timeline,
    ),
    rule(
        "mpd-nominal",
        "23009-1 7.2.1",
        Level::Must,
        "Where only a duration is told, segments are within half of it of where they should be",
        nominal,
    ),
    rule(
        "mpd-continuous",
        "23009-1 7.2.1",
        Level::Must,
        "Each segment of a Representation starts exactly where the one before ends",
        continuous,
    ),
    rule("mpd-codecs", "23009-1 5.3.7.2", Level::Must, "codecs is there, and is that of the segments", codecs_told),
    rule(
        "mpd-media",
        "23009-1 5.3.7.2",
        Level::Must,
        "MIME type, size, frame rate and sampling rate are those of the segments",
        media,
    ),
    rule(
        "mpd-bandwidth",
        "23009-1 5.3.5.2",
        Level::Must,
        "bandwidth is enough to play after minBufferTime, from any segment on",
        bandwidth,
    ),
    rule(
        "mpd-aligned",
        "23009-1 5.3.3.2",
        Level::Must,
        "Segments that are said to be aligned start at the same times",
        aligned,
    ),
    rule(
        "mpd-sap",
        "23009-1 5.3.7.2",
        Level::Must,
        "Segments that are said to start with a stream access point do",
        access_points,
    ),
];

/// The outline of an MPD that can be read, and what its Representations lead to.
fn listed(stream: &Stream) -> Option<(&Dash, &Outline)> {
    let dash = stream.dash.as_ref()?;
    Some((dash, dash.outline.as_ref().ok()?))
}

/// Calls `see` for each Representation.
fn each(
    stream: &Stream,
    mut see: impl FnMut(&mut Findings, &Listed, &DashTrack, String),
    absent: &'static str,
) -> Verdict {
    let Some(dash) = &stream.dash else { return Verdict::NotApplicable(NO_MPD) };
    let Ok(outline) = &dash.outline else { return Verdict::NotChecked("the MPD can't be read") };
    let mut findings = Findings::default();
    for (listed, track) in outline.representations.iter().zip(&dash.tracks) {
        see(&mut findings, listed, track, format!("Representation {}", listed.name));
    }
    findings.verdict(absent)
}

/// The leading track of a segment and its samples.
fn run(segment: &DashSegment) -> Option<(&Track, &Run)> {
    let contents = segment.contents.as_ref().ok()?;
    contents.run(contents.leading()?)
}

fn readable(stream: &Stream) -> Verdict {
    let Some(dash) = &stream.dash else { return Verdict::NotApplicable(NO_MPD) };
    let mut findings = Findings::default();
    findings.look();
    match &dash.outline {
        Err(problem) => findings.fail(&dash.name, problem.clone()),
        Ok(outline) => {
            outline.problems.iter().for_each(|(place, what)| findings.fail(place, what.clone()));
            findings.hold(!outline.representations.is_empty(), &dash.name, || "it has no Representation".to_owned());
        }
    }
    findings.verdict(NO_MPD)
}

fn attributes(stream: &Stream) -> Verdict {
    let Some((dash, outline)) = listed(stream) else { return each(stream, |_, _, _, _| {}, NO_MPD) };
    let mut findings = Findings::default();
    findings.hold(outline.profiles.is_some(), &dash.name, || "there is no profiles".to_owned());
    findings.hold(outline.buffer.is_some(), &dash.name, || "there is no minBufferTime".to_owned());
    let told = !outline.is_static || outline.duration.is_some();
    findings.hold(told, &dash.name, || "it is static, and has no mediaPresentationDuration".to_owned());
    let mut names = HashSet::new();
    for listed in &outline.representations {
        let place = format!("Representation {}", listed.name);
        findings.hold(names.insert(&listed.name), &place, || "there is another with its id, or it has none".to_owned());
        findings.hold(listed.bandwidth.is_some(), &place, || "there is no bandwidth".to_owned());
        findings.hold(listed.mime.is_some(), &place, || "there is no mimeType".to_owned());
    }
    findings.verdict(NO_MPD)
}

/// The times of a Representation are told one by one.
fn is_exact(listed: &Listed) -> bool {
    matches!(listed.addressing, Addressing::Segments { exact: true, .. } | Addressing::Indexed { .. })
}

fn duration(stream: &Stream) -> Verdict {
    let Some((dash, outline)) = listed(stream) else { return each(stream, |_, _, _, _| {}, NO_MPD) };
    let Some(told) = outline.duration else { return Verdict::NotApplicable("it has no mediaPresentationDuration") };
    let ends = outline.representations.iter().zip(&dash.tracks).filter_map(|(listed, track)| {
        let last = track.segments.last()?;
        let end = match is_exact(listed) {
            true => last.start as f64 + last.ticks as f64 - listed.offset as f64,
            false => {
                let (own, run) = run(last)?;
                run.end.saturating_sub(own.skipped) as f64 / f64::from(own.timescale) * listed.timescale as f64
                    - listed.offset as f64
            }
        };
        Some(listed.period_start + end / listed.timescale as f64)
    });
    let end = ends.fold(0.0, f64::max);
    let mut findings = Findings::default();
    if end > 0.0 {
        findings
            .hold((told - end).abs() <= 0.1, &dash.name, || format!("it is {told:.3} s, the segments last {end:.3} s"));
    }
    findings.verdict("no segment tells when it ends")
}

fn period_start(stream: &Stream) -> Verdict {
    let judge = |findings: &mut Findings, listed: &Listed, track: &DashTrack, place: String| {
        let Some(first) = track.segments.first().filter(|_| is_exact(listed)) else { return };
        let scale = listed.timescale as f64;
        let start = (first.start as f64 - listed.offset as f64) / scale;
        let holds = start <= 0.1 && start + first.ticks as f64 / scale > 0.0;
        findings.hold(holds, &place, || format!("the first segment starts {start:+.3} s from the start of its period"));
    };
    each(stream, judge, "no times are told")
}

/// The times at which a segment may be said to start and end, in seconds: decode or presentation times, with or without
/// what an edit list takes out.
fn candidates(track: &Track, run: &Run) -> [(f64, f64); 4] {
    let length = run.ticks();
    let shown = u64::try_from(run.shown).unwrap_or(0);
    let seconds = |ticks: u64| ticks as f64 / f64::from(track.timescale);
    let edited = |start: u64| {
        (
            seconds(start.saturating_sub(track.skipped)),
            seconds(start.saturating_add(length).saturating_sub(track.skipped)),
        )
    };
    let plain = |start: u64| (seconds(start), seconds(start.saturating_add(length)));
    [plain(run.start), edited(run.start), plain(shown), edited(shown)]
}

fn timeline(stream: &Stream) -> Verdict {
    let judge = |findings: &mut Findings, listed: &Listed, track: &DashTrack, _: String| {
        if !is_exact(listed) {
            return;
        }
        for segment in &track.segments {
            let Some((own, run)) = run(segment) else { continue };
            let told = |ticks: u64| ticks as f64 / listed.timescale as f64;
            let (start, end) = (told(segment.start), told(segment.start.saturating_add(segment.ticks)));
            let slack = 0.5 * f64::from(run.shortest().unwrap_or(0)) / f64::from(own.timescale) + 1e-6;
            let found = candidates(own, run);
            let fits = found.iter().any(|(a, b)| (a - start).abs() <= slack && (b - end).abs() <= slack);
            findings.hold(fits, &segment.name, || {
                format!("told is {start:.3} s to {end:.3} s, it has {:.3} s to {:.3} s", found[1].0, found[1].1)
            });
        }
    };
    each(stream, judge, NO_SEGMENTS)
}

fn nominal(stream: &Stream) -> Verdict {
    let judge = |findings: &mut Findings, listed: &Listed, track: &DashTrack, _: String| {
        if is_exact(listed) {
            return;
        }
        let step = track.segments.first().map_or(0, |segment| segment.ticks) as f64 / listed.timescale as f64;
        for segment in &track.segments {
            let Some((own, run)) = run(segment) else { continue };
            let due = (segment.start as f64 + listed.offset as f64) / listed.timescale as f64;
            let found = candidates(own, run)[1].0;
            findings.hold((found - due).abs() <= 0.5 * step, &segment.name, || {
                format!("it starts at {found:.3} s, due is {due:.3} s")
            });
        }
    };
    each(stream, judge, "all times are told one by one")
}

fn continuous(stream: &Stream) -> Verdict {
    let judge = |findings: &mut Findings, _: &Listed, track: &DashTrack, _: String| {
        for pair in track.segments.windows(2) {
            let (Some((_, first)), Some((_, second))) = (run(&pair[0]), run(&pair[1])) else { continue };
            findings.hold(second.start == first.end, &pair[1].name, || {
                let by = i128::from(second.start) - i128::from(first.end);
                format!("it starts at {}, due is {} ({by:+} units)", second.start, first.end)
            });
        }
    };
    each(stream, judge, NO_SEGMENTS)
}

fn codecs_told(stream: &Stream) -> Verdict {
    let judge = |findings: &mut Findings, listed: &Listed, track: &DashTrack, place: String| {
        let Some((_, Ok(init))) = &track.init else { return };
        let found: Vec<&str> = init.tracks.iter().filter_map(|track| track.entry.codec.as_deref()).collect();
        let Some(told) = &listed.codecs else { return findings.fail(&place, "there is no codecs") };
        let told: Vec<&str> = told.split(',').collect();
        let same =
            told.len() == found.len() && found.iter().all(|codec| told.iter().any(|told| codecs::same(told, codec)));
        findings.hold(same, &place, || format!("codecs is {}, the segments have {}", told.join(","), found.join(",")));
    };
    each(stream, judge, "no initialization segment was read")
}

fn media(stream: &Stream) -> Verdict {
    let judge = |findings: &mut Findings, listed: &Listed, track: &DashTrack, place: String| {
        let Some((_, Ok(init))) = &track.init else { return };
        let Some(own) = init.tracks.first() else { return };
        let kind = match own.media {
            Media::Video => "video/mp4",
            Media::Audio => "audio/mp4",
            Media::Text | Media::Other => "application/mp4",
        };
        let told = listed.mime.as_deref().unwrap_or(kind);
        findings.hold(told.split(';').next() == Some(kind), &place, || format!("mimeType is {told}, it is {kind}"));
        if own.media == Media::Video
            && let Some((width, height)) = listed.size
        {
            let coded = (u64::from(own.entry.size.0), u64::from(own.entry.size.1));
            findings.hold((width, height) == coded, &place, || {
                format!("it is said to be {width}x{height}, the pictures are {}x{}", coded.0, coded.1)
            });
        }
        if let Some(told) = &listed.frame_rate_text {
            // Players read the parts as signed integers of 32 bits.
            let fits = told.split('/').all(|part| part.trim().parse::<u64>().is_ok_and(|part| part <= MOST_PART));
            findings.hold(fits, &place, || format!("frameRate is {told}, whose parts are no integers of 31 bits"));
        }
        if let Some(told) = listed.frame_rate.filter(|_| own.media == Media::Video) {
            let runs: Vec<&Run> = track.segments.iter().filter_map(run).map(|(_, run)| run).collect();
            let ticks: f64 = runs.iter().map(|run| run.ticks() as f64).sum();
            let frames: usize = runs.iter().map(|run| run.samples.len()).sum();
            let shortest = runs.iter().filter_map(|run| run.shortest()).min();
            let seconds = |ticks: f64| ticks / f64::from(own.timescale);
            let rates = shortest.and_then(|it| Rates::new(frames as f64, seconds(ticks), seconds(it.into())));
            if let Some(rates) = rates {
                findings.hold(rates.fit(told), &place, || {
                    format!("frameRate is {told:.3}, there are {:.3} pictures a second", rates.average)
                });
            }
        }
        if own.media == Media::Audio
            && let Some(told) = listed.sampling_rate
            // Opus always plays at 48 kHz; a rate of 0 is too large for its field.
            && own.entry.kind != "Opus"
            && own.entry.rate > 0
        {
            // High-efficiency AAC is told by either rate.
            let rate = u64::from(own.entry.rate);
            findings.hold(told == rate || told == 2 * rate || 2 * told == rate, &place, || {
                format!("audioSamplingRate is {told}, it is {rate}")
            });
        }
    };
    each(stream, judge, "no initialization segment was read")
}

fn bandwidth(stream: &Stream) -> Verdict {
    let Some((_, outline)) = listed(stream) else { return each(stream, |_, _, _, _| {}, NO_MPD) };
    let Some(buffer) = outline.buffer else { return Verdict::NotApplicable("it has no minBufferTime") };
    let judge = |findings: &mut Findings, listed: &Listed, track: &DashTrack, place: String| {
        let Some(rate) = listed.bandwidth else { return };
        let mut model: Option<BufferModel> = None;
        for segment in &track.segments {
            let (Some((own, run)), Ok(contents)) = (run(segment), &segment.contents) else { return };
            let model = model.get_or_insert_with(|| BufferModel::new(rate.max(1), own.timescale));
            let body: u64 = run.samples.iter().map(|(_, size)| u64::from(*size)).sum();
            model.segment(run.start, contents.bytes.saturating_sub(body));
            let mut time = run.start;
            for (duration, size) in &run.samples {
                model.sample(time, *size);
                time = time.saturating_add(u64::from(*duration));
            }
        }
        if let Some(model) = model {
            let needed = model.needed_s();
            // MPDs are written to milliseconds.
            findings.hold(needed <= buffer * 1.001 + 0.001, &place, || {
                format!("at {rate} b/s it takes {needed:.3} s of buffer, minBufferTime is {buffer:.3} s")
            });
        }
    };
    each(stream, judge, NO_SEGMENTS)
}

fn aligned(stream: &Stream) -> Verdict {
    let mut sets: HashMap<usize, (String, Vec<f64>)> = HashMap::new();
    let judge = |findings: &mut Findings, listed: &Listed, track: &DashTrack, place: String| {
        if !listed.aligned {
            return;
        }
        let start = |segment: &DashSegment| match run(segment) {
            Some((own, run)) => run.start as f64 / f64::from(own.timescale),
            None => segment.start as f64 / listed.timescale as f64,
        };
        let starts: Vec<f64> = track.segments.iter().map(start).collect();
        findings.look();
        let (name, due) = sets.entry(listed.set).or_insert_with(|| (place.clone(), starts.clone()));
        let wrong = starts.iter().zip(due.iter()).position(|(a, b)| (a - b).abs() > 0.001);
        match wrong {
            Some(at) => {
                findings.fail(
                    &place,
                    format!("segment {} starts at {:.3} s, that of {name} at {:.3} s", at + 1, starts[at], due[at]),
                );
            }
            None => findings.hold(starts.len() == due.len(), &place, || {
                format!("it has {} segments, {name} has {}", starts.len(), due.len())
            }),
        }
    };
    each(stream, judge, "nothing is said to be aligned")
}

fn access_points(stream: &Stream) -> Verdict {
    let judge = |findings: &mut Findings, listed: &Listed, track: &DashTrack, _: String| {
        if !matches!(listed.sap, Some(1..=3)) {
            return;
        }
        for segment in &track.segments {
            let Ok(contents) = &segment.contents else { continue };
            let Form::Fragments(..) = contents.form else { continue };
            let Some((own, run)) = run(segment) else { continue };
            let key = own.media != Media::Video || run.key != Some(false);
            findings.hold(run.sync && key, &segment.name, || "its first sample is none".to_owned());
        }
    };
    each(stream, judge, "nothing is said of stream access points")
}
