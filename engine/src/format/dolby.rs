//! AC-3 and E-AC-3 (ETSI TS 102 366): what sync frames say of themselves, and the payloads of `dac3` and `dec3`. Pure; takes
//! any bytes.
//!
//! An access unit is what holds 1536 samples: one sync frame of AC-3; of E-AC-3 one of the only independent substream, and
//! those of the substreams that depend on it. Others are refused: programmes beside each other, and frames of fewer blocks.

use crate::ladder::AudioCodec;
use crate::nal::Bits;

/// The sampling frequencies of `fscod` (4.4.1.3).
const RATES: [u32; 3] = [48_000, 44_100, 32_000];
/// Kilobits a second of every second `frmsizecod` (table 4.13).
const KILOBITS: [u64; 19] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
/// Full-range channels of `acmod` (4.4.2.3).
const CHANNELS: [u16; 8] = [2, 1, 2, 3, 3, 4, 4, 5];
/// The same channels as `chanmap` has them (E.1.3.1.8).
const PLACES: [u16; 8] = [0xA000, 0x4000, 0xA000, 0xE000, 0xA100, 0xE100, 0xB800, 0xF800];
/// Those of `chanmap` that are two channels.
const PAIRS: u16 = 0x0674;
/// The bass in `chanmap`.
const BASS: u16 = 0x0001;
/// Samples of an access unit.
const SAMPLES: u64 = AudioCodec::Ac3.frame() as u64;

const CUT_OFF: &str = "its sync frames are cut off";

/// What an access unit says of the stream that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// [`AudioCodec::Ac3`] or [`AudioCodec::Eac3`].
    pub codec: AudioCodec,
    /// Samples a second.
    pub rate: u32,
    /// Number of channels, the bass among them.
    pub channels: u16,
    /// `acmod` (4.4.2.3): which channels there are but for the bass, of the independent substream.
    pub mode: u8,
    /// Whether there is a bass (`lfeon`) beside those.
    pub bass: bool,
    /// The payload of `dac3` (F.4) or `dec3` (F.6).
    pub config: Vec<u8>,
}

impl Stream {
    /// Whether access units of both can stand in one track: all but the bit rate is the same.
    pub fn is_like(&self, other: &Self) -> bool {
        let kind = |it: &Self| (it.codec, it.rate, it.channels, it.mode, it.bass);
        kind(self) == kind(other)
    }

    /// Number of channels without those of substreams that depend on the first.
    pub fn bed(&self) -> u16 {
        CHANNELS[usize::from(self.mode & 7)] + u16::from(self.bass)
    }
}

/// One sync frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    /// In bytes.
    size: usize,
    rate_code: u8,
    /// `bsid`.
    version: u8,
    /// `bsmod`.
    service: u8,
    /// `acmod`.
    mode: u8,
    bass: bool,
    kind: Kind,
}

/// What else it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ac3 {
        /// `bit_rate_code`.
        bit_rate: u8,
    },
    Eac3 {
        /// `chanmap` of a substream that depends on another.
        dependent: Option<u16>,
        /// How many objects the channels are a mix of (TS 103 420).
        objects: Option<u8>,
    },
}

/// The access unit that `packet` begins with: what it says, and its length in bytes.
///
/// # Errors
/// A clause that says why such access units can't be passed on.
pub fn unit(packet: &[u8]) -> Result<(Stream, usize), &'static str> {
    let first = Frame::read(packet)?;
    match first.kind {
        Kind::Ac3 { bit_rate } => Ok((first.ac3(bit_rate), first.size)),
        Kind::Eac3 { dependent: None, objects } => {
            let rest = Dependents::behind(&packet[first.size..])?;
            let size = first.size + rest.size;
            Ok((first.eac3(objects.or(rest.objects), rest, size)?, size))
        }
        Kind::Eac3 { dependent: Some(_), .. } => Err("it begins with a substream that depends on another"),
    }
}

/// How many objects the channels are a mix of (Dolby Atmos), by the payload of `dec3`; `None` where they are just channels.
pub fn objects(config: &[u8]) -> Option<u8> {
    let mut at = 2;
    for _ in 0..=config.get(1)? & 7 {
        at += if config.get(at + 2)? >> 1 & 15 > 0 { 4 } else { 3 };
    }
    let [flags, count, ..] = config.get(at..)? else { return None };
    (flags & 1 == 1).then_some(*count)
}

