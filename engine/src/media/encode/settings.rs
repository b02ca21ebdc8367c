//! What encoders are told for each method of a rendition. Pure but for the preparer it makes.

use std::fmt::Write as _;

use ffmpeg_next::format::Pixel;

use super::lossless::{Packing, Preparer, packing};
use super::{ChunkCap, ChunkShape, level_for};
use crate::format::{hevc, vp9};
use crate::ladder::{Method, Rendition, Search, VideoCodec, ffv1};
use crate::media::scale::{is_rgb, output_color, picture_format};
use crate::media::{Error, Kind};
use crate::source::{Color, ContentLight, HdrMetadata, MasteringDisplay, VideoInfo};
use crate::units::{BitRate, Ratio, Size, TimeBase};

/// What an encoder encodes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// What renditions of a ladder are in.
    Ladder(VideoCodec),
    /// FFV1 (RFC 9043).
    Ffv1,
}

/// Everything an encoder is opened with.
pub(super) struct Settings {
    /// The libavcodec encoder.
    pub(super) encoder: &'static str,
    /// What it encodes to.
    pub(super) coding: Coding,
    pub(super) size: Size,
    pub(super) format: Pixel,
    pub(super) sample_aspect: Ratio,
    pub(super) time_base: TimeBase,
    pub(super) frame_rate: Ratio,
    pub(super) color: Color,
    /// Code the two fields of each picture as fields (macroblock-adaptive).
    pub(super) interlaced: bool,
    /// The level as the codec numbers it, where the encoder is not to choose it.
    pub(super) level: Option<u8>,
    /// The rate cap, if there is one.
    pub(super) cap: Option<ChunkCap>,
    /// libavcodec's options, `x264-params` among them.
    pub(super) options: Vec<(&'static str, String)>,
}

/// A constant rate factor under a rate cap.
pub(super) fn capped(video: &VideoInfo, rendition: &Rendition, chunk: ChunkShape) -> Result<Settings, Error> {
    let Method::Capped { codec, depth, look, crf, max_rate, buffer_bits, speed, search } = &rendition.method else {
        return Err(wrong_method(rendition));
    };
    let cap = ChunkCap::new(&rendition.method, chunk);
    let told = Told { video, chunk, cap, crf: *crf, speed };
    let (options, level) = match codec {
        VideoCodec::H264 => (x264(told, *search), level_for(rendition.size, video.frame_rate, *max_rate, *buffer_bits)),
        VideoCodec::Hevc => {
            let level = hevc::level_for(rendition.size, video.frame_rate, *max_rate, *buffer_bits);
            (x265(told, *depth, level), level)
        }
        VideoCodec::Vp9 => (libvpx(told, *max_rate), vp9::level_for(rendition.size, video.frame_rate, *max_rate)),
        VideoCodec::Av1 => (svt_av1(told), 0),
    };
    Ok(Settings {
        encoder: codec.encoder(),
        coding: Coding::Ladder(*codec),
        size: rendition.size,
        format: picture_format(*depth),
        sample_aspect: rendition.sample_aspect,
        time_base: video.time_base,
        frame_rate: video.frame_rate,
        color: output_color(video, *look),
        interlaced: false,
        level: Some(level),
        cap,
        options,
    })
}

/// What every encoder is told, in words of its own.
#[derive(Clone, Copy)]
struct Told<'a> {
    video: &'a VideoInfo,
    chunk: ChunkShape,
    cap: Option<ChunkCap>,
    crf: f32,
    speed: &'a str,
}

