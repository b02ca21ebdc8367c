//! An interrupt ends a run with 130 and leaves nothing of it; an older output survives.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};

use common::{Scene, VTP};

/// Starts an encode that takes a while, sends `signals` as soon as frames are encoded, and waits for its end.
fn interrupt(scene: &Scene, options: &[&str], signals: &[&str]) -> (ExitStatus, Vec<String>) {
    let words = ["encode", "in.mp4", "--out", "new/out", "--speed", "medium", "--progress", "json"];
    let mut command = Command::new(VTP);
    command.args(words).args(options).current_dir(scene.path("")).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut told: Vec<String> = Vec::new();
    for line in lines.by_ref() {
        let is_under_way = line.contains(r#""event":"progress""#) && !line.contains(r#""frames_done":0,"#);
        told.push(line);
        if is_under_way {
            break;
        }
    }
    for signal in signals {
        // The shell's own kill: a small system has no other.
        let kill = format!("kill {signal} {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
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
        assert!(told.last().unwrap().contains(r#""message":"interrupted; nothing was kept""#), "{told:?}");
        assert_eq!(scene.files(), before, "{signal}");
    }
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

#[test]
fn a_killed_run_leaves_nothing_that_looks_finished() {
    let scene = Scene::with_clip(238);
    let (status, _) = interrupt(&scene, &[], &["-KILL"]);
    assert_eq!(status.signal(), Some(9));
    let left = scene.files();
    let finished = ["master.m3u8", "manifest.mpd", "report.json", "quality.json", "report.html", "index.m3u8"];
    assert!(!left.keys().any(|name| finished.iter().any(|finished| name.ends_with(finished))), "{left:?}");
}
