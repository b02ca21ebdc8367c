//! From what a pass made to the report.

use std::ops::Range;

use vtp_encoder_node::cache::Cache;
use vtp_engine::gathering::Join;
use vtp_engine::loudness::{self, HIGHEST_PEAK_DBTP};
use vtp_engine::media::audio::AudioOutcome;
use vtp_engine::quality::{Cause, Outcome};
use vtp_stitcher::{AudioReport, JoinReport, Published, RenditionReport, TimedScore};

use super::audio::Finished;
use super::crew::Fleet;
use super::making::Made;
use super::pass::Pass;
use super::timing::Stopwatch;
use crate::curves::{Curve, Curves, Point, SegmentSize, VERSION};
use crate::report::{Audio, Choice, Encryption, Loudness, Parts, Proof, Report};
use crate::text;

/// The report on what `pass` has made, by these choices and with these warnings.
pub(super) fn build(
    pass: &Pass<'_>,
    made: Made,
    choices: Vec<Choice>,
    mut warnings: Vec<String>,
    watch: &Stopwatch,
) -> Report {
    let source = pass.source;
    let Made { plan, mut published, audio, gathered, captions, warnings: of_subtitles } = made;
    for rendition in &mut published.renditions {
        rendition.joins = joins(rendition, &gathered.joins);
    }
    let video = &source.info.video;
    let seconds = video.time_base.seconds(source.index.end() - source.origin);
    warnings.extend(audio.iter().flat_map(|finished| audio_warnings(finished, seconds)));
    warnings.extend(of_subtitles);
    warnings.extend(gathered.concealed.iter().map(concealment));
    warnings.extend(published.renditions.iter().filter_map(cap_warning));
    warnings.extend(published.renditions.iter().flat_map(quality_warnings));
    warnings.extend(published.renditions.iter().filter_map(join_warning));
    let audio = audio_rows(&published, audio.as_ref());
    warnings.extend(audio.iter().filter_map(quiet_warning));
    warnings.extend(pass.without_pictures());
    warnings.extend(pass.children.missing().into_iter().map(unwalled));
    let proof = proof(&published);
    crate::report::build(Parts {
        info: &source.info,
        index: &source.index,
        plan: &plan,
        target: pass.request.check.map(|check| check.target),
        choices,
        renditions: published.renditions,
        audio,
        subtitles: published.subtitles,
        captions,
        pictures: published.pictures,
        files: published.files,
        hls_ts: published.hls_ts,
        encryption: pass.request.seal.as_ref().map(Encryption::of),
        job: pass.fleet.and_then(Fleet::run),
        proof,
        timing: watch.timing(gathered.cpu, pass.cache.map(Cache::reused)),
        warnings,
    })
}

fn unwalled(missing: String) -> String {
    format!("the source was worked on behind fewer walls than there could be; {missing}")
}

fn concealment(span: &Range<f64>) -> String {
    let (start, end) = (text::clock(span.start), text::clock(span.end));
    format!("from {start} to {end} the source can't be decoded; black pictures stand there, as --allow-damage allows")
}

/// What `published` is like over time.
pub(super) fn curves(published: &Published) -> Curves {
    let points = |scores: &[TimedScore]| scores.iter().map(|it| Point(it.time_s, it.score)).collect();
    let curve = |(report, curve): (&RenditionReport, &vtp_stitcher::Curve)| Curve {
        name: report.name.clone(),
        fidelity: points(&curve.fidelity),
        vmaf: points(&curve.vmaf),
        segments: curve.segments.iter().map(segment).collect(),
    };
    let renditions = published.renditions.iter().zip(&published.curves).map(curve).collect();
    Curves { version: VERSION, renditions }
}

fn segment(of: &vtp_stitcher::SegmentSize) -> SegmentSize {
    SegmentSize { start_s: of.start_s, duration_s: of.duration_s, bytes: of.bytes }
}

fn proof(published: &Published) -> Proof {
    let proof = &published.proof;
    Proof {
        frames_source: proof.frames_source.into(),
        frames_out: proof.frames_out.values().copied().min().unwrap_or(0).into(),
        av_offset_start_ms: proof.av_offset_start_ms.map(microseconds),
        av_offset_end_ms: proof.av_offset_end_ms.map(microseconds),
        ok: proof.ok,
    }
}

/// Milliseconds to the microsecond, and no negative zero.
fn microseconds(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0 + 0.0
}

/// The packaged tracks are those that have samples, in the same order.
fn audio_rows(published: &Published, finished: Option<&Finished>) -> Vec<Audio> {
    let outcomes = finished.iter().flat_map(|f| &f.outcomes).filter(|outcome| outcome.samples > 0);
    let row = |(track, outcome): (&AudioReport, &AudioOutcome)| Audio {
        name: track.name.clone(),
        codec: track.codec.clone(),
        language: (track.language != "und").then(|| track.language.clone()),
        channels: track.channels,
        sample_rate: track.sample_rate,
        samples: outcome.samples,
        bytes: track.bytes,
        bandwidth: track.bandwidth,
        loudness: outcome.loudness.as_ref().map(self::loudness),
    };
    published.audio.iter().zip(outcomes).map(row).collect()
}

