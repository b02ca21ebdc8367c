//! What manifests say of the renditions: names, segments on the presentation timeline, sizes and rates. Pure.

use std::ops::Range;

use vtp_engine::bitstream::captions::Channel;
use vtp_engine::format::captions;
use vtp_engine::ladder::{AudioCodec, VideoCodec};
use vtp_engine::source::AudioPurpose;
use vtp_engine::units::{Ratio, Size, gcd};

use crate::language::Language;
use crate::pictures::SheetListing;
use crate::rates::{self, Weight};

/// Fragmented MP4 (EXT-X-MAP without I-frames only) needs 6; 7 is what fMP4 packagers declare (RFC 8216 7).
pub(crate) const VERSION: usize = 7;

/// The name of every initialization segment.
pub const INIT: &str = "init.mp4";
/// The name of every media playlist.
pub const PLAYLIST: &str = "index.m3u8";
/// The name of every I-frame playlist.
pub const IFRAMES: &str = "iframes.m3u8";
/// The multivariant playlist.
pub const MASTER: &str = "master.m3u8";
/// The MPD.
pub const MPD: &str = "manifest.mpd";
/// The MPD with a set of images besides. There are readers that take every set of an MPD for sound or pictures with an
/// initialization segment; they are given the one without.
pub const MPD_WITH_THUMBNAILS: &str = "manifest-thumbnails.mpd";

/// The file of a segment counted from 0.
pub fn segment_name(place: u32) -> String {
    format!("seg-{:05}.m4s", u64::from(place) + 1)
}

/// The WebVTT file of a segment counted from 0.
pub fn text_name(place: u32) -> String {
    format!("seg-{:05}.vtt", u64::from(place) + 1)
}

/// A published segment, in media time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Decode time of its first sample.
    pub start: u64,
    /// Duration of its samples.
    pub ticks: u64,
    /// Size of its file.
    pub bytes: u64,
    /// Number of samples.
    pub samples: u32,
}

/// A rendition as both manifests list it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// Its folder, which is also its identifier.
    pub folder: String,
    /// RFC 6381 name of its codec.
    pub codec: String,
    /// Units a second of `segments`.
    pub timescale: u32,
    /// Its segments as they are presented: priming is taken out.
    pub segments: Vec<Written>,
}

impl Listing {
    /// Lists segments of a track that an edit list takes `priming` units from.
    pub fn new(folder: String, codec: String, timescale: u32, written: &[Written], priming: u32) -> Self {
        let shown = |time: u64| time.saturating_sub(priming.into());
        let segments = written.iter().map(|segment| {
            let start = shown(segment.start);
            Written { start, ticks: shown(segment.start + segment.ticks) - start, ..*segment }
        });
        Self { folder, codec, timescale, segments: segments.collect() }
    }

    /// Durations in seconds as the playlist tells them: whole microseconds.
    pub fn seconds(&self) -> impl Iterator<Item = f64> + '_ {
        self.segments.iter().map(|segment| as_written(segment.ticks as f64 / f64::from(self.timescale)))
    }

    /// Sizes and durations of the segments.
    pub fn weights(&self) -> Vec<Weight> {
        let weigh = |(segment, seconds): (&Written, f64)| Weight { bytes: segment.bytes, seconds };
        self.segments.iter().zip(self.seconds()).map(weigh).collect()
    }

    /// Size of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// When it begins, in seconds; 0 without segments.
    pub fn start_s(&self) -> f64 {
        self.interval().map_or(0.0, |(start, _)| start)
    }

    /// Start and end in seconds; `None` without segments.
    pub fn interval(&self) -> Option<(f64, f64)> {
        let (first, last) = (self.segments.first()?, self.segments.last()?);
        let seconds = |ticks: u64| ticks as f64 / f64::from(self.timescale);
        Some((seconds(first.start), seconds(last.start + last.ticks)))
    }
}

/// VIDEO-RANGE of a transfer function (ITU-T H.273 table 3).
pub(crate) fn video_range(transfer: u8) -> &'static str {
    match transfer {
        16 => "PQ",
        18 => "HLG",
        _ => "SDR",
    }
}

/// Whole milliseconds, the nearest.
#[allow(clippy::cast_possible_truncation)] // saturating
pub(crate) fn whole_ms(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

/// Single precision is what the crate holds; six decimals of it are exact up to 8 seconds, and within half a
/// microsecond in a thousand seconds of playlist.
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn single(seconds: f64) -> f32 {
    seconds as f32
}

/// A duration as `m3u8-rs` prints it: single precision, six decimals.
#[allow(clippy::cast_possible_truncation)]
pub fn as_written(seconds: f64) -> f64 {
    (f64::from(seconds as f32) * 1e6).round() / 1e6
}

/// A video rendition.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoListing {
    /// Names and segments.
    pub listing: Listing,
    /// Size of the coded picture.
    pub size: Size,
    /// Size in square pixels.
    pub display: Size,
    /// Width over height of one sample.
    pub sample_aspect: Ratio,
    /// The codec.
    pub codec: VideoCodec,
    /// Mean frames a second.
    pub frame_rate: FrameRate,
    /// TransferCharacteristics of ITU-T H.273.
    pub transfer: u8,
    /// The key pictures that can be fetched alone, in order.
    pub pictures: Vec<KeyPicture>,
}

