//! The join check as its users meet it: a step in quality that the encoding made between two chunks is repaired, and
//! what goes wrong with a repair costs the repair alone.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Scene, bundled, files};
use serde_json::Value;
use vtp_cli::child::Pool;
use vtp_cli::encode::driver;
use vtp_cli::encode::failure::EncodeFailure;
use vtp_cli::encode::output::Dirs;
use vtp_cli::encode::request::EncodeRequest;
use vtp_cli::encode::subtitles::SubtitleArguments;
use vtp_cli::place::Place;
use vtp_cli::report::Report;
use vtp_engine::ladder::{AudioChoice, FactorRequest, LadderOptions, LadderRequest};
use vtp_engine::limits::Limits;
use vtp_engine::quality::{Cause, Check, Sampling, Target, VISIBLE};
use vtp_engine::stills::Every;

/// Three chunks: the gate takes the first and the last as they are, coarse, and encodes the one between far better.
const OPTIONS: &str = "in.mp4 --crf 40 --chunk 3s --segment 3s --quality 0 --floor 66 --measure-every 1";

/// Nine seconds of the bundled clip, small and slow enough to be measured quickly and to stay below the rate cap.
fn scene() -> Scene {
    let scene = Scene::new();
    let made = "-t 9 -an -vf fps=12,scale=320:180 -c:v libx264 -crf 10";
    scene.ffmpeg(&format!("-i {} {made} in.mp4", bundled().display()));
    scene
}

fn list<'a>(report: &'a Value, name: &str) -> &'a [Value] {
    report["renditions"][0][name].as_array().unwrap()
}

#[test]
fn a_step_that_the_encoding_made_is_repaired() {
    let scene = scene();
    let report = scene.encode(OPTIONS);
    let [.., last] = list(&report, "joins") else { panic!("{report:#}") };
    assert_eq!((&last["chunk"], &last["cause"], &last["repaired"]), (&2.into(), &"encoding".into(), &true.into()));
    assert!(last["step"].as_f64().unwrap() < -VISIBLE, "it is told as it was: {last}");
    assert_eq!(last["at_s"], list(&report, "chunks")[2]["start_s"]);
    let repaired = &list(&report, "chunks")[2];
    assert!(repaired["crf"].as_f64().unwrap() < 40.0 && repaired["attempts"] == 2, "{repaired:#}");
    assert_eq!(repaired["outcome"], "met");
    assert_eq!(report["warnings"], serde_json::json!([]));
    let page = std::fs::read_to_string(scene.path("out/report.html")).unwrap();
    assert!(page.contains("<i class=\"step repaired\""), "the page marks it");
}

#[test]
fn with_repairs_too_the_bytes_do_not_depend_on_the_number_of_workers() {
    let scene = scene();
    let bytes = |workers: u32| {
        let out = format!("out{workers}");
        let report = scene.encode_into(&out, &format!("{OPTIONS} --workers {workers}"));
        assert!(list(&report, "joins").iter().any(|join| join["repaired"] == true), "{report:#}");
        let mut files = files(&scene.path(&out));
        assert!(files.remove("report.json").is_some() && files.remove("report.html").is_some());
        files
    };
    let with_one: BTreeMap<_, _> = bytes(1);
    assert_eq!(with_one, bytes(2));
    assert_eq!(with_one, bytes(8));
}

#[test]
fn without_measuring_nothing_is_said_of_joins() {
    let report = scene().encode("in.mp4 --chunk 3s --segment 3s --no-measure");
    assert_eq!(list(&report, "joins"), [] as [Value; 0]);
    assert!(list(&report, "chunks").iter().all(|chunk| chunk["attempts"] == 1));
}

/// The same by the driver itself, whose spool folder `work` is at hand.
fn drive(scene: &Scene, work: &Path, cancel: &AtomicBool) -> Result<Report, EncodeFailure> {
    let out = scene.path("out");
    std::fs::create_dir(&out).unwrap();
    let target = Target { mean: 0.0, floor: 66.0, save: false };
    let request = EncodeRequest {
        input: Place::Path(scene.path("in.mp4")),
        ladder: LadderRequest::Auto,
        options: LadderOptions {
            crf: FactorRequest::One(40.0),
            speed: Some("ultrafast".to_owned()),
            ..LadderOptions::default()
        },
        segment_s: 3.0,
        chunk_s: Some(3.0),
        check: Some(Check { sampling: Sampling::FULL, target }),
        thumbnails: Every::Auto,
        poster: true,
        subtitles: SubtitleArguments::default(),
        allow_damage: false,
        hls_ts: false,
        files: Vec::new(),
        archive: false,
        seal: None,
        play_early: false,
        surround: true,
        loudness: None,
        audio: vec![AudioChoice::Aac],
        workers: NonZeroUsize::new(2).unwrap(),
    };
    let dirs = Dirs { out, work: work.to_owned() };
    let children = Pool::new(env!("CARGO_BIN_EXE_vtp").into(), Limits::DEFAULT).unwrap();
    driver::run(&request, &dirs, &children, None, None, &|_| {}, cancel).map(|outcome| outcome.report)
}

/// A spool folder in which so many attempts at each repair fail: a file is where their folder would be.
fn work_with_failing_repairs(scene: &Scene, attempts: u32) -> std::path::PathBuf {
    let work = scene.path("work");
    std::fs::create_dir(&work).unwrap();
    for (chunk, attempt) in (0..3).flat_map(|chunk| (1..=attempts).map(move |attempt| (chunk, attempt))) {
        std::fs::write(work.join(format!("chunk-{chunk:05}.repair-{attempt}")), "").unwrap();
    }
    work
}

#[test]
fn a_repair_that_fails_leaves_the_chunk_as_it_was_first_encoded() {
    let scene = scene();
    let report = drive(&scene, &work_with_failing_repairs(&scene, 3), &AtomicBool::new(false)).unwrap();
    assert!(report.proof.ok);
    let rendition = &report.renditions[0];
    assert_eq!((rendition.chunks[2].crf, rendition.chunks[2].attempts), (Some(40.0), 1));
    let left = rendition.joins.iter().find(|join| join.chunk == 2).unwrap();
    assert_eq!((left.cause, left.repaired), (Cause::Encoding, false));
    assert!(report.warnings.iter().any(|it| it.contains("quality steps visibly between chunks")), "{report:?}");
}

#[test]
fn a_repair_that_fails_once_is_tried_again() {
    let scene = scene();
    let report = drive(&scene, &work_with_failing_repairs(&scene, 1), &AtomicBool::new(false)).unwrap();
    assert!(report.renditions[0].joins.iter().any(|join| join.chunk == 2 && join.repaired), "{report:?}");
}

#[test]
fn an_interrupt_ends_a_run_that_is_repairing() {
    let scene = scene();
    let work = work_with_failing_repairs(&scene, 0);
    let (cancel, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                if is_repairing(&work) {
                    cancel.store(true, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let result = drive(&scene, &work, &cancel);
        is_over.store(true, Ordering::Relaxed);
        result
    });
    assert!(matches!(result, Err(EncodeFailure::Cancelled)), "{result:?}");
}

fn is_repairing(work: &Path) -> bool {
    std::fs::read_dir(work).unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().contains(".repair-"))
}
