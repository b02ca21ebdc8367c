//! What to produce: presets, renditions and the ladder that fits a source. Pure.
//!
//! [`ladder`] never upscales (but for rounding an odd size up to an even one) and never asks for a picture
//! that H.264 cannot hold. It does not look at the packets: whether a source's packets can be copied is
//! decided where they are indexed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::{BitRate, Ratio, Size};

pub mod codec;
pub mod ffv1;
mod fit;
mod geometry;
mod rate;
pub mod smart;
#[cfg(test)]
mod tests;

pub use codec::{AudioChoice, AudioCodec, Factors, VideoCodec};
pub use fit::{Error, FactorRequest, Ladder, LadderOptions, SPEEDS, ladder};
pub use geometry::{display_aspect, display_size, full_size};

/// A named rung of the specification's ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Preset {
    /// 480 lines, 800 kb/s.
    Mobile,
    /// 720 lines, 2,500 kb/s.
    Standard,
    /// 1080 lines, 5,000 kb/s.
    Hd,
    /// 2160 lines, 25,000 kb/s.
    Uhd,
    /// The source's own frames, lossless.
    Archive,
    /// The source's own packets.
    Copy,
}

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LadderRequest {
    /// Every rung at or below the source, and the source's own height where that falls between rungs.
    Auto,
    /// Of those that are meant by [`Self::Auto`], what the content needs, which a [`smart`] trial tells.
    Smart,
    /// These rungs.
    Presets(Vec<Preset>),
}

/// How one rendition's video is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Method {
    /// A lossy codec at a constant rate factor under a rate cap.
    Capped {
        /// The codec.
        codec: VideoCodec,
        /// Bits a sample, 8 or 10; pictures are 4:2:0.
        depth: u8,
        /// What becomes of the source's dynamic range.
        look: Look,
        /// The constant rate factor, one of the codec's [`Factors`].
        crf: f32,
        /// The VBV's rate.
        max_rate: BitRate,
        /// The VBV's size in bits.
        buffer_bits: u64,
        /// One of [`SPEEDS`].
        speed: String,
        /// How hard it looks for the best way to code a picture.
        search: Search,
    },
    /// Lossless H.264 of the frames as they are: pixel format, interlacing, size and rotation kept.
    Lossless {
        /// x264's preset.
        speed: String,
    },
    /// FFV1 of the frames as they are, for archives ([`ffv1`]). No player has it: such a rendition goes into a file of its
    /// own, is made beside the others and is in no ladder.
    Ffv1,
    /// The source's packets.
    Copy,
    /// No video: some frames by themselves, upright and in square pixels, as bytes of red, green and blue. Such a
    /// rendition is made beside the others and is in no ladder (see [`stills`](crate::stills)).
    Stills {
        /// Which of a chunk's frames, in ascending order.
        positions: Vec<u32>,
    },
}

impl Method {
    /// H.264 of eight bits and the source's own look at this constant rate factor, under a cap of `max_rate` with a VBV of
    /// `buffer_bits`, by x264's preset `speed`.
    pub fn h264(crf: f32, max_rate: BitRate, buffer_bits: u64, speed: &str) -> Self {
        let (codec, look, search) = (VideoCodec::H264, Look::Kept, Search::Preset);
        Self::Capped { codec, depth: 8, look, crf, max_rate, buffer_bits, speed: speed.to_owned(), search }
    }
}

/// What becomes of the colours and the dynamic range of the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// They stay what they are.
    #[default]
    Kept,
    /// A source of high dynamic range is mapped to BT.709, for players that know no other.
    Sdr,
}

/// How hard an encoder looks for the best way to code a picture. The tools of the format it uses, and so its parameter
/// sets, are those of its preset either way: chunks of both join.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Search {
    /// As its preset has it.
    #[default]
    Preset,
    /// As x264's preset `slower` does.
    Thorough,
}

impl Search {
    /// What a preset by itself amounts to.
    pub fn of_speed(speed: &str) -> Self {
        if matches!(speed, "slower" | "veryslow" | "placebo") { Self::Thorough } else { Self::Preset }
    }
}

