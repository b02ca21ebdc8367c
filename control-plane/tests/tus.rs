//! Uploads by tus: as its clients send them, broken off and gone on with, over HTTP and a real Postgres; and with tus-js-client. That
//! is skipped where there is none; with `VTP_TUS=required` that is a failure.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod fixture;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fixture::{Answer, CHUNK, Platform, Somebody};
use ring::digest;
use serde_json::{Value, json};

const VERSION: (&str, &str) = ("tus-resumable", "1.0.0");
const BYTES: (&str, &str) = ("content-type", "application/offset+octet-stream");

/// A file of so many bytes.
fn film(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 % 251) as u8).collect()
}

fn begin(ann: &Somebody<'_>, bytes: usize) -> String {
    let name = format!("filename {}", STANDARD.encode("film.mp4"));
    let length = bytes.to_string();
    let headers = [VERSION, ("upload-length", &length), ("upload-metadata", &name)];
    let begun = ann.send_with("POST", "/v1/tus", b"", &headers);
    begun.text(201);
    begun.header("location")
}

fn send(ann: &Somebody<'_>, place: &str, offset: usize, bytes: &[u8], more: &[(&str, &str)]) -> Answer {
    let offset = offset.to_string();
    ann.send_with("PATCH", place, bytes, &[&[VERSION, BYTES, ("upload-offset", &offset)], more].concat())
}

/// Where an upload is.
fn offset(ann: &Somebody<'_>, place: &str) -> usize {
    let answer = ann.send_with("HEAD", place, b"", &[VERSION]);
    answer.text(200);
    answer.header("upload-offset").parse().unwrap()
}

fn video(place: &str) -> &str {
    place.rsplit('/').next().unwrap()
}

fn status(ann: &Somebody<'_>, place: &str) -> Value {
    ann.get(&format!("/v1/videos/{}", video(place))).ok(200)["upload_status"].clone()
}

#[test]
fn an_upload_comes_in_requests_of_any_length_and_is_completed_by_its_last_byte() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let film = film(2 * CHUNK + 77);
    let place = begin(&ann, film.len());
    let cuts = [0, 5, CHUNK - 1, CHUNK + 1, 2 * CHUNK, film.len()];
    for two in cuts.windows(2) {
        let sent = send(&ann, &place, two[0], &film[two[0]..two[1]], &[]);
        assert_eq!((sent.text(204), sent.header("upload-offset")), (String::new(), two[1].to_string()));
        assert_eq!((sent.header("tus-resumable"), sent.header("cache-control")), ("1.0.0".into(), "no-store".into()));
        assert_eq!(sent.header("upload-expires").is_empty(), two[1] == film.len());
        assert_eq!(offset(&ann, &place), two[1]);
    }
    fixture::until("it is checked", || status(&ann, &place) == "uploaded");
    let video = video(&place);
    assert!(std::fs::read(platform.stored(&format!("sources/{video}/source.mp4"))).unwrap() == film);
    fixture::until("what it came in is gone", || !platform.stored(&format!("uploads/{video}")).exists());
    let told = ann.send_with("HEAD", &place, b"", &[VERSION]);
    let said = (told.header("upload-length"), told.header("upload-metadata"));
    assert_eq!(said, (film.len().to_string(), format!("filename {}", STANDARD.encode("film.mp4"))));
    // Whoever did not hear that it is over hears it.
    send(&ann, &place, film.len(), b"", &[]).text(204);
    send(&ann, &place, film.len(), b"x", &[]).problem(413);
    ann.send_with("DELETE", &place, b"", &[VERSION]).problem(409);
}

