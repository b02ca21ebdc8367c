//! What is to come out: the renditions, the audio tracks, the timeline they share, and their names on disk.

use std::collections::HashSet;

use vtp_engine::bitstream::captions::Channel;
use vtp_engine::index::Index;
use vtp_engine::ladder::{AudioCodec, Rendition};
use vtp_engine::plan::Plan;
use vtp_engine::source::{AudioPurpose, Color, HdrMetadata, Rotation};
use vtp_engine::stills::{POSTER, Stills, THUMBNAILS};
use vtp_engine::subtitles::ShownCue;
use vtp_engine::units::{FrameIndex, TimeBase};

use crate::Error;
use crate::language::Language;

/// By how many pictures decoding may run ahead of showing: H.264 and HEVC hold at most 16 (H.264 A.3.1).
const MAX_REORDER: u64 = 16;

/// What is to come out of one source.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputLayout {
    /// The timeline of all video renditions.
    pub video: VideoTimeline,
    /// The video renditions.
    pub renditions: Vec<Rendition>,
    /// The audio tracks; all of them go with every video rendition.
    pub audio: Vec<AudioTrack>,
    /// The subtitle tracks; all of them go with every video rendition.
    pub subtitles: Vec<SubtitleTrack>,
    /// The captions that the pictures of every rendition carry.
    pub captions: Vec<Channel>,
    /// Where the source is cut.
    pub plan: Plan,
    /// Target length of a segment in seconds. Audio keeps to it where no video segment tells where to cut.
    pub target_segment_s: f64,
    /// The pictures that go with the video.
    pub stills: Stills,
    /// What a published file has survived.
    pub durability: Durability,
}

/// The timeline of the source's video and how its pictures are to be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VideoTimeline {
    /// Unit of all timestamps of the index and the samples.
    pub time_base: TimeBase,
    /// The timestamp that becomes 0 of the output; not after the first frame.
    pub origin: i64,
    /// Colour description of renditions that keep the source's pictures (lossless, copied).
    pub color: Color,
    /// That of renditions that are made anew and keep its dynamic range: RGB, say, becomes something else.
    pub made_color: Color,
    /// What a high dynamic range was mastered for, of renditions that keep it.
    pub hdr: HdrMetadata,
    /// How the pictures of renditions that keep the source's pictures (lossless, copied) are to be turned.
    pub rotation: Rotation,
}

/// One audio track, encoded over the whole source, starting at 0 of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioTrack {
    /// Which track before it this is another version of, in surround or by another codec, if it is.
    pub version_of: Option<usize>,
    /// Whether it is in surround what others are in stereo.
    pub surround: bool,
    /// What it is encoded with.
    pub codec: AudioCodec,
    /// The language as the container tells it (ISO 639), if it does.
    pub language: Option<String>,
    /// The title as the container tells it, if it does.
    pub title: Option<String>,
    /// Whether the container marks the track as the default one.
    pub default: bool,
    /// What it is for.
    pub purpose: AudioPurpose,
    /// Samples a second, which is also the track's timescale.
    pub sample_rate: u32,
    /// Number of channels.
    pub channels: u16,
    /// Samples at the start that an encoder puts before the first one it is given and that are not presented.
    pub priming: u32,
    /// The AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1), the payload of `dOps` (Opus in ISOBMFF 4.3.2), `dac3` or `dec3` (ETSI
    /// TS 102 366 F.4, F.6), or blocks of metadata (RFC 9639 8).
    pub config: Vec<u8>,
}

/// One track of subtitles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubtitleTrack {
    /// The language as the container or the user tells it (ISO 639 or BCP 47), if they do.
    pub language: Option<String>,
    /// The title, if one is told.
    pub title: Option<String>,
    /// Whether it is marked as the default one.
    pub default: bool,
    /// Whether it has to be shown to everybody.
    pub forced: bool,
    /// Whether it also tells what there is to hear.
    pub hearing_impaired: bool,
    /// Its cues in the timeline of the output, in order.
    pub cues: Vec<ShownCue>,
}

/// What a published segment has survived before its spool file is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The file and its name are on the disk: power may fail.
    Synced,
    /// The file is with the operating system: the process may die. For an output that is made anew after a power
    /// failure anyway.
    Buffered,
}

impl OutputLayout {
    /// The clock of the video renditions. It ticks in the source's time base, or in a fraction of it where that is
    /// too coarse for the decode times of reordered pictures (see [`cut`](crate::cut)).
    pub fn clock(&self, index: &Index) -> Clock {
        let (timescale, multiplier) = self.video.time_base.timescale();
        let reordered = self.plan.segments.iter().filter(|frames| frames.len() > 2);
        let gaps = reordered.map(|frames| {
            let pts = |frame| index.pts(FrameIndex(frame));
            u64::try_from(pts(frames.start + 1) - pts(frames.start)).unwrap_or(1) * u64::from(multiplier)
        });
        let finer = gaps.min().map_or(1, |gap| (MAX_REORDER + 1).div_ceil(gap.max(1)).next_power_of_two());
        let finer = u32::try_from(finer).unwrap_or(1);
        match (timescale.checked_mul(finer), multiplier.checked_mul(finer)) {
            (Some(timescale), Some(multiplier)) => Clock { timescale, multiplier, origin: self.video.origin },
            _ => Clock { timescale, multiplier, origin: self.video.origin },
        }
    }

