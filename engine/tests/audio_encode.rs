//! What becomes of sound: whatever it comes in, it comes out as AAC-LC and in its place.

#![cfg(feature = "media")]
#![allow(clippy::unwrap_used)]

mod audio_fixture;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use audio_fixture::{
    CLICKS, Track, audio_infos, clip, half_seconds, known, make, make_until, span_heard_by_ffmpeg, synthesise,
};
use vtp_engine::index::TimeShift;
use vtp_engine::ladder::AudioCodec;
use vtp_engine::media::Error;
use vtp_engine::media::audio::{AudioMode, AudioRequest, AudioTask, Speakers};
use vtp_engine::pcm::Moment;
use vtp_engine::units::TimeBase;

/// A clip of `seconds` of clicks on every channel of `layout`.
fn clicks(dir: &Path, name: &str, (layout, channels): (&str, usize), rate: u32, seconds: u32, how: &str) -> PathBuf {
    let expressions = vec![CLICKS; channels].join("|");
    synthesise(dir, name, &format!("-f lavfi -i aevalsrc={expressions}:c={layout}:s={rate}:d={seconds} {how}"))
}

fn only(mut tracks: Vec<Track>) -> Track {
    assert_eq!(tracks.len(), 1);
    tracks.remove(0)
}

fn assert_five_seconds_of_clicks(track: &Track) {
    track.assert_clicks(&half_seconds(0, 5));
    track.assert_samples(5.0);
    assert!(track.outcome.start_s.abs() < 0.0011 && (track.outcome.end_s - 5.0).abs() < 0.03, "{:?}", track.outcome);
    assert_eq!(track.outcome.damaged, 0);
}

#[test]
fn stereo_aac_in_mp4_stays_stereo_and_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let track = only(make(&clicks(dir.path(), "a.mp4", ("stereo", 2), 48_000, 5, "-c:a aac"), 0, &[]));
    assert_eq!((track.config.sample_rate, track.config.channels, track.config.priming), (48_000, 2, 1024));
    assert_five_seconds_of_clicks(&track);
}

#[test]
fn opus_in_matroska_keeps_its_place_in_spite_of_millisecond_times() {
    let dir = tempfile::tempdir().unwrap();
    let track = only(make(&clicks(dir.path(), "a.mkv", ("stereo", 2), 48_000, 5, "-c:a libopus"), 0, &[]));
    assert_five_seconds_of_clicks(&track);
    assert!(track.outcome.inserted_silence_s < 0.001 && track.outcome.dropped_s == 0.0, "{:?}", track.outcome);
}

#[test]
fn mp3_in_flv_is_never_cut_though_its_times_are_coarse() {
    let dir = tempfile::tempdir().unwrap();
    let path = clicks(dir.path(), "a.flv", ("stereo", 2), 44_100, 60, "-c:a libmp3lame");
    let track = only(make(&path, 0, &[]));
    assert_eq!(track.assert_clicks_as_in(&path, 0), 60);
    assert!(track.outcome.inserted_silence_s < 0.03 && track.outcome.dropped_s < 0.03, "{:?}", track.outcome);
}

#[test]
fn mono_of_eight_kilohertz_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let track = only(make(&clicks(dir.path(), "a.mov", ("mono", 1), 8000, 5, "-c:a pcm_alaw"), 0, &[]));
    assert_eq!((track.config.sample_rate, track.config.channels), (8000, 1));
    assert_five_seconds_of_clicks(&track);
}

#[test]
fn eight_bit_pcm_of_22050_hertz_keeps_its_rate() {
    let dir = tempfile::tempdir().unwrap();
    let track = only(make(&clicks(dir.path(), "a.avi", ("mono", 1), 22_050, 5, "-c:a pcm_u8"), 0, &[]));
    assert_eq!(track.config.sample_rate, 22_050);
    assert_five_seconds_of_clicks(&track);
}

