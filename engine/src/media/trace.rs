//! What is cheaply remembered of a picture, to tell whether another shows the same: VMAF looks at no colour, and hardly
//! sees that everything became brighter.

use super::{Error, Kind, Picture};

/// Of this many rows of luma, one is looked at.
const STEP: usize = 8;

/// Some rows of a picture's luma, and how bright each plane is.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    luma: Vec<u8>,
    /// The mean sample of each plane, 0 to 255: luma, then the two of chroma.
    levels: [f64; 3],
}

impl Trace {
    /// What is remembered of `picture`, which is 8-bit 4:2:0.
    ///
    /// # Errors
    /// [`Kind::Internal`] for a picture of another kind.
    pub fn of(picture: &Picture) -> Result<Self, Error> {
        let (size, (format, _)) = (picture.size(), picture.pixel_format());
        if format != "yuv420p" {
            return Err(Error::new(Kind::Internal, format!("a picture in {format} can't be traced")));
        }
        let (width, height) = (size.width as usize, size.height as usize);
        let luma = rows(picture, 0, width, height, STEP);
        let chroma = |plane| mean(&rows(picture, plane, width.div_ceil(2), height.div_ceil(2), STEP / 2));
        Ok(Self { levels: [mean(&luma), chroma(1), chroma(2)], luma })
    }

    /// How much brighter each plane of `other` is, in levels of 255.
    pub fn levels_to(&self, other: &Self) -> [f64; 3] {
        let mut difference = [0.0; 3];
        for (of, (ours, theirs)) in difference.iter_mut().zip(self.levels.iter().zip(other.levels)) {
            *of = theirs - ours;
        }
        difference
    }

    /// The mean difference between the two pictures' luma, sample by sample, in levels of 255.
    pub fn distance(&self, other: &Self) -> f64 {
        let differences = self.luma.iter().zip(&other.luma).map(|(a, b)| u64::from(a.abs_diff(*b)));
        differences.sum::<u64>() as f64 / self.luma.len().min(other.luma.len()).max(1) as f64
    }
}

fn rows(picture: &Picture, plane: usize, width: usize, height: usize, step: usize) -> Vec<u8> {
    let frame = picture.frame();
    let mut rows = Vec::with_capacity(width * height.div_ceil(step));
    for line in frame.data(plane).chunks(frame.stride(plane)).take(height).step_by(step) {
        rows.extend_from_slice(&line[..width.min(line.len())]);
    }
    rows
}

fn mean(samples: &[u8]) -> f64 {
    samples.iter().map(|&sample| u64::from(sample)).sum::<u64>() as f64 / samples.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use ffmpeg_next::format::Pixel;

    use super::*;
    use crate::media::testing::{moving, picture, size};

    #[test]
    fn a_picture_is_no_distance_from_itself_and_some_from_the_next() {
        let trace = |at| Trace::of(&moving(size(320, 240), Pixel::YUV420P, at)).unwrap();
        assert_eq!(trace(1).distance(&trace(1)), 0.0);
        assert!(trace(1).distance(&trace(2)) > 0.0);
    }

    #[test]
    fn each_plane_tells_how_much_brighter_it_became() {
        let flat = |values: [u8; 3]| picture(size(64, 48), Pixel::YUV420P, &move |plane, _, _| values[plane]);
        let (before, after) = (Trace::of(&flat([50, 100, 90])).unwrap(), Trace::of(&flat([60, 100, 80])).unwrap());
        assert_eq!(before.levels_to(&after), [10.0, 0.0, -10.0]);
        assert_eq!(before.distance(&after), 10.0);
    }

    #[test]
    fn other_formats_are_refused() {
        assert!(Trace::of(&moving(size(64, 48), Pixel::YUV422P, 1)).is_err());
    }
}
