//! How much pictures move, as libvmaf's feature `motion` has it (version 2.3.1, to the last bit), at a fifth of its cost:
//! the mean difference of neighbouring pictures' blurred luma. Only what is needed is compared, and one blurred picture
//! is kept where libvmaf keeps four.

use std::collections::BTreeMap;

use super::{Error, Kind, Picture};
use crate::units::Size;

/// The blur's weights, which come to 65536.
const WEIGHTS: [u32; 5] = [3571, 16004, 26386, 16004, 3571];

/// Samples that the blur reaches to each side.
const REACH: usize = WEIGHTS.len() / 2;

/// The motion of pictures that come in presentation order. Neighbours are those whose positions are.
#[derive(Debug, Default)]
pub struct Motion {
    /// The last picture, blurred, and where it stands.
    last: Option<(u32, Size, Vec<u16>)>,
    /// The difference of each picture to the one before it, where that came, too.
    differences: BTreeMap<u32, Option<f64>>,
    row: Vec<u16>,
}

impl Motion {
    /// Of no picture yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the picture at `position`, which is after all before. Pictures have 8 bits a sample and one size.
    ///
    /// # Errors
    /// [`Kind::Internal`] for a picture of another kind.
    pub fn push(&mut self, position: u32, picture: &Picture) -> Result<(), Error> {
        let size = picture.size();
        let plane = Plane::of(picture)?;
        let samples = plane.width * plane.height;
        let (before, mut blurred) = match self.last.take() {
            Some((at, its_size, blurred)) if its_size == size => (Some(at), blurred),
            Some((_, its_size, _)) => {
                let what = format!("a picture of {size} does not move from one of {its_size}");
                return Err(Error::new(Kind::Internal, what));
            }
            None => (None, vec![0; samples]),
        };
        let difference = plane.blur(&mut blurred, &mut self.row);
        let is_next = before.is_some_and(|before| before.checked_add(1) == Some(position));
        // libvmaf rounds to single precision between the two divisions.
        let mean = f64::from((difference as f64 / 256.0) as f32 / samples as f32);
        self.differences.insert(position, is_next.then_some(mean));
        self.last = Some((position, size, blurred));
        Ok(())
    }

    /// How much each picture moves, by its position: the lesser of its differences to its neighbours, to one of them
    /// where the other did not come, and nothing where neither did.
    pub fn finish(self) -> BTreeMap<u32, f64> {
        let after = |at: u32| self.differences.get(&at.checked_add(1)?).copied().flatten();
        let lesser = |at: u32, before: Option<f64>| match (before, after(at)) {
            (Some(before), Some(after)) => before.min(after),
            (before, after) => before.or(after).unwrap_or(0.0),
        };
        self.differences.iter().map(|(&at, &before)| (at, lesser(at, before))).collect()
    }
}

/// The luma of a picture.
struct Plane<'a> {
    samples: &'a [u8],
    stride: usize,
    width: usize,
    height: usize,
}

impl<'a> Plane<'a> {
    fn of(picture: &'a Picture) -> Result<Self, Error> {
        let (size, (format, _)) = (picture.size(), picture.pixel_format());
        let (width, height) = (size.width as usize, size.height as usize);
        if !matches!(format.as_str(), "yuv420p" | "yuv422p" | "yuv444p" | "gray") || width.min(height) <= REACH {
            return Err(Error::new(
                Kind::Internal,
                format!("motion can't be measured of pictures of {size} in {format}"),
            ));
        }
        let (samples, stride) = (picture.frame().data(0), picture.frame().stride(0));
        if stride < width || samples.len() < stride * (height - 1) + width {
            return Err(Error::new(Kind::Internal, "a picture with short rows"));
        }
        Ok(Self { samples, stride, width, height })
    }

    fn row(&self, at: usize) -> &'a [u8] {
        &self.samples[at * self.stride..][..self.width]
    }

    /// Replaces the picture in `blurred` by this one, blurred, and gives the sum of their differences. `row` is memory to
    /// work in.
    fn blur(&self, blurred: &mut [u16], row: &mut Vec<u16>) -> u64 {
        row.resize(self.width + 2 * REACH, 0);
        let mut sum = 0;
        for (at, target) in blurred.chunks_exact_mut(self.width).enumerate() {
            let near: [&[u8]; WEIGHTS.len()] = std::array::from_fn(|tap| self.row(mirrored(at + tap, self.height)));
            sum += u64::from(blur_row(near, row, target));
        }
        sum
    }
}

/// The place that stands for `place - REACH`, which may lie outside of so many: as libvmaf has it, the first place is the
/// mirror at one end, and the end itself at the other.
fn mirrored(place: usize, count: usize) -> usize {
    match place.checked_sub(REACH) {
        None => REACH - place,
        Some(inside) if inside < count => inside,
        Some(outside) => 2 * count - 1 - outside,
    }
}