/// What a rate control is bound by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The rate cap.
    pub max_rate: BitRate,
    /// The rate factors there are.
    pub factors: Factors,
}

/// One encoded version of the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rendition {
    /// Its name: folder and identifier in the manifests, such as `hd`.
    pub name: String,
    /// Size of the coded picture; both even where the method is [`Method::Capped`].
    pub size: Size,
    /// Sample aspect ratio that the output signals (1/1 unless rounding to even sizes bends the shape).
    pub sample_aspect: Ratio,
    /// How it is made.
    pub method: Method,
}

impl Rendition {
    /// The same at another constant rate factor, if it has one: the nearest there is that is not coarser.
    pub fn at_factor(&self, factor: f64) -> Self {
        let mut rendition = self.clone();
        if let Method::Capped { crf, codec, .. } = &mut rendition.method {
            *crf = codec.factors().at_most(factor) as f32;
        }
        rendition
    }

    /// What its rate control is bound by, if it has one.
    pub fn bounds(&self) -> Option<Bounds> {
        match self.method {
            Method::Capped { codec, max_rate, .. } => Some(Bounds { max_rate, factors: codec.factors() }),
            Method::Lossless { .. } | Method::Ffv1 | Method::Copy | Method::Stills { .. } => None,
        }
    }

    /// The codec that its pictures are encoded with. Packets that are copied, and lossless pictures of a ladder, are H.264;
    /// of what is in no ladder this says nothing.
    pub fn codec(&self) -> VideoCodec {
        match self.method {
            Method::Capped { codec, .. } => codec,
            Method::Lossless { .. } | Method::Ffv1 | Method::Copy | Method::Stills { .. } => VideoCodec::H264,
        }
    }

    /// What becomes of the source's dynamic range.
    pub fn look(&self) -> Look {
        match self.method {
            Method::Capped { look, .. } => look,
            Method::Lossless { .. } | Method::Ffv1 | Method::Copy | Method::Stills { .. } => Look::Kept,
        }
    }

    /// The same searched harder or less hard, if it has a choice.
    pub fn searched(mut self, how: Search) -> Self {
        if let Method::Capped { search, .. } = &mut self.method {
            *search = how;
        }
        self
    }
}

/// The name of no preset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown rung {0:?}: the rungs are mobile, standard, hd, 4k, archive and copy")]
pub struct UnknownPreset(String);

impl Preset {
    /// Every preset, from the smallest scaled one on.
    pub const ALL: [Preset; 6] = [Self::Mobile, Self::Standard, Self::Hd, Self::Uhd, Self::Archive, Self::Copy];

    /// The name on the command line, in folders and in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mobile => "mobile",
            Self::Standard => "standard",
            Self::Hd => "hd",
            Self::Uhd => "4k",
            Self::Archive => "archive",
            Self::Copy => "copy",
        }
    }

    /// Lines of the displayed picture; `None` where the source's own are kept.
    pub fn height(self) -> Option<u32> {
        match self {
            Self::Mobile => Some(480),
            Self::Standard => Some(720),
            Self::Hd => Some(1080),
            Self::Uhd => Some(2160),
            Self::Archive | Self::Copy => None,
        }
    }

    /// The specification's rate cap; `None` where there is none.
    pub fn max_rate(self) -> Option<BitRate> {
        match self {
            Self::Mobile => Some(BitRate(800_000)),
            Self::Standard => Some(BitRate(2_500_000)),
            Self::Hd => Some(BitRate(5_000_000)),
            Self::Uhd => Some(BitRate(25_000_000)),
            Self::Archive | Self::Copy => None,
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        Self::ALL.into_iter().find(|preset| preset.name() == name).ok_or_else(|| UnknownPreset(name.to_owned()))
    }
}

impl FromStr for LadderRequest {
    type Err = UnknownPreset;

    /// `auto`, `smart`, or names of presets separated by commas.
    fn from_str(text: &str) -> Result<Self, UnknownPreset> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "smart" => Ok(Self::Smart),
            names => names.split(',').map(|name| name.trim().parse()).collect::<Result<_, _>>().map(Self::Presets),
        }
    }
}
