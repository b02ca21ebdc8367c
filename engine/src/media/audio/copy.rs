//! A track whose access units are passed on as they are. Its place is kept to the sample at the start (by priming),
//! and to half an access unit after a gap; nothing is decoded, so damage inside access units goes unseen.

use super::asc::AacHeader;
use super::encoder::Encoder;
use super::terms::{AudioOutcome, AudioRequest, AudioTrackConfig, End, UnitSink};
use crate::format::dolby;
use crate::index::TimeShift;
use crate::ladder::AudioCodec;
use crate::media::Error;
use crate::media::demux::{Demuxer, KnownContainer, SourcePacket};
use crate::pcm::{Clock, Edit, Moment, Timeline};

/// A track that is passed on.
pub(super) struct Copier {
    units: Units,
    silence: Vec<u8>,
    timeline: Timeline,
    priming: u32,
    lead: u32,
    count: u64,
    held: Option<(Option<i64>, Vec<u8>)>,
    /// When the first access unit that is passed on was to be heard, in seconds, and at which sample it was put.
    start: Option<(f64, i64)>,
    /// When the last one ends, in seconds.
    end_s: f64,
    end: End,
    /// Access units of silence behind the sound.
    after: u64,
    inserted: u64,
    dropped: u64,
    damaged: u32,
}

/// What access units a track has, and how they are found in its packets.
enum Units {
    Aac { header: AacHeader, config: Vec<u8>, adts: bool },
    Dolby(dolby::Stream),
}

impl Units {
    /// Of a stream with this configuration, by its first packet that is heard; or a clause that says why they can't be passed on.
    fn new(request: &AudioRequest, config: &[u8], first: &[u8]) -> Result<Self, &'static str> {
        if is_dolby(&request.info.codec) {
            return dolby::unit(first).map(|(stream, _)| Self::Dolby(stream));
        }
        let adts = config.is_empty();
        let header = if adts { AacHeader::from_adts(first)?.0 } else { AacHeader::from_config(config)? };
        if header.rate() != request.info.sample_rate || header.channels() != request.info.channels {
            return Err("it is HE-AAC, which adds to what its headers say");
        }
        let config = if adts { header.config() } else { config.to_vec() };
        Ok(Self::Aac { header, config, adts })
    }

    fn codec(&self) -> AudioCodec {
        match self {
            Self::Aac { .. } => AudioCodec::Aac,
            Self::Dolby(stream) => stream.codec,
        }
    }

    /// Samples of each.
    fn frame(&self) -> u32 {
        self.codec().frame()
    }

    fn rate(&self) -> u32 {
        match self {
            Self::Aac { header, .. } => header.rate(),
            Self::Dolby(stream) => stream.rate,
        }
    }

    fn channels(&self) -> u16 {
        match self {
            Self::Aac { header, .. } => header.channels(),
            Self::Dolby(stream) => stream.channels,
        }
    }

    fn config(&self) -> &[u8] {
        match self {
            Self::Aac { config, .. } => config,
            Self::Dolby(stream) => &stream.config,
        }
    }

    /// The one that a packet holds; `None` if it is none of these.
    fn find<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Self::Aac { adts: false, .. } => Some(packet).filter(|packet| !packet.is_empty()),
            Self::Aac { header, .. } => {
                AacHeader::from_adts(packet).ok().filter(|(found, _)| found == header).map(|(_, unit)| unit)
            }
            Self::Dolby(stream) => {
                let (found, size) = dolby::unit(packet).ok()?;
                (found.is_like(stream)).then(|| &packet[..size])
            }
        }
    }

    /// One of silence that fits in among them.
    fn silent(&self) -> Option<Vec<u8>> {
        let channels = match self {
            Self::Aac { header, .. } => header.channels(),
            Self::Dolby(stream) => stream.bed(),
        };
        let mut encoder = Encoder::open(self.codec(), self.rate(), channels).ok()?;
        let mut units = Vec::new();
        encoder.set_samples(4 * u64::from(self.frame()));
        let mut sink = |unit: &[u8]| -> Result<(), Error> {
            units.push(unit.to_vec());
            Ok(())
        };
        encoder.finish(&mut sink).ok()?;
        let silence = units.into_iter().nth(2)?;
        match self {
            Self::Aac { .. } => Some(silence),
            Self::Dolby(stream) => {
                dolby::unit(&silence).is_ok_and(|(made, _)| made.mode == stream.mode).then_some(silence)
            }
        }
    }
}

