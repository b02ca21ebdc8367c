//! VP9: the `VPCodecConfigurationRecord` ("VP Codec ISO Media File Format Binding"), its name and levels. Pure.

use crate::source::Color;
use crate::units::{BitRate, Ratio, Size};

/// The record, as the payload of `vpcC` behind version and flags: for 4:2:0 pictures of so many bits a sample.
pub fn record(depth: u8, level: u8, color: Color) -> Vec<u8> {
    let profile = if depth > 8 { 2 } else { 0 };
    // 4:2:0 with chroma on luma's lines or between them.
    let chroma = if matches!(color.chroma_location, 3 | 4) { 1 } else { 0 };
    let full_range = u8::from(color.full_range == Some(true));
    vec![profile, level, depth << 4 | chroma << 1 | full_range, color.primaries, color.transfer, color.matrix, 0, 0]
}

/// The codec as the binding names it, by its record; `None` if that is cut short.
pub fn name(record: &[u8]) -> Option<String> {
    let &[profile, level, format, primaries, transfer, matrix, ..] = record else { return None };
    let (depth, chroma, full_range) = (format >> 4, format >> 1 & 7, format & 1);
    Some(format!(
        "vp09.{profile:02}.{level:02}.{depth:02}.{chroma:02}.{primaries:02}.{transfer:02}.{matrix:02}.{full_range:02}"
    ))
}

/// Whether a sample is a key frame (VP9 Bitstream & Decoding Process Specification, 6.2). `None` where there is none.
pub fn is_key(sample: &[u8]) -> Option<bool> {
    let first = *sample.first()?;
    if first >> 6 != 2 {
        return None;
    }
    // frame_marker, the profile's two bits (and one more in profile 3), show_existing_frame, frame_type
    let after_profile = if first & 0b0011_0000 == 0b0011_0000 { 5 } else { 4 };
    let bit = |place: u32| first << place & 0x80 != 0;
    Some(!bit(after_profile) && !bit(after_profile + 1))
}

/// A level: ten times its number, luma samples a second and in a picture, and kilobits a second.
const LEVELS: [(u8, u64, u64, u64); 14] = [
    (10, 829_440, 36_864, 200),
    (11, 2_764_800, 73_728, 800),
    (20, 4_608_000, 122_880, 1_800),
    (21, 9_216_000, 245_760, 3_600),
    (30, 20_736_000, 552_960, 7_200),
    (31, 36_864_000, 983_040, 12_000),
    (40, 83_558_400, 2_228_224, 18_000),
    (41, 160_432_128, 2_228_224, 30_000),
    (50, 311_951_360, 8_912_896, 60_000),
    (51, 588_251_136, 8_912_896, 120_000),
    (52, 1_176_502_272, 8_912_896, 180_000),
    (60, 1_176_502_272, 35_651_584, 180_000),
    (61, 2_353_004_544, 35_651_584, 240_000),
    (62, 4_706_009_088, 35_651_584, 480_000),
];

/// Ten times the lowest level (VP9 Levels and Decoder Testing) that holds pictures of `size` at `frame_rate` under a cap of
/// `max_rate`; the highest there is where none holds them.
pub fn level_for(size: Size, frame_rate: Ratio, max_rate: BitRate) -> u8 {
    let samples = u64::from(size.width.next_multiple_of(8)) * u64::from(size.height.next_multiple_of(8));
    let per_second = (samples * u64::from(frame_rate.num())).div_ceil(u64::from(frame_rate.den()));
    let holds = |(_, second, picture, kilobits): &&(u8, u64, u64, u64)| {
        *second >= per_second && *picture >= samples && kilobits * 1000 >= max_rate.0
    };
    LEVELS.iter().find(holds).unwrap_or(&LEVELS[LEVELS.len() - 1]).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_profile_level_depth_and_colours() {
        let sdr = Color { primaries: 1, transfer: 1, matrix: 1, full_range: Some(false), chroma_location: 1 };
        assert_eq!(name(&record(8, 31, sdr)).unwrap(), "vp09.00.31.08.00.01.01.01.00");
        let pq = Color { primaries: 9, transfer: 16, matrix: 9, full_range: None, chroma_location: 3 };
        assert_eq!(name(&record(10, 51, pq)).unwrap(), "vp09.02.51.10.01.09.16.09.00");
        assert_eq!(name(&[0, 31]), None);
    }

    #[test]
    fn key_frames_are_told_from_inter_frames_and_frames_shown_again() {
        assert_eq!(is_key(&[0b1000_0010]), Some(true));
        assert_eq!(is_key(&[0b1000_0110]), Some(false));
        assert_eq!(is_key(&[0b1000_1000]), Some(false));
        assert_eq!(is_key(&[0b0100_0000]), None);
        assert_eq!(is_key(&[]), None);
    }

    #[test]
    fn the_usual_rungs_get_the_usual_levels() {
        let level =
            |width, height, fps| level_for(Size { width, height }, Ratio::new(fps, 1).unwrap(), BitRate(1_000_000));
        assert_eq!([level(854, 480, 30), level(1280, 720, 30), level(1920, 1080, 30)], [30, 31, 40]);
        assert_eq!([level(1920, 1080, 60), level(3840, 2160, 60)], [41, 51]);
    }
}