#[test]
fn what_does_not_fit_is_refused_with_the_protocol_s_numbers_and_changes_nothing() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let place = begin(&ann, 10);
    send(&ann, &place, 0, b"0123", &[]).text(204);
    assert_eq!(send(&ann, &place, 0, b"0123", &[]).problem(409)["retry"], "after_change");
    send(&ann, &place, 4, b"4567890", &[]).problem(413);
    let refused = ann.send_with("PATCH", &place, b"4", &[BYTES, ("upload-offset", "4")]);
    assert_eq!(refused.header("tus-version"), "1.0.0");
    refused.problem(412);
    ann.send_with("PATCH", &place, b"4", &[VERSION, ("content-type", "video/mp4"), ("upload-offset", "4")])
        .problem(415);
    ann.send_with("PATCH", &place, b"4", &[VERSION, BYTES]).problem(422);
    send(&ann, &place, 4, b"4", &[("upload-checksum", "md5 AAAA")]).problem(400);
    let sum =
        |bytes: &[u8]| format!("sha1 {}", STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes)));
    assert_eq!(send(&ann, &place, 4, b"xyz", &[("upload-checksum", &sum(b"456"))]).problem(460)["retry"], "later");
    assert_eq!(offset(&ann, &place), 4);
    send(&ann, &place, 4, b"456", &[("upload-checksum", &sum(b"456"))]).text(204);
    let begin = |headers: &[(&str, &str)]| ann.send_with("POST", "/v1/tus", b"", &[&[VERSION], headers].concat());
    begin(&[]).problem(422);
    begin(&[("upload-length", "0")]).problem(422);
    begin(&[("upload-length", "5"), ("upload-metadata", "filename *")]).problem(422);
    begin(&[("upload-defer-length", "1")]).problem(422);
    assert_eq!(begin(&[("upload-length", &(20_u64 << 30).to_string())]).problem(413)["code"], 1002);
    assert_eq!(begin(&[("upload-length", &(2_u64 << 30).to_string())]).problem(507)["code"], 1004);
    // It is not sent in other ways besides.
    let other = format!("/v1/videos/{}", video(&place));
    ann.put(&format!("{other}/chunk?part=0"), b"0123456789").problem(409);
    ann.post(&format!("{other}/urls"), &json!({})).problem(409);
    ann.post(&format!("{other}/complete"), &Value::Null).problem(409);
    assert_eq!(ann.get(&other).ok(200)["missing_parts"], json!([0]));
    let plain = ann.upload("film.mp4", b"video");
    ann.send_with("HEAD", &format!("/v1/tus/{plain}"), b"", &[VERSION]).text(404);
    send(&ann, &place, 7, b"789", &[]).text(204);
    fixture::until("it is checked", || status(&ann, &place) == "uploaded");
    assert_eq!(
        std::fs::read(platform.stored(&format!("sources/{}/source.mp4", video(&place)))).unwrap(),
        b"0123456789"
    );
}

#[test]
fn parts_that_a_wrong_checksum_has_spoilt_are_sent_again_and_right() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let film = film(2 * CHUNK + 77);
    let place = begin(&ann, film.len());
    send(&ann, &place, 0, &film[..100], &[]).text(204);
    let sum = format!("sha256 {}", STANDARD.encode(digest::digest(&digest::SHA256, &film[100..])));
    let spoilt = vec![7; film.len() - 100];
    send(&ann, &place, 100, &spoilt, &[("upload-checksum", &sum)]).problem(460);
    assert_eq!((offset(&ann, &place), status(&ann, &place)), (100, "uploading".into()));
    ann.post(&format!("/v1/videos/{}/complete", video(&place)), &Value::Null).problem(409);
    send(&ann, &place, 100, &film[100..], &[("upload-checksum", &sum)]).text(204);
    fixture::until("it is checked", || status(&ann, &place) == "uploaded");
    assert!(std::fs::read(platform.stored(&format!("sources/{}/source.mp4", video(&place)))).unwrap() == film);
}

/// A request whose body ends too soon, at this replica; it is under way as long as this lives.
fn half(host: &str, ann: &Somebody<'_>, place: &str, offset: usize, bytes: &[u8], length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(host).unwrap();
    let token = &ann.token;
    let head = format!("PATCH {place} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ntus-resumable: 1.0.0");
    let about = format!("content-type: application/offset+octet-stream\r\nupload-offset: {offset}");
    write!(stream, "{head}\r\n{about}\r\ncontent-length: {length}\r\n\r\n").unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

#[test]
fn one_request_at_a_time_sends_bytes_and_what_a_broken_one_has_sent_is_kept() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let other = ann.at(platform.another());
    let film = film(2 * CHUNK + 77);
    let place = begin(&ann, film.len());
    let came = CHUNK + CHUNK / 2;
    let begun = half(&platform.host(), &ann, &place, 0, &film[..came], film.len());
    fixture::until("a whole part is kept", || offset(&ann, &place) == CHUNK);
    let locked = send(&other, &place, CHUNK, &film[CHUNK..], &[]);
    assert_eq!((locked.header("retry-after"), locked.problem(423)["retry"].clone()), ("1".into(), "later".into()));
    drop(begun);
    fixture::until("what came is kept", || offset(&other, &place) == came);
    send(&other, &place, came, &film[came..], &[]).text(204);
    fixture::until("it is checked", || status(&ann, &place) == "uploaded");
    assert!(std::fs::read(platform.stored(&format!("sources/{}/source.mp4", video(&place)))).unwrap() == film);
}

