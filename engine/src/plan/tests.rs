//! What every plan keeps to, over named sources and over random ones.

use proptest::prelude::*;

use super::synthetic::{Gop, index as synthesize, steady};
use super::*;
use crate::index::CutClass;

const SETTINGS: PlanSettings = PlanSettings { segment_s: 4.0, chunk_s: None, copies_packets: false, context_frames: 0 };

fn base() -> TimeBase {
    TimeBase::per_second(25).unwrap()
}

fn auto(index: &Index) -> Plan {
    plan(index, base(), &SETTINGS)
}

fn lengths(plan: &Plan) -> Vec<u32> {
    plan.segments.iter().map(|s| s.end - s.start).collect()
}

fn chunk_lengths(plan: &Plan) -> Vec<u32> {
    plan.chunks.iter().map(|c| c.frames.end - c.frames.start).collect()
}

fn preroll(plan: &Plan) -> f64 {
    let own: u32 = chunk_lengths(plan).iter().sum();
    plan.chunks.iter().map(|c| c.cost).sum::<f64>() / f64::from(own) - 1.0
}

/// Carries out a chunk's decoding on the rules of [`CutClass`]: which frames come out right.
fn decodes(index: &Index, packets: &Range<u32>) -> Vec<bool> {
    let first = index.packets.get(packets.start as usize);
    let from = match first {
        Some(entry) if packets.start > 0 && entry.cut != CutClass::None => {
            index.frames.iter().rposition(|frame| frame.packet.0 == packets.start)
        }
        _ => (packets.start == 0).then_some(0),
    };
    let right = |(at, frame): (usize, &crate::index::FrameEntry)| {
        packets.contains(&frame.packet.0) && from.is_some_and(|from| at >= from)
    };
    index.frames.iter().enumerate().map(right).collect()
}

#[test]
fn a_short_source_is_one_chunk_and_the_plan_says_why() {
    let plan = auto(&steady(25, 50));
    assert_eq!((lengths(&plan), plan.chunks.len()), (vec![50], 1));
    assert_eq!(plan.reason.as_deref(), Some("The source is one segment of 2.0 s, and a chunk holds whole segments."));
    assert_eq!(plan.chunks[0].cost, 50.0);
}

#[test]
fn segments_are_of_even_length_without_a_scrap_at_the_end() {
    let no_cuts_near = steady(1000, 210);
    assert_eq!(lengths(&auto(&no_cuts_near)), [70, 70, 70]);
}

#[test]
fn segments_follow_cut_points_close_by() {
    assert_eq!(lengths(&auto(&steady(96, 96 * 5))), [96; 5]);
    let plan = auto(&steady(96, 96 * 40));
    assert_eq!((lengths(&plan), plan.reason), (vec![96; 40], None));
}

#[test]
fn a_clip_of_regular_gops_is_single_segments_without_pre_roll() {
    let plan = auto(&steady(50, 500));
    assert_eq!(plan.chunks.len(), plan.segments.len());
    assert_eq!(preroll(&plan), 0.0);
}

#[test]
fn chunks_of_a_long_film_fall_from_half_a_minute_to_single_segments() {
    let plan = auto(&steady(50, 25 * 3600));
    let lengths = chunk_lengths(&plan);
    assert!(lengths.iter().all(|frames| *frames <= 25 * 36), "{lengths:?}");
    assert!(lengths[0] >= 25 * 24 && lengths[lengths.len() - 1] <= 125, "{lengths:?}");
    assert!(lengths.windows(2).all(|pair| pair[1] <= pair[0] + 100), "{lengths:?}");
    assert_eq!(plan.reason, None);
}

#[test]
fn a_clip_with_one_keyframe_still_makes_several_chunks_and_says_what_that_costs() {
    let plan = auto(&steady(29 * 25, 29 * 25));
    assert!((3..=6).contains(&plan.chunks.len()), "{:?}", chunk_lengths(&plan));
    assert!(preroll(&plan) <= 0.2);
    let costs: Vec<f64> = plan.chunks.iter().map(|c| c.cost).collect();
    let (most, least) = (costs.iter().copied().fold(0.0, f64::max), costs.iter().copied().fold(f64::MAX, f64::min));
    assert!(most < 1.5 * least, "{costs:?}");
    let reason = plan.reason.unwrap();
    assert!(
        reason.starts_with("The source has one cut point only. Chunks that start elsewhere decode frames again:"),
        "{reason}"
    );
}

#[test]
fn an_hour_without_a_keyframe_makes_few_large_chunks() {
    let plan = auto(&steady(25 * 3600, 25 * 3600));
    assert!((3..=6).contains(&plan.chunks.len()), "{:?}", chunk_lengths(&plan));
    assert!(preroll(&plan) <= 0.2);
}

