//! What becomes of a run whose children are killed, crash or hang, and of sources that ask for too much. Children are
//! found as `ps` would find them, and get real signals.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Scene, VTP};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const SEED: u64 = 20_261_126;

/// A run of `vtp encode` whose progress is watched.
struct Run {
    process: Child,
}

impl Run {
    fn start(scene: &Scene, line: &str) -> Self {
        let mut command = Command::new(VTP);
        command.args(["encode", "in.mp4", "--out", "out", "--speed", "ultrafast", "--progress", "json", "--json"]);
        command.args(line.split_whitespace()).current_dir(scene.path("")).env("VTP_CACHE", "none");
        Self { process: command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap() }
    }

    /// The processes that it has started. What the kernel lists as a thread's children is only whole while none comes or goes.
    fn children(&self) -> Vec<Pid> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers.filter_map(Pid::from_raw).filter(|&pid| parent_of(pid) == Some(self.process.id())).collect()
    }

    /// Signals all children and returns them.
    fn signal_children(&self, signal: Signal) -> Vec<Pid> {
        let children = self.children();
        for &child in &children {
            if let Err(error) = kill_process(child, signal) {
                eprintln!("{child:?} is gone already: {error}");
            }
        }
        children
    }

    /// Calls `on` with every progress event, and returns the exit code, the report, and what was said last.
    fn end(mut self, mut on: impl FnMut(&Self, &Value)) -> (Option<i32>, String, String) {
        let stderr = BufReader::new(self.process.stderr.take().unwrap());
        let mut last = String::new();
        for line in stderr.lines().map(Result::unwrap) {
            if let Ok(event) = serde_json::from_str::<Value>(&line) {
                on(&self, &event);
            }
            last = line;
        }
        let mut stdout = String::new();
        std::io::Read::read_to_string(&mut self.process.stdout.take().unwrap(), &mut stdout).unwrap();
        (self.process.wait().unwrap().code(), stdout, last)
    }
}

/// Who started a process; `None` of one that has ended.
fn parent_of(pid: Pid) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name in front may have blanks and brackets of its own (proc_pid_stat(5)).
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    (fields.next()? != "Z").then(|| fields.next()?.parse().ok())?
}

/// Hundredths of a second of CPU that a process has taken; `None` of one that has ended.
fn ticks_of(pid: Pid) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Waits until `is_so`, which it is soon.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..12_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("it did not come to that in a minute");
}

fn bytes_of_media(scene: &Scene, out: &str) -> Vec<(String, u64)> {
    let files = common::files(&scene.path(out));
    files.into_iter().filter(|(name, _)| !name.starts_with("report")).collect()
}

#[test]
fn children_that_are_killed_cost_time_and_nothing_else() {
    let scene = Scene::with_clip(120);
    let line = "--ladder mobile --chunk 1s --segment 1s";
    scene.encode_into("undisturbed", &format!("in.mp4 {line}"));
    eprintln!("seed {SEED}");
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut kills = 0;
    let (code, report, said) = Run::start(&scene, line).end(|run, event| {
        // A chunk's work is disturbed at most this often.
        if kills < 8 && event["event"] == "chunk_started" {
            std::thread::sleep(Duration::from_millis(random.u64(0..150)));
            let children = run.children();
            if let Some(&child) = children.get(random.usize(0..children.len().max(1))) {
                kills += u32::from(kill_process(child, Signal::KILL).is_ok());
            }
        }
    });
    assert_eq!(code, Some(0), "{said}");
    assert!(kills >= 3, "{kills} kills");
    assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["proof"]["ok"], true);
    assert_eq!(bytes_of_media(&scene, "out"), bytes_of_media(&scene, "undisturbed"));
}

#[test]
fn a_source_that_crashes_whoever_indexes_it_is_corrupt() {
    let scene = Scene::with_clip(24);
    let (code, _, said) = Run::start(&scene, "--ladder mobile").end(|run, event| {
        if event["event"] == "stage" && event["stage"] == "indexing" {
            // Whoever is there, until the run has had enough of it.
            let itself = Pid::from_raw(run.process.id() as i32).unwrap();
            wait_until(|| {
                run.signal_children(Signal::ILL);
                parent_of(itself).is_none()
            });
        }
    });
    assert_eq!(code, Some(3), "{said}");
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told["code"], 1005);
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("signal 4 (illegal instruction)") && message.contains("get another copy"), "{message}");
    assert!(!scene.path("out").exists());
}

/// Lets whatever works on a chunk crash when that is begun, so many times.
fn crash(times: u32) -> impl FnMut(&Run, &Value) {
    let mut left = times;
    move |run, event| {
        if left > 0 && event["event"] == "chunk_started" {
            left -= 1;
            kill_process(busy(run), Signal::ILL).unwrap();
        }
    }
}

/// The child that works: what others take to start, and to wait, is far less.
fn busy(run: &Run) -> Pid {
    let mut before = HashMap::new();
    let mut found = None;
    wait_until(|| {
        let children = run.children();
        let spent = children.iter().filter_map(|&child| Some((child, ticks_of(child)?)));
        found = spent.into_iter().find(|&(child, ticks)| ticks >= *before.entry(child).or_insert(ticks) + 20);
        found.is_some()
    });
    found.unwrap().0
}

/// Ten seconds without sound, so that all children work on pictures.
fn silent() -> Scene {
    let scene = Scene::new();
    scene.ffmpeg(&format!("-i {} -an -c copy in.mp4", common::bundled().display()));
    scene
}

/// A job of one task, long enough to be disturbed.
const ONE_LONG_CHUNK: &str = "--ladder standard --workers 1 --chunk 60s --no-measure";

