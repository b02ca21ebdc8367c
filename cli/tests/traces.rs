//! Traces: one job is one trace, through all processes that have a part in it, from the request on that asked for it; and a
//! collector that is of no use costs nothing.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

#[path = "common/collector.rs"]
mod collector;
mod common;
#[path = "common/platform.rs"]
mod platform;

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use collector::{Collector, Seen};
use common::{Ended, Scene, VTP, bundled, skipped};
use platform::Platform;
use serde_json::{Value, json};
use vtp_fleet::server;

/// Four chunks, none of which is encoded twice.
const OPTIONS: &str =
    "--ladder mobile --chunk 1s --segment 1s --speed ultrafast --no-measure --progress none --cache none";
const FRAMES: u32 = 90;

/// Where spans go, and soon.
fn environment(url: &str) -> [(&'static str, &str); 3] {
    let (soon, patient) = (("OTEL_BSP_SCHEDULE_DELAY", "200"), ("OTEL_BSP_EXPORT_TIMEOUT", "60000"));
    [("OTEL_EXPORTER_OTLP_ENDPOINT", url), soon, patient]
}

fn vtp(scene: &Scene, url: &str, line: &str) -> Ended {
    let mut command = Command::new("timeout");
    command
        .args(["--signal=KILL", "300", VTP])
        .args(line.split(' '))
        .current_dir(scene.path("."))
        .env_remove("VTP_LOG");
    Ended::of(command.envs(environment(url)).output().unwrap())
}

/// `vtp up`, which ends with it.
struct Up(Child);

impl Up {
    fn start(scene: &Scene, url: &str) -> Option<Self> {
        let Some(server): Option<PathBuf> = server::binary() else {
            assert!(std::env::var_os("VTP_NATS").is_none_or(|it| it != "required"), "no nats-server");
            skipped("there is no nats-server; make nats gets one");
            return None;
        };
        let mut up = Command::new(VTP);
        up.args(["up", "--data", "fleet", "--nodes", "2", "--slots", "1", "--fleet-only", "--server"]).arg(&server);
        up.current_dir(scene.path(".")).envs(environment(url)).stderr(Stdio::null());
        let up = Self(up.spawn().unwrap());
        until("it says where it is", || scene.path("fleet/address").exists());
        Some(up)
    }

    /// Has all of it leave, and waits for that.
    fn leave(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // It may have left.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(300), "it never came to it that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How often each span is there, by who made it and what it is called.
fn counted(spans: &[Seen]) -> BTreeMap<(&str, &str), usize> {
    let mut counted = BTreeMap::new();
    spans.iter().for_each(|it| *counted.entry((it.service.as_str(), it.name.as_str())).or_default() += 1);
    counted
}

/// Spans and their parents, the first of which is the root; each is in the trace.
fn is_one_tree(spans: &[Seen]) {
    let traces: BTreeSet<&[u8]> = spans.iter().map(|it| it.trace.as_slice()).collect();
    assert_eq!(traces.len(), 1, "{}", tree(spans));
    let known: BTreeSet<&[u8]> = spans.iter().map(|it| it.span.as_slice()).collect();
    assert_eq!(known.len(), spans.len(), "no span comes twice");
    let (roots, others): (Vec<&Seen>, Vec<&Seen>) = spans.iter().partition(|it| it.parent.is_empty());
    assert_eq!(roots.len(), 1, "{}", tree(spans));
    let orphans: Vec<&&Seen> = others.iter().filter(|it| !known.contains(it.parent.as_slice())).collect();
    assert!(orphans.is_empty(), "{orphans:#?}\n{}", tree(spans));
    let parent = |it: &Seen| spans.iter().find(|other| other.span == it.parent);
    // What a node was at of an attempt that was given up ends by itself.
    let given_up = spans.iter().any(|it| it.fields.get("outcome").is_some_and(|it| it != "done"));
    for it in spans.iter().filter(|it| !(given_up && it.service == "vtp-node")) {
        assert!(it.end_ns >= it.start_ns, "{}", tree(spans));
        // Others hear of an end only after it.
        let within = parent(it).is_none_or(|parent| parent.service != it.service || it.end_ns <= parent.end_ns);
        assert!(within, "{} ends after what it is below\n{}", it.name, tree(spans));
    }
}

/// What the spans look like.
fn tree(spans: &[Seen]) -> String {
    fn below(spans: &[Seen], parent: &[u8], depth: usize, zero: u64, text: &mut String) {
        let mut these: Vec<&Seen> = spans.iter().filter(|it| it.parent == parent).collect();
        these.sort_by_key(|it| it.start_ns);
        for it in these {
            let ms = |ns: u64| ns.saturating_sub(zero) / 1_000_000;
            let fields: Vec<String> = it.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let (name, from, took) = (&it.name, ms(it.start_ns), ms(it.end_ns) - ms(it.start_ns));
            let error = it.error.as_ref().map(|error| format!(" ERROR {error}")).unwrap_or_default();
            let head = format!("{:indent$}{name} {}", "", fields.join(" "), indent = 2 * depth);
            text.push_str(&format!("{head:<70} {from:>6} {took:>6}  {}{error}\n", it.instance));
            below(spans, &it.span, depth + 1, zero, text);
        }
    }
    let (zero, mut text) = (spans.iter().map(|it| it.start_ns).min().unwrap_or(0), String::new());
    below(spans, &[], 0, zero, &mut text);
    text
}

#[test]
fn one_job_is_one_trace_through_all_roles_and_every_span_has_its_place_in_it() {
    let (scene, collector) = (Scene::with_clip(FRAMES), Collector::start());
    let Some(up) = Up::start(&scene, &collector.url()) else { return };
    vtp(&scene, &collector.url(), &format!("encode in.mp4 --out there {OPTIONS} --cluster fleet")).ok();
    up.leave();
    let spans = collector.seen();
    println!("{}", tree(&spans));
    is_one_tree(&spans);
    let counted = counted(&spans);
    // A chunk that takes long may be tried a second time beside the first.
    let tried = counted[&("vtp-node", "chunk")];
    let expected = [
        ("vtp-driver", "job", 6..=6),
        ("vtp-driver", "task", tried + 2..=tried + 2),
        ("vtp-encode", "encode", 1..=1),
        ("vtp-node", "chunk", 4..=8),
        ("vtp-node", "deliver", 4..=tried),
        ("vtp-node", "encode", 4..=tried),
        ("vtp-node", "fetch", 4..=tried),
        ("vtp-splitter", "index", 1..=1),
        ("vtp-splitter", "pack", 4..=tried),
        ("vtp-stitcher", "index", 1..=1),
        ("vtp-stitcher", "ladder", 1..=1),
        ("vtp-stitcher", "proof", 1..=1),
        ("vtp-stitcher", "publish", 1..=1),
        ("vtp-stitcher", "sound", 1..=1),
        ("vtp-stitcher", "stitch", 4..=4),
        ("vtp-stitcher", "wait", 4..=4),
    ];
    assert_eq!(counted.len(), expected.len(), "{counted:?}");
    for (service, name, times) in expected {
        assert!(times.contains(&counted[&(service, name)]), "{name} of {service}: {counted:?}");
    }
    let chunks: Vec<&Seen> = spans.iter().filter(|it| it.name == "chunk").collect();
    let attempts: BTreeSet<(&str, &str)> =
        chunks.iter().map(|it| (it.fields["chunk"].as_str(), it.fields["attempt"].as_str())).collect();
    assert_eq!(attempts.len(), tried, "no attempt is made twice");
    let parents: BTreeSet<&[u8]> = chunks.iter().map(|it| it.parent.as_slice()).collect();
    assert_eq!(parents.len(), tried, "each is below the driver's span of it");
    let frames: BTreeMap<&str, u32> =
        chunks.iter().map(|it| (it.fields["chunk"].as_str(), it.fields["frames"].parse().unwrap())).collect();
    assert_eq!((frames.len(), frames.values().sum::<u32>()), (4, FRAMES));
    let jobs = spans.iter().filter(|it| it.name == "job");
    assert!(jobs.into_iter().all(|it| it.fields["outcome"] == "done"));
    let done = spans.iter().filter(|it| it.name == "task" && it.fields["outcome"] == "done");
    assert_eq!(done.count(), 6);
    assert!(tried > 4 || spans.iter().all(|it| it.error.is_none()));
    let instances: BTreeSet<&str> =
        spans.iter().filter(|it| it.service == "vtp-node").map(|it| it.instance.as_str()).collect();
    assert!(instances.is_subset(&["node-1", "node-2"].into()), "{instances:?}");
    // Neither words of the command nor where anything is.
    let named: BTreeSet<&str> = spans.iter().flat_map(|it| it.fields.keys().map(String::as_str)).collect();
    let known = "attempt bytes chunk fleet frames input job outcome pool repair tasks tracks";
    assert_eq!(named, known.split(' ').collect());
}

#[test]
fn a_driver_that_is_killed_is_followed_by_one_that_goes_on_with_the_trace() {
    let (scene, collector) = (Scene::with_clip(178), Collector::start());
    let Some(up) = Up::start(&scene, &collector.url()) else { return };
    let line =
        "encode in.mp4 --out out --ladder mobile --chunk 4s --speed veryslow --no-measure --cluster fleet --cache none";
    let mut run = Command::new(VTP);
    run.args(line.split(' ')).current_dir(scene.path(".")).envs(environment(&collector.url()));
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let work = scene.path("fleet/node-1/vtp-node-work");
    until("a node works", || std::fs::read_dir(&work).map_or(0, Iterator::count) > 0);
    until("it is known that the index has been made", || {
        counted(&collector.seen()).contains_key(&("vtp-driver", "job"))
    });
    let driver = driver_in(&scene.path("fleet")).unwrap();
    assert!(Command::new("kill").args(["-KILL", &driver.to_string()]).status().unwrap().success());
    assert!(run.wait().unwrap().success());
    up.leave();
    let spans = collector.seen();
    is_one_tree(&spans);
    let counted = counted(&spans);
    assert_eq!(counted[&("vtp-driver", "job")], counted[&("vtp-stitcher", "wait")] + 2);
    assert_eq!(counted[&("vtp-stitcher", "ladder")], 1, "it is not made again");
    let of = |name: &str| spans.iter().find(|it| it.name == name).unwrap();
    let above = |it: &Seen| spans.iter().find(|other| other.span == it.parent).unwrap().clone();
    let (ladder, root) = (of("ladder"), spans.iter().find(|it| it.parent.is_empty()).unwrap());
    let (task, job) = (above(ladder), above(&above(ladder)));
    assert_eq!((task.name.as_str(), job.name.as_str(), &job.parent), ("task", "job", &root.span));
    assert!(job.start_ns > ladder.start_ns, "it is of a driver that was not there before");
}

/// The number of the driver's process, which runs in this folder.
fn driver_in(folder: &Path) -> Option<u32> {
    let folder = folder.canonicalize().unwrap();
    let mut numbers = std::fs::read_dir("/proc").unwrap().filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok());
    numbers.find(|pid: &u32| {
        let here = std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|it| it == folder);
        let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        here && words.contains("\0driver\0")
    })
}

#[test]
fn a_run_on_one_machine_has_a_trace_too_which_tells_of_failures_and_of_no_secret() {
    let (scene, collector) = (Scene::with_clip(FRAMES), Collector::start());
    vtp(&scene, &collector.url(), &format!("encode in.mp4 --out out {OPTIONS}")).ok();
    let made = collector.seen();
    is_one_tree(&made);
    let names: BTreeMap<&str, usize> = counted(&made).into_iter().map(|((_, name), times)| (name, times)).collect();
    let expected =
        [("chunk", 4), ("encode", 1), ("index", 1), ("proof", 1), ("publish", 1), ("sound", 1), ("stitch", 4)];
    assert_eq!(names, expected.into());
    std::fs::write(scene.path("no-video.mp4"), "nothing").unwrap();
    vtp(&scene, &collector.url(), &format!("encode no-video.mp4 --out other {OPTIONS}")).failed(3, "error 1001");
    let told =
        |from: usize| collector.seen().split_off(from).into_iter().find(|it| it.parent.is_empty()).unwrap().error;
    assert!(told(made.len()).unwrap().contains("no-video.mp4"), "{:?}", told(made.len()));
    let before = collector.seen().len();
    let line = format!("encode in.mp4 --out other {OPTIONS} --encrypt aes-128 --key-uri k --key file:secret-words");
    vtp(&scene, &collector.url(), &line).failed(2, "secret-words");
    assert!(!told(before).unwrap().contains("secret"), "{:?}", told(before));
}

#[test]
fn a_collector_that_is_of_no_use_costs_a_run_nothing_but_its_farewell() {
    let scene = Scene::with_clip(FRAMES);
    // Connections are accepted by the system, and nobody ever answers.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    for (url, out) in [(&*silent, "silent"), ("http://127.0.0.1:1", "gone")] {
        let started = Instant::now();
        let report = vtp(&scene, url, &format!("encode in.mp4 --out {out} {OPTIONS} --json")).json();
        let whole = started.elapsed().as_secs_f64();
        // Two seconds for what was not sent, and what beginning and ending take on a machine with other work.
        let besides = whole - report["timing"]["wall_s"].as_f64().unwrap();
        assert!(besides < 30.0, "{besides} s of {whole} are not of the run itself");
    }
}

