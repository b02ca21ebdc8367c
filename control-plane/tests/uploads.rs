//! Uploads as their users meet them: parts that are sent to addresses which need no token, past the API where the store is S3; and what
//! becomes of those that nobody goes on with. The test with boto3 is skipped where there is none; with `VTP_BOTO3=required` that is a
//! failure.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod fixture;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fixture::{CHUNK, Platform, Somebody, peers};
use serde_json::{Value, json};
use vtp_control_plane::Config;
use vtp_store::{Key, S3};

/// A file of so many bytes.
fn film(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 % 251) as u8).collect()
}

fn begin(ann: &Somebody<'_>, film: &[u8]) -> (String, Vec<String>) {
    let begun = ann.post("/v1/videos/upload", &json!({ "filename": "film.mp4", "file_size": film.len() })).ok(201);
    let urls = begun["upload_urls"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned());
    (begun["video_id"].as_str().unwrap().to_owned(), urls.collect())
}

fn missing(ann: &Somebody<'_>, video: &str) -> Value {
    ann.get(&format!("/v1/videos/{video}")).ok(200)["missing_parts"].clone()
}

/// Puts bytes as curl does; the status.
fn curl(url: &str, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("part");
    std::fs::write(&file, bytes).unwrap();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", "-T"]).arg(&file).arg(url);
    String::from_utf8(curl.output().unwrap().stdout).unwrap()
}

#[test]
fn parts_go_to_addresses_that_need_no_token_and_are_good_for_one_part_alone() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let film = film(2 * fixture::CHUNK + 77);
    let parts: Vec<&[u8]> = film.chunks(fixture::CHUNK).collect();
    let (video, urls) = begin(&ann, &film);
    let nobody = platform.nobody();
    nobody.put(&urls[0], parts[0]).ok(200);
    nobody.put(&urls[0].replace("part=0", "part=1"), parts[1]).problem(401);
    let (path, query) = urls[1].split_once("&expires=").unwrap();
    nobody.put(path, parts[1]).problem(401);
    nobody.put(&format!("{path}&expires=9{query}"), parts[1]).problem(401);
    nobody.put(&format!("{path}&expires={}", query.split('&').next().unwrap()), parts[1]).problem(422);
    let (other, _) = begin(&ann, &film);
    nobody.put(&urls[1].replace(&video, &other), parts[1]).problem(401);
    nobody.put(&urls[1], &parts[1][1..]).problem(422);
    let wanted = json!({ "parts": [2, 1] });
    let fresh = ann.post(&format!("/v1/videos/{video}/urls"), &wanted).ok(200);
    let told = |at: usize, name: &str| fresh["data"][at][name].clone();
    assert_eq!((told(0, "part"), told(0, "size"), told(1, "part")), (2.into(), 77.into(), 1.into()));
    nobody.put(told(0, "url").as_str().unwrap(), parts[2]).ok(200);
    assert_eq!(missing(&ann, &video), json!([1]));
    let all = ann.post(&format!("/v1/videos/{video}/urls"), &json!({})).ok(200);
    assert_eq!((all["data"].as_array().unwrap().len(), &all["data"][0]["part"]), (1, &1.into()));
    ann.post(&format!("/v1/videos/{video}/urls"), &json!({ "parts": [3] })).problem(422);
    ann.post(&format!("/v1/videos/{video}/urls"), &json!({ "parts": ["0"] })).problem(422);
    ann.post(&format!("/v1/videos/{video}/urls"), &json!({ "parts": vec![1; 101] })).problem(422);
    let twice = ann.post(&format!("/v1/videos/{video}/urls"), &json!({ "parts": [1, 1] })).ok(200);
    assert_eq!(twice["data"].as_array().unwrap().len(), 1);
    nobody.put(all["data"][0]["url"].as_str().unwrap(), parts[1]).ok(200);
    ann.post(&format!("/v1/videos/{video}/complete"), &Value::Null).ok(200);
    assert!(std::fs::read(platform.stored(&format!("sources/{video}/source.mp4"))).unwrap() == film);
    nobody.put(&urls[1], parts[1]).problem(409);
    ann.post(&format!("/v1/videos/{video}/urls"), &json!({})).problem(409);
}

#[test]
fn addresses_say_where_the_api_is_if_it_knows() {
    let public_url = Some("https://video.example.com/".parse().unwrap());
    let platform = Platform::without_limits(|config| Config { public_url, ..config });
    let ann = platform.register("ann@example.com");
    let (video, urls) = begin(&ann, b"video");
    assert!(urls[0].starts_with(&format!("https://video.example.com/v1/videos/{video}/chunk?part=0&")), "{urls:?}");
    let begun = ann.send_with("POST", "/v1/tus", b"", &[("tus-resumable", "1.0.0"), ("upload-length", "5")]);
    assert!(begun.header("location").starts_with("https://video.example.com/v1/tus/"));
}

