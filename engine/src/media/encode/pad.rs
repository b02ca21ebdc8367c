//! Pads a picture to the right and below by repeating its edge. It crops nothing.

use ffmpeg_next::ffi;
use ffmpeg_next::format::Pixel;

use crate::media::scale::{new_frame, range};
use crate::media::{Error, Kind, Picture};
use crate::units::Size;

/// `picture` padded to `size`, which is no smaller.
///
/// # Errors
/// [`Kind::Internal`] when `size` is smaller; lack of memory.
pub(super) fn padded(picture: &Picture, size: Size) -> Result<Picture, Error> {
    let from = picture.size();
    if from.width > size.width || from.height > size.height {
        return Err(Error::new(Kind::Internal, format!("a picture of {from} can't be padded to {size}")));
    }
    let format = picture.frame().format();
    let mut output = new_frame(size, format)?;
    // SAFETY: both frames are valid; the callee copies no samples.
    let code = unsafe { ffi::av_frame_copy_props(output.as_mut_ptr(), picture.frame().as_ptr()) };
    if code < 0 {
        return Err(Error::code("copying a picture's properties", code));
    }
    // SAFETY: as above.
    unsafe { (*output.as_mut_ptr()).color_range = range(picture.color().full_range) };
    for plane in 0..output.planes() {
        let unit = Unit::of(format, plane)?;
        let (source, target) = (unit.extent(from), unit.extent(size));
        let (source_stride, target_stride) = (picture.frame().stride(plane), output.stride(plane));
        let input = picture.frame().data(plane);
        let rows = output.data_mut(plane);
        for row in 0..target.rows {
            let from = row.min(source.rows - 1) * source_stride;
            let line = &mut rows[row * target_stride..][..target.bytes];
            line[..source.bytes].copy_from_slice(&input[from..from + source.bytes]);
            repeat_last(line, source.bytes, unit.bytes);
        }
    }
    Ok(Picture::wrap(output))
}

/// Fills the rest of `line` with copies of the unit that ends at `used`.
fn repeat_last(line: &mut [u8], used: usize, unit: usize) {
    for at in (used..line.len()).step_by(unit) {
        line.copy_within(used - unit..used, at);
    }
}

/// What one plane's samples look like in memory.
struct Unit {
    bytes: usize,
    log2_across: u8,
    log2_down: u8,
}

/// Size of a plane.
struct Extent {
    bytes: usize,
    rows: usize,
}

impl Unit {
    fn of(format: Pixel, plane: usize) -> Result<Self, Error> {
        let unknown = || Error::new(Kind::Internal, "a pixel format without description");
        let descriptor = format.descriptor().ok_or_else(unknown)?;
        // SAFETY: descriptors are static data of libavutil.
        let components = unsafe { (*descriptor.as_ptr()).comp };
        let mut here = components.iter().take(usize::from(descriptor.nb_components()));
        let component = here.find(|c| usize::try_from(c.plane) == Ok(plane)).ok_or_else(unknown)?;
        let bytes = usize::try_from(component.step).map_err(|_| unknown())?;
        let is_chroma = matches!(plane, 1 | 2) && descriptor.nb_components() > 1;
        let log2 = |log2: u8| if is_chroma { log2 } else { 0 };
        let (log2_across, log2_down) = (log2(descriptor.log2_chroma_w()), log2(descriptor.log2_chroma_h()));
        Ok(Self { bytes, log2_across, log2_down })
    }

    fn extent(&self, size: Size) -> Extent {
        let shrink = |length: u32, log2: u8| length.div_ceil(1 << log2) as usize;
        Extent { bytes: shrink(size.width, self.log2_across) * self.bytes, rows: shrink(size.height, self.log2_down) }
    }
}
