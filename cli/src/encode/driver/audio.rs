//! The audio of a run: one thread, one pass over the source, all tracks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vtp_engine::ladder::AudioCodec;
use vtp_engine::media::audio::{AudioMode, AudioOutcome, AudioRequest, AudioTrackConfig, Speakers};
use vtp_engine::pcm::Moment;
use vtp_engine::source::AudioInfo;
use vtp_splitter::Source;
use vtp_stitcher::{ArchiveSound, ArchivedSound, AudioTrack, AudioWriter, FinishedAudio, SourceSound};

use super::pass::Pass;
use crate::child::{self, Sound};
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
    /// The archive's tracks.
    pub(super) archived: Vec<ArchivedSound>,
    /// What became of each track, those of the archive last.
    pub(super) outcomes: Vec<AudioOutcome>,
    /// How many of the tracks are the source's own; those behind them are other versions of them.
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
    let heard = wanted_by(pass).into_iter().map(|wanted| wanted.request(source, pass.request.loudness));
    let kept = kept_by(pass).into_iter().map(|wanted| wanted.request(source, None));
    let requests: Vec<AudioRequest> = heard.chain(kept).collect();
    let seconds = total_seconds(source);
    let open = |child| Sound::open(child, pass.adoption, requests.clone(), origin, seconds, pass.cancel);
    pass.children.retried(open).map(Some)
}

/// A track to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    /// The place of the source's track.
    place: usize,
    codec: AudioCodec,
    speakers: Speakers,
    mode: AudioMode,
}

impl Wanted {
    fn request(self, source: &Source, loudness: Option<f64>) -> AudioRequest {
        AudioRequest {
            info: source.info.audio[self.place].clone(),
            shifts: source.audio_shifts[self.place].clone(),
            mode: self.mode,
            codec: self.codec,
            speakers: self.speakers,
            loudness,
        }
    }
}

/// The tracks to be made: for each codec every one of the source, and after them those that are made in surround, too. The
/// tracks of the first codec are made as `mode` says, and where they are only passed on they are as they are; all others are
/// encoded.
fn wanted(audio: &[AudioInfo], codecs: &[AudioCodec], mode: AudioMode, surround: bool) -> Vec<Wanted> {
    // From 5.1 to 7.1; more are channels of a studio, of which nobody knows what they are.
    let has_surround = |place: &usize| (6..=8).contains(&audio[*place].channels);
    let of = |codec: AudioCodec| {
        let mode = if codec == AudioCodec::Aac { mode } else { AudioMode::Encode };
        let wanted = move |place, speakers| Wanted { place, codec, speakers, mode };
        let twice = surround && mode == AudioMode::Encode;
        let all = (0..audio.len()).map(move |place| wanted(place, Speakers::Stereo));
        let in_surround = (0..audio.len()).filter(has_surround).filter(move |_| twice);
        all.chain(in_surround.map(move |place| wanted(place, Speakers::Surround)))
    };
    codecs.iter().flat_map(|codec| of(*codec)).collect()
}

fn wanted_by(pass: &Pass<'_>) -> Vec<Wanted> {
    wanted(&pass.source.info.audio, &pass.request.audio, pass.audio_mode(), pass.request.surround)
}

/// The tracks of the archive: every one of the source, as it is.
fn kept_by(pass: &Pass<'_>) -> Vec<Wanted> {
    let (codec, speakers, mode) = (AudioCodec::Flac, Speakers::Own, AudioMode::Encode);
    let wanted = |place| Wanted { place, codec, speakers, mode };
    pass.archive.map_or(Vec::new(), |_| (0..pass.source.info.audio.len()).map(wanted).collect())
}

/// What the archive is told of each of its tracks.
pub(super) fn archived(pass: &Pass<'_>, configs: &[AudioTrackConfig]) -> Vec<AudioTrack> {
    let configs = configs.iter().skip(wanted_by(pass).len());
    kept_by(pass).iter().zip(configs).map(|(it, config)| track(&pass.source.info.audio[it.place], config)).collect()
}

/// What the packager is told of each track. The first ones are the source's; the others are versions of them.
pub(super) fn tracks(pass: &Pass<'_>, configs: &[AudioTrackConfig]) -> Vec<AudioTrack> {
    let audio = &pass.source.info.audio;
    let track = |((number, wanted), config): ((usize, Wanted), &AudioTrackConfig)| AudioTrack {
        version_of: (number >= audio.len()).then_some(wanted.place),
        surround: wanted.speakers == Speakers::Surround,
        ..track(&audio[wanted.place], config)
    };
    wanted_by(pass).into_iter().enumerate().zip(configs).map(track).collect()
}

