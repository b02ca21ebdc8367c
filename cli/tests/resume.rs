//! Runs that go on where an earlier one ended: killed ones, and such with other settings.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Scene, VTP, bundled, files};
use serde_json::Value;

const OPTIONS: &str = "in.mp4 --chunk 1s --segment 1s --cache cache";
const RUNGS: &str = "--ladder standard,mobile";

/// Four seconds of the bundled clip, small enough to be encoded quickly.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.ffmpeg(&format!("-i {} -vf scale=320:180 -t 4 -c:a copy -c:v libx264 -crf 10 in.mp4", bundled().display()));
    scene
}

/// What viewers get; not what is told of the run.
fn media(scene: &Scene, out: &str) -> BTreeMap<String, u64> {
    let mut files = files(&scene.path(out));
    assert!(files.remove("report.json").is_some() && files.remove("report.html").is_some());
    files
}

fn reused(report: &Value) -> u64 {
    report["timing"]["reused"].as_u64().unwrap()
}

/// Encodings: one of each rendition of each chunk, and those that quality asked for besides.
fn encodings(report: &Value) -> u64 {
    let renditions = report["renditions"].as_array().unwrap();
    renditions.iter().flat_map(|it| it["chunks"].as_array().unwrap()).map(|it| it["attempts"].as_u64().unwrap()).sum()
}

fn kept(scene: &Scene) -> u64 {
    let names = scene.files().into_keys();
    names.filter(|name| name.starts_with("cache/") && name.ends_with(".chunk")).count() as u64
}

/// There is something, and nothing that says that it is in the making.
fn looks_finished(out: &Path) -> bool {
    let entries = std::fs::read_dir(out).into_iter().flatten();
    let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    !names.is_empty() && !names.iter().any(|name| name.starts_with(".vtp-work-"))
}

/// Random numbers whose seed is told, so that what failed can be tried again.
fn random() -> fastrand::Rng {
    let given = std::env::var("VTP_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("VTP_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

#[test]
fn a_run_that_is_killed_time_and_again_ends_as_one_that_was_not() {
    let scene = scene();
    let started = Instant::now();
    let undisturbed = scene.encode_into("whole", &OPTIONS.replace("cache cache", "cache none"));
    let (mut random, length) = (random(), started.elapsed());
    for _ in 0..8 {
        let before = kept(&scene);
        let mut command = Command::new(VTP);
        command.args(format!("encode {OPTIONS} --out out --speed ultrafast --progress none").split(' '));
        let mut run = command.current_dir(scene.path("")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (started, moment) = (Instant::now(), length.mul_f64(random.f64()));
        while started.elapsed() < moment && run.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        run.kill().unwrap();
        run.wait().unwrap();
        if looks_finished(&scene.path("out")) {
            // It was faster, if only just. Its output would be refused to be replaced.
            assert_eq!(media(&scene, "out"), media(&scene, "whole"));
            std::fs::remove_dir_all(scene.path("out")).unwrap();
        }
        assert!(kept(&scene) >= before, "nothing that was kept is lost");
    }
    let before = kept(&scene);
    let report = scene.encode_into("out", OPTIONS);
    assert_eq!(reused(&report), before, "nothing that was kept is encoded again");
    assert_eq!(kept(&scene), encodings(&report));
    assert_eq!(report["renditions"], undisturbed["renditions"]);
    assert_eq!(media(&scene, "out"), media(&scene, "whole"));
}

#[test]
fn one_more_rung_is_all_that_is_encoded() {
    let scene = Scene::with_clip(48);
    let first = scene.encode_into("one", &format!("{OPTIONS} --ladder mobile"));
    assert_eq!(reused(&first), 0);
    let both = scene.encode_into("both", &format!("{OPTIONS} {RUNGS}"));
    assert_eq!(reused(&both), encodings(&first));
    let with_one = files(&scene.path("one/mobile"));
    assert_eq!(files(&scene.path("both/mobile")), with_one);
}

#[test]
fn another_target_reuses_what_was_encoded_and_measured() {
    let scene = scene();
    let hard = scene.encode_into("hard", &format!("{OPTIONS} --crf 38 --quality 80"));
    assert!(encodings(&hard) > 4, "some chunks were encoded again: {hard:#}");
    let easy = scene.encode_into("easy", &format!("{OPTIONS} --crf 38 --quality 10 --floor 10"));
    assert!(reused(&easy) >= 4 && reused(&easy) < encodings(&hard), "{easy:#}");
}

#[test]
fn a_damaged_output_is_mended_without_encoding() {
    let scene = scene();
    let first = scene.encode_into("out", OPTIONS);
    let whole = media(&scene, "out");
    std::fs::remove_file(scene.path("out/180p/init.mp4")).unwrap();
    let again = scene.encode_into("out", &format!("{OPTIONS} --force"));
    assert_eq!(reused(&again), encodings(&first));
    assert_eq!(media(&scene, "out"), whole);
    assert!(again["timing"]["stages"]["encode_cpu_s"] == 0.0, "{again:#}");
}

#[test]
fn a_changed_source_is_encoded_anew() {
    let scene = scene();
    scene.encode_into("one", OPTIONS);
    std::fs::rename(scene.path("in.mp4"), scene.path("first.mp4")).unwrap();
    scene.ffmpeg("-i first.mp4 -vf hue=b=1 -an -c:v libx264 -preset ultrafast in.mp4");
    assert_eq!(reused(&scene.encode_into("two", OPTIONS)), 0);
}

#[test]
fn the_cache_can_be_shown_trimmed_and_cleared() {
    let scene = scene();
    let shown = |line: &str| scene.vtp(line).ok().stdout;
    assert!(
        shown("cache --cache cache").contains("0 encodings, 0 B, of at most 10"),
        "{}",
        shown("cache --cache cache")
    );
    let made = encodings(&scene.encode_into("out", OPTIONS));
    assert!(shown("cache show --cache cache").contains(&format!(": {made} encodings, ")));
    assert!(shown("cache trim --cache cache").contains("0 encodings, 0 B deleted"));
    assert!(shown("cache clear --cache cache").contains(&format!(": {made} encodings, ")));
    assert_eq!(kept(&scene), 0);
    scene.vtp("cache --cache none").failed(2, "there is no cache");
}

#[test]
fn a_cache_that_is_too_large_is_trimmed_at_a_runs_end() {
    let scene = scene();
    scene.encode_into("out", &format!("{OPTIONS} --cache-size 1B"));
    assert_eq!(kept(&scene), 0);
}

#[test]
fn a_cache_that_cannot_be_used_is_a_warning() {
    let scene = scene();
    std::fs::write(scene.path("cache"), "a file").unwrap();
    let report = scene.encode_into("out", OPTIONS);
    assert!(report["warnings"].to_string().contains("nothing was kept for later runs"), "{}", report["warnings"]);
    assert_eq!(report["timing"]["reused"], Value::Null);
}
