//! What libx264 is told for each method of a rendition. Pure but for the preparer it makes.

use ffmpeg_next::format::Pixel;

use super::lossless::{Preparer, packing};
use super::{ChunkCap, ChunkShape, level_for};
use crate::ladder::{Method, Rendition, Search};
use crate::media::scale::{is_rgb, output_color};
use crate::media::{Error, Kind};
use crate::source::{Color, VideoInfo};
use crate::units::{Ratio, Size, TimeBase};

/// Everything libx264 is opened with.
pub(super) struct Settings {
    /// The libavcodec encoder.
    pub(super) encoder: &'static str,
    pub(super) size: Size,
    pub(super) format: Pixel,
    pub(super) sample_aspect: Ratio,
    pub(super) time_base: TimeBase,
    pub(super) frame_rate: Ratio,
    pub(super) color: Color,
    /// Code the two fields of each picture as fields (macroblock-adaptive).
    pub(super) interlaced: bool,
    /// `level_idc`, where x264 is not to choose it.
    pub(super) level: Option<u8>,
    /// The rate cap, if there is one.
    pub(super) cap: Option<ChunkCap>,
    /// libavcodec's options, `x264-params` among them.
    pub(super) options: Vec<(&'static str, String)>,
}

/// A constant rate factor under a rate cap.
pub(super) fn capped(video: &VideoInfo, rendition: &Rendition, chunk: ChunkShape) -> Result<Settings, Error> {
    let Method::Capped { crf, max_rate, buffer_bits, speed, search } = &rendition.method else {
        return Err(wrong_method(rendition));
    };
    let options = vec![
        ("preset", speed.clone()),
        ("crf", crf.to_string()),
        ("profile", "high".to_owned()),
        ("forced-idr", "1".to_owned()),
        ("x264-params", joinable(chunk) + first_key_picture(chunk) + &harder(speed, *search)),
    ];
    Ok(Settings {
        encoder: "libx264",
        size: rendition.size,
        format: Pixel::YUV420P,
        sample_aspect: rendition.sample_aspect,
        time_base: video.time_base,
        frame_rate: video.frame_rate,
        color: output_color(video),
        interlaced: false,
        level: Some(level_for(rendition.size, video.frame_rate, *max_rate, *buffer_bits)),
        cap: ChunkCap::new(&rendition.method, chunk),
        options,
    })
}

/// The frames as they are.
pub(super) fn lossless(
    video: &VideoInfo,
    rendition: &Rendition,
    chunk: ChunkShape,
) -> Result<(Settings, Preparer), Error> {
    let Method::Lossless { speed } = &rendition.method else {
        return Err(wrong_method(rendition));
    };
    let packing = packing(&video.pixel_format)?;
    // x264 codes fields in pairs of macroblock rows; a picture that has not got them is coded as a frame, which loses
    // nothing either.
    let interlaced = video.interlaced && rendition.size.height.is_multiple_of(4);
    // Field macroblocks that x264 (core 164) predicts from other pictures without loss decode to something else.
    let intra = if interlaced { ":keyint=1" } else { "" };
    let options = vec![
        ("preset", speed.clone()),
        ("qp", "0".to_owned()),
        ("forced-idr", "1".to_owned()),
        ("x264-params", joinable(chunk) + intra),
    ];
    let rgb = is_rgb(&video.pixel_format);
    let settings = Settings {
        encoder: packing.encoder,
        size: rendition.size,
        format: packing.format,
        sample_aspect: rendition.sample_aspect,
        time_base: video.time_base,
        frame_rate: video.frame_rate,
        color: if rgb { Color { matrix: 0, full_range: None, ..video.color } } else { video.color },
        interlaced,
        level: None,
        cap: None,
        options,
    };
    Ok((settings, Preparer::new(video, packing, rendition.size)))
}

fn wrong_method(rendition: &Rendition) -> Error {
    Error::new(Kind::Internal, format!("rendition {} is not encoded this way", rendition.name))
}

/// The least `keyint` that is given: below it x264 takes B-frames out of the parameter sets.
const LEAST_KEYINT: u32 = 48;

/// What makes chunks join: parameter sets that do not depend on the contents, closed GOPs, and one thread, so that
/// the bytes do not depend on the machine. Key frames are forced at the segments' starts; `keyint` only lets x264
/// judge scene cuts as it would in one run with such segments.
fn joinable(chunk: ChunkShape) -> String {
    let keyint = chunk.longest_segment.max(LEAST_KEYINT);
    let instructions = instructions();
    format!("stitchable=1:open-gop=0:threads=1:sliced-threads=0:sync-lookahead=0:keyint={keyint}{instructions}")
}

/// Gives the key picture that begins a later chunk the quantizer that it would get in one run. To a key picture x264
/// gives that of the P-pictures so far, finer by `ipratio` (1.4); to the first of an encode, with its macroblock tree,
/// that of P-pictures as it is (`rate_estimate_qscale` in its `ratecontrol.c`). A zone of that one picture makes up
/// for it.
fn first_key_picture(chunk: ChunkShape) -> &'static str {
    if chunk.first { "" } else { ":zones=0,0,b=1.4" }
}

/// What x264's preset `slower` searches harder than the faster ones; nothing that its parameter sets tell of.
fn harder(speed: &str, search: Search) -> String {
    if search <= Search::of_speed(speed) {
        return String::new();
    }
    // From `subme=6` on x264 weighs distortion as people do, and lowers chroma's quantizer by 2 for it, which stands in
    // the picture parameter set.
    let chroma = match speed {
        "ultrafast" | "superfast" | "veryfast" | "faster" => ":chroma-qp-offset=2",
        _ => "",
    };
    format!(":me=umh:subme=9:trellis=2:b-adapt=2:direct=auto:partitions=all:rc-lookahead=60{chroma}")
}

/// Keeps x264 from AVX-512. Its macroblock tree (core 164) reads memory there that nobody wrote, wherever the
/// picture is not a multiple of 16 macroblocks wide: the same pictures give other bytes from run to run. With AVX2
/// they don't, and machines with and without AVX-512 agree.
fn instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        return ":asm=avx2";
    }
    ""
}
