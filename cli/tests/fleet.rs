//! Chunks that are encoded elsewhere: the same bytes as here; without a network between, and by a fleet of processes that talk over
//! NATS and QUIC.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use common::{Scene, VTP, bundled, files, shared, skipped};
use vtp_cli::child::Pool;
use vtp_cli::encode::driver::{self, Fleet};
use vtp_cli::encode::output::Dirs;
use vtp_cli::encode::request::EncodeRequest;
use vtp_cli::encode::subtitles::SubtitleArguments;
use vtp_cli::fleet::nearby::Nearby;
use vtp_cli::place::Place;
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
        input: Place::Path(input.to_owned()),
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

/// How ladders are asked for, here and of a fleet.
const OPTIONS: &str = "--ladder mobile --chunk 1s --segment 1s --speed ultrafast --progress none --cache none";

/// A nats-server's binary. `None`, said aloud, without one, unless the environment's `VTP_NATS` says that it is `required`.
fn nats_server() -> Option<PathBuf> {
    let found = server::binary();
    if found.is_none() {
        assert!(std::env::var_os("VTP_NATS").is_none_or(|it| it != "required"), "no nats-server");
        skipped("there is no nats-server; make nats gets one");
    }
    found
}

/// A fleet on this machine, each process under a name, gone at its end.
struct Processes<'a> {
    scene: &'a Scene,
    nats: Vec<NatsServer>,
    all: BTreeMap<String, Child>,
    /// What is added to the environment of all that are started.
    environment: Vec<(String, String)>,
}

