//! Every property that is proved, broken once.

use vtp_engine::index::{FrameEntry, Index};
use vtp_engine::plan::{ChunkPlan, Plan};
use vtp_engine::units::{ChunkIndex, PacketIndex};

use super::read::{ReadInit, ReadSample, ReadSegment};
use super::{AudioCheck, SourceSound, VideoCheck, Violation, shift};
use crate::layout::Clock;

/// Six frames, unevenly spaced, in two segments of one chunk.
fn source() -> (Index, Plan) {
    let frames = [100, 110, 125, 130, 145, 150].map(|pts| FrameEntry { packet: PacketIndex(0), pts });
    let index = Index::of(Vec::new(), frames.to_vec(), 10);
    let chunk = ChunkPlan { index: ChunkIndex(0), frames: 0..6, segments: 0..2, packets: 0..6, cost: 6.0 };
    (index, Plan { segments: vec![0..3, 3..6], chunks: vec![chunk], reason: None })
}

fn clock() -> Clock {
    Clock { timescale: 1000, multiplier: 2, origin: 90 }
}

fn sample(decoded: u64, shown: i64, duration: u32, sync: bool) -> ReadSample {
    ReadSample { decoded, shown, duration, size: 10, sync }
}

/// What a faithful writer makes of [`source`], a B picture in each segment.
fn written() -> [ReadSegment; 2] {
    let segment = |sequence, start, samples: [ReadSample; 3]| ReadSegment {
        sequence,
        fragments: 1,
        start,
        samples: samples.to_vec(),
        head_bytes: 100,
        opens_with_key: Some(true),
    };
    [
        segment(1, 20, [sample(20, 20, 20, true), sample(40, 70, 30, false), sample(70, 40, 10, false)]),
        segment(2, 80, [sample(80, 80, 30, true), sample(110, 120, 10, false), sample(120, 110, 20, false)]),
    ]
}

fn judge(segments: &[ReadSegment]) -> Result<(u32, (i64, i64)), Violation> {
    let (index, plan) = source();
    let mut check = VideoCheck::new("hd", &index, &plan, clock());
    segments.iter().try_for_each(|segment| check.segment(segment))?;
    check.finish()
}

fn broken(damage: impl FnOnce(&mut [ReadSegment; 2])) -> Violation {
    let mut segments = written();
    damage(&mut segments);
    judge(&segments).unwrap_err()
}

#[test]
fn a_faithful_rendition_is_proved() {
    assert_eq!(judge(&written()), Ok((6, (20, 120))));
}

#[test]
fn a_missing_or_surplus_segment_is_refused() {
    assert!(matches!(judge(&written()[..1]), Err(Violation::Segments { got: 1, due: 2, .. })));
    let [first, second] = written();
    let third = ReadSegment { sequence: 3, start: 140, ..second.clone() };
    assert!(matches!(judge(&[first, second, third]), Err(Violation::Segments { got: 3, due: 2, .. })));
}

#[test]
fn a_gap_or_an_overlap_between_segments_is_refused() {
    for start in [79, 81] {
        let found = broken(|segments| segments[1].start = start);
        assert!(matches!(found, Violation::DecodeTime { segment: 2, due: 80, .. }), "{found}");
    }
    let found = broken(|segments| segments[1].samples[2].duration = 19);
    assert!(matches!(found, Violation::DecodeTime { segment: 3, got: 139, due: 140, .. }), "{found}");
}

#[test]
fn a_lost_or_doubled_frame_is_refused() {
    let found = broken(|segments| segments[0].samples.truncate(2));
    assert!(matches!(found, Violation::Frames { segment: 1, got: 2, due: 3, .. }), "{found}");
    let found = broken(|segments| segments[1].samples[2].shown = 120);
    assert!(matches!(found, Violation::FrameTime { frame: 4, got: 120, due: 110, .. }), "{found}");
}

#[test]
fn a_frame_that_is_a_single_tick_off_is_refused() {
    let found = broken(|segments| segments[0].samples[1].shown += 1);
    assert!(matches!(found, Violation::FrameTime { frame: 2, got: 71, due: 70, .. }), "{found}");
}

#[test]
fn a_segment_that_cannot_be_entered_is_refused() {
    let not_key = |violation| matches!(violation, Violation::NotKey { segment: 2, .. });
    assert!(not_key(broken(|segments| segments[1].samples[0].sync = false)));
    assert!(not_key(broken(|segments| segments[1].opens_with_key = Some(false))));
    assert!(not_key(broken(|segments| segments[1].opens_with_key = None)));
}

#[test]
fn segments_in_each_others_places_are_refused() {
    let found = broken(|segments| segments.swap(0, 1));
    assert!(matches!(found, Violation::Sequence { segment: 1, got: 2, .. }), "{found}");
}