#[test]
fn a_rate_that_aac_lacks_becomes_48_kilohertz_without_moving() {
    let dir = tempfile::tempdir().unwrap();
    let track = only(make(&clicks(dir.path(), "a.mov", ("stereo", 2), 37_800, 5, "-c:a pcm_s16le"), 0, &[]));
    assert_eq!(track.config.sample_rate, 48_000);
    assert_eq!(track.outcome.samples, 240_000);
    assert_five_seconds_of_clicks(&track);
}

#[test]
fn surround_is_mixed_down_to_stereo_without_clipping() {
    let dir = tempfile::tempdir().unwrap();
    let track = only(make(&clicks(dir.path(), "a.mkv", ("5.1", 6), 48_000, 5, "-c:a pcm_s16le"), 0, &[]));
    assert_eq!(track.config.channels, 2);
    assert_five_seconds_of_clicks(&track);
    assert!(track.pcm.iter().all(|sample| sample.abs() < 1.0));
}

#[test]
fn of_sixteen_channels_without_a_layout_the_first_two_are_heard() {
    let dir = tempfile::tempdir().unwrap();
    let how = format!("-f lavfi -i aevalsrc={}:c=16c:s=48000:d=5 -c:a pcm_s16le", [CLICKS; 16].join("|"));
    let track = only(make(&synthesise(dir.path(), "a.mov", &how.replace("c=16c", "c=hexadecagonal")), 0, &[]));
    assert_eq!(track.config.channels, 2);
    assert_five_seconds_of_clicks(&track);
}

#[test]
fn a_gap_in_a_transport_stream_becomes_silence_of_its_length() {
    let dir = tempfile::tempdir().unwrap();
    let how = "-c:a mp2 -bsf:a noise=amount=0:drop=between(n\\,94\\,113) -muxdelay 0 -muxpreload 0";
    let path = clicks(dir.path(), "a.ts", ("stereo", 2), 48_000, 5, how);
    let track = only(make(&path, 0, &[]));
    assert_eq!(track.assert_clicks_as_in(&path, 0), 4);
    track.assert_samples(track.outcome.end_s);
    let gap = track.outcome.inserted_silence_s - track.outcome.start_s;
    assert!((gap - 20.0 * 0.024).abs() < 0.001, "{:?}", track.outcome);
}

#[test]
fn a_late_track_begins_with_silence_and_an_early_one_loses_what_lies_before_the_origin() {
    let dir = tempfile::tempdir().unwrap();
    let path = clicks(dir.path(), "a.mkv", ("mono", 1), 48_000, 5, "-c:a flac -output_ts_offset 2");
    let late = only(make(&path, 500, &[]));
    late.assert_clicks(&half_seconds(2, 7).iter().map(|at| at - 0.5).collect::<Vec<_>>());
    late.assert_samples(6.5);
    assert!((late.outcome.inserted_silence_s - 1.5).abs() < 0.001, "{:?}", late.outcome);
    assert_eq!(late.outcome.start_sample, 72_000);
    late.assert_begins_as_declared();
    let early = only(make(&path, 3250, &[]));
    early.assert_clicks(&half_seconds(0, 4).iter().map(|at| at - 0.25).collect::<Vec<_>>());
    assert!((early.outcome.dropped_s - 1.25).abs() < 0.001, "{:?}", early.outcome);
    assert_eq!(early.outcome.start_sample, 0);
    early.assert_begins_as_declared();
}

#[test]
fn a_correction_of_the_timestamps_moves_the_sound_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = clicks(dir.path(), "a.mov", ("mono", 1), 48_000, 5, "-c:a pcm_s16le");
    let shifts = [TimeShift { from_packet: 0, shift: 4800 }, TimeShift { from_packet: 94, shift: 48_000 }];
    let track = only(make(&path, 0, &shifts));
    track.assert_clicks(&[0.6, 1.6, 3.5, 4.5, 5.5]);
    assert_eq!(track.outcome.start_sample, 4800);
    track.assert_begins_as_declared();
}

