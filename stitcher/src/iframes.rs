//! Key pictures that players fetch alone, for fast forward, rewind and scrubbing: where they stand in the segments, and
//! the I-frame playlists (RFC 8216bis 4.4.3.6, 4.4.6.3) that name them. Pure.
//!
//! A key picture is a fragment of its own, `moof` and all: a player is to be able to decode the bytes that the playlist
//! names with nothing but the initialization segment (Apple's HLS authoring specification, 6.10). The usual way, one
//! fragment a segment and a range that ends in the middle of its `mdat`, costs nothing, but serves only readers that
//! forgive a torn box (ExoPlayer has stumbled over it), tells of samples that are not there, and can name but the first
//! picture of a segment. The second `moof` costs 96 bytes, which is 200 bits a second where segments last 4 s.
//!
//! Each segment's first picture is named, and key pictures inside it, as encoders put at changes of scene, if they are a
//! second after the last one named: Apple asks for one a second (6.2), and more are of no use to a viewer.

use std::collections::HashMap;
use std::ops::Range;

use m3u8_rs::{
    ByteRange, Map, MediaPlaylist, MediaPlaylistType, MediaSegment, QuotedOrUnquoted, Resolution, VariantStream,
};

use crate::cut::Segment;
use crate::listing::{
    IFRAMES, INIT, KeyPicture, Presentation, Rates, VERSION, VideoListing, as_written, segment_name, single,
    video_range,
};
use crate::rates::{self, Weight};

/// Key pictures that are named are at least so far apart, in seconds, unless they open a segment.
const LEAST_GAP_S: u64 = 1;

/// Samples of a segment that share a `moof`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Their places among the segment's samples.
    pub samples: Range<usize>,
    /// Decode time of the first.
    pub start: u64,
    /// When the picture is shown, in media time, if it is a key picture alone.
    pub picture: Option<u64>,
}

/// Divides a segment, of so many media time units a second, into fragments. The key picture before it was shown at
/// `last`.
pub fn fragments(segment: &Segment, timescale: u32, last: Option<u64>) -> Vec<Fragment> {
    let gap = LEAST_GAP_S * u64::from(timescale);
    let (mut found, mut last, mut decoded): (Vec<Fragment>, _, _) = (Vec::new(), last, segment.start);
    for (place, sample) in segment.samples.iter().enumerate() {
        let shown = decoded.saturating_add_signed(sample.composition.into());
        let far = last.is_none_or(|last| shown >= last + gap);
        if sample.sync && (place == 0 || far) {
            found.push(Fragment { samples: place..place + 1, start: decoded, picture: Some(shown) });
            last = Some(shown);
        } else {
            match found.last_mut().filter(|fragment| fragment.picture.is_none()) {
                Some(fragment) => fragment.samples.end = place + 1,
                None => found.push(Fragment { samples: place..place + 1, start: decoded, picture: None }),
            }
        }
        decoded += u64::from(sample.duration);
    }
    found
}

/// Each key picture's size and how long it stands for: until the next one, the last until its segment's end.
fn weights(video: &VideoListing) -> Vec<Weight> {
    let last = video.pictures.last().and_then(|last| video.listing.segments.get(last.segment as usize));
    let end = last.map_or(0, |last| last.start + last.ticks);
    let next = video.pictures.iter().skip(1).map(|picture| picture.shown).chain([end]);
    let weigh = |(picture, next): (&KeyPicture, u64)| {
        let ticks = next.saturating_sub(picture.shown);
        let seconds = as_written(ticks as f64 / f64::from(video.listing.timescale));
        Weight { bytes: picture.range.end - picture.range.start, seconds }
    };
    video.pictures.iter().zip(next).map(weigh).collect()
}

/// The I-frame playlist of a rendition.
pub fn playlist(video: &VideoListing, target_s: u32) -> MediaPlaylist {
    let map = Map { uri: INIT.to_owned(), ..Map::default() };
    let segment = |(place, (picture, weight)): (usize, (&KeyPicture, Weight))| MediaSegment {
        uri: segment_name(picture.segment),
        duration: single(weight.seconds),
        byte_range: Some(ByteRange { length: weight.bytes, offset: Some(picture.range.start) }),
        map: (place == 0).then(|| map.clone()),
        ..MediaSegment::empty()
    };
    MediaPlaylist {
        version: Some(VERSION),
        target_duration: target_s.into(),
        segments: video.pictures.iter().zip(weights(video)).enumerate().map(segment).collect(),
        end_list: true,
        playlist_type: Some(MediaPlaylistType::Vod),
        i_frames_only: true,
        independent_segments: true,
        ..MediaPlaylist::default()
    }
}

/// What the multivariant playlist says of the I-frame playlists, in ascending order.
pub fn streams(presentation: &Presentation) -> Vec<VariantStream> {
    let target_s = presentation.target_s();
    let mut streams: Vec<_> = (presentation.video.iter())
        .filter(|video| !video.pictures.is_empty())
        .map(|video| stream(video, target_s))
        .collect();
    streams.sort_by_key(|stream| stream.bandwidth);
    streams
}

fn stream(video: &VideoListing, target_s: u32) -> VariantStream {
    let Rates { peak, average } = rates(video, target_s);
    let range = QuotedOrUnquoted::Unquoted(video_range(video.transfer).to_owned());
    VariantStream {
        is_i_frame: true,
        uri: format!("{}/{IFRAMES}", video.listing.folder),
        bandwidth: rates::whole(peak),
        average_bandwidth: Some(rates::whole(average)),
        codecs: Some(video.listing.codec.clone()),
        resolution: Some(Resolution { width: video.display.width.into(), height: video.display.height.into() }),
        other_attributes: Some(HashMap::from([("VIDEO-RANGE".to_owned(), range)])),
        ..VariantStream::default()
    }
}

/// Peak and average bit rate of an I-frame playlist, whose segments are its byte ranges (RFC 8216bis 4.4.6.2).
fn rates(video: &VideoListing, target_s: u32) -> Rates {
    let weights = weights(video);
    Rates { peak: rates::peak(&weights, target_s.into()), average: rates::average(&weights) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::TimedSample;

    /// Samples of a fifth of a second each at 10 units a second; `k` is a key picture.
    fn segment(samples: &str) -> Segment {
        let samples: Vec<_> = samples
            .chars()
            .map(|kind| TimedSample { size: 7, duration: 2, composition: 0, sync: kind == 'k' })
            .collect();
        Segment { place: 0, start: 100, ticks: 2 * samples.len() as u64, samples }
    }

    fn divided(samples: &str, last: Option<u64>) -> Vec<(Range<usize>, u64, Option<u64>)> {
        let found = fragments(&segment(samples), 10, last);
        found.into_iter().map(|it| (it.samples, it.start, it.picture)).collect()
    }

    #[test]
    fn a_segments_first_picture_is_a_fragment_of_its_own() {
        assert_eq!(divided("k..", None), [(0..1, 100, Some(100)), (1..3, 102, None)]);
        assert_eq!(divided("k", Some(99)), [(0..1, 100, Some(100))], "also where it follows another closely");
    }

    #[test]
    fn key_pictures_inside_a_segment_are_named_once_a_second() {
        let expected = [(0..1, 100, Some(100)), (1..6, 102, None), (6..7, 112, Some(112)), (7..9, 114, None)];
        assert_eq!(divided("k..k..k..", None), expected);
        assert_eq!(divided(&"k".repeat(12), None).iter().filter(|it| it.2.is_some()).count(), 3);
    }
}
