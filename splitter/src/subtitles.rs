//! Subtitles that a container holds as text: every packet is a cue, whose time moves with those of sound and picture.

use vtp_engine::limits::{Exceeded, Limit, Limits};
use vtp_engine::media::demux::{SourcePacket, StreamFacts};
use vtp_engine::source::SubtitleInfo;
use vtp_engine::subtitles::packet::Form;
use vtp_engine::subtitles::{Cue, Cues};
use vtp_engine::units::TimeBase;

use crate::clock::believable;
use crate::heal::Healer;

/// How long a cue is shown of which the container does not say so, at most, in microseconds; the next one ends it.
const UNTOLD_US: i64 = 5_000_000;

/// Collects the cues of one stream.
pub(crate) struct SubtitleScan {
    info: SubtitleInfo,
    base: vtp_engine::units::TimeBase,
    form: Form,
    cues: Cues,
    limits: Limits,
    /// Of each packet with a time; one that shows nothing only ends a cue before it.
    times: Vec<Time>,
    doubt: Option<&'static str>,
    /// Why nothing more is taken.
    refused: Option<Exceeded>,
}

/// When a packet is shown by the container, and where the pictures were in the healed timeline when it came.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Time {
    start_us: i64,
    duration_us: Option<i64>,
    company_us: Option<i64>,
    shows: bool,
}

impl SubtitleScan {
    /// A stream with these codec headers.
    pub(crate) fn new(facts: StreamFacts, form: Form, headers: &[u8], limits: &Limits) -> Self {
        let info = SubtitleInfo {
            stream: facts.index,
            codec: facts.codec,
            language: facts.language,
            title: facts.title,
            default: facts.default,
            forced: facts.forced || form.forces(headers),
            hearing_impaired: facts.hearing_impaired,
            cues: 0,
        };
        let (cues, times, base) = (Cues::new(*limits), Vec::new(), facts.time_base);
        Self { info, base, form, cues, limits: *limits, times, doubt: None, refused: None }
    }

    /// Index of the stream in the container.
    pub(crate) fn stream(&self) -> usize {
        self.info.stream
    }

    /// Bytes that its cues take in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.cues.bytes() + (self.times.len() * size_of::<Time>()) as u64
    }

    /// Takes nothing more, and gives up what it has: all streams together are more than is taken on.
    pub(crate) fn refuse(&mut self, exceeded: Exceeded) {
        (self.cues, self.times) = (Cues::new(self.limits), Vec::new());
        self.refused.get_or_insert(exceeded);
    }

    /// Takes the next packet; `healer` has taken those of sound and picture before it.
    pub(crate) fn take(&mut self, packet: &SourcePacket, healer: &Healer) {
        let Some(start) = believable(self.base, packet.pts().or(packet.dts())) else { return };
        if self.refused.is_none()
            && let Err(exceeded) = self.cue(packet, start, healer)
        {
            self.refuse(exceeded);
        }
    }

    fn cue(&mut self, packet: &SourcePacket, start: i64, healer: &Healer) -> Result<(), Exceeded> {
        self.limits.check(Limit::Cue, packet.data().len() as u64)?;
        // Those that show nothing cost memory, too.
        self.limits.check(Limit::Cues, self.times.len() as u64 / 2)?;
        let payload = self.form.read(packet.data(), packet.cue_settings());
        self.doubt = self.doubt.or(payload.doubt);
        let us = |ticks| self.base.rescale(ticks, TimeBase::MICROSECONDS);
        self.times.push(Time {
            start_us: us(start),
            duration_us: believable(self.base, packet.duration()).map(us),
            company_us: healer.at_us(0),
            shows: !payload.marked.text.is_empty(),
        });
        self.cues.push(0, 0, payload.marked)
    }

    /// The stream's facts and its cues. What is doubtful goes to `warnings`.
    ///
    /// # Errors
    /// A sentence, if it is more than is taken on.
    pub(crate) fn finish(
        mut self,
        healer: &Healer,
        warnings: &mut Vec<String>,
    ) -> Result<(SubtitleInfo, Vec<Cue>), String> {
        let name = format!("stream {} ({})", self.info.stream, self.info.codec);
        if let Some(exceeded) = self.refused {
            return Err(format!("{name} is left out: {exceeded}"));
        }
        warnings.extend(self.doubt.map(|doubt| format!("of the text in {name}: {doubt}")));
        let mut cues = self.cues.into_vec();
        let spans = spans(&self.times, &healer.shifts_us());
        for (cue, (start_us, end_us)) in cues.iter_mut().zip(spans) {
            (cue.start_us, cue.end_us) = (start_us, end_us);
        }
        self.info.cues = cues.len();
        Ok((self.info, cues))
    }
}

/// From when to when those are shown that show something, in the healed timeline, whose `shifts` are told.
fn spans(times: &[Time], shifts: &[i64]) -> Vec<(i64, i64)> {
    let healed: Vec<(i64, &Time)> = times.iter().map(|time| (time.start_us + shift(time, shifts), time)).collect();
    let following = |place: usize| healed.get(place + 1).map(|(start, _)| *start);
    let end = |place: usize, start: i64, time: &Time| match time.duration_us {
        Some(duration) => start.saturating_add(duration),
        None => following(place).filter(|&next| next > start).map_or(i64::MAX, |next| next).min(start + UNTOLD_US),
    };
    let shown = healed.iter().enumerate().filter(|(_, (_, time))| time.shows);
    shown.map(|(place, (start, time))| (*start, end(place, *start, time))).collect()
}

/// The shift of the epoch that a packet belongs to: the one by which it comes nearest to the pictures beside it. A container
/// need not store a cue exactly beside its pictures, so the epoch that they are in when it comes may be the wrong one.
fn shift(time: &Time, shifts: &[i64]) -> i64 {
    let Some(company) = time.company_us else { return shifts.first().copied().unwrap_or(0) };
    let distance = |shift: &i64| (time.start_us + shift - company).unsigned_abs();
    shifts.iter().copied().min_by_key(|shift| distance(shift)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn time(start_us: i64, duration_us: Option<i64>, company_us: i64) -> Time {
        Time { start_us, duration_us, company_us: Some(company_us), shows: true }
    }

    #[test]
    fn cues_move_with_the_pictures_that_they_stand_beside_also_when_they_come_early_or_late() {
        // The container's times go back to 0 after ten seconds.
        let shifts = [0, 10 * SECOND];
        let times = [
            time(2 * SECOND, Some(SECOND), SECOND),
            time(0, Some(SECOND), 9 * SECOND + 900_000),
            time(9 * SECOND, Some(SECOND), 10 * SECOND),
            time(3 * SECOND, Some(SECOND), 12 * SECOND),
        ];
        let starts: Vec<i64> = spans(&times, &shifts).iter().map(|(start, _)| start / SECOND).collect();
        assert_eq!(starts, [2, 10, 9, 13]);
    }

    #[test]
    fn a_cue_of_no_told_length_lasts_until_the_next_but_not_for_ever() {
        let empty = Time { shows: false, ..time(3 * SECOND, None, 0) };
        let times = [time(0, None, 0), time(SECOND, None, 0), empty, time(4 * SECOND, None, 0)];
        let expected = [(0, SECOND), (SECOND, 3 * SECOND), (4 * SECOND, 9 * SECOND)];
        assert_eq!(spans(&times, &[0]), expected);
    }
}
