//! A fleet on several hosts, which are network namespaces of this machine with links between them: chunks travel by QUIC, and a link
//! that is cut for a while costs time alone.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Scene, VTP, files, skipped};
use vtp_fleet::server;

const OPTIONS: &str = "--ladder mobile --chunk 1s --segment 1s --speed medium --progress none --cache none";

/// Hosts with one link each to a bridge that all share; gone at the end, with all that runs on them.
struct Hosts<'a> {
    scene: &'a Scene,
    prefix: String,
    names: Vec<&'static str>,
    processes: Vec<Child>,
}

/// Whether it succeeds.
fn ip(line: &str) -> bool {
    let output = Command::new("ip").args(line.split(' ')).output();
    output.is_ok_and(|output| output.status.success())
}

impl Drop for Hosts<'_> {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // One that has ended is gone already.
            let _ = process.kill();
            let _ = process.wait();
        }
        for name in ["hub"].iter().chain(&self.names) {
            // One that was never made is gone, too.
            let _ = ip(&format!("netns del {}", self.host(name)));
        }
    }
}

impl<'a> Hosts<'a> {
    /// Hosts of these names, with addresses 10.77.0.1 and so on. `None`, said aloud, where there can't be any.
    fn new(scene: &'a Scene, names: &[&'static str]) -> Option<Self> {
        let hosts =
            Self { scene, prefix: format!("vtp-{}", std::process::id()), names: names.to_vec(), processes: Vec::new() };
        let hub = hosts.host("hub");
        if !ip(&format!("netns add {hub}")) {
            skipped("there are no network namespaces; it takes root and iproute2");
            return None;
        }
        assert!(ip(&format!("-n {hub} link add bridge type bridge")) && ip(&format!("-n {hub} link set bridge up")));
        for (name, number) in names.iter().zip(1..) {
            let host = hosts.host(name);
            for line in [
                format!("netns add {host}"),
                format!("-n {host} link set lo up"),
                format!("-n {hub} link add to-{name} type veth peer name eth0 netns {host}"),
                format!("-n {hub} link set to-{name} master bridge up"),
                format!("-n {host} addr add 10.77.0.{number}/24 dev eth0"),
                format!("-n {host} link set eth0 up"),
            ] {
                assert!(ip(&line), "ip {line}");
            }
        }
        Some(hosts)
    }

    fn host(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn address(&self, name: &str) -> String {
        format!("10.77.0.{}", self.names.iter().position(|it| *it == name).unwrap() + 1)
    }

    /// What runs `program` on a host.
    fn on(&self, name: &str, program: &str, line: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.host(name), program]).args(line.split(' '));
        command.current_dir(self.scene.path(".")).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn start(&mut self, name: &str, program: &str, line: &str) {
        let child = self.on(name, program, line).stderr(Stdio::null()).spawn().unwrap();
        self.processes.push(child);
    }

    /// Cuts a host's link for so long.
    fn cut(&self, name: &str, time: Duration) {
        let set = |state| assert!(ip(&format!("-n {} link set to-{name} {state}", self.host("hub"))));
        set("down");
        std::thread::sleep(time);
        set("up");
    }

    /// A fleet: NATS and the driver on the first host, a process on each other.
    fn fleet(&mut self) -> Option<()> {
        let binary: PathBuf = server::binary().or_else(|| {
            assert!(std::env::var_os("VTP_NATS").is_none_or(|it| it != "required"), "no nats-server");
            skipped("there is no nats-server; make nats gets one");
            None
        })?;
        let settings = "listen: \"0.0.0.0:4222\"\njetstream { store_dir: \"nats\", sync_interval: always }\n";
        std::fs::write(self.scene.path("nats.conf"), settings).unwrap();
        self.start("head", &binary.display().to_string(), "-c nats.conf");
        self.scene.vtp("ca init ca").ok();
        let url = format!("nats://{}:4222", self.address("head"));
        // It comes to it when it can.
        std::thread::sleep(Duration::from_secs(4));
        self.start("head", VTP, &format!("driver --cluster {url} --data driver"));
        for name in ["splitter", "stitcher", "node-1", "node-2"] {
            let (role, host) = (name.split('-').next().unwrap(), self.address(name));
            self.scene.vtp(&format!("ca issue ca --role {role} --name {name} --host {host} --out creds")).ok();
            let member = format!("{role} --cluster {url} --credentials creds --name {name}");
            let listen = format!("--host {host} --port 4433");
            let line = match role {
                "splitter" => format!("{member} {listen} --folder splitter"),
                "stitcher" => format!("{member} {listen} --data stitcher"),
                _ => format!("{member} --slots 1 --folder {name}"),
            };
            self.start(name, VTP, &line);
        }
        Some(())
    }
}

#[test]
fn a_fleet_on_several_hosts_bears_links_that_are_cut_for_a_while() {
    let scene = Scene::with_clip(178);
    let Some(mut hosts) = Hosts::new(&scene, &["head", "splitter", "stitcher", "node-1", "node-2"]) else { return };
    let Some(()) = hosts.fleet() else { return };
    scene.vtp(&format!("encode in.mp4 --out here {OPTIONS}")).ok();
    let url = format!("nats://{}:4222", hosts.address("head"));
    let line = format!("encode in.mp4 --out there {OPTIONS} --cluster {url}");
    let mut run = hosts.on("head", VTP, &line).stderr(Stdio::piped()).spawn().unwrap();
    let work = scene.path("node-1/vtp-node-work");
    let started = Instant::now();
    while std::fs::read_dir(&work).map_or(0, Iterator::count) == 0 {
        assert!(started.elapsed() < Duration::from_secs(300), "the node does nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
    hosts.cut("node-1", Duration::from_secs(3));
    hosts.cut("splitter", Duration::from_secs(2));
    hosts.cut("stitcher", Duration::from_secs(2));
    let ended = run.wait().unwrap();
    assert!(ended.success(), "{}", std::io::read_to_string(run.stderr.take().unwrap()).unwrap());
    let made = |out: &str| {
        let mut made = files(&scene.path(out));
        made.retain(|name, _| !name.starts_with("report."));
        made
    };
    assert!(made("here").len() > 5);
    assert_eq!(made("here"), made("there"));
}
