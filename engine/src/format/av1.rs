//! AV1: temporal units as samples, the `AV1CodecConfigurationRecord` and its name ("AV1 Codec ISO Media File Format
//! Binding"). It looks into a sequence header only as far as that record needs. Pure.

use crate::nal::Bits;

/// `obu_type` (AV1 Bitstream & Decoding Process Specification, 6.2.2).
mod obu {
    pub(super) const SEQUENCE_HEADER: u8 = 1;
    pub(super) const TEMPORAL_DELIMITER: u8 = 2;
    pub(super) const FRAME_HEADER: u8 = 3;
    pub(super) const METADATA: u8 = 5;
    pub(super) const FRAME: u8 = 6;
    pub(super) const PADDING: u8 = 15;
}

/// The bytes are no temporal unit, or no sequence header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("AV1 data that can't be read: {0}")]
pub struct Error(&'static str);

/// An open bitstream unit: all its bytes, and its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Obu<'a> {
    kind: u8,
    whole: &'a [u8],
    payload: &'a [u8],
}

/// The units of a temporal unit (low-overhead format, 5.2). After an error there is nothing more.
struct Obus<'a>(&'a [u8]);

impl<'a> Iterator for Obus<'a> {
    type Item = Result<Obu<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let taken = take(self.0).ok_or(Error("a unit is longer than the data that holds it"));
        self.0 = taken.as_ref().map_or(&[], |(_, rest)| rest);
        Some(taken.map(|(unit, _)| unit))
    }
}

fn take(bytes: &[u8]) -> Option<(Obu<'_>, &[u8])> {
    let header = *bytes.first()?;
    let after_header = 1 + usize::from(header >> 2 & 1);
    let (start, length) = match header >> 1 & 1 {
        0 => (after_header, bytes.len().checked_sub(after_header)?),
        _ => {
            let (length, size) = leb128(bytes.get(after_header..)?)?;
            (after_header + size, length)
        }
    };
    let end = start.checked_add(length)?;
    let payload = bytes.get(start..end)?;
    Some((Obu { kind: header >> 3 & 15, whole: &bytes[..end], payload }, &bytes[end..]))
}

/// Hands the payloads of the units of metadata (5.8) to `sink`, up to the first unit that can't be read.
pub(crate) fn each_metadata(sample: &[u8], sink: &mut dyn FnMut(&[u8])) {
    let units = Obus(sample).map_while(Result::ok);
    units.filter(|unit| unit.kind == obu::METADATA).for_each(|unit| sink(unit.payload));
}

/// A sample with a unit of metadata (5.8), whose payload with its trailing bits is told, in front of the frame that it
/// shows, which is its last (7.5): decoders take it for the next frame's.
///
/// # Errors
/// It has no frame, or can't be read.
pub(super) fn with_metadata(sample: &[u8], payload: &[u8]) -> Result<Vec<u8>, Error> {
    const HAS_SIZE: u8 = 2;
    let units: Vec<Obu<'_>> = Obus(sample).collect::<Result<_, _>>()?;
    let is_frame = |unit: &Obu<'_>| matches!(unit.kind, obu::FRAME_HEADER | obu::FRAME);
    let shown = units.iter().rposition(is_frame).ok_or(Error("no frame in it"))?;
    let (before, after) = units.split_at(shown);
    let mut out = Vec::with_capacity(sample.len() + payload.len() + 4);
    before.iter().for_each(|unit| out.extend_from_slice(unit.whole));
    out.push(obu::METADATA << 3 | HAS_SIZE);
    let mut size = payload.len();
    while size > 0x7F {
        out.push((size & 0x7F) as u8 | 0x80);
        size >>= 7;
    }
    out.push(size as u8);
    out.extend_from_slice(payload);
    after.iter().for_each(|unit| out.extend_from_slice(unit.whole));
    Ok(out)
}

/// A number and how many bytes it takes (4.10.5).
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok().filter(|_| value <= u32::MAX.into())?, at + 1));
        }
    }
    None
}

