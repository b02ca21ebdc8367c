//! One decoded picture, owned.

use std::str::FromStr as _;

use ffmpeg_next::{ffi, format, frame};

use super::scale::new_frame;
use super::{Error, Kind};
use crate::source::{Color, ContentLight, HdrMetadata, MasteringDisplay, VideoInfo};
use crate::units::{PacketIndex, Ratio, Size};

/// Whether samples of this format are grey alone. Where nothing is said of their range it is the full one, as to
/// FFmpeg's own tools.
pub(crate) fn is_grey(pixel_format: &str) -> bool {
    ["gray", "ya8", "ya16"].iter().any(|name| pixel_format.starts_with(name))
}

/// A decoded picture (an FFmpeg frame, reference counted: cloning is cheap and shares the samples).
pub struct Picture(frame::Video);

impl Picture {
    pub(crate) fn wrap(frame: frame::Video) -> Self {
        Self(frame)
    }

    /// The picture in a frame that a decoder gives. Raw video may be stored from the lowest row up, to which FFmpeg points by
    /// a negative line size; it is copied into the usual order, on which whoever reads samples relies.
    ///
    /// # Errors
    /// Lack of memory.
    pub(crate) fn decoded(frame: frame::Video) -> Result<Self, Error> {
        // SAFETY: the frame is valid.
        let line_sizes = unsafe { (*frame.as_ptr()).linesize };
        if line_sizes.iter().all(|&bytes| bytes >= 0) {
            return Ok(Self(frame));
        }
        let size = Size { width: frame.width(), height: frame.height() };
        let mut picture = new_frame(size, frame.format())?;
        // SAFETY: both frames are valid, of one size and format; the callee goes by the sign of each line size.
        let code = unsafe {
            match ffi::av_frame_copy_props(picture.as_mut_ptr(), frame.as_ptr()) {
                0.. => ffi::av_frame_copy(picture.as_mut_ptr(), frame.as_ptr()),
                failed => failed,
            }
        };
        if code < 0 { Err(Error::code("copying a picture", code)) } else { Ok(Self(picture)) }
    }

    /// A black picture as `video` has them.
    ///
    /// # Errors
    /// Lack of memory; a pixel format that has no black.
    pub fn black(video: &VideoInfo) -> Result<Self, Error> {
        let pixel = format::Pixel::from_str(&video.pixel_format)
            .map_err(|_| Error::new(Kind::Unsupported, format!("there is no pixel format {}", video.pixel_format)))?;
        let mut picture = Self(frame::Video::new(pixel, video.size.width, video.size.height));
        let range = match video.color.full_range {
            Some(true) => ffi::AVColorRange::AVCOL_RANGE_JPEG,
            Some(false) | None => ffi::AVColorRange::AVCOL_RANGE_MPEG,
        };
        // SAFETY: the frame is valid, and its planes are as large as format and size tell, which is checked; as many line
        // sizes as planes are passed.
        let code = unsafe {
            let raw = &mut *picture.0.as_mut_ptr();
            if raw.data[0].is_null() {
                return Err(Error::new(Kind::Retryable, "no memory for a picture"));
            }
            let strides = raw.linesize.map(|stride| stride as isize);
            raw.color_range = range;
            ffi::av_image_fill_black(
                raw.data.as_mut_ptr(),
                strides.as_ptr(),
                pixel.into(),
                range,
                raw.width,
                raw.height,
            )
        };
        if code < 0 { Err(Error::code("blackening a picture", code)) } else { Ok(picture) }
    }

    /// The FFmpeg frame, for the rest of this wall.
    pub(crate) fn frame(&self) -> &frame::Video {
        &self.0
    }

    /// The FFmpeg frame, for the rest of this wall.
    pub(crate) fn frame_mut(&mut self) -> &mut frame::Video {
        &mut self.0
    }

