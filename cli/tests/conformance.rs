//! The independent checker of outputs (`shared/checks`), where it is at hand: its every row has to pass.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::path::Path;
use std::process::Command;

use common::{Scene, bundled, shared};

/// Encodes a source and has the output checked with these options.
fn check(scene: &Scene, source: &Path, ladder: &str, options: &[&str]) {
    let Some(checker) = shared("checks/check_output.py") else { return };
    scene.encode(&format!("{} --ladder {ladder}", source.display()));
    let mut command = Command::new("python3");
    command.arg(checker).arg(source).arg(scene.path("out")).args(options);
    let output = command.output().unwrap();
    let rows = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<&str> = rows.lines().filter(|row| row.starts_with("FAIL")).collect();
    assert!(output.status.success(), "{failed:#?} {}", String::from_utf8_lossy(&output.stderr));
    assert!(rows.lines().filter(|row| row.starts_with("PASS")).count() > 30, "{rows}");
}

fn made(line: &str) -> Scene {
    let scene = Scene::new();
    scene.ffmpeg(line);
    scene
}

#[test]
fn the_bundled_clip_conforms() {
    check(&Scene::new(), &bundled(), "auto", &[]);
}

#[test]
fn a_variable_rate_clip_conforms() {
    let vfr = "-vf select='not(eq(mod(n,5),2))*not(between(n,60,84))' -fps_mode vfr";
    let scene = made(&format!("-i {} -t 6 {vfr} -s 640x360 -c:v libx264 -preset veryfast in.mp4", bundled().display()));
    check(&scene, &scene.path("in.mp4"), "auto", &["--allow-no-audio"]);
}

#[test]
fn an_odd_sized_clip_conforms() {
    let scene = made(&format!(
        "-i {} -t 4 -s 321x181 -c:v libvpx-vp9 -deadline realtime -cpu-used 8 in.webm",
        bundled().display()
    ));
    check(&scene, &scene.path("in.webm"), "auto", &[]);
}

#[test]
fn an_archive_conforms_and_is_lossless() {
    let scene = made(&format!("-i {} -t 4 -s 426x240 -c:v libx264 -preset veryfast in.mp4", bundled().display()));
    check(&scene, &scene.path("in.mp4"), "archive", &["--lossless"]);
}

/// Real files, each odd in its own way and quick to encode.
#[test]
fn real_clips_conform() {
    let names = [
        "d_h264_audio_starts_late.mp4",
        "h264_dog_vfr_rot180.mp4",
        "mkv_srt.mkv",
        "mov_text_subs.mp4",
        "mov_iphone_rot_gps_mebx.mov",
        "vp9_odd_dims_161x121.webm",
        "d_ts_pts_wrap.ts",
    ];
    for name in names {
        let Some(source) = shared(&format!("media/torture/{name}")) else { return };
        check(&Scene::new(), &source, "auto", &["--allow-no-audio"]);
    }
}
