//! What becomes of sound that is passed on: the source's access units, in their place.

#![cfg(feature = "media")]
#![allow(clippy::unwrap_used)]

mod audio_fixture;

use std::path::{Path, PathBuf};

use audio_fixture::{CLICKS, Track, clip, half_seconds, make_as, make_until, synthesise};
use vtp_engine::media::audio::AudioMode;

fn clicks(dir: &Path, name: &str, how: &str) -> PathBuf {
    synthesise(dir, name, &format!("-f lavfi -i aevalsrc={CLICKS}|{CLICKS}:s=48000:d=5 {how}"))
}

fn copy(path: &Path, origin_ms: i64) -> Track {
    make_as(AudioMode::CopyIfPossible, path, origin_ms, &[]).remove(0)
}

#[test]
fn access_units_of_an_mp4_are_passed_on_with_the_priming_of_its_edit_list() {
    let dir = tempfile::tempdir().unwrap();
    let track = copy(&clicks(dir.path(), "a.mp4", "-c:a aac"), 0);
    assert!(track.config.copied);
    assert_eq!((track.config.priming, track.config.sample_rate, track.config.channels), (1024, 48_000, 2));
    track.assert_clicks(&half_seconds(0, 5));
    track.assert_samples(5.0);
    assert_eq!(track.outcome.start_sample, -1024);
    track.assert_begins_as_declared();
}

#[test]
fn a_late_start_is_met_to_the_sample_by_silence_and_priming() {
    let dir = tempfile::tempdir().unwrap();
    let track = copy(&clicks(dir.path(), "a.mp4", "-c:a aac -output_ts_offset 1.2345"), 0);
    assert!(track.config.copied);
    track.assert_clicks(&half_seconds(0, 5).iter().map(|at| at + 1.2345).collect::<Vec<_>>());
    track.assert_begins_as_declared();
}

#[test]
fn sound_before_the_origin_goes_unheard() {
    let dir = tempfile::tempdir().unwrap();
    let track = copy(&clicks(dir.path(), "a.mp4", "-c:a aac"), 2250);
    assert!(track.config.copied && track.config.priming < 2048);
    track.assert_clicks(&[0.25, 1.25, 2.25]);
    track.assert_begins_as_declared();
}

#[test]
fn a_transport_stream_loses_its_adts_headers_and_a_gap_is_filled() {
    let dir = tempfile::tempdir().unwrap();
    let how = "-c:a aac -bsf:a noise=amount=0:drop=between(n\\,96\\,120) -muxdelay 0 -muxpreload 0";
    let path = clicks(dir.path(), "a.ts", how);
    let track = copy(&path, 0);
    assert!(track.config.copied);
    assert_eq!(track.config.config.len(), 2);
    assert_eq!(track.assert_clicks_as_in(&path, 0), 4);
    assert!((track.outcome.inserted_silence_s - 25.0 * 1024.0 / 48_000.0).abs() < 0.012, "{:?}", track.outcome);
}

#[test]
fn units_of_silence_follow_up_to_the_end_of_the_picture() {
    let dir = tempfile::tempdir().unwrap();
    let path = clicks(dir.path(), "a.mp4", "-c:a aac");
    let until = |end_ms| make_until(AudioMode::CopyIfPossible, &path, (0, Some(end_ms)), &[]).remove(0);
    let (plain, filled) = (copy(&path, 0), until(16_000));
    let missing = (16 * 48_000 - plain.outcome.samples).div_ceil(1024) * 1024;
    assert_eq!(filled.outcome.silence_after, missing);
    assert_eq!(filled.outcome.samples, plain.outcome.samples + missing);
    assert!((filled.outcome.inserted_silence_s - missing as f64 / 48_000.0).abs() < 1e-9, "{:?}", filled.outcome);
    assert_eq!(filled.outcome.end_s, plain.outcome.end_s);
    assert_eq!(filled.units[..plain.units.len()], plain.units);
    filled.assert_clicks(&half_seconds(0, 5));
    filled.assert_samples(16.0);
    assert_eq!(until(14_900).units, plain.units);
}

#[test]
fn what_is_not_aac_lc_is_encoded_and_the_reason_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let track = copy(&clicks(dir.path(), "a.mkv", "-c:a ac3"), 0);
    assert!(!track.config.copied);
    assert_eq!(track.config.encoded_because.as_deref(), Some("it is ac3, not AAC-LC"));
    track.assert_samples(track.outcome.end_s);
}

#[test]
fn surround_of_a_real_clip_stays_surround() {
    let Some(path) = clip("torture/bbb720_51aac.mp4") else { return };
    let track = copy(&path, 0);
    assert_eq!((track.config.copied, track.config.channels), (true, 6));
    track.assert_samples(track.outcome.end_s);
}
