//! H.265: the `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 8.3.3.1), its name (annex E) and levels. Pure.

use std::fmt::Write as _;

use crate::nal::{self, Bits, Error, hevc};
use crate::units::{BitRate, Ratio, Size};

/// The record for samples with lengths of four bytes. Parameter sets stand in it alone (`hvc1`), and so does what the
/// headers say once of the whole stream (the mastering display, say).
///
/// # Errors
/// [`Error::ParameterSet`] when a parameter set is missing or can't be read; [`Error::TooLong`] when one exceeds 64 KiB.
pub fn record<'a>(units: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Error> {
    let mut arrays: [(u8, Vec<&[u8]>); 4] =
        [hevc::VPS, hevc::SPS, hevc::PPS, hevc::PREFIX_SEI].map(|kind| (kind, Vec::new()));
    for unit in units {
        let array = arrays.iter_mut().find(|(kind, _)| hevc::unit_type(unit) == Some(*kind));
        if let Some((_, array)) = array.filter(|(_, array)| !array.contains(&unit)) {
            array.push(unit);
        }
    }
    for ((_, array), name) in arrays.iter().zip(["video", "sequence", "picture"]) {
        if array.is_empty() {
            return Err(Error::ParameterSet(match name {
                "video" => "video parameter set",
                "sequence" => "sequence parameter set",
                _ => "picture parameter set",
            }));
        }
    }
    let facts = arrays[1].1.first().and_then(|unit| Sps::read(unit));
    let facts = facts.ok_or(Error::ParameterSet("sequence parameter set"))?;
    let mut record = vec![1];
    record.extend_from_slice(&facts.general);
    // No spatial segmentation, no kind of parallelism promised; the frame rate is not told.
    record.extend_from_slice(&[0xF0, 0, 0xFC]);
    record.extend_from_slice(&[0xFC | facts.chroma_format, 0xF8 | facts.luma_minus8, 0xF8 | facts.chroma_minus8, 0, 0]);
    record.push(facts.sub_layers << 3 | facts.nested << 2 | 3);
    let told: Vec<_> = arrays.iter().filter(|(_, array)| !array.is_empty()).collect();
    record.push(told.len() as u8);
    for (kind, array) in told {
        // Complete as parameter sets have to be; messages come with the samples, too (8.3.3.1.3).
        let is_complete = u8::from(*kind != hevc::PREFIX_SEI);
        record.push(is_complete << 7 | kind);
        let count = u16::try_from(array.len()).map_err(|_| Error::TooLong(array.len()))?;
        record.extend_from_slice(&count.to_be_bytes());
        for unit in array {
            let length = u16::try_from(unit.len()).map_err(|_| Error::TooLong(unit.len()))?;
            record.extend_from_slice(&length.to_be_bytes());
            record.extend_from_slice(unit);
        }
    }
    Ok(record)
}

/// The codec as annex E of ISO/IEC 14496-15 names it, by its record; `None` if that is cut short.
pub fn name(record: &[u8]) -> Option<String> {
    let (&[_, profile, c0, c1, c2, c3, ref constraints @ .., level], _) = record.split_first_chunk::<13>()?;
    let space = ["", "A", "B", "C"][usize::from(profile >> 6)];
    let compatibility = u32::from_be_bytes([c0, c1, c2, c3]).reverse_bits();
    let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
    let mut name = format!("hvc1.{space}{}.{compatibility:X}.{tier}{level}", profile & 31);
    let told = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    for byte in &constraints[..told] {
        // Writing to a string cannot fail.
        let _ = write!(name, ".{byte:X}");
    }
    Some(name)
}

/// What the record repeats of a sequence parameter set.
struct Sps {
    /// Profile, compatibility, constraints and level (ITU-T H.265, 7.3.3).
    general: [u8; 12],
    sub_layers: u8,
    nested: u8,
    chroma_format: u8,
    luma_minus8: u8,
    chroma_minus8: u8,
}

impl Sps {
    /// ITU-T H.265, 7.3.2.2.1, up to `bit_depth_chroma_minus8`.
    fn read(unit: &[u8]) -> Option<Self> {
        let payload = nal::unescaped(unit);
        let mut bits = Bits::new(payload.get(2..)?);
        let _video_parameter_set = bits.bits(4)?;
        let more_layers = u8::try_from(bits.bits(3)?).ok()?;
        let nested = u8::try_from(bits.bit()?).ok()?;
        let general: [u8; 12] = payload.get(3..15)?.try_into().ok()?;
        bits.bits(64)?;
        bits.bits(32)?;
        let layers: Vec<(u64, u64)> =
            (0..more_layers).map(|_| Some((bits.bits(1)?, bits.bits(1)?))).collect::<Option<_>>()?;
        if more_layers > 0 {
            bits.bits(2 * (8 - u32::from(more_layers)))?;
        }
        for (profile, level) in layers {
            bits.bits(if profile == 1 { 44 } else { 0 })?;
            bits.bits(if profile == 1 { 44 } else { 0 })?;
            bits.bits(if level == 1 { 8 } else { 0 })?;
        }
        let _id = bits.exp_golomb()?;
        let chroma_format = bits.exp_golomb().filter(|&format| format <= 3)?;
        if chroma_format == 3 {
            bits.bit()?;
        }
        let (_width, _height) = (bits.exp_golomb()?, bits.exp_golomb()?);
        if bits.bit()? == 1 {
            for _ in 0..4 {
                bits.exp_golomb()?;
            }
        }
        let luma = bits.exp_golomb().filter(|&depth| depth <= 7)?;
        let chroma = bits.exp_golomb().filter(|&depth| depth <= 7)?;
        Some(Self {
            general,
            sub_layers: more_layers + 1,
            nested,
            chroma_format: u8::try_from(chroma_format).ok()?,
            luma_minus8: u8::try_from(luma).ok()?,
            chroma_minus8: u8::try_from(chroma).ok()?,
        })
    }
}

