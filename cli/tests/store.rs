//! Sources and ladders in S3, by a real server of that protocol: the same bytes as from and to folders, and what goes wrong on the
//! way is told or waited for.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Ended, Scene, VTP, files};
use vtp_fleet::server;
use vtp_store::testing::S3Server;

const OPTIONS: &str = "--ladder mobile --chunk 1s --segment 1s --speed ultrafast --progress none --cache none";

/// A scene, and a store with the bucket `films` that has its clip.
struct Cloud {
    scene: Scene,
    server: S3Server,
}

impl Cloud {
    fn with_clip(frames: u32) -> Self {
        let scene = Scene::with_clip(frames);
        fs::create_dir_all(scene.path("s3/films/sources")).unwrap();
        fs::copy(scene.path("in.mp4"), scene.path("s3/films/sources/in.mp4")).unwrap();
        let server = S3Server::start(&scene.path("s3")).unwrap();
        Self { scene, server }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "120", VTP]).args(line.split_whitespace());
        self.set(&mut command);
        command
    }

    fn set(&self, command: &mut Command) {
        command.current_dir(self.scene.path(".")).env_remove("VTP_LOG").env("VTP_CACHE", "none");
        command.env("TMPDIR", self.temporary()).envs(self.server.environment());
    }

    fn vtp(&self, line: &str) -> Ended {
        Ended::of(self.command(line).output().unwrap())
    }

    /// Begins a command that has no other process above it: who kills that would not kill the command.
    fn begin(&self, line: &str) -> Child {
        let mut command = Command::new(VTP);
        command.args(line.split_whitespace());
        self.set(&mut command);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Where processes put what is temporary.
    fn temporary(&self) -> std::path::PathBuf {
        let folder = self.scene.path("tmp");
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn is_tidy(&self) {
        assert_eq!(fs::read_dir(self.temporary()).unwrap().count(), 0, "nothing temporary is left");
    }

    /// What is under a prefix, but for the report.
    fn there(&self, prefix: &str) -> BTreeMap<String, u64> {
        made(&self.scene.path("s3/films").join(prefix))
    }
}

/// What is in a folder, but for the report, which tells of times, and what the server notes for itself.
fn made(folder: &Path) -> BTreeMap<String, u64> {
    if !folder.exists() {
        return BTreeMap::new();
    }
    let mut made = files(folder);
    made.retain(|name, _| !name.starts_with("report.") && !name.contains("/.") && !name.starts_with('.'));
    made
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(300), "it never came to it that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_ladder_from_s3_to_s3_is_the_one_from_folder_to_folder() {
    let cloud = Cloud::with_clip(118);
    cloud.vtp(&format!("encode in.mp4 --out here {OPTIONS}")).ok();
    let told = cloud.vtp(&format!("encode s3://films/sources/in.mp4 --out s3://films/ladders/a {OPTIONS}")).ok();
    let (here, there) = (made(&cloud.scene.path("here")), cloud.there("ladders/a"));
    assert!(here.len() > 5);
    assert_eq!(here, there);
    assert!(told.stdout.contains("play: s3://films/ladders/a/master.m3u8"), "{}", told.stdout);
    assert!(cloud.scene.path("s3/films/ladders/a/report.json").exists());
    cloud.is_tidy();
    let source = fs::read(cloud.scene.path("in.mp4")).unwrap();
    assert!(fs::read(cloud.scene.path("s3/films/sources/in.mp4")).unwrap() == source, "the source is as it was");
}

#[test]
fn a_source_in_s3_is_seen_as_if_it_were_here() {
    let cloud = Cloud::with_clip(60);
    for command in ["probe", "plan"] {
        let here = cloud.vtp(&format!("{command} in.mp4 --json")).ok();
        let there = cloud.vtp(&format!("{command} s3://films/sources/in.mp4 --json")).ok();
        assert_eq!(here.stdout, there.stdout);
    }
}

#[test]
fn what_is_not_there_or_not_allowed_is_told_as_the_inputs_fault() {
    let cloud = Cloud::with_clip(30);
    let probe = |place: &str| cloud.vtp(&format!("probe {place}"));
    probe("s3://films/nothing.mp4").failed(3, "error 1001: there is no object s3://films/nothing.mp4");
    fs::write(cloud.scene.path("s3/films/text.mp4"), "no video").unwrap();
    probe("s3://films/text.mp4").failed(3, "error 1001: s3://films/text.mp4 is not a video file we read");
    probe("s3://Films/in.mp4").failed(2, "is no bucket's name");
    let mut stranger = cloud.command("probe s3://films/sources/in.mp4");
    let refused = Ended::of(stranger.env("AWS_SECRET_ACCESS_KEY", "another").output().unwrap());
    refused.failed(3, "the store refuses access");
    assert!(!refused.stderr.contains("another"), "{}", refused.stderr);
}

#[test]
fn what_is_there_already_stays_unless_it_is_to_be_replaced() {
    let cloud = Cloud::with_clip(60);
    let old = cloud.scene.path("s3/films/a/old.m4s");
    fs::create_dir_all(old.parent().unwrap()).unwrap();
    fs::write(&old, "old").unwrap();
    let line = format!("encode in.mp4 --out s3://films/a/ {OPTIONS}");
    cloud.vtp(&line).failed(2, "s3://films/a/ is not empty, and no ladder; choose another --out");
    cloud.vtp(&format!("{line} --force")).failed(2, "--force replaces ladders alone");
    fs::write(old.with_file_name("master.m3u8"), "#EXTM3U").unwrap();
    cloud.vtp(&line).failed(2, "s3://films/a/ is not empty; choose another --out, or give --force to replace it");
    assert_eq!(cloud.there("a").len(), 2);
    cloud.vtp(&format!("{line} --force")).ok();
    assert!(!old.exists() && cloud.there("a").len() > 5);
    assert!(cloud.scene.path("s3/films/sources/in.mp4").exists(), "what stands beside it is not touched");
    cloud.vtp(&format!("encode s3://films/a/hd/x.mp4 --out s3://films/a --force {OPTIONS}")).failed(2, "lies in");
    cloud.vtp(&format!("encode in.mp4 --out s3://films --force {OPTIONS}")).failed(2, "is a whole bucket");
}

#[test]
fn a_store_that_is_away_for_a_while_is_waited_for() {
    let cloud = Cloud::with_clip(118);
    cloud.vtp(&format!("encode in.mp4 --out here {OPTIONS}")).ok();
    let mut run = cloud.begin(&format!("encode s3://films/sources/in.mp4 --out s3://films/a {OPTIONS}"));
    // In the middle of whatever it is at.
    for pause in [300, 500, 700] {
        std::thread::sleep(Duration::from_millis(pause));
        cloud.server.refuse(true);
        std::thread::sleep(Duration::from_millis(400));
        cloud.server.refuse(false);
    }
    assert!(run.wait().unwrap().success());
    assert_eq!(made(&cloud.scene.path("here")), cloud.there("a"));
}

#[test]
fn an_upload_that_is_interrupted_leaves_nothing_in_the_store() {
    let cloud = Cloud::with_clip(118);
    let line = format!("encode in.mp4 --out s3://films/a {OPTIONS}").replace("--progress none", "--progress json");
    // The server takes no new connection, so that it can't be done by the time that it is interrupted.
    let mut run = Command::new(VTP);
    run.args(line.split_whitespace()).current_dir(cloud.scene.path(".")).env("TMPDIR", cloud.temporary());
    let mut run = run.envs(cloud.server.environment()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut events = std::io::BufReader::new(run.stderr.take().unwrap());
    let mut told = String::new();
    while !told.contains("proving") {
        assert!(std::io::BufRead::read_line(&mut events, &mut told).unwrap() > 0, "{told}");
    }
    cloud.server.refuse(true);
    while !told.contains("uploading") {
        assert!(std::io::BufRead::read_line(&mut events, &mut told).unwrap() > 0, "{told}");
    }
    assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    std::thread::sleep(Duration::from_millis(300));
    cloud.server.refuse(false);
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_eq!(cloud.there("a"), BTreeMap::new());
    cloud.is_tidy();
}

#[test]
fn a_stitcher_that_is_killed_while_it_uploads_costs_the_ladder_nothing() {
    let cloud = Cloud::with_clip(60);
    let Some(binary) = server::binary() else {
        assert!(std::env::var_os("VTP_NATS").is_none_or(|it| it != "required"), "no nats-server");
        return common::skipped("there is no nats-server; make nats gets one");
    };
    cloud.vtp(&format!("encode in.mp4 --out here {OPTIONS}")).ok();
    let mut up = cloud.begin(&format!("up --data fleet --nodes 1 --fleet-only --server {}", binary.display()));
    until("the fleet says where it is", || cloud.scene.path("fleet/address").exists());
    let line = format!("encode s3://films/sources/in.mp4 --out s3://films/a {OPTIONS} --cluster fleet");
    let mut run = cloud.begin(&line.replace("--progress none", "--progress json"));
    until("some of it is there", || {
        let there = cloud.there("a").len();
        if there > 0 {
            cloud.server.refuse(true);
        }
        there > 0
    });
    assert!(cloud.scene.path("s3/films/a/.vtp-upload").exists(), "it is not all there yet");
    let stitcher = Command::new("pgrep").args(["-f", "stitcher --cluster"]).output().unwrap();
    let stitcher = String::from_utf8(stitcher.stdout).unwrap();
    let ours = stitcher.lines().find(|pid| {
        let folder = fs::read_link(format!("/proc/{pid}/cwd"));
        folder.is_ok_and(|it| it == cloud.scene.path("fleet").canonicalize().unwrap())
    });
    assert!(Command::new("kill").args(["-KILL", ours.unwrap()]).status().unwrap().success());
    cloud.server.refuse(false);
    assert!(run.wait().unwrap().success());
    assert_eq!(made(&cloud.scene.path("here")), cloud.there("a"));
    assert!(!cloud.scene.path("s3/films/a/.vtp-upload").exists());
    up.kill().unwrap();
    up.wait().unwrap();
}

#[test]
fn a_fleet_reads_from_s3_and_writes_there() {
    let cloud = Cloud::with_clip(118);
    let Some(binary) = server::binary() else {
        assert!(std::env::var_os("VTP_NATS").is_none_or(|it| it != "required"), "no nats-server");
        return common::skipped("there is no nats-server; make nats gets one");
    };
    cloud.vtp(&format!("encode in.mp4 --out here {OPTIONS}")).ok();
    let mut up = cloud.begin(&format!("up --data fleet --nodes 2 --fleet-only --server {}", binary.display()));
    until("the fleet says where it is", || cloud.scene.path("fleet/address").exists());
    let line = format!("encode s3://films/sources/in.mp4 --out s3://films/a {OPTIONS} --cluster fleet");
    cloud.vtp(&line).ok();
    assert_eq!(made(&cloud.scene.path("here")), cloud.there("a"));
    cloud.vtp(&line).failed(2, "is not empty");
    cloud.vtp(&line.replace("in.mp4", "no.mp4").replace("/a ", "/b ")).failed(3, "there is no object");
    // Whoever asks for another source gets that, also where the splitter knows one of that name.
    fs::copy(cloud.scene.path("in.mp4"), cloud.scene.path("old.mp4")).unwrap();
    cloud.scene.ffmpeg("-f lavfi -i testsrc=s=1280x720:d=3:r=24 -c:v libx264 -preset ultrafast new.mp4");
    fs::copy(cloud.scene.path("new.mp4"), cloud.scene.path("s3/films/sources/in.mp4")).unwrap();
    cloud.vtp(&line.replace("/a ", "/c ")).ok();
    cloud.vtp(&format!("encode new.mp4 --out new {OPTIONS}")).ok();
    assert_eq!(made(&cloud.scene.path("new")), cloud.there("c"));
    up.kill().unwrap();
    up.wait().unwrap();
}