/// Whether these are access units that are passed on if asked, by FFmpeg's name of their codec.
fn is_dolby(codec: &str) -> bool {
    [AudioCodec::Ac3, AudioCodec::Eac3].iter().any(|it| it.name() == codec)
}

impl Copier {
    /// A copier of the requested stream, found in `source`; or a clause that says why it can't be copied.
    ///
    /// # Errors
    /// As [`Demuxer::open`].
    pub(super) fn open(
        source: &KnownContainer,
        request: &AudioRequest,
        origin: Moment,
    ) -> Result<Result<Self, String>, Error> {
        // AAC stands in for whatever can't be passed on, so that is all that may be passed on in its place.
        let is_asked_for = match request.codec {
            AudioCodec::Ac3 | AudioCodec::Eac3 => is_dolby(&request.info.codec),
            AudioCodec::Aac | AudioCodec::Opus | AudioCodec::Flac => request.info.is_aac_lc,
        };
        if !is_asked_for {
            return Ok(Err(format!("it is {}, not AAC-LC", request.info.codec)));
        }
        let mut demuxer = source.open()?;
        demuxer.keep_only(&[request.info.stream]);
        let config = source.parameters(request.info.stream)?.extradata().to_vec();
        let clock = Clock { time_base: request.info.time_base, origin, rate: request.info.sample_rate.max(1) };
        let warm_up = warm_up(request.codec.frame());
        let Some((first, at)) = first_heard(&mut demuxer, request, &clock, warm_up)? else {
            return Ok(Err("none of its packets has a time".to_owned()));
        };
        let units = Units::new(request, &config, first.data());
        Ok(units.and_then(|units| Self::new(units, at, clock, request)).map_err(str::to_owned))
    }