type Options = Vec<(&'static str, String)>;

fn x264(told: Told<'_>, search: Search) -> Options {
    vec![
        ("preset", told.speed.to_owned()),
        ("crf", told.crf.to_string()),
        ("profile", "high".to_owned()),
        ("forced-idr", "1".to_owned()),
        ("x264-params", joinable(told.chunk) + first_key_picture(told.chunk) + &harder(told.speed, search)),
    ]
}

/// x265 takes its parameter sets from its settings alone. What it would put its threads to, chunks are for.
fn x265(told: Told<'_>, depth: u8, level: u8) -> Options {
    let Told { video, chunk, cap, .. } = told;
    let keyint = chunk.longest_segment.max(LEAST_KEYINT);
    let rate = video.frame_rate;
    let mut parameters = format!(
        "pools=none:frame-threads=1:wpp=0:pmode=0:pme=0:info=0:repeat-headers=0:open-gop=0:keyint={keyint}:log-level=error\
         :fps={}/{}:level-idc={}:high-tier=0{}",
        rate.num(),
        rate.den(),
        f32::from(level) / 30.0,
        first_key_picture(chunk),
    );
    if let Some(cap) = cap {
        // Writing to a string cannot fail.
        let _ = write!(
            parameters,
            ":vbv-maxrate={}:vbv-bufsize={}:vbv-init={:.3}",
            kilobits(cap.max_rate(rate).0),
            kilobits(cap.buffer_bits()),
            cap.begins_with_bits() as f64 / cap.buffer_bits().max(1) as f64,
        );
    }
    if depth > 8 {
        parameters.push_str(&hdr10(&video.hdr));
    }
    vec![
        ("preset", told.speed.to_owned()),
        ("crf", told.crf.to_string()),
        ("profile", if depth > 8 { "main10" } else { "main" }.to_owned()),
        ("forced-idr", "1".to_owned()),
        ("x265-params", parameters),
    ]
}

/// The mastering display and the light level, as x265 takes them (green before blue before red).
fn hdr10(hdr: &HdrMetadata) -> String {
    let mut parameters = String::new();
    if let Some(MasteringDisplay { primaries: [red, green, blue], white, most, least }) = hdr.mastering {
        // Writing to a string cannot fail.
        let _ = write!(
            parameters,
            ":master-display=G({},{})B({},{})R({},{})WP({},{})L({most},{least})",
            green[0], green[1], blue[0], blue[1], red[0], red[1], white[0], white[1]
        );
    }
    if let Some(ContentLight { most, most_mean }) = hdr.light {
        let _ = write!(parameters, ":max-cll={most},{most_mean}");
    }
    parameters
}

/// libvpx in one pass, with constrained quality: no better than the factor, and no more than the rate on average.
fn libvpx(told: Told<'_>, max_rate: BitRate) -> Options {
    let keyint = told.chunk.longest_segment.max(LEAST_KEYINT);
    vec![
        ("crf", told.crf.to_string()),
        ("b", max_rate.0.to_string()),
        ("deadline", "good".to_owned()),
        ("cpu-used", VideoCodec::Vp9.preset(told.speed).to_owned()),
        ("lag-in-frames", "25".to_owned()),
        ("auto-alt-ref", "1".to_owned()),
        ("row-mt", "0".to_owned()),
        ("tile-columns", "0".to_owned()),
        ("frame-parallel", "0".to_owned()),
        ("g", keyint.to_string()),
    ]
}

/// SVT-AV1 on one core, with no key frame but the first.
fn svt_av1(told: Told<'_>) -> Options {
    vec![
        ("preset", VideoCodec::Av1.preset(told.speed).to_owned()),
        ("crf", (told.crf as u32).to_string()),
        ("svtav1-params", "lp=1:pin=0:keyint=-1:scd=0".to_owned()),
    ]
}

fn kilobits(bits: u64) -> u64 {
    (bits / 1000).max(1)
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
    let settings = Settings {
        encoder: packing.encoder,
        coding: Coding::Ladder(VideoCodec::H264),
        size: rendition.size,
        format: packing.format,
        sample_aspect: rendition.sample_aspect,
        time_base: video.time_base,
        frame_rate: video.frame_rate,
        color: own_color(video),
        interlaced,
        level: None,
        cap: None,
        options,
    };
    Ok((settings, Preparer::new(video, packing)))
}

/// What the samples of pictures that are kept as they are mean.
fn own_color(video: &VideoInfo) -> Color {
    if is_rgb(&video.pixel_format) { Color { matrix: 0, full_range: None, ..video.color } } else { video.color }
}

/// The frames as they are in FFV1, each by itself, in so many slices with a checksum each; 0 leaves their number to the
/// encoder. Of natural pictures of eight bits the range coder makes 3 % to 23 % less than Golomb-Rice codes, and with its
/// default table of states about as much as with the encoder's other one (1 % more to 4 % less).
pub(super) fn ffv1(video: &VideoInfo, rendition: &Rendition, slices: u32) -> Result<(Settings, Preparer), Error> {
    let unheld = || Error::new(Kind::Unsupported, format!("FFV1 can't hold pixel format {}", video.pixel_format));
    let format = ffv1::format(&video.pixel_format).and_then(|name| name.parse().ok()).ok_or_else(unheld)?;
    let option = |name, value: &str| (name, value.to_owned());
    let options = vec![
        option("level", "3"),
        option("g", "1"),
        option("coder", "range_def"),
        option("context", "0"),
        option("slicecrc", "1"),
        ("slices", slices.to_string()),
    ];
    let settings = Settings {
        encoder: "ffv1",
        coding: Coding::Ffv1,
        size: rendition.size,
        format,
        sample_aspect: rendition.sample_aspect,
        time_base: video.time_base,
        frame_rate: video.frame_rate,
        color: own_color(video),
        interlaced: false,
        level: None,
        cap: None,
        options,
    };
    let packing = Packing { encoder: settings.encoder, format };
    Ok((settings, Preparer::new(video, packing)))
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