impl Frame {
    /// The one that `data` begins with, all of which has to be there.
    fn read(data: &[u8]) -> Result<Self, &'static str> {
        let &[0x0B, 0x77, _, _, _, fifth, ..] = data else { return Err("its packets are not sync frames") };
        let mut bits = Bits::new(&data[2..]);
        let frame = match fifth >> 3 {
            // Those below 8 are older, and such decoders' as well (annex E.2.3.1.6, 4.4.2.1).
            0..=8 => Self::read_ac3(&mut bits),
            11..=16 => Self::read_eac3(&mut bits)?,
            _ => return Err("its version is an unusual one"),
        };
        let frame = frame.ok_or(CUT_OFF)?;
        match frame.rate_code {
            3 => Err("its sample rate is an unusual one"),
            _ if frame.size > data.len() || frame.size < 7 => Err(CUT_OFF),
            _ => Ok(frame),
        }
    }

    /// `syncinfo` and `bsi` (4.3.1, 4.3.2), as far as needed.
    fn read_ac3(bits: &mut Bits<'_>) -> Option<Self> {
        bits.skip(16)?; // crc1
        let (rate_code, size_code) = (bits.small(2)?, bits.small(6)?);
        let (version, service, mode) = (bits.small(5)?, bits.small(3)?, bits.small(3)?);
        bits.skip(if mode & 1 == 1 && mode != 1 { 2 } else { 0 })?; // cmixlev
        bits.skip(if mode & 4 != 0 { 2 } else { 0 })?; // surmixlev
        bits.skip(if mode == 2 { 2 } else { 0 })?; // dsurmod
        let bass = bits.bit()? == 1;
        let kilobits = KILOBITS.get(usize::from(size_code >> 1))?;
        let rate = u64::from(RATES.get(usize::from(rate_code)).copied().unwrap_or(RATES[0]));
        let words = kilobits * 1000 * SAMPLES / rate / 16 + if rate == 44_100 { u64::from(size_code & 1) } else { 0 };
        let size = usize::try_from(2 * words).ok()?;
        Some(Self { size, rate_code, version, service, mode, bass, kind: Kind::Ac3 { bit_rate: size_code >> 1 } })
    }

    /// `bsi` of annex E (E.1.2.2). `None` where it is cut off.
    fn read_eac3(bits: &mut Bits<'_>) -> Result<Option<Self>, &'static str> {
        let head = |bits: &mut Bits<'_>| {
            Some((bits.small(2)?, bits.small(3)?, bits.bits(11)?, bits.small(2)?, bits.small(2)?))
        };
        let Some((kind, substream, words, rate_code, blocks)) = head(bits) else { return Ok(None) };
        if kind > 1 || (kind == 0 && substream > 0) {
            return Err("it holds several programmes");
        }
        if rate_code != 3 && blocks != 3 {
            return Err("its sync frames hold less than 1536 samples");
        }
        Ok(Self::read_rest(bits, kind == 1, rate_code, 2 * (words as usize + 1)))
    }

    fn read_rest(bits: &mut Bits<'_>, depends: bool, rate_code: u8, size: usize) -> Option<Self> {
        let (mode, bass, version) = (bits.small(3)?, bits.bit()? == 1, bits.small(5)?);
        for _ in 0..if mode == 0 { 2 } else { 1 } {
            bits.skip(5)?; // dialnorm
            bits.skip_if_told(8)?; // compr
        }
        let told = depends && bits.bit()? == 1;
        let chanmap = if told { bits.bits(16)? as u16 } else { PLACES[usize::from(mode)] };
        if bits.bit()? == 1 {
            skip_mixing(bits, mode, bass, depends)?;
        }
        let service = if bits.bit()? == 1 { service(bits, mode, rate_code)? } else { 0 };
        let objects = if bits.bit()? == 1 { additional(bits)? } else { None };
        let kind = Kind::Eac3 { dependent: depends.then_some(chanmap), objects };
        Some(Self { size, rate_code, version, service, mode, bass, kind })
    }

    fn rate(&self) -> u32 {
        RATES.get(usize::from(self.rate_code)).copied().unwrap_or(0)
    }

    fn channels(&self) -> u16 {
        CHANNELS[usize::from(self.mode)] + u16::from(self.bass)
    }

    fn ac3(&self, bit_rate: u8) -> Stream {
        let own = [(self.rate_code, 2), (self.version, 5), (self.service, 3), (self.mode, 3), (self.bass.into(), 1)];
        let config = packed(own.into_iter().chain([(bit_rate, 5), (0, 5)]));
        self.stream(AudioCodec::Ac3, self.channels(), config)
    }

    fn eac3(&self, objects: Option<u8>, dependents: Dependents, size: usize) -> Result<Stream, &'static str> {
        let kilobits = (size as u64 * 8 * u64::from(self.rate()) / SAMPLES).div_ceil(1000);
        // Behind the rate: one independent substream.
        let [high, low] = u16::try_from(kilobits << 3).map_err(|_| "its sync frames are too large")?.to_be_bytes();
        let own = [(self.rate_code, 2), (self.version, 5), (0, 1), (0, 1), (self.service, 3), (self.mode, 3)];
        let [place_high, place_low] = dependents.locations().to_be_bytes();
        let places = if dependents.count > 0 { [(place_high, 1), (place_low, 8)] } else { [(0, 1), (0, 0)] };
        let mut fields = vec![(high, 8), (low, 8)];
        fields.extend(own.into_iter().chain([(self.bass.into(), 1), (0, 3), (dependents.count, 4)]).chain(places));
        fields.extend(objects.into_iter().flat_map(|count| [(0, 7), (1, 1), (count, 8)]));
        let all = PLACES[usize::from(self.mode)] | if self.bass { BASS } else { 0 } | dependents.places;
        let counted = (all.count_ones() + (all & PAIRS).count_ones()) as u16;
        let channels = if dependents.count > 0 { counted } else { self.channels() };
        Ok(self.stream(AudioCodec::Eac3, channels, packed(fields)))
    }

    fn stream(&self, codec: AudioCodec, channels: u16, config: Vec<u8>) -> Stream {
        Stream { codec, rate: self.rate(), channels, mode: self.mode, bass: self.bass, config }
    }
}