    /// The same picture again, sharing its samples.
    ///
    /// # Errors
    /// Lack of memory.
    pub fn share(&self) -> Result<Self, Error> {
        let mut copy = frame::Video::empty();
        // SAFETY: both frames are valid and owned; `av_frame_ref` takes references to the source's buffers and
        // leaves the target empty on failure.
        let code = unsafe { ffi::av_frame_ref(copy.as_mut_ptr(), self.0.as_ptr()) };
        match code {
            0.. => Ok(Self(copy)),
            _ => Err(Error::new(Kind::Retryable, "no memory to share a picture")),
        }
    }

    /// The packet that this picture comes from, as numbered by [`super::decode::VideoDecoder::send`].
    pub fn packet(&self) -> Option<PacketIndex> {
        u32::try_from(self.raw().pkt_pos).ok().map(PacketIndex)
    }

    /// FFmpeg's best guess of the presentation time, in the unit of the packets' times.
    pub fn best_effort_pts(&self) -> Option<i64> {
        some_timestamp(self.raw().best_effort_timestamp)
    }

    /// Duration in the unit of the packets' times, if the packet told it.
    pub fn duration(&self) -> Option<i64> {
        Some(self.raw().pkt_duration).filter(|&ticks| ticks > 0)
    }

    /// Size in samples, cropping applied.
    pub fn size(&self) -> Size {
        Size { width: self.0.width(), height: self.0.height() }
    }

    /// Sample aspect ratio; square where the picture does not say.
    pub fn sample_aspect(&self) -> Ratio {
        self.own_sample_aspect().unwrap_or(Ratio::ONE)
    }

    /// Sample aspect ratio, if the picture says it.
    pub fn own_sample_aspect(&self) -> Option<Ratio> {
        let ratio = self.raw().sample_aspect_ratio;
        Ratio::new(u32::try_from(ratio.num).ok()?, u32::try_from(ratio.den).ok()?)
    }

    /// Says of which shape a sample is.
    pub(crate) fn set_sample_aspect(&mut self, aspect: Ratio) {
        let number = |number: u32| i32::try_from(number).unwrap_or(1);
        // SAFETY: the frame is valid and owned.
        unsafe {
            (*self.0.as_mut_ptr()).sample_aspect_ratio =
                ffi::AVRational { num: number(aspect.num()), den: number(aspect.den()) };
        }
    }

    /// FFmpeg's name of the pixel format, such as `yuv420p`, and whether that name itself says full range.
    pub fn pixel_format(&self) -> (String, bool) {
        let name = self.0.format().descriptor().map_or("unknown", |d| d.name());
        match name.strip_prefix("yuvj") {
            Some(rest) => (format!("yuv{rest}"), true),
            None => (name.to_owned(), false),
        }
    }

    /// Renames the deprecated `yuvj*` formats to `yuv*` with a range tag, and tags the range of greys without any: the
    /// samples are the same.
    pub(crate) fn name_range(&mut self) {
        let (name, full_range) = self.pixel_format();
        if let (true, Ok(format)) = (full_range, name.parse()) {
            self.0.set_format(format);
        }
        if full_range || (is_grey(&name) && self.color().full_range.is_none()) {
            self.0.set_color_range(ffmpeg_next::color::Range::JPEG);
        }
    }

    /// Colour description of this picture.
    pub fn color(&self) -> Color {
        let raw = self.raw();
        let color = described(
            [raw.color_primaries as u32, raw.color_trc as u32, raw.colorspace as u32],
            raw.color_range,
            raw.chroma_location,
        );
        Color { full_range: color.full_range.or_else(|| self.pixel_format().1.then_some(true)), ..color }
    }

    /// What a high dynamic range was mastered for, as far as the picture says.
    pub fn hdr(&self) -> HdrMetadata {
        // SAFETY: side data of these types hold these structures of libavutil, which is checked by their size; they live
        // as long as the frame.
        unsafe {
            let mastering = self.side_data(ffi::AVFrameSideDataType::AV_FRAME_DATA_MASTERING_DISPLAY_METADATA);
            let light = self.side_data(ffi::AVFrameSideDataType::AV_FRAME_DATA_CONTENT_LIGHT_LEVEL);
            HdrMetadata { mastering: mastering.and_then(mastering_display), light: light.and_then(content_light) }
        }
    }

