//! What to produce: presets, renditions and the ladder that fits a source. Pure.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::{BitRate, Ratio, Size};

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
    /// These rungs.
    Presets(Vec<Preset>),
}

/// How one rendition's video is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Method {
    /// H.264 at a constant rate factor under a rate cap.
    Capped {
        /// x264's constant rate factor.
        crf: f32,
        /// The VBV's rate.
        max_rate: BitRate,
        /// The VBV's size in bits.
        buffer_bits: u64,
        /// x264's preset, such as `medium`.
        speed: String,
    },
    /// Lossless H.264 of the frames as they are: pixel format, interlacing, size and rotation kept.
    Lossless {
        /// x264's preset.
        speed: String,
    },
    /// The source's packets.
    Copy,
}

/// One encoded version of the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rendition {
    /// Its name: folder and identifier in the manifests, such as `hd`.
    pub name: String,
    /// Size of the coded picture, both even.
    pub size: Size,
    /// Sample aspect ratio that the output signals (1/1 unless rounding to even sizes bends the shape).
    pub sample_aspect: Ratio,
    /// How it is made.
    pub method: Method,
}

/// The name of no preset.
#[derive(Debug, thiserror::Error)]
#[error("unknown rung {0:?}: the rungs are mobile, standard, hd, 4k, archive and copy")]
pub struct UnknownPreset(String);

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        Ok(match name {
            "mobile" => Self::Mobile,
            "standard" => Self::Standard,
            "hd" => Self::Hd,
            "4k" => Self::Uhd,
            "archive" => Self::Archive,
            "copy" => Self::Copy,
            other => return Err(UnknownPreset(other.to_owned())),
        })
    }
}
