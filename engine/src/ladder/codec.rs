//! The codecs that renditions are encoded with, and what is peculiar to each. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A video codec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VideoCodec {
    /// H.264 (ITU-T H.264), which every player has.
    #[default]
    H264,
    /// H.265 (ITU-T H.265).
    Hevc,
    /// VP9 (VP9 Bitstream & Decoding Process Specification).
    Vp9,
    /// AV1 (AV1 Bitstream & Decoding Process Specification).
    Av1,
}

/// The constant rate factors of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Factors {
    /// The finest.
    pub least: f64,
    /// The coarsest.
    pub most: f64,
    /// How many there are from one whole number to the next.
    pub to_one: f64,
    /// How often the odds of a VMAF score usually double when the factor rises by one.
    pub slope: f64,
    /// Whether the encoder can be told to search harder without another set of the format's tools, so that chunks of both
    /// join.
    pub searches: bool,
}

impl Factors {
    /// The nearest factor there is that is not coarser than `factor`.
    pub fn at_most(&self, factor: f64) -> f64 {
        // Sums of tenths are a little off.
        ((factor * self.to_one + 1e-6).floor() / self.to_one).clamp(self.least, self.most)
    }
}

impl VideoCodec {
    /// Every codec, in the order in which players learned them.
    pub const ALL: [Self; 4] = [Self::H264, Self::Hevc, Self::Vp9, Self::Av1];

    /// The name on the command line and in the names of renditions.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::Hevc => "hevc",
            Self::Vp9 => "vp9",
            Self::Av1 => "av1",
        }
    }

    /// The encoder, by libavcodec's name.
    pub fn encoder(self) -> &'static str {
        match self {
            Self::H264 => "libx264",
            Self::Hevc => "libx265",
            Self::Vp9 => "libvpx-vp9",
            Self::Av1 => "libsvtav1",
        }
    }

    /// The encoder, as people call it.
    pub fn encoder_name(self) -> &'static str {
        match self {
            Self::H264 => "x264",
            Self::Hevc => "x265",
            Self::Vp9 => "libvpx",
            Self::Av1 => "SVT-AV1",
        }
    }

    /// Its encoder's constant rate factors. Those of H.264 and H.265 are about quantizers (6 of them halve or double the
    /// bits), those of VP9 and AV1 divide their range of 256 by four. Below 1 x264 turns lossless.
    pub fn factors(self) -> Factors {
        match self {
            Self::H264 => Factors { least: 1.0, most: 51.0, to_one: 10.0, slope: 0.2, searches: true },
            Self::Hevc => Factors { least: 1.0, most: 51.0, to_one: 10.0, slope: 0.2, searches: false },
            Self::Vp9 | Self::Av1 => Factors { least: 1.0, most: 63.0, to_one: 1.0, slope: 0.12, searches: false },
        }
    }

    /// The constant rate factor where none is asked for: what the encoder's own makers take. (Of AV1 it is that of later
    /// versions of SVT-AV1; 1.4 took 50.)
    pub fn default_crf(self) -> f32 {
        match self {
            Self::H264 => 23.0,
            Self::Hevc => 28.0,
            Self::Vp9 => 32.0,
            Self::Av1 => 35.0,
        }
    }

    /// The share of a rung's rate cap, which is made for H.264, with which this codec looks as good: a careful choice by what
    /// is commonly said of the codecs, not a measurement of ours.
    pub fn share_of_cap(self) -> f64 {
        match self {
            Self::H264 => 1.0,
            Self::Hevc | Self::Vp9 => 0.75,
            Self::Av1 => 0.65,
        }
    }

    /// What the encoder calls the speed that x264 calls `speed`, one of [`super::SPEEDS`]: a preset of x264 or x265,
    /// `cpu-used` of libvpx, or a preset of SVT-AV1.
    pub fn preset(self, speed: &str) -> &str {
        let place = super::SPEEDS.iter().position(|it| *it == speed);
        let of = |presets: [&'static str; 10]| place.map_or(presets[5], |at| presets[at]);
        match self {
            Self::H264 | Self::Hevc => speed,
            Self::Vp9 => of(["8", "8", "6", "5", "4", "3", "2", "1", "0", "0"]),
            Self::Av1 => of(["12", "11", "10", "9", "8", "7", "5", "4", "3", "1"]),
        }
    }

    /// Whether pictures of more than eight bits a sample are in profiles that players have.
    pub fn holds_ten_bits(self) -> bool {
        self != Self::H264
    }
}