/// The substreams that depend on the independent one.
#[derive(Clone, Copy, Debug, Default)]
struct Dependents {
    count: u8,
    /// Where their channels are, as in `chanmap`.
    places: u16,
    /// In bytes.
    size: usize,
    objects: Option<u8>,
}

impl Dependents {
    /// Those that `data` begins with.
    fn behind(mut data: &[u8]) -> Result<Self, &'static str> {
        let mut found = Self::default();
        while data.starts_with(&[0x0B, 0x77]) {
            let frame = Frame::read(data)?;
            let Kind::Eac3 { dependent: Some(places), objects } = frame.kind else {
                return Err("its packets hold several access units");
            };
            found.count += 1;
            if found.count > 8 {
                return Err("it has too many substreams");
            }
            found.places |= places;
            found.objects = found.objects.or(objects);
            found.size += frame.size;
            data = &data[frame.size..];
        }
        Ok(found)
    }

    /// `chan_loc` (F.6.2.13): the pair Lc/Rc in the lowest bit, and what follows it in `chanmap` above; then the second bass.
    fn locations(self) -> u16 {
        let bit = |place: u32| self.places >> (15 - place) & 1;
        (0..8).map(|at| bit(5 + at) << at).sum::<u16>() | bit(14) << 8
    }
}