/// Appends a temporal unit to `sample` as files store it: without temporal delimiters and padding (2.4 of the binding).
/// Says whether decoding can start with it.
///
/// # Errors
/// When the units can't be told apart.
pub fn write_sample(unit: &[u8], sample: &mut Vec<u8>) -> Result<bool, Error> {
    let from = sample.len();
    for obu in Obus(unit) {
        let obu = obu?;
        if !matches!(obu.kind, obu::TEMPORAL_DELIMITER | obu::PADDING) {
            sample.extend_from_slice(obu.whole);
        }
    }
    is_key(&sample[from..]).ok_or(Error("a temporal unit without a frame"))
}

/// Whether a sample is a key frame that is shown, with its sequence header before it (2.5 of the binding). `None` where
/// no frame can be found.
pub fn is_key(sample: &[u8]) -> Option<bool> {
    let mut has_header = false;
    for obu in Obus(sample) {
        let obu = obu.ok()?;
        match obu.kind {
            obu::SEQUENCE_HEADER => has_header = true,
            // show_existing_frame, frame_type, show_frame (5.9.2)
            obu::FRAME_HEADER | obu::FRAME => {
                return Some(has_header && obu.payload.first()? & 0b1111_0000 == 0b0001_0000);
            }
            _ => {}
        }
    }
    None
}

/// The record for the stream whose headers are given (a sequence header and what belongs to it).
///
/// # Errors
/// When there is no sequence header, or it can't be read.
pub fn record(headers: &[u8]) -> Result<Vec<u8>, Error> {
    let missing = Error("no sequence header");
    let mut units = Obus(headers).map_while(Result::ok);
    let header = units.find(|obu| obu.kind == obu::SEQUENCE_HEADER).ok_or(missing)?;
    let facts = Sequence::read(header.payload).ok_or(Error("a sequence header that is cut off"))?;
    let flag = |set: bool, place: u8| u8::from(set) << place;
    let mut record = vec![0x81, facts.profile << 5 | facts.level];
    record.push(
        flag(facts.high_tier, 7)
            | flag(facts.depth > 8, 6)
            | flag(facts.depth > 10, 5)
            | flag(facts.monochrome, 4)
            | flag(facts.subsampled.0, 3)
            | flag(facts.subsampled.1, 2)
            | facts.chroma_position,
    );
    record.push(0);
    record.extend_from_slice(header.whole);
    Ok(record)
}

/// The codec as section 5 of the binding names it, by its record: profile, level, tier and depth, and what is left out where
/// all of it is as players take it to be then: 4:2:0 in the colours of BT.709, in limited range. Colours that nobody
/// tells are taken for these, too. `None` if the record is cut short.
pub fn name(record: &[u8]) -> Option<String> {
    let &[_, profile, format, _, ref header @ ..] = record else { return None };
    let tier = if format & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match format >> 5 & 3 {
        0 => 8,
        2 => 10,
        _ => 12,
    };
    let mut name = format!("av01.{}.{:02}{tier}.{depth:02}", profile >> 5, profile & 31);
    let header = Obus(header).map_while(Result::ok).find(|obu| obu.kind == obu::SEQUENCE_HEADER);
    if let Some(facts) = header.and_then(|header| Sequence::read(header.payload)).filter(|facts| !facts.is_usual()) {
        let Sequence { monochrome, subsampled: (across, down), color: (primaries, transfer, matrix), .. } = facts;
        let [monochrome, across, down, full] = [monochrome, across, down, facts.full_range].map(u8::from);
        let position = facts.chroma_position;
        let chroma = format!("{monochrome}.{across}{down}{position}");
        name += &format!(".{chroma}.{primaries:02}.{transfer:02}.{matrix:02}.{full}");
    }
    Some(name)
}

/// What the record repeats of a sequence header.
#[derive(Debug, PartialEq)]
struct Sequence {
    profile: u8,
    level: u8,
    high_tier: bool,
    depth: u8,
    monochrome: bool,
    subsampled: (bool, bool),
    chroma_position: u8,
    /// Primaries, transfer function and matrix (ITU-T H.273).
    color: (u64, u64, u64),
    full_range: bool,
}

