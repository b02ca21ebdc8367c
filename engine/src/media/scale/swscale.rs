//! One swscale context that is rebuilt when its input changes shape. It decides no sizes and no colours.

use std::ffi::CStr;
use std::ptr::{self, NonNull};

use ffmpeg_next::format::Pixel;
use ffmpeg_next::{ffi, frame};

use crate::media::{Error, Kind, Picture};
use crate::source::Color;
use crate::units::Size;

/// What a picture is converted to.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Target {
    /// Size in samples.
    pub(crate) size: Size,
    /// Pixel format.
    pub(crate) format: Pixel,
    /// Colours of the result: range, and matrix where the source is RGB.
    pub(crate) color: Color,
}

/// A converter to one target after the other.
#[derive(Default)]
pub(crate) struct Swscale {
    open: Option<(Conversion, Context)>,
}

/// Everything that a context is built for.
#[derive(Clone, Copy, PartialEq)]
struct Conversion {
    from: (Size, Pixel),
    from_full_range: bool,
    from_location: u8,
    to: Target,
}

struct Context(NonNull<ffi::SwsContext>);

// SAFETY: a context is used by one thread at a time (`&mut`) and is bound to none.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context is owned and freed once.
        unsafe { ffi::sws_freeContext(self.0.as_ptr()) }
    }
}

impl Swscale {
    /// `picture` converted to `target`; its other properties are kept.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for a pixel format that swscale can't read; lack of memory.
    pub(crate) fn convert(&mut self, picture: &Picture, target: Target) -> Result<Picture, Error> {
        let conversion = Conversion::of(picture, target);
        if self.open.as_ref().is_none_or(|(open, _)| *open != conversion) {
            self.open = None;
            let context = Context::open(&conversion).ok_or_else(|| unreadable(picture, target))?;
            self.open = Some((conversion, context));
        }
        let Some((_, context)) = &self.open else {
            return Err(Error::new(Kind::Internal, "no scaling context"));
        };
        context.run(picture, target)
    }
}

fn unreadable(picture: &Picture, target: Target) -> Error {
    let (name, _) = picture.pixel_format();
    Error::new(
        Kind::Unsupported,
        format!("pictures of {} in pixel format {name} can't be scaled to {}", picture.size(), target.size),
    )
}

impl Conversion {
    fn of(picture: &Picture, to: Target) -> Self {
        let color = picture.color();
        Self {
            from: (picture.size(), picture.frame().format()),
            from_full_range: color.full_range.unwrap_or(to.color.full_range.unwrap_or(false)),
            from_location: color.chroma_location,
            to,
        }
    }

    /// The options of the context. Ranges are given on both sides, so that nothing is converted unasked.
    fn options(&self) -> [(&'static CStr, i64); 14] {
        let source = siting(self.from_location, self.from.1);
        let target = siting(self.to.color.chroma_location, self.to.format);
        let to_full_range = self.to.color.full_range.unwrap_or(false);
        [
            (c"srcw", self.from.0.width.into()),
            (c"srch", self.from.0.height.into()),
            (c"src_format", raw_format(self.from.1).into()),
            (c"dstw", self.to.size.width.into()),
            (c"dsth", self.to.size.height.into()),
            (c"dst_format", raw_format(self.to.format).into()),
            (c"src_range", self.from_full_range.into()),
            (c"dst_range", to_full_range.into()),
            (c"src_h_chr_pos", source.0),
            (c"src_v_chr_pos", source.1),
            (c"dst_h_chr_pos", target.0),
            (c"dst_v_chr_pos", target.1),
            (c"sws_flags", ffi::SWS_BICUBIC.into()),
            (c"threads", 1),
        ]
    }
}

impl Context {
    fn open(conversion: &Conversion) -> Option<Self> {
        // SAFETY: the context is allocated, filled by its option table, initialised once and freed by `Drop`; the
        // coefficient tables are static data of swscale.
        unsafe {
            let context = Self(NonNull::new(ffi::sws_alloc_context())?);
            let raw = context.0.as_ptr();
            for (name, value) in conversion.options() {
                if ffi::av_opt_set_int(raw.cast(), name.as_ptr(), value, 0) < 0 {
                    return None;
                }
            }
            if ffi::sws_init_context(raw, ptr::null_mut(), ptr::null_mut()) < 0 {
                return None;
            }
            let table = ffi::sws_getCoefficients(conversion.to.color.matrix.into());
            let (from, to) = (conversion.from_full_range, conversion.to.color.full_range.unwrap_or(false));
            let one = 1 << 16;
            // It answers -1 where nothing depends on the tables, which is no failure.
            ffi::sws_setColorspaceDetails(raw, table, from.into(), table, to.into(), 0, one, one);
            Some(context)
        }
    }

