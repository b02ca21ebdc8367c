//! All audio tracks of a source in one pass over it: packets in, access units out, track by track. It writes no
//! file and decides nothing about packaging.

use std::sync::atomic::{AtomicBool, Ordering};

use super::copy::Copier;
use super::terms::{AudioMode, AudioOutcome, AudioRequest, AudioTrackConfig, UnitSink};
use super::track::Transcoder;
use crate::index::TimeShift;
use crate::ladder::AudioCodec;
use crate::loudness::Loudness;
use crate::media::Error;
use crate::media::demux::{Demuxer, KnownContainer, SourcePacket};
use crate::pcm::Moment;

/// Takes the access units of all tracks, each with the number of its track.
pub type TaskSink<'a, E> = dyn FnMut(usize, &[u8]) -> Result<(), E> + 'a;

/// An open source and the tracks to be made of it.
pub struct AudioTask {
    /// The first pass, where loudness has to be known before the second.
    measuring: Option<Measuring>,
    demuxer: Demuxer,
    tracks: Vec<Track>,
}

/// The pass that measures.
struct Measuring {
    demuxer: Demuxer,
    tracks: Vec<MeasuredTrack>,
}

/// A track that is measured.
struct MeasuredTrack {
    /// Its place among the requests.
    number: usize,
    target_lufs: f64,
    stream: usize,
    times: Times,
    transcoder: Transcoder,
}

/// The times of a stream's packets, as they were corrected.
struct Times {
    shifts: Vec<TimeShift>,
    packets: u64,
}

struct Track {
    stream: usize,
    times: Times,
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
        let tracks: Vec<Track> =
            requests.iter().map(|request| Track::new(source, request, origin)).collect::<Result<_, _>>()?;
        let measuring = Measuring::open(source, requests, &tracks, origin)?;
        Ok(Self { measuring, demuxer: opened(source, tracks.iter().map(|track| track.stream))?, tracks })
    }

    /// What each track will be, in the order of the requests.
    pub fn configs(&self) -> Vec<AudioTrackConfig> {
        self.tracks.iter().map(|track| track.work.config()).collect()
    }

    /// Makes all tracks, in two passes where loudness is asked for. `sink` gets every access unit as soon as it is ready, with
    /// the number of its track in the order of the requests; `progress` gets the seconds of output that are done. `None` when
    /// `cancel` was set before the end.
    ///
    /// # Errors
    /// Whatever `sink` answers, lack of memory, and a source that can't be read.
    pub fn run<E: From<Error>>(
        mut self,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(f64),
        sink: &mut TaskSink<'_, E>,
    ) -> Result<Option<Vec<AudioOutcome>>, E> {
        if let Some(measuring) = self.measuring.take() {
            let Some(found) = measuring.run(cancel, progress)? else { return Ok(None) };
            found.into_iter().for_each(|(number, loudness)| self.tracks[number].work.set_loudness(loudness));
        }
        while let Some(packet) = self.demuxer.read()? {
            if cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let stream = packet.stream();
            for (number, track) in self.tracks.iter_mut().enumerate().filter(|(_, track)| track.stream == stream) {
                track.packet(packet.share()?, &mut |unit| sink(number, unit))?;
                progress(track.work.reached_s());
            }
        }
        let finish = |(number, track): (usize, Track)| track.work.finish(&mut |unit: &[u8]| sink(number, unit));
        self.tracks.into_iter().enumerate().map(finish).collect::<Result<_, _>>().map(Some)
    }
}

/// `source` from its start, of which only these streams are read.
fn opened(source: &KnownContainer, streams: impl Iterator<Item = usize>) -> Result<Demuxer, Error> {
    let mut streams: Vec<usize> = streams.collect();
    streams.dedup();
    let mut demuxer = source.open()?;
    demuxer.keep_only(&streams);
    Ok(demuxer)
}

