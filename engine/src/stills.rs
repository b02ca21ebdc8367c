//! Which pictures of a source are shown beside the video: thumbnails to scrub by, and a poster. Pure; the same for any
//! number of workers.
//!
//! *Thumbnails:* one an interval, of the frame that is shown in its middle. Unless the user says otherwise, the interval
//! is the shortest of [`INTERVALS_S`] that asks for at most [`MOST_THUMBNAILS`]: 2 s up to ten minutes, 10 s up to fifty.
//!
//! *Poster:* one of at most [`CANDIDATES`] frames, each the first of a segment, evenly spread. Which of them says most of
//! the video is judged by their pictures, elsewhere.

use std::ops::Range;

use crate::index::Index;
use crate::ladder::{Method, Rendition, display_size};
use crate::source::VideoInfo;
use crate::units::{Ratio, Size};

/// What thumbnails are called among a chunk's renditions, and the folder they come to.
pub const THUMBNAILS: &str = "thumbnails";
/// What the poster's candidates are called among a chunk's renditions.
pub const POSTER: &str = "poster";

/// The intervals to choose from, in seconds.
pub const INTERVALS_S: [u32; 10] = [2, 5, 10, 20, 30, 60, 120, 300, 600, 1800];
/// So many thumbnails at most, unless the interval is given.
pub const MOST_THUMBNAILS: u32 = 300;
/// So many frames at most are looked at for the poster.
pub const CANDIDATES: usize = 12;

/// The box that thumbnails of landscape sources fit; it stands on its side for others.
const THUMBNAIL_BOX: Size = Size { width: 284, height: 160 };
/// The box that a poster fits.
const POSTER_BOX: Size = Size { width: 1280, height: 1280 };

/// What the user wants of thumbnails.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Every {
    /// An interval by the length of the video.
    #[default]
    Auto,
    /// So many seconds.
    Seconds(f64),
    /// None.
    Never,
}

/// The pictures to make of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stills {
    /// The thumbnails, if there are to be any.
    pub thumbnails: Option<Thumbnails>,
    /// The poster, if there is to be one.
    pub poster: Option<Poster>,
}

/// Thumbnails at even intervals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnails {
    /// From one to the next, in milliseconds.
    pub interval_ms: u32,
    /// Size in square pixels.
    pub size: Size,
    /// The frame that each shows; several may show the same.
    pub frames: Vec<u32>,
}

/// Candidates for the poster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poster {
    /// Size in square pixels.
    pub size: Size,
    /// The frames that may become it, in order.
    pub frames: Vec<u32>,
}

/// Bytes of a picture of this size as it travels: red, green and blue, a byte each, row by row without gaps.
pub fn rgb_bytes(size: Size) -> usize {
    size.width as usize * size.height as usize * 3
}

impl Stills {
    /// The pictures of `video`, whose output starts at `origin` in ticks and has these segments, in frames.
    pub fn plan(video: &VideoInfo, index: &Index, origin: i64, segments: &[Range<u32>], every: Every) -> Self {
        let shown = display_size(video);
        let seconds = |pts: i64| video.time_base.seconds(pts - origin);
        let end = seconds(index.end());
        let interval_ms = match every {
            Every::Never => None,
            Every::Seconds(seconds) => Some((seconds * 1000.0).round().clamp(1.0, f64::from(u32::MAX)) as u32),
            Every::Auto => Some(automatic(end)),
        };
        let frame_at = |time: f64| {
            let after = index.frames.partition_point(|frame| seconds(frame.pts) <= time);
            after.saturating_sub(1) as u32
        };
        let thumbnails = interval_ms.filter(|_| !index.frames.is_empty() && end > 0.0).map(|interval_ms| {
            let step = f64::from(interval_ms) / 1000.0;
            let middle = |place: u32| {
                let start = f64::from(place) * step;
                start + (end - start).min(step) / 2.0
            };
            let frames = (0..count(end, step)).map(|place| frame_at(middle(place))).collect();
            Thumbnails { interval_ms, size: fit(shown, upright(THUMBNAIL_BOX, shown)), frames }
        });
        let poster = (!segments.is_empty()).then(|| Poster { size: fit(shown, POSTER_BOX), frames: spread(segments) });
        Self { thumbnails, poster }
    }