/// `mixmdat` (E.1.2.2).
fn skip_mixing(bits: &mut Bits<'_>, mode: u8, bass: bool, depends: bool) -> Option<()> {
    bits.skip(if mode > 2 { 2 } else { 0 })?; // dmixmod
    bits.skip(if mode & 1 == 1 && mode > 2 { 6 } else { 0 })?; // levels of the centre
    bits.skip(if mode & 4 != 0 { 6 } else { 0 })?; // levels of the surround
    if bass {
        bits.skip_if_told(5)?; // lfemixlevcod
    }
    if depends {
        return Some(());
    }
    for _ in 0..if mode == 0 { 2 } else { 1 } {
        bits.skip_if_told(6)?; // pgmscl
    }
    bits.skip_if_told(6)?; // extpgmscl
    match bits.small(2)? {
        0 => {}
        1 => bits.skip(5)?,
        2 => bits.skip(12)?,
        _ => {
            let length = u32::from(bits.small(5)?);
            bits.skip(8 * (length + 2))?;
        }
    }
    for _ in 0..[2, 1, 0, 0, 0, 0, 0, 0][usize::from(mode)] {
        bits.skip_if_told(14)?; // panmean, paninfo
    }
    // frmmixcfginfoe: of six blocks each may have its own.
    for _ in 0..if bits.bit()? == 1 { 6 } else { 0 } {
        bits.skip_if_told(5)?;
    }
    Some(())
}

/// `infomdat` (E.1.2.2), of which the service is kept.
fn service(bits: &mut Bits<'_>, mode: u8, rate_code: u8) -> Option<u8> {
    let service = bits.small(3)?;
    bits.skip(2)?; // copyrightb, origbs
    bits.skip(if mode == 2 { 4 } else { 0 })?; // dsurmod, dheadphonmod
    bits.skip(if mode >= 6 { 2 } else { 0 })?; // dsurexmod
    for _ in 0..if mode == 0 { 2 } else { 1 } {
        bits.skip_if_told(8)?; // mixlevel, roomtyp, adconvtyp
    }
    bits.skip(if rate_code < 3 { 1 } else { 0 })?; // sourcefscod
    Some(service)
}

/// `addbsi`, and what it says of objects (TS 103 420 8.3).
fn additional(bits: &mut Bits<'_>) -> Option<Option<u8>> {
    let length = bits.small(6)? + 1;
    bits.skip(7)?;
    let is_told = bits.bit()? == 1 && length > 1;
    Some(if is_told { Some(bits.small(8)?) } else { None })
}

