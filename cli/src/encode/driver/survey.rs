//! The trial behind `--ladder smart`: a few segments of the source on every rung, measured.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Span;
use vtp_engine::chunk::{EncodedChunk, EncodedRendition};
use vtp_engine::coordinator::{Config, FailureKind, TaskId, Variant};
use vtp_engine::ladder::Rendition;
use vtp_engine::ladder::smart::Trial;
use vtp_engine::plan::plan;
use vtp_engine::quality::{Check, Sampling, Summary, Target, shown};
use vtp_engine::stills::Stills;
use vtp_engine::units::{Attempt, ChunkIndex};

use super::crew::{ChunkError, Job, Order, Work};
use super::pass::{Pass, PassError};
use super::run::JOB;
use super::tally::Encoded;
use crate::encode::failure::EncodeFailure;
use crate::plan::settings as plan_settings;
use crate::progress::ProgressEvent;

/// Segments that are tried, evenly spread.
const SEGMENTS: usize = 3;

/// How they are measured: all that is measured is also looked at as it is shown.
const SAMPLING: Sampling = Sampling { ends: 1, one_in: 9, viewed_one_in: 1 };

/// Encodes a few segments of the source with every rendition of `pass` and tells what came of each, in their order. A segment
/// that can't be encoded is left out; where none can be, nothing is told of any rendition.
pub(super) fn survey(pass: &Pass<'_>) -> Result<Vec<Trial>, PassError> {
    (pass.progress)(ProgressEvent::Stage("trying rungs".into()));
    let source = pass.source;
    // Chunks of one segment each.
    let segment_s = pass.request.segment_s;
    let settings = plan_settings(&source.info, pass.renditions, segment_s, Some(segment_s));
    let plan = plan(&source.index, source.info.video.time_base, &settings);
    let tried = spread(plan.chunks.len());
    let spool = pass.dirs.work.join("survey");
    let check = Check { sampling: SAMPLING, target: Target { mean: 0.0, floor: 0.0, save: false } };
    let job = Job {
        source,
        children: pass.children,
        adoption: pass.adoption,
        index: Arc::new(source.index.clone()),
        plan: &plan,
        renditions: pass.renditions,
        spool: &spool,
        context_frames: settings.context_frames,
        one_frame_a_packet: source.index.has_one_frame_a_packet(),
        hidden: source.index.hidden_packets(),
        check: Some(check),
        encoded: Encoded::default(),
        stop: pass.cancel,
        cache: pass.cache,
        stills: Stills::default(),
        copy: None,
        fleet: pass.fleet,
        archive: None,
    };
    let chunks = encode(&job, &tried, pass.request.workers)?;
    std::fs::remove_dir_all(&spool).map_err(|error| EncodeFailure::Internal(error.into()))?;
    let seconds = chunks.iter().map(|chunk| job.seconds(chunk.chunk.0 as usize)).sum();
    let trial = |(at, rendition)| trial(rendition, chunks.iter().filter_map(|chunk| chunk.renditions.get(at)), seconds);
    Ok(pass.renditions.iter().enumerate().filter_map(trial).collect())
}

/// Which of so many chunks are tried: each in the middle of its share.
fn spread(count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..SEGMENTS).map(|part| (2 * part + 1) * count / (2 * SEGMENTS)).collect();
    places.dedup();
    places
}

/// Those of the chunks at these places that can be encoded, in their order, encoded by so many threads.
fn encode(job: &Job<'_>, places: &[usize], workers: NonZeroUsize) -> Result<Vec<EncodedChunk>, PassError> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..workers.get().min(places.len()) {
            let span = Span::current();
            let (next, done) = (&next, &done);
            scope.spawn(move || {
                let _span = span.enter();
                while let Some(&place) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = attempts(job, ChunkIndex(place as u32));
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((place, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    let mut encoded = Vec::new();
    for (chunk, result) in done {
        match result {
            Ok(made) => encoded.push(made),
            Err(error) if error.is_mismatch() => return Err(PassError::OtherFrames(error.to_string())),
            Err(error) if error.is_cancelled() => return Err(EncodeFailure::Cancelled.into()),
            // Whoever makes the ladder meets it again, and tells when it is shown.
            Err(error) => tracing::warn!(chunk, %error, "a part of the source can't be tried"),
        }
    }
    Ok(encoded)
}

/// A chunk, made as often, and with which settings, as the coordinator would have it made.
fn attempts(job: &Job<'_>, chunk: ChunkIndex) -> Result<EncodedChunk, ChunkError> {
    let (task, most) = (TaskId { job: JOB, chunk }, Config::default().max_attempts);
    let mut attempt = 1;
    loop {
        let variant = match attempt {
            1 => Variant::Usual,
            last if last >= most => Variant::Last,
            _ => Variant::Cautious,
        };
        let made = job.encode(&Order { task, attempt: Attempt(attempt), variant, work: Work::Whole });
        match made {
            Err(error) if variant != Variant::Last && may_help(&error) => {
                tracing::warn!(chunk = chunk.0, attempt, %error, "a part of the source is tried again");
                attempt += 1;
            }
            made => return made,
        }
    }
}

/// Whether another attempt may help.
fn may_help(error: &ChunkError) -> bool {
    !error.is_mismatch() && !error.is_cancelled() && error.kind() != FailureKind::Permanent
}

/// What `rendition` came to in these encodings, `seconds` long in all; `None` where it was not measured.
fn trial<'a>(
    rendition: &Rendition,
    encoded: impl Iterator<Item = &'a EncodedRendition> + Clone,
    seconds: f64,
) -> Option<Trial> {
    let bytes: u64 = encoded.clone().flat_map(|it| &it.samples).map(|sample| u64::from(sample.size)).sum();
    let fidelity = encoded.clone().flat_map(|it| it.fidelity.iter().flatten()).map(|it| (it.score, it.weight));
    let as_shown = |it: &EncodedRendition| Some(shown(it.fidelity.as_deref()?, it.vmaf.as_deref()?));
    let vmaf = encoded.filter_map(as_shown).flatten();
    Some(Trial {
        rendition: rendition.clone(),
        bit_rate: bytes as f64 * 8.0 / seconds,
        fidelity: Summary::of(fidelity)?.mean,
        vmaf: Summary::of(vmaf)?.mean,
    })
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn segments_are_tried_in_the_middle_of_each_third() {
        assert_eq!(spread(12), [2, 6, 10]);
        assert_eq!(spread(3), [0, 1, 2]);
        assert_eq!(spread(1), [0]);
    }
}