#[test]
fn an_upload_whose_replica_was_killed_goes_on_at_another_where_its_bytes_are_kept() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let film = film(2 * CHUNK + 77);
    let place = begin(&ann, film.len());
    send(&ann, &place, 0, &film[..10], &[]).text(204);
    let begun = half(&platform.host(), &ann, &place, 10, &film[10..CHUNK + 10], film.len() - 10);
    fixture::until("a whole part is kept", || offset(&ann, &place) == CHUNK);
    platform.replace();
    drop(begun);
    // Who held it is gone, and is not waited for longer than they said.
    fixture::until("it is free", || send(&ann, &place, CHUNK, &film[CHUNK..], &[]).status() == 204);
    fixture::until("it is checked", || status(&ann, &place) == "uploaded");
    assert!(std::fs::read(platform.stored(&format!("sources/{}/source.mp4", video(&place)))).unwrap() == film);
}

#[test]
fn an_upload_begins_with_its_bytes_ends_when_it_is_not_wanted_and_is_checked_whatever_happens() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let begun = ann.send_with("POST", "/v1/tus", b"vid", &[VERSION, BYTES, ("upload-length", "5")]);
    begun.text(201);
    let place = begun.header("location");
    assert_eq!((begun.header("upload-offset"), offset(&ann, &place)), ("3".to_owned(), 3));
    let wrong = format!("sha256 {}", STANDARD.encode([0; 32]));
    let spoilt = [VERSION, BYTES, ("upload-length", "5"), ("upload-checksum", &wrong)];
    let spoilt = ann.send_with("POST", "/v1/tus", b"video", &spoilt);
    assert_eq!((spoilt.text(201), spoilt.header("upload-offset")), (String::new(), "0".to_owned()));
    send(&ann, &spoilt.header("location"), 0, b"video", &[]).text(204);
    // From where there is no other method than POST.
    let overriding = [VERSION, BYTES, ("upload-offset", "3"), ("x-http-method-override", "PATCH")];
    ann.send_with("POST", &place, b"e", &overriding).text(204);
    let refused = ann.send_with("POST", &place, b"e", &[VERSION]);
    assert!(refused.header("allow").contains("PATCH"));
    refused.problem(405);
    let rest = platform.stored(&format!("uploads/{}", video(&place)));
    assert_eq!(std::fs::read_dir(&rest).unwrap().count(), 1, "only the last beginning of a part is kept");
    ann.send_with("DELETE", &place, b"", &[VERSION]).text(204);
    ann.send_with("HEAD", &place, b"", &[VERSION]).text(404);
    ann.get(&format!("/v1/videos/{}", video(&place))).problem(404);
    assert!(!rest.exists());
    // As if the replica had been killed when the last byte was kept.
    let place = begin(&ann, 5);
    let part = platform.stored(&format!("uploads/{}/00000", video(&place)));
    std::fs::create_dir_all(part.parent().unwrap()).unwrap();
    std::fs::write(part, b"video").unwrap();
    platform.with_database(async |db| {
        let change = "UPDATE tus_uploads SET received = 5 WHERE video_id = $1::uuid";
        sqlx::query(change).bind(video(&place)).execute(&db).await.unwrap();
    });
    fixture::until("it is checked", || status(&ann, &place) == "uploaded");
}

#[test]
fn pages_of_other_origins_may_upload_and_do_nothing_else() {
    let platform = Platform::start();
    let origin = ("origin", "https://page.example");
    let asks =
        [origin, ("access-control-request-method", "PATCH"), ("access-control-request-headers", "upload-offset")];
    let nobody = platform.nobody();
    let allowed = nobody.send_with("OPTIONS", "/v1/tus/x", b"", &asks);
    allowed.text(204);
    assert_eq!(allowed.header("access-control-allow-origin"), "*");
    assert!(allowed.header("access-control-allow-methods").contains("PATCH"));
    let headers = allowed.header("access-control-allow-headers");
    assert!(headers.contains("Upload-Offset") && headers.contains("Authorization"), "{headers}");
    let spoken = nobody.send_with("OPTIONS", "/v1/tus", b"", &[origin]);
    spoken.text(204);
    assert_eq!(
        (spoken.header("tus-version"), spoken.header("tus-checksum-algorithm")),
        ("1.0.0".into(), "sha1,sha256".into())
    );
    assert!(spoken.header("tus-extension").contains("creation-with-upload"));
    assert_eq!(spoken.header("tus-max-size"), (CHUNK as u64 * 10_000).to_string());
    // Also what goes wrong is heard.
    let refused = nobody.send_with("PATCH", "/v1/tus/x", b"", &[VERSION, origin]);
    assert!(refused.header("access-control-expose-headers").contains("Upload-Offset"));
    assert_eq!(refused.header("tus-resumable"), "1.0.0");
    refused.problem(401);
    let other = nobody.send_with("GET", "/v1/videos", b"", &[origin]);
    assert_eq!(other.header("access-control-allow-origin"), "");
}