#[test]
fn a_fleet_whose_collector_never_answers_makes_its_ladders() {
    let scene = Scene::with_clip(FRAMES);
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let Some(up) = Up::start(&scene, &url) else { return };
    let started = Instant::now();
    vtp(&scene, &url, &format!("encode in.mp4 --out there {OPTIONS} --cluster fleet")).ok();
    assert!(started.elapsed() < Duration::from_secs(250), "{:?}", started.elapsed());
    up.leave();
}

/// The span of a client, in the trace of this number.
const CLIENT: [u8; 8] = [7; 8];

/// How a client says that its request is below its span.
fn traceparent(trace: u8) -> String {
    format!("traceparent: 00-{}-{}-01", format!("{trace:02x}").repeat(16), "07".repeat(8))
}

/// The spans of a client's trace: its request, and all that is below it.
fn of_client(spans: &[Seen], trace: u8) -> (Seen, Vec<Seen>) {
    let these: Vec<Seen> = spans.iter().filter(|it| it.trace == [trace; 16]).cloned().collect();
    let known: BTreeSet<&[u8]> = these.iter().map(|it| it.span.as_slice()).collect();
    let (mut first, below): (Vec<Seen>, Vec<Seen>) = these.iter().cloned().partition(|it| it.parent == CLIENT);
    assert!(known.len() == these.len() && first.len() == 1, "{these:#?}");
    let orphans: Vec<&Seen> = below.iter().filter(|it| !known.contains(it.parent.as_slice())).collect();
    assert!(orphans.is_empty(), "{orphans:#?}");
    (first.remove(0), below)
}