#[test]
fn a_track_at_another_rate_is_put_to_where_it_is_declared_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = clicks(dir.path(), "a.mkv", ("mono", 1), 37_800, 5, "-c:a flac -output_ts_offset 2");
    let track = only(make(&path, 500, &[]));
    assert_eq!(track.config.sample_rate, 48_000);
    track.assert_begins_as_declared();
}

#[test]
fn a_gap_behind_the_first_packet_moves_no_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = clicks(dir.path(), "a.mov", ("mono", 1), 48_000, 5, "-c:a pcm_s16le");
    for (start, gap) in [(0, 480_000), (240_000, 28_800)] {
        let shifts = [TimeShift { from_packet: 0, shift: start }, TimeShift { from_packet: 1, shift: start + gap }];
        let track = only(make(&path, 0, &shifts));
        assert_eq!(track.outcome.start_sample, start);
        track.assert_begins_as_declared();
    }
}

#[test]
fn a_first_time_that_the_next_one_contradicts_is_not_where_the_sound_begins() {
    let dir = tempfile::tempdir().unwrap();
    let path = clicks(dir.path(), "a.mov", ("mono", 1), 48_000, 5, "-c:a pcm_s16le");
    let shifts = [TimeShift { from_packet: 0, shift: 480_000 }, TimeShift { from_packet: 1, shift: 0 }];
    let track = only(make(&path, 0, &shifts));
    track.assert_clicks(&half_seconds(0, 5));
    assert_eq!(track.outcome.start_sample, 0);
    track.assert_begins_as_declared();
}

#[test]
fn a_change_of_the_sample_rate_is_taken_in_without_moving_anything() {
    let dir = tempfile::tempdir().unwrap();
    let first = clicks(dir.path(), "1.ts", ("stereo", 2), 48_000, 3, "-c:a mp2 -muxdelay 0 -muxpreload 0");
    let how = "-c:a mp2 -muxdelay 0 -muxpreload 0 -output_ts_offset 3.05";
    let second = clicks(dir.path(), "2.ts", ("mono", 1), 32_000, 3, how);
    let both = dir.path().join("both.ts");
    std::fs::write(&both, [std::fs::read(first).unwrap(), std::fs::read(second).unwrap()].concat()).unwrap();
    let track = only(make(&both, 0, &[]));
    assert_eq!((track.config.sample_rate, track.config.channels), (48_000, 2));
    let late_by = 481.0 / 48_000.0;
    let first = half_seconds(0, 3).into_iter().map(|at| at + late_by);
    track.assert_clicks(&first.chain(half_seconds(3, 6).into_iter().map(|at| at + 0.05)).collect::<Vec<_>>());
    track.assert_samples(track.outcome.end_s);
}

#[test]
fn several_tracks_are_made_in_one_pass() {
    let dir = tempfile::tempdir().unwrap();
    let how = "-f lavfi -i sine=500:d=5 -map 0 -map 1 -c:a:0 aac -c:a:1 ac3";
    let path = clicks(dir.path(), "a.mkv", ("mono", 1), 44_100, 5, how);
    let tracks = make(&path, 0, &[]);
    assert_eq!(tracks.len(), 2);
    assert_eq!(tracks[0].assert_clicks_as_in(&path, 0), 5);
    tracks[1].assert_samples(tracks[1].outcome.end_s);
}