impl Measuring {
    /// `None` if nothing is to be measured.
    fn open(
        source: &KnownContainer,
        requests: &[AudioRequest],
        tracks: &[Track],
        origin: Moment,
    ) -> Result<Option<Self>, Error> {
        let encoded = |(_, (_, track)): &(usize, (&AudioRequest, &Track))| matches!(track.work, Work::Encode(..));
        let measured = |(number, (request, track)): (usize, (&AudioRequest, &Track))| {
            let of = |target_lufs| {
                let parameters = source.parameters(track.stream)?;
                let transcoder = Transcoder::new(parameters, request, origin)?.measuring()?;
                let times = Times::new(request);
                Ok(MeasuredTrack { number, target_lufs, stream: track.stream, times, transcoder })
            };
            request.loudness.map(of)
        };
        let tracks: Vec<MeasuredTrack> = (requests.iter().zip(tracks).enumerate().filter(encoded))
            .filter_map(measured)
            .collect::<Result<_, Error>>()?;
        if tracks.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { demuxer: opened(source, tracks.iter().map(|track| track.stream))?, tracks }))
    }

    /// What each of its tracks needs. `None` when `cancel` was set before the end. `progress` hears that nothing is made yet.
    fn run(
        mut self,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(f64),
    ) -> Result<Option<Vec<(usize, Loudness)>>, Error> {
        while let Some(packet) = self.demuxer.read()? {
            if cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let stream = packet.stream();
            for track in self.tracks.iter_mut().filter(|track| track.stream == stream) {
                let packet = track.times.corrected(packet.share()?);
                track.transcoder.packet(packet, &mut |_| Ok::<_, Error>(()))?;
            }
            progress(0.0);
        }
        let found = |track: MeasuredTrack| {
            let measured = track.transcoder.finish_measuring()?;
            Ok(measured.map(|measured| (track.number, Loudness::plan(track.target_lufs, measured))))
        };
        self.tracks.into_iter().filter_map(|track| found(track).transpose()).collect::<Result<_, _>>().map(Some)
    }
}

impl Times {
    fn new(request: &AudioRequest) -> Self {
        Self { shifts: request.shifts.clone(), packets: 0 }
    }

    fn corrected(&mut self, mut packet: SourcePacket) -> SourcePacket {
        let shift = TimeShift::at(&self.shifts, self.packets);
        self.packets += 1;
        let shifted = |ticks: Option<i64>| ticks.map(|ticks| ticks.saturating_add(shift));
        packet.set_times(shifted(packet.pts()), shifted(packet.dts()));
        packet
    }
}

impl Track {
    fn new(source: &KnownContainer, request: &AudioRequest, origin: Moment) -> Result<Self, Error> {
        let stream = request.info.stream;
        let encode = |request: &AudioRequest, because| {
            let transcoder = Transcoder::new(source.parameters(stream)?, request, origin)?;
            Ok::<_, Error>(Work::Encode(Box::new(transcoder), because))
        };
        let work = match request.mode {
            AudioMode::Encode => encode(request, None)?,
            AudioMode::CopyIfPossible => match Copier::open(source, request, origin)? {
                Ok(copier) => Work::Copy(Box::new(copier)),
                Err(because) => encode(&AudioRequest { codec: AudioCodec::Aac, ..request.clone() }, Some(because))?,
            },
        };
        Ok(Self { stream, times: Times::new(request), work })
    }

    fn packet<E: From<Error>>(&mut self, packet: SourcePacket, sink: &mut UnitSink<'_, E>) -> Result<(), E> {
        let packet = self.times.corrected(packet);
        match &mut self.work {
            Work::Encode(transcoder, _) => transcoder.packet(packet, sink),
            Work::Copy(copier) => copier.packet(&packet, sink),
        }
    }
}

impl Work {
    /// What is passed on stays as loud as it is.
    fn set_loudness(&mut self, loudness: Loudness) {
        if let Work::Encode(transcoder, _) = self {
            transcoder.set_loudness(loudness);
        }
    }

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
