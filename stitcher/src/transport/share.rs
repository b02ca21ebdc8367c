//! Which segment of a stream of pictures and sound gets what: the pictures are cut as they are, and the sound of each begins
//! with, or just before, its pictures. Where there is sound long before the first picture or after the last, it has segments
//! of its own. Pure.

use super::clock::Clock;
use crate::listing::Listing;

/// What sound may outlast pictures by, in seconds, without a segment lasting longer for it: the rest of a frame of AAC.
const GRACE_S: f64 = 0.1;
/// How much earlier than pictures sound has to begin, in seconds, to have a segment of its own.
const APART_S: f64 = 0.2;

/// A segment that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// When it begins, in media time of the pictures.
    pub(super) start: u64,
    /// How long it lasts.
    pub(super) ticks: u64,
    /// Which segment of pictures it has.
    pub(super) video: Option<u32>,
    /// It has the sound that begins before this, in ticks of the streams' clock, and was in none before.
    pub(super) sound_until: i64,
}

/// Shares out `video` and the sound that goes with it. Sound begins `back` ticks before the segment's first picture is shown,
/// which is about when that is decoded.
pub(super) fn share(video: &Listing, audio: Option<&Listing>, clock: Clock, back: i64) -> Vec<Share> {
    let (Some(first), Some(last)) = (video.segments.first(), video.segments.last()) else { return Vec::new() };
    let (start, end) = (first.start, last.start + last.ticks);
    let seconds = |seconds: f64| (seconds * f64::from(video.timescale)) as u64;
    let heard: Vec<(u64, u64)> = audio.map_or_else(Vec::new, |audio| {
        let scaled = |time: u64| {
            let scaled = u128::from(time) * u128::from(video.timescale) / u128::from(audio.timescale.max(1));
            u64::try_from(scaled).unwrap_or(u64::MAX)
        };
        audio.segments.iter().map(|it| (scaled(it.start), scaled(it.start + it.ticks))).collect()
    });
    let apart = seconds(APART_S);
    let before = heard.iter().filter(|(from, until)| from + apart < start && *until <= start + apart);
    let mut starts: Vec<(u64, Option<u32>)> = before.map(|(from, _)| (*from, None)).collect();
    let is_alone = starts.is_empty();
    starts.extend(video.segments.iter().zip(0..).map(|(segment, place)| (segment.start, Some(place))));
    if let (true, Some((begin, _))) = (is_alone, heard.first()) {
        starts[0].0 = start.min(*begin);
    }
    starts.extend(heard.iter().filter(|(from, _)| *from >= end).map(|(from, _)| (*from, None)));
    let heard_until = heard.last().map_or(0, |(_, until)| *until);
    let end = if heard_until > end + seconds(GRACE_S) { heard_until } else { end };
    let ends = starts.iter().skip(1).map(|(next, _)| Some(*next)).chain([None]);
    let shares = starts.iter().zip(ends).map(|(&(start, video), next)| Share {
        start,
        ticks: next.unwrap_or(end).saturating_sub(start),
        video,
        sound_until: next.map_or(i64::MAX, |next| clock.ticks(next.cast_signed()) - back),
    });
    shares.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::Written;

    fn listing(timescale: u32, edges: &[u64]) -> Listing {
        let segments = edges.windows(2).map(|it| Written { start: it[0], ticks: it[1] - it[0], bytes: 1, samples: 1 });
        Listing { folder: "x".to_owned(), codec: "x".to_owned(), timescale, segments: segments.collect() }
    }

    /// Start, duration and pictures of each segment, of pictures cut at these milliseconds and sound at those.
    fn shared(video: &[u64], audio: &[u64]) -> Vec<(u64, u64, Option<u32>)> {
        let audio = (!audio.is_empty()).then(|| listing(48_000, &audio.iter().map(|ms| ms * 48).collect::<Vec<_>>()));
        let clock = Clock { timescale: 1000, start: 0 };
        let shares = share(&listing(1000, video), audio.as_ref(), clock, 0);
        shares.iter().map(|it| (it.start, it.ticks, it.video)).collect()
    }

    #[test]
    fn segments_are_those_of_the_pictures() {
        let due = [(0, 4000, Some(0)), (4000, 2000, Some(1))];
        assert_eq!(shared(&[0, 4000, 6000], &[0, 4010, 6015]), due);
        assert_eq!(shared(&[0, 4000, 6000], &[]), due);
        assert_eq!(shared(&[0, 4000, 6000], &[0, 90]), due, "sound that ends early");
    }

    #[test]
    fn sound_that_is_there_before_the_pictures_or_after_them_has_its_own_segments() {
        let long = shared(&[5000, 9000], &[0, 4010, 5010, 9260, 13_000]);
        assert_eq!(long, [(0, 4010, None), (4010, 990, None), (5000, 4260, Some(0)), (9260, 3740, None)]);
        assert_eq!(shared(&[500, 4500], &[0, 4510]), [(0, 4500, Some(0))], "half a second is no segment");
        assert_eq!(shared(&[500, 4500], &[]), [(500, 4000, Some(0))]);
        assert_eq!(shared(&[0, 4000], &[0, 4900]), [(0, 4900, Some(0))]);
    }

    #[test]
    fn sound_goes_to_the_segment_whose_pictures_are_decoded_when_it_is_heard() {
        let clock = Clock { timescale: 1000, start: 900_000 };
        let shares = share(&listing(1000, &[0, 4000, 6000]), None, clock, 7_500);
        let until: Vec<i64> = shares.iter().map(|share| share.sound_until).collect();
        assert_eq!(until, [900_000 + 360_000 - 7_500, i64::MAX]);
    }
}