#[test]
fn a_track_that_ends_before_the_picture_goes_on_in_silence_and_one_that_hardly_does_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = clicks(dir.path(), "a.mov", ("mono", 1), 37_800, 5, "-c:a pcm_s16le");
    let until = |end_ms| only(make_until(AudioMode::Encode, &path, (0, Some(end_ms)), &[]));
    let (plain, filled) = (only(make(&path, 0, &[])), until(16_004));
    assert_eq!(
        (plain.outcome.samples, filled.outcome.samples, filled.outcome.silence_after),
        (240_000, 768_192, 528_192)
    );
    assert!((filled.outcome.inserted_silence_s - 11.004).abs() < 1e-9, "{:?}", filled.outcome);
    assert_eq!((filled.outcome.start_s, filled.outcome.end_s), (plain.outcome.start_s, plain.outcome.end_s));
    filled.assert_clicks(&half_seconds(0, 5));
    filled.assert_samples(16.004);
    // The encoder looks an access unit ahead.
    let same = (240_000 + 1024) / 1024 - 1;
    assert_eq!(filled.units[..same], plain.units[..same]);
    for end_ms in [15_000, 5000, 3000] {
        assert_eq!(until(end_ms).units, plain.units, "{end_ms}");
    }
}

#[test]
fn a_cancelled_task_ends_without_an_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let path = clicks(dir.path(), "a.mp4", ("mono", 1), 48_000, 5, "-c:a aac");
    let request = AudioRequest {
        info: audio_infos(&path).remove(0),
        shifts: Vec::new(),
        mode: AudioMode::Encode,
        codec: AudioCodec::Aac,
        speakers: Speakers::Stereo,
        loudness: None,
        until: None,
    };
    let origin = Moment { ticks: 0, time_base: TimeBase::per_second(1).unwrap() };
    let task = AudioTask::open(&known(&path), &[request], origin).unwrap();
    let mut sink = |_: usize, _: &[u8]| -> Result<(), Error> { Ok(()) };
    assert_eq!(task.run(&AtomicBool::new(true), &mut |_| {}, &mut sink).unwrap(), None);
}

#[test]
fn the_late_sound_of_a_real_clip_begins_where_its_container_says() {
    let Some(path) = clip("torture/d_h264_audio_starts_late.mp4") else { return };
    let track = only(make(&path, 0, &[]));
    assert!((track.outcome.start_s - 1.478).abs() < 0.001, "{:?}", track.outcome);
    assert!((track.outcome.inserted_silence_s - 1.478).abs() < 0.001, "{:?}", track.outcome);
    track.assert_samples(track.outcome.end_s);
    track.assert_begins_as_declared();
    let heard = track.pcm.iter().position(|sample| sample.abs() > 0.001).unwrap();
    assert!(heard as f64 / 48_000.0 > 1.45, "heard from sample {heard} on");
}

#[test]
fn real_clips_with_gaps_damage_wraps_and_odd_starts_keep_start_and_end() {
    let names = [
        "d_ts_abr_res_change_gap.ts",
        "d_ts_corrupt_lost_packets.ts",
        "d_ts_pts_wrap.ts",
        "flv_h264_1000fps_claim.flv",
        "h264_dog_vfr_rot180.mp4",
        "h264_flir_vfr_portrait.mp4",
        "ts_mpeg2_1080p_mp2.ts",
        "vp8_bbb720_30s.webm",
        "vp9_opus51_neg_start.webm",
    ];
    for (name, path) in names.iter().filter_map(|name| Some((name, clip(&format!("torture/{name}"))?))) {
        let (start, end) = span_heard_by_ffmpeg(&path);
        let origin_ms = (start * 1000.0).floor() as i64 - 100;
        let from_origin = |seconds: f64| seconds - origin_ms as f64 / 1000.0;
        let track = only(make(&path, origin_ms, &[]));
        let outcome = track.outcome.clone();
        let placed_end = outcome.samples as f64 / f64::from(track.config.sample_rate);
        assert!((outcome.start_s - from_origin(start)).abs() < 0.001, "{name} starts at {start}: {outcome:?}");
        assert!((outcome.end_s - from_origin(end)).abs() < 0.001, "{name} ends at {end}: {outcome:?}");
        assert!((placed_end - outcome.end_s).abs() < 0.003, "{name} is {placed_end} s long: {outcome:?}");
        track.assert_samples(outcome.end_s);
        track.assert_begins_as_declared();
    }
}