/// Numbers of so many bits each, the first in the highest bits.
fn packed(fields: impl IntoIterator<Item = (u8, u32)>) -> Vec<u8> {
    let (mut bytes, mut used) = (Vec::new(), 0_u32);
    for (value, width) in fields {
        for at in (0..width).rev() {
            if used % 8 == 0 {
                bytes.push(0);
            }
            if let Some(last) = bytes.last_mut() {
                *last |= (value >> at & 1) << (7 - used % 8);
            }
            used += 1;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sync frame of these fields, filled up to `size` bytes.
    fn frame(fields: &[(u16, u32)], size: usize) -> Vec<u8> {
        let bytes = |(value, width): &(u16, u32)| {
            let [high, low] = value.to_be_bytes();
            if *width > 8 { [(high, width - 8), (low, 8)] } else { [(0, 0), (low, *width)] }
        };
        let mut frame = packed([(0x0B, 8), (0x77, 8)].into_iter().chain(fields.iter().flat_map(bytes)));
        frame.resize(size, 0);
        frame
    }

    /// AC-3 in 5.1 at 48 kHz and 448 kb/s.
    fn ac3() -> Vec<u8> {
        frame(&[(0xABCD, 16), (0, 2), (30, 6), (8, 5), (0, 3), (7, 3), (0, 2), (0, 2), (1, 1)], 1792)
    }

    /// E-AC-3 in 5.1 of so many bytes; dependent with this map, and with these additional bytes.
    fn eac3(size: usize, map: Option<u16>, additional: &[u8]) -> Vec<u8> {
        eac3_with_bass(1, size, map, additional)
    }

    /// The same with this `lfeon`.
    fn eac3_with_bass(bass: u16, size: usize, map: Option<u16>, additional: &[u8]) -> Vec<u8> {
        let kind = u16::from(map.is_some());
        let mut fields =
            vec![(kind, 2), (0, 3), ((size / 2 - 1) as u16, 11), (0, 2), (3, 2), (7, 3), (bass, 1), (16, 5)];
        fields.extend([(31, 5), (0, 1)]);
        fields.extend(map.into_iter().flat_map(|map| [(1, 1), (map, 16)]));
        fields.extend([(0, 1), (0, 1), (u16::from(!additional.is_empty()), 1)]);
        if let Some(length) = additional.len().checked_sub(1) {
            fields.push((length as u16, 6));
        }
        fields.extend(additional.iter().map(|byte| (u16::from(*byte), 8)));
        frame(&fields, size)
    }

    #[test]
    fn a_frame_of_ac3_is_described_as_dac3_has_it() {
        let (stream, size) = unit(&ac3()).unwrap();
        assert_eq!((stream.codec, stream.rate, stream.channels, size), (AudioCodec::Ac3, 48_000, 6, 1792));
        assert_eq!(stream.config, [0x10, 0x3D, 0xE0]);
        assert_eq!(unit(&ac3()[..1791]), Err(CUT_OFF));
    }

    #[test]
    fn every_size_of_ac3_at_44100_hz_is_as_in_the_table() {
        // Words of the first and the last rows of table 4.13.
        for (code, words) in [(0, 69), (1, 70), (2, 87), (3, 88), (36, 1393), (37, 1394)] {
            let made = frame(&[(0, 16), (1, 2), (code, 6), (8, 5), (0, 3), (2, 3), (0, 2), (0, 1)], 2 * words);
            assert_eq!(unit(&made).unwrap().1, 2 * words, "{code}");
        }
    }

    #[test]
    fn substreams_that_depend_on_the_first_are_part_of_its_access_unit() {
        let seven = [eac3(1000, None, &[]), eac3(500, Some(0x1A00), &[])].concat();
        let (stream, size) = unit(&seven).unwrap();
        assert_eq!((stream.codec, stream.channels, size), (AudioCodec::Eac3, 8, 1500));
        // 375 kb/s, one substream, version 16, 5.1, one dependent at Lrs/Rrs.
        assert_eq!(stream.config, [0x0B, 0xB8, 0x20, 0x0F, 0x02, 0x02]);
        assert_eq!(objects(&stream.config), None);
        assert_eq!(
            unit(&eac3(500, Some(0x1A00), &[])).unwrap_err(),
            "it begins with a substream that depends on another"
        );
        let two = [eac3(1000, None, &[]), eac3(1000, None, &[])].concat();
        assert_eq!(unit(&two).unwrap_err(), "its packets hold several access units");
    }

    #[test]
    fn the_bed_is_the_first_substream_alone_with_its_bass_if_it_has_one() {
        for (bass, channels, bed) in [(0, 7, 5), (1, 8, 6)] {
            let seven = [eac3_with_bass(bass, 1000, None, &[]), eac3_with_bass(0, 500, Some(0x0200), &[])].concat();
            let (stream, _) = unit(&seven).unwrap();
            assert_eq!((stream.channels, stream.bed()), (channels, bed));
        }
    }

    #[test]
    fn objects_are_told_where_the_frames_tell_them() {
        let (stream, _) = unit(&eac3(1000, None, &[1, 16])).unwrap();
        assert_eq!(stream.config, [0x07, 0xD0, 0x20, 0x0F, 0x00, 0x01, 0x10]);
        assert_eq!((objects(&stream.config), stream.channels), (Some(16), 6));
        assert_eq!(objects(&stream.config[..5]), None);
        assert_eq!(objects(&[]), None);
    }

    #[test]
    fn what_is_no_sync_frame_or_an_unusual_one_is_refused() {
        assert!(unit(&[]).is_err() && unit(&[0x0B, 0x77]).is_err() && unit(&[0; 100]).is_err());
        let short = frame(&[(0, 2), (0, 3), (499, 11), (0, 2), (0, 2), (7, 3), (1, 1), (16, 5)], 1000);
        assert_eq!(unit(&short).unwrap_err(), "its sync frames hold less than 1536 samples");
        let second = frame(&[(0, 2), (1, 3), (499, 11), (0, 2), (3, 2), (7, 3), (1, 1), (16, 5)], 1000);
        assert_eq!(unit(&second).unwrap_err(), "it holds several programmes");
        let slow = frame(&[(0, 2), (0, 3), (499, 11), (3, 2), (0, 2), (7, 3), (1, 1), (16, 5)], 1000);
        assert_eq!(unit(&slow).unwrap_err(), "its sample rate is an unusual one");
    }
}
