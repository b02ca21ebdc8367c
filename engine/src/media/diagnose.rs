//! What this machine's FFmpeg can do: versions, decoders by name, and encoders tried on a few frames of grey
//! and of silence. Looks only; changes nothing.

use std::ffi::CStr;
use std::fmt;

use ffmpeg_next::{self as ffmpeg, ChannelLayout, codec, ffi, format, frame};

use super::vmaf::{self, Model};
use super::{Error, Kind};

/// Frames that an encoder is tried on.
const TRIAL_FRAMES: i64 = 3;
/// Side of the picture that a video encoder is tried on, in samples.
const TRIAL_SIDE: u32 = 64;
/// Samples a second of the silence that an audio encoder is tried on.
const TRIAL_RATE: u16 = 48_000;

/// The FFmpeg libraries that the process runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Libraries {
    /// FFmpeg's release, such as `5.1.9-0+deb12u1`.
    pub release: String,
    /// The licence that this build of FFmpeg is under.
    pub license: String,
    /// Each library with its own version, such as `libavcodec` 59.37.100.
    pub versions: Vec<(&'static str, Version)>,
}

/// A library's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Changes when programs must be built again.
    pub major: u32,
    /// Grows with features.
    pub minor: u32,
    /// Grows with repairs.
    pub micro: u32,
}

