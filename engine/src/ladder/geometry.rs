//! Sizes and shapes: what a source looks like on a screen, and the even sizes that show the same shape.

use crate::source::VideoInfo;
use crate::units::{Ratio, Size, gcd};

/// How far (0.5 %) rounding to even sizes may bend the picture before the output signals the bend.
const TOLERATED_BEND: f64 = 0.005;

/// The largest numerator and denominator of a sample aspect ratio (Rec. ITU-T H.264, E.1.1: `sar_width` is `u(16)`).
const SAR_LIMIT: u64 = 65_535;

/// The size of the source's first picture on a screen with square pixels: its height is kept, its width
/// stretched by the sample aspect ratio, and both change places where the picture is turned on its side.
pub fn display_size(video: &VideoInfo) -> Size {
    let stretched = div_round(
        u64::from(video.size.width) * u64::from(video.sample_aspect.num()),
        u64::from(video.sample_aspect.den()),
    );
    let width = u32::try_from(stretched).unwrap_or(u32::MAX).max(1);
    let height = video.size.height.max(1);
    if video.rotation.swaps_axes() { Size { width: height, height: width } } else { Size { width, height } }
}

/// The size of a rendition that shows all of the source: [`display_size`], made even.
pub fn full_size(video: &VideoInfo) -> Size {
    let display = display_size(video);
    size_at(display, even_up(display.height))
}

/// Width over height of the upright picture on a screen, before any rounding.
pub fn display_aspect(video: &VideoInfo) -> f64 {
    let (num, den) = exact_aspect(video);
    num as f64 / den as f64
}

/// The largest even size of a picture `height` lines high; the source's own size, rounded up to even, where
/// that is the source's own height.
pub(super) fn size_at(display: Size, height: u32) -> Size {
    if height == even_up(display.height) {
        return Size { width: even_up(display.width), height };
    }
    let half = div_round(u64::from(display.width) * u64::from(height), 2 * u64::from(display.height));
    let width = u32::try_from(2 * half.max(1)).unwrap_or(u32::MAX - 1);
    Size { width, height }
}

/// The next even number, at least 2.
pub(super) fn even_up(value: u32) -> u32 {
    value.saturating_add(value % 2).max(2)
}

/// The sample aspect ratio with which a picture of `size` samples shows the source's shape: 1/1 where the
/// bend is too small to see.
pub(super) fn sample_aspect(video: &VideoInfo, size: Size) -> Ratio {
    let (num, den) = exact_aspect(video);
    let (num, den) = (num * u128::from(size.height), den * u128::from(size.width));
    let bend = num as f64 / den as f64 - 1.0;
    if bend.abs() <= TOLERATED_BEND { Ratio::ONE } else { approximate(num, den) }
}

/// The ratio as an H.264 stream can carry it: itself where its parts have 16 bits, else the nearest that does.
pub(super) fn in_sixteen_bits(aspect: Ratio) -> Ratio {
    approximate(aspect.num().into(), aspect.den().into())
}

/// The display aspect ratio as an exact fraction, both parts at least 1 and below 2^64.
fn exact_aspect(video: &VideoInfo) -> (u128, u128) {
    let wide = u64::from(video.size.width.max(1)) * u64::from(video.sample_aspect.num());
    let high = u64::from(video.size.height.max(1)) * u64::from(video.sample_aspect.den());
    let divisor = gcd(wide, high);
    let (wide, high) = (u128::from(wide / divisor), u128::from(high / divisor));
    if video.rotation.swaps_axes() { (high, wide) } else { (wide, high) }
}

/// The last convergent of the continued fraction of `num / den` whose parts fit a sample aspect ratio.
fn approximate(mut num: u128, mut den: u128) -> Ratio {
    let limit = u128::from(SAR_LIMIT);
    let (mut before, mut last) = ((0u128, 1u128), (1u128, 0u128));
    while den != 0 {
        let whole = num / den;
        let next = (whole * last.0 + before.0, whole * last.1 + before.1);
        if next.0 > limit || next.1 > limit {
            break;
        }
        (before, last) = (last, next);
        (num, den) = (den, num % den);
    }
    let part = |value: u128| u32::try_from(value).unwrap_or(u32::MAX);
    // Where not even the first convergent fits, the ratio is beyond 65,535 one way or the other.
    Ratio::new(part(last.0), part(last.1)).unwrap_or_else(|| extreme(last.1 == 0))
}

fn extreme(wide: bool) -> Ratio {
    let limit = u32::from(u16::MAX);
    let (num, den) = if wide { (limit, 1) } else { (1, limit) };
    Ratio::new(num, den).unwrap_or(Ratio::ONE)
}

fn div_round(num: u64, den: u64) -> u64 {
    let (num, den) = (u128::from(num), u128::from(den.max(1)));
    u64::try_from((2 * num + den) / (2 * den)).unwrap_or(u64::MAX)
}
