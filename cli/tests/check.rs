//! `vtp check` on our own output, on FFmpeg's, and on what it can't take.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use common::{Scene, bundled};
use serde_json::Value;

/// Names of the rules of this level that are broken.
fn broken<'a>(report: &'a Value, level: &str) -> Vec<&'a str> {
    let rules = report["rules"].as_array().unwrap().iter();
    let broken = rules.filter(|rule| rule["verdict"] == "fail" && rule["level"] == level);
    broken.map(|rule| rule["id"].as_str().unwrap()).collect()
}

/// The result of a check that ends with this exit code.
fn checked(scene: &Scene, line: &str, code: i32) -> Value {
    let ended = scene.vtp(&format!("check {line} --json"));
    assert_eq!(ended.code, Some(code), "{} {}", ended.stdout, ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

/// FFmpeg's own output of the first four seconds of the bundled clip, in segments of two.
fn ffmpeg(muxer: &str) -> Scene {
    let scene = Scene::new();
    let clip = bundled();
    let codecs = "-c:v libx264 -preset ultrafast -g 48 -sc_threshold 0 -s 320x180 -c:a aac";
    scene.ffmpeg(&format!("-i {} -t 4 -map 0:v -map 0:a {codecs} {muxer}", clip.display()));
    scene
}

#[test]
fn our_own_ladder_keeps_what_must_be_and_no_segment_of_it_is_damaged_unnoticed() {
    let scene = Scene::with_clip(120);
    scene.encode("in.mp4");
    let ended = scene.vtp("check out --json");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&report["playlist"], &report["mpd"]), (&"master.m3u8".into(), &"manifest.mpd".into()));
    let must: Vec<_> = broken(&report, "must").into_iter().filter(|id| *id != "iframe-playlists").collect();
    assert_eq!(must, [""; 0], "{}", ended.stdout);

    let segment = scene.path("out/standard/seg-00002.m4s");
    let whole = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &whole[..whole.len() - 1]).unwrap();
    assert!(broken(&checked(&scene, "out", 5), "must").contains(&"files-whole"));
    std::fs::remove_file(&segment).unwrap();
    assert!(broken(&checked(&scene, "out", 5), "must").contains(&"files-present"));
}

#[test]
fn what_ffmpegs_hls_muxer_leaves_out_is_found() {
    let scene = ffmpeg(
        "-f hls -hls_time 2 -hls_playlist_type vod -hls_segment_type fmp4 -hls_flags independent_segments \
         -master_pl_name master.m3u8 media.m3u8",
    );
    let report = checked(&scene, ".", 5);
    let must = ["variants", "frame-rate", "bandwidth", "bandwidth-bound", "average-bandwidth-told", "iframe-playlists"];
    assert_eq!(broken(&report, "must"), must);
    assert!(broken(&report, "should").contains(&"cmaf-brand"));
}

#[test]
fn what_ffmpegs_dash_muxer_leaves_out_is_found() {
    let scene = ffmpeg("-f dash -seg_duration 2 -hls_playlist 1 manifest.mpd");
    let report = checked(&scene, ".", 5);
    let must = broken(&report, "must");
    for rule in ["vod", "language", "independent-media", "frame-rate", "average-bandwidth-told", "iframe-playlists"] {
        assert!(must.contains(&rule), "{rule} is not in {must:?}");
    }
    assert!(must.iter().all(|rule| !rule.starts_with("mpd")), "the MPD is good: {must:?}");
}

#[test]
fn transport_streams_and_byte_ranges_of_ffmpeg_are_read() {
    let scene = ffmpeg("-f hls -hls_time 2 -hls_playlist_type vod -hls_flags independent_segments media.m3u8");
    assert_eq!(broken(&checked(&scene, "media.m3u8", 0), "must"), [""; 0]);
    let report = checked(&scene, "media.m3u8 --strict", 5);
    let rule = |id: &str| report["rules"].as_array().unwrap().iter().find(|rule| rule["id"] == id).unwrap();
    for id in ["ts-counters", "opens-with-key", "continuous", "extinf-sums", "files-whole"] {
        assert_eq!(rule(id)["verdict"], "pass", "{}", rule(id));
    }
    let scene = ffmpeg(
        "-f hls -hls_time 2 -hls_playlist_type vod -hls_segment_type fmp4 -hls_flags single_file+independent_segments \
         media.m3u8",
    );
    assert_eq!(broken(&checked(&scene, "media.m3u8", 0), "must"), [""; 0]);
}

#[test]
fn the_table_names_every_rule_that_is_broken_and_where() {
    let scene = ffmpeg("-f hls -hls_time 2 -hls_playlist_type vod -hls_flags independent_segments media.m3u8");
    let text = std::fs::read_to_string(scene.path("media.m3u8")).unwrap();
    std::fs::write(scene.path("media.m3u8"), text.replace("#EXT-X-ENDLIST", "")).unwrap();
    let ended = scene.vtp("check media.m3u8 --failed");
    assert_eq!(ended.code, Some(5));
    assert!(ended.stdout.contains("✗ vod "), "{}", ended.stdout);
    assert!(ended.stdout.contains("    media.m3u8: there is no EXT-X-ENDLIST\n"), "{}", ended.stdout);
    assert!(!ended.stdout.contains('\u{1B}'), "no colours in what is no terminal");
}

#[test]
fn where_there_is_no_stream_the_command_says_so() {
    let scene = Scene::new();
    scene.vtp("check nowhere").failed(2, "there is no nowhere");
    scene.vtp("check .").failed(2, "no playlist");
    for name in ["a.m3u8", "b.m3u8"] {
        std::fs::write(scene.path(name), "#EXTM3U\n").unwrap();
    }
    scene.vtp("check .").failed(2, "name one of them: a.m3u8, b.m3u8");
}
