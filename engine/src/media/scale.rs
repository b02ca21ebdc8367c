//! Scales conditioned pictures to the renditions' sizes, as 4:2:0 of 8 or 10 bits. It changes neither colour tags nor range
//! and maps no tones.
//!
//! Each rendition is scaled from the conditioned picture itself, not from the next larger rendition. A cascade
//! would save about half a percent of the ladder's CPU, but a 480-line picture that went through 720 lines differs
//! from the directly scaled one by 50.5 dB (luma, 1080-line aerial footage; 53.2 dB on animation at 720 lines).
//! An encoder at 35 dB would lose 0.12 dB by it: far more than that CPU can buy back.

mod rgb;
mod swscale;

pub use rgb::RgbScaler;
pub(crate) use swscale::{Swscale, Target, new_frame, range, raw_format};

use ffmpeg_next::ffi;
use ffmpeg_next::format::Pixel;

use super::picture::is_grey;
use super::{Error, Picture};
use crate::ladder::Look;
use crate::source::{Color, VideoInfo};
use crate::units::Size;

/// The pixel format of pictures of so many bits a sample.
pub(crate) fn picture_format(depth: u8) -> Pixel {
    if depth > 8 { Pixel::YUV420P10LE } else { Pixel::YUV420P }
}

/// H.273 code points that are used here.
const MATRIX_GBR: u8 = 0;
const MATRIX_BT709: u8 = 1;
const MATRIX_UNSPECIFIED: u8 = 2;

/// The colour description of the renditions made from `video` with this look: the source's own, or limited-range BT.709. RGB
/// becomes limited-range BT.709, too, and what is grey without a range becomes limited range.
pub fn output_color(video: &VideoInfo, look: Look) -> Color {
    let color = video.color;
    if look == Look::Sdr {
        return Color { chroma_location: color.chroma_location, ..Color::BT709 };
    }
    if is_rgb(&video.pixel_format) {
        return Color { matrix: MATRIX_BT709, full_range: Some(false), chroma_location: 0, ..color };
    }
    let full_range = if is_grey(&video.pixel_format) { color.full_range.or(Some(false)) } else { color.full_range };
    Color { full_range, matrix: if color.matrix == MATRIX_GBR { MATRIX_UNSPECIFIED } else { color.matrix }, ..color }
}

/// Size and depth of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Size in samples.
    pub size: Size,
    /// Bits a sample, 8 or 10.
    pub depth: u8,
}

impl Shape {
    /// Eight bits in this size: what quality is measured in.
    pub fn measured(size: Size) -> Self {
        Self { size, depth: 8 }
    }
}

/// Scales every picture to a fixed list of shapes.
pub struct Scaler {
    color: Color,
    outputs: Vec<(Shape, Swscale)>,
}

impl Scaler {
    /// A scaler to `shapes`, each even in both directions, whose output has the colours of [`output_color`].
    pub fn new(shapes: &[Shape], color: Color) -> Self {
        Self { color, outputs: shapes.iter().map(|&shape| (shape, Swscale::default())).collect() }
    }

    /// `picture` in every shape, in the order they were given. A picture that is already right is shared, not copied.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for a pixel format that can't be read; lack of memory.
    ///
    /// [`Kind::Unsupported`]: crate::media::Kind::Unsupported
    pub fn scale(&mut self, picture: &Picture) -> Result<Vec<Picture>, Error> {
        let color = self.color;
        self.outputs.iter_mut().map(|(shape, swscale)| scale_one(swscale, picture, *shape, color)).collect()
    }
}

fn scale_one(swscale: &mut Swscale, picture: &Picture, shape: Shape, color: Color) -> Result<Picture, Error> {
    let full_range = color.full_range.unwrap_or(false);
    let range_fits = picture.color().full_range.is_none_or(|full| full == full_range);
    let (size, format) = (shape.size, picture_format(shape.depth));
    let is_right = format.descriptor().is_some_and(|d| d.name() == picture.pixel_format().0);
    if picture.size() == size && is_right && range_fits {
        return picture.share();
    }
    swscale.convert(picture, Target { size, format, color })
}

