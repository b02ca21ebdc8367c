//! The whole platform as a new user meets it: one command starts it, and what is uploaded is played a little later.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod common;
#[path = "common/platform.rs"]
mod platform;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Scene, VTP, bundled};
use platform::{Platform, can_be};
use serde_json::{Value, json};
use vtp_fleet::server;
use vtp_store::testing::S3Server;

fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(400), "it never came to it that {what}");
        // Not so often that the API has enough of it.
        std::thread::sleep(Duration::from_millis(700));
    }
}

#[test]
fn from_one_command_to_a_ladder_that_is_played() {
    if !can_be() {
        return;
    }
    let scene = Scene::new();
    std::fs::copy(bundled(), scene.path("film.mp4")).unwrap();
    std::fs::write(scene.path("text.mp4"), "no video at all").unwrap();
    std::fs::create_dir_all(scene.path("s3/films")).unwrap();
    let store = S3Server::start(&scene.path("s3")).unwrap();
    let mut environment = store.environment().to_vec();
    environment.extend([("VTP_LOG", "debug".to_owned()), ("VTP_LOG_FORMAT", "json".to_owned())]);
    let mut platform = Platform::start(&scene, "--store s3://films/vtp", &environment);
    let password = "ten letters or more";
    let signed_in =
        platform.post("/v1/auth/register", &json!({ "email": "ann@example.com", "password": password }), 201);
    let text = |of: &Value, name: &str| of[name].as_str().unwrap().to_owned();
    platform.token = text(&signed_in, "access_token");
    let key = platform.post("/v1/api-keys", &json!({ "name": "k", "scopes": ["read"] }), 201);
    let hook =
        platform.post("/v1/webhooks", &json!({ "url": "https://example.com/", "events": ["job.completed"] }), 201);
    let mut secrets = vec![password.to_owned(), text(&signed_in, "access_token"), text(&signed_in, "refresh_token")];
    secrets.extend([text(&key, "secret"), text(&hook, "secret")]);

    let text = platform.upload("text.mp4");
    let refused = platform.post(&format!("/v1/videos/{text}/complete"), &Value::Null, 422);
    assert_eq!(refused["code"], 1001);
    assert!(refused["detail"].as_str().unwrap().starts_with("text.mp4 is not a video file we read"), "{refused}");

    let video = platform.upload("film.mp4");
    let whole = platform.post(&format!("/v1/videos/{video}/complete"), &Value::Null, 200);
    assert_eq!((&whole["resolution"], &whole["upload_status"]), (&"1280x720".into(), &"uploaded".into()));
    let wanted = json!({ "output": { "ladder": ["mobile"], "speed": "ultrafast", "segment_s": 2 } });
    let planned = json!({ "video_id": video, "output": wanted["output"] });
    let plan = platform.post("/v1/plans", &planned, 200);
    let unfit = json!({ "video_id": video, "output": { "files": ["webm"] } });
    let refused = platform.post("/v1/plans", &unfit, 422);
    assert!(refused["detail"].as_str().unwrap().starts_with("webm holds none of the video"), "{refused}");
    let job = platform.post(&format!("/v1/videos/{video}/transcode"), &wanted, 202)["id"].as_str().unwrap().to_owned();
    let (status, stream) = platform.curl(&["-N"], &format!("/v1/jobs/{job}/progress"));
    let stream = String::from_utf8(stream).unwrap();
    assert_eq!(status, 200);
    let kinds: Vec<&str> = stream.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"queued"), Some(&"completed")), "{stream}");
    assert!(kinds.contains(&"progress"), "{stream}");

    let outputs = platform.json(&[], &format!("/v1/jobs/{job}/outputs"), 200);
    let master = outputs["data"][0]["playback_url"].as_str().unwrap();
    for output in outputs["data"].as_array().unwrap() {
        let url = output["playback_url"].as_str().unwrap();
        assert_eq!(platform.curl(&[], url).0, 200, "{output}");
    }
    let rendition = outputs["data"].as_array().unwrap().iter().find(|it| it["rendition"] == "mobile").unwrap();
    assert!((100_000..2_000_000).contains(&rendition["bitrate"].as_i64().unwrap()), "{rendition}");
    // Whoever plays it has no key.
    let streams = scene.run_ffprobe(&format!("{}{master}", platform.url));
    assert!(streams.contains("codec_name=h264") && streams.contains("codec_name=aac"), "{streams}");
    let report = platform.json(&[], &format!("/v1/jobs/{job}/report"), 200);
    assert_eq!((&report["proof"]["ok"], &report["proof"]["frames_out"]), (&true.into(), &240.into()));
    is_as_planned(&plan, &report);
    let took = platform.json(&[], &format!("/v1/jobs/{job}"), 200)["cpu_seconds"].as_f64().unwrap();
    let estimated = plan["estimate"]["cpu_seconds"].as_f64().unwrap();
    println!("{took:.1} CPU seconds were taken, and {estimated:.1} estimated");
    assert!((0.02..10.0).contains(&(estimated / took)), "{estimated} s were estimated, and {took} s taken");

    // A page says who it is in other words, which nobody logs either.
    let mut page = TcpStream::connect(platform.url.trim_start_matches("http://")).unwrap();
    let head = format!("GET /v1/jobs/{job}/progress HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket");
    let about = format!("sec-websocket-protocol: vtp.v1, vtp.bearer.{}", platform.token);
    let key = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    write!(page, "{head}\r\n{about}\r\n{key}\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    page.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    drop(page);

    // The same by the command that uses the API for people.
    let submitted = scene.vtp("submit film.mp4 --api platform --ladder mobile --speed ultrafast").ok();
    let lines: Vec<_> = submitted.stdout.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!(lines.iter().map(|it| it.0).collect::<Vec<_>>(), ["hls", "dash", "poster", "thumbnails"]);
    let play = format!("{}/play/", platform.url);
    assert!(lines.iter().all(|it| it.1.trim_start().starts_with(&play)), "{}", submitted.stdout);
    assert!(submitted.stderr.contains("100 %  uploading"), "{}", submitted.stderr);
    scene.vtp("submit text.mp4 --api platform").failed(3, "error 1001: text.mp4 is not a video file we read");
    let listed = scene.vtp("jobs --api platform").ok().stdout;
    assert_eq!(listed.matches("completed").count(), 1, "the other is somebody else's: {listed}");
    let watched = scene.vtp(&format!("watch {job} --api {} --key {}", platform.url, platform.token));
    assert!(watched.ok().stdout.contains(master));
    scene.vtp(&format!("watch {job} --api platform")).failed(2, "there is no such job");
    // Its report, and the page of it, are those that lie beside the ladder.
    let api = format!("--api {} --key {}", platform.url, platform.token);
    let told = scene.vtp(&format!("report {job} {api} --out page.html")).ok().stdout;
    assert!(told.contains("proven: 240 frames in, 240 out of every rendition"), "{told}");
    assert!(told.contains(&format!("play: {}{master}\n", platform.url)), "{told}");
    assert!(told.ends_with("\npage: page.html\n"), "{told}");
    let page = |path: &str| std::fs::read_to_string(scene.path(path)).unwrap();
    assert!(page("page.html") == page(&format!("s3/films/vtp/ladders/{job}/report.html")));
    assert_eq!(scene.vtp(&format!("report {job} {api} --json")).json(), report);
    scene.vtp(&format!("report {job} --api platform")).failed(2, "there is no such job");
    scene.vtp("jobs --api nowhere").failed(2, "start vtp up, or give its URL with --api");

    // It is what the command makes, byte for byte.
    scene.vtp("encode film.mp4 --out here --ladder mobile --speed ultrafast --segment 2s --progress none").ok();
    let made = |folder: &str| -> BTreeMap<String, u64> {
        let mut made = common::files(&scene.path(folder));
        // The server notes things for itself in hidden files.
        made.retain(|name, _| !name.starts_with("report.") && !name.starts_with('.'));
        made
    };
    assert_eq!(made(&format!("s3/films/vtp/ladders/{job}")), made("here"));
    assert!(common::files(&scene.path("platform/store")).is_empty(), "nothing of it is kept elsewhere");

    for name in ["api-key", "password", "postgres/password"] {
        secrets.push(std::fs::read_to_string(scene.path("platform").join(name)).unwrap().trim().to_owned());
    }
    let address = std::fs::read_to_string(scene.path("platform/address")).unwrap();
    secrets.push(address.lines().find_map(|line| line.strip_prefix("vtp:")).unwrap().to_owned());
    secrets.extend(store.environment().into_iter().filter(|it| it.0.contains("SECRET")).map(|it| it.1));
    secrets.push(master.split('/').nth(3).unwrap().to_owned());
    no_secret_is_in(&scene.path("platform/log"), &secrets);
}