impl Sequence {
    /// Whether it is what a name without the optional fields says. Where chroma lies within 4:2:0 no player minds.
    fn is_usual(&self) -> bool {
        let is_usual = |code| matches!(code, 1 | 2);
        let (primaries, transfer, matrix) = self.color;
        let colors = is_usual(primaries) && is_usual(transfer) && is_usual(matrix) && !self.full_range;
        colors && !self.monochrome && self.subsampled == (true, true)
    }

    /// `sequence_header_obu` (5.5.1), up to `color_config` (5.5.2).
    fn read(payload: &[u8]) -> Option<Self> {
        let bits = &mut Bits::new(payload);
        let profile = bits.bits(3)?;
        let _still_picture = bits.bit()?;
        let is_reduced = bits.bit()? == 1;
        let (level, high_tier) = if is_reduced { (bits.bits(5)?, false) } else { operating_points(bits)? };
        let (width_bits, height_bits) = (bits.bits(4)? + 1, bits.bits(4)? + 1);
        bits.bits(width_bits as u32)?;
        bits.bits(height_bits as u32)?;
        if !is_reduced && bits.bit()? == 1 {
            bits.bits(4 + 3)?;
        }
        bits.bits(3)?;
        if !is_reduced {
            tools(bits)?;
        }
        bits.bits(3)?;
        let is_deep = bits.bit()? == 1;
        let depth = match (profile, is_deep) {
            (2, true) if bits.bit()? == 1 => 12,
            (_, true) => 10,
            (_, false) => 8,
        };
        let monochrome = profile != 1 && bits.bit()? == 1;
        let color = if bits.bit()? == 1 { (bits.bits(8)?, bits.bits(8)?, bits.bits(8)?) } else { (2, 2, 2) };
        let mut facts = Self {
            profile: u8::try_from(profile).ok()?,
            level: u8::try_from(level).ok()?,
            high_tier,
            depth,
            monochrome,
            subsampled: (true, true),
            chroma_position: 0,
            color,
            full_range: true,
        };
        if !monochrome && color == (1, 13, 0) {
            return Some(Self { subsampled: (false, false), ..facts });
        }
        facts.full_range = bits.bit()? == 1;
        if monochrome {
            return Some(facts);
        }
        facts.subsampled = match (profile, depth) {
            (0, _) => (true, true),
            (1, _) => (false, false),
            (_, 12) => {
                let across = bits.bit()? == 1;
                (across, across && bits.bit()? == 1)
            }
            _ => (true, false),
        };
        if facts.subsampled == (true, true) {
            facts.chroma_position = u8::try_from(bits.bits(2)?).ok()?;
        }
        Some(facts)
    }
}

/// Timing and operating points; level and tier of the first.
fn operating_points(bits: &mut Bits<'_>) -> Option<(u64, bool)> {
    let mut delay_bits = None;
    if bits.bit()? == 1 {
        bits.bits(64)?;
        if bits.bit()? == 1 {
            bits.exp_golomb()?; // uvlc (4.10.3) is coded as ue(v) is
        }
        if bits.bit()? == 1 {
            delay_bits = Some(bits.bits(5)? as u32 + 1);
            bits.bits(32 + 5 + 5)?;
        }
    }
    let tells_display_delay = bits.bit()? == 1;
    let count = bits.bits(5)? + 1;
    let mut first = None;
    for _ in 0..count {
        bits.bits(12)?;
        let level = bits.bits(5)?;
        let high_tier = level > 7 && bits.bit()? == 1;
        if let Some(size) = delay_bits
            && bits.bit()? == 1
        {
            bits.bits(size)?;
            bits.bits(size)?;
            bits.bit()?;
        }
        if tells_display_delay && bits.bit()? == 1 {
            bits.bits(4)?;
        }
        first = first.or(Some((level, high_tier)));
    }
    first
}