    /// The structure that side data of type `kind` hold.
    ///
    /// # Safety
    /// `T` must be the structure that libavutil defines for `kind`.
    unsafe fn side_data<T>(&self, kind: ffi::AVFrameSideDataType) -> Option<&T> {
        // SAFETY: the frame is valid; the callee only looks. What it finds is as large as a `T`, which is checked, and
        // libavutil allocates it aligned.
        unsafe {
            let found = ffi::av_frame_get_side_data(self.0.as_ptr(), kind).as_ref()?;
            (found.size >= size_of::<T>() && !found.data.is_null()).then(|| &*found.data.cast::<T>())
        }
    }

    /// The caption data beside the picture (ATSC A/53 Part 4, 6.2.3): triples of `cc_data`; `None` if there is none.
    pub(crate) fn captions(&self) -> Option<Vec<u8>> {
        let kind = ffi::AVFrameSideDataType::AV_FRAME_DATA_A53_CC;
        // SAFETY: the frame is valid; its side data is null or lives as long as the frame, with `size` bytes at `data`.
        let data = unsafe {
            let side = ffi::av_frame_get_side_data(self.0.as_ptr(), kind).as_ref()?;
            (side.size > 0 && !side.data.is_null()).then(|| std::slice::from_raw_parts(side.data, side.size))
        };
        data.map(<[u8]>::to_vec)
    }

    /// The same picture without its captions, sharing its samples.
    ///
    /// # Errors
    /// Lack of memory.
    pub(crate) fn without_captions(&self) -> Result<Self, Error> {
        let mut copy = self.share()?;
        // SAFETY: the frame is valid and owned, and its list of side data is its own.
        unsafe {
            ffi::av_frame_remove_side_data(copy.0.as_mut_ptr(), ffi::AVFrameSideDataType::AV_FRAME_DATA_A53_CC);
        }
        Ok(copy)
    }

    /// Whether the picture consists of two fields.
    pub fn is_interlaced(&self) -> bool {
        self.raw().interlaced_frame != 0
    }

    /// Whether the upper one of the picture's two fields is shown first; `None` where it is a frame.
    pub fn is_top_field_first(&self) -> Option<bool> {
        self.is_interlaced().then(|| self.raw().top_field_first != 0)
    }

    /// CRC-32 of all samples, row padding left out: equal pictures have equal checksums.
    pub fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for plane in 0..self.0.planes() {
            let stride = self.0.stride(plane);
            let Some(row_bytes) = self.row_bytes(plane).filter(|&bytes| bytes > 0 && stride >= bytes) else { continue };
            for row in self.0.data(plane).chunks(stride) {
                hasher.update(&row[..row_bytes.min(row.len())]);
            }
        }
        hasher.finalize()
    }

    /// Bytes of samples in a row of `plane`.
    fn row_bytes(&self, plane: usize) -> Option<usize> {
        let (width, plane) = (i32::try_from(self.0.width()).ok()?, i32::try_from(plane).ok()?);
        // SAFETY: the function only looks the format up.
        let bytes = unsafe { ffi::av_image_get_linesize(self.0.format().into(), width, plane) };
        usize::try_from(bytes).ok()
    }

    fn raw(&self) -> &ffi::AVFrame {
        // SAFETY: `self.0` owns a valid frame for as long as `self` lives.
        unsafe { &*self.0.as_ptr() }
    }
}

