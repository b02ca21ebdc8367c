//! Which pixel formats H.264 holds without loss, and how a picture is brought into one of them: repacked, never converted.

use ffmpeg_next::format::Pixel;

use crate::media::scale::{Swscale, Target};
use crate::media::{Error, Kind, Picture};
use crate::source::{Color, VideoInfo};
use crate::units::Size;

/// How a pixel format is coded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Packing {
    /// The libavcodec encoder.
    pub(super) encoder: &'static str,
    /// The format that the encoder is given. Where it is not the source's, its samples are the same in another order.
    pub(super) format: Pixel,
}

/// How pictures in `pixel_format` are coded without loss.
///
/// # Errors
/// [`Kind::Unsupported`] with a sentence when H.264 can't hold them.
pub(super) fn packing(pixel_format: &str) -> Result<Packing, Error> {
    let yuv = |format| Ok(Packing { encoder: "libx264", format });
    let rgb = |format| Ok(Packing { encoder: "libx264rgb", format });
    match pixel_format {
        "yuv420p" => yuv(Pixel::YUV420P),
        "yuv422p" | "yuyv422" | "uyvy422" => yuv(Pixel::YUV422P),
        "yuv444p" => yuv(Pixel::YUV444P),
        "nv12" => yuv(Pixel::NV12),
        "nv21" => yuv(Pixel::NV21),
        "nv16" => yuv(Pixel::NV16),
        "gray" => yuv(Pixel::GRAY8),
        "yuv420p10le" => yuv(Pixel::YUV420P10LE),
        "yuv422p10le" => yuv(Pixel::YUV422P10LE),
        "yuv444p10le" => yuv(Pixel::YUV444P10LE),
        "gray10le" => yuv(Pixel::GRAY10LE),
        "bgr24" | "gbrp" => rgb(Pixel::BGR24),
        "rgb24" => rgb(Pixel::RGB24),
        "bgr0" => rgb(Pixel::BGRZ),
        other => Err(Error::new(
            Kind::Unsupported,
            format!(
                "H.264 can't hold pixel format {other} without loss; use the ladder without `archive`, or convert \
                 the source to 8-bit or 10-bit 4:2:0, 4:2:2 or 4:4:4 first"
            ),
        )),
    }
}

/// Brings pictures into the encoder's format.
pub(super) struct Preparer {
    size: Size,
    source_format: String,
    format: Pixel,
    color: Color,
    repack: Swscale,
}

impl Preparer {
    /// A preparer for the pictures of `video`.
    pub(super) fn new(video: &VideoInfo, packing: Packing) -> Self {
        Self {
            size: video.size,
            source_format: video.pixel_format.clone(),
            format: packing.format,
            color: video.color,
            repack: Swscale::default(),
        }
    }

    /// `picture` as the encoder takes it.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] when the source changes picture size or pixel format; lack of memory.
    pub(super) fn prepare(&mut self, picture: &Picture) -> Result<Picture, Error> {
        let (format, _) = picture.pixel_format();
        if picture.size() != self.size || format != self.source_format {
            return Err(self.changed(picture.size(), &format));
        }
        let mut prepared = picture.share()?;
        prepared.name_range();
        if prepared.frame().format() != self.format {
            let color = Color { full_range: prepared.color().full_range, ..self.color };
            let target = Target { size: self.size, format: self.format, color };
            prepared = self.repack.convert(&prepared, target)?;
        }
        Ok(prepared)
    }

    fn changed(&self, size: Size, format: &str) -> Error {
        Error::new(
            Kind::Unsupported,
            format!(
                "the pictures change from {} in {} to {size} in {format}, which one lossless rendition can't hold; \
                 leave `archive` out of the ladder and ffv1 out of --files, or split the source where it changes",
                self.size, self.source_format
            ),
        )
    }
}
