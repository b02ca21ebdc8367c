//! The audio of a run: one thread, one pass over the source, all tracks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vtp_engine::media::audio::{AudioMode, AudioOutcome, AudioRequest, AudioTrackConfig, Speakers};
use vtp_engine::pcm::Moment;
use vtp_engine::source::AudioInfo;
use vtp_splitter::Source;
use vtp_stitcher::{AudioTrack, AudioWriter, FinishedAudio, SourceSound};

use super::pass::Pass;
use crate::child::{self, Sound};
use crate::encode::EncodeRequest;
use crate::progress::ProgressEvent;

/// How often the display hears of audio.
const REPORT_EVERY: Duration = Duration::from_millis(200);
/// How often sound is begun until it is given up.
const MOST_ATTEMPTS: u32 = 8;

/// What went wrong with the audio.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Child(#[from] child::Error),
    #[error("the sound came out otherwise when it was made again")]
    Otherwise,
    #[error(transparent)]
    Stitcher(#[from] vtp_stitcher::Error),
}

/// The finished tracks.
pub(super) struct Finished {
    pub(super) tracks: Vec<FinishedAudio>,
    pub(super) sounds: Vec<SourceSound>,
    pub(super) outcomes: Vec<AudioOutcome>,
    /// How many of the tracks are the source's own; those behind them are the same in surround.
    pub(super) own: usize,
    /// Why each track was encoded though it was to be copied.
    pub(super) encoded_because: Vec<Option<String>>,
}

/// Prepares the sound of the pass's source. `None` if there is none.
pub(super) fn open(pass: &Pass<'_>) -> Result<Option<Sound>, child::Error> {
    let source = pass.source;
    if source.info.audio.is_empty() {
        return Ok(None);
    }
    let origin = Moment { ticks: source.origin, time_base: source.info.video.time_base };
    let requests = requests(source, pass.audio_mode(), pass.request);
    let seconds = total_seconds(source);
    let open = |child| Sound::open(child, pass.adoption, requests.clone(), origin, seconds, pass.cancel);
    pass.children.retried(open).map(Some)
}

/// The tracks to be made: every one of the source, and after them those that are made in surround, too.
fn requests(source: &Source, mode: AudioMode, of: &EncodeRequest) -> Vec<AudioRequest> {
    let request = |place: usize, speakers| AudioRequest {
        info: source.info.audio[place].clone(),
        shifts: source.audio_shifts[place].clone(),
        mode,
        speakers,
        loudness: of.loudness,
    };
    let all = (0..source.info.audio.len()).map(|place| request(place, Speakers::Stereo));
    all.chain(in_surround(source, mode, of.surround).map(|place| request(place, Speakers::Surround))).collect()
}

/// The places of the source's tracks that are made in surround, too. Where sound is only passed on, it is as it is.
fn in_surround(source: &Source, mode: AudioMode, surround: bool) -> impl Iterator<Item = usize> + '_ {
    let wanted = surround && mode == AudioMode::Encode;
    // From 5.1 to 7.1; more are channels of a studio, of which nobody knows what they are.
    let has = move |info: &AudioInfo| wanted && (6..=8).contains(&info.channels);
    source.info.audio.iter().enumerate().filter(move |(_, info)| has(info)).map(|(place, _)| place)
}

/// What the packager is told of each track.
pub(super) fn tracks(pass: &Pass<'_>, configs: &[AudioTrackConfig]) -> Vec<AudioTrack> {
    let source = pass.source;
    let surround = in_surround(source, pass.audio_mode(), pass.request.surround);
    let of = (0..source.info.audio.len()).map(|place| (place, None)).chain(surround.map(|place| (place, Some(place))));
    let track = |((place, surround_of), config): ((usize, Option<usize>), &AudioTrackConfig)| AudioTrack {
        surround_of,
        ..track(&source.info.audio[place], config)
    };
    of.zip(configs).map(track).collect()
}

fn track(info: &AudioInfo, config: &AudioTrackConfig) -> AudioTrack {
    AudioTrack {
        surround_of: None,
        language: info.language.clone(),
        title: info.title.clone(),
        default: info.default,
        sample_rate: config.sample_rate,
        channels: config.channels,
        priming: config.priming,
        config: config.config.clone(),
    }
}

/// Makes all tracks. `None` when `cancel` was set. Where the process that makes them ends, another begins again; what it
/// makes once more is only compared.
pub(super) fn run(
    pass: &Pass<'_>,
    sound: Sound,
    writers: Vec<AudioWriter>,
    cancel: &AtomicBool,
) -> Result<Option<Finished>, Error> {
    let configs = sound.configs().to_vec();
    let mut tracks: Vec<Track> = writers.into_iter().map(Track::new).collect();
    let Some(outcomes) = outcomes(pass, sound, &mut tracks, cancel)? else { return Ok(None) };
    let total = total_seconds(pass.source);
    (pass.progress)(ProgressEvent::AudioProgress { seconds: total, total });
    let origin_s = pass.source.info.video.time_base.seconds(pass.source.origin);
    let sounds =
        outcomes.iter().zip(&configs).map(|(outcome, config)| self::sound(outcome, config, origin_s)).collect();
    let tracks = tracks.into_iter().map(|track| track.writer.finish()).collect::<Result<_, _>>()?;
    let encoded_because = configs.into_iter().map(|config| config.encoded_because).collect();
    Ok(Some(Finished { tracks, sounds, outcomes, own: pass.source.info.audio.len(), encoded_because }))
}

fn outcomes(
    pass: &Pass<'_>,
    mut sound: Sound,
    tracks: &mut [Track],
    cancel: &AtomicBool,
) -> Result<Option<Vec<AudioOutcome>>, Error> {
    let total = total_seconds(pass.source);
    let mut last = Instant::now();
    let mut reached = 0.0_f64;
    let mut report = |seconds: f64| {
        reached = reached.max(seconds.min(total));
        if last.elapsed() >= REPORT_EVERY {
            last = Instant::now();
            (pass.progress)(ProgressEvent::AudioProgress { seconds: reached, total });
        }
    };
    for attempt in 1.. {
        let made = sound.run::<Error>(cancel, &mut report, &mut |track, unit| tracks[track].take(unit));
        match made {
            _ if cancel.load(Ordering::Relaxed) => break,
            Ok((outcomes, child)) => {
                pass.children.dismiss(child);
                return Ok(Some(outcomes));
            }
            Err(Error::Child(child::Error::Died(death))) if attempt < MOST_ATTEMPTS => {
                tracing::warn!(%death, "the sound is begun again");
            }
            Err(error) => return Err(error),
        }
        tracks.iter_mut().for_each(Track::begin_again);
        let Some(again) = open(pass)? else { break };
        sound = again;
    }
    Ok(None)
}

/// A track that is being written.
struct Track {
    writer: AudioWriter,
    /// Checksums of the access units written.
    written: Vec<u32>,
    /// Access units that came since it was begun last.
    came: usize,
}

impl Track {
    fn new(writer: AudioWriter) -> Self {
        Self { writer, written: Vec::new(), came: 0 }
    }

    fn begin_again(&mut self) {
        self.came = 0;
    }

    fn take(&mut self, unit: &[u8]) -> Result<(), Error> {
        let sum = crc32fast::hash(unit);
        self.came += 1;
        match self.written.get(self.came - 1) {
            Some(&written) if written == sum => Ok(()),
            Some(_) => Err(Error::Otherwise),
            None => {
                self.written.push(sum);
                Ok(self.writer.frame(unit)?)
            }
        }
    }
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
