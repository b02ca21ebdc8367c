//! Chunks that are encoded elsewhere: the same bytes as here; without a network between, and by nodes of their own that are
//! reached by NATS and QUIC.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use common::{Scene, VTP, bundled, files, shared, skipped};
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
use vtp_fleet::server::{self, NatsServer, Sync};

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

/// A fleet on this machine, gone at its end.
struct Nodes {
    nats: NatsServer,
    nodes: Vec<Child>,
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            // One that was killed is gone already.
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

impl Nodes {
    /// So many nodes of one slot each, and certificates for everybody. `None`, said aloud, without a nats-server, unless the
    /// environment's `VTP_NATS` says that it is `required`.
    fn start(scene: &Scene, count: usize) -> Option<Self> {
        let Some(binary) = server::binary() else {
            assert!(std::env::var_os("VTP_NATS").is_none_or(|it| it != "required"), "no nats-server");
            skipped("there is no nats-server; make nats gets one");
            return None;
        };
        std::fs::create_dir(scene.path("nats")).unwrap();
        let nats = NatsServer::start(&binary, &scene.path("nats"), Sync::Always).unwrap();
        scene.vtp("ca init ca").ok();
        for role in ["splitter", "stitcher"] {
            scene.vtp(&format!("ca issue ca --role {role} --name {role} --host localhost --out creds")).ok();
        }
        let mut fleet = Self { nats, nodes: Vec::new() };
        (0..count).for_each(|number| fleet.add(scene, &format!("node-{number}"), 1));
        Some(fleet)
    }

    fn add(&mut self, scene: &Scene, name: &str, slots: u32) {
        scene.vtp(&format!("ca issue ca --role node --name {name} --out creds")).ok();
        let words = format!(
            "node --cluster {} --credentials creds --name {name} --slots {slots} --folder work/{name}",
            self.nats.url()
        );
        let mut command = Command::new(VTP);
        command.args(words.split(' ')).current_dir(scene.path(".")).stderr(Stdio::null());
        self.nodes.push(command.spawn().unwrap());
    }

    fn line(&self, out: &str) -> String {
        let options = "--ladder mobile --chunk 1s --segment 1s --speed ultrafast --progress none --cache none";
        format!("encode in.mp4 --out {out} {options} --cluster {} --credentials creds", self.nats.url())
    }
}

/// Waits until a node is at work.
fn until_begun(scene: &Scene, node: &str) {
    let (folder, started) = (scene.path(&format!("work/{node}/vtp-node-work")), Instant::now());
    while std::fs::read_dir(&folder).map_or(0, Iterator::count) == 0 {
        assert!(started.elapsed() < Duration::from_secs(100), "the node does nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What is in a folder of the scene, but for the report, which tells of times.
fn made(scene: &Scene, out: &str) -> std::collections::BTreeMap<String, u64> {
    let mut made = files(&scene.path(out));
    made.retain(|name, _| !name.starts_with("report."));
    made
}

#[test]
fn two_nodes_make_what_this_machine_makes_and_one_run_at_a_time_drives_them() {
    let scene = Scene::with_clip(178);
    let Some(fleet) = Nodes::start(&scene, 2) else { return };
    scene.vtp("encode in.mp4 --out here --ladder mobile --chunk 1s --segment 1s --speed ultrafast --cache none").ok();
    let line = fleet.line("there");
    let mut run = Command::new(VTP);
    let mut run = run.args(line.split(' ')).current_dir(scene.path(".")).spawn().unwrap();
    until_begun(&scene, "node-0");
    let refused = scene.vtp(&fleet.line("second"));
    assert!(run.wait().unwrap().success());
    refused.failed(2, "another run drives its nodes");
    assert!(!scene.path("second").exists());
    assert_eq!(made(&scene, "here"), made(&scene, "there"));
}

#[test]
fn a_node_that_is_killed_costs_its_chunk_s_time_and_one_that_is_told_to_leave_finishes_first() {
    let scene = Scene::with_clip(178);
    let Some(mut fleet) = Nodes::start(&scene, 1) else { return };
    scene.vtp("encode in.mp4 --out here --ladder mobile --chunk 1s --segment 1s --speed ultrafast --cache none").ok();
    let line = fleet.line("there");
    let mut run = Command::new(VTP);
    let mut run = run.args(line.split(' ')).current_dir(scene.path(".")).spawn().unwrap();
    until_begun(&scene, "node-0");
    fleet.nodes[0].kill().unwrap();
    fleet.add(&scene, "node-1", 2);
    assert!(run.wait().unwrap().success());
    assert_eq!(made(&scene, "here"), made(&scene, "there"));
    let leave = Command::new("kill").args(["-TERM", &fleet.nodes[1].id().to_string()]).status().unwrap();
    assert!(leave.success() && fleet.nodes[1].wait().unwrap().success());
    assert_eq!(
        std::fs::read_dir(scene.path("work/node-1/vtp-node-work")).unwrap().count(),
        0,
        "it leaves nothing behind"
    );
}

#[test]
fn a_fleet_that_is_not_there_and_certificates_that_are_not_are_told_at_once() {
    let scene = Scene::with_clip(10);
    let line = "encode in.mp4 --out out --cluster nats://127.0.0.1:1 --credentials creds --progress none";
    scene.vtp(line).failed(2, "127.0.0.1:1");
    scene.vtp("encode in.mp4 --out out --cluster nats://127.0.0.1:1").failed(2, "--credentials");
    let node = "node --cluster nats://127.0.0.1:1 --credentials creds --name a";
    scene.vtp(node).failed(2, "vtp ca issue makes them");
    assert!(!scene.path("out").exists());
}
