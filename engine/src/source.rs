//! What is known of a source before its packets are listed: container, video and audio streams.

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

use crate::bitstream::captions::Channel;
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
    /// The subtitle streams that are text, in the container's order.
    pub subtitles: Vec<SubtitleInfo>,
    /// The captions that the video itself carries.
    pub captions: Vec<Channel>,
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
    /// The same as the first decoded picture itself says it, if it does: later ones that say otherwise are of another
    /// shape.
    pub picture_aspect: Option<Ratio>,
    /// How the picture must be turned to stand upright.
    pub rotation: Rotation,
    /// FFmpeg's name of the pixel format, such as `yuv420p10le`; `yuvj*` names are given as `yuv*` with
    /// `color.full_range` set.
    pub pixel_format: String,
    /// Colour description.
    pub color: Color,
    /// What a high dynamic range was mastered for.
    pub hdr: HdrMetadata,
    /// Whether the container, the codec's headers or the first picture say that frames are interlaced.
    pub interlaced: bool,
    /// Whether the first picture, if it is of two fields, shows the upper one first.
    pub top_field_first: Option<bool>,
    /// Nominal frames a second (the container's average; an encoder's rate control needs one).
    pub frame_rate: Ratio,
}

/// A turn of the picture, clockwise, applied after the mirroring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rotation {
    /// Clockwise quarter turns that make the picture stand upright, 0 to 3.
    #[serde(deserialize_with = "quarter_turns")]
    pub quarter_turns: u8,
    /// Whether the picture must be mirrored left to right before it is turned.
    pub mirrored: bool,
}

fn quarter_turns<'de, D: Deserializer<'de>>(written: D) -> Result<u8, D::Error> {
    match u8::deserialize(written)? {
        turns @ 0..=3 => Ok(turns),
        turns => Err(D::Error::custom(format!("{turns} quarter turns are a whole turn or more"))),
    }
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
    /// BT.709 in limited range: what a standard dynamic range is mapped to.
    pub const BT709: Color =
        Color { primaries: 1, transfer: 1, matrix: 1, full_range: Some(false), chroma_location: 1 };

    /// This, and what it does not say as `other` says it.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let point = |own: u8, other: u8| if own == 2 { other } else { own };
        Self {
            primaries: point(self.primaries, other.primaries),
            transfer: point(self.transfer, other.transfer),
            matrix: point(self.matrix, other.matrix),
            full_range: self.full_range.or(other.full_range),
            chroma_location: if self.chroma_location == 0 { other.chroma_location } else { self.chroma_location },
        }
    }

    /// What the transfer characteristics say of the dynamic range (ITU-T H.273, table 3), each by its name.
    pub fn dynamic_range(&self) -> DynamicRange {
        match self.transfer {
            // SMPTE ST 2084, the perceptual quantizer of ITU-R BT.2100.
            16 => DynamicRange::Pq,
            // ARIB STD-B67, the hybrid log-gamma of ITU-R BT.2100.
            18 => DynamicRange::Hlg,
            // BT.709, BT.470 System M and B/G, BT.601, SMPTE ST 240.
            1 | 4 | 5 | 6 | 7
            // Linear, logarithmic in two ranges, IEC 61966-2-4 (xvYCC), BT.1361, IEC 61966-2-1 (sRGB).
            | 8..=13
            // BT.2020 in 10 and 12 bits, SMPTE ST 428-1.
            | 14 | 15 | 17
            // Unspecified, and what is reserved.
            | 0 | 2 | 3 | 19.. => DynamicRange::Standard,
        }
    }

    /// Nothing is said about colour.
    pub const UNSPECIFIED: Color = Color { primaries: 2, transfer: 2, matrix: 2, full_range: None, chroma_location: 0 };
}

/// The dynamic range that pictures are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DynamicRange {
    /// What displays have always shown.
    Standard,
    /// High, by the perceptual quantizer: absolute luminance up to 10,000 cd/m² (SMPTE ST 2084).
    Pq,
    /// High, by hybrid log-gamma (ARIB STD-B67).
    Hlg,
}

/// What pictures of a high dynamic range were mastered for; nothing is said where all is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HdrMetadata {
    /// The display they were mastered on.
    pub mastering: Option<MasteringDisplay>,
    /// How bright they get.
    pub light: Option<ContentLight>,
}

impl HdrMetadata {
    /// This, and what it does not say as `other` says it.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { mastering: self.mastering.or(other.mastering), light: self.light.or(other.light) }
    }
}

/// The colour volume of the mastering display (SMPTE ST 2086; ITU-T H.265, D.3.28), in the units of those messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasteringDisplay {
    /// CIE 1931 x and y of the red, the green and the blue primary, in 1/50000.
    pub primaries: [[u16; 2]; 3],
    /// The same of the white point.
    pub white: [u16; 2],
    /// The most luminance, in 1/10000 cd/m².
    pub most: u32,
    /// The least luminance, in 1/10000 cd/m².
    pub least: u32,
}

/// Content light level (CTA-861.3; ITU-T H.265, D.3.35), in cd/m².
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentLight {
    /// The brightest sample of all (MaxCLL).
    pub most: u16,
    /// The highest mean of a picture (MaxFALL).
    pub most_mean: u16,
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
    /// What it is for, as the container tells it.
    pub purpose: AudioPurpose,
    /// Unit of the stream's timestamps.
    pub time_base: TimeBase,
    /// Presentation time of the first sample that decoding yields (priming already dropped), in `time_base`.
    pub start: i64,
}

/// What a track of sound is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioPurpose {
    /// The programme's own sound.
    #[default]
    Programme,
    /// The programme's sound in another language than it was made in.
    Dub,
    /// People who talk about the programme.
    Commentary,
    /// What there is to see, told for those who can't.
    Description,
    /// Speech that is easy to understand for those who hear badly.
    ClearSpeech,
}

/// One stream of subtitles that are text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtitleInfo {
    /// Index of the stream in the container.
    pub stream: usize,
    /// FFmpeg's name of the codec, such as `subrip`.
    pub codec: String,
    /// The language as the container tells it (ISO 639), if it does.
    pub language: Option<String>,
    /// The title as the container tells it, if it does.
    pub title: Option<String>,
    /// Whether the container marks the stream as the default one.
    pub default: bool,
    /// Whether it has to be shown to everybody: what is foreign to the language of the sound.
    pub forced: bool,
    /// Whether it also tells what there is to hear.
    pub hearing_impaired: bool,
    /// Number of cues that show something.
    pub cues: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_was_written_down_is_less_than_a_whole_one_or_is_refused() {
        let read = |turns: u8| {
            let text = format!(r#"{{"quarter_turns":{turns},"mirrored":true}}"#);
            serde_json::from_str::<Rotation>(&text).map_err(|error| error.to_string())
        };
        assert!((0..4).all(|turns| read(turns) == Ok(Rotation { quarter_turns: turns, mirrored: true })));
        assert!(read(4).unwrap_err().starts_with("4 quarter turns are a whole turn or more"));
    }
}