/// What was made is what was planned.
fn is_as_planned(plan: &Value, report: &Value) {
    let list = |of: &Value| of.as_array().unwrap().clone();
    let whole: f64 = list(&plan["chunks"]).iter().map(|chunk| chunk["duration_s"].as_f64().unwrap()).sum();
    assert!((whole - report["source"]["duration_s"].as_f64().unwrap()).abs() < 1e-6, "{plan}");
    assert_eq!(
        (&plan["frames"], list(&plan["chunks"]).len()),
        (&240.into(), report["plan"]["chunks"].as_u64().unwrap() as usize)
    );
    assert!(plan["estimate"]["slots"].as_u64().unwrap() >= 1, "{plan}");
    let sizes = |of: &Value| -> Vec<[Value; 3]> {
        list(of).iter().map(|it| ["name", "width", "height"].map(|name| it[name].clone())).collect()
    };
    assert_eq!(sizes(&plan["renditions"]), sizes(&report["renditions"]));
}

/// None of what its processes say has one of these in it, however much they say; and what they say can be read.
fn no_secret_is_in(folder: &std::path::Path, secrets: &[String]) {
    assert!(secrets.len() >= 10 && secrets.iter().all(|it| it.len() >= 8), "{secrets:?}");
    let (mut lines, mut requests) = (0, 0);
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        for line in String::from_utf8_lossy(&std::fs::read(&path).unwrap()).lines() {
            let told = secrets.iter().find(|secret| line.contains(*secret));
            assert!(told.is_none(), "{} has a secret in it: {line}", path.display());
            lines += 1;
            let said: Value = serde_json::from_str(line).unwrap_or_default();
            let is_request = ["request_id", "user_id", "endpoint", "duration_ms", "trace_id", "span_id"]
                .iter()
                .all(|it| !said[it].is_null());
            requests += usize::from(is_request && said["service"] == "vtp-control-plane");
        }
    }
    assert!(lines > 100 && requests > 10, "{lines} lines, {requests} of requests");
}