#[test]
fn one_long_gop_in_a_film_does_not_coarsen_the_rest() {
    let mut gops = vec![Gop::closed(50); 600];
    gops.push(Gop::closed(25 * 600));
    gops.extend(vec![Gop::closed(50); 600]);
    let plan = auto(&synthesize(&gops, &[1]));
    assert!(plan.chunks.len() > 70, "{:?}", chunk_lengths(&plan));
    assert!(preroll(&plan) < 0.06, "{}", preroll(&plan));
}

#[test]
fn leading_pictures_are_decoded_in_the_chunk_that_shows_them() {
    let gops = vec![Gop::open(2, 100); 4];
    let index = synthesize(&gops, &[1]);
    let plan = plan(&index, base(), &PlanSettings { chunk_s: Some(4.0), ..SETTINGS });
    assert_eq!(chunk_lengths(&plan), [102, 100, 100, 98], "boundaries move to the cut pictures");
    assert_eq!(plan.chunks[1].packets, 100..203, "the next GOP's first picture and its leading pictures are needed");
}

#[test]
fn a_second_field_travels_with_its_first() {
    let gops = vec![Gop { fields: true, ..Gop::closed(100) }; 2];
    let plan = auto(&synthesize(&gops, &[1]));
    assert_eq!(plan.chunks.iter().map(|c| c.packets.clone()).collect::<Vec<_>>(), [0..200, 200..400]);
}

#[test]
fn context_frames_are_decoded_too() {
    let settings = PlanSettings { context_frames: 1, chunk_s: Some(4.0), ..SETTINGS };
    let plan = plan(&steady(100, 300), base(), &settings);
    let packets: Vec<_> = plan.chunks.iter().map(|c| c.packets.clone()).collect();
    assert_eq!(packets, [0..101, 0..201, 100..300]);
    assert_eq!(plan.chunks[1].cost, 100.0 + 0.1 * 101.0);
}

#[test]
fn a_gap_longer_than_a_segment_makes_one_long_segment() {
    let mut ticks = vec![1; 100];
    ticks[49] = 25 * 20;
    let plan = auto(&synthesize(&[Gop::closed(100)], &ticks));
    let at_gap: Vec<_> = plan.segments.iter().filter(|s| s.contains(&49)).collect();
    assert_eq!(at_gap, [&(49..50)]);
}

#[test]
fn copied_segments_start_at_closed_cut_points_only() {
    let mut gops = vec![Gop::closed(60); 3];
    gops.push(Gop::open(2, 60));
    gops.extend(vec![Gop::closed(250); 2]);
    let settings = PlanSettings { copies_packets: true, ..SETTINGS };
    let plan = plan(&synthesize(&gops, &[1]), base(), &settings);
    assert_eq!(lengths(&plan), [120, 120, 250, 250]);
    assert!(plan.reason.unwrap().contains("closed cut points only, and those are up to 10.0 s apart"));
}

#[test]
fn a_source_without_any_cut_point_decodes_from_its_first_packet() {
    let gop = Gop { cut: CutClass::None, ..Gop::closed(1000) };
    let plan = auto(&synthesize(&[gop], &[1]));
    assert!(plan.chunks.iter().all(|chunk| chunk.packets.start == 0));
    assert!(plan.reason.unwrap().starts_with("The source has no cut point"));
}

#[test]
fn an_index_that_contradicts_itself_still_gets_a_plan() {
    let mut index = steady(50, 300);
    for (at, frame) in index.frames.iter_mut().enumerate() {
        frame.packet.0 = if at % 7 == 0 { u32::MAX } else { (at as u32 * 31) % 299 };
        frame.pts = -(at as i64);
    }
    assert_eq!(auto(&index).segments.last().unwrap().end, 300);
    index.packets.clear();
    assert_eq!(auto(&index).segments.last().unwrap().end, 300);
}

fn gops() -> impl Strategy<Value = Vec<Gop>> {
    let cut = prop_oneof![1 => Just(CutClass::None), 2 => Just(CutClass::Open), 4 => Just(CutClass::Closed)];
    let gop = (cut, 0u32..4, 0u32..300, 0u32..4, prop::bool::weighted(0.2)).prop_map(
        |(cut, leading, trailing, b_frames, fields)| {
            let leading = if cut == CutClass::Closed { 0 } else { leading };
            Gop { cut, leading, trailing, b_frames, fields }
        },
    );
    prop::collection::vec(gop, 1..20)
}

fn settings() -> impl Strategy<Value = PlanSettings> {
    let chunk = prop_oneof![3 => Just(None), 1 => (0.1f64..40.0).prop_map(Some)];
    (0.5f64..12.0, chunk, any::<bool>(), 0u32..2).prop_map(|(segment_s, chunk_s, copies_packets, context_frames)| {
        PlanSettings { segment_s, chunk_s, copies_packets, context_frames }
    })
}