/// Blurs a row among those near it into `target`, and gives the sum of differences to what stood there. `between` is
/// memory for the row and [`REACH`] samples to each side of it.
fn blur_row(near: [&[u8]; WEIGHTS.len()], between: &mut [u16], target: &mut [u16]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function was compiled for.
        return unsafe { blur_row_avx2(near, between, target) };
    }
    blur_row_anywhere(near, between, target)
}

/// The same, compiled for wider registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn blur_row_avx2(near: [&[u8]; WEIGHTS.len()], between: &mut [u16], target: &mut [u16]) -> u32 {
    blur_row_anywhere(near, between, target)
}

#[inline(always)]
fn blur_row_anywhere(near: [&[u8]; WEIGHTS.len()], between: &mut [u16], target: &mut [u16]) -> u32 {
    let width = target.len();
    let [a, b, c, d, e] = near.map(|row| &row[..width]);
    for (at, down) in between[REACH..REACH + width].iter_mut().enumerate() {
        let sum = WEIGHTS[0] * (u32::from(a[at]) + u32::from(e[at]))
            + WEIGHTS[1] * (u32::from(b[at]) + u32::from(d[at]))
            + WEIGHTS[2] * u32::from(c[at]);
        *down = ((sum + (1 << 7)) >> 8) as u16;
    }
    for edge in 0..REACH {
        between[edge] = between[REACH + mirrored(edge, width)];
        between[REACH + width + edge] = between[REACH + mirrored(REACH + width + edge, width)];
    }
    let taps: [&[u16]; WEIGHTS.len()] = std::array::from_fn(|tap| &between[tap..tap + width]);
    let mut difference = 0;
    for (at, target) in target.iter_mut().enumerate() {
        let sum = WEIGHTS[0] * (u32::from(taps[0][at]) + u32::from(taps[4][at]))
            + WEIGHTS[1] * (u32::from(taps[1][at]) + u32::from(taps[3][at]))
            + WEIGHTS[2] * u32::from(taps[2][at]);
        let blurred = ((sum + (1 << 15)) >> 16) as u16;
        difference += u32::from(blurred.abs_diff(*target));
        *target = blurred;
    }
    difference
}

#[cfg(test)]
mod tests {
    use ffmpeg_next::format::Pixel;

    use super::*;
    use crate::media::testing::{moving, picture, size};
    use crate::media::vmaf::tests::motion_of_libvmaf;

    fn motion(pictures: &[Picture]) -> Vec<f64> {
        let mut motion = Motion::new();
        (0..).zip(pictures).for_each(|(at, picture)| motion.push(at, picture).unwrap());
        motion.finish().into_values().collect()
    }

    /// Samples without any order.
    fn noise(size: Size, seed: u32) -> Picture {
        let sample = move |_, x: usize, y: usize| {
            let mixed = (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77) ^ seed;
            (mixed.wrapping_mul(0xC2B2_AE3D) >> 17) as u8
        };
        picture(size, Pixel::YUV420P, &sample)
    }

    #[test]
    fn it_is_that_of_libvmaf_to_the_last_bit() {
        for (width, height) in [(320, 180), (854, 480), (33, 35), (32, 32), (1279, 33)] {
            let pictures: Vec<Picture> = (0..3)
                .map(|n| moving(size(width, height), Pixel::YUV420P, n))
                .chain((7..10).map(|seed| noise(size(width, height), seed * 0x1234_5677)))
                .collect();
            assert_eq!(motion(&pictures), motion_of_libvmaf(&pictures), "{width}x{height}");
        }
    }

    #[test]
    fn pictures_that_are_no_neighbours_are_not_compared() {
        let picture = |n| moving(size(64, 48), Pixel::YUV420P, n);
        let mut some = Motion::new();
        for at in [3, 4, 9, 10, 11, 20] {
            some.push(at, &picture(at as usize)).unwrap();
        }
        let some = some.finish();
        let pictures: Vec<Picture> = (9..12).map(|at| picture(at as usize)).collect();
        assert_eq!(some[&10], motion(&pictures)[1]);
        assert_eq!((some[&3], some[&20]), (some[&4], 0.0));
        assert!(some[&3] > 0.0);
    }

    #[test]
    fn of_nothing_it_is_nothing_and_of_one_picture_none() {
        assert!(Motion::new().finish().is_empty());
        assert_eq!(motion(&[moving(size(64, 48), Pixel::YUV420P, 1)]), [0.0]);
    }

    #[test]
    fn pictures_of_two_sizes_and_of_more_than_eight_bits_are_refused() {
        let mut motion = Motion::new();
        motion.push(0, &moving(size(64, 48), Pixel::YUV420P, 1)).unwrap();
        assert!(motion.push(1, &moving(size(64, 50), Pixel::YUV420P, 1)).is_err());
        assert!(Motion::new().push(0, &picture(size(64, 48), Pixel::YUV420P10LE, &|_, _, _| 0)).is_err());
    }
}
