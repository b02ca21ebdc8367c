//! The benchmarks as their users meet them: a small clip in, tables out. No verdict here depends on time.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::{Scene, bundled, skipped};

/// Two seconds of the bundled clip, small enough to be encoded many times.
fn scene() -> Scene {
    let scene = Scene::new();
    let scale = "-vf scale=320:180 -t 2 -an -c:v libx264 -crf 10 -g 24";
    scene.ffmpeg(&format!("-i {} {scale} in.mp4", bundled().display()));
    scene
}

/// The program that a variable of the environment names; `None`, said aloud, where it names none.
fn named(variable: &str, what: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from);
    if found.is_none() {
        skipped(&format!("{variable} does not name {what}"));
    }
    found
}

/// An `ffmpeg` with the filter libvmaf.
fn peer() -> Option<PathBuf> {
    let filters = Command::new("ffmpeg").args(["-v", "error", "-filters"]).output().unwrap().stdout;
    match String::from_utf8_lossy(&filters).contains(" libvmaf ") {
        true => Some("ffmpeg".into()),
        false => named("VTP_PEER", "an ffmpeg with the filter libvmaf"),
    }
}

/// The cells of the rows of all tables, heads and rules left out.
fn rows(tables: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = tables.lines().collect();
    let is_rule = |line: &str| line.starts_with("| ---");
    let is_row = |at: usize| {
        let next_is_rule = lines.get(at + 1).is_some_and(|next| is_rule(next));
        lines[at].starts_with('|') && !is_rule(lines[at]) && !next_is_rule
    };
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    (0..lines.len()).filter(|&at| is_row(at)).map(|at| cells(lines[at])).collect()
}

#[test]
fn chunking_is_told_as_a_delta_rate_with_its_points() {
    let Some(peer) = peer() else { return };
    let scene = scene();
    let line = "bench chunking in.mp4 --ladder auto --speed ultrafast --segment 1s --crfs 34,38,42,46";
    let rows = rows(&scene.vtp(&format!("{line} --peer {}", peer.display())).ok().stdout);
    assert_eq!(rows.len(), 5, "{rows:?}");
    let delta = rows[0][3].strip_suffix(" %").and_then(|percent| percent.parse::<f64>().ok());
    assert!(delta.is_some_and(|percent| percent.abs() < 20.0), "{rows:?}");
    assert_eq!(rows.iter().skip(1).map(|row| row[2].as_str()).collect::<Vec<_>>(), ["34", "38", "42", "46"]);
}

#[test]
fn too_few_points_and_missing_clips_are_usage_errors() {
    let scene = scene();
    scene.vtp("bench chunking in.mp4 --crfs 20,20,24,28").failed(2, "at least 4 different rate factors");
    scene.vtp("bench truth in.mp4 absent.mp4").failed(2, "absent.mp4 is not there");
    scene.vtp("bench ab-av1 in.mp4 --rung copy").failed(2, "copy has no quality to ask for");
}

#[test]
fn drills_that_could_never_strike_are_usage_errors() {
    let scene = scene();
    for (which, words) in [("faults", "--nodes 0"), ("faults", "--jobs 0"), ("outages", "--jobs 0")] {
        scene.vtp(&format!("bench {which} in.mp4 {words}")).failed(2, "a whole number from 1");
    }
    for which in ["faults", "outages"] {
        scene.vtp(&format!("bench {which} in.mp4 --kills 0")).failed(2, "a whole number from 1");
        for every in ["-1", "NaN", "0", "inf", "1e30"] {
            scene.vtp(&format!("bench {which} in.mp4 --every={every}")).failed(2, "--every");
        }
    }
}

#[test]
fn a_simulated_fleet_is_told_in_tables_and_its_seed_gives_the_same_again() {
    let scene = scene();
    let line = "bench simulate --nodes 30 --jobs 5 --harsh --seed 7";
    let first = scene.vtp(line).ok().stdout;
    let rows = rows(&first);
    assert!(rows.iter().any(|row| row[0] == "makespan to the least possible"), "{first}");
    assert!(rows.iter().any(|row| row[0] == "no second attempts"), "{first}");
    assert_eq!(scene.vtp(line).ok().stdout, first);
    let traced = scene.vtp(&format!("{line} --trace --no-speculation --no-preemption")).ok().stdout;
    assert!(traced.contains("Submit {") && !traced.contains("| no second attempts"));
    scene.vtp("bench simulate --nodes 0").failed(2, "--nodes");
}

#[test]
fn the_coordinators_events_are_counted() {
    let rows = rows(&scene().vtp("bench events --workers 100 --jobs 5 --seconds 1").ok().stdout);
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows.iter().all(|row| row[2].parse::<u64>().is_ok_and(|rate| rate > 0)), "{rows:?}");
}

#[test]
fn a_peer_that_cannot_measure_is_refused_before_anything_is_encoded() {
    let scene = scene();
    scene.vtp("bench truth in.mp4 --peer true").failed(1, "has no filter libvmaf");
    scene.vtp("bench chunking in.mp4 --peer true").failed(1, "has no filter libvmaf");
    scene.vtp("bench gate in.mp4 --peer absent").failed(1, "starting absent");
}

