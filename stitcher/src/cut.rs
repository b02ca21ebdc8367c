//! From the samples of a chunk to the samples of its segments. Pure.
//!
//! A segment's decode times start with its first picture and end where the next segment starts, and presentation times
//! are the source's exactly, variable rates too.
//!
//! The decode times of a segment are the times at which its pictures are shown, in order: so each sample lasts as long as
//! a picture, which is what players take a sample's duration for. (Those that build on Media Source Extensions show, after
//! a seek, the picture whose time and duration cover the place; where a picture lasts a third of its time or three times
//! as long, they show a neighbour.) Pictures that are shown before their turn to be decoded would then be late, so all
//! presentation times stand in the file by one [`delay`] later, which the edit list takes out again.
//!
//! A segment that needs more than this delay (decided by the first chunk and the longest frames) makes do without: the
//! first `d + 1` of its samples, whose pictures are reordered by `d`, share the time of the first frame, each later one is
//! decoded when the frame `d` places before it is shown, and the last when it is shown itself.
//!
//! Negative composition offsets (`trun` version 1) would need neither delay nor edit list, but FFmpeg's demuxer delays all
//! later pictures of a fragmented file by the most negative offset that it has met so far (seen with 5.1): sound and
//! picture part, and times jump where a segment reorders more than those before it.
//!
//! Refuses samples that are not exactly the planned frames, and segments that do not open with a sync sample.

use vtp_engine::chunk::Sample;
use vtp_engine::index::Index;
use vtp_engine::plan::{ChunkPlan, Plan};

use crate::layout::Clock;

/// By how many places encoders reorder pictures whose B-pictures refer to B-pictures, if not more; a first chunk may
/// happen to have less.
const PYRAMID: usize = 2;

/// What is wrong with a chunk's samples.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not as many samples as frames.
    #[error("{got} samples for {due} frames")]
    Count {
        /// Samples there are.
        got: usize,
        /// Frames the plan has.
        due: usize,
    },
    /// A segment's first sample cannot be decoded on its own.
    #[error("segment {segment} does not open with a sync sample")]
    NotSync {
        /// The segment, counted over the whole source from 0.
        segment: u32,
    },
    /// A segment's samples are not its frames.
    #[error("segment {segment} shows a sample at {got}, due is a frame at {due}")]
    Frame {
        /// The segment, counted over the whole source from 0.
        segment: u32,
        /// Presentation time of the sample, in the source's ticks.
        got: i64,
        /// Presentation time of the frame, in the source's ticks.
        due: i64,
    },
    /// A time does not fit the boxes' fields (a frame longer than 2^32 units, a time before the origin).
    #[error("segment {segment} has times that no box can hold")]
    Range {
        /// The segment, counted over the whole source from 0.
        segment: u32,
    },
}

/// A sample with its times, in media time units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedSample {
    /// Size in bytes.
    pub size: u32,
    /// From its decode time to that of the next sample.
    pub duration: u32,
    /// From its decode time to its presentation time; above the negative [`delay`] of its rendition.
    pub composition: i32,
    /// Whether decoding can start here.
    pub sync: bool,
}

/// A segment: contiguous samples that can be decoded on their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its place, counted over the whole source from 0.
    pub place: u32,
    /// Decode time of the first sample and presentation time of the earliest.
    pub start: u64,
    /// Duration of all samples.
    pub ticks: u64,
    /// The samples in decode order.
    pub samples: Vec<TimedSample>,
}

impl Segment {
    /// Bytes of all samples.
    pub fn payload(&self) -> u64 {
        self.samples.iter().map(|sample| u64::from(sample.size)).sum()
    }
}

/// By how much later than they are shown a rendition's pictures stand in its file, in media time units, so that samples
/// like these of its first chunk can be decoded evenly. 0 where pictures are coded in the order in which they are shown.
///
/// That is the longest time that so many successive frames take, but not more than twice what they take on the average:
/// whoever overlooks the edit list is not to see the picture long after the sound.
pub fn delay(first: &[Sample], plan: &Plan, index: &Index, clock: Clock) -> Option<u64> {
    let shown: Vec<u64> = first.iter().map(|sample| clock.media_time(sample.pts)).collect::<Option<_>>()?;
    let mut sorted = shown.clone();
    sorted.sort_unstable();
    let places = match reorder_delay(&shown, &sorted) {
        0 => return Some(0),
        places => u32::try_from(places.max(PYRAMID)).ok()?,
    };
    let mut longest = 0;
    for segment in &plan.segments {
        for frame in segment.start..segment.end.saturating_sub(places) {
            let ticks = clock.frame_time(index, frame + places)? - clock.frame_time(index, frame)?;
            longest = longest.max(ticks);
        }
    }
    let whole = clock.frame_time(index, index.frame_count())? - clock.frame_time(index, 0)?;
    let average = whole.div_ceil(u64::from(index.frame_count().max(1)));
    Some(longest.min(2 * u64::from(places) * average))
}

