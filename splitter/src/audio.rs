//! Where the sound of one track starts, what it is like, and how its timestamps are shifted.

use vtp_engine::index::TimeShift;
use vtp_engine::media;
use vtp_engine::media::audio::{AudioDecoder, Sound};
use vtp_engine::media::demux::{SourcePacket, StreamFacts};
use vtp_engine::source::AudioInfo;
use vtp_engine::units::TimeBase;

use crate::Error;
use crate::clock::believable;
use crate::heal::{Healer, RunId};
use crate::runs::{self, Runs};

/// A track while the source is read.
pub(crate) struct AudioScan {
    pub(crate) facts: StreamFacts,
    decoder: AudioDecoder,
    packets: u64,
    runs: Runs,
    /// Presentation time of the first packet and of the first decoded sample, as the container tells them.
    first_packet: Option<i64>,
    start: Option<i64>,
    /// The run that the first sample is in.
    start_run: Option<RunId>,
}

impl AudioScan {
    pub(crate) fn new(facts: StreamFacts, decoder: AudioDecoder) -> Self {
        let (first_packet, start, start_run) = (None, None, None);
        Self { facts, decoder, packets: 0, runs: Runs::default(), first_packet, start, start_run }
    }

    pub(crate) fn take(&mut self, mut packet: SourcePacket, track: usize, healer: &mut Healer) -> Result<(), Error> {
        let base = self.facts.time_base;
        if let Some(time) = believable(base, packet.pts().or(packet.dts())) {
            let duration = packet.duration().map_or(0, |d| base.rescale(d, TimeBase::MICROSECONDS));
            // What an edit leaves out, and only decodes, lies where the edit before it is.
            if !packet.is_discarded() {
                self.runs.note(self.packets, healer.place(track, base.rescale(time, TimeBase::MICROSECONDS), duration));
            }
        }
        self.packets += 1;
        if self.start.is_none() {
            packet.set_times(believable(base, packet.pts()), believable(base, packet.dts()));
            self.start_run = self.runs.last();
            self.first_packet = self.first_packet.or(packet.pts()).or(packet.dts());
            let (start, facts, fallback) = (&mut self.start, &mut self.facts, self.first_packet.unwrap_or(0));
            self.decoder.send::<media::Error>(packet, &mut |sound| keep_start(start, facts, fallback, &sound))?;
        }
        Ok(())
    }

    /// Bytes that what is noted of its packets takes in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.runs.bytes()
    }

    /// The stream's facts and shifts, once `healer` has taken all packets; `None` if it holds no sound.
    pub(crate) fn finish(mut self, healer: &Healer) -> Result<Option<(AudioInfo, Vec<TimeShift>)>, Error> {
        if self.start.is_none() {
            let (start, facts, fallback) = (&mut self.start, &mut self.facts, self.first_packet.unwrap_or(0));
            self.decoder.finish::<media::Error>(&mut |sound| keep_start(start, facts, fallback, &sound))?;
        }
        let facts = self.facts;
        let shift = self.start_run.map_or(0, |run| runs::shift(healer, run, facts.time_base));
        let shifts = self.runs.shifts(healer, facts.time_base);
        Ok(self.start.map(|start| {
            let info = AudioInfo {
                stream: facts.index,
                codec: facts.codec,
                is_aac_lc: facts.is_aac_lc,
                sample_rate: facts.sample_rate,
                channels: facts.channels,
                language: facts.language,
                title: facts.title,
                default: facts.default,
                purpose: facts.purpose,
                time_base: facts.time_base,
                start: start.saturating_add(shift),
            };
            (info, shifts)
        }))
    }
}

/// Notes where the first sound starts, and what it is like if the container has not told it.
fn keep_start(
    start: &mut Option<i64>,
    facts: &mut StreamFacts,
    fallback: i64,
    sound: &Sound,
) -> Result<(), media::Error> {
    if start.is_none() {
        *start = Some(sound.pts().unwrap_or(fallback));
        if facts.channels == 0 || facts.sample_rate == 0 {
            (facts.channels, facts.sample_rate) = (sound.channels(), sound.rate());
        }
    }
    Ok(())
}