#[test]
fn jobs_outlive_the_control_plane_and_the_platform() {
    if !can_be() {
        return;
    }
    let scene = Scene::with_clip(178);
    std::fs::rename(scene.path("in.mp4"), scene.path("film.mp4")).unwrap();
    let mut platform = Platform::start(&scene, "", &[]);
    let video = platform.upload("film.mp4");
    platform.post(&format!("/v1/videos/{video}/complete"), &Value::Null, 200);
    let wanted = json!({ "output": { "ladder": ["mobile"], "speed": "medium", "segment_s": 1 } });
    let jobs: Vec<String> = (0..2)
        .map(|_| {
            platform.post(&format!("/v1/videos/{video}/transcode"), &wanted, 202)["id"].as_str().unwrap().to_owned()
        })
        .collect();
    let status = |platform: &Platform<'_>, job: &str| {
        let (status, came) = platform.curl(&[], &format!("/v1/jobs/{job}"));
        if status == 200 { serde_json::from_slice::<Value>(&came).unwrap()["status"].clone() } else { Value::Null }
    };
    until("they are worked on", || jobs.iter().all(|job| status(&platform, job) == "processing"));
    let control = Command::new("pgrep").args(["-f", "control-plane --cluster"]).output().unwrap();
    let control = String::from_utf8(control.stdout).unwrap();
    let ours = control.lines().find(|pid| {
        let here = std::fs::read_link(format!("/proc/{pid}/cwd"));
        here.is_ok_and(|it| it == scene.path("platform").canonicalize().unwrap())
    });
    assert!(Command::new("kill").args(["-KILL", ours.unwrap()]).status().unwrap().success());
    // And then everything at once, as a power cut does.
    std::thread::sleep(Duration::from_secs(1));
    platform.up.kill().unwrap();
    platform.up.wait().unwrap();
    let again = Command::new(VTP)
        .args(["up", "--data", "platform", "--nodes", "1", "--http", "0", "--server"])
        .arg(server::binary().unwrap())
        .current_dir(scene.path("."))
        .stderr(Stdio::piped())
        .spawn();
    platform.up = again.unwrap();
    let mut told = BufReader::new(platform.up.stderr.take().unwrap());
    let (mut line, mut all) = (String::new(), String::new());
    while !line.starts_with("the API is there, at ") {
        line.clear();
        assert!(told.read_line(&mut line).unwrap() > 0, "{all}");
        all.push_str(&line);
    }
    platform.url = line["the API is there, at ".len()..].split("/v1").next().unwrap().to_owned();
    std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
    until("they are made", || jobs.iter().all(|job| status(&platform, job) == "completed"));
    scene.vtp("encode film.mp4 --out here --ladder mobile --speed medium --segment 1s --progress none").ok();
    let made = |folder: &str| -> BTreeMap<String, u64> {
        let mut made = common::files(&scene.path(folder));
        made.retain(|name, _| !name.starts_with("report."));
        made
    };
    for job in &jobs {
        assert_eq!(made(&format!("platform/store/ladders/{job}")), made("here"));
    }
}
