//! Whole files beside the ladder: what the segments of one rendition and of the sound hold, sample by sample, in one file
//! that can be downloaded. Nothing is encoded again.
//!
//! Here is what a file holds; [`mp4`] (for MOV, too) and [`matroska`] (for WebM, too) say which bytes it consists of, all of
//! it known before the first is written; `entry` translates descriptions of codecs; `read` finds the samples of a written
//! file again; `run` copies and compares. Only `run` touches files.

mod ebml;
pub(crate) mod entry;
pub(crate) mod matroska;
pub(crate) mod mp4;
mod read;
pub(crate) mod run;
#[cfg(test)]
mod testing;
pub(crate) mod text;

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use mp4_atom::{Mdhd, Tkhd};
use vtp_engine::ladder::{Method, Rendition, VideoCodec};
use vtp_engine::source::{Color, HdrMetadata, Rotation};
use vtp_engine::units::Size;

use crate::boxes::VideoInit;
use crate::language::Language;
use crate::proof::read::ReadSample;

const NANOSECONDS: i128 = 1_000_000_000;

/// What a file is wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// ISO base media (ISO/IEC 14496-12, 14496-14), playable while it arrives.
    Mp4,
    /// The QuickTime File Format, likewise.
    Mov,
    /// Matroska (RFC 9559).
    Mkv,
    /// The part of Matroska that browsers play.
    WebM,
}

impl Container {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Mp4, Self::Mov, Self::Mkv, Self::WebM];

    /// How its files' names end.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Mov => "mov",
            Self::Mkv => "mkv",
            Self::WebM => "webm",
        }
    }

    /// The name of the file in the output folder.
    pub fn file_name(self) -> String {
        format!("video.{self}")
    }

    /// Whether it holds pictures of this codec that are to be turned so. What Matroska has for turning (`Projection`) many
    /// players pass over, so there pictures have to be upright.
    pub fn holds_video(self, codec: VideoCodec, rotation: Rotation) -> bool {
        match self {
            Self::Mp4 => true,
            Self::Mov => matches!(codec, VideoCodec::H264 | VideoCodec::Hevc),
            Self::Mkv => rotation == Rotation::default(),
            Self::WebM => matches!(codec, VideoCodec::Vp9 | VideoCodec::Av1) && rotation == Rotation::default(),
        }
    }

    /// Whether it holds sound of the codec with this RFC 6381 name.
    pub fn holds_audio(self, codec: &str) -> bool {
        match self {
            Self::Mp4 | Self::Mkv => true,
            Self::Mov => codec.starts_with("mp4a."),
            Self::WebM => codec.eq_ignore_ascii_case("opus"),
        }
    }

    /// The places of the tracks of sound that go into a file, of those with these RFC 6381 names, each of which is told which
    /// sound it is a version of: of every sound all versions in the first codec that is held, for in another it would be there
    /// twice.
    pub fn sound(self, versions: &[(usize, &str)]) -> Vec<usize> {
        let family = |codec: &str| codec.split('.').next().unwrap_or_default().to_ascii_lowercase();
        let first = |of: usize| {
            versions.iter().find(|(it, codec)| *it == of && self.holds_audio(codec)).map(|(_, codec)| family(codec))
        };
        (0..versions.len()).filter(|&place| first(versions[place].0) == Some(family(versions[place].1))).collect()
    }

    /// The place of the rendition that a file of all that there is shows: the largest picture, and of several of its size the
    /// first. What is lossless is for archives, and taken only where there is nothing else. `rotation` is that of the source.
    pub fn best(self, renditions: &[Rendition], rotation: Rotation) -> Option<usize> {
        let turned = |rendition: &Rendition| match rendition.method {
            Method::Capped { .. } => Rotation::default(),
            Method::Lossless { .. } | Method::Ffv1 | Method::Copy | Method::Stills { .. } => rotation,
        };
        let is_held = |rendition: &Rendition| self.holds_video(rendition.codec(), turned(rendition));
        let worth = |rendition: &Rendition| {
            let pixels = u64::from(rendition.size.width) * u64::from(rendition.size.height);
            (!matches!(rendition.method, Method::Lossless { .. }), pixels)
        };
        let held = renditions.iter().enumerate().filter(|(_, rendition)| is_held(rendition));
        // Of equals `max_by_key` takes the last.
        held.rev().max_by_key(|(_, rendition)| worth(rendition)).map(|(place, _)| place)
    }

    /// Refuses a file for which there is nothing to show, or that could not hold all sound. `versions` are as in
    /// [`Container::sound`].
    pub fn check(
        self,
        renditions: &[Rendition],
        rotation: Rotation,
        versions: &[(usize, &str)],
    ) -> Result<(), Refusal> {
        if self.best(renditions, rotation).is_none() {
            return Err(Refusal::Video { container: self });
        }
        let held: HashSet<usize> = self.sound(versions).into_iter().map(|place| versions[place].0).collect();
        if versions.iter().any(|(sound, _)| !held.contains(sound)) {
            return Err(Refusal::Audio { container: self });
        }
        Ok(())
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

impl FromStr for Container {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|it| it.extension() == name);
        known.ok_or_else(|| "not one of mp4, mov, mkv and webm".to_owned())
    }
}