/// A colour description of FFmpeg's: primaries, transfer and matrix are numbered as in ITU-T H.273.
pub(super) fn described(points: [u32; 3], range: ffi::AVColorRange, chroma_location: ffi::AVChromaLocation) -> Color {
    let [primaries, transfer, matrix] = points.map(|value| u8::try_from(value).unwrap_or(2));
    let full_range = match range {
        ffi::AVColorRange::AVCOL_RANGE_MPEG => Some(false),
        ffi::AVColorRange::AVCOL_RANGE_JPEG => Some(true),
        _ => None,
    };
    Color {
        primaries,
        transfer,
        matrix,
        full_range,
        chroma_location: u8::try_from(chroma_location as u32).unwrap_or(0),
    }
}

/// `AVMasteringDisplayMetadata` of libavutil's `mastering_display_metadata.h`, which the bindings leave out. Its layout has
/// been the same since it came, and part of the public interface.
#[repr(C)]
struct RawMasteringDisplay {
    display_primaries: [[ffi::AVRational; 2]; 3],
    white_point: [ffi::AVRational; 2],
    min_luminance: ffi::AVRational,
    max_luminance: ffi::AVRational,
    has_primaries: i32,
    has_luminance: i32,
}

/// `AVContentLightMetadata` of the same header.
#[repr(C)]
struct RawContentLight {
    max_cll: u32,
    max_fall: u32,
}

fn mastering_display(raw: &RawMasteringDisplay) -> Option<MasteringDisplay> {
    let fits = |ratio: &ffi::AVRational, unit: f64| {
        let value = f64::from(ratio.num) / f64::from(ratio.den) * unit;
        (ratio.den != 0 && (0.0..=f64::from(u32::MAX)).contains(&value)).then(|| value.round() as u32)
    };
    let chroma = |ratio: &ffi::AVRational| u16::try_from(fits(ratio, 50_000.0)?).ok();
    let point = |pair: &[ffi::AVRational; 2]| Some([chroma(&pair[0])?, chroma(&pair[1])?]);
    if raw.has_primaries == 0 || raw.has_luminance == 0 {
        return None;
    }
    let [red, green, blue] = &raw.display_primaries;
    Some(MasteringDisplay {
        primaries: [point(red)?, point(green)?, point(blue)?],
        white: point(&raw.white_point)?,
        most: fits(&raw.max_luminance, 10_000.0)?,
        least: fits(&raw.min_luminance, 10_000.0)?,
    })
}

/// What a container says that pictures of a high dynamic range were mastered for, in the bytes of the same structures.
pub(super) fn hdr_told(mastering: Option<[u8; 88]>, light: Option<[u8; 8]>) -> HdrMetadata {
    let number = |bytes: &[u8], at: usize| bytes[4 * at..4 * at + 4].try_into().map_or(0, i32::from_ne_bytes);
    let mastering = mastering.and_then(|bytes| {
        let ratio = |at: usize| ffi::AVRational { num: number(&bytes, 2 * at), den: number(&bytes, 2 * at + 1) };
        let pair = |at: usize| [ratio(at), ratio(at + 1)];
        mastering_display(&RawMasteringDisplay {
            display_primaries: [pair(0), pair(2), pair(4)],
            white_point: pair(6),
            min_luminance: ratio(8),
            max_luminance: ratio(9),
            has_primaries: number(&bytes, 20),
            has_luminance: number(&bytes, 21),
        })
    });
    let unsigned = |bytes: &[u8], at: usize| u32::try_from(number(bytes, at)).unwrap_or(0);
    let light = light.map(|bytes| RawContentLight { max_cll: unsigned(&bytes, 0), max_fall: unsigned(&bytes, 1) });
    HdrMetadata { mastering, light: light.as_ref().and_then(content_light) }
}

fn content_light(raw: &RawContentLight) -> Option<ContentLight> {
    Some(ContentLight { most: u16::try_from(raw.max_cll).ok()?, most_mean: u16::try_from(raw.max_fall).ok()? })
}

/// A timestamp of FFmpeg's, `None` where it says there is none.
pub(crate) fn some_timestamp(value: i64) -> Option<i64> {
    (value != ffi::AV_NOPTS_VALUE).then_some(value)
}
