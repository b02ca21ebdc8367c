//! Which packets of a stream are in which run of the healed timeline. Their shifts are certain only when all have come.

use vtp_engine::index::TimeShift;
use vtp_engine::units::TimeBase;

use crate::heal::{Healer, RunId};

/// The runs of one stream, each with the ordinal of its first packet.
#[derive(Debug, Default)]
pub(crate) struct Runs(Vec<(u64, RunId)>);

impl Runs {
    /// Notes the run that a packet is in, and those after it until the next is noted.
    pub(crate) fn note(&mut self, packet: u64, run: RunId) {
        if self.last() != Some(run) {
            self.0.push((packet, run));
        }
    }

    /// The run that the stream is in.
    pub(crate) fn last(&self) -> Option<RunId> {
        self.0.last().map(|(_, run)| *run)
    }

    /// Bytes that they take in memory.
    pub(crate) fn bytes(&self) -> u64 {
        size_of_val(self.0.as_slice()) as u64
    }

    /// The shifts that the packets need, in ticks of `base`.
    pub(crate) fn shifts(&self, healer: &Healer, base: TimeBase) -> Vec<TimeShift> {
        let mut shifts: Vec<TimeShift> = Vec::new();
        for &(from_packet, run) in &self.0 {
            let shift = shift(healer, run, base);
            if shifts.last().map_or(0, |last| last.shift) != shift {
                shifts.push(TimeShift { from_packet, shift });
            }
        }
        shifts
    }
}

/// The shift that packets in `run` need, in ticks of `base`.
pub(crate) fn shift(healer: &Healer, run: RunId, base: TimeBase) -> i64 {
    TimeBase::MICROSECONDS.rescale(healer.shift_us(run), base)
}
