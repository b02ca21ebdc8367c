//! The H.264 level of a rendition (ITU-T H.264, table A-1). Pure.
//!
//! x264 would choose one itself, but by what one chunk's rate control is told, which differs from chunk to chunk;
//! the sequence parameter sets of a rendition must not.

use crate::units::{BitRate, Ratio, Size};

/// Reference frames that a level must have room for: x264's `medium` uses four.
const REFERENCE_FRAMES: u64 = 4;

/// Factor of the High profile on the rate and buffer of table A-1 (table A-2), in bits.
const HIGH_PROFILE: u64 = 1250;

/// One row of table A-1.
struct Level {
    idc: u8,
    macroblocks_per_second: u64,
    frame_macroblocks: u64,
    buffered_macroblocks: u64,
    rate: u64,
    buffer: u64,
}

const fn level(idc: u8, per_second: u64, frame: u64, buffered: u64, rate: u64, buffer: u64) -> Level {
    Level {
        idc,
        macroblocks_per_second: per_second,
        frame_macroblocks: frame,
        buffered_macroblocks: buffered,
        rate,
        buffer,
    }
}

const LEVELS: [Level; 19] = [
    level(10, 1_485, 99, 396, 64, 175),
    level(11, 3_000, 396, 900, 192, 500),
    level(12, 6_000, 396, 2_376, 384, 1_000),
    level(13, 11_880, 396, 2_376, 768, 2_000),
    level(20, 11_880, 396, 2_376, 2_000, 2_000),
    level(21, 19_800, 792, 4_752, 4_000, 4_000),
    level(22, 20_250, 1_620, 8_100, 4_000, 4_000),
    level(30, 40_500, 1_620, 8_100, 10_000, 10_000),
    level(31, 108_000, 3_600, 18_000, 14_000, 14_000),
    level(32, 216_000, 5_120, 20_480, 20_000, 20_000),
    level(40, 245_760, 8_192, 32_768, 20_000, 25_000),
    level(41, 245_760, 8_192, 32_768, 50_000, 62_500),
    level(42, 522_240, 8_704, 34_816, 50_000, 62_500),
    level(50, 589_824, 22_080, 110_400, 135_000, 135_000),
    level(51, 983_040, 36_864, 184_320, 240_000, 240_000),
    level(52, 2_073_600, 36_864, 184_320, 240_000, 240_000),
    level(60, 4_177_920, 139_264, 696_320, 240_000, 240_000),
    level(61, 8_355_840, 139_264, 696_320, 480_000, 480_000),
    level(62, 16_711_680, 139_264, 696_320, 800_000, 800_000),
];

/// `level_idc` of the lowest level that holds High-profile pictures of `size` at `frame_rate` under a cap of
/// `max_rate` and a buffer of `buffer_bits`; the highest there is where none holds them.
pub fn level_for(size: Size, frame_rate: Ratio, max_rate: BitRate, buffer_bits: u64) -> u8 {
    let (columns, rows) = (u64::from(size.width.div_ceil(16)), u64::from(size.height.div_ceil(16)));
    let frame = columns * rows;
    let per_second = (frame * u64::from(frame_rate.num())).div_ceil(u64::from(frame_rate.den()));
    let holds = |level: &&Level| {
        level.macroblocks_per_second >= per_second
            && level.frame_macroblocks >= frame
            && level.frame_macroblocks * 8 >= columns.max(rows).pow(2)
            && level.buffered_macroblocks >= frame * REFERENCE_FRAMES
            && level.rate * HIGH_PROFILE >= max_rate.0
            && level.buffer * HIGH_PROFILE >= buffer_bits
    };
    LEVELS.iter().find(holds).unwrap_or(&LEVELS[LEVELS.len() - 1]).idc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(width: u32, height: u32, fps: u32, rate: u64) -> u8 {
        level_for(Size { width, height }, Ratio::new(fps, 1).unwrap(), BitRate(rate), 2 * rate)
    }

    #[test]
    fn the_usual_rungs_get_the_levels_that_x264_gives_them() {
        assert_eq!(level(854, 480, 24, 800_000), 30);
        assert_eq!(level(854, 480, 30, 800_000), 31);
        assert_eq!(level(1280, 720, 30, 2_500_000), 31);
        assert_eq!(level(1280, 720, 60, 2_500_000), 32);
        assert_eq!(level(1920, 1080, 30, 5_000_000), 40);
        assert_eq!(level(1920, 1080, 60, 5_000_000), 42);
        assert_eq!(level(3840, 2160, 30, 25_000_000), 51);
    }

    #[test]
    fn rate_shape_and_excess_raise_the_level() {
        assert_eq!(level(320, 240, 10, 100_000), 12);
        assert_eq!(level(320, 240, 10, 5_000_000), 30);
        assert_eq!(level(16, 4000, 25, 100_000), 40);
        assert_eq!(level(16_384, 16_384, 120, 1_000_000), 62);
    }
}