/// Why a file can't be written; each says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing that is made can be shown by it.
    #[error("{container} holds none of the video that is made, but {}; make such, or leave {container} out of --files", takes(*.container))]
    Video {
        /// The container.
        container: Container,
    },
    /// It does not hold the sound.
    #[error(
        "{container} does not hold the sound that is made; take mp4 or mkv instead, or leave {container} out of --files"
    )]
    Audio {
        /// The container.
        container: Container,
    },
    /// What is encrypted would stand beside the ladder as it is.
    #[error("--files are not encrypted; leave out --files or --encrypt")]
    Sealed,
}

/// What a container shows, in words.
fn takes(container: Container) -> &'static str {
    match container {
        Container::Mp4 | Container::Mkv => "upright pictures",
        Container::Mov => "h264 and hevc",
        Container::WebM => "vp9 and av1",
    }
}

/// A track of a file that is to be written.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub(crate) kind: Kind,
    /// The sample entry of its initialization segment.
    pub(crate) entry: Vec<u8>,
    /// The headers of the same.
    pub(crate) tkhd: Tkhd,
    pub(crate) mdhd: Mdhd,
    /// Its samples in decode order; there is at least one.
    pub(crate) samples: Vec<ReadSample>,
    pub(crate) language: Language,
    /// What is taken out at the start of sound, in media time.
    pub(crate) priming: u64,
    /// What users read; empty where nothing is told.
    pub(crate) name: String,
    /// Whether it plays when the user has no preference.
    pub(crate) default: bool,
}

/// What a track is of.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Video(Box<Pictures>),
    Audio { channels: u16, sample_rate: u32 },
    Text { forced: bool, hearing_impaired: bool },
}

/// What a track of video tells of its pictures.
#[derive(Clone, Debug)]
pub(crate) struct Pictures {
    /// Size of the coded picture.
    pub(crate) size: Size,
    pub(crate) display: Display,
    pub(crate) color: Color,
    pub(crate) hdr: HdrMetadata,
    /// How a player must turn the picture.
    pub(crate) rotation: Rotation,
    /// Whether pictures consist of fields, and then, if it is known, whether the upper one is shown first.
    pub(crate) fields: Option<Option<bool>>,
}

/// How a picture is shown before it is turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Display {
    /// At this size, in square pixels.
    Pixels(Size),
    /// With this ratio of width and height.
    Aspect(Size),
}

impl From<&VideoInit> for Pictures {
    fn from(init: &VideoInit) -> Self {
        let VideoInit { size, color, hdr, rotation, .. } = *init;
        Self { size, display: Display::Pixels(init.display()), color, hdr, rotation, fields: None }
    }
}

impl Track {
    pub(crate) fn timescale(&self) -> u32 {
        self.mdhd.timescale.max(1)
    }

    pub(crate) fn is_video(&self) -> bool {
        matches!(self.kind, Kind::Video(_))
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Text { .. })
    }

    /// By how much the samples are decoded after they are shown, at most, in media time: reordering, or priming.
    pub(crate) fn lead(&self) -> i64 {
        self.samples.iter().map(|it| it.decoded.cast_signed() - it.shown).max().unwrap_or(0)
    }

    /// When the track begins to be presented, in media time of the output.
    pub(crate) fn begin(&self) -> i64 {
        self.samples.iter().map(|it| it.shown).min().unwrap_or(0).max(0)
    }

    /// When it ends.
    pub(crate) fn end(&self) -> i64 {
        self.samples.iter().map(|it| it.shown + i64::from(it.duration)).max().unwrap_or(0)
    }

    /// Media time in nanoseconds.
    pub(crate) fn nanoseconds(&self, ticks: i64) -> i128 {
        i128::from(ticks) * NANOSECONDS / i128::from(self.timescale())
    }
}

/// Samples that stand one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) track: usize,
    pub(crate) samples: Range<usize>,
}

