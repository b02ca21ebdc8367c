//! What is known of a source before its packets are listed: container, video and audio streams.

use serde::{Deserialize, Serialize};

use crate::units::{Ratio, Size, TimeBase};

/// What probing a source tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// Size of the source in bytes.
    pub bytes: u64,
    /// FFmpeg's name of the container format, such as `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// The video stream that is encoded: the first that is not a cover picture.
    pub video: VideoInfo,
    /// The audio streams that can be decoded, in the container's order.
    pub audio: Vec<AudioInfo>,
    /// Streams that are left out, each with a sentence that says why.
    pub left_out: Vec<String>,
}

/// The video stream, as its first decoded picture shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoInfo {
    /// Index of the stream in the container.
    pub stream: usize,
    /// FFmpeg's name of the codec, such as `h264`.
    pub codec: String,
    /// Unit of all video timestamps.
    pub time_base: TimeBase,
    /// Size of the first decoded picture, before rotation.
    pub size: Size,
    /// Sample aspect ratio (width over height of one sample), before rotation.
    pub sample_aspect: Ratio,
    /// How the picture must be turned to stand upright.
    pub rotation: Rotation,
    /// FFmpeg's name of the pixel format, such as `yuv420p10le`; `yuvj*` names are given as `yuv*` with
    /// `color.full_range` set.
    pub pixel_format: String,
    /// Colour description.
    pub color: Color,
    /// Whether the container, the codec's headers or the first picture say that frames are interlaced.
    pub interlaced: bool,
    /// Nominal frames a second (the container's average; an encoder's rate control needs one).
    pub frame_rate: Ratio,
}

/// A turn of the picture, clockwise, applied after the mirroring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rotation {
    /// Clockwise quarter turns that make the picture stand upright, 0 to 3.
    pub quarter_turns: u8,
    /// Whether the picture must be mirrored left to right before it is turned.
    pub mirrored: bool,
}

impl Rotation {
    /// Whether width and height change places.
    pub fn swaps_axes(self) -> bool {
        self.quarter_turns % 2 == 1
    }

    /// Whether the picture stands upright as it is.
    pub fn is_identity(self) -> bool {
        self == Self::default()
    }
}

/// Colour description by the code points of ITU-T H.273; 2 is "unspecified".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Color {
    /// ColourPrimaries.
    pub primaries: u8,
    /// TransferCharacteristics.
    pub transfer: u8,
    /// MatrixCoefficients.
    pub matrix: u8,
    /// VideoFullRangeFlag; `None` where the source does not say.
    pub full_range: Option<bool>,
    /// Chroma sample location type as FFmpeg's `AVChromaLocation`; 0 is unspecified.
    pub chroma_location: u8,
}

impl Color {
    /// Nothing is said about colour.
    pub const UNSPECIFIED: Color = Color { primaries: 2, transfer: 2, matrix: 2, full_range: None, chroma_location: 0 };
}

/// One audio stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioInfo {
    /// Index of the stream in the container.
    pub stream: usize,
    /// FFmpeg's name of the codec, such as `aac`.
    pub codec: String,
    /// Whether the stream is AAC-LC that can go into an output as it is.
    pub is_aac_lc: bool,
    /// Samples a second.
    pub sample_rate: u32,
    /// Number of channels, at least 1.
    pub channels: u16,
    /// The language as the container tells it (ISO 639), if it does.
    pub language: Option<String>,
    /// The title as the container tells it, if it does.
    pub title: Option<String>,
    /// Whether the container marks the stream as the default one.
    pub default: bool,
    /// Unit of the stream's timestamps.
    pub time_base: TimeBase,
    /// Presentation time of the first sample that decoding yields (priming already dropped), in `time_base`.
    pub start: i64,
}
