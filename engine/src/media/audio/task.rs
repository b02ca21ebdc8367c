//! All audio tracks of a source in one pass over it: packets in, AAC access units out, track by track. It writes no
//! file and decides nothing about packaging.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::copy::Copier;
use super::track::Transcoder;
use crate::index::TimeShift;
use crate::media::Error;
use crate::media::demux::{Demuxer, KnownContainer, SourcePacket};
use crate::pcm::Moment;
use crate::source::AudioInfo;

/// Takes the access units of all tracks, each with the number of its track.
pub type TaskSink<'a, E> = dyn FnMut(usize, &[u8]) -> Result<(), E> + 'a;

/// Takes the access units of one track.
pub(super) type UnitSink<'a, E> = dyn FnMut(&[u8]) -> Result<(), E> + 'a;

/// One track to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AudioRequest {
    /// The stream.
    pub info: AudioInfo,
    /// Corrections of its timestamps, in the order of their packets.
    pub shifts: Vec<TimeShift>,
    /// How it is made.
    pub mode: AudioMode,
    /// In what.
    pub speakers: Speakers,
}

/// What a track that is encoded is heard on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speakers {
    /// One or two: more channels are mixed down.
    #[default]
    Stereo,
    /// Five and a bass, from a source with at least as many.
    Surround,
}

impl Speakers {
    /// The number of channels of such a track from a source with so many.
    pub fn channels(self, source: u16) -> u16 {
        match self {
            Self::Stereo => source.clamp(1, 2),
            Self::Surround => 6,
        }
    }
}

/// How a track is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AudioMode {
    /// Decoded and encoded.
    Encode,
    /// Its access units passed on, where they are AAC-LC that players expect; encoded otherwise.
    CopyIfPossible,
}

/// What the packager must know of a track before its first access unit. Every access unit holds
/// [`super::AAC_FRAME`] samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioTrackConfig {
    /// Samples a second.
    pub sample_rate: u32,
    /// Number of channels.
    pub channels: u16,
    /// Samples at the start of the first access unit that are not to be heard; the next one is heard at the
    /// output's time 0.
    pub priming: u32,
    /// AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1).
    pub config: Vec<u8>,
    /// Whether the source's own access units are passed on.
    pub copied: bool,
    /// Why they are not, where [`AudioMode::CopyIfPossible`] was asked for: a clause such as `it is ac3, not AAC-LC`.
    pub encoded_because: Option<String>,
}

/// What became of a track.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioOutcome {
    /// Samples to be heard, silence included, priming and final padding not; 0 if nothing could be decoded.
    pub samples: u64,
    /// When the source's first sample is heard, in source seconds from the origin.
    pub start_s: f64,
    /// When the source's last sample ends, likewise.
    pub end_s: f64,
    /// Seconds of silence put in, before the first sample and in gaps.
    pub inserted_silence_s: f64,
    /// Seconds left out because they lie before the origin or overlap what came before.
    pub dropped_s: f64,
    /// Packets and frames that the decoder complained of.
    pub damaged: u32,
    /// How often the sound's times jumped to another clock, so that its place is not known from there on.
    pub slips: u32,
}

/// An open source and the tracks to be made of it.
pub struct AudioTask {
    demuxer: Demuxer,
    tracks: Vec<Track>,
}

struct Track {
    stream: usize,
    shifts: Vec<TimeShift>,
    packets: u64,
    work: Work,
}

enum Work {
    Encode(Box<Transcoder>, Option<String>),
    Copy(Box<Copier>),
}

impl AudioTask {
    /// Opens `source` for `requests`, whose output begins at the source time `origin`. Origin is the
    /// earliest start of all that is heard or shown; sound before it is left out.
    ///
    /// # Errors
    /// As [`Demuxer::open`]; [`crate::media::Kind::Unsupported`] when a stream has no decoder.
    pub fn open(source: &KnownContainer, requests: &[AudioRequest], origin: Moment) -> Result<Self, Error> {
        let mut demuxer = source.open()?;
        let mut streams: Vec<usize> = requests.iter().map(|request| request.info.stream).collect();
        streams.dedup();
        demuxer.keep_only(&streams);
        let tracks = requests.iter().map(|request| Track::new(source, request, origin)).collect::<Result<_, _>>()?;
        Ok(Self { demuxer, tracks })
    }

    /// What each track will be, in the order of the requests.
    pub fn configs(&self) -> Vec<AudioTrackConfig> {
        self.tracks.iter().map(|track| track.work.config()).collect()
    }

    /// Makes all tracks. `sink` gets every access unit with the number of its track (in the order of the requests)
    /// as soon as it is ready; `progress` the seconds of output done. `None` when `cancel` was set before the end.
    ///
    /// # Errors
    /// Whatever `sink` answers, and lack of memory.
    pub fn run<E: From<Error>>(
        mut self,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(f64),
        sink: &mut TaskSink<'_, E>,
    ) -> Result<Option<Vec<AudioOutcome>>, E> {
        while let Some(packet) = self.demuxer.read() {
            if cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let stream = packet.stream();
            for (number, track) in self.tracks.iter_mut().enumerate().filter(|(_, track)| track.stream == stream) {
                track.packet(packet.copy(), &mut |unit| sink(number, unit))?;
                progress(track.work.reached_s());
            }
        }
        let finish = |(number, track): (usize, Track)| track.work.finish(&mut |unit: &[u8]| sink(number, unit));
        self.tracks.into_iter().enumerate().map(finish).collect::<Result<_, _>>().map(Some)
    }
}

impl Track {
    fn new(source: &KnownContainer, request: &AudioRequest, origin: Moment) -> Result<Self, Error> {
        let stream = request.info.stream;
        let encode = |because| {
            let transcoder = Transcoder::new(source.parameters(stream)?, &request.info, request.speakers, origin)?;
            Ok::<_, Error>(Work::Encode(Box::new(transcoder), because))
        };
        let work = match request.mode {
            AudioMode::Encode => encode(None)?,
            AudioMode::CopyIfPossible => match Copier::open(source, request, origin)? {
                Ok(copier) => Work::Copy(Box::new(copier)),
                Err(because) => encode(Some(because))?,
            },
        };
        Ok(Self { stream, shifts: request.shifts.clone(), packets: 0, work })
    }

    fn packet<E: From<Error>>(&mut self, mut packet: SourcePacket, sink: &mut UnitSink<'_, E>) -> Result<(), E> {
        let shift = TimeShift::at(&self.shifts, self.packets);
        self.packets += 1;
        let shifted = |ticks: Option<i64>| ticks.map(|ticks| ticks.saturating_add(shift));
        packet.set_times(shifted(packet.pts()), shifted(packet.dts()));
        match &mut self.work {
            Work::Encode(transcoder, _) => transcoder.packet(packet, sink),
            Work::Copy(copier) => copier.packet(&packet, sink),
        }
    }
}

impl Work {
    fn config(&self) -> AudioTrackConfig {
        match self {
            Work::Encode(transcoder, because) => {
                AudioTrackConfig { encoded_because: because.clone(), ..transcoder.config() }
            }
            Work::Copy(copier) => copier.config(),
        }
    }

    fn reached_s(&self) -> f64 {
        match self {
            Work::Encode(transcoder, _) => transcoder.reached_s(),
            Work::Copy(copier) => copier.reached_s(),
        }
    }

    fn finish<E: From<Error>>(self, sink: &mut UnitSink<'_, E>) -> Result<AudioOutcome, E> {
        match self {
            Work::Encode(transcoder, _) => transcoder.finish(sink),
            Work::Copy(copier) => copier.finish(sink),
        }
    }
}
