//! How `vtp encode` ends when it can't go on: the exit code, a sentence that says what to do, and nothing left
//! that looks finished.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::collections::BTreeMap;
use std::process::Command;

use common::{Ended, Scene, VTP, bundled, skipped};

/// Options that make a run short.
const QUICK: &str = "--ladder mobile --speed ultrafast --progress none";

impl Scene {
    /// Encodes `file`, which has to fail with exit code 3 and this error, leaving everything as it was.
    fn refuses(&self, file: &str, error: &str) {
        let before = self.files();
        self.vtp(&format!("encode {file} --out new/out --progress none")).failed(3, error);
        assert_eq!(self.files(), before);
    }
}

#[test]
fn what_is_no_video_is_error_1001() {
    let scene = Scene::new();
    std::fs::write(scene.path("page.mp4"), "<!doctype html><title>Not found</title>").unwrap();
    std::fs::write(scene.path("empty.mp4"), "").unwrap();
    scene.ffmpeg("-f lavfi -i sine=duration=1 sound.m4a");
    for file in ["page.mp4", "empty.mp4", "sound.m4a"] {
        scene.refuses(file, "error 1001: ");
    }
}

#[test]
fn a_recording_without_its_index_is_error_1005() {
    let scene = Scene::new();
    let whole = std::fs::read(bundled()).unwrap();
    scene.ffmpeg(&format!("-i {} -c copy -movflags -faststart in.mp4", bundled().display()));
    let recorded = std::fs::read(scene.path("in.mp4")).unwrap();
    std::fs::write(scene.path("in.mp4"), &recorded[..whole.len() / 2]).unwrap();
    scene.refuses("in.mp4", "error 1005: ");
}

#[test]
fn a_container_that_ends_in_its_headers_is_error_1005() {
    let scene = Scene::new();
    scene.ffmpeg("-f lavfi -i testsrc=size=320x180:rate=25 -t 0.2 -c:v libx264 whole.mkv");
    let whole = std::fs::read(scene.path("whole.mkv")).unwrap();
    for end in [88, 288, 400] {
        std::fs::write(scene.path("cut.mkv"), &whole[..end]).unwrap();
        scene.vtp("encode cut.mkv --out out --progress none").failed(3, "error 1005: ");
    }
}

#[test]
fn a_header_that_asks_for_more_memory_than_there_is_is_error_1005() {
    let scene = Scene::new();
    scene.ffmpeg("-f lavfi -i testsrc=size=320x180:rate=25 -t 0.2 -c:v libx264 in.mp4");
    let mut bytes = std::fs::read(scene.path("in.mp4")).unwrap();
    // The number of entries in `stts`, behind its type, version and flags.
    let count = bytes.windows(4).position(|four| four == b"stts").unwrap() + 8;
    bytes[count] = 0x20;
    std::fs::write(scene.path("in.mp4"), bytes).unwrap();
    scene.vtp("encode in.mp4 --out out --progress none").failed(3, "error 1005: ");
}

#[test]
fn damage_in_the_middle_ends_in_a_proven_output_or_in_error_1005() {
    let scene = Scene::new();
    let pattern = "-f lavfi -i testsrc2=size=320x180:rate=25:duration=4 -f lavfi -i sine=duration=4";
    scene.ffmpeg(&format!("{pattern} -c:v libx264 -preset veryfast -g 25 -c:a aac whole.ts"));
    let whole = std::fs::read(scene.path("whole.ts")).unwrap();
    for (name, step) in [("a", 997), ("b", 7919), ("c", 40_009)] {
        let (file, mut damaged) = (format!("{name}.ts"), whole.clone());
        let (from, to) = (whole.len() / 4, whole.len() / 4 * 3);
        damaged[from..to].iter_mut().step_by(step).for_each(|byte| *byte ^= 0x55);
        std::fs::write(scene.path(&file), damaged).unwrap();
        let ended = scene.vtp(&format!("encode {file} --out {name} --speed ultrafast --progress none --json"));
        if ended.code == Some(3) {
            ended.failed(3, "error 1005: ");
            assert!(!scene.path(name).exists());
        } else {
            let report = ended.json();
            let proof = &report["proof"];
            assert_eq!((&proof["ok"], &proof["frames_out"]), (&true.into(), &proof["frames_source"]), "{file}");
            let frames = report["proof"]["frames_source"].as_u64().unwrap();
            assert_eq!(scene.pictures(&format!("{name}/master.m3u8")), [(320, 180, frames)], "{file}");
        }
    }
}

