//! Where the sound of one track starts, what it is like, and how its timestamps are shifted.

use vtp_engine::index::TimeShift;
use vtp_engine::media;
use vtp_engine::media::audio::{AudioDecoder, Sound};
use vtp_engine::media::demux::{SourcePacket, StreamFacts};
use vtp_engine::source::AudioInfo;

use crate::Error;
use crate::clock::{believable, microseconds};
use crate::heal::Healer;

/// A track while the source is read.
pub(crate) struct AudioScan {
    pub(crate) facts: StreamFacts,
    decoder: AudioDecoder,
    packets: u64,
    shifts: Vec<TimeShift>,
    /// Presentation time of the first packet, healed, and of the first decoded sample.
    first_packet: Option<i64>,
    start: Option<i64>,
}

impl AudioScan {
    pub(crate) fn new(facts: StreamFacts, decoder: AudioDecoder) -> Self {
        Self { facts, decoder, packets: 0, shifts: Vec::new(), first_packet: None, start: None }
    }

    pub(crate) fn take(&mut self, mut packet: SourcePacket, track: usize, healer: &mut Healer) -> Result<(), Error> {
        let base = self.facts.time_base;
        if let Some(time) = believable(base, packet.pts().or(packet.dts())) {
            let duration = packet.duration().map_or(0, |d| base.rescale(d, microseconds()));
            // What an edit leaves out, and only decodes, lies where the edit before it is.
            let shift = match packet.is_discarded() {
                true => healer.shift_us(track),
                false => healer.place(track, base.rescale(time, microseconds()), duration),
            };
            let shift = microseconds().rescale(shift, base);
            if self.shifts.last().map_or(0, |last| last.shift) != shift {
                self.shifts.push(TimeShift { from_packet: self.packets, shift });
            }
        }
        self.packets += 1;
        if self.start.is_none() {
            let shift = self.shifts.last().map_or(0, |last| last.shift);
            let shifted = |time: Option<i64>| believable(base, time).map(|ticks| ticks.saturating_add(shift));
            packet.set_times(shifted(packet.pts()), shifted(packet.dts()));
            self.first_packet = self.first_packet.or(packet.pts()).or(packet.dts());
            let (start, facts, fallback) = (&mut self.start, &mut self.facts, self.first_packet.unwrap_or(0));
            self.decoder.send::<media::Error>(packet, &mut |sound| keep_start(start, facts, fallback, &sound))?;
        }
        Ok(())
    }

    /// The stream's facts; `None` if it holds no sound.
    pub(crate) fn finish(mut self) -> Result<Option<(AudioInfo, Vec<TimeShift>)>, Error> {
        if self.start.is_none() {
            let (start, facts, fallback) = (&mut self.start, &mut self.facts, self.first_packet.unwrap_or(0));
            self.decoder.finish::<media::Error>(&mut |sound| keep_start(start, facts, fallback, &sound))?;
        }
        let facts = self.facts;
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
                start,
            };
            (info, self.shifts)
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