    fn run(&self, picture: &Picture, target: Target) -> Result<Picture, Error> {
        let mut output = new_frame(target.size, target.format)?;
        let source = picture.frame();
        // SAFETY: both frames are valid, allocated for exactly the shapes that the context was opened for, and
        // outlive the calls.
        unsafe {
            let (from, to) = (source.as_ptr(), output.as_mut_ptr());
            let code = ffi::av_frame_copy_props(to, from);
            if code < 0 {
                return Err(Error::code("copying a picture's properties", code));
            }
            (*to).color_range = range(target.color.full_range);
            let data = (*from).data.as_ptr().cast::<*const u8>();
            let (lines, target_lines) = ((*from).linesize.as_ptr(), (*to).linesize.as_ptr());
            let raw = self.0.as_ptr();
            let rows = ffi::sws_scale(raw, data, lines, 0, (*from).height, (*to).data.as_ptr(), target_lines);
            if rows != (*to).height {
                return Err(Error::new(Kind::Internal, format!("scaling gave {rows} rows of {}", (*to).height)));
            }
        }
        Ok(Picture::wrap(output))
    }
}

/// An empty picture with memory of its own.
///
/// # Errors
/// Lack of memory; a size that can't be.
pub(crate) fn new_frame(size: Size, format: Pixel) -> Result<frame::Video, Error> {
    let side = |length: u32| i32::try_from(length).map_err(|_| Error::new(Kind::Unsupported, "picture too large"));
    let (width, height) = (side(size.width)?, side(size.height)?);
    let mut output = frame::Video::empty();
    // SAFETY: the frame is valid and empty; size and format are set before its buffers are asked for.
    let code = unsafe {
        let raw = &mut *output.as_mut_ptr();
        (raw.width, raw.height, raw.format) = (width, height, raw_format(format));
        ffi::av_frame_get_buffer(raw, 0)
    };
    if code < 0 { Err(Error::code("allocating a picture", code)) } else { Ok(output) }
}

/// The format as the integer that FFmpeg's structures hold.
pub(crate) fn raw_format(format: Pixel) -> i32 {
    ffi::AVPixelFormat::from(format) as i32
}

/// The range as FFmpeg's structures hold it.
pub(crate) fn range(full: Option<bool>) -> ffi::AVColorRange {
    match full {
        None => ffi::AVColorRange::AVCOL_RANGE_UNSPECIFIED,
        Some(false) => ffi::AVColorRange::AVCOL_RANGE_MPEG,
        Some(true) => ffi::AVColorRange::AVCOL_RANGE_JPEG,
    }
}

/// Where the first chroma sample lies, right and down of the first luma sample in 1/256 of a luma sample. What the
/// source leaves unsaid is left-sited, the default of H.264 (ITU-T H.264, E.2.1). Only along a subsampled axis is
/// there anything to say.
fn siting(chroma_location: u8, format: Pixel) -> (i64, i64) {
    const NOTHING_TO_SAY: i64 = -513;
    let (right, down) = match chroma_location {
        2 => (128, 128),
        3 => (0, 0),
        4 => (128, 0),
        5 => (0, 256),
        6 => (128, 256),
        _ => (0, 128),
    };
    let subsampled = |log2: u8| log2 > 0;
    let (across, along) =
        format.descriptor().map_or((false, false), |d| (subsampled(d.log2_chroma_w()), subsampled(d.log2_chroma_h())));
    (if across { right } else { NOTHING_TO_SAY }, if along { down } else { NOTHING_TO_SAY })
}