fn loudness(of: &loudness::Loudness) -> Loudness {
    let hundredths = |value: f64| (value * 100.0).round() / 100.0 + 0.0;
    Loudness {
        target_lufs: of.target_lufs,
        measured_lufs: of.measured.integrated_lufs.map(hundredths),
        true_peak_dbtp: of.measured.true_peak_dbtp.map(hundredths),
        gain_db: hundredths(of.gain_db),
        missed_because: missed_loudness(of),
    }
}

/// Why a track is not as loud as asked; `None` if it is, to a twentieth of a unit.
fn missed_loudness(of: &loudness::Loudness) -> Option<String> {
    match of.reached_lufs() {
        None => Some("it is silent".to_owned()),
        Some(lufs) if of.is_limited && of.target_lufs - lufs > 0.05 => Some(format!(
            "it is at {lufs:.1} LUFS, not {:.1}: its true peak would be above {HIGHEST_PEAK_DBTP:.0} dBTP",
            of.target_lufs
        )),
        Some(_) => None,
    }
}

/// Silence needs no warning.
fn quiet_warning(track: &Audio) -> Option<String> {
    let loudness = track.loudness.as_ref().filter(|loudness| loudness.measured_lufs.is_some())?;
    loudness.missed_because.as_ref().map(|why| format!("{}: {why}", track.name))
}

fn cap_warning(rendition: &RenditionReport) -> Option<String> {
    let over = rendition.cap_overflow_bits.filter(|&bits| bits > 0)?;
    Some(format!("{} exceeds the buffer of its rate cap by {} kilobits at worst", rendition.name, over / 1000 + 1))
}

/// What is not as good as asked, and why.
fn quality_warnings(rendition: &RenditionReport) -> Vec<String> {
    let all = rendition.chunks.len();
    let of = |outcome| rendition.chunks.iter().filter(|chunk| chunk.outcome == Some(outcome)).count();
    let mut warnings = Vec::new();
    let mut warn = |count: usize, why: &str| {
        if count > 0 {
            warnings.push(format!("{}: {count} of {all} chunks are not as good as asked: {why}", rendition.name));
        }
    };
    warn(of(Outcome::Capped), "the rate cap allows no more bits");
    warn(of(Outcome::Missed), "better settings did not reach it in three attempts");
    warnings
}

/// Those of `joins` that are of this rendition.
fn joins(rendition: &RenditionReport, joins: &[Join]) -> Vec<JoinReport> {
    let report = |join: &Join| {
        let chunk = rendition.chunks.iter().find(|chunk| chunk.index == join.chunk.0)?;
        Some(JoinReport {
            at_s: chunk.start_s,
            chunk: chunk.index,
            step: join.points,
            cause: join.cause,
            repaired: join.is_repaired,
        })
    };
    joins.iter().filter(|join| join.rendition == rendition.name).filter_map(report).collect()
}

/// The steps that the encoding has left.
fn join_warning(rendition: &RenditionReport) -> Option<String> {
    let left = || rendition.joins.iter().filter(|join| join.cause == Cause::Encoding && !join.repaired);
    let worst = left().max_by(|a, b| a.step.abs().total_cmp(&b.step.abs()))?;
    Some(format!(
        "{}: quality steps visibly between chunks, {} in all; the largest, of {:.1} points, is at {:.3} s",
        rendition.name,
        text::plural(left().count() as u64, "step"),
        worst.step.abs(),
        worst.at_s
    ))
}

/// So many seconds that sound ends before the picture nobody notices.
const UNNOTICED_S: f64 = 0.5;

/// What a user should know of the sound beside a picture that ends after so many seconds.
fn audio_warnings(finished: &Finished, picture_s: f64) -> Vec<String> {
    let mut warnings = Vec::new();
    for (outcome, track) in finished.outcomes.iter().take(finished.own).zip(1..) {
        let mut warn =
            |happened: bool, text: String| warnings.extend(happened.then(|| format!("audio track {track}: {text}")));
        warn(outcome.samples == 0, "nothing of it could be decoded; it is left out".to_owned());
        let (damaged, slips) = (u64::from(outcome.damaged), u64::from(outcome.slips));
        let are = if damaged == 1 { "is" } else { "are" };
        warn(damaged > 0, format!("{} {are} damaged", text::plural(damaged, "packet")));
        warn(outcome.dropped_s > 0.0005, format!("{:.3} s overlap and are left out", outcome.dropped_s));
        warn(slips > 0, format!("its timestamps jump {} to another clock", text::plural(slips, "time")));
        let early_s = picture_s - outcome.end_s;
        let what = match outcome.silence_after {
            0 => "players may stall there, or end",
            _ => "it is silent from there on",
        };
        let is_noticed = outcome.samples > 0 && early_s > UNNOTICED_S;
        warn(is_noticed, format!("it ends {early_s:.1} s before the picture: {what}"));
    }
    let told = |(place, why): &(usize, String)| format!("audio track {} was encoded, not copied: {why}", place + 1);
    warnings.extend(finished.not_copied.iter().map(told));
    warnings
}