/// The coding tools that a header lists unless it is reduced.
fn tools(bits: &mut Bits<'_>) -> Option<()> {
    bits.bits(4)?;
    let has_order_hint = bits.bit()? == 1;
    if has_order_hint {
        bits.bits(2)?;
    }
    let screen_tools = if bits.bit()? == 1 { 2 } else { bits.bits(1)? };
    if screen_tools > 0 && bits.bit()? == 0 {
        bits.bit()?;
    }
    if has_order_hint {
        bits.bits(3)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By SVT-AV1 for 1280x720 at 24 frames a second in 8 bits.
    const HEADERS: [u8; 13] = [0x0A, 0x0B, 0, 0, 0, 0x2D, 0x4C, 0xFF, 0xB3, 0xC0, 0x21, 0x00, 0x04];

    #[test]
    fn delimiters_are_left_out_of_samples_and_key_frames_are_known() {
        let frame = [6 << 3 | 2, 2, 0b0001_0000, 7];
        let unit = [&[2 << 3 | 2, 0][..], &HEADERS, &frame].concat();
        let mut sample = Vec::new();
        assert_eq!(write_sample(&unit, &mut sample), Ok(true));
        assert_eq!(sample, [&HEADERS[..], &frame].concat());
        assert_eq!(is_key(&frame), Some(false), "no header before it");
        assert_eq!(is_key(&[&HEADERS[..], &[6 << 3 | 2, 1, 0b0011_0000]].concat()), Some(false), "an inter frame");
        assert_eq!(is_key(&[&HEADERS[..], &[3 << 3 | 2, 1, 0b1000_0000]].concat()), Some(false), "an old frame, shown");
        assert_eq!(is_key(&[]), None);
        assert!(write_sample(&[6 << 3 | 2, 9, 0], &mut Vec::new()).is_err());
    }

    /// A record whose sequence header ends with these fields: each a number and its bits.
    fn record_of(depth: u64, monochrome: u64, colors: &[(u64, u32)]) -> Vec<u8> {
        // A reduced header of profile 0, level 8, and a size of one bit each; no tools.
        let head = [(0, 3), (1, 1), (1, 1), (8, 5), (0, 4), (0, 4), (0, 1), (0, 1), (0, 3), (0, 3)];
        let fields = head.iter().copied().chain([(u64::from(depth > 8), 1), (monochrome, 1)]).chain(colors.to_vec());
        let bits: Vec<u8> =
            fields.flat_map(|(value, width)| (0..width).rev().map(move |at| (value >> at & 1) as u8)).collect();
        let payload: Vec<u8> =
            bits.chunks(8).map(|byte| byte.iter().enumerate().map(|(at, bit)| bit << (7 - at)).sum()).collect();
        record(&[&[0x0A, payload.len() as u8][..], &payload].concat()).unwrap()
    }

    #[test]
    fn a_name_tells_colours_that_are_not_the_usual_ones() {
        let of = |depth, monochrome, colors: &[_]| name(&record_of(depth, monochrome, colors)).unwrap();
        let told = |colors: [u64; 3]| [(1, 1), (colors[0], 8), (colors[1], 8), (colors[2], 8)];
        assert_eq!(of(8, 0, &[(0, 1), (0, 1), (0, 2)]), "av01.0.08M.08", "nothing is told");
        assert_eq!(of(8, 0, &[&told([1, 1, 1])[..], &[(0, 1), (1, 2)]].concat()), "av01.0.08M.08");
        assert_eq!(of(10, 0, &[&told([9, 16, 9])[..], &[(0, 1), (2, 2)]].concat()), "av01.0.08M.10.0.112.09.16.09.0");
        assert_eq!(of(8, 0, &[&told([1, 1, 1])[..], &[(1, 1), (0, 2)]].concat()), "av01.0.08M.08.0.110.01.01.01.1");
        assert_eq!(of(8, 1, &[(0, 1), (0, 1)]), "av01.0.08M.08.1.110.02.02.02.0");
        assert_eq!(name(&record(&HEADERS).unwrap()).unwrap(), "av01.0.05M.08");
    }

    #[test]
    fn a_stream_without_a_whole_sequence_header_is_refused() {
        assert!(record(&[]).is_err());
        assert!(record(&[0x0A, 1, 0]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = (record(&bytes), is_key(&bytes), write_sample(&bytes, &mut Vec::new()), name(&bytes));
            let _ = record(&[&[0x0A, bytes.len() as u8][..], &bytes].concat());
        }
    }
}
