//! The quality gate as its users meet it: what misses is encoded again, what can't be met is said, strictness fails.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Scene, bundled};
use serde_json::Value;

/// The first seconds of the bundled clip, small enough to be measured quickly.
fn scene() -> Scene {
    let scene = Scene::new();
    let scale = "-vf scale=320:180 -t 4 -an -c:v libx264 -crf 10";
    scene.ffmpeg(&format!("-i {} {scale} in.mp4", bundled().display()));
    scene
}

fn chunks(report: &Value) -> Vec<Value> {
    let renditions = report["renditions"].as_array().unwrap();
    renditions.iter().flat_map(|rendition| rendition["chunks"].as_array().unwrap().clone()).collect()
}

#[test]
fn chunks_that_miss_the_target_are_encoded_until_they_meet_it() {
    let scene = scene();
    let options = "in.mp4 --crf 38 --chunk 2s --segment 2s";
    let as_is = scene.encode_into("as-is", &format!("{options} --quality 0 --floor 0"));
    let gated = scene.encode_into("gated", &format!("{options} --quality 80 --floor 45"));
    let mean = |chunk: &Value| chunk["fidelity"]["mean"].as_f64().unwrap();
    assert!(chunks(&as_is).iter().all(|chunk| mean(chunk) < 78.0 && chunk["attempts"] == 1), "{as_is:#}");
    for chunk in chunks(&gated) {
        assert_eq!(chunk["outcome"], "met", "{chunk:#}");
        assert!(mean(&chunk) >= 80.0 && chunk["attempts"].as_u64().unwrap() > 1, "{chunk:#}");
    }
}

#[test]
fn chunks_far_better_than_asked_are_made_smaller_if_that_is_wished() {
    let scene = scene();
    let options = "in.mp4 --crf 14 --quality 72 --floor 45";
    let plain = scene.encode_into("plain", options);
    let saved = scene.encode_into("saved", &format!("{options} --save"));
    let bytes = |report: &Value| report["renditions"][0]["bytes"].as_u64().unwrap();
    assert!(bytes(&saved) < bytes(&plain), "{saved:#}");
    assert!(chunks(&saved).iter().all(|chunk| chunk["met_target"] == true), "{saved:#}");
}

#[test]
fn a_strict_run_that_misses_exits_with_4_and_leaves_nothing() {
    let scene = scene();
    let line = "encode in.mp4 --out out --speed ultrafast --progress none --quality 100 --strict-quality";
    scene.vtp(line).failed(4, "is not as good as asked");
    assert!(!scene.path("out").exists());
}

/// A picture of 180 lines blown up to 720: there is nothing in it that needs them.
#[test]
fn a_smart_ladder_leaves_out_the_rung_that_shows_nothing_more() {
    let scene = Scene::new();
    let scale = "-vf scale=320:180,scale=1280:720 -t 4 -an -c:v libx264 -crf 10 -preset ultrafast";
    scene.ffmpeg(&format!("-i {} {scale} in.mp4", bundled().display()));
    let report = scene.encode("in.mp4 --ladder smart --segment 2s");
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&report["choices"]), ["standard", "mobile"]);
    assert_eq!(names(&report["renditions"]), ["mobile"]);
    let standard = &report["choices"][0];
    assert_eq!(standard["verdict"]["left_out"]["instead"], "mobile", "{standard:#}");
    assert!(report["choices"][1]["vmaf"].as_f64().unwrap() >= 93.0, "{report:#}");
}

#[test]
fn a_smart_ladder_keeps_the_rungs_that_show_more() {
    let scene = Scene::with_clip(96);
    let report = scene.encode("in.mp4 --ladder smart");
    assert_eq!(report["renditions"].as_array().unwrap().len(), 2, "{report:#}");
    assert!(scene.path("out/standard").exists() && scene.path("out/mobile").exists());
}

#[test]
fn without_measuring_nothing_is_claimed() {
    let report = scene().encode("in.mp4 --no-measure");
    assert_eq!(report["renditions"][0]["fidelity"], Value::Null);
    assert!(chunks(&report).iter().all(|chunk| chunk["met_target"] == Value::Null && chunk["attempts"] == 1));
}