#[test]
fn on_s3_parts_go_past_the_api_and_what_lies_in_the_store_counts() {
    let platform = Platform::on_s3();
    let ann = platform.register("ann@example.com");
    let film = film((5 << 20) + 77);
    let parts: Vec<&[u8]> = film.chunks(5 << 20).collect();
    let (video, urls) = begin(&ann, &film);
    assert!(urls.iter().all(|it| it.starts_with("http://") && it.contains("X-Amz-Signature=")), "{urls:?}");
    assert_eq!(curl(&urls[1], b"of another length"), "403");
    assert_eq!(missing(&ann, &video), json!([0, 1]));
    assert_eq!(curl(&urls[1], parts[1]), "200");
    assert_eq!(missing(&ann, &video), json!([0]));
    let place = format!("/v1/videos/{video}");
    let refused = ann.post(&format!("{place}/complete"), &Value::Null).problem(409);
    assert_eq!(refused["detail"], "1 parts are missing: 0");
    // What does not have the length of its part is none, however it came there.
    let first = platform.stored(&format!("uploads/{video}/00000"));
    std::fs::write(&first, b"short").unwrap();
    assert_eq!(missing(&ann, &video), json!([0]));
    let fresh = ann.post(&format!("{place}/urls"), &json!({})).ok(200);
    assert_eq!(curl(fresh["data"][0]["url"].as_str().unwrap(), parts[0]), "200");
    // Both ways may be mixed.
    ann.put(&format!("{place}/chunk?part=1"), parts[1]).ok(200);
    let whole = ann.post(&format!("{place}/complete"), &Value::Null).ok(200);
    assert_eq!((&whole["upload_status"], &whole["file_size"]), (&"uploaded".into(), &film.len().into()));
    let source = platform.stored(&format!("sources/{video}/source.mp4"));
    assert!(std::fs::read(&source).unwrap() == film);
    assert!(!first.exists());
    // An address is good yet: what is put there is no part of anything, and goes when no more can come.
    assert_eq!(curl(&urls[1], &[0; 77]), "200");
    assert!(std::fs::read(&source).unwrap() == film);
    let late = platform.stored(&format!("uploads/{video}/00001"));
    std::thread::sleep(Duration::from_secs(3));
    assert!(late.exists(), "more may come");
    platform.with_database(async |db| {
        sqlx::query("UPDATE videos SET urls_until = now() - interval '1 hour'").execute(&db).await.unwrap();
    });
    fixture::until("what came late is gone", || !late.exists());
    assert!(source.exists());
}

/// Has boto3 do something in the store; what came of it.
fn boto3(python: &Path, platform: &Platform, told: &Value) -> Value {
    let mut client = Command::new(python);
    client.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/boto3/client.py")).arg(told.to_string());
    client.envs(platform.s3().environment()).env_remove("AWS_PROFILE").env("NO_PROXY", "127.0.0.1");
    client.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    let output = client.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn boto3_uploads_by_the_addresses_and_reads_the_source_and_s3_refuses_what_is_not_as_they_say() {
    let imports = |python: &Path| {
        Command::new(python).args(["-c", "import boto3"]).output().is_ok_and(|output| output.status.success())
    };
    let Some(python) = peers::find("boto3", "python3", imports) else { return };
    let platform = Platform::on_s3();
    let ann = platform.register("ann@example.com");
    let (part, film) = (5 << 20, film((10 << 20) + 77));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("film.mp4");
    std::fs::write(&file, &film).unwrap();
    let (video, urls) = begin(&ann, &film);
    let put = |url: &str, from: usize, bytes: usize| json!({ "url": url, "file": file, "from": from, "bytes": bytes });
    // One that is made as the others are, but good for a second.
    let first = Key::new(format!("vtp/uploads/{video}/00000")).unwrap();
    let bucket = S3::bucket(platform.s3().client(), "films");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let brief = runtime.block_on(bucket.presign_put(&first, part as u64, Duration::from_secs(1))).unwrap();
    let mut late = put(&brief, 0, part);
    late["at"] = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() + 2.1).into();
    let (rest, digit) = urls[0].split_at(urls[0].len() - 1);
    assert!(rest.contains("&X-Amz-Signature="), "it ends with its signature: {rest}");
    let forged = format!("{rest}{}", if digit == "0" { "1" } else { "0" });
    let odd = [put(&urls[0], 0, part - 1), put(&urls[0], 0, part + 1), put(&forged, 0, part), late];
    let refused = |code: &str| json!({ "status": 403, "code": code });
    let [unsigned, over] = ["SignatureDoesNotMatch", "AccessDenied"].map(refused);
    assert_eq!(boto3(&python, &platform, &json!({ "put": odd })), json!([unsigned, unsigned, unsigned, over]));
    assert_eq!(missing(&ann, &video), json!([0, 1, 2]));

    let all = [put(&urls[0], 0, part), put(&urls[1], part, part), put(&urls[2], 2 * part, 77)];
    let taken = json!({ "status": 200, "code": null });
    assert_eq!(boto3(&python, &platform, &json!({ "put": all })), json!([taken, taken, taken]));
    assert_eq!(missing(&ann, &video), json!([]));
    let whole = ann.post(&format!("/v1/videos/{video}/complete"), &Value::Null).ok(200);
    assert_eq!(whole["upload_status"], "uploaded");
    let source = json!({ "bucket": "films", "key": format!("vtp/sources/{video}/source.mp4") });
    let hash = ring::digest::digest(&ring::digest::SHA256, &film);
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let read = boto3(&python, &platform, &json!({ "read": source }));
    assert_eq!(read, json!({ "bytes": film.len(), "sha256": hash }));
}

