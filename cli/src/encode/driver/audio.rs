//! The audio of a run: one thread, one pass over the source, all tracks.

use std::time::{Duration, Instant};

use vtp_engine::ladder::{AudioChoice, AudioCodec};
use vtp_engine::media::audio::{AudioMode, AudioOutcome, AudioRequest, AudioTrackConfig, Speakers};
use vtp_engine::pcm::Moment;
use vtp_engine::source::AudioInfo;
use vtp_splitter::Source;
use vtp_stitcher::{ArchiveSound, ArchivedSound, AudioTrack, AudioWriter, FinishedAudio, SourceSound};

use super::pass::Pass;
use crate::child::{self, Patience, Sound};
use crate::progress::ProgressEvent;
use crate::stop::Stop;

/// How often the display hears of audio.
const REPORT_EVERY: Duration = Duration::from_millis(200);

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
    /// Tracks of the source, from 0, that were not passed on though they were to be, and why.
    pub(super) not_copied: Vec<(usize, String)>,
}

/// Prepares the sound of the pass's source. `None` if there is none.
pub(super) fn open(pass: &Pass<'_>, cancel: &dyn Stop) -> Result<Option<Sound>, child::Error> {
    let source = pass.source;
    if source.info.audio.is_empty() {
        return Ok(None);
    }
    let origin = Moment { ticks: source.origin, time_base: source.info.video.time_base };
    let end = Moment { ticks: source.index.end(), ..origin };
    let heard = wanted_by(pass).into_iter().map(|wanted| AudioRequest {
        loudness: pass.request.loudness,
        until: Some(end),
        ..wanted.request(source)
    });
    let kept = kept_by(pass).into_iter().map(|wanted| wanted.request(source));
    let requests: Vec<AudioRequest> = heard.chain(kept).collect();
    let seconds = total_seconds(source);
    let open = |child| Sound::open(child, pass.adoption, requests.clone(), origin, seconds, cancel);
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
    fn is_dolby(self) -> bool {
        matches!(self.codec, AudioCodec::Ac3 | AudioCodec::Eac3)
    }

    /// The request for it as it is.
    fn request(self, source: &Source) -> AudioRequest {
        AudioRequest {
            info: source.info.audio[self.place].clone(),
            shifts: source.audio_shifts[self.place].clone(),
            mode: self.mode,
            codec: self.codec,
            speakers: self.speakers,
            loudness: None,
            until: None,
        }
    }
}

/// What is asked for of sound.
#[derive(Clone, Copy, Debug)]
struct Choice<'a> {
    ways: &'a [AudioChoice],
    /// Whether AAC is passed on where it can be, so that it stands in for AAC that would be encoded.
    copies_aac: bool,
    surround: bool,
}

/// The tracks to be made: at first one of each of the source's, and after them versions of these. For each codec that is encoded
/// every track is made in stereo, and then those that have more are made in surround. What is passed on of AAC takes the place
/// of what would be encoded; AC-3 and E-AC-3 stand beside it, or alone where nothing is to be encoded.
fn wanted(audio: &[AudioInfo], choice: Choice<'_>) -> Vec<Wanted> {
    let Choice { ways, copies_aac, surround } = choice;
    let is_chosen = |way| ways.contains(&way);
    let copies = is_chosen(AudioChoice::Copy);
    // From 5.1 to 7.1; more are channels of a studio, of which nobody knows what they are.
    let has_surround = |place: usize| surround && (6..=8).contains(&audio[place].channels);
    let as_is = |place: usize, codec| {
        let speakers = if audio[place].channels > 2 { Speakers::Surround } else { Speakers::Stereo };
        Wanted { place, codec, speakers, mode: AudioMode::CopyIfPossible }
    };
    let encoded = |place: usize, codec, speakers| Wanted { place, codec, speakers, mode: AudioMode::Encode };
    let passed_on = |place: usize| match dolby(&audio[place]) {
        Some(codec) => as_is(place, codec),
        None => Wanted { speakers: Speakers::Stereo, ..as_is(place, AudioCodec::Aac) },
    };
    // AAC by one track, in stereo or in what it has.
    let aac = |place: usize, speakers: Speakers| {
        let same = speakers.channels(audio[place].channels) == audio[place].channels;
        match copies && same && audio[place].is_aac_lc {
            true => as_is(place, AudioCodec::Aac),
            false => encoded(place, AudioCodec::Aac, speakers),
        }
    };
    let places = || 0..audio.len();
    let in_surround = || places().filter(|place| has_surround(*place));
    let mut all: Vec<Wanted> = Vec::new();
    if copies_aac {
        all.extend(places().map(|place| Wanted { speakers: Speakers::Stereo, ..as_is(place, AudioCodec::Aac) }));
    } else if is_chosen(AudioChoice::Aac) {
        all.extend(places().map(|place| aac(place, Speakers::Stereo)));
        all.extend(in_surround().map(|place| aac(place, Speakers::Surround)));
    }
    if is_chosen(AudioChoice::Opus) {
        all.extend(places().map(|place| encoded(place, AudioCodec::Opus, Speakers::Stereo)));
        all.extend(in_surround().map(|place| encoded(place, AudioCodec::Opus, Speakers::Surround)));
    }
    if copies {
        let alone = all.is_empty();
        let has_aac = copies_aac || is_chosen(AudioChoice::Aac);
        let stands_beside = |place: &usize| dolby(&audio[*place]).is_some() || (audio[*place].is_aac_lc && !has_aac);
        all.extend(places().filter(|place| alone || stands_beside(place)).map(passed_on));
    }
    all
}