    /// Folder names of the audio tracks: [`audio_kind`] and the language, or the track's number where that is unknown.
    pub fn audio_folders(&self) -> Vec<String> {
        let kind = |track: &AudioTrack| audio_kind(track.codec, track.surround);
        let tracks = self.audio.iter().enumerate();
        folders(tracks.map(|(i, track)| (kind(track), track.language.as_deref(), track.version_of.unwrap_or(i))))
    }

    /// Folder names of the subtitle tracks, likewise.
    pub fn subtitle_folders(&self) -> Vec<String> {
        let tracks = self.subtitles.iter().enumerate();
        folders(tracks.map(|(i, track)| ("subtitles", track.language.as_deref(), i)))
    }

    /// Refuses what cannot be carried out: no rendition, names that are no folder names or repeat, a plan that is not
    /// one of this index.
    pub(crate) fn check(&self, index: &Index) -> Result<(), Error> {
        let mut names: HashSet<String> = self.audio_folders().into_iter().chain(self.subtitle_folders()).collect();
        names.extend([THUMBNAILS, POSTER].map(str::to_owned));
        if self.renditions.is_empty() {
            return Err(Error::Layout("no renditions".to_owned()));
        }
        for rendition in &self.renditions {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            if rendition.name.is_empty() || !rendition.name.chars().all(plain) || !names.insert(rendition.name.clone())
            {
                return Err(Error::Layout(format!("{:?} is no name for a rendition, or taken", rendition.name)));
            }
        }
        if let Some(mute) = self.audio.iter().position(|track| track.sample_rate == 0 || track.channels == 0) {
            return Err(Error::Layout(format!("audio track {mute} has no sample rate or no channels")));
        }
        if !(self.target_segment_s.is_finite() && self.target_segment_s > 0.0) {
            return Err(Error::Layout(format!("segments of {} s", self.target_segment_s)));
        }
        self.check_plan(index)
    }

    fn check_plan(&self, index: &Index) -> Result<(), Error> {
        let (mut frame, mut segment) = (0, 0);
        for chunk in &self.plan.chunks {
            let segments = self.plan.segments.get(chunk.segments.start as usize..chunk.segments.end as usize);
            let inside = segments.unwrap_or_default();
            let tiles = inside.first().is_some_and(|first| first.start == chunk.frames.start)
                && inside.last().is_some_and(|last| last.end == chunk.frames.end)
                && inside.windows(2).all(|pair| pair[0].end == pair[1].start)
                && inside.iter().all(|range| range.start < range.end);
            if chunk.frames.start != frame || chunk.segments.start != segment || !tiles {
                return Err(Error::Layout(format!("chunk {} does not continue the plan", chunk.index.0)));
            }
            (frame, segment) = (chunk.frames.end, chunk.segments.end);
        }
        if frame != index.frame_count() || segment as usize != self.plan.segments.len() {
            return Err(Error::Layout(format!("the plan covers {frame} of {} frames", index.frame_count())));
        }
        Ok(())
    }
}

/// What tracks of one codec that are all in stereo, or all in surround, are called.
pub(crate) fn audio_kind(codec: AudioCodec, surround: bool) -> &'static str {
    match (codec, surround) {
        (AudioCodec::Aac, false) => "audio",
        (AudioCodec::Aac, true) => "surround",
        (AudioCodec::Opus, false) => "opus",
        (AudioCodec::Opus, true) => "opus-surround",
        (AudioCodec::Ac3, _) => "ac3",
        (AudioCodec::Eac3, _) => "eac3",
        (AudioCodec::Flac, _) => "flac",
    }
}

/// The folder of each track: its kind, and its language, or its number, from 1, where that is unknown.
pub(crate) fn folders<'a>(tracks: impl Iterator<Item = (&'static str, Option<&'a str>, usize)>) -> Vec<String> {
    let mut taken = HashSet::new();
    let stem = |(kind, language, place): (&str, Option<&str>, usize)| match Language::of(language) {
        language if language.is_known() => format!("{kind}-{}", language.tag()),
        _ => format!("{kind}-{}", place + 1),
    };
    tracks.map(stem).map(|stem| unique(stem, "-", &mut taken)).collect()
}

/// `stem`, or `stem`, `separator` and the first number from 2 on that makes it new in `taken`.
pub(crate) fn unique(stem: String, separator: &str, taken: &mut HashSet<String>) -> String {
    let numbered = (2..).map(|n: u32| format!("{stem}{separator}{n}"));
    let name = std::iter::once(stem.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(stem);
    taken.insert(name.clone());
    name
}

/// From timestamps of the source to media times of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Media time units a second.
    pub timescale: u32,
    pub(crate) multiplier: u32,
    pub(crate) origin: i64,
}

impl Clock {
    /// The media time of a timestamp; `None` before the origin, or past what 63 bits hold.
    pub fn media_time(self, pts: i64) -> Option<u64> {
        let ticks = (i128::from(pts) - i128::from(self.origin)) * i128::from(self.multiplier);
        i64::try_from(ticks).ok().and_then(|ticks| u64::try_from(ticks).ok())
    }

    /// The media time at which a frame of the index starts; that of the end for the index one past the last.
    pub fn frame_time(self, index: &Index, frame: u32) -> Option<u64> {
        self.media_time(index.pts(FrameIndex(frame)))
    }
}
