//! Which of some pictures says most of a video: the one with the most light and shade and the most detail. Pure.

use vtp_engine::stills::rgb_bytes;
use vtp_engine::units::Size;

/// Columns and rows between the pixels that are compared: what is nearer is noise as often as detail.
const STEP: usize = 2;
/// Mean luma (0 to 255) of pictures that are neither nearly black nor nearly white.
const LIT: std::ops::RangeInclusive<f64> = 24.0..=232.0;

/// The best of the pictures so far.
#[derive(Debug)]
pub(super) struct Candidates {
    size: Size,
    best: Option<Best>,
}

#[derive(Debug)]
struct Best {
    score: Score,
    rgb: Vec<u8>,
    pts: i64,
}

impl Candidates {
    pub(super) fn new(size: Size) -> Self {
        Self { size, best: None }
    }

    /// Looks at the picture that is shown at `pts`. Of equally good ones the first counts.
    pub(super) fn take(&mut self, pts: i64, rgb: &[u8]) {
        let score = score(rgb, self.size);
        if self.best.as_ref().is_none_or(|best| score > best.score) {
            self.best = Some(Best { score, rgb: rgb.to_vec(), pts });
        }
    }

    /// The best one, its size, and when it is shown.
    pub(super) fn finish(self) -> Option<(Vec<u8>, Size, i64)> {
        self.best.map(|best| (best.rgb, self.size, best.pts))
    }
}

/// How much a picture says; the larger, the more.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
struct Score {
    /// Whether it is neither nearly black nor nearly white, as titles are: any such picture comes before all others.
    is_lit: bool,
    value: f64,
}

/// The value is the geometric mean of two things: the standard deviation of luma, which fades and plain surfaces lack, and
/// the mean difference of luma between near pixels, which blurred and empty pictures lack.
fn score(rgb: &[u8], size: Size) -> Score {
    debug_assert_eq!(rgb.len(), rgb_bytes(size));
    let (width, height) = (size.width as usize, size.height as usize);
    let luma: Vec<u8> = rgb.chunks_exact(3).map(luma).collect();
    let count = luma.len().max(1) as f64;
    let mean = luma.iter().map(|&y| f64::from(y)).sum::<f64>() / count;
    let spread = (luma.iter().map(|&y| (f64::from(y) - mean).powi(2)).sum::<f64>() / count).sqrt();
    let mut differences = 0_u64;
    for row in 0..height {
        for column in 0..width {
            let here = row * width + column;
            let beside = (column + STEP < width).then_some(here + STEP);
            let below = (row + STEP < height).then_some(here + STEP * width);
            for other in [beside, below].into_iter().flatten() {
                differences += u64::from(luma[here].abs_diff(luma[other]));
            }
        }
    }
    let detail = differences as f64 / count;
    Score { is_lit: LIT.contains(&mean), value: (spread * detail).sqrt() }
}

/// Luma of BT.601, in whole numbers.
fn luma(rgb: &[u8]) -> u8 {
    let weighed: u32 = rgb.iter().zip([77_u32, 150, 29]).map(|(&value, weight)| weight * u32::from(value)).sum();
    (weighed >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { width: 64, height: 48 };

    fn grey(of: impl Fn(u32, u32) -> u32) -> Vec<u8> {
        let pixels = (0..SIZE.height).flat_map(|y| (0..SIZE.width).map(move |x| (x, y)));
        pixels.flat_map(|(x, y)| [of(x, y).min(255) as u8; 3]).collect()
    }

    fn chosen(pictures: &[Vec<u8>]) -> i64 {
        let mut candidates = Candidates::new(SIZE);
        for (picture, pts) in pictures.iter().zip(0..) {
            candidates.take(pts, picture);
        }
        candidates.finish().unwrap().2
    }

    fn scene(x: u32, y: u32) -> u32 {
        40 + (x / 4 * 37 + y / 4 * 91) % 160
    }

    #[test]
    fn black_white_flat_and_blurred_pictures_lose_to_a_sharp_one() {
        let blurred = grey(|x, y| (0..8).flat_map(|i| (0..8).map(move |j| scene(x + i, y + j))).sum::<u32>() / 64);
        let others = [grey(|_, _| 0), grey(|_, _| 255), grey(|_, _| 120), grey(|x, _| 2 * x + 60), blurred];
        for other in others {
            assert_eq!(chosen(&[other.clone(), grey(scene)]), 1);
            assert_eq!(chosen(&[grey(scene), other]), 0);
        }
    }

    #[test]
    fn a_title_on_black_loses_to_a_plain_scene() {
        let title = grey(|x, y| if y / 6 == 3 && x % 4 < 2 { 255 } else { 4 });
        assert_eq!(chosen(&[title, grey(|x, y| 80 + (x / 8 + y / 8) % 5 * 12)]), 1);
    }

    #[test]
    fn of_equal_ones_the_first_is_taken_and_one_is_taken_even_if_all_are_black() {
        assert_eq!(chosen(&[grey(scene), grey(scene)]), 0);
        assert_eq!(chosen(&[grey(|_, _| 0), grey(|_, _| 0)]), 0);
    }
}