proptest! {
    #[test]
    fn every_plan_partitions_the_frames_and_decodes_them(
        gops in gops(), ticks in prop::collection::vec(1i64..60, 1..5), settings in settings(),
    ) {
        let index = synthesize(&gops, &ticks);
        let plan = plan(&index, base(), &settings);
        prop_assert_eq!(&plan, &super::plan(&index, base(), &settings));

        let mut at = 0;
        for segment in &plan.segments {
            prop_assert!(segment.start == at && segment.end > at);
            at = segment.end;
        }
        prop_assert_eq!(at, index.frame_count());

        let (mut segment, mut frame) = (0, 0);
        for (place, chunk) in plan.chunks.iter().enumerate() {
            prop_assert_eq!(chunk.index.0 as usize, place);
            prop_assert!(chunk.segments.start == segment && chunk.segments.end > segment);
            prop_assert!(chunk.frames.start == frame);
            segment = chunk.segments.end;
            frame = plan.segments[segment as usize - 1].end;
            prop_assert_eq!(chunk.frames.end, frame);

            let right = decodes(&index, &chunk.packets);
            let context = settings.context_frames;
            let wanted = chunk.frames.start.saturating_sub(context)..(chunk.frames.end + context).min(at);
            prop_assert!(wanted.clone().all(|frame| right[frame as usize]), "{chunk:?}");
            let last = chunk.packets.end as usize;
            let next_yields = index.frames.iter().any(|frame| frame.packet.0 as usize == last);
            prop_assert!(last == index.packets.len() || next_yields, "a field is torn off");
        }
        prop_assert_eq!(segment as usize, plan.segments.len());
        prop_assert_eq!(frame, at);
    }

    #[test]
    fn chunks_of_a_wanted_length_end_at_the_segment_that_comes_nearest(
        gops in gops(), ticks in prop::collection::vec(1i64..60, 1..5), segment_s in 0.5f64..4.0, wanted in 0.1f64..40.0,
    ) {
        let index = synthesize(&gops, &ticks);
        let plan = plan(&index, base(), &PlanSettings { segment_s, chunk_s: Some(wanted), ..SETTINGS });
        let at = |frame: u32| base().seconds(index.pts(crate::units::FrameIndex(frame)));
        for chunk in &plan.chunks {
            let off = |end: u32| (at(plan.segments[end as usize - 1].end) - at(chunk.frames.start) - wanted).abs();
            let ends = chunk.segments.start + 1..=plan.segments.len() as u32;
            prop_assert_eq!(Some(chunk.segments.end), ends.min_by(|a, b| off(*a).total_cmp(&off(*b))));
        }
    }

    #[test]
    fn pre_roll_is_bounded_and_chunks_are_not_longer_than_they_need_be(
        gops in gops(), ticks in prop::collection::vec(1i64..4, 1..5), context_frames in 0u32..2,
    ) {
        let index = synthesize(&gops, &ticks);
        let plan = plan(&index, base(), &PlanSettings { context_frames, ..SETTINGS });
        prop_assert!(preroll(&plan) <= 0.2 + 1e-9);
        let longest_gop = gops.iter().map(|gop| gop.leading + gop.trailing + 1).sum::<u32>();
        let bound = (25 * 30 * 2).max(longest_gop);
        prop_assert!(chunk_lengths(&plan).into_iter().all(|frames| frames <= bound));
        prop_assert!(plan.chunks.len() > 1 || plan.segments.len() < 4 || plan.reason.is_some());
    }

    #[test]
    fn segments_stay_within_the_target_duration(
        gops in gops(), ticks in prop::collection::vec(1i64..4, 1..5), tenths in 10u32..120,
    ) {
        let target = f64::from(tenths) / 10.0;
        let index = synthesize(&gops, &ticks);
        let plan = plan(&index, base(), &PlanSettings { segment_s: target, ..SETTINGS });
        for segment in &plan.segments {
            let end = index.pts(crate::units::FrameIndex(segment.end));
            let length = base().seconds(end - index.pts(crate::units::FrameIndex(segment.start)));
            prop_assert!((length + 0.5).floor() <= (target + 0.5).floor(), "{length} for {target}");
        }
    }

    #[test]
    fn copies_are_parted_where_nothing_reaches_across(gops in gops(), target in 0.5f64..12.0) {
        let index = synthesize(&gops, &[1]);
        let settings = PlanSettings { segment_s: target, copies_packets: true, ..SETTINGS };
        for segment in plan(&index, base(), &settings).segments.iter().skip(1) {
            let (before, after) = index.frames.split_at(segment.start as usize);
            let packet = after[0].packet;
            prop_assert_eq!(index.packets[packet.0 as usize].cut, CutClass::Closed);
            prop_assert!(before.iter().all(|f| f.packet < packet) && after.iter().all(|f| f.packet >= packet));
        }
    }
}
