//! Holds what was read of a stream against the samples that it was made of: the same units of the same bytes, in order, each
//! at its time to half a tick of 90 kHz.

use std::collections::BTreeSet;
use std::ops::Range;

use vtp_engine::nal::{self, avc};

use super::clock::{Clock, RATE, between, wrapped};
use super::read::{Damage, Pes, Reader, Segment};
use super::source::{Cursor, Sample, Track};
use super::units::Avc;
use crate::Error;

/// Why a segment is not what it was made of.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is another.
    Damage(Damage),
    /// What it was made of can't be read any more.
    Source(Error),
}

impl From<Damage> for Fault {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Source(error)
    }
}

/// Proves one stream, segment by segment.
#[derive(Debug)]
pub(super) struct Prover<'a> {
    reader: Reader,
    video: Option<Video<'a>>,
    audio: Option<Audio<'a>>,
}

#[derive(Debug)]
struct Video<'a> {
    cursor: Cursor<'a>,
    clock: Clock,
    avc: Avc,
    /// When the picture before was decoded.
    last: Option<u64>,
}

#[derive(Debug)]
struct Audio<'a> {
    cursor: Cursor<'a>,
    clock: Clock,
}

impl<'a> Prover<'a> {
    /// Of a stream of these tracks, whose time 0 is at `start`.
    pub(super) fn new(video: Option<&'a Track>, audio: Option<&'a Track>, start: i64) -> Result<Self, Error> {
        let of_config = |source| Error::Transport { name: "the video".to_owned(), source };
        let video = video.map(|track| {
            let avc = Avc::new(&track.config).map_err(of_config)?;
            Ok::<_, Error>(Video { cursor: Cursor::new(track), clock: track.clock(start), avc, last: None })
        });
        let audio = audio.map(|track| Audio { cursor: Cursor::new(track), clock: track.clock(start) });
        Ok(Self { reader: Reader::default(), video: video.transpose()?, audio })
    }

    /// The next segment, of these bytes, in which these ranges are the pictures shown at these media times. Pictures fill it
    /// as they fill one of the segments that they come from, or there are none.
    pub(super) fn segment(&mut self, bytes: &[u8], pictures: &[(Range<u64>, u64)]) -> Result<(), Fault> {
        let found = self.reader.segment(bytes)?;
        let kinds: BTreeSet<u8> = found.streams.iter().map(|(_, kind)| *kind).collect();
        // H.264 and AAC with ADTS headers (13818-1 table 2-34).
        let due = [self.video.as_ref().map(|_| 0x1B), self.audio.as_ref().map(|_| 0x0F)];
        if kinds != due.into_iter().flatten().collect() || found.streams.len() != kinds.len() {
            return Err(Fault::Damage("its streams are not those that were to go into it"));
        }
        self.pictures(&found)?;
        self.sound(&found)?;
        for (range, shown) in pictures {
            self.alone(bytes, range, *shown)?;
        }
        Ok(())
    }

    /// There is nothing that was in no segment.
    pub(super) fn finish(mut self) -> Result<(), Fault> {
        let left = |cursor: &mut Cursor<'_>| cursor.peek().map(|next| next.is_some());
        if self.video.as_mut().map_or(Ok(false), |it| left(&mut it.cursor))? {
            return Err(Fault::Damage("pictures are missing at the end"));
        }
        if self.audio.as_mut().map_or(Ok(false), |it| left(&mut it.cursor))? {
            return Err(Fault::Damage("sound is missing at the end"));
        }
        Ok(())
    }

    fn pictures(&mut self, found: &Segment) -> Result<(), Fault> {
        let Some(video) = &mut self.video else { return Ok(()) };
        for (place, unit) in of(found, 0x1B).enumerate() {
            let sample = video.cursor.next()?.ok_or("more pictures than there are")?;
            if sample.opens != (place == 0) {
                return Err(Fault::Damage("a segment that is not cut where the pictures are"));
            }
            video.unit(unit, &sample)?;
        }
        if of(found, 0x1B).next().is_some() && video.cursor.is_inside() {
            return Err(Fault::Damage("pictures are missing"));
        }
        Ok(())
    }

    fn sound(&mut self, found: &Segment) -> Result<(), Fault> {
        let Some(audio) = &mut self.audio else { return Ok(()) };
        for unit in of(found, 0x0F) {
            audio.unit(unit)?;
        }
        Ok(())
    }

    /// These bytes alone are tables and one picture, which decoding can start at.
    fn alone(&self, bytes: &[u8], range: &Range<u64>, shown: u64) -> Result<(), Fault> {
        let Some(video) = &self.video else { return Err(Fault::Damage("a picture where there are none")) };
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let part = bytes.get(place(range.start)..place(range.end)).ok_or("a picture beyond the segment's end")?;
        let found = Reader::default().segment(part)?;
        let [picture] = &found.units[..] else { return Err(Fault::Damage("not exactly one picture by itself")) };
        let mut units = nal::annex_b(&picture.bytes).filter_map(avc::unit_type);
        let is_key = picture.random_access && units.any(|kind| kind == avc::IDR);
        if !is_key || picture.pts != wrapped(video.clock.ticks(shown.cast_signed())) {
            return Err(Fault::Damage("another picture than the one that is named"));
        }
        Ok(())
    }
}