/// Has tus-js-client upload as told; what came of it.
fn client(told: &Value) -> Value {
    let mut node = Command::new("node");
    node.arg(folder().join("upload.js")).arg(told.to_string());
    let output = node.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tus"))
}

/// Whether there is Node.js and the client.
fn is_there() -> bool {
    let is_node = Command::new("node").arg("--version").output().is_ok_and(|it| it.status.success());
    let is_there = is_node && folder().join("node_modules/tus-js-client").is_dir();
    if !is_there {
        let required = std::env::var("VTP_TUS").is_ok_and(|it| it == "required");
        assert!(!required, "no tus-js-client: run make tus");
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        // Past the test harness, which hides what a passing test prints.
        writeln!(std::io::stderr().lock(), "SKIPPED {name}: no tus-js-client: run make tus").unwrap();
    }
    is_there
}

/// The parts come in S3 and in a folder.
fn tus_js_client_is_interrupted_and_goes_on(platform: &Platform) {
    let ann = platform.register("ann@example.com");
    let film = film((11 << 20) + 77);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("film.mp4");
    std::fs::write(&file, &film).unwrap();
    let hash = digest::digest(&digest::SHA256, &film);
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut told = json!({
        "endpoint": platform.place("/v1/tus"), "token": ann.token, "file": file, "chunk": 3 << 20,
        "metadata": { "filename": "film.mp4", "filetype": "video/mp4", "sha256": hash },
        "abortAfter": 7 << 20,
    });
    let first = client(&told);
    assert_eq!(first["end"], "aborted", "{first}");
    let place = first["url"].as_str().unwrap().to_owned();
    let place = &place[place.find("/v1/").unwrap()..];
    let kept = offset(&ann, place);
    assert!(kept >= 6 << 20 && kept < film.len(), "{kept} {first}");
    assert_eq!(ann.get(&format!("/v1/videos/{}", video(place))).ok(200)["original_filename"], "film.mp4");
    told["url"] = first["url"].clone();
    told.as_object_mut().unwrap().remove("abortAfter");
    let second = client(&told);
    assert_eq!(second["end"], "done", "{second}");
    let requests = second["requests"].as_array().unwrap();
    assert_eq!((&requests[0]["method"], &requests[0]["status"]), (&"HEAD".into(), &200.into()), "{second}");
    assert_eq!(requests[1]["offset"].to_string().trim_matches('"'), kept.to_string(), "{second}");
    assert!(requests[1..].iter().all(|it| it["method"] == "PATCH" && it["status"] == 204), "{second}");
    fixture::until("it is checked", || status(&ann, place) == "uploaded");
    assert!(std::fs::read(platform.stored(&format!("sources/{}/source.mp4", video(place)))).unwrap() == film);
}

#[test]
fn tus_js_client_goes_on_where_it_was_interrupted() {
    if is_there() {
        tus_js_client_is_interrupted_and_goes_on(&Platform::start());
    }
}

#[test]
fn tus_js_client_goes_on_where_it_was_interrupted_also_on_s3() {
    if is_there() {
        tus_js_client_is_interrupted_and_goes_on(&Platform::on_s3());
    }
}

#[test]
fn bytes_of_which_nobody_said_how_many_are_held_against_the_length_as_they_come() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let place = begin(&ann, 5);
    let chunked = |body: &str| {
        let mut stream = TcpStream::connect(platform.host()).unwrap();
        let token = &ann.token;
        let head =
            format!("PATCH {place} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ntus-resumable: 1.0.0");
        let about = "content-type: application/offset+octet-stream\r\nupload-offset: 0\r\nconnection: close";
        write!(stream, "{head}\r\n{about}\r\ntransfer-encoding: chunked\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(chunked("6\r\nvideos\r\n0\r\n\r\n"), "413");
    assert_eq!(offset(&ann, &place), 0);
    assert_eq!(chunked("3\r\nvid\r\n2\r\neo\r\n0\r\n\r\n"), "204");
    fixture::until("it is checked", || status(&ann, &place) == "uploaded");
}
