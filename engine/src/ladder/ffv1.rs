//! The archive: FFV1 version 3 (RFC 9043) of the frames as they are. Which pixel formats it holds. Pure.

use super::{Method, Rendition, geometry::in_sixteen_bits};
use crate::source::VideoInfo;

/// The name of the rendition. No rung has it.
pub const NAME: &str = "ffv1";

/// Why there can be no archive of a source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "FFV1 can't hold pixel format {0} without loss; leave ffv1 out of --files, or convert the source to YUV, RGB or grey of 8 to 16 bits first"
)]
pub struct Unheld(String);

/// The rendition that keeps the frames of `video` as they are.
///
/// # Errors
/// [`Unheld`] if FFV1 has no place for their samples.
pub fn rendition(video: &VideoInfo) -> Result<Rendition, Unheld> {
    match format(&video.pixel_format) {
        Some(_) => Ok(Rendition {
            name: NAME.to_owned(),
            size: video.size,
            sample_aspect: in_sixteen_bits(video.sample_aspect),
            method: Method::Ffv1,
        }),
        None => Err(Unheld(video.pixel_format.clone())),
    }
}

/// The pixel format, by FFmpeg's name, that libavcodec's encoder is given for pictures in `source`: the same, or one that has
/// the same samples in another order. `None` if there is none.
pub fn format(source: &str) -> Option<&str> {
    Some(match source {
        "yuyv422" | "uyvy422" | "nv16" => "yuv422p",
        "nv12" | "nv21" => "yuv420p",
        "nv24" | "nv42" => "yuv444p",
        "p010le" => "yuv420p10le",
        "p016le" => "yuv420p16le",
        "rgb24" | "bgr24" | "gbrp" | "0rgb" | "rgb0" | "0bgr" => "bgr0",
        "rgba" | "argb" | "abgr" | "gbrap" => "bgra",
        "gray" | "gray9le" | "gray10le" | "gray12le" | "gray16le" | "ya8" | "bgr0" | "bgra" | "rgb48le"
        | "rgba64le" | "yuv410p" | "yuv411p" | "yuv440p" | "yuv440p10le" | "yuv440p12le" => source,
        _ if is_planar(source) => source,
        _ => return None,
    })
}

/// Planes of luma and chroma, or of green, blue and red, of 8 to 16 bits, with and without one of alpha.
fn is_planar(format: &str) -> bool {
    let stems = ["yuv420p", "yuv422p", "yuv444p", "yuva420p", "yuva422p", "yuva444p", "gbrp", "gbrap"];
    let depths = |stem| match stem {
        "yuv420p" | "yuv422p" | "yuv444p" => &["", "9le", "10le", "12le", "14le", "16le"][..],
        "yuva420p" | "yuva422p" | "yuva444p" => &["", "9le", "10le", "16le"],
        "gbrp" => &["9le", "10le", "12le", "14le", "16le"],
        _ => &["10le", "12le", "16le"],
    };
    stems.iter().any(|stem| format.strip_prefix(stem).is_some_and(|depth| depths(*stem).contains(&depth)))
}

/// How many slices a picture of so many samples is cut into, if its shape allows that: each is decoded by itself, has a
/// checksum of its own, and costs some bytes.
pub fn slices(samples: u64) -> u32 {
    match samples {
        // 720x576, and 1920x1088.
        ..=414_720 => 4,
        414_721..=2_088_960 => 16,
        _ => 36,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_held_as_they_are_or_in_another_order_or_not_at_all() {
        for same in
            ["yuv420p", "yuv422p10le", "yuv444p16le", "yuva444p10le", "gray", "gray12le", "gbrp12le", "gbrap10le"]
        {
            assert_eq!(format(same), Some(same));
        }
        assert_eq!(
            [format("nv12"), format("uyvy422"), format("gbrp")],
            [Some("yuv420p"), Some("yuv422p"), Some("bgr0")]
        );
        for other in ["pal8", "monow", "yuva420p12le", "gbrap9le", "yuv422p10be", "gbrpf32le", "xyz12le", "yuv420p11le"]
        {
            assert_eq!(format(other), None);
        }
        assert!(Unheld("pal8".to_owned()).to_string().starts_with("FFV1 can't hold pixel format pal8"));
    }
}