/// A level: thirty times its number, samples in a picture, samples a second, kilobits a second and of the buffer.
const LEVELS: [(u8, u64, u64, u64); 13] = [
    (30, 36_864, 552_960, 128),
    (60, 122_880, 3_686_400, 1_500),
    (63, 245_760, 7_372_800, 3_000),
    (90, 552_960, 16_588_800, 6_000),
    (93, 983_040, 33_177_600, 10_000),
    (120, 2_228_224, 66_846_720, 12_000),
    (123, 2_228_224, 133_693_440, 20_000),
    (150, 8_912_896, 267_386_880, 25_000),
    (153, 8_912_896, 534_773_760, 40_000),
    (156, 8_912_896, 1_069_547_520, 60_000),
    (180, 35_651_584, 1_069_547_520, 60_000),
    (183, 35_651_584, 2_139_095_040, 120_000),
    (186, 35_651_584, 4_278_190_080, 240_000),
];

/// `general_level_idc` of the lowest level of the main tier (ITU-T H.265, tables A.8 and A.9) that holds pictures of `size`
/// at `frame_rate` under a cap of `max_rate` and a buffer of `buffer_bits`; the highest there is where none holds them.
pub fn level_for(size: Size, frame_rate: Ratio, max_rate: BitRate, buffer_bits: u64) -> u8 {
    let (width, height) = (u64::from(size.width.next_multiple_of(8)), u64::from(size.height.next_multiple_of(8)));
    let samples = width * height;
    let per_second = (samples * u64::from(frame_rate.num())).div_ceil(u64::from(frame_rate.den()));
    let holds = |(_, picture, second, kilobits): &&(u8, u64, u64, u64)| {
        *picture >= samples
            && *second >= per_second
            && 8 * picture >= width.max(height).pow(2)
            && kilobits * 1000 >= max_rate.0
            && kilobits * 1000 >= buffer_bits
    };
    LEVELS.iter().find(holds).unwrap_or(&LEVELS[LEVELS.len() - 1]).0
}

#[cfg(test)]
mod tests {
    use super::*;

    const VPS: [u8; 3] = [32 << 1, 1, 0x0C];
    const PPS: [u8; 3] = [34 << 1, 1, 0xC1];

    /// Main profile, level 3.1: one layer, nested; set 0, 4:2:0, 64x64, no cropping, 8 bits.
    fn sps() -> Vec<u8> {
        let mut unit = vec![33 << 1, 1, 0x01, 0x01, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 93];
        // id ue(0)=1, chroma ue(1)=010, 64 = 0000001000001, 64 again, no window 0, depth 1, depth 1
        unit.extend_from_slice(&[0b1010_0000, 0b0010_0000, 0b1000_0001, 0b0000_0101, 0b1000_0000]);
        unit
    }

    #[test]
    fn the_record_repeats_profile_level_and_format_and_holds_all_sets() {
        let record = record([&VPS[..], &sps(), &PPS, &PPS]).unwrap();
        assert_eq!(record[..13], [1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 93]);
        assert_eq!(record[13..23], [0xF0, 0, 0xFC, 0xFD, 0xF8, 0xF8, 0, 0, 0b0000_1111, 3]);
        assert_eq!(record[23..31], [0xA0, 0, 1, 0, 3, VPS[0], VPS[1], VPS[2]]);
        assert_eq!(name(&record).unwrap(), "hvc1.1.6.L93.90");
        assert_eq!(name(&record[..12]), None);
    }

    #[test]
    fn parameter_sets_are_all_in_the_record_and_messages_may_be_elsewhere_too() {
        let message = [hevc::PREFIX_SEI << 1, 1, 137, 0, 0x80];
        let record = record([&VPS[..], &sps(), &PPS, &message]).unwrap();
        let (mut arrays, mut rest) = (Vec::new(), &record[23..]);
        while let [head, _, 1, high, low, ..] = rest {
            arrays.push(*head);
            rest = &rest[5 + usize::from(u16::from_be_bytes([*high, *low]))..];
        }
        assert_eq!(arrays, [0x80 | 32, 0x80 | 33, 0x80 | 34, hevc::PREFIX_SEI]);
    }

    #[test]
    fn a_missing_or_cut_off_set_is_refused() {
        assert_eq!(record([&VPS[..], &PPS]), Err(Error::ParameterSet("sequence parameter set")));
        assert_eq!(record([&sps()[..], &PPS]), Err(Error::ParameterSet("video parameter set")));
        assert!((0..sps().len() - 1).all(|end| record([&VPS[..], &sps()[..end], &PPS]).is_err()));
    }

    #[test]
    fn the_usual_rungs_get_the_usual_levels() {
        let level = |width, height, fps, rate: u64| {
            level_for(Size { width, height }, Ratio::new(fps, 1).unwrap(), BitRate(rate), 2 * rate)
        };
        assert_eq!(level(854, 480, 30, 600_000), 90);
        assert_eq!(level(1280, 720, 30, 1_900_000), 93);
        assert_eq!(level(1920, 1080, 30, 3_800_000), 120);
        assert_eq!(level(3840, 2160, 60, 18_000_000), 153);
    }
}