/// The units of the stream of this kind, in order.
fn of(found: &Segment, kind: u8) -> impl Iterator<Item = &Pes> {
    let pid = found.streams.iter().find(|(_, it)| *it == kind).map(|(pid, _)| *pid);
    found.units.iter().filter(move |unit| Some(unit.pid) == pid)
}

impl Video<'_> {
    fn unit(&mut self, unit: &Pes, sample: &Sample) -> Result<(), Damage> {
        if unit.random_access != sample.read.sync {
            return Err("a picture that is marked as a key picture and is none, or the other way round");
        }
        if !is_near(unit.pts, sample.read.shown, self.clock) {
            return Err("a picture that is shown at another time");
        }
        // Decoding goes on: pictures that share a time are a tick apart, as far as they are not shown before that.
        let due = self.cursor.track.decoded(&sample.read);
        let follows = self.last.is_some_and(|last| between(last, unit.dts) == 1);
        if !(is_near(unit.dts, due, self.clock) || follows || unit.dts == unit.pts) {
            return Err("a picture that is decoded at another time");
        }
        self.last = Some(unit.dts);
        self.bytes(unit, sample)
    }

    /// A delimiter, before key pictures parameter sets, and the units of the sample.
    fn bytes(&self, unit: &Pes, sample: &Sample) -> Result<(), Damage> {
        let mut found = nal::annex_b(&unit.bytes);
        if found.next().and_then(avc::unit_type) != Some(avc::AUD) {
            return Err("a picture without a delimiter before it");
        }
        let found: Vec<&[u8]> = found.collect();
        let all = nal::length_prefixed(&sample.bytes, self.avc.length_size).collect::<Result<Vec<_>, _>>();
        let all = all.map_err(|_| "a sample that can't be read")?;
        let mut due: Vec<&[u8]> = all.into_iter().map(without_zeros).filter(|it| !it.is_empty()).collect();
        if due.first().copied().and_then(avc::unit_type) == Some(avc::AUD) {
            due.remove(0);
        }
        if sample.read.sync && !due.iter().any(|it| avc::unit_type(it) == Some(avc::SPS)) {
            due.splice(0..0, self.avc.sets.iter().map(|set| without_zeros(set)));
        }
        if found == due { Ok(()) } else { Err("a picture of other bytes") }
    }
}

/// A unit without zeros at its end, which no unit has but a byte stream may.
fn without_zeros(unit: &[u8]) -> &[u8] {
    let end = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &unit[..end]
}

impl Audio<'_> {
    fn unit(&mut self, unit: &Pes) -> Result<(), Fault> {
        let (mut rest, mut frames) = (&unit.bytes[..], 0_i64);
        while !rest.is_empty() {
            let (header, frame, behind) = adts(rest)?;
            let sample = self.cursor.next()?.ok_or("more sound than there is")?;
            if header != configured(&self.cursor.track.config) {
                return Err(Fault::Damage("sound that is told to be another kind"));
            }
            if frame != sample.bytes {
                return Err(Fault::Damage("sound of other bytes"));
            }
            // The first one's time is told; the others follow.
            let shown = sample.read.shown - frames * i64::from(sample.read.duration);
            if !is_near(unit.pts, shown, self.clock) || unit.dts != unit.pts {
                return Err(Fault::Damage("sound that is heard at another time"));
            }
            (rest, frames) = (behind, frames + 1);
        }
        if frames == 0 { Err(Fault::Damage("a packet of sound without any")) } else { Ok(()) }
    }
}

/// Whether `ticks` are `time`, to half a tick.
fn is_near(ticks: u64, time: i64, clock: Clock) -> bool {
    let exact = i128::from(time) * i128::from(RATE) + i128::from(clock.start) * i128::from(clock.timescale);
    let near = |ticks: i128| 2 * (ticks * i128::from(clock.timescale) - exact).abs() <= i128::from(clock.timescale);
    // Ticks come modulo 2^33: those near it are meant.
    let about = exact.div_euclid(i128::from(clock.timescale));
    let turns = (about - i128::from(ticks) + (1 << 32)).div_euclid(1 << 33);
    near(i128::from(ticks) + (turns << 33))
}

/// What an AudioSpecificConfig and an ADTS header both tell: profile, rate and channels.
type Kind = (u8, u8, u8);

fn configured(config: &[u8]) -> Option<Kind> {
    let &[a, b, ..] = config else { return None };
    Some(((a >> 3).checked_sub(1)?, (a & 7) << 1 | b >> 7, b >> 3 & 15))
}

/// What an ADTS header tells, the access unit behind it, and what follows that.
type Framed<'a> = (Option<Kind>, &'a [u8], &'a [u8]);

/// Takes an access unit with its ADTS header (ISO/IEC 14496-3, 1.A.3.2) from the front.
fn adts(bytes: &[u8]) -> Result<Framed<'_>, Damage> {
    let wrong = "sound without an ADTS header";
    let &[0xFF, 0xF1, c, d, e, f, g, ..] = bytes else { return Err(wrong) };
    let length = usize::from(d & 3) << 11 | usize::from(e) << 3 | usize::from(f) >> 5;
    let (frame, behind) = bytes.split_at_checked(length).filter(|_| length >= 7 && g & 3 == 0).ok_or(wrong)?;
    Ok((Some((c >> 6, c >> 2 & 15, (c & 1) << 2 | d >> 6)), &frame[7..], behind))
}