impl fmt::Display for VideoCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of no codec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown codec {0:?}: the codecs are h264, hevc, vp9 and av1")]
pub struct UnknownCodec(String);

impl FromStr for VideoCodec {
    type Err = UnknownCodec;

    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        match name {
            "h265" => Ok(Self::Hevc),
            name => Self::ALL.into_iter().find(|it| it.name() == name).ok_or_else(|| UnknownCodec(name.to_owned())),
        }
    }
}

/// What sound is encoded with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioCodec {
    /// AAC-LC (ISO/IEC 14496-3), which every player has.
    #[default]
    Aac,
    /// Opus (RFC 6716).
    Opus,
    /// AC-3 (ETSI TS 102 366), which is only passed on.
    Ac3,
    /// E-AC-3 (annex E of the same), which is only passed on.
    Eac3,
    /// FLAC (RFC 9639), which is lossless: for archives, and in no playlist.
    Flac,
}

impl AudioCodec {
    /// Every codec of playlists, in the order in which they offer them.
    pub const ALL: [Self; 4] = [Self::Aac, Self::Opus, Self::Ac3, Self::Eac3];

    /// Its usual name, and FFmpeg's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aac => "aac",
            Self::Opus => "opus",
            Self::Ac3 => "ac3",
            Self::Eac3 => "eac3",
            Self::Flac => "flac",
        }
    }

    /// Samples of one access unit: of AAC-LC (ISO/IEC 14496-3 4.5.1.1), the 20 ms at 48 kHz of Opus (RFC 6716 2.1.4), the six
    /// blocks of AC-3 and E-AC-3 (ETSI TS 102 366 4.1), and what all are but the last of FLAC.
    pub const fn frame(self) -> u32 {
        match self {
            Self::Aac => 1024,
            Self::Opus => 960,
            Self::Ac3 | Self::Eac3 => 1536,
            Self::Flac => 4096,
        }
    }

    /// How many access units before one have to be decoded for it to sound as it should: 80 ms of Opus (RFC 7845 4.6).
    pub fn preroll(self) -> u32 {
        match self {
            Self::Aac | Self::Ac3 | Self::Eac3 | Self::Flac => 0,
            Self::Opus => 4,
        }
    }
}

/// How the sound of an output is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioChoice {
    /// Encoded with [`AudioCodec::Aac`].
    Aac,
    /// Encoded with [`AudioCodec::Opus`].
    Opus,
    /// As the source has it, where that is AAC-LC, AC-3 or E-AC-3.
    Copy,
}

impl AudioChoice {
    /// All there are, in the order in which playlists offer them.
    pub const ALL: [Self; 3] = [Self::Aac, Self::Opus, Self::Copy];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aac => "aac",
            Self::Opus => "opus",
            Self::Copy => "copy",
        }
    }
}

/// The name of no [`AudioChoice`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown audio codec {0:?}: there are aac, opus and copy")]
pub struct UnknownAudioChoice(String);

impl FromStr for AudioChoice {
    type Err = UnknownAudioChoice;

    fn from_str(name: &str) -> Result<Self, UnknownAudioChoice> {
        Self::ALL.into_iter().find(|it| it.name() == name).ok_or_else(|| UnknownAudioChoice(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_rounded_to_the_finer_side_and_kept_in_range() {
        let (h264, av1) = (VideoCodec::H264.factors(), VideoCodec::Av1.factors());
        assert_eq!(h264.at_most(23.19), 23.1);
        assert_eq!((h264.at_most(0.2), h264.at_most(60.0)), (1.0, 51.0));
        assert_eq!((av1.at_most(34.9), av1.at_most(35.0), av1.at_most(70.0)), (34.0, 35.0, 63.0));
    }

    #[test]
    fn codecs_are_known_by_their_names_and_others_refused_with_a_list() {
        assert!(VideoCodec::ALL.iter().all(|codec| codec.name().parse() == Ok(*codec)));
        assert_eq!("h265".parse(), Ok(VideoCodec::Hevc));
        assert!(AudioChoice::ALL.iter().all(|choice| choice.name().parse() == Ok(*choice)));
        let error = "mp3".parse::<AudioChoice>().unwrap_err();
        assert_eq!(error.to_string(), "unknown audio codec \"mp3\": there are aac, opus and copy");
        let error = "divx".parse::<VideoCodec>().unwrap_err();
        assert_eq!(error.to_string(), "unknown codec \"divx\": the codecs are h264, hevc, vp9 and av1");
    }
}
