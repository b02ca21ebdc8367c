//! Chunks that are encoded elsewhere: the same bytes as here. What is between is no network, but all else that a fleet does.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use common::{Scene, bundled, files, shared};
use vtp_cli::child::Pool;
use vtp_cli::encode::EncodeRequest;
use vtp_cli::encode::driver::{self, Fleet};
use vtp_cli::encode::output::Dirs;
use vtp_cli::encode::subtitles::SubtitleArguments;
use vtp_cli::fleet::nearby::Nearby;
use vtp_engine::ladder::{AudioChoice, LadderOptions, LadderRequest};
use vtp_engine::limits::Limits;
use vtp_engine::quality::{Check, Sampling, Target};
use vtp_engine::stills::Every;

fn pool() -> Pool {
    Pool::new(env!("CARGO_BIN_EXE_vtp").into(), Limits::DEFAULT).unwrap()
}

/// Encodes `input` into the scene's folder `out`, here or by `fleet`.
fn encode(scene: &Scene, input: &Path, out: &str, ladder: &str, fleet: Option<&dyn Fleet>) {
    let dirs = Dirs { out: scene.path(out), work: scene.path("work") };
    [&dirs.out, &dirs.work].into_iter().for_each(|folder| std::fs::create_dir_all(folder).unwrap());
    let request = EncodeRequest {
        input: input.to_owned(),
        ladder: ladder.parse::<LadderRequest>().unwrap(),
        options: LadderOptions { speed: Some("ultrafast".to_owned()), ..LadderOptions::default() },
        segment_s: 2.0,
        chunk_s: Some(2.0),
        // So that some chunks are encoded again, and some joins repaired.
        check: Some(Check { sampling: Sampling::DEFAULT, target: Target { mean: 95.0, ..Target::default() } }),
        thumbnails: Every::Auto,
        poster: true,
        subtitles: SubtitleArguments::default(),
        allow_damage: false,
        files: Vec::new(),
        archive: false,
        hls_ts: false,
        seal: None,
        play_early: false,
        surround: true,
        loudness: None,
        audio: vec![AudioChoice::Aac],
        workers: NonZeroUsize::new(2).unwrap(),
    };
    let outcome = driver::run(&request, &dirs, &pool(), None, fleet, &|_| {}, &AtomicBool::new(false));
    assert!(outcome.unwrap().report.proof.ok);
    std::fs::remove_dir_all(&dirs.work).unwrap();
}

/// What is made of `input` is the same wherever its chunks are encoded.
fn is_the_same_elsewhere(input: &Path, ladder: &str) {
    let scene = Scene::new();
    let nearby = Nearby { children: pool() };
    encode(&scene, input, "here", ladder, None);
    encode(&scene, input, "there", ladder, Some(&nearby));
    let (here, there) = (files(&scene.path("here")), files(&scene.path("there")));
    assert!(here.len() > 5);
    let other: Vec<&String> = here.keys().filter(|name| here.get(*name) != there.get(*name)).collect();
    assert!(other.is_empty() && here.len() == there.len(), "{other:?}");
}

#[test]
fn a_clip_whose_chunks_are_encoded_elsewhere_is_the_same_byte_for_byte() {
    // What is copied is copied here.
    is_the_same_elsewhere(&bundled(), "copy,mobile");
}

#[test]
fn odd_sources_are_the_same_elsewhere_too() {
    for (name, ladder) in [
        ("d_hevc10_opengop_cra_rasl.mkv", "auto"),
        ("d_h264_hi422_10bit_1080i.mp4", "archive"),
        ("d_avi_asp_qpel_bframes.avi", "auto"),
    ] {
        let Some(clip) = shared(&format!("media/torture/{name}")) else { return };
        is_the_same_elsewhere(&clip, ladder);
    }
}