const PRIMING: u32 = 1024;
const FRAME: u32 = 1024;

fn init() -> ReadInit {
    ReadInit { timescale: 48_000, skipped: PRIMING.into(), track: 1, default_duration: 0, default_flags: 0 }
}

fn sound(samples: u64) -> SourceSound {
    SourceSound { start_s: 0.0, end_s: samples as f64 / 48_000.0, start_sample: 0, silence_after: 0, samples }
}

/// Two segments of two frames and one frame.
fn frames() -> [ReadSegment; 2] {
    let frame = |at: u64| sample(at * u64::from(FRAME), at as i64 * i64::from(FRAME), FRAME, true);
    let segment = |sequence, start: u64, samples: &[ReadSample]| ReadSegment {
        sequence,
        fragments: 1,
        start: start * u64::from(FRAME),
        samples: samples.to_vec(),
        head_bytes: 100,
        opens_with_key: None,
    };
    [segment(1, 0, &[frame(0), frame(1)]), segment(2, 2, &[frame(2)])]
}

fn hear(segments: &[ReadSegment], init: ReadInit, samples: u64) -> Result<(), Violation> {
    let mut check = AudioCheck::new("audio-en", FRAME);
    segments.iter().try_for_each(|segment| check.segment(segment))?;
    check.finish(&init, PRIMING, &sound(samples))
}

#[test]
fn audio_may_be_padded_by_less_than_a_frame_and_must_not_be_short() {
    for samples in [2 * 1024, 1024 + 1] {
        assert_eq!(hear(&frames(), init(), samples), Ok(()), "{samples}");
    }
    for samples in [2 * 1024 + 1, 1024] {
        let found = hear(&frames(), init(), samples);
        assert!(matches!(found, Err(Violation::AudioLength { got: 2048, .. })), "{samples}: {found:?}");
    }
}

#[test]
fn audio_with_a_gap_an_odd_frame_or_undeclared_priming_is_refused() {
    let mut gap = frames();
    gap[1].start += 1;
    assert!(matches!(hear(&gap, init(), 2048), Err(Violation::DecodeTime { segment: 2, .. })));
    let mut odd = frames();
    odd[0].samples[1].duration = 960;
    assert!(matches!(hear(&odd, init(), 2048), Err(Violation::AudioFrame { got: 960, .. })));
    let undeclared = ReadInit { skipped: 0, ..init() };
    assert!(matches!(hear(&frames(), undeclared, 2048), Err(Violation::Priming { got: 0, due: 1024, .. })));
}

#[test]
fn sound_that_keeps_its_place_is_not_shifted_whatever_the_clocks_start_at() {
    let late = SourceSound { start_s: 10.5, end_s: 12.5, start_sample: 24_000, silence_after: 0, samples: 120_000 };
    // The same, in a longer film.
    let filled = SourceSound { silence_after: 480_000, samples: 600_000, ..late };
    for (sound, end_s) in [(late, 2.46), (filled, 12.46)] {
        let found = shift(&sound, 48_000, (10.0, 10.0 + end_s), (0.0, end_s));
        assert!(found.start_ms.abs() < 1e-6 && found.end_ms.abs() < 1e-6, "{found:?}");
        assert!(found.check("audio-en").is_ok());
    }
    let longer = SourceSound { silence_after: 470_000, ..filled };
    assert!(shift(&longer, 48_000, (10.0, 22.46), (0.0, 12.46)).check("audio-en").is_err(), "silence is no sound");
}

#[test]
fn sound_that_was_put_to_another_place_than_it_was_declared_at_is_refused() {
    for (start_sample, moved_ms) in [(48_480, 10.0), (0, -1000.0), (-480, -1010.0)] {
        let sound = SourceSound { start_s: 1.0, end_s: 2.0, start_sample, ..sound(96_000) };
        let found = shift(&sound, 48_000, (0.0, 1.96), (0.0, 1.96));
        assert!((found.start_ms - moved_ms).abs() < 1e-6, "{found:?}");
        assert!(found.check("audio-en").is_err(), "{found:?}");
    }
}

#[test]
fn sound_that_moved_against_the_picture_is_refused_at_either_end() {
    let sound = sound(48_000);
    let early = shift(&sound, 48_000, (0.0, 0.96), (0.006, 0.96));
    assert!((early.start_ms + 6.0).abs() < 1e-6, "{early:?}");
    assert!(matches!(early.check("audio-en"), Err(Violation::Offset { .. })));
    let drifted = shift(&sound, 48_000, (0.0, 0.96), (0.0, 0.95));
    assert!(matches!(drifted.check("audio-en"), Err(Violation::Offset { .. })));
}