/// Cuts a chunk's samples, which stand in decode order, into its planned segments, for a rendition with this [`delay`].
pub fn cut(
    samples: &[Sample],
    chunk: &ChunkPlan,
    plan: &Plan,
    index: &Index,
    clock: Clock,
    delay: u64,
) -> Result<Vec<Segment>, Error> {
    if samples.len() != chunk.frames.len() {
        return Err(Error::Count { got: samples.len(), due: chunk.frames.len() });
    }
    let mut rest = samples;
    let mut segments = Vec::with_capacity(chunk.segments.len());
    for place in chunk.segments.clone() {
        let frames = &plan.segments[place as usize];
        let (own, later) = rest.split_at(frames.len());
        segments.push(one(own, place, index, frames.start, (clock, delay))?);
        rest = later;
    }
    Ok(segments)
}

/// Times the samples of one segment whose first frame is `first`.
fn one(samples: &[Sample], place: u32, index: &Index, first: u32, clock: (Clock, u64)) -> Result<Segment, Error> {
    let mut shown: Vec<i64> = samples.iter().map(|sample| sample.pts).collect();
    shown.sort_unstable();
    let due = &index.frames[first as usize..][..samples.len()];
    if let Some((got, due)) = shown.iter().zip(due).find(|(got, due)| **got != due.pts) {
        return Err(Error::Frame { segment: place, got: *got, due: due.pts });
    }
    if !samples.first().is_some_and(|sample| sample.sync) {
        return Err(Error::NotSync { segment: place });
    }
    timed(samples, index, first, clock)
        .map(|(start, ticks, samples)| Segment { place, start, ticks, samples })
        .ok_or(Error::Range { segment: place })
}

fn timed(
    samples: &[Sample],
    index: &Index,
    first: u32,
    (clock, delay): (Clock, u64),
) -> Option<(u64, u64, Vec<TimedSample>)> {
    let shown: Vec<u64> = samples.iter().map(|sample| clock.media_time(sample.pts)).collect::<Option<_>>()?;
    let end = clock.frame_time(index, first + u32::try_from(samples.len()).ok()?)?;
    let decoded = even_times(&shown, delay).or_else(|| decode_times(&shown))?;
    let start = *decoded.first()?;
    let next = decoded.iter().copied().skip(1).chain([end]);
    let times = decoded.iter().zip(next).zip(shown);
    let found = samples.iter().zip(times).map(|(sample, ((decoded, next), shown))| {
        let composition = i64::try_from(shown).ok()?.checked_sub_unsigned(*decoded)?;
        Some(TimedSample {
            size: sample.size,
            duration: u32::try_from(next.checked_sub(*decoded)?).ok()?,
            composition: i32::try_from(composition).ok()?,
            sync: sample.sync,
        })
    });
    Some((start, end - start, found.collect::<Option<_>>()?))
}

/// The times at which the pictures are shown, in order, as decode times; `None` where one would be decoded more than
/// `delay` after it is shown.
fn even_times(shown: &[u64], delay: u64) -> Option<Vec<u64>> {
    let mut sorted = shown.to_vec();
    sorted.sort_unstable();
    let in_time = sorted.iter().zip(shown).all(|(decoded, shown)| *decoded <= shown + delay);
    in_time.then_some(sorted)
}

/// Decode times of a segment whose samples, in decode order, are shown at `shown`, the first one first, and decoded no
/// later than that. Strictly increasing; `None` where the first frame is too short to hold those that decoding runs ahead by.
fn decode_times(shown: &[u64]) -> Option<Vec<u64>> {
    let mut sorted = shown.to_vec();
    sorted.sort_unstable();
    let delay = reorder_delay(shown, &sorted);
    let start = *sorted.first()?;
    let gap = sorted.get(1).map_or(0, |second| second - start);
    let ahead = delay as u64 + 1;
    if delay > 0 && gap < ahead {
        return None;
    }
    let mut times: Vec<u64> = (0..shown.len())
        .map(|place| match place.checked_sub(delay) {
            None | Some(0) => start + gap * place as u64 / ahead,
            Some(before) => sorted[before],
        })
        .collect();
    if let (Some(last), Some(shown)) = (times.last_mut(), shown.last()) {
        *last = *shown;
    }
    Some(times)
}