#[test]
fn what_is_put_past_the_api_under_a_hash_has_to_have_it() {
    let platform = Platform::on_s3();
    let ann = platform.register("ann@example.com");
    let wanted = json!({ "filename": "a.mp4", "file_size": 5, "sha256": "00".repeat(32) });
    let begun = ann.post("/v1/videos/upload", &wanted).ok(201);
    assert_eq!(curl(begun["upload_urls"][0].as_str().unwrap(), b"video"), "200");
    let place = format!("/v1/videos/{}/complete", begun["video_id"].as_str().unwrap());
    assert_eq!(ann.post(&place, &Value::Null).problem(422)["code"], 1005);
}

#[test]
fn an_upload_that_nobody_goes_on_with_ends_and_gives_back_its_room() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let whole = ann.uploaded("film.mp4");
    let (old, urls) = begin(&ann, b"video");
    let (young, _) = begin(&ann, b"video");
    platform.with_database(async |db| {
        let change = "UPDATE videos SET upload_until = now() - interval '1 s' WHERE id <> $1::uuid";
        sqlx::query(change).bind(&young).execute(&db).await.unwrap();
    });
    fixture::until("it is given up", || ann.get(&format!("/v1/videos/{old}")).status() == 404);
    platform.nobody().put(&urls[0], b"video").problem(404);
    ann.get(&format!("/v1/videos/{young}")).ok(200);
    assert_eq!(ann.get(&format!("/v1/videos/{whole}")).ok(200)["upload_status"], "uploaded");
}

#[test]
fn what_is_no_playlist_is_played_from_s3_itself_and_addresses_are_those_of_the_cdn() {
    let platform = Platform::on_s3_with(|config| Config {
        playback_url: Some("https://cdn.example.com".parse().unwrap()),
        playback_redirects: true,
        ..config
    });
    let ann = platform.register("ann@example.com");
    let (video, _) = begin(&ann, b"a film");
    ann.put(&format!("/v1/videos/{video}/chunk?part=0"), b"a film").ok(200);
    ann.post(&format!("/v1/videos/{video}/complete"), &Value::Null).ok(200);
    let job = ann.transcode(&video);
    fixture::until("it is made", || ann.get(&format!("/v1/jobs/{job}")).ok(200)["status"] == "completed");
    let outputs = ann.get(&format!("/v1/jobs/{job}/outputs")).ok(200);
    let master = outputs["data"][0]["playback_url"].as_str().unwrap();
    let master = master.strip_prefix("https://cdn.example.com").unwrap();
    assert_eq!(platform.nobody().get(master).text(200), "#EXTM3U\n", "it is of use here alone");
    let segment = master.replace("master.m3u8", "mobile/seg-00000.m4s");
    let sent_on = platform.nobody().get(&segment);
    assert_eq!(sent_on.header("cache-control"), "public, max-age=1800");
    assert_eq!(sent_on.header("access-control-allow-origin"), "*");
    let elsewhere = sent_on.header("location");
    assert_eq!(sent_on.status(), 307);
    let mut answer = ureq::get(&elsewhere).header("range", "bytes=3-6").call().unwrap();
    assert_eq!((answer.status().as_u16(), &*answer.body_mut().read_to_string().unwrap()), (206, "3456"));
    assert!(ureq::get(elsewhere.replace("seg-00000", "seg-00001")).call().is_err(), "it is good for one object");
    platform.nobody().get(&master.replace("master.m3u8", "mobile/seg-00001.m4s")).problem(404);
    assert_eq!(platform.nobody().send("HEAD", &segment, &Value::Null).status(), 200);
}

#[test]
fn a_part_that_is_not_wanted_is_refused_before_it_is_sent() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let platform = Platform::idle();
    let ann = platform.register("ann@example.com");
    let (video, urls) = begin(&ann, &film(CHUNK));
    let place = urls[0].clone();
    let answer = |place: &str, length: usize| {
        let mut stream = std::net::TcpStream::connect(platform.host()).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        write!(stream, "PUT {place} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(answer(&format!("/v1/videos/{video}/chunk?part=0"), CHUNK), "401", "a stranger's");
    assert_eq!(answer(&place, CHUNK + 1), "422", "too long");
    assert_eq!(answer(&place.replace("part=0", "part=1"), CHUNK), "401", "another's");
    ann.put(&urls[0], &film(CHUNK)).ok(200);
}