    fn new(units: Units, at: i64, clock: Clock, request: &AudioRequest) -> Result<Self, &'static str> {
        if units.rate() != clock.rate {
            return Err("its rate is not the one that the container tells");
        }
        let silence = units.silent().ok_or("silence of its kind can't be made")?;
        let frame = i64::from(units.frame());
        let lead = (at.max(0) + frame - 1) / frame;
        let (Ok(priming), Ok(lead_units)) = (u32::try_from(lead * frame - at), u32::try_from(lead)) else {
            return Err("it begins too far from the picture");
        };
        let mut timeline = Timeline::new(clock);
        timeline.set_rate(clock.rate, at);
        Ok(Self {
            units,
            silence,
            timeline,
            priming,
            lead: lead_units,
            count: 0,
            held: None,
            start: None,
            end_s: clock.seconds_at(request.info.start),
            end: End::new(request, clock.origin, clock.rate),
            after: 0,
            inserted: 0,
            dropped: 0,
            damaged: 0,
        })
    }

    pub(super) fn config(&self) -> AudioTrackConfig {
        AudioTrackConfig {
            sample_rate: self.units.rate(),
            channels: self.units.channels(),
            priming: self.priming,
            config: self.units.config().to_vec(),
            codec: self.units.codec(),
            copied: true,
            encoded_because: None,
        }
    }

    pub(super) fn packet<E: From<Error>>(
        &mut self,
        packet: &SourcePacket,
        sink: &mut UnitSink<'_, E>,
    ) -> Result<(), E> {
        let before = |pts| self.timeline.clock().sample_at(pts).is_some_and(|at| at + warm_up(self.units.frame()) <= 0);
        if self.count == 0 && self.held.is_none() && packet.pts().is_none_or(before) {
            return Ok(());
        }
        let Some(unit) = self.units.find(packet.data()).map(<[u8]>::to_vec) else {
            self.damaged += 1;
            return Ok(());
        };
        match self.held.replace((packet.pts(), unit)) {
            Some((pts, unit)) => self.lay(pts, &unit, packet.pts(), sink),
            None => self.fall_silent(self.lead.into(), sink),
        }
    }

    fn lay<E: From<Error>>(
        &mut self,
        pts: Option<i64>,
        unit: &[u8],
        following: Option<i64>,
        sink: &mut UnitSink<'_, E>,
    ) -> Result<(), E> {
        let (frame, at) = (u64::from(self.units.frame()), self.timeline.len());
        let begins_s = pts.map_or(self.end_s, |pts| self.timeline.clock().seconds_at(pts));
        self.end_s = begins_s + self.seconds(1);
        let mut laid = 0;
        let edit = self.timeline.place(pts, frame, following);
        if let Edit::Silence(samples) = edit {
            laid = (samples + frame / 2) / frame;
            self.inserted += laid;
            self.fall_silent(laid, sink)?;
        }
        match edit {
            Edit::Skip(samples) if samples > frame / 2 => self.dropped += 1,
            Edit::Keep | Edit::Silence(_) | Edit::Skip(_) | Edit::Stretch => {
                laid += 1;
                let place = self.position();
                self.start.get_or_insert((begins_s, place));
                self.count += 1;
                sink(unit)?;
            }
        }
        let laid = i64::try_from(laid * frame).unwrap_or(i64::MAX);
        self.timeline.set_rate(self.units.rate(), at.saturating_add(laid));
        Ok(())
    }

    fn fall_silent<E: From<Error>>(&mut self, units: u64, sink: &mut UnitSink<'_, E>) -> Result<(), E> {
        self.count += units;
        (0..units).try_for_each(|_| sink(&self.silence))
    }

    /// Where the next access unit comes: samples of the output before it, negative within the priming.
    fn position(&self) -> i64 {
        let samples = self.count * u64::from(self.units.frame());
        i64::try_from(samples).unwrap_or(i64::MAX) - i64::from(self.priming)
    }

    /// Samples to be heard so far.
    fn samples(&self) -> u64 {
        u64::try_from(self.position()).unwrap_or(0)
    }

    /// Goes on in silence up to the end of the picture, or a part of an access unit further.
    fn last_out<E: From<Error>>(&mut self, sink: &mut UnitSink<'_, E>) -> Result<(), E> {
        if self.start.is_none() {
            return Ok(());
        }
        self.after = self.end.missing(self.samples()).div_ceil(self.units.frame().into());
        self.fall_silent(self.after, sink)
    }

    pub(super) fn finish<E: From<Error>>(mut self, sink: &mut UnitSink<'_, E>) -> Result<AudioOutcome, E> {
        if let Some((pts, unit)) = self.held.take() {
            self.lay(pts, &unit, None, sink)?;
        }
        self.last_out(sink)?;
        let lead_s = if self.lead > 0 { self.seconds(self.lead.into()) - self.priming_s() } else { 0.0 };
        let (start_s, start_sample) = self.start.unwrap_or_default();
        Ok(AudioOutcome {
            samples: self.samples(),
            start_s,
            start_sample,
            end_s: self.end_s,
            inserted_silence_s: lead_s + self.seconds(self.inserted + self.after),
            silence_after: self.after * u64::from(self.units.frame()),
            dropped_s: self.seconds(self.dropped),
            damaged: self.damaged,
            slips: self.timeline.slips(),
            loudness: None,
            kept: None,
        })
    }

    fn priming_s(&self) -> f64 {
        f64::from(self.priming) / f64::from(self.units.rate())
    }

    /// Seconds of output time that are done.
    pub(super) fn reached_s(&self) -> f64 {
        self.seconds(self.count)
    }

    fn seconds(&self, units: u64) -> f64 {
        (units * u64::from(self.units.frame())) as f64 / f64::from(self.units.rate())
    }
}

/// One access unit is heard before the origin and not shown, so that the next one decodes as it was meant to.
fn warm_up(frame: u32) -> i64 {
    2 * i64::from(frame)
}

/// The first packet that is not wholly before the origin, and the position of its first sample.
fn first_heard(
    demuxer: &mut Demuxer,
    request: &AudioRequest,
    clock: &Clock,
    warm_up: i64,
) -> Result<Option<(SourcePacket, i64)>, Error> {
    let mut number = 0;
    while let Some(packet) = demuxer.read()? {
        if packet.stream() != request.info.stream {
            continue;
        }
        let shift = TimeShift::at(&request.shifts, number);
        number += 1;
        let at = packet.pts().and_then(|pts| clock.sample_at(pts.saturating_add(shift)));
        if let Some(at) = at.filter(|at| at + warm_up > 0) {
            return Ok(Some((packet, at)));
        }
    }
    Ok(None)
}
