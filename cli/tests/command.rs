//! The command as scripts see it: exit codes, what goes to stdout, what goes to stderr.
#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::process::Command;

use common::{Scene, VTP, bundled};

const REPORT: &str = include_str!("golden/report-v1.json");

/// A folder in which the bundled clip lies under `name`.
fn folder_with_clip(name: &str) -> Scene {
    let scene = Scene::new();
    std::fs::copy(bundled(), scene.path(name)).unwrap();
    scene
}

#[test]
fn a_machine_that_builds_this_passes_the_doctor() {
    assert_eq!(Scene::new().vtp("doctor --json").json()["ok"], true);
}

#[test]
fn probe_tells_streams_and_frames() {
    let probe = folder_with_clip("in.mp4").vtp("probe in.mp4 --json").json();
    assert_eq!((&probe["frames"], &probe["duration_s"]), (&240.into(), &10.0.into()));
    assert_eq!(
        (&probe["source"]["video"]["codec"], &probe["source"]["audio"][0]["codec"]),
        (&"h264".into(), &"aac".into())
    );
}

#[test]
fn plan_covers_all_frames_and_never_scales_up() {
    let plan = folder_with_clip("in.mp4").vtp("plan in.mp4 --segment 2s --json").json();
    let names: Vec<_> = plan["renditions"].as_array().unwrap().iter().map(|rendition| &rendition["name"]).collect();
    assert_eq!(names, ["standard", "mobile"]);
    let chunks = plan["plan"]["chunks"].as_array().unwrap();
    assert_eq!((&chunks[0]["frames"]["start"], &chunks[chunks.len() - 1]["frames"]["end"]), (&0.into(), &240.into()));
}

#[test]
fn plan_says_that_a_smart_ladder_is_decided_by_a_trial() {
    let plan = folder_with_clip("in.mp4").vtp("plan in.mp4 --ladder smart --json").json();
    assert!(plan["warnings"][0].as_str().unwrap().contains("vtp encode makes that trial"), "{plan:#}");
}

/// A scene with a report, and nothing else of an output, in the folder `out`.
fn folder_with_report(report: &str) -> Scene {
    let scene = Scene::new();
    std::fs::create_dir(scene.path("out")).unwrap();
    std::fs::write(scene.path("out/report.json"), report).unwrap();
    scene
}

#[test]
fn report_draws_the_page_of_an_output_and_tells_where_it_is() {
    let scene = folder_with_report(REPORT);
    let told = scene.vtp("report out").ok().stdout;
    assert!(told.contains("proven: 4 frames in") && told.ends_with("page: out/report.html\n"), "{told}");
    let page = std::fs::read_to_string(scene.path("out/report.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("bit rate of each chunk"), "{page}");
    // And where it is wanted, by that alone.
    std::fs::remove_file(scene.path("out/report.html")).unwrap();
    let told = scene.vtp("report out --out page.html").ok().stdout;
    assert!(told.contains("play: out/master.m3u8\n") && told.ends_with("page: page.html\n"), "{told}");
    assert!(std::fs::read_to_string(scene.path("page.html")).unwrap() == page);
    assert!(!scene.path("out/report.html").exists());
    scene.vtp("report out --out absent/page.html").failed(1, "cannot write absent/page.html: ");
    scene.vtp("report out --out ..").failed(2, ".. is no file's name");
    assert_eq!(scene.hidden(), [""; 0]);
}

#[test]
fn report_draws_the_curves_where_there_are_some() {
    let scene = folder_with_report(REPORT);
    let curves = include_str!("golden/quality-v1.json").replace("mobile", "standard");
    std::fs::write(scene.path("out/quality.json"), curves).unwrap();
    assert_eq!(scene.vtp("report out --json").json(), serde_json::from_str::<serde_json::Value>(REPORT).unwrap());
    let page = std::fs::read_to_string(scene.path("out/report.html")).unwrap();
    assert!(page.contains("bit rate of each segment"), "{page}");
}

#[test]
fn a_report_that_cannot_be_used_is_refused_and_nothing_is_drawn() {
    let cases = [
        (REPORT.replacen("\"version\": 1", "\"version\": 9", 1), "has version 9, and this vtp reads up to version 1"),
        (REPORT[..400].to_owned(), "out/report.json is damaged: EOF"),
    ];
    for (report, told) in cases {
        let scene = folder_with_report(&report);
        scene.vtp("report out").failed(2, told);
        assert!(!scene.path("out/report.html").exists());
    }
    // What is called like a job is one unless it is a folder.
    let scene = folder_with_report(REPORT);
    let job = "0192f1e3-7c1a-7000-8000-000000000000";
    scene.vtp(&format!("report {job}")).failed(2, "no API is known in vtp-fleet");
    std::fs::rename(scene.path("out"), scene.path(job)).unwrap();
    assert!(scene.vtp(&format!("report {job}")).ok().stdout.ends_with(&format!("page: {job}/report.html\n")));
    Scene::new().vtp("report .").failed(2, "there is no report.json in .: give the output folder of vtp encode");
}

#[test]
fn odd_names_are_names() {
    for name in ["-clip.mp4", "--clip.mp4", "a%03d.mp4", "http:clip.mp4", "clip with blanks?.mp4"] {
        let probe = folder_with_clip(name).run(&["probe", name]).ok();
        assert!(probe.stdout.contains("frames     240"), "{name}: {}", probe.stdout);
    }
}

#[test]
fn what_is_no_video_ends_with_3_and_error_1001() {
    let scene = Scene::new();
    std::fs::write(scene.path("page.mp4"), "<!doctype html><title>Not found</title>").unwrap();
    for line in ["probe page.mp4", "plan page.mp4"] {
        scene.vtp(line).failed(3, "error 1001: ");
    }
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_wrong() {
    let scene = folder_with_clip("in.mp4");
    let cases = [
        ("probe absent.mp4", "absent.mp4 is not there"),
        ("probe .", ". is a folder"),
        ("plan in.mp4 --ladder 8k", "the rungs are mobile, standard, hd, 4k"),
        ("plan in.mp4 --ladder hd", "nothing is upscaled"),
        ("encode in.mp4", "--out <DIR>"),
    ];
    for (line, told) in cases {
        scene.vtp(line).failed(2, told);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let scene = folder_with_clip("in.mp4");
    let status = Command::new("sh")
        .args(["-c", "{ \"$1\" plan in.mp4 --json; echo $? >status; } | true", "sh", VTP])
        .current_dir(scene.path(""))
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(std::fs::read_to_string(scene.path("status")).unwrap(), "0\n");
}