#[test]
fn an_output_is_only_replaced_with_force() {
    let scene = Scene::with_clip(59);
    scene.encode("in.mp4 --ladder mobile");
    std::fs::write(scene.path("out/mine.txt"), "mine").unwrap();
    let before = scene.files();
    scene.vtp(&format!("encode in.mp4 --out out {QUICK}")).failed(2, "--force");
    assert_eq!(scene.files(), before);
    scene.encode("in.mp4 --ladder copy --force");
    let after = scene.files();
    assert!(after.contains_key("out/copy/init.mp4") && after.contains_key("out/master.m3u8"));
    assert!(!after.keys().any(|name| name.starts_with("out/mobile") || name == "out/mine.txt"), "{after:?}");
}

#[test]
fn a_failure_with_force_leaves_the_older_output() {
    let scene = Scene::with_clip(59);
    scene.encode("in.mp4 --ladder mobile");
    std::fs::write(scene.path("page.mp4"), "<!doctype html><title>Not found</title>").unwrap();
    let before = scene.files();
    scene.vtp(&format!("encode page.mp4 --out out --force {QUICK}")).failed(3, "error 1001: ");
    scene.vtp("encode in.mp4 --out out --force --ladder 4k --progress none").failed(2, "nothing is upscaled");
    assert_eq!(scene.files(), before);
}

#[test]
fn a_failure_is_the_last_line_of_the_progress_for_programs() {
    let scene = Scene::new();
    std::fs::write(scene.path("page.mp4"), "<!doctype html><title>Not found</title>").unwrap();
    let ended = scene.vtp("encode page.mp4 --out out --progress json");
    let last: serde_json::Value = serde_json::from_str(ended.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["exit"], &last["code"]), (&"failed".into(), &3.into(), &1001.into()));
}

/// Encodes into a filesystem in memory that is mounted with `options`, inside a mount namespace, so that nothing of
/// it remains. Returns how it ended and what is left there; `None` where such namespaces are not allowed.
fn encode_into_filesystem(scene: &Scene, options: &str) -> Option<(Ended, Vec<String>)> {
    let script = r#"mount -t tmpfs -o "$1" none small && echo mounted >mounted || exit 99
        "$2" encode in.mp4 --out small/out --ladder standard --speed ultrafast --progress none
        code=$?; find small -mindepth 1 >left; exit $code"#;
    std::fs::create_dir(scene.path("small")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh", options, VTP]);
    let ended = Ended::of(command.current_dir(scene.path("")).output().ok()?);
    if !scene.path("mounted").exists() {
        skipped(&format!("no filesystem of its own can be mounted: {}", ended.stderr.trim()));
        return None;
    }
    let left = std::fs::read_to_string(scene.path("left")).unwrap();
    Some((ended, left.lines().map(str::to_owned).collect()))
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    let scene = Scene::with_clip(178);
    let Some((ended, left)) = encode_into_filesystem(&scene, "size=1m") else { return };
    ended.failed(1, "free some space");
    assert_eq!(ended.stderr.matches("No space left on device").count(), 1, "{}", ended.stderr);
    assert_eq!(left, [""; 0]);
}

#[test]
fn a_folder_that_is_not_writable_is_said_and_stays_as_it_is() {
    let scene = Scene::with_clip(59);
    let Some((ended, left)) = encode_into_filesystem(&scene, "ro") else { return };
    ended.failed(1, "choose an --out that you may write to");
    assert_eq!(left, [""; 0]);
}

#[test]
fn a_source_in_the_folder_to_be_replaced_survives() {
    let scene = Scene::with_clip(59);
    let before: BTreeMap<_, _> = scene.files();
    scene.vtp(&format!("encode in.mp4 --out . --force {QUICK}")).failed(2, "would be deleted");
    assert_eq!(scene.files(), before);
}

#[test]
fn a_source_whose_name_is_no_utf8_is_encoded() {
    use std::os::unix::ffi::OsStrExt as _;
    let scene = Scene::with_clip(30);
    let name = std::ffi::OsStr::from_bytes(b"film\xff\xfe.mp4");
    std::fs::rename(scene.path("in.mp4"), scene.path("").join(name)).unwrap();
    let line = format!("encode --out out {QUICK}");
    let words = line.split_whitespace().map(std::ffi::OsStr::new).chain([name]);
    scene.run(&words.collect::<Vec<_>>()).ok();
    assert!(scene.path("out/master.m3u8").exists());
}

#[test]
fn a_source_that_cannot_be_copied_is_wrong_usage_and_not_a_fault() {
    let scene = Scene::new();
    let part = |size: &str, name: &str| {
        let pictures =
            format!("-f lavfi -i testsrc2=s={size}:r=25:d=1 -c:v libx264 -preset ultrafast -pix_fmt yuv420p");
        scene.ffmpeg(&format!("{pictures} {name}"));
        std::fs::read(scene.path(name)).unwrap()
    };
    let both = [part("320x180", "a.ts"), part("256x144", "b.ts")].concat();
    std::fs::write(scene.path("both.ts"), both).unwrap();
    scene.vtp("encode both.ts --out out --ladder copy --progress none").failed(2, "parameter sets change");
    assert!(!scene.path("out").exists());
}
