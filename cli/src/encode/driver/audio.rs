//! The audio of a run: one thread, one pass over the source, all tracks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vtp_engine::media;
use vtp_engine::media::audio::{AudioMode, AudioOutcome, AudioRequest, AudioTask, AudioTrackConfig};
use vtp_engine::pcm::Moment;
use vtp_splitter::Source;
use vtp_stitcher::{AudioTrack, AudioWriter, FinishedAudio, SourceSound};

use crate::progress::ProgressEvent;

/// How often the display hears of audio.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// What went wrong with the audio.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Media(#[from] media::Error),
    #[error(transparent)]
    Stitcher(#[from] vtp_stitcher::Error),
}

/// The finished tracks.
pub(super) struct Finished {
    pub(super) tracks: Vec<FinishedAudio>,
    pub(super) sounds: Vec<SourceSound>,
    pub(super) outcomes: Vec<AudioOutcome>,
    /// Why each track was encoded though it was to be copied.
    pub(super) encoded_because: Vec<Option<String>>,
}

/// Opens the audio of `source`, to be made as `mode` says. `None` if there is none.
pub(super) fn open(source: &Source, mode: AudioMode) -> Result<Option<AudioTask>, media::Error> {
    if source.info.audio.is_empty() {
        return Ok(None);
    }
    let origin = Moment { ticks: source.origin, time_base: source.info.video.time_base };
    let requests: Vec<AudioRequest> = source
        .info
        .audio
        .iter()
        .zip(&source.audio_shifts)
        .map(|(info, shifts)| AudioRequest { info: info.clone(), shifts: shifts.clone(), mode })
        .collect();
    AudioTask::open(&source.container, &requests, origin).map(Some)
}

/// What the packager is told of each track.
pub(super) fn tracks(source: &Source, configs: &[AudioTrackConfig]) -> Vec<AudioTrack> {
    let track = |(info, config): (&vtp_engine::source::AudioInfo, &AudioTrackConfig)| AudioTrack {
        language: info.language.clone(),
        title: info.title.clone(),
        default: info.default,
        sample_rate: config.sample_rate,
        channels: config.channels,
        priming: config.priming,
        config: config.config.clone(),
    };
    source.info.audio.iter().zip(configs).map(track).collect()
}

/// Makes all tracks. `None` when `cancel` was set.
pub(super) fn run(
    task: AudioTask,
    source: &Source,
    mut writers: Vec<AudioWriter>,
    cancel: &AtomicBool,
    progress: &(dyn Fn(ProgressEvent) + Sync),
) -> Result<Option<Finished>, Error> {
    let configs = task.configs();
    let total = total_seconds(source);
    let mut last = Instant::now();
    let mut report = |seconds: f64| {
        if last.elapsed() >= REPORT_EVERY {
            last = Instant::now();
            progress(ProgressEvent::AudioProgress { seconds: seconds.min(total), total });
        }
    };
    let outcomes = task.run::<Error>(cancel, &mut report, &mut |track, unit| Ok(writers[track].frame(unit)?))?;
    let Some(outcomes) = outcomes.filter(|_| !cancel.load(Ordering::Relaxed)) else { return Ok(None) };
    progress(ProgressEvent::AudioProgress { seconds: total, total });
    let origin_s = source.info.video.time_base.seconds(source.origin);
    let sounds = outcomes.iter().zip(&configs).map(|(outcome, config)| sound(outcome, config, origin_s)).collect();
    let tracks = writers.into_iter().map(AudioWriter::finish).collect::<Result<_, _>>()?;
    let encoded_because = configs.into_iter().map(|config| config.encoded_because).collect();
    Ok(Some(Finished { tracks, sounds, outcomes, encoded_because }))
}

/// The picture's length stands in for that of sound whose end nobody knows yet.
fn total_seconds(source: &Source) -> f64 {
    source.info.video.time_base.seconds(source.index.end() - source.origin)
}

fn sound(outcome: &AudioOutcome, config: &AudioTrackConfig, origin_s: f64) -> SourceSound {
    SourceSound {
        start_s: origin_s + outcome.start_s,
        end_s: origin_s + outcome.end_s,
        silence_before: (outcome.start_s.max(0.0) * f64::from(config.sample_rate)).round() as u64,
        samples: outcome.samples,
    }
}
