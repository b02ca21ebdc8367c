//! What happens to a run while it is under way: an interrupt ends it with 130 and leaves nothing of it, an older output
//! survives, a source that changes is told.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use common::{Scene, VTP};
use serde_json::Value;

/// Starts an encode that takes a while, sends `signals` as soon as frames are encoded, and waits for its end.
fn interrupt(scene: &Scene, options: &[&str], signals: &[&str]) -> (ExitStatus, Vec<String>) {
    disturb(scene, options, |process| signals.iter().for_each(|signal| kill(signal, process)))
}

fn kill(signal: &str, process: u32) {
    // The shell's own kill: a small system has no other.
    let kill = format!("kill {signal} {process}");
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

/// Starts an encode that takes a while, does something to it as soon as frames are encoded, and waits for its end.
fn disturb(scene: &Scene, options: &[&str], what: impl FnOnce(u32)) -> (ExitStatus, Vec<String>) {
    let is_under_way =
        |told: &Value| told["event"] == "progress" && told["frames_done"].as_u64().is_some_and(|done| done > 0);
    disturb_when(scene, options, is_under_way, what)
}

/// The same at the first event that `is_due` says.
fn disturb_when(
    scene: &Scene,
    options: &[&str],
    mut is_due: impl FnMut(&Value) -> bool,
    what: impl FnOnce(u32),
) -> (ExitStatus, Vec<String>) {
    let words = ["encode", "in.mp4", "--out", "new/out", "--speed", "medium", "--progress", "json", "--cache", "none"];
    let mut command = Command::new(VTP);
    command.args(words).args(options).current_dir(scene.path("")).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut told: Vec<String> = Vec::new();
    for line in lines.by_ref() {
        let is_due = is_due(&serde_json::from_str(&line).unwrap_or_default());
        told.push(line);
        if is_due {
            break;
        }
    }
    what(child.id());
    told.extend(lines);
    (child.wait().unwrap(), told)
}

#[test]
fn an_interrupt_leaves_nothing() {
    let scene = Scene::with_clip(238);
    let before = scene.files();
    for signal in ["-INT", "-TERM"] {
        let (status, told) = interrupt(&scene, &[], &[signal]);
        assert_eq!(status.code(), Some(130), "{signal}: {told:?}");
        assert!(told.last().unwrap().contains(r#""message":"interrupted; no output is left""#), "{told:?}");
        assert_eq!(scene.files(), before, "{signal}");
    }
}

/// Packets are copied in a moment, and twenty minutes of sound are encoded behind them.
#[test]
fn an_interrupt_is_heard_by_sound_that_goes_on_when_all_chunks_are_done() {
    let scene = Scene::new();
    scene.ffmpeg(&format!("-stream_loop 119 -i {} -c copy in.mp4", common::bundled().display()));
    let (mut planned, mut done) = (u64::MAX, 0);
    let all_are_done = |told: &Value| {
        planned = told["chunks"].as_u64().unwrap_or(planned);
        done += u64::from(told["event"] == "chunk_done");
        done == planned
    };
    let options = ["--ladder", "copy", "--audio", "opus"];
    let (status, told) = disturb_when(&scene, &options, all_are_done, |process| kill("-INT", process));
    assert_eq!(status.code(), Some(130), "{told:?}");
    let last = told.iter().rev().find_map(|line| serde_json::from_str::<Value>(line).ok()?["audio_s"].as_f64());
    assert!(last.unwrap_or_default() < 1100.0, "{told:?}");
    assert_eq!(scene.files().into_keys().collect::<Vec<_>>(), ["in.mp4"]);
}

#[test]
fn an_interrupt_with_force_leaves_the_older_output() {
    let scene = Scene::with_clip(238);
    scene.encode_into("new/out", "in.mp4 --ladder copy");
    let before = scene.files();
    let (status, told) = interrupt(&scene, &["--force"], &["-INT"]);
    assert_eq!(status.code(), Some(130), "{told:?}");
    assert_eq!(scene.files(), before);
}

/// As an upload that is written over, and one that is cut off.
#[test]
fn a_source_that_changes_meanwhile_is_told_and_leaves_nothing() {
    let other_bytes = |path: &Path| {
        let size = path.metadata().unwrap().len();
        let file = File::options().write(true).open(path).unwrap();
        file.write_all_at(&vec![0x55; size as usize / 2], size / 2).unwrap();
    };
    let fewer_bytes = |path: &Path| File::options().write(true).open(path).unwrap().set_len(4096).unwrap();
    let changes: [&dyn Fn(&Path); 2] = [&other_bytes, &fewer_bytes];
    for change in changes {
        let scene = Scene::with_clip(238);
        let options = ["--workers", "1", "--chunk", "1s", "--segment", "1s"];
        let (status, told) = disturb(&scene, &options, |_| change(&scene.path("in.mp4")));
        assert_eq!(status.code(), Some(3), "{told:?}");
        assert!(told.last().unwrap().contains("the source changed while it was read"), "{told:?}");
        assert_eq!(scene.files().into_keys().collect::<Vec<_>>(), ["in.mp4"]);
    }
}

/// Whoever has it open still can read it.
#[test]
fn a_source_that_is_deleted_meanwhile_is_encoded_to_its_end_or_told() {
    let scene = Scene::with_clip(120);
    let (status, told) = disturb(&scene, &["--workers", "1"], |_| std::fs::remove_file(scene.path("in.mp4")).unwrap());
    let left = scene.files();
    match status.code() {
        Some(0) => assert!(left.contains_key("new/out/report.json"), "{told:?}"),
        code => assert!(matches!(code, Some(1 | 3)) && left.is_empty(), "{code:?} {told:?} {left:?}"),
    }
}

#[test]
fn a_killed_run_leaves_nothing_that_looks_finished() {
    let scene = Scene::with_clip(238);
    let (status, _) = interrupt(&scene, &[], &["-KILL"]);
    assert_eq!(status.signal(), Some(9));
    let left = scene.files();
    let finished = ["master.m3u8", "manifest.mpd", "report.json", "quality.json", "report.html", "index.m3u8"];
    assert!(!left.keys().any(|name| finished.iter().any(|finished| name.ends_with(finished))), "{left:?}");
}

/// As where the disk is full: the sound of six minutes can't be written, and the pictures would take long.
#[test]
fn sound_that_fails_ends_the_run_at_once_and_is_what_is_told() {
    let Some(long) = common::shared("media/torture/long_6min_1080p_static.mp4") else { return };
    let scene = Scene::new();
    let words = ["--signal=KILL", "200", VTP, "encode", "--out", "out", "--speed", "veryslow", "--cache", "none"];
    let mut command = Command::new("timeout");
    command.args(words).arg(&long).current_dir(scene.path("")).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let sound = scene.path("out/audio-1");
    while !sound.exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    std::fs::rename(&sound, scene.path("away")).unwrap();
    let ended = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("out/audio-1/"), "{told}");
    assert!(!scene.path("out").exists());
}