/// What a span is called, and those above it, up to the request.
fn line(of: &Seen, spans: &[Seen]) -> String {
    let above = spans.iter().find(|it| it.span == of.parent);
    let name = format!("{} {}", of.service.trim_start_matches("vtp-"), of.name);
    above.map_or(name.clone(), |above| format!("{name} < {}", line(above, spans)))
}

#[test]
fn what_the_api_is_asked_for_is_in_the_trace_of_whoever_asks_down_to_each_chunk() {
    if !platform::can_be() {
        return;
    }
    let (scene, collector) = (Scene::new(), Collector::start());
    std::fs::copy(bundled(), scene.path("in.mp4")).unwrap();
    let platform = Platform::start(&scene, "", &environment(&collector.url()).map(|(name, it)| (name, it.to_owned())));
    let post = |trace: u8, place: &str, body: &Value| {
        let (said, body) = (traceparent(trace), body.to_string());
        let words = ["-X", "POST", "-H", "Content-Type: application/json", "-H", &said, "-d", &body];
        let (status, came) = platform.curl(&words, place);
        assert!((200..300).contains(&status), "{}", String::from_utf8_lossy(&came));
        serde_json::from_slice::<Value>(&came).unwrap()
    };
    let video = platform.upload("in.mp4");
    post(1, &format!("/v1/videos/{video}/complete"), &Value::Null);
    let output = |segment: u8| json!({ "ladder": ["mobile"], "speed": "ultrafast", "segment_s": segment });
    let job = post(2, &format!("/v1/videos/{video}/transcode"), &json!({ "output": output(1) }));
    let items = json!([{ "video_id": video }, { "video_id": video }]);
    let batch = post(3, "/v1/batches", &json!({ "items": items, "output": output(2) }));
    let malformed = traceparent(4).replace("07-01", "07-");
    platform.json(&["-H", &malformed], "/v1/videos", 200);
    let (job, batch) = (job["id"].as_str().unwrap(), batch["id"].as_str().unwrap());
    platform.curl(&["-N"], &format!("/v1/jobs/{job}/progress"));
    until("the batch has ended", || {
        std::thread::sleep(Duration::from_millis(700));
        platform.json(&[], &format!("/v1/batches/{batch}"), 200)["completed"] == 2
    });
    drop(platform);
    let spans = collector.seen();

    let (request, below) = of_client(&spans, 1);
    assert_eq!(request.fields["endpoint"], "/v1/videos/{id}/complete");
    let all = [&[request], &below[..]].concat();
    let look = below.iter().find(|it| it.service == "vtp-splitter").unwrap();
    assert_eq!(line(look, &all), "splitter index < driver task < driver job < control-plane request");

    let (request, below) = of_client(&spans, 2);
    println!("{}", tree(&[&[Seen { parent: Vec::new(), ..request.clone() }], &below[..]].concat()));
    assert_eq!((request.service.as_str(), request.name.as_str()), ("vtp-control-plane", "request"));
    let said = ["method", "endpoint", "status"].map(|name| request.fields[name].as_str());
    assert_eq!(said, ["POST", "/v1/videos/{id}/transcode", "202"]);
    let all = [&[request], &below[..]].concat();
    let of = |service: &str, name: &str| {
        let named = all.iter().filter(|it| it.service == service && it.name == name);
        named.map(|it| (it, line(it, &all))).collect::<Vec<_>>()
    };
    let jobs = of("vtp-control-plane", "job");
    assert_eq!((jobs.len(), jobs[0].1.as_str()), (1, "control-plane job < control-plane request"));
    assert_eq!((jobs[0].0.fields["job"].as_str(), jobs[0].0.fields["outcome"].as_str()), (job, "done"));
    let drives = of("vtp-control-plane", "drive");
    assert_eq!(
        (drives.len(), drives[0].1.as_str()),
        (1, "control-plane drive < control-plane job < control-plane request")
    );
    let ladder = "stitcher ladder < driver task < driver job < control-plane job < control-plane request";
    assert_eq!(of("vtp-stitcher", "ladder").iter().map(|it| it.1.as_str()).collect::<Vec<_>>(), [ladder]);
    let chunks = of("vtp-node", "chunk");
    let numbers: BTreeSet<&str> = chunks.iter().map(|it| it.0.fields["chunk"].as_str()).collect();
    assert_eq!(numbers.len(), of("vtp-stitcher", "stitch").len());
    assert!(numbers.len() > 1);
    let expected = format!("node chunk < driver task < driver job < stitcher wait < {ladder}");
    assert!(chunks.iter().all(|it| it.1 == expected), "{:?}", chunks[0].1);

    let (request, below) = of_client(&spans, 3);
    let jobs: Vec<&Seen> = below.iter().filter(|it| it.service == "vtp-control-plane" && it.name == "job").collect();
    assert!(jobs.len() == 2 && jobs.iter().all(|it| it.parent == request.span), "{jobs:#?}");
    let fleets: BTreeSet<&[u8]> = below.iter().filter(|it| it.name == "job").map(|it| it.parent.as_slice()).collect();
    assert!(jobs.iter().all(|it| fleets.contains(it.span.as_slice())), "{jobs:#?}");

    assert!(!spans.iter().any(|it| it.trace == [4; 16]), "what is malformed is no trace");
    let listed = spans.iter().find(|it| it.fields.get("endpoint").is_some_and(|it| it == "/v1/videos")).unwrap();
    assert!(listed.parent.is_empty() && listed.trace.len() == 16, "{listed:?}");
}