fn track(info: &AudioInfo, config: &AudioTrackConfig) -> AudioTrack {
    AudioTrack {
        version_of: None,
        surround: false,
        codec: config.codec,
        language: info.language.clone(),
        title: info.title.clone(),
        default: info.default,
        purpose: info.purpose,
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
    writers: Vec<Writer>,
    cancel: &AtomicBool,
) -> Result<Option<Finished>, Error> {
    let configs = sound.configs().to_vec();
    let mut tracks: Vec<Track> = writers.into_iter().map(Track::new).collect();
    let Some(outcomes) = outcomes(pass, sound, &mut tracks, cancel)? else { return Ok(None) };
    let total = total_seconds(pass.source);
    (pass.progress)(ProgressEvent::AudioProgress { seconds: total, total });
    let origin_s = pass.source.info.video.time_base.seconds(pass.source.origin);
    let (mut heard, mut sounds, mut archived) = (Vec::new(), Vec::new(), Vec::new());
    for ((track, outcome), config) in tracks.into_iter().zip(&outcomes).zip(&configs) {
        match track.writer {
            Writer::Segments(writer) => {
                heard.push(writer.finish()?);
                sounds.push(self::sound(outcome, config, origin_s));
            }
            Writer::Archive(writer) => {
                let header = outcome.kept.as_ref().map_or(&config.config, |kept| &kept.config).clone();
                archived.push(writer.finish(outcome.samples, header)?);
            }
        }
    }
    let tracks = heard;
    let encoded_because = configs.into_iter().map(|config| config.encoded_because).collect();
    Ok(Some(Finished { tracks, sounds, archived, outcomes, own: pass.source.info.audio.len(), encoded_because }))
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

/// Where access units go.
pub(super) enum Writer {
    Segments(Box<AudioWriter>),
    Archive(ArchiveSound),
}

impl From<AudioWriter> for Writer {
    fn from(writer: AudioWriter) -> Self {
        Self::Segments(Box::new(writer))
    }
}

impl From<ArchiveSound> for Writer {
    fn from(writer: ArchiveSound) -> Self {
        Self::Archive(writer)
    }
}

impl Writer {
    fn frame(&mut self, unit: &[u8]) -> Result<(), vtp_stitcher::Error> {
        match self {
            Self::Segments(writer) => writer.frame(unit),
            Self::Archive(writer) => writer.frame(unit),
        }
    }
}

/// A track that is being written.
struct Track {
    writer: Writer,
    /// Checksums of the access units written.
    written: Vec<u32>,
    /// Access units that came since it was begun last.
    came: usize,
}

impl Track {
    fn new(writer: Writer) -> Self {
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

#[cfg(test)]
mod tests {
    use vtp_engine::source::AudioPurpose;
    use vtp_engine::units::TimeBase;

    use super::*;

    fn info(channels: u16) -> AudioInfo {
        AudioInfo {
            stream: 1,
            codec: "ac3".to_owned(),
            time_base: TimeBase::per_second(48_000).unwrap(),
            start: 0,
            sample_rate: 48_000,
            channels,
            language: None,
            title: None,
            default: false,
            purpose: AudioPurpose::Programme,
            is_aac_lc: false,
        }
    }

    #[test]
    fn every_codec_has_all_tracks_in_stereo_and_then_those_with_surround() {
        use AudioCodec::{Aac, Opus};
        use Speakers::{Stereo, Surround};
        let made = |codecs: &[AudioCodec], mode, surround| -> Vec<(usize, AudioCodec, Speakers)> {
            let wanted = wanted(&[info(2), info(6), info(16)], codecs, mode, surround);
            wanted.iter().map(|it| (it.place, it.codec, it.speakers)).collect()
        };
        let aac = [(0, Aac, Stereo), (1, Aac, Stereo), (2, Aac, Stereo), (1, Aac, Surround)];
        let opus = [(0, Opus, Stereo), (1, Opus, Stereo), (2, Opus, Stereo), (1, Opus, Surround)];
        assert_eq!(made(&[Aac], AudioMode::Encode, true), aac);
        assert_eq!(made(&[Aac], AudioMode::Encode, false), aac[..3]);
        assert_eq!(made(&[Aac, Opus], AudioMode::Encode, true), [aac, opus].concat());
        assert_eq!(made(&[Aac, Opus], AudioMode::CopyIfPossible, true), [&aac[..3], &opus].concat());
    }
}
