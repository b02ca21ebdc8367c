//! Where segments start, in frames: the same for every rendition.
//!
//! Without copies every frame may start a segment, so lengths are near the target; a boundary moves to a cut
//! point close by, where a chunk can start without pre-roll. With copies only closed cut points may.

use super::PlanSettings;
use super::decode::Decoding;
use super::timeline::Timeline;

/// Length of a segment where the settings give no positive number, in seconds.
const DEFAULT_SEGMENT_S: f64 = 4.0;

/// How far beyond the target a boundary may move to a cut point, as a share of the target.
const STRETCH: f64 = 1.12;

/// How far a boundary may move to a cut point, as a share of the target.
const SNAP: f64 = 1.0 / 5.0;

/// By how much all segments may exceed the target together rather than be one more.
const SLACK: f64 = 1.01;

/// The last segments, this many of them, share what remains evenly.
const EVEN_TAIL: f64 = 8.0;

/// The first frame of each segment, and one past the last frame.
pub(super) fn starts(timeline: &Timeline, decoding: &Decoding, settings: &PlanSettings) -> Vec<u32> {
    let target = Target::new(settings.segment_s);
    let mut starts = vec![0];
    let mut last = 0;
    let mut tail = None;
    while last < timeline.frames() {
        last = if settings.copies_packets {
            next_closed(timeline, decoding, &target, last)
        } else {
            next_even(timeline, decoding, &target, last, &mut tail)
        };
        starts.push(last);
    }
    starts
}

/// The lengths that segments aim at, in seconds.
struct Target {
    length: f64,
    longest: f64,
}

impl Target {
    fn new(asked: f64) -> Self {
        let length = if asked.is_finite() && asked > 0.0 { asked } else { DEFAULT_SEGMENT_S };
        // RFC 8216, 4.3.3.1: the rounded length of every segment is at most EXT-X-TARGETDURATION.
        let rounds_alike = (length + 0.5).floor() + 0.5 - 1e-6;
        Self { length, longest: (length * STRETCH).min(rounds_alike).max(length) }
    }

    /// How many segments a stretch of this length is cut into.
    fn count(&self, seconds: f64) -> f64 {
        (seconds / (self.length * SLACK)).ceil().max(1.0)
    }

    /// The fewest segments that a stretch of this length can be cut into.
    fn fewest(&self, seconds: f64) -> f64 {
        (seconds / self.longest).ceil().max(1.0)
    }
}

/// The closed cut point that is nearest to one target length after the start of this segment.
fn next_closed(timeline: &Timeline, decoding: &Decoding, target: &Target, start: u32) -> u32 {
    let ideal = timeline.at(start) + target.length;
    let middle = timeline.first_at_or_after(ideal, start + 1);
    let before = (start + 1..middle).rev().find(|frame| decoding.is_closed(*frame));
    let after = (middle..timeline.frames()).find(|frame| decoding.is_closed(*frame));
    let off = |frame: &u32| (timeline.at(*frame) - ideal).abs();
    let nearest = before.into_iter().chain(after).min_by(|a, b| off(a).total_cmp(&off(b)));
    // A source may end on a scrap that is nearer to this segment's end than any cut point.
    nearest.filter(|frame| off(frame) <= off(&timeline.frames())).unwrap_or(timeline.frames())
}

/// The boundary after `start`; `tail` counts the segments still to make once the end is near.
fn next_even(timeline: &Timeline, decoding: &Decoding, target: &Target, start: u32, tail: &mut Option<f64>) -> u32 {
    let begin = timeline.at(start);
    let remaining = timeline.length() - begin;
    let ideal = if remaining > EVEN_TAIL * target.length {
        begin + target.length
    } else {
        let count = tail.map_or(target.count(remaining), |left| left - 1.0).max(target.fewest(remaining));
        *tail = Some(count);
        if count <= 1.0 {
            return timeline.frames();
        }
        begin + remaining / count
    };
    let latest = latest(timeline, target, start);
    let still = tail.map(|count| (count - 1.0) * target.longest);
    let near = snap(timeline, decoding, ideal, SNAP * target.length, start + 1..=latest);
    near.filter(|frame| still.is_none_or(|room| timeline.length() - timeline.at(*frame) <= room))
        .unwrap_or_else(|| nearest(timeline, ideal, start + 1).clamp(start + 1, latest))
}

/// The last boundary that keeps the segment within its longest length; at least one frame belongs to it.
fn latest(timeline: &Timeline, target: &Target, start: u32) -> u32 {
    let limit = timeline.at(start) + target.longest;
    let beyond = timeline.first_at_or_after(limit, start + 1);
    if beyond > start + 1 && timeline.at(beyond) > limit { beyond - 1 } else { beyond }
}

/// The frame whose start is nearest to a time, from `from` on.
fn nearest(timeline: &Timeline, seconds: f64, from: u32) -> u32 {
    let after = timeline.first_at_or_after(seconds, from);
    let before = after.saturating_sub(1).max(from);
    if seconds - timeline.at(before) <= timeline.at(after) - seconds { before } else { after }
}

/// The frame nearest to a time at which a chunk could start without pre-roll.
fn snap(
    timeline: &Timeline,
    decoding: &Decoding,
    ideal: f64,
    reach: f64,
    within: std::ops::RangeInclusive<u32>,
) -> Option<u32> {
    let first = timeline.first_at_or_after(ideal - reach, *within.start());
    let end = timeline.first_at_or_after(ideal + reach, first);
    let off = |frame: &u32| (timeline.at(*frame) - ideal).abs();
    let free = (first..=end).filter(|frame| within.contains(frame) && off(frame) <= reach && decoding.is_free(*frame));
    free.min_by(|a, b| off(a).total_cmp(&off(b)))
}
