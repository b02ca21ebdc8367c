//! Pictures for the eye alone: red, green and blue in full range, at one size. It maps no tones.

use ffmpeg_next::color::Range;
use ffmpeg_next::format::Pixel;

use super::swscale::{Swscale, Target};
use super::{MATRIX_BT709, MATRIX_UNSPECIFIED, is_rgb, output_color};
use crate::ladder::Look;
use crate::media::{Error, Picture};
use crate::source::{Color, VideoInfo};
use crate::units::Size;

/// BT.601 of 625 lines, which is that of 525 as far as matrices go.
const MATRIX_BT601: u8 = 5;
/// From so many lines on, colours that nothing is said of are taken for those of HD television, as players do.
const HD_LINES: u32 = 720;

/// Scales pictures to one size and converts them to [`Picture::rgb`].
pub struct RgbScaler {
    size: Size,
    color: Color,
    /// Range of pictures that do not say theirs.
    full_range: bool,
    swscale: Swscale,
}

impl RgbScaler {
    /// A scaler of conditioned pictures of `video` in this look.
    pub fn new(video: &VideoInfo, look: Look, size: Size) -> Self {
        let color = output_color(video, look);
        let lines = video.size.height.min(video.size.width);
        let matrix = match color.matrix {
            MATRIX_UNSPECIFIED if lines >= HD_LINES => MATRIX_BT709,
            MATRIX_UNSPECIFIED => MATRIX_BT601,
            told => told,
        };
        let full_range = color.full_range.unwrap_or(false);
        Self { size, color: Color { matrix, full_range: Some(true), ..color }, full_range, swscale: Swscale::default() }
    }

    /// `picture` at that size.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for a pixel format that can't be read; lack of memory.
    ///
    /// [`Kind::Unsupported`]: crate::media::Kind::Unsupported
    pub fn scale(&mut self, picture: &Picture) -> Result<Picture, Error> {
        let mut picture = picture.share()?;
        if picture.color().full_range.is_none() {
            let full = self.full_range || is_rgb(&picture.pixel_format().0);
            picture.frame_mut().set_color_range(if full { Range::JPEG } else { Range::MPEG });
        }
        self.swscale.convert(&picture, Target { size: self.size, format: Pixel::RGB24, color: self.color })
    }
}

impl Picture {
    /// The samples of a picture from [`RgbScaler`]: red, green and blue, a byte each, row by row without gaps; `None` for
    /// any other.
    pub fn rgb(&self) -> Option<Vec<u8>> {
        let frame = self.frame();
        if frame.format() != Pixel::RGB24 {
            return None;
        }
        let row_bytes = 3 * frame.width() as usize;
        let rows = frame.data(0).chunks(frame.stride(0).max(1)).take(frame.height() as usize);
        Some(rows.flat_map(|row| row.iter().take(row_bytes)).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::testing::{picture, size, video};

    /// The first pixel of what becomes of a flat picture of these values.
    fn pixel(video: &VideoInfo, format: Pixel, values: [u8; 3]) -> [u8; 3] {
        let mut source = picture(size(320, 240), format, &|plane, _, _| values[plane]);
        source.name_range();
        let scaled = RgbScaler::new(video, Look::Kept, size(53, 40)).scale(&source).unwrap();
        let bytes = scaled.rgb().unwrap();
        assert_eq!(bytes.len(), 53 * 40 * 3);
        [bytes[0], bytes[1], bytes[2]]
    }

    fn near(found: [u8; 3], wanted: [u8; 3]) {
        assert!(found.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 2), "{found:?} is not {wanted:?}");
    }

    #[test]
    fn range_and_matrix_are_those_of_the_source_and_what_is_unsaid_is_guessed_as_players_do() {
        let sd = video(size(320, 240), "yuv420p");
        near(pixel(&sd, Pixel::YUV420P, [16, 128, 128]), [0, 0, 0]);
        near(pixel(&sd, Pixel::YUV420P, [235, 128, 128]), [255, 255, 255]);
        near(pixel(&sd, Pixel::YUVJ420P, [16, 128, 128]), [16, 16, 16]);
        // Red in BT.601 and in BT.709.
        near(pixel(&sd, Pixel::YUV420P, [81, 90, 240]), [254, 0, 0]);
        near(pixel(&video(size(1280, 720), "yuv420p"), Pixel::YUV420P, [63, 102, 240]), [254, 0, 0]);
        let mut told = video(size(320, 240), "yuv420p");
        told.color = Color { matrix: 1, ..told.color };
        near(pixel(&told, Pixel::YUV420P, [63, 102, 240]), [254, 0, 0]);
    }

    #[test]
    fn red_green_and_blue_stay_what_they_are() {
        near(pixel(&video(size(320, 240), "gbrp"), Pixel::GBRP, [10, 20, 200]), [200, 10, 20]);
    }

    #[test]
    fn only_such_pictures_have_such_bytes() {
        assert_eq!(picture(size(16, 16), Pixel::YUV420P, &|_, _, _| 0).rgb(), None);
    }
}