#[test]
fn our_scores_are_those_of_the_peer() {
    let Some(peer) = peer() else { return };
    let scene = scene();
    let line = format!("bench truth in.mp4 --ladder auto --speed ultrafast --peer {}", peer.display());
    let rows = rows(&scene.vtp(&line).ok().stdout);
    assert_eq!(rows.iter().map(|row| row[2].as_str()).collect::<Vec<_>>(), ["fidelity", "vmaf"], "{rows:?}");
    let full: f64 = rows[0][4].parse().unwrap();
    assert!(full.abs() < 0.2, "{rows:?}");
}

#[test]
fn the_gate_is_held_against_a_peer_that_encodes_and_then_measures() {
    let Some(peer) = peer() else { return };
    let scene = scene();
    let line = format!("bench gate in.mp4 --speed ultrafast --runs 1 --no-retries --peer {}", peer.display());
    let rows = rows(&scene.vtp(&line).ok().stdout);
    let names: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    for name in
        ["vtp, gated", "ffmpeg, both", "CPU, gated to not measured", "wall, gated to ffmpeg's both", "180p 320x180"]
    {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[test]
fn a_target_of_quality_is_held_against_that_of_ab_av1() {
    let (Some(peer), Some(ab_av1)) = (peer(), named("VTP_AB_AV1", "ab-av1")) else { return };
    let scene = Scene::new();
    scene.ffmpeg(&format!("-i {} -c copy -t 2 in.mp4", bundled().display()));
    let (peer, ab_av1) = (peer.display(), ab_av1.display());
    let line = format!("bench ab-av1 in.mp4 --rung mobile --speed ultrafast --alike --peer {peer} --ab-av1 {ab_av1}");
    let rows = rows(&scene.vtp(&line).ok().stdout);
    let vmaf: f64 = rows[0][3].parse().unwrap();
    assert!((vmaf - 93.0).abs() < 3.0, "{rows:?}");
}

#[test]
fn damaged_copies_are_proven_or_refused_and_told_by_kind() {
    let scene = Scene::new();
    let tiny = "-f lavfi -i testsrc=size=854x480:rate=25 -t 0.2 -c:v libx264 -preset ultrafast";
    scene.ffmpeg(&format!("{tiny} in.mp4"));
    scene.ffmpeg(&format!("{tiny} in.ts"));
    let before = scene.files();
    let told = scene.vtp("bench mutate in.mp4 in.ts --count 12 --seed 1 --limit 250 --keep kept").ok().stdout;
    let rows = rows(&told);
    let all = rows.last().unwrap();
    assert_eq!(all[0], "all", "{told}");
    let counts: Vec<u32> = all[1..].iter().map(|cell| cell.parse().unwrap()).collect();
    assert_eq!((counts.iter().sum::<u32>(), counts[..3].iter().sum::<u32>()), (12, 12), "{told}");
    assert!(counts[0] > 0, "{told}");
    assert_eq!(
        scene.files().into_iter().filter(|(name, _)| name != "kept/").collect::<Vec<_>>(),
        before.into_iter().collect::<Vec<_>>()
    );
}

#[test]
fn a_failed_case_is_an_error_with_its_number_and_can_be_run_alone() {
    let scene = Scene::new();
    scene.ffmpeg("-f lavfi -i testsrc=size=854x480:rate=25 -t 0.2 -c:v libx264 -preset ultrafast in.mp4");
    // No run takes as little memory as this.
    let ended = scene.vtp("bench mutate in.mp4 --count 3 --case 2 --memory 1 --keep kept");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.ends_with("error: 1 cases failed; see the list\n"), "{}", ended.stderr);
    assert!(ended.stdout.contains("\n* case 2, in.mp4, "), "{}", ended.stdout);
    assert!(scene.path("kept/case-2.mp4").is_file());
}

#[test]
fn transfers_are_measured_near_and_far() {
    let scene = Scene::new();
    let small = "--chunks 3 --packets 64KiB --encode 50ms";
    let line = format!("bench transfer --runs 1 --single 1MiB --each 64KiB --far 512KiB {small}");
    let rows = rows(&scene.vtp(&line).ok().stdout);
    let at_once: Vec<&str> = rows.iter().take(4).map(|row| row[0].as_str()).collect();
    assert_eq!(at_once, ["1", "1", "64", "64"], "{rows:?}");
    let ways: Vec<&str> = rows.iter().skip(4).map(|row| row[0].as_str()).collect();
    let ahead = ["loopback", "loopback", "the bad network", "the bad network"];
    assert_eq!(ways, [&["BBR", "BBR", "BBR", "Cubic", "Cubic", "Cubic"][..], &ahead].concat(), "{rows:?}");
}

#[test]
fn handing_out_is_told_for_both_ways_to_sync() {
    let Some(server) = vtp_fleet::server::binary() else {
        assert_ne!(std::env::var("VTP_NATS").as_deref(), Ok("required"), "no nats-server: run make nats");
        return skipped("no nats-server: put one on the path, name it by NATS_SERVER, or run make nats");
    };
    let scene = Scene::new();
    let line = "bench tasks --nodes 2 --slots 4 --tasks 200 --seconds 1 --rate 50 --folder .";
    let rows = rows(&scene.vtp(&format!("{line} --server {}", server.display())).ok().stdout);
    assert_eq!(rows.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), ["`sync_interval: always`", "default"]);
    assert!(rows.iter().all(|row| row[1] == "2 × 4" && row[2] == "200" && row[6] == "50"), "{rows:?}");
    scene.vtp("bench tasks --server absent").failed(1, "absent can't be started");
}
