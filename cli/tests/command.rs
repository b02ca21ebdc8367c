//! The command as scripts see it: exit codes, what goes to stdout, what goes to stderr.
#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn clip() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/sintel-720p.mp4")
}

fn vtp(folder: &TempDir, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vtp")).args(words).current_dir(folder).env_remove("VTP_LOG").output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A folder in which the clip lies under `name`.
fn folder_with_clip(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(clip(), folder.path().join(name)).unwrap();
    folder
}

#[test]
fn a_machine_that_builds_this_passes_the_doctor() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(json(&vtp(&folder, &["doctor", "--json"]))["ok"], true);
}

#[test]
fn probe_tells_streams_and_frames() {
    let probe = json(&vtp(&folder_with_clip("in.mp4"), &["probe", "in.mp4", "--json"]));
    assert_eq!((&probe["frames"], &probe["duration_s"]), (&240.into(), &10.0.into()));
    assert_eq!(
        (&probe["source"]["video"]["codec"], &probe["source"]["audio"][0]["codec"]),
        (&"h264".into(), &"aac".into())
    );
}

#[test]
fn plan_covers_all_frames_and_never_scales_up() {
    let plan = json(&vtp(&folder_with_clip("in.mp4"), &["plan", "in.mp4", "--segment", "2s", "--json"]));
    let names: Vec<_> = plan["renditions"].as_array().unwrap().iter().map(|rendition| &rendition["name"]).collect();
    assert_eq!(names, ["standard", "mobile"]);
    let chunks = plan["plan"]["chunks"].as_array().unwrap();
    assert_eq!((&chunks[0]["frames"]["start"], &chunks[chunks.len() - 1]["frames"]["end"]), (&0.into(), &240.into()));
}

#[test]
fn odd_names_are_names() {
    for name in ["-clip.mp4", "--clip.mp4", "a%03d.mp4", "http:clip.mp4", "clip with blanks?.mp4"] {
        let output = vtp(&folder_with_clip(name), &["probe", name]);
        assert!(output.status.success(), "{name}: {}", stderr(&output));
    }
}

#[test]
fn what_is_no_video_ends_with_3_and_error_1001() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page.mp4"), "<!doctype html><title>Not found</title>").unwrap();
    for words in [&["probe", "page.mp4"][..], &["plan", "page.mp4"]] {
        let output = vtp(&folder, words);
        assert_eq!(output.status.code(), Some(3));
        assert!(stderr(&output).starts_with("error 1001: "), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_wrong() {
    let folder = folder_with_clip("in.mp4");
    let cases: [(&[&str], &str); 5] = [
        (&["probe", "absent.mp4"], "absent.mp4 is not there"),
        (&["probe", "."], ". is a folder"),
        (&["plan", "in.mp4", "--ladder", "8k"], "the rungs are mobile, standard, hd, 4k"),
        (&["plan", "in.mp4", "--ladder", "hd"], "nothing is upscaled"),
        (&["encode", "in.mp4"], "--out <DIR>"),
    ];
    for (words, told) in cases {
        let output = vtp(&folder, words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(stderr(&output).contains(told), "{words:?}: {}", stderr(&output));
    }
}

#[test]
fn an_existing_output_is_not_touched_without_force() {
    let folder = folder_with_clip("in.mp4");
    std::fs::create_dir(folder.path().join("out")).unwrap();
    std::fs::write(folder.path().join("out/master.m3u8"), "mine").unwrap();
    let output = vtp(&folder, &["encode", "in.mp4", "--out", "out"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--force"), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(folder.path().join("out/master.m3u8")).unwrap(), "mine");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = folder_with_clip("in.mp4");
    let status = Command::new("sh")
        .args(["-c", "{ \"$1\" plan in.mp4 --json; echo $? >status; } | true", "sh", env!("CARGO_BIN_EXE_vtp")])
        .current_dir(&folder)
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(std::fs::read_to_string(folder.path().join("status")).unwrap(), "0\n");
}