#[test]
fn a_chunk_that_crashes_its_process_is_tried_again_to_the_same_bytes() {
    let scene = silent();
    let line = "--ladder standard,mobile --workers 1 --chunk 60s --no-measure";
    scene.encode_into("undisturbed", &format!("in.mp4 {line}"));
    let (code, report, said) = Run::start(&scene, line).end(crash(2));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["proof"]["ok"], true);
    assert_eq!(bytes_of_media(&scene, "out"), bytes_of_media(&scene, "undisturbed"));
}

#[test]
fn a_chunk_that_no_process_lives_through_is_damage_with_its_time() {
    let scene = silent();
    let (code, _, said) = Run::start(&scene, ONE_LONG_CHUNK).end(crash(3));
    assert_eq!(code, Some(3), "{said}");
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told["code"], 1005);
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("can't be decoded from 0:00 to 0:10") && message.contains("--allow-damage"), "{message}");
    assert!(!scene.path("out").exists());
}

#[test]
fn damage_that_is_allowed_is_concealed_and_told() {
    let scene = silent();
    let line = format!("{ONE_LONG_CHUNK} --allow-damage");
    let (code, report, said) = Run::start(&scene, &line).end(crash(2));
    assert_eq!(code, Some(0), "{said}");
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["proof"]["ok"], &report["proof"]["frames_source"]), (&true.into(), &240.into()));
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("black pictures stand there"), "{warnings}");
    let black = scene.ffmpeg_log("-i out/standard/index.m3u8 -vf blackdetect=d=9 -f null -");
    assert!(black.contains("black_start:0"), "{black}");
}

/// Lets whatever tries rungs crash, so many times.
fn crash_trials(times: u32) -> impl FnMut(&Run, &Value) {
    move |run, event| {
        if event["event"] == "stage" && event["stage"] == "trying rungs" {
            (0..times).for_each(|_| kill_process(busy(run), Signal::ILL).unwrap());
        }
    }
}

const SMART: &str = "--ladder smart --workers 1 --segment 2s --chunk 60s";

#[test]
fn a_process_that_crashes_while_rungs_are_tried_costs_an_attempt_and_no_ladder() {
    let scene = silent();
    let (code, report, said) = Run::start(&scene, SMART).end(crash_trials(2));
    assert_eq!(code, Some(0), "{said}");
    let report: Value = serde_json::from_str(&report).unwrap();
    assert!(!report["choices"].as_array().unwrap().is_empty(), "{report}");
}

/// Three parts, three attempts each.
#[test]
fn a_source_of_which_no_part_can_be_tried_gets_all_rungs_and_a_warning() {
    let scene = silent();
    let (code, report, said) = Run::start(&scene, SMART).end(crash_trials(9));
    assert_eq!(code, Some(0), "{said}");
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["choices"].as_array().unwrap().len(), 0, "{report}");
    assert!(report["warnings"].to_string().contains("no part of the source could be tried"), "{report}");
    assert!(report["renditions"].as_array().unwrap().len() > 1, "{report}");
}

#[test]
fn a_child_that_hangs_is_killed_and_its_work_done_by_another() {
    let scene = Scene::with_clip(48);
    let mut stopped = false;
    let (code, report, said) =
        Run::start(&scene, "--ladder mobile --workers 1 --limit silence=20").end(|run, event| {
            if !stopped && event["event"] == "chunk_started" {
                run.signal_children(Signal::STOP);
                stopped = true;
            }
        });
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["proof"]["ok"], true);
}

#[test]
fn no_child_outlives_its_parent() {
    let scene = Scene::with_clip(120);
    let mut children = Vec::new();
    let (code, _, _) = Run::start(&scene, "--ladder mobile").end(|run, event| {
        if children.is_empty() && event["event"] == "chunk_started" {
            children = run.children();
            kill_process(Pid::from_raw(run.process.id() as i32).unwrap(), Signal::KILL).unwrap();
        }
    });
    assert_eq!(code, None);
    assert!(!children.is_empty());
    wait_until(|| children.iter().all(|&child| parent_of(child).is_none()));
}

#[test]
fn sources_beyond_a_limit_are_refused_with_what_to_do() {
    let scene = Scene::with_clip(48);
    for (limit, told) in [
        ("pixels=900000", "921600 samples in a picture, and 900000 are allowed here"),
        ("frames=40", "41 frames of video, and 40 are allowed"),
        ("streams=1", "2 streams, and 1 are allowed"),
        ("metadata=10", "bytes of tags and headers, and 10 are allowed"),
        ("duration=1", "2 seconds, and 1 are allowed"),
        ("index=1000", "bytes of index, and 1000 are allowed"),
    ] {
        let name = limit.split('=').next().unwrap();
        for command in ["encode in.mp4 --out out --progress none", "plan in.mp4", "probe in.mp4"] {
            let ended = scene.vtp(&format!("{command} --limit {limit}"));
            ended.failed(3, told);
            ended.failed(3, &format!("allow more with --limit {name}="));
            assert!(ended.stderr.starts_with("error 1001: "), "{}", ended.stderr);
        }
        assert!(!scene.path("out").exists());
    }
    scene.vtp("probe in.mp4 --limit pixels=921600 --limit streams=2").ok();
    scene.vtp("probe in.mp4 --limit picels=1").failed(2, "there is no limit");
}

#[test]
fn a_process_that_wants_more_memory_than_allowed_fails_and_the_run_tells() {
    let scene = Scene::with_clip(48);
    let ended = scene.vtp("encode in.mp4 --out out --progress none --ladder mobile --limit memory=24MiB");
    assert!(matches!(ended.code, Some(1 | 3)), "{}", ended.stderr);
    assert!(!ended.stderr.is_empty() && !scene.path("out").exists());
}