impl Version {
    /// From FFmpeg's `AV_VERSION_INT`.
    fn from_int(version: u32) -> Self {
        Self { major: version >> 16, minor: version >> 8 & 0xff, micro: version & 0xff }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// The FFmpeg libraries that the process runs with.
pub fn libraries() -> Libraries {
    // SAFETY: `av_version_info` returns a C string that lives as long as the process.
    let release = unsafe { CStr::from_ptr(ffi::av_version_info()) }.to_string_lossy().into_owned();
    let versions = [
        ("libavutil", ffmpeg::util::version()),
        ("libavcodec", codec::version()),
        ("libavformat", format::version()),
        ("libavfilter", ffmpeg::filter::version()),
        ("libswscale", ffmpeg::software::scaling::version()),
        ("libswresample", ffmpeg::software::resampling::version()),
    ];
    Libraries {
        release,
        license: codec::license().to_owned(),
        versions: versions.map(|(name, version)| (name, Version::from_int(version))).into(),
    }
}

/// Whether a decoder of this name, such as `hevc` or `libdav1d`, is built in.
pub fn has_decoder(name: &str) -> bool {
    codec::decoder::find_by_name(name).is_some()
}

/// Encodes a few grey frames with the encoder of this name, such as `libx264`; returns the bytes that came out.
///
/// # Errors
/// [`Kind::Unsupported`] if it is not built in, and whatever FFmpeg answers if it does not work.
pub fn try_video_encoder(name: &str) -> Result<usize, Error> {
    let codec = find_encoder(name)?;
    let mut setup = codec::context::Context::new_with_codec(codec).encoder().video().map_err(failed)?;
    setup.set_width(TRIAL_SIDE);
    setup.set_height(TRIAL_SIDE);
    setup.set_format(format::Pixel::YUV420P);
    setup.set_time_base((1, 25));
    let mut options = ffmpeg::Dictionary::new();
    if name == "libx265" {
        // It would tell standard error all about itself.
        options.set("x265-params", "log-level=error");
    }
    let mut encoder = setup.open_as_with(codec, options).map_err(failed)?;
    let mut grey = frame::Video::new(format::Pixel::YUV420P, TRIAL_SIDE, TRIAL_SIDE);
    for plane in 0..grey.planes() {
        grey.data_mut(plane).fill(128);
    }
    let mut bytes = 0;
    for pts in 0..TRIAL_FRAMES {
        grey.set_pts(Some(pts));
        encoder.send_frame(&grey).map_err(failed)?;
        bytes += receive(&mut encoder)?.0;
    }
    finish(&mut encoder, bytes, name)
}

/// Loads the models that quality is measured with; returns their names.
///
/// # Errors
/// [`Kind::Internal`] if libvmaf was built without them.
pub fn try_vmaf() -> Result<Vec<&'static str>, Error> {
    let load = |model: Model| vmaf::scores(model, &[]).map(|_| model.name());
    [Model::Hd, Model::Uhd].into_iter().map(load).collect()
}

/// Encodes a few frames of silence with the encoder of this name, such as `aac`; returns the bytes that came out.
///
/// # Errors
/// [`Kind::Unsupported`] if it is not built in, and whatever FFmpeg answers if it does not work.
pub fn try_audio_encoder(name: &str) -> Result<usize, Error> {
    let codec = find_encoder(name)?;
    let sample = format::Sample::F32(format::sample::Type::Planar);
    let mut setup = codec::context::Context::new_with_codec(codec).encoder().audio().map_err(failed)?;
    setup.set_rate(TRIAL_RATE.into());
    setup.set_format(sample);
    setup.set_channel_layout(ChannelLayout::STEREO);
    setup.set_time_base((1, TRIAL_RATE.into()));
    let mut encoder = setup.open_as(codec).map_err(failed)?;
    // An encoder that takes frames of any length says 0.
    let length = encoder.frame_size().max(256);
    let mut silence = frame::Audio::new(sample, length as usize, ChannelLayout::STEREO);
    silence.set_rate(TRIAL_RATE.into());
    for plane in 0..silence.planes() {
        silence.data_mut(plane).fill(0);
    }
    let mut bytes = 0;
    for number in 0..TRIAL_FRAMES {
        silence.set_pts(Some(number * i64::from(length)));
        encoder.send_frame(&silence).map_err(failed)?;
        bytes += receive(&mut encoder)?.0;
    }
    finish(&mut encoder, bytes, name)
}

fn find_encoder(name: &str) -> Result<ffmpeg::Codec, Error> {
    codec::encoder::find_by_name(name)
        .ok_or_else(|| Error::new(Kind::Unsupported, format!("this FFmpeg is built without {name}")))
}

/// Takes the packets that are ready; returns their bytes, and whether they were the last.
fn receive(encoder: &mut codec::encoder::Encoder) -> Result<(usize, bool), Error> {
    let (mut packet, mut bytes) = (ffmpeg::Packet::empty(), 0);
    loop {
        match encoder.receive_packet(&mut packet) {
            Ok(()) => bytes += packet.size(),
            Err(ffmpeg::Error::Other { errno: ffi::EAGAIN }) => return Ok((bytes, false)),
            Err(ffmpeg::Error::Eof) => return Ok((bytes, true)),
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Ends the stream; `bytes` came out before. An encoder that gives nothing does not work.
fn finish(encoder: &mut codec::encoder::Encoder, bytes: usize, name: &str) -> Result<usize, Error> {
    encoder.send_eof().map_err(failed)?;
    match receive(encoder)? {
        (rest, true) if bytes + rest > 0 => Ok(bytes + rest),
        _ => Err(Error::new(Kind::Internal, format!("{name} does not finish what it was given"))),
    }
}

fn failed(error: ffmpeg::Error) -> Error {
    Error::ffmpeg("trying the encoder", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_taken_apart_as_ffmpeg_puts_them_together() {
        let version = Version::from_int(59 << 16 | 37 << 8 | 100);
        assert_eq!(version.to_string(), "59.37.100");
    }

    #[test]
    fn all_libraries_tell_a_version_and_the_release_is_known() {
        let libraries = libraries();
        assert!(!libraries.release.is_empty());
        assert!(libraries.versions.iter().all(|(_, version)| version.major > 0), "{libraries:?}");
    }

    #[test]
    fn the_encoders_that_the_product_needs_work_here() {
        super::super::silence_log();
        assert!(try_video_encoder("libx264").unwrap() > 0);
        assert!(try_audio_encoder("aac").unwrap() > 0);
    }

    #[test]
    fn quality_can_be_measured_here() {
        assert_eq!(try_vmaf().unwrap(), ["vmaf_v0.6.1", "vmaf_4k_v0.6.1"]);
    }

    #[test]
    fn an_encoder_that_is_not_built_in_is_told_by_name() {
        let error = try_video_encoder("libnothing").unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains("libnothing"));
    }

    #[test]
    fn decoders_are_found_by_name() {
        assert!(has_decoder("h264"));
        assert!(!has_decoder("nothing"));
    }
}