    /// What a chunk with these frames has to make of them, as renditions; none where none of its frames are wanted.
    pub fn of_chunk(&self, frames: Range<u32>) -> Vec<Rendition> {
        let thumbnails = self.thumbnails.iter().map(|it| (THUMBNAILS, it.size, &it.frames));
        let poster = self.poster.iter().map(|it| (POSTER, it.size, &it.frames));
        let of = |(name, size, wanted): (&str, Size, &Vec<u32>)| {
            let own = wanted.iter().filter(|frame| frames.contains(frame)).map(|frame| frame - frames.start);
            let mut positions: Vec<u32> = own.collect();
            positions.dedup();
            let method = Method::Stills { positions };
            Rendition { name: name.to_owned(), size, sample_aspect: Ratio::ONE, method }
        };
        let has_any = |it: &Rendition| matches!(&it.method, Method::Stills { positions } if !positions.is_empty());
        thumbnails.chain(poster).map(of).filter(has_any).collect()
    }
}

fn automatic(end: f64) -> u32 {
    let fits = |&&seconds: &&u32| count(end, seconds.into()) <= MOST_THUMBNAILS;
    1000 * INTERVALS_S.iter().find(fits).or(INTERVALS_S.last()).copied().unwrap_or(1)
}

/// Intervals of `step` seconds in `end` seconds; what is left of one by rounding is none.
fn count(end: f64, step: f64) -> u32 {
    // A float becomes an integer by saturating.
    ((end / step - 1e-6).ceil() as u32).max(1)
}

/// The first frames of at most [`CANDIDATES`] segments. The very first is often black, so it is left out if it can be.
fn spread(segments: &[Range<u32>]) -> Vec<u32> {
    let rest = if segments.len() > 1 { &segments[1..] } else { segments };
    let wanted = rest.len().min(CANDIDATES);
    (0..wanted).map(|place| rest[(2 * place + 1) * rest.len() / (2 * wanted)].start).collect()
}

fn upright(of: Size, shown: Size) -> Size {
    if shown.width >= shown.height { of } else { Size { width: of.height, height: of.width } }
}