/// A key picture that can be fetched alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPicture {
    /// The segment that it is in, counted from 0.
    pub segment: u32,
    /// Its fragment, in bytes of the segment's file.
    pub range: Range<u64>,
    /// When it is shown, in media time.
    pub shown: u64,
}

/// An audio track.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioListing {
    /// Names and segments.
    pub listing: Listing,
    /// Name shown to users, unique among the tracks.
    pub name: String,
    /// The language.
    pub language: Language,
    /// Whether it plays when the user has no preference; true of one track, and of its other versions.
    pub default: bool,
    /// Whether it is in surround what a track of the same name is in stereo.
    pub surround: bool,
    /// Whether it is in the segments of the pictures, as in transport streams; its own are not told of then.
    pub muxed: bool,
    /// What it is for.
    pub purpose: AudioPurpose,
    /// What it is encoded with.
    pub codec: AudioCodec,
    /// Number of channels.
    pub channels: u16,
    /// How many objects the channels are a mix of (ETSI TS 103 420), if they are.
    pub objects: Option<u8>,
    /// Samples a second.
    pub sample_rate: u32,
}

/// A track of subtitles.
#[derive(Clone, Debug, PartialEq)]
pub struct SubtitleListing {
    /// Its WebVTT files.
    pub files: Listing,
    /// The same as fragments.
    pub fragments: Listing,
    /// Name shown to users, unique among the tracks.
    pub name: String,
    /// The language.
    pub language: Language,
    /// Whether it is shown when the user has no preference; true of one track at most.
    pub default: bool,
    /// Whether it has to be shown to everybody who understands its language and no other is chosen.
    pub forced: bool,
    /// Whether it also tells what there is to hear.
    pub hearing_impaired: bool,
}

/// Everything the manifests are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Presentation {
    /// The video renditions, in the layout's order.
    pub video: Vec<VideoListing>,
    /// The audio tracks that have samples, in the layout's order.
    pub audio: Vec<AudioListing>,
    /// The subtitle tracks, in the layout's order.
    pub subtitles: Vec<SubtitleListing>,
    /// The captions that the pictures carry.
    pub captions: Vec<Channel>,
    /// The thumbnails, if there are some.
    pub sheets: Option<SheetListing>,
    /// The target duration that was told already and must not change (RFC 8216bis 6.2.1), in seconds; 0 if none was.
    pub told_target_s: u32,
}

impl Presentation {
    /// Whether `video` carries the captions, if there are any.
    pub fn carries_captions(&self, video: VideoCodec) -> bool {
        !self.captions.is_empty() && captions::carries(video)
    }

    /// All renditions of pictures and sound that have segments of their own.
    pub fn listings(&self) -> impl Iterator<Item = &Listing> {
        let audio = self.audio.iter().filter(|audio| !audio.muxed);
        self.video.iter().map(|video| &video.listing).chain(audio.map(|audio| &audio.listing))
    }

    /// The one target duration of all playlists, in whole seconds: the longest segment, rounded (RFC 8216bis 4.4.3.1),
    /// at least 1.
    pub fn target_s(&self) -> u32 {
        // Saturating; a segment of 2^32 seconds does not fit its boxes.
        ((self.longest_s() + 0.5).floor() as u32).max(self.told_target_s).max(1)
    }

    /// Whatever has segments.
    fn timed(&self) -> impl Iterator<Item = &Listing> {
        self.listings().chain(self.subtitles.iter().flat_map(|track| [&track.files, &track.fragments]))
    }

    /// Whether something begins a millisecond or more after something else.
    pub fn begins_apart(&self) -> bool {
        let mut starts = self.timed().filter_map(Listing::interval).map(|(start, _)| whole_ms(start));
        starts.next().is_some_and(|first| starts.any(|other| other != first))
    }

    /// The longest segment in seconds.
    pub fn longest_s(&self) -> f64 {
        self.timed().flat_map(Listing::seconds).fold(0.0, f64::max)
    }

    /// Peak and average segment bit rate of one rendition.
    pub fn rates(&self, listing: &Listing) -> Rates {
        let weights = listing.weights();
        Rates { peak: rates::peak(&weights, self.target_s().into()), average: rates::average(&weights) }
    }

    /// First start and last end over all renditions, in seconds.
    pub fn interval(&self) -> (f64, f64) {
        let all = self.timed().filter_map(Listing::interval);
        let (start, end) = all.fold((f64::INFINITY, 0.0_f64), |(a, b), (start, end)| (a.min(start), b.max(end)));
        (start.min(end), end)
    }
}