/// Whether samples of this format are red, green and blue (or a palette of them).
pub(crate) fn is_rgb(pixel_format: &str) -> bool {
    let format: Result<Pixel, _> = pixel_format.parse();
    let Some(descriptor) = format.ok().and_then(|format| format.descriptor()) else { return false };
    // SAFETY: descriptors are static data of libavutil.
    let flags = unsafe { (*descriptor.as_ptr()).flags };
    flags & (ffi::AV_PIX_FMT_FLAG_RGB | ffi::AV_PIX_FMT_FLAG_PAL) as u64 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::testing::{bytes, moving, picture, size, video};

    const UNSPECIFIED: Color = Color::UNSPECIFIED;

    fn flat(format: Pixel, values: [u8; 3]) -> Picture {
        picture(size(320, 240), format, &|plane, _, _| values[plane])
    }

    fn scaled(picture: &Picture, to: Size, color: Color) -> Picture {
        Scaler::new(&[Shape::measured(to)], color).scale(picture).unwrap().remove(0)
    }

    #[test]
    fn a_picture_that_is_already_right_is_shared() {
        let source = moving(size(320, 240), Pixel::YUV420P, 1);
        let result = scaled(&source, size(320, 240), UNSPECIFIED);
        assert_eq!(source.frame().data(0).as_ptr(), result.frame().data(0).as_ptr());
    }

    #[test]
    fn every_size_asked_for_comes_out_in_the_order_asked() {
        let source = moving(size(320, 240), Pixel::YUV420P, 1);
        let sizes = [size(160, 120), size(320, 240), size(84, 64)];
        let results = Scaler::new(&sizes.map(Shape::measured), UNSPECIFIED).scale(&source).unwrap();
        assert_eq!(results.iter().map(Picture::size).collect::<Vec<_>>(), sizes);
        assert!(results.iter().all(|result| result.pixel_format().0 == "yuv420p"));
    }

    #[test]
    fn full_range_stays_full_range_and_limited_stays_limited() {
        for (format, full_range) in [
            (Pixel::YUVJ420P, Some(true)),
            (Pixel::YUV420P, Some(false)),
            (Pixel::YUV420P, None),
            (Pixel::YUV422P, None),
            (Pixel::YUV444P, Some(false)),
        ] {
            let mut source = flat(format, [250, 40, 200]);
            source.name_range();
            let color = Color { full_range, matrix: 5, ..UNSPECIFIED };
            for to in [size(160, 120), size(320, 240)] {
                let result = scaled(&source, to, color);
                assert_eq!(result.frame().data(0)[0], 250, "{format:?} {full_range:?}");
                assert_eq!((result.frame().data(1)[0], result.frame().data(2)[0]), (40, 200));
                assert_eq!(result.color().full_range.unwrap_or(false), full_range.unwrap_or(false));
            }
        }
    }

    #[test]
    fn a_picture_of_another_range_than_the_stream_is_converted() {
        let mut source = flat(Pixel::YUVJ420P, [255, 128, 128]);
        source.name_range();
        let result = scaled(&source, size(320, 240), Color { full_range: Some(false), ..UNSPECIFIED });
        assert_eq!(result.frame().data(0)[0], 235);
    }

    #[test]
    fn ten_bits_become_eight_around_the_same_value() {
        let value = 401_u16.to_le_bytes();
        let source = picture(size(320, 240), Pixel::YUV420P10LE, &|_, _, column| value[column % 2]);
        let result = scaled(&source, size(160, 120), UNSPECIFIED);
        let luma = bytes(&result)[..160 * 120].to_vec();
        assert!(luma.iter().all(|&sample| sample == 100 || sample == 101));
        assert!(luma.contains(&100) && luma.contains(&101), "dithered");
    }

    #[test]
    fn rgb_becomes_limited_range_bt709() {
        let color = output_color(&video(size(320, 240), "gbrp"), Look::Kept);
        assert_eq!((color.matrix, color.full_range), (MATRIX_BT709, Some(false)));
        let red = flat(Pixel::GBRP, [0, 0, 255]);
        let result = scaled(&red, size(160, 120), color);
        let near = |sample: u8, wanted: u8| sample.abs_diff(wanted) <= 1;
        assert!(near(result.frame().data(0)[0], 63), "{}", result.frame().data(0)[0]);
        assert!(near(result.frame().data(1)[0], 102), "{}", result.frame().data(1)[0]);
        assert!(near(result.frame().data(2)[0], 240), "{}", result.frame().data(2)[0]);
    }

    #[test]
    fn grey_without_a_range_is_full_range_and_becomes_limited() {
        let grey = |value: u8, full_range: Option<bool>| {
            let mut source = video(size(320, 240), "gray");
            source.color.full_range = full_range;
            let mut picture = flat(Pixel::GRAY8, [value; 3]);
            // SAFETY: the frame is valid and owned by the picture.
            unsafe { (*picture.frame_mut().as_mut_ptr()).color_range = range(full_range) };
            picture.name_range();
            let color = output_color(&source, Look::Kept);
            let result = scaled(&picture, size(160, 120), color);
            assert!(result.frame().data(1)[0].abs_diff(128) <= 1, "dithered as FFmpeg's own tools do");
            (result.frame().data(0)[0], color.full_range)
        };
        assert_eq!([grey(0, None), grey(255, None)], [(16, Some(false)), (235, Some(false))]);
        assert_eq!(grey(235, Some(false)), (235, Some(false)));
        assert_eq!(grey(255, Some(true)), (255, Some(true)));
    }

    #[test]
    fn the_colour_tags_of_the_source_are_kept() {
        let mut hdr = video(size(320, 240), "yuv420p10le");
        hdr.color = Color { primaries: 9, transfer: 16, matrix: 9, full_range: Some(false), chroma_location: 3 };
        assert_eq!(output_color(&hdr, Look::Kept), hdr.color);
        let sdr = Color { primaries: 1, transfer: 1, matrix: 1, ..hdr.color };
        assert_eq!(output_color(&hdr, Look::Sdr), sdr);
    }

    #[test]
    fn ten_bits_stay_ten_bits_where_they_are_asked_for() {
        let source = moving(size(320, 240), Pixel::YUV420P10LE, 1);
        let shapes = [320, 160].map(|width| Shape { size: size(width, 240), depth: 10 });
        let results = Scaler::new(&shapes, UNSPECIFIED).scale(&source).unwrap();
        assert!(results.iter().all(|result| result.pixel_format().0 == "yuv420p10le"));
        assert_eq!(source.frame().data(0).as_ptr(), results[0].frame().data(0).as_ptr(), "shared, not copied");
    }
}