impl Drop for Processes<'_> {
    fn drop(&mut self) {
        for process in self.all.values_mut() {
            // One that was killed is gone already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl<'a> Processes<'a> {
    /// A driver, a splitter, a stitcher and so many nodes of one slot each.
    fn start(scene: &'a Scene, nodes: usize) -> Option<Self> {
        Self::start_with(scene, nodes, Vec::new())
    }

    fn start_with(scene: &'a Scene, nodes: usize, environment: Vec<(String, String)>) -> Option<Self> {
        std::fs::create_dir(scene.path("nats")).unwrap();
        let nats = NatsServer::start(&nats_server()?, &scene.path("nats"), Sync::Always).unwrap();
        Some(Self::at(scene, vec![nats], nodes, environment))
    }

    /// A fleet at these servers.
    fn at(scene: &'a Scene, nats: Vec<NatsServer>, nodes: usize, environment: Vec<(String, String)>) -> Self {
        scene.vtp("ca init ca").ok();
        for role in ["splitter", "stitcher"] {
            scene.vtp(&format!("ca issue ca --role {role} --name {role} --host localhost --out creds")).ok();
        }
        let mut fleet = Self { scene, nats, all: BTreeMap::new(), environment };
        ["driver", "splitter", "stitcher"].into_iter().for_each(|name| fleet.again(name));
        (0..nodes).for_each(|number| fleet.again(&format!("node-{number}")));
        fleet
    }

    fn url(&self) -> String {
        self.nats.iter().map(NatsServer::url).collect::<Vec<_>>().join(",")
    }

    /// Starts the process of this name, once more perhaps.
    fn again(&mut self, name: &str) {
        self.again_with(&[], name);
    }

    /// Starts it with this in its environment, besides what all have there.
    fn again_with(&mut self, environment: &[(&str, &str)], name: &str) {
        let member = format!("--cluster {} --credentials creds --name {name}", self.url());
        let line = match name {
            "driver" => {
                let (url, metrics, replicas) = (self.url(), self.metrics(name), self.nats.len());
                format!("driver --cluster {url} --data driver --replicas {replicas} {metrics}")
            }
            "splitter" => {
                let metrics = self.metrics(name);
                format!("splitter {member} --port {} --folder splitter {metrics}", self.port("splitter"))
            }
            "stitcher" => format!("stitcher {member} --port {} --data stitcher", self.port("stitcher")),
            _ => {
                if !self.scene.path(&format!("creds/{name}.crt")).exists() {
                    self.scene.vtp(&format!("ca issue ca --role node --name {name} --out creds")).ok();
                }
                format!("node {member} --slots 1 --folder {name} {}", self.metrics(name))
            }
        };
        let mut command = Command::new(VTP);
        command.args(line.split(' ')).current_dir(self.scene.path(".")).envs(self.environment.iter().cloned());
        command.envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.all.insert(name.to_owned(), command.spawn().unwrap());
    }

    /// The port of a process for QUIC, the same for all its lives.
    fn port(&self, name: &str) -> u16 {
        self.kept_port(name, || std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap().local_addr())
    }

    fn kept_port(&self, name: &str, choose: impl FnOnce() -> std::io::Result<std::net::SocketAddr>) -> u16 {
        let kept = self.scene.path(&format!("{name}.port"));
        if !kept.exists() {
            std::fs::write(&kept, choose().unwrap().port().to_string()).unwrap();
        }
        std::fs::read_to_string(kept).unwrap().parse().unwrap()
    }

    /// The port of its metrics: one of TCP, which may be taken where the same of UDP is free.
    fn metrics_port(&self, name: &str) -> u16 {
        let choose = || std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr();
        self.kept_port(&format!("{name}.metrics"), choose)
    }

    /// Where a process serves its metrics.
    fn metrics(&self, name: &str) -> String {
        let port = self.metrics_port(name);
        format!("--metrics 127.0.0.1:{port}")
    }

    /// What a process measures, as Prometheus sees it.
    fn measured(&self, name: &str) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.metrics_port(name));
        ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap()
    }

    fn kill(&mut self, name: &str) {
        let process = self.all.get_mut(name).unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    fn line(&self, out: &str) -> String {
        format!("encode in.mp4 --out {out} {OPTIONS} --cluster {}", self.url())
    }

    /// Begins to encode into `out`.
    fn begin(&self, line: &str) -> Child {
        let mut command = Command::new(VTP);
        command.args(line.split(' ')).current_dir(self.scene.path(".")).envs(self.environment.iter().cloned());
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits until a chunk is being encoded by this node.
    fn until_begun(&self, node: &str) {
        let folder = self.scene.path(&format!("{node}/vtp-node-work"));
        until("the node works", || std::fs::read_dir(&folder).map_or(0, Iterator::count) > 0);
    }
}

/// Waits until it is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(300), "it never came to it that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What is in a folder of the scene, but for the report, which tells of times.
fn made(scene: &Scene, out: &str) -> BTreeMap<String, u64> {
    let mut made = files(&scene.path(out));
    made.retain(|name, _| !name.starts_with("report."));
    assert!(made.len() > 5);
    made
}

#[test]
fn a_fleet_makes_what_this_machine_makes_and_tells_how_it_goes_on() {
    let scene = Scene::with_clip(178);
    let Some(fleet) = Processes::start(&scene, 2) else { return };
    scene.vtp(&format!("encode in.mp4 --out here {OPTIONS}")).ok();
    let told = scene.vtp(&fleet.line("there").replace("--progress none", "--progress json --json"));
    assert_eq!(made(&scene, "here"), made(&scene, "there"));
    let report: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(report["proof"]["frames_out"], 178);
    let events: Vec<serde_json::Value> = told.stderr.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let of = |event: &str| events.iter().filter(|it| it["event"] == event).count();
    assert_eq!((of("planned"), of("chunk_done"), of("done")), (1, 8, 1), "{}", told.stderr);
    let refused = scene.vtp(&fleet.line("there"));
    refused.failed(2, "is not empty");
    std::fs::write(scene.path("no-video.mp4"), "nothing").unwrap();
    scene.vtp(&fleet.line("other").replace("in.mp4", "no-video.mp4")).failed(3, "error 1001");
    scene.vtp(&fleet.line("other").replace("in.mp4", "nowhere.mp4")).failed(2, "nowhere.mp4");
    assert!(!scene.path("other").exists());
    assert_eq!(std::fs::read_dir(scene.path("stitcher/kept")).unwrap().count(), 0, "nothing is kept of what has ended");
}

#[test]
fn what_a_fleet_does_can_be_measured() {
    let scene = Scene::with_clip(60);
    let Some(fleet) = Processes::start(&scene, 1) else { return };
    scene.vtp(&fleet.line("out")).ok();
    let value = |process: &str, metric: &str| {
        let all = fleet.measured(process);
        let line = all.lines().find(|line| line.split(' ').next() == Some(metric));
        line.unwrap_or_else(|| panic!("no {metric} in {all}")).split(' ').nth(1).unwrap().parse::<f64>().unwrap()
    };
    // The ladder, its index, three chunks.
    assert_eq!(value("driver", "vtp_jobs_ended_total{outcome=\"done\"}"), 5.0);
    assert_eq!(value("driver", "vtp_jobs_active"), 0.0);
    assert_eq!(value("driver", "vtp_tasks_waiting{pool=\"cpu\"}"), 0.0);
    assert_eq!(value("driver", "vtp_nodes"), 3.0);
    assert_eq!(value("driver", "vtp_queue_wait_seconds_count{pool=\"cpu\"}"), 3.0);
    assert_eq!(value("node-0", "vtp_frames_encoded_total"), 60.0);
    assert_eq!(value("node-0", "vtp_slots{pool=\"cpu\"}"), 1.0);
    assert_eq!(value("node-0", "vtp_task_seconds_count{pool=\"cpu\",outcome=\"finished\"}"), 3.0);
    until("the splitter says what it has sent", || {
        value("splitter", "vtp_transfer_bytes_total{direction=\"sent\"}") > 100_000.0
    });
}

#[test]
fn a_ladder_that_nobody_wants_any_longer_is_given_up_and_its_folder_removed() {
    let scene = Scene::with_clip(178);
    let Some(fleet) = Processes::start(&scene, 1) else { return };
    let mut run = fleet.begin(&fleet.line("out").replace("ultrafast", "veryslow"));
    fleet.until_begun("node-0");
    assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    assert_eq!(run.wait().unwrap().code(), Some(130));
    until("the output is gone", || !scene.path("out").exists());
    let work = scene.path("node-0/vtp-node-work");
    until("the node has put it down", || std::fs::read_dir(&work).unwrap().count() == 0);
    for folder in ["kept", "delivered"] {
        let folder = scene.path(&format!("stitcher/{folder}"));
        until("the stitcher keeps nothing of it", || std::fs::read_dir(&folder).unwrap().count() == 0);
    }
}

#[test]
fn a_ladder_whose_folder_another_run_holds_is_made_when_that_lets_go_of_it() {
    let scene = Scene::with_clip(60);
    let Some(fleet) = Processes::start(&scene, 1) else { return };
    std::fs::create_dir(scene.path("out")).unwrap();
    let held = std::fs::File::open(scene.path("out")).unwrap();
    held.try_lock().unwrap();
    let mut run = fleet.begin(&fleet.line("out"));
    // Longer than it takes to fail as often as it may.
    std::thread::sleep(Duration::from_secs(15));
    assert!(run.try_wait().unwrap().is_none(), "it waits");
    drop(held);
    assert!(run.wait().unwrap().success());
    assert!(scene.path("out/master.m3u8").exists());
}

#[test]
fn whoever_is_killed_the_ladder_is_made_and_is_the_same() {
    let scene = Scene::with_clip(178);
    let Some(mut fleet) = Processes::start(&scene, 2) else { return };
    let slow = |line: String| line.replace("ultrafast", "slow");
    scene.vtp(&slow(format!("encode in.mp4 --out here {OPTIONS}"))).ok();
    let mut run = fleet.begin(&slow(fleet.line("there")));
    fleet.until_begun("node-0");
    for name in ["node-0", "splitter", "driver", "stitcher", "node-1"] {
        fleet.kill(name);
        fleet.again(name);
        std::thread::sleep(Duration::from_millis(1500));
    }
    fleet.nats[0].kill().unwrap();
    fleet.nats[0].restart().unwrap();
    let ended = run.wait().unwrap();
    assert!(ended.success(), "{}", std::io::read_to_string(run.stderr.take().unwrap()).unwrap());
    assert_eq!(made(&scene, "here"), made(&scene, "there"));
}

#[test]
fn nodes_whose_clocks_are_wrong_do_their_work_as_the_others() {
    let scene = Scene::with_clip(178);
    let libraries =
        ["x86_64-linux-gnu", "aarch64-linux-gnu"].map(|it| format!("/usr/lib/{it}/faketime/libfaketime.so.1"));
    let Some(library) = libraries.iter().find(|it| Path::new(it).exists()) else {
        return skipped("there is no faketime");
    };
    // The wall's clock alone is wrong: the other, by which time is measured, can't be. All have the library, for it is a part of
    // what is run, and a node that ran something else would have its tasks refused.
    let clock = [("LD_PRELOAD", library.as_str()), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("FAKETIME", "+0")];
    let clock = clock.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let Some(mut fleet) = Processes::start_with(&scene, 0, clock.to_vec()) else { return };
    fleet.again_with(&[("FAKETIME", "+3h")], "node-ahead");
    fleet.again_with(&[("FAKETIME", "-3h")], "node-behind");
    scene.vtp(&format!("encode in.mp4 --out here {OPTIONS}")).ok();
    assert!(fleet.begin(&fleet.line("there")).wait().unwrap().success());
    assert_eq!(made(&scene, "here"), made(&scene, "there"));
    for name in ["node-ahead", "node-behind"] {
        assert!(fleet.measured(name).contains("vtp_frames_encoded_total "), "{name} has done nothing");
        assert!(!fleet.measured(name).contains("outcome=\"failed\""), "{name} has failed at something");
    }
}

/// Three servers that keep everything threefold, each with a port for its health.
fn three_servers(scene: &Scene, binary: &Path) -> Vec<NatsServer> {
    let free = || std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let (routes, health) = ([free(), free(), free()], [free(), free(), free()]);
    let all = routes.map(|port| format!("\"nats-route://127.0.0.1:{port}\"")).join(", ");
    let start = |number: usize| {
        let folder = scene.path(&format!("nats-{number}"));
        std::fs::create_dir(&folder).unwrap();
        let settings = format!(
            "server_name: n{number}\nhttp: \"127.0.0.1:{}\"\njetstream {{ store_dir: \"store\", sync_interval: always }}\n\
             cluster {{ name: vtp, listen: \"127.0.0.1:{}\", routes: [{all}] }}\n",
            health[number], routes[number]
        );
        NatsServer::start_with(binary, &folder, &settings).unwrap()
    };
    let servers = (0..3).map(start).collect();
    let is_well = |port: u16| ureq::get(format!("http://127.0.0.1:{port}/healthz")).call().is_ok();
    let has_leader = |port: u16| {
        let told = ureq::get(format!("http://127.0.0.1:{port}/jsz")).call();
        told.is_ok_and(|mut told| told.body_mut().read_to_string().unwrap().contains("\"leader\": \"n"))
    };
    until("the servers are in step", || health.into_iter().all(|port| is_well(port) && has_leader(port)));
    servers
}

#[test]
fn of_three_servers_one_may_be_lost_for_good() {
    let scene = Scene::with_clip(238);
    let Some(binary) = nats_server() else { return };
    let servers = three_servers(&scene, &binary);
    let mut fleet = Processes::at(&scene, servers, 2, Vec::new());
    scene.vtp(&format!("encode in.mp4 --out here {OPTIONS}")).ok();
    let mut run = fleet.begin(&fleet.line("there"));
    fleet.until_begun("node-0");
    fleet.nats[0].kill().unwrap();
    let ended = run.wait().unwrap();
    assert!(ended.success(), "{}", std::io::read_to_string(run.stderr.take().unwrap()).unwrap());
    assert_eq!(made(&scene, "here"), made(&scene, "there"));
}

#[test]
fn a_node_that_is_told_to_leave_finishes_first() {
    let scene = Scene::with_clip(178);
    let Some(mut fleet) = Processes::start(&scene, 1) else { return };
    let mut run = fleet.begin(&fleet.line("out"));
    fleet.until_begun("node-0");
    let node = fleet.all.get_mut("node-0").unwrap();
    assert!(Command::new("kill").args(["-TERM", &node.id().to_string()]).status().unwrap().success());
    assert!(node.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(scene.path("node-0/vtp-node-work")).unwrap().count(), 0, "it leaves nothing behind");
    fleet.again("node-1");
    assert!(run.wait().unwrap().success());
}

#[test]
fn one_command_starts_a_fleet_on_this_machine_and_its_end_is_that_of_all() {
    let scene = Scene::with_clip(60);
    let Some(server) = nats_server() else { return };
    let mut up = Command::new(VTP);
    up.args(["up", "--data", "fleet", "--nodes", "2", "--fleet-only", "--server"])
        .arg(&server)
        .current_dir(scene.path("."));
    let mut up = up.stderr(Stdio::null()).spawn().unwrap();
    until("it says where it is", || scene.path("fleet/address").exists());
    scene
        .vtp(&format!("up --data fleet --fleet-only --server {}", server.display()))
        .failed(2, "another fleet has the folder");
    scene.vtp(&format!("encode in.mp4 --out here {OPTIONS}")).ok();
    scene.vtp(&format!("encode in.mp4 --out there {OPTIONS} --cluster fleet")).ok();
    assert_eq!(made(&scene, "here"), made(&scene, "there"));
    let children = || processes_in(&scene.path("fleet"));
    assert!(children().len() >= 6, "{:?}", children());
    let driver = children().into_iter().find(|(_, line)| line.contains(" driver ")).unwrap().0;
    assert!(Command::new("kill").args(["-KILL", &driver.to_string()]).status().unwrap().success());
    until("another driver is there", || {
        children().iter().any(|(pid, line)| line.contains(" driver ") && *pid != driver)
    });
    scene.vtp(&format!("encode in.mp4 --out again {OPTIONS} --cluster fleet")).ok();
    up.kill().unwrap();
    up.wait().unwrap();
    until("all have ended", || children().is_empty());
}

/// The processes that run in this folder, and their words.
fn processes_in(folder: &Path) -> Vec<(u32, String)> {
    let folder = folder.canonicalize().unwrap();
    let numbers = std::fs::read_dir("/proc").unwrap().filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok());
    let here = numbers.filter(|pid: &u32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|it| it == folder));
    let told = here.filter_map(|pid| {
        let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok().filter(|it| !it.is_empty())?;
        Some((pid, words.replace('\0', " ")))
    });
    told.filter(|(_, words)| !words.contains(" child")).collect()
}

#[test]
fn a_fleet_that_is_not_there_and_certificates_that_are_not_are_told() {
    let scene = Scene::with_clip(10);
    scene.vtp("encode in.mp4 --out out --cluster nats://127.0.0.1:1 --progress none").failed(2, "127.0.0.1:1");
    scene.vtp("encode in.mp4 --out out --cluster .").failed(2, "vtp up starts one");
    scene.vtp("encode in.mp4 --out out --priority 3").failed(2, "--cluster");
    for role in ["node", "splitter", "stitcher --data d"] {
        let line = format!("{role} --cluster nats://127.0.0.1:1 --credentials creds --name a");
        scene.vtp(&line).failed(2, "vtp ca issue makes them");
    }
    assert!(!scene.path("out").exists());
}