/// Segment bit rates in bits a second (RFC 8216bis 4.4.6.2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// The peak.
    pub peak: f64,
    /// The average.
    pub average: f64,
}

/// A mean frame rate, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRate {
    /// Frames, times the timescale.
    pub num: u64,
    /// Media time units.
    pub den: u64,
}

impl FrameRate {
    /// `gaps` steps from frame to frame in `ticks` units of 1/`timescale` seconds.
    pub fn new(gaps: u64, ticks: u64, timescale: u32) -> Self {
        let (num, den) = (gaps.max(1).saturating_mul(timescale.into()), ticks.max(1));
        let divisor = gcd(num, den).max(1);
        Self { num: num / divisor, den: den / divisor }
    }

    /// Frames a second.
    pub fn as_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }

    /// As an MPD tells it (FrameRateType of ISO/IEC 23009-1). Players read both parts as integers of 31 bits, which those of
    /// a mean over many frames exceed. A denominator that is usual is told as it is; otherwise a usual rate within a
    /// thousandth, or thousandths of a frame.
    pub fn told(self) -> String {
        let Self { num, den } = if self.den <= USUAL && self.num <= MOST_PART { self } else { self.rounded() };
        if den == 1 { num.to_string() } else { format!("{num}/{den}") }
    }

    fn rounded(self) -> Self {
        let rate = self.as_f64();
        let whole = |rate: f64| rate.round().clamp(1.0, (MOST_PART / 1000) as f64) as u64;
        let usual = [(1, 1), (1000, USUAL)].map(|(num, den)| {
            let frames = whole(rate * den as f64 / num as f64);
            Self { num: frames * num, den }
        });
        let off = |it: &Self| (it.as_f64() / rate - 1.0).abs();
        let nearest = usual.into_iter().filter(|it| off(it) <= 1e-3).min_by(|a, b| off(a).total_cmp(&off(b)));
        // Of rates below one a second, how long a frame lasts has more digits.
        let thousandths = || if rate < 1.0 { (1000, whole(1000.0 / rate)) } else { (whole(1000.0 * rate), 1000) };
        let Self { num, den } = nearest.unwrap_or_else(|| {
            let (num, den) = thousandths();
            Self { num, den }
        });
        let divisor = gcd(num, den).max(1);
        Self { num: num / divisor, den: den / divisor }
    }
}

/// The largest part of a frame rate that is told.
pub(crate) const MOST_PART: u64 = (1 << 31) - 1;
/// The largest denominator of usual frame rates.
const USUAL: u64 = 1001;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presented_segments_join_at_the_edges_that_priming_shifts() {
        let written = [
            Written { start: 0, ticks: 4096, bytes: 10, samples: 4 },
            Written { start: 4096, ticks: 2048, bytes: 10, samples: 2 },
        ];
        let listing = Listing::new("a".into(), "mp4a.40.2".into(), 48_000, &written, 1024);
        let times: Vec<_> = listing.segments.iter().map(|s| (s.start, s.ticks)).collect();
        assert_eq!(times, [(0, 3072), (3072, 2048)]);
    }

    #[test]
    fn a_constant_rate_is_told_in_lowest_terms() {
        assert_eq!(FrameRate::new(299, 299 * 1001, 30_000), FrameRate { num: 30_000, den: 1001 });
        assert_eq!(FrameRate::new(0, 40, 1000), FrameRate { num: 25, den: 1 });
    }

    #[test]
    fn an_mpd_tells_a_rate_in_parts_of_31_bits() {
        let told = |num, den| FrameRate { num, den }.told();
        assert_eq!(told(25, 1), "25");
        assert_eq!(told(30_000, 1001), "30000/1001");
        assert_eq!(told(25, 2), "25/2");
        assert_eq!(told(30_599 * 90_000, 91_879_203), "30000/1001", "in whole milliseconds, thirteen minutes");
        assert_eq!(told(19_999 * 90_000, 75_071_247), "24000/1001", "24 is a thousandth away");
        assert_eq!(told(10_000 * 1_000_000, 400_000_003), "25");
        assert_eq!(told(20_000 * 90_000, 101_234_567), "889/50", "a variable rate, in lowest terms");
        assert_eq!(told(100 * 90_000, 100_000_007), "1000/11111", "and one below one frame a second");
        let parts = |text: String| text.split('/').map(|part| part.parse::<u64>().unwrap()).collect::<Vec<_>>();
        for (num, den) in [(u64::MAX, 1), (u64::MAX, 3), (1, u64::MAX), (1 << 40, 1 << 39 | 1)] {
            assert!(parts(told(num, den)).iter().all(|part| (1..=MOST_PART).contains(part)), "{num}/{den}");
        }
    }
}
