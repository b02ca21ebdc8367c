//! A track whose access units are passed on as they are. Its place is kept to the sample at the start (by priming),
//! and to half an access unit after a gap; nothing is decoded, so damage inside access units goes unseen.

use super::asc::AacHeader;
use super::encoder::Encoder;
use super::task::{AudioOutcome, AudioRequest, AudioTrackConfig, UnitSink};
use crate::index::TimeShift;
use crate::ladder::AudioCodec;
use crate::media::Error;
use crate::media::demux::{Demuxer, KnownContainer, SourcePacket};
use crate::pcm::{Clock, Edit, Moment, Timeline};

/// Samples of one access unit.
const AAC_FRAME: u32 = AudioCodec::Aac.frame();

/// One access unit is heard before the origin and not shown, so that the next one decodes as it was meant to.
const WARM_UP: i64 = 2 * AAC_FRAME as i64;

/// A track that is passed on.
pub(super) struct Copier {
    header: AacHeader,
    config: Vec<u8>,
    adts: bool,
    silence: Vec<u8>,
    timeline: Timeline,
    priming: u32,
    lead: u32,
    units: u64,
    held: Option<(Option<i64>, Vec<u8>)>,
    heard: Option<(f64, f64)>,
    start_s: f64,
    inserted: u64,
    dropped: u64,
    damaged: u32,
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
        if !request.info.is_aac_lc {
            return Ok(Err(format!("it is {}, not AAC-LC", request.info.codec)));
        }
        let mut demuxer = source.open()?;
        demuxer.keep_only(&[request.info.stream]);
        let config = source.parameters(request.info.stream)?.extradata().to_vec();
        let clock = Clock { time_base: request.info.time_base, origin, rate: request.info.sample_rate.max(1) };
        let Some((first, at)) = first_heard(&mut demuxer, request, &clock) else {
            return Ok(Err("none of its packets has a time".to_owned()));
        };
        Ok(Self::new(&config, &first, at, clock, request).map_err(str::to_owned))
    }

    fn new(
        config: &[u8],
        first: &SourcePacket,
        at: i64,
        clock: Clock,
        request: &AudioRequest,
    ) -> Result<Self, &'static str> {
        let adts = config.is_empty();
        let header = if adts { AacHeader::from_adts(first.data())?.0 } else { AacHeader::from_config(config)? };
        if header.rate() != request.info.sample_rate || header.channels() != request.info.channels {
            return Err("it is HE-AAC, which adds to what its headers say");
        }
        let silence = silent_unit(header).ok_or("silence of its kind can't be made")?;
        let frame = i64::from(AAC_FRAME);
        let lead = (at.max(0) + frame - 1) / frame;
        let (Ok(priming), Ok(lead_units)) = (u32::try_from(lead * frame - at), u32::try_from(lead)) else {
            return Err("it begins too far from the picture");
        };
        let mut timeline = Timeline::new(clock);
        timeline.set_rate(clock.rate, at);
        let config = if adts { header.config() } else { config.to_vec() };
        Ok(Self {
            header,
            config,
            adts,
            silence,
            timeline,
            priming,
            lead: lead_units,
            units: 0,
            held: None,
            heard: None,
            start_s: clock.seconds_at(request.info.start),
            inserted: 0,
            dropped: 0,
            damaged: 0,
        })
    }

    pub(super) fn config(&self) -> AudioTrackConfig {
        AudioTrackConfig {
            sample_rate: self.header.rate(),
            channels: self.header.channels(),
            priming: self.priming,
            config: self.config.clone(),
            codec: AudioCodec::Aac,
            copied: true,
            encoded_because: None,
        }
    }

    pub(super) fn packet<E: From<Error>>(
        &mut self,
        packet: &SourcePacket,
        sink: &mut UnitSink<'_, E>,
    ) -> Result<(), E> {
        let before = |pts| self.timeline.clock().sample_at(pts).is_some_and(|at| at + WARM_UP <= 0);
        if self.units == 0 && self.held.is_none() && packet.pts().is_none_or(before) {
            return Ok(());
        }
        let Some(unit) = self.unit_of(packet.data()).map(<[u8]>::to_vec) else {
            self.damaged += 1;
            return Ok(());
        };
        match self.held.replace((packet.pts(), unit)) {
            Some((pts, unit)) => self.lay(pts, &unit, packet.pts(), sink),
            None => self.fall_silent(self.lead.into(), sink),
        }
    }

    fn unit_of<'a>(&self, data: &'a [u8]) -> Option<&'a [u8]> {
        if !self.adts {
            return Some(data).filter(|data| !data.is_empty());
        }
        AacHeader::from_adts(data).ok().filter(|(header, _)| *header == self.header).map(|(_, unit)| unit)
    }

    fn lay<E: From<Error>>(
        &mut self,
        pts: Option<i64>,
        unit: &[u8],
        following: Option<i64>,
        sink: &mut UnitSink<'_, E>,
    ) -> Result<(), E> {
        let (frame, at) = (u64::from(AAC_FRAME), self.timeline.len());
        self.note_times(pts);
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
                self.units += 1;
                sink(unit)?;
            }
        }
        let laid = i64::try_from(laid * frame).unwrap_or(i64::MAX);
        self.timeline.set_rate(self.header.rate(), at.saturating_add(laid));
        Ok(())
    }

    fn note_times(&mut self, pts: Option<i64>) {
        let (start, end) = self.heard.unwrap_or((self.start_s, self.start_s));
        let at = pts.map_or(end, |pts| self.timeline.clock().seconds_at(pts));
        self.heard = Some((start, at + f64::from(AAC_FRAME) / f64::from(self.header.rate())));
    }

    fn fall_silent<E: From<Error>>(&mut self, units: u64, sink: &mut UnitSink<'_, E>) -> Result<(), E> {
        self.units += units;
        (0..units).try_for_each(|_| sink(&self.silence))
    }

    pub(super) fn finish<E: From<Error>>(mut self, sink: &mut UnitSink<'_, E>) -> Result<AudioOutcome, E> {
        if let Some((pts, unit)) = self.held.take() {
            self.lay(pts, &unit, None, sink)?;
        }
        let seconds = |units: u64| (units * u64::from(AAC_FRAME)) as f64 / f64::from(self.header.rate());
        let lead_s = if self.lead > 0 { seconds(self.lead.into()) - self.priming_s() } else { 0.0 };
        let (start_s, end_s) = self.heard.unwrap_or_default();
        Ok(AudioOutcome {
            samples: (self.units * u64::from(AAC_FRAME)).saturating_sub(self.priming.into()),
            start_s,
            end_s,
            inserted_silence_s: lead_s + seconds(self.inserted),
            dropped_s: seconds(self.dropped),
            damaged: self.damaged,
            slips: self.timeline.slips(),
            loudness: None,
            kept: None,
        })
    }

    fn priming_s(&self) -> f64 {
        f64::from(self.priming) / f64::from(self.header.rate())
    }

    /// Seconds of output time that are done.
    pub(super) fn reached_s(&self) -> f64 {
        (self.units * u64::from(AAC_FRAME)) as f64 / f64::from(self.header.rate())
    }
}

/// The first packet that is not wholly before the origin, and the position of its first sample.
fn first_heard(demuxer: &mut Demuxer, request: &AudioRequest, clock: &Clock) -> Option<(SourcePacket, i64)> {
    let mut number = 0;
    while let Some(packet) = demuxer.read() {
        if packet.stream() != request.info.stream {
            continue;
        }
        let shift = TimeShift::at(&request.shifts, number);
        number += 1;
        let at = packet.pts().and_then(|pts| clock.sample_at(pts.saturating_add(shift)));
        if let Some(at) = at.filter(|at| at + WARM_UP > 0) {
            return Some((packet, at));
        }
    }
    None
}

/// An access unit of silence that fits in among those of `header`.
fn silent_unit(header: AacHeader) -> Option<Vec<u8>> {
    let mut encoder = Encoder::open(AudioCodec::Aac, header.rate(), header.channels()).ok()?;
    let mut units = Vec::new();
    encoder.set_samples(4 * u64::from(AAC_FRAME));
    let mut sink = |unit: &[u8]| -> Result<(), Error> {
        units.push(unit.to_vec());
        Ok(())
    };
    encoder.finish(&mut sink).ok()?;
    units.into_iter().nth(2)
}