/// The codec of a track that is Dolby's.
fn dolby(info: &AudioInfo) -> Option<AudioCodec> {
    [AudioCodec::Ac3, AudioCodec::Eac3].into_iter().find(|codec| codec.name() == info.codec)
}

fn wanted_by(pass: &Pass<'_>) -> Vec<Wanted> {
    let copies_aac = pass.audio_mode() == AudioMode::CopyIfPossible && pass.request.audio.contains(&AudioChoice::Aac);
    let choice = Choice { ways: &pass.request.audio, copies_aac, surround: pass.request.surround };
    wanted(&pass.source.info.audio, choice)
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
        surround: wanted.speakers == Speakers::Surround && !wanted.is_dolby(),
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

/// Makes all tracks. `None` when `cancel` was raised. Where the process that makes them ends, another begins again; what it
/// makes once more is only compared.
pub(super) fn run(
    pass: &Pass<'_>,
    sound: Sound,
    writers: Vec<Writer>,
    cancel: &dyn Stop,
) -> Result<Option<Finished>, Error> {
    let configs = sound.configs().to_vec();
    let own = pass.source.info.audio.len();
    let wanted = wanted_by(pass);
    // A version that can't be passed on is not needed in another codec, of which there is one.
    let is_needless =
        |number: usize| number >= own && wanted.get(number).is_some_and(|it| it.is_dolby()) && !configs[number].copied;
    let track = |(number, writer)| Track { is_needless: is_needless(number), ..Track::new(writer) };
    writers.iter().enumerate().filter(|(number, _)| is_needless(*number)).for_each(|(_, writer)| writer.leave_empty());
    let mut tracks: Vec<Track> = writers.into_iter().enumerate().map(track).collect();
    let Some(mut outcomes) = outcomes(pass, sound, &mut tracks, cancel)? else { return Ok(None) };
    outcomes.iter_mut().zip(&tracks).filter(|(_, track)| track.is_needless).for_each(|(it, _)| it.samples = 0);
    let total = total_seconds(pass.source);
    (pass.progress)(ProgressEvent::AudioProgress { seconds: total, total });
    let origin_s = pass.source.info.video.time_base.seconds(pass.source.origin);
    let (mut heard, mut sounds, mut archived) = (Vec::new(), Vec::new(), Vec::new());
    for ((track, outcome), config) in tracks.into_iter().zip(&outcomes).zip(&configs) {
        match track.writer {
            Writer::Segments(writer) => {
                heard.push(writer.finish()?);
                sounds.push(self::sound(outcome, origin_s));
            }
            Writer::Archive(writer) => {
                let header = outcome.kept.as_ref().map_or(&config.config, |kept| &kept.config).clone();
                archived.push(writer.finish(outcome.samples, header)?);
            }
        }
    }
    let tracks = heard;
    let why = wanted.iter().zip(configs).filter_map(|(wanted, config)| Some((wanted.place, config.encoded_because?)));
    Ok(Some(Finished { tracks, sounds, archived, outcomes, own, not_copied: why.collect() }))
}

fn outcomes(
    pass: &Pass<'_>,
    sound: Sound,
    tracks: &mut [Track],
    cancel: &dyn Stop,
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
    let mut patience = Patience::default();
    let mut opened = Ok(Some(sound));
    loop {
        let made = match opened {
            Ok(Some(sound)) => sound.run::<Error>(cancel, &mut report, &mut |track, unit| tracks[track].take(unit)),
            Ok(None) => return Ok(None),
            Err(error) => Err(Error::Child(error)),
        };
        match made {
            _ if cancel.is_raised() => return Ok(None),
            Ok((outcomes, child)) => {
                pass.children.dismiss(child);
                return Ok(Some(outcomes));
            }
            Err(Error::Child(child::Error::Died(death))) if patience.outlasts(&death) => {
                tracing::warn!(%death, "the sound is begun again");
            }
            Err(error) => return Err(error),
        }
        tracks.iter_mut().for_each(Track::begin_again);
        opened = open(pass, cancel);
    }
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
    /// Nobody is to wait for what will not come.
    fn leave_empty(&self) {
        match self {
            Self::Segments(writer) => writer.leave_as_it_is(),
            Self::Archive(_) => {}
        }
    }

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
    /// Whether nothing of it is written.
    is_needless: bool,
}

impl Track {
    fn new(writer: Writer) -> Self {
        Self { writer, written: Vec::new(), came: 0, is_needless: false }
    }

    fn begin_again(&mut self) {
        self.came = 0;
    }

    fn take(&mut self, unit: &[u8]) -> Result<(), Error> {
        if self.is_needless {
            return Ok(());
        }
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

fn sound(outcome: &AudioOutcome, origin_s: f64) -> SourceSound {
    SourceSound {
        start_s: origin_s + outcome.start_s,
        start_sample: outcome.start_sample,
        end_s: origin_s + outcome.end_s,
        silence_after: outcome.silence_after,
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
        use AudioChoice::{Aac, Opus};
        use Speakers::{Stereo, Surround};
        let made = |ways: &[AudioChoice], copies_aac, surround| -> Vec<(usize, AudioCodec, Speakers)> {
            let wanted = wanted(&[info(2), info(6), info(16)], Choice { ways, copies_aac, surround });
            wanted.iter().map(|it| (it.place, it.codec, it.speakers)).collect()
        };
        let all = |codec| [(0, codec, Stereo), (1, codec, Stereo), (2, codec, Stereo), (1, codec, Surround)];
        let (aac, opus) = (all(AudioCodec::Aac), all(AudioCodec::Opus));
        assert_eq!(made(&[Aac], false, true), aac);
        assert_eq!(made(&[Aac], false, false), aac[..3]);
        assert_eq!(made(&[Aac, Opus], false, true), [aac, opus].concat());
        assert_eq!(made(&[Aac, Opus], true, true), [&aac[..3], &opus].concat());
    }

    #[test]
    fn what_is_passed_on_replaces_aac_of_its_own_kind_and_stands_beside_the_rest() {
        use AudioChoice::{Aac, Copy, Opus};
        let aac = |channels| AudioInfo { is_aac_lc: true, ..info(channels) };
        let dolby = |codec: &str| AudioInfo { codec: codec.to_owned(), ..info(6) };
        let other = AudioInfo { codec: "mp3".to_owned(), ..info(2) };
        let aac = |channels| AudioInfo { codec: "aac".to_owned(), ..aac(channels) };
        let all = [aac(2), aac(6), dolby("ac3"), dolby("eac3"), other];
        let made = |ways: &[AudioChoice]| -> Vec<(usize, &str, u16, bool)> {
            let wanted = wanted(&all, Choice { ways, copies_aac: false, surround: true });
            let of = |it: &Wanted| {
                let channels = it.speakers.channels(all[it.place].channels);
                (it.place, it.codec.name(), channels, it.mode == AudioMode::CopyIfPossible)
            };
            wanted.iter().map(of).collect()
        };
        let in_aac = [(0, "aac", 2, true), (1, "aac", 2, false), (2, "aac", 2, false), (3, "aac", 2, false)];
        let in_aac = [&in_aac[..], &[(4, "aac", 2, false)]].concat();
        let around = [(1, "aac", 6, true), (2, "aac", 6, false), (3, "aac", 6, false)];
        let beside = [(2, "ac3", 6, true), (3, "eac3", 6, true)];
        assert_eq!(made(&[Aac, Copy]), [&in_aac[..], &around, &beside].concat());
        let alone = [(0, "aac", 2, true), (1, "aac", 2, true), beside[0], beside[1], (4, "aac", 2, true)];
        assert_eq!(made(&[Copy]), alone);
        assert_eq!(made(&[Opus, Copy])[8..], [(0, "aac", 2, true), (1, "aac", 2, true), beside[0], beside[1]]);
    }
}