/// By how many places decoding must run ahead of showing so that no sample is late.
fn reorder_delay(shown: &[u64], sorted: &[u64]) -> usize {
    let mut earliest = u64::MAX;
    let late = shown.iter().enumerate().rev().map(|(place, time)| {
        // What is decoded here or later is shown from `earliest` on.
        earliest = earliest.min(*time);
        place.saturating_sub(sorted.partition_point(|other| *other < earliest))
    });
    late.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vtp_engine::index::FrameEntry;
    use vtp_engine::units::{ChunkIndex, PacketIndex};

    use super::*;

    const CLOCK: Clock = Clock { timescale: 30_000, multiplier: 7, origin: -50 };

    fn index(gaps: &[i64]) -> Index {
        let frames = gaps.iter().scan(-50, |pts, gap| {
            *pts += gap;
            Some(FrameEntry { packet: PacketIndex(0), pts: *pts })
        });
        Index::of(Vec::new(), frames.collect(), 3)
    }

    /// One chunk of segments with these numbers of frames.
    fn plan(lengths: &[u32]) -> Plan {
        let ends = lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end - length..*end)
        });
        let segments: Vec<_> = ends.collect();
        let (frames, count) = (segments.last().map_or(0, |last| last.end), segments.len() as u32);
        let chunk = ChunkPlan { index: ChunkIndex(0), frames: 0..frames, segments: 0..count, packets: 0..0, cost: 1.0 };
        Plan { segments, chunks: vec![chunk], reason: None }
    }

    /// Samples in an order in which an encoder might code them: each segment opens with its first frame.
    fn coded(index: &Index, plan: &Plan, keys: &[u64]) -> Vec<Sample> {
        let order = plan.segments.iter().flat_map(|frames| {
            let mut rest: Vec<u32> = (frames.start + 1..frames.end).collect();
            rest.sort_by_key(|frame| keys[*frame as usize]);
            std::iter::once((frames.start, true)).chain(rest.into_iter().map(|frame| (frame, false)))
        });
        order.map(|(frame, sync)| Sample { pts: index.frames[frame as usize].pts, size: frame + 1, sync }).collect()
    }

    prop_compose! {
        fn chunk()(lengths in prop::collection::vec(1_u32..12, 1..5))
            (gaps in prop::collection::vec(3_i64..5000, lengths.iter().sum::<u32>() as usize),
             keys in prop::collection::vec(any::<u64>(), lengths.iter().sum::<u32>() as usize),
             lengths in Just(lengths)) -> (Index, Plan, Vec<Sample>) {
            let (index, plan) = (index(&gaps), plan(&lengths));
            let samples = coded(&index, &plan, &keys);
            (index, plan, samples)
        }
    }

    proptest! {
        #[test]
        fn whatever_the_coding_order_every_frame_keeps_its_time_and_segments_join(
            (index, plan, samples) in chunk(), own_delay: bool
        ) {
            let delay = if own_delay { delay(&samples, &plan, &index, CLOCK).unwrap() } else { 0 };
            let segments = cut(&samples, &plan.chunks[0], &plan, &index, CLOCK, delay).unwrap();
            let mut at = CLOCK.media_time(index.frames[0].pts).unwrap();
            let mut given = samples.iter();
            for segment in &segments {
                prop_assert_eq!(segment.start, at);
                for (timed, sample) in segment.samples.iter().zip(given.by_ref()) {
                    prop_assert!(timed.duration > 0);
                    let shown = at.checked_add_signed(timed.composition.into());
                    prop_assert_eq!(shown, CLOCK.media_time(sample.pts));
                    prop_assert!(i64::from(timed.composition) + delay as i64 >= 0);
                    prop_assert_eq!((timed.size, timed.sync), (sample.size, sample.sync));
                    at += u64::from(timed.duration);
                }
                prop_assert_eq!(segment.start + segment.ticks, at);
            }
            prop_assert_eq!(at, CLOCK.media_time(index.end()).unwrap());
        }

        #[test]
        fn a_sample_that_is_no_frame_is_refused((index, plan, mut samples) in chunk(), which in any::<prop::sample::Index>()) {
            let which = which.index(samples.len());
            samples[which].pts = index.end();
            let found = cut(&samples, &plan.chunks[0], &plan, &index, CLOCK, 0);
            let refused = matches!(found, Err(Error::Frame { .. }));
            prop_assert!(refused, "{:?}", found);
        }
    }

    #[test]
    fn a_segment_that_leans_on_the_one_before_is_refused() {
        let (index, plan) = (index(&[1, 1, 1, 1]), plan(&[2, 2]));
        let good = coded(&index, &plan, &[0, 1, 2, 3]);
        let mut open = good.clone();
        open[2].sync = false;
        assert_eq!(cut(&open, &plan.chunks[0], &plan, &index, CLOCK, 0), Err(Error::NotSync { segment: 1 }));
        let mut crossing = good.clone();
        crossing.swap(1, 2);
        assert!(matches!(
            cut(&crossing, &plan.chunks[0], &plan, &index, CLOCK, 0),
            Err(Error::Frame { segment: 0, .. })
        ));
        assert_eq!(cut(&good[..3], &plan.chunks[0], &plan, &index, CLOCK, 0), Err(Error::Count { got: 3, due: 4 }));
    }

    #[test]
    fn decoding_runs_ahead_of_showing_by_no_more_than_it_must() {
        let times = |shown: &[u64]| decode_times(shown).unwrap();
        assert_eq!(times(&[0, 30, 60, 90]), [0, 30, 60, 90]);
        assert_eq!(times(&[0, 120, 60, 30, 90]), [0, 10, 20, 30, 90]);
        assert_eq!(times(&[0, 90, 30, 60, 180, 120, 150]), [0, 15, 30, 60, 90, 120, 150]);
        assert_eq!(times(&[7]), [7]);
        assert_eq!(decode_times(&[0, 4, 2, 1, 3]), None, "three samples do not fit one tick");
    }

    #[test]
    fn with_a_delay_every_sample_lasts_as_long_as_a_picture() {
        let (index, plan) = (index(&[10; 12]), plan(&[5, 7]));
        let order = [0, 4, 2, 1, 3, 5, 8, 7, 6, 11, 10, 9];
        let sample = |frame: u32| Sample {
            pts: index.frames[frame as usize].pts,
            size: 1,
            sync: plan.segments.iter().any(|segment| segment.start == frame),
        };
        let samples = order.map(sample);
        let delay = delay(&samples[..5], &plan, &index, CLOCK).unwrap();
        assert_eq!(delay, 2 * 70);
        let index = Index { last_duration: 10, ..index };
        let segments = cut(&samples, &plan.chunks[0], &plan, &index, CLOCK, delay).unwrap();
        assert!(segments.iter().flat_map(|segment| &segment.samples).all(|sample| sample.duration == 70));
        let compositions: Vec<i32> = segments[0].samples.iter().map(|sample| sample.composition / 70).collect();
        assert_eq!(compositions, [0, 3, 0, -2, -1]);
    }

    #[test]
    fn pictures_in_order_need_no_delay_and_a_long_frame_does_not_stretch_it() {
        let plan = plan(&[30]);
        let even = index(&[10; 30]);
        assert_eq!(delay(&coded(&even, &plan, &[0; 30]), &plan, &even, CLOCK), Some(0));
        let mut gaps = [10; 30];
        gaps[20] = 10_000;
        let uneven = index(&gaps);
        let reordered = coded(&uneven, &plan, &std::array::from_fn::<u64, 30, _>(|frame| frame as u64 ^ 1));
        let average = (10_000 + 28 * 10 + 3) * 7_u64;
        assert_eq!(delay(&reordered, &plan, &uneven, CLOCK), Some(4 * average.div_ceil(30)));
    }

    #[test]
    fn a_time_that_no_box_can_hold_is_refused() {
        let (index, plan) = (index(&[1, i64::from(u32::MAX)]), plan(&[2]));
        let samples = coded(&index, &plan, &[0, 1]);
        assert_eq!(cut(&samples, &plan.chunks[0], &plan, &index, CLOCK, 0), Err(Error::Range { segment: 0 }));
        let late = Clock { origin: 0, ..CLOCK };
        assert_eq!(cut(&samples, &plan.chunks[0], &plan, &index, late, 0), Err(Error::Range { segment: 0 }));
    }
}