/// The largest size that shows all of `shown` in its shape, fits `within` and is no larger than itself.
fn fit(shown: Size, within: Size) -> Size {
    let ratio = |side: u32, most: u32| f64::from(most) / f64::from(side.max(1));
    let scale = ratio(shown.width, within.width).min(ratio(shown.height, within.height)).min(1.0);
    let side = |length: u32, most: u32| ((f64::from(length) * scale).round() as u32).clamp(2, most);
    Size { width: side(shown.width, within.width), height: side(shown.height, within.height) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::FrameEntry;
    use crate::source::{Color, HdrMetadata, Rotation};
    use crate::units::{PacketIndex, TimeBase};

    fn video(width: u32, height: u32) -> VideoInfo {
        VideoInfo {
            stream: 0,
            codec: "h264".to_owned(),
            time_base: TimeBase(Ratio::new(1, 10).unwrap()),
            size: Size { width, height },
            sample_aspect: Ratio::ONE,
            picture_aspect: None,
            rotation: Rotation::default(),
            pixel_format: "yuv420p".to_owned(),
            color: Color::UNSPECIFIED,
            hdr: HdrMetadata::default(),
            interlaced: false,
            top_field_first: None,
            frame_rate: Ratio::new(10, 1).unwrap(),
        }
    }

    fn index(times: impl Iterator<Item = i64>) -> Index {
        Index::of(Vec::new(), times.map(|pts| FrameEntry { packet: PacketIndex(0), pts }).collect(), 1)
    }

    fn thumbnails(frames: i64, every: Every) -> Thumbnails {
        let index = index((0..frames).map(|frame| 50 + frame));
        Stills::plan(&video(1280, 720), &index, 50, &[], every).thumbnails.unwrap()
    }

    #[test]
    fn each_interval_shows_the_frame_in_its_middle_and_the_last_what_is_left() {
        let found = thumbnails(93, Every::Auto);
        assert_eq!((found.interval_ms, found.size), (2000, Size { width: 284, height: 160 }));
        assert_eq!(found.frames, [10, 30, 50, 70, 86]);
        assert_eq!(thumbnails(100, Every::Seconds(5.0)).frames, [25, 75], "an end on an edge opens no interval");
        assert_eq!(thumbnails(1, Every::Auto).frames, [0]);
    }

    #[test]
    fn there_are_some_hundred_at_most_whatever_the_length() {
        for (minutes, interval_s) in [(10, 2), (11, 5), (50, 10), (51, 20), (24 * 60, 300)] {
            let found = thumbnails(minutes * 600, Every::Auto);
            assert_eq!(found.interval_ms, interval_s * 1000, "{minutes} min");
            assert!(found.frames.len() <= MOST_THUMBNAILS as usize);
        }
    }

    #[test]
    fn a_frame_that_is_shown_for_long_stands_for_many_intervals_and_is_made_once() {
        let index = index([0, 1, 100, 101].into_iter());
        let plan = Stills::plan(&video(640, 480), &index, 0, &[], Every::Seconds(2.0));
        assert_eq!(plan.thumbnails.as_ref().unwrap().frames, [1, 1, 1, 1, 1, 3]);
        let made = plan.of_chunk(0..2);
        assert_eq!(made.len(), 1);
        assert_eq!(made[0].method, Method::Stills { positions: vec![1] });
        assert_eq!(plan.of_chunk(2..4)[0].method, Method::Stills { positions: vec![1] });
        assert_eq!(plan.of_chunk(2..3), []);
    }

    #[test]
    fn pictures_keep_the_shape_stand_upright_and_are_never_larger_than_the_source() {
        let sizes = |video: &VideoInfo| {
            let plan = Stills::plan(video, &index(0..10), 0, &[0..5, 5..10], Every::Auto);
            [plan.thumbnails.unwrap().size, plan.poster.unwrap().size].map(|it| (it.width, it.height))
        };
        assert_eq!(sizes(&video(1920, 1080)), [(284, 160), (1280, 720)]);
        assert_eq!(sizes(&video(640, 480)), [(213, 160), (640, 480)]);
        assert_eq!(sizes(&video(96, 64)), [(96, 64), (96, 64)]);
        assert_eq!(sizes(&video(16, 4000)), [(2, 284), (5, 1280)]);
        let turned = VideoInfo { rotation: Rotation { quarter_turns: 1, mirrored: false }, ..video(1920, 1080) };
        assert_eq!(sizes(&turned), [(160, 284), (720, 1280)]);
        let wide = VideoInfo { sample_aspect: Ratio::new(64, 45).unwrap(), ..video(720, 576) };
        assert_eq!(sizes(&wide), [(284, 160), (1024, 576)]);
    }

    #[test]
    fn candidates_for_the_poster_are_spread_over_the_segments_after_the_first() {
        let segments: Vec<_> = (0..100).map(|place| 10 * place..10 * place + 10).collect();
        let found = spread(&segments);
        assert_eq!((found.len(), found.first(), found.last()), (CANDIDATES, Some(&50), Some(&950)));
        assert!(found.is_sorted_by(|a, b| a < b));
        assert_eq!(spread(&segments[..1]), [0]);
        assert_eq!(spread(&segments[..3]), [10, 20]);
    }

    #[test]
    fn what_is_not_wanted_is_not_made() {
        let plan = Stills::plan(&video(640, 480), &index(0..10), 0, &[0..5, 5..10], Every::Never);
        assert_eq!(plan.thumbnails, None);
        assert_eq!(Stills::default().of_chunk(0..100), []);
    }
}