/// The order in which all samples stand: those of all tracks that are decoded within the same second are together.
pub(crate) fn interleave(tracks: &[Track]) -> Vec<Run> {
    let mut runs: Vec<(i128, Run)> = Vec::new();
    for (track, it) in tracks.iter().enumerate() {
        let lead = it.lead();
        // What comes before the start is taken with the first second.
        let second = |sample: &ReadSample| it.nanoseconds(sample.decoded.cast_signed() - lead).max(0) / NANOSECONDS;
        let mut start = 0;
        for samples in it.samples.chunk_by(|a, b| second(a) == second(b)) {
            let end = start + samples.len();
            runs.push((second(&samples[0]), Run { track, samples: start..end }));
            start = end;
        }
    }
    runs.sort_by_key(|(second, run)| (*second, run.track));
    runs.into_iter().map(|(_, run)| run).collect()
}

#[cfg(test)]
mod tests {
    use vtp_engine::units::{BitRate, Ratio};

    use super::testing::{audio, video};
    use super::*;

    fn rendition(name: &str, height: u32, method: Method) -> Rendition {
        let size = Size { width: height * 2, height };
        Rendition { name: name.to_owned(), size, sample_aspect: Ratio::ONE, method }
    }

    fn coded(name: &str, height: u32, with: VideoCodec) -> Rendition {
        let mut method = Method::h264(23.0, BitRate(1_000_000), 2_000_000, "medium");
        if let Method::Capped { codec, .. } = &mut method {
            *codec = with;
        }
        rendition(name, height, method)
    }

    #[test]
    fn the_largest_picture_is_taken_and_of_several_the_first_and_a_lossless_one_last() {
        let upright = Rotation::default();
        let all = [
            rendition("archive", 1080, Method::Lossless { speed: "veryfast".to_owned() }),
            coded("small", 360, VideoCodec::H264),
            coded("h264", 720, VideoCodec::H264),
            coded("av1", 720, VideoCodec::Av1),
        ];
        assert_eq!(Container::Mp4.best(&all, upright), Some(2));
        assert_eq!(Container::WebM.best(&all, upright), Some(3));
        assert_eq!(Container::Mov.best(&all[..1], upright), Some(0));
        assert_eq!(Container::WebM.best(&all[..3], upright), None);
        let turned = Rotation { quarter_turns: 1, mirrored: false };
        assert_eq!(Container::Mp4.best(&all[..1], turned), Some(0));
        assert_eq!(Container::Mkv.best(&all[..1], turned), None);
        assert_eq!(Container::Mkv.best(&all, turned), Some(2), "what is scaled is upright");
    }

    #[test]
    fn what_a_container_does_not_hold_is_refused_in_a_sentence() {
        let upright = Rotation::default();
        let check = |container: Container, codec, sound: &[(usize, &str)]| {
            container.check(&[coded("a", 360, codec)], upright, sound).map_err(|refusal| refusal.to_string())
        };
        let aac = [(0, "mp4a.40.2")];
        assert!(check(Container::WebM, VideoCodec::H264, &[]).unwrap_err().contains("but vp9 and av1"));
        assert!(check(Container::WebM, VideoCodec::Vp9, &aac).unwrap_err().contains("take mp4 or mkv"));
        assert_eq!(check(Container::WebM, VideoCodec::Vp9, &[]), Ok(()));
        assert_eq!(check(Container::WebM, VideoCodec::Av1, &[(0, "opus")]), Ok(()));
        let two = [(0, "mp4a.40.2"), (1, "ac-3")];
        assert!(check(Container::Mov, VideoCodec::H264, &two).unwrap_err().contains("take mp4 or mkv"));
        assert!(check(Container::Mov, VideoCodec::Av1, &aac).is_err());
        assert_eq!(check(Container::Mkv, VideoCodec::Hevc, &aac), Ok(()));
    }

    #[test]
    fn of_the_same_sound_in_two_codecs_the_first_that_is_held_is_taken() {
        let versions = [(0, "mp4a.40.2"), (1, "mp4a.40.2"), (1, "mp4a.40.2"), (0, "opus"), (1, "opus"), (1, "ac-3")];
        assert_eq!(Container::Mp4.sound(&versions), [0, 1, 2]);
        assert_eq!(Container::WebM.sound(&versions), [3, 4]);
        assert_eq!(Container::Mkv.sound(&[(0, "opus"), (0, "mp4a.40.2"), (1, "ac-3")]), [0, 2]);
        assert_eq!(Container::WebM.sound(&versions[..3]), [0; 0]);
    }

    #[test]
    fn sound_and_picture_take_turns_each_second() {
        let tracks = [video(50, 25), audio(120)];
        let runs = interleave(&tracks);
        let order: Vec<usize> = runs.iter().map(|run| run.track).collect();
        assert_eq!(order, [0, 1, 0, 1, 1]);
        for (track, it) in tracks.iter().enumerate() {
            let places: Vec<usize> = runs.iter().filter(|r| r.track == track).flat_map(|r| r.samples.clone()).collect();
            assert_eq!(places, (0..it.samples.len()).collect::<Vec<_>>());
        }
    }
}
