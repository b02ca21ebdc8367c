//! Makes units of samples: when each has its turn, and what it is in a stream.

use std::collections::BTreeSet;

use super::mux::Unit;
use super::source::{Cursor, Sample, Track};
use super::units::{self, Adts, Avc};
use crate::Error;

/// Why there are no units.
pub(super) enum Lack {
    Unit(units::Error),
    Source(Error),
}

impl From<units::Error> for Lack {
    fn from(error: units::Error) -> Self {
        Self::Unit(error)
    }
}

impl From<Error> for Lack {
    fn from(error: Error) -> Self {
        Self::Source(error)
    }
}

impl Lack {
    pub(super) fn named(self, name: &str) -> Error {
        match self {
            Self::Unit(source) => Error::Transport { name: name.to_owned(), source },
            Self::Source(error) => error,
        }
    }
}

/// Makes units of the pictures.
pub(super) struct Pictures<'a> {
    avc: Avc,
    cursor: Cursor<'a>,
    /// When those are shown that are to be fetched alone, in media time.
    named: BTreeSet<u64>,
    /// When the one before was decoded, in ticks.
    last: i64,
    /// How much later than it is decoded a picture has its turn.
    later: i64,
}

impl<'a> Pictures<'a> {
    /// The pictures of `track`, of which those shown at the media times in `named` are to be fetched alone. Each has its turn
    /// `later` ticks after it is decoded.
    pub(super) fn new(track: &'a Track, named: BTreeSet<u64>, later: i64) -> Result<Self, units::Error> {
        let (avc, cursor) = (Avc::new(&track.config)?, Cursor::new(track));
        Ok(Self { avc, cursor, named, last: i64::MIN, later })
    }

    /// Those of the next segment, each with the media time at which it is shown.
    pub(super) fn segment(&mut self, start: i64, units: &mut Vec<(Unit, u64)>) -> Result<(), Lack> {
        while units.is_empty() || self.cursor.is_inside() {
            let Some(sample) = self.cursor.next()? else { break };
            units.push(self.unit(start, &sample)?);
        }
        Ok(())
    }

    fn unit(&mut self, start: i64, sample: &Sample) -> Result<(Unit, u64), Lack> {
        let (track, read) = (self.cursor.track, &sample.read);
        let clock = track.clock(start);
        let (pts, due) = (clock.ticks(read.shown), clock.ticks(track.decoded(read)));
        // Decode times go up, by a tick where several samples share one; but nothing is shown before it is decoded.
        let dts = due.max(self.last.saturating_add(1)).min(pts);
        self.last = dts;
        let shown = read.shown.max(0).unsigned_abs();
        let unit = Unit {
            video: true,
            pts,
            dts,
            turn: due + self.later,
            key: read.sync,
            alone: read.sync && self.named.contains(&shown),
            bytes: self.avc.byte_stream(&sample.bytes, read.sync)?,
        };
        Ok((unit, shown))
    }
}

/// Makes units of sound.
pub(super) struct Sound<'a> {
    adts: Adts,
    cursor: Cursor<'a>,
    /// Whether there is nothing else in the stream: then decoding can start at every segment.
    alone: bool,
}

impl<'a> Sound<'a> {
    /// The sound of `track`, which may be `alone` in its stream.
    pub(super) fn new(track: &'a Track, alone: bool) -> Result<Self, units::Error> {
        Ok(Self { adts: Adts::new(&track.config)?, cursor: Cursor::new(track), alone })
    }

    /// What is next, and begins before `until`. Each access unit is a PES packet, so that the time of each is told: FFmpeg's
    /// HLS demuxer (5.1) gives the second in the first packet of a stream the time of the first.
    pub(super) fn until(&mut self, until: i64, start: i64, units: &mut Vec<Unit>) -> Result<(), Lack> {
        let clock = self.cursor.track.clock(start);
        let mut key = self.alone;
        while let Some(sample) = self.cursor.peek()? {
            let pts = clock.ticks(sample.read.shown);
            if pts >= until {
                break;
            }
            let bytes = self.adts.frame(&sample.bytes)?;
            units.push(Unit { video: false, pts, dts: pts, turn: pts, key, alone: false, bytes });
            self.cursor.next()?;
            key = false;
        }
        Ok(())
    }
}
