//! Sources by URL: fetched from a real server of HTTP, which breaks off, hangs, leads astray and changes what it has.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod fixture;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fixture::origin::{Asked, Origin, Reply};
use fixture::{CHUNK, Platform, Somebody, until};
use serde_json::{Value, json};
use vtp_control_plane::Config;
use vtp_control_plane::db::fetches;

/// One that may fetch from this machine.
fn platform_with(change: impl FnOnce(Config) -> Config) -> Platform {
    Platform::without_limits(|config| {
        change(Config {
            outside_allowed: vec!["127.0.0.1".parse().unwrap()],
            outside_http: true,
            fetch_stall_s: 2,
            ..config
        })
    })
}

fn platform() -> Platform {
    platform_with(|config| config)
}

/// So many bytes, none like another.
fn film(length: usize, first: u8) -> Arc<Vec<u8>> {
    Arc::new((0..length).map(|at| first.wrapping_add((at * 31 % 251) as u8)).collect())
}

fn ask(somebody: &Somebody<'_>, url: &str) -> String {
    let video = somebody.post("/v1/videos", &json!({ "url": url })).ok(201);
    video["id"].as_str().unwrap().to_owned()
}

fn get(somebody: &Somebody<'_>, video: &str) -> Value {
    somebody.get(&format!("/v1/videos/{video}")).ok(200)
}

fn until_it_is(somebody: &Somebody<'_>, video: &str, status: &str) -> Value {
    until(&format!("it is {status}"), || get(somebody, video)["upload_status"] == status);
    get(somebody, video)
}

#[test]
fn a_source_is_fetched_from_its_url_and_is_what_lies_there() {
    let (platform, film) = (platform(), film(2 * CHUNK + 77, 0));
    let content = Arc::clone(&film);
    let origin = Origin::start(move |asked, _| match &*asked.path {
        "/1" => Reply::new(301, &[("location", "/2")], b""),
        "/2" => Reply::new(302, &[("location", "a/../films/My%20Film.MP4?signature=secret")], b""),
        _ => Reply::file(asked, &content, "\"a\""),
    });
    let ann = platform.register("ann@example.com");
    let named = json!({ "url": origin.url("/1"), "filename": "Film.mkv" });
    let video = ann.post("/v1/videos", &named).ok(201);
    assert_eq!((&video["upload_status"], &video["file_size"]), (&"pending".into(), &Value::Null));
    let id = video["id"].as_str().unwrap();
    let whole = until_it_is(&ann, id, "uploaded");
    let size: Value = film.len().into();
    assert_eq!((&whole["file_size"], &whole["fetched_bytes"]), (&size, &size));
    assert_eq!((&whole["original_filename"], &whole["resolution"]), (&"Film.mkv".into(), &"1280x720".into()));
    assert!(std::fs::read(platform.stored(&format!("sources/{id}/source.mkv"))).unwrap() == *film);
    assert!(!platform.stored(&format!("uploads/{id}")).exists(), "parts are not kept");
    let straight = ask(&ann, &origin.url("/films/My%20Film.MP4?signature=secret#x"));
    let whole = until_it_is(&ann, &straight, "uploaded");
    assert_eq!(whole["original_filename"], "My Film.MP4");
    assert_eq!(whole["source_url"], origin.url("/films/My%20Film.MP4"), "what is secret is not told");
    let left: i64 = platform.with_database(async |db| {
        let left = "SELECT count(*) FROM videos WHERE fetch_from IS NOT NULL";
        sqlx::query_scalar(left).fetch_one(&db).await.unwrap()
    });
    assert_eq!(left, 0, "nor kept");
    ann.put(&format!("/v1/videos/{id}/chunk?part=0"), b"x").problem(409);
    ann.post(&format!("/v1/videos/{id}/complete"), &Value::Null).ok(200);
}

#[test]
fn a_transfer_that_breaks_off_goes_on_where_it_was() {
    let (platform, film) = (platform(), film(4 * CHUNK, 0));
    let content = Arc::clone(&film);
    let origin = Origin::start(move |asked, before| {
        let file = Reply::file(asked, &content, "\"a\"");
        match before {
            0 => file.broken(2 * CHUNK + 100),
            1 => file.hanging(CHUNK + 100),
            _ => file,
        }
    });
    let ann = platform.register("ann@example.com");
    let video = ask(&ann, &origin.url("/film.mp4"));
    until("some of it is there", || get(&ann, &video)["fetched_bytes"].as_u64() > Some(0));
    until_it_is(&ann, &video, "uploaded");
    assert!(std::fs::read(platform.stored(&format!("sources/{video}/source.mp4"))).unwrap() == *film);
    let from: Vec<_> = origin.asked().iter().map(|it| (it.from, it.if_range.clone())).collect();
    let tag = Some("\"a\"".to_owned());
    assert_eq!(from, [(None, None), (Some(2 * CHUNK), tag.clone()), (Some(3 * CHUNK), tag)]);
}

#[test]
fn contents_that_change_on_the_way_are_fetched_anew_and_never_mixed() {
    let (platform, old, new) = (platform(), film(3 * CHUNK, 0), film(3 * CHUNK + 5, 7));
    let content = Arc::clone(&new);
    let origin = Origin::start(move |asked, before| match before {
        0 => Reply::file(asked, &old, "\"old\"").broken(2 * CHUNK + 1),
        _ => Reply::file(asked, &content, "\"new\""),
    });
    let ann = platform.register("ann@example.com");
    let video = ask(&ann, &origin.url("/film.mp4"));
    until_it_is(&ann, &video, "uploaded");
    assert!(std::fs::read(platform.stored(&format!("sources/{video}/source.mp4"))).unwrap() == *new);
}

#[test]
fn what_has_no_length_and_no_tag_is_fetched_and_begun_again_where_it_broke_off() {
    let (platform, film) = (platform(), film(2 * CHUNK + 9, 0));
    let content = Arc::clone(&film);
    let origin = Origin::start(move |_, before| {
        let chunks =
            content.chunks(70_000).flat_map(|it| [format!("{:x}\r\n", it.len()).as_bytes(), it, b"\r\n"].concat());
        let body: Vec<u8> = chunks.chain(*b"0\r\n\r\n").collect();
        let reply = Reply::new(200, &[("transfer-encoding", "chunked")], &body);
        if before == 0 { reply.broken(CHUNK + 1000) } else { reply }
    });
    let ann = platform.register("ann@example.com");
    let video = ask(&ann, &origin.url("/film.mp4"));
    assert_eq!(until_it_is(&ann, &video, "uploaded")["file_size"], film.len());
    assert!(std::fs::read(platform.stored(&format!("sources/{video}/source.mp4"))).unwrap() == *film);
}

#[test]
fn another_replica_goes_on_where_one_was_killed() {
    let (platform, film) = (platform_with(|config| Config { fetch_stall_s: 30, ..config }), film(3 * CHUNK, 0));
    let content = Arc::clone(&film);
    let origin = Origin::start(move |asked, before| {
        let file = Reply::file(asked, &content, "\"a\"");
        if before == 0 { file.hanging(CHUNK + 5) } else { file }
    });
    let ann = platform.register("ann@example.com");
    let video = ask(&ann, &origin.url("/film.mp4"));
    let job = ann.transcode(&video);
    until("a part is there", || get(&ann, &video)["fetched_bytes"] == CHUNK);
    platform.replace();
    until_it_is(&ann, &video, "uploaded");
    assert_eq!(origin.asked().last().unwrap().from, Some(CHUNK), "what was there is not fetched again");
    assert!(std::fs::read(platform.stored(&format!("sources/{video}/source.mp4"))).unwrap() == *film);
    assert_eq!(ann.events(&job, None).pop().unwrap().kind, "completed");
}

#[test]
fn a_database_that_is_away_meanwhile_costs_no_byte_and_no_try() {
    let (platform, film) = (platform(), film(3 * CHUNK, 0));
    let (content, gate) = (Arc::clone(&film), Arc::new(AtomicBool::new(false)));
    let opened = Arc::clone(&gate);
    let origin = Origin::start(move |asked, before| {
        let file = Reply::file(asked, &content, "\"a\"");
        if before == 0 {
            return file.hanging(CHUNK + 5);
        }
        while !opened.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        file
    });
    let ann = platform.register("ann@example.com");
    let video = ask(&ann, &origin.url("/film.mp4"));
    until("a part is there", || get(&ann, &video)["fetched_bytes"] == CHUNK);
    until("the rest is asked for", || origin.asked().len() >= 2);
    platform.end_database();
    gate.store(true, Ordering::Relaxed);
    std::thread::sleep(Duration::from_secs(1));
    platform.restart_database();
    until("the database is back", || platform.nobody().get("/health/ready").status() == 204);
    until_it_is(&ann, &video, "uploaded");
    assert!(std::fs::read(platform.stored(&format!("sources/{video}/source.mp4"))).unwrap() == *film);
    assert!(origin.asked().iter().skip(1).all(|it| it.from == Some(CHUNK)), "{:?}", origin.asked());
}

#[test]
fn each_source_is_fetched_by_one_replica() {
    // Nobody dies here.
    let platform = platform_with(|config| Config { lease_s: 60, fetch_stall_s: 30, ..config });
    let origin = Origin::start(|asked, _| Reply::file(asked, asked.path.as_bytes(), "\"a\""));
    let (one, two) = (platform.another(), platform.another());
    let ann = platform.register("ann@example.com");
    let videos: Vec<String> =
        (0..40).map(|it| ask(&ann.at([0, one, two][it % 3]), &origin.url(&format!("/{it}.mp4")))).collect();
    for video in &videos {
        until_it_is(&ann, video, "uploaded");
    }
    let mut asked: Vec<String> = origin.asked().into_iter().map(|it| it.path).collect();
    asked.sort();
    asked.dedup();
    assert_eq!((asked.len(), origin.asked().len()), (40, 40));
}

#[test]
fn a_job_of_a_source_that_is_on_its_way_begins_when_that_is_there() {
    let platform = platform();
    let gate = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&gate);
    let origin = Origin::start(move |asked, _| {
        while !opened.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        match asked.path.contains("gone") {
            true => Reply::new(404, &[], b"the answer of a server inside"),
            false => Reply::file(asked, b"film", "\"a\""),
        }
    });
    let ann = platform.register("ann@example.com");
    let ask = |name: &str| ask(&ann, &origin.url(name));
    let [fine, gone, deleted, unwanted] = ["/film.mp4", "/gone.mp4", "/d.mp4", "/u.mp4"].map(ask);
    let job = |video: &str| ann.post(&format!("/v1/videos/{video}/transcode"), &json!({})).ok(202);
    let jobs = [&fine, &gone, &deleted, &unwanted].map(|it| job(it));
    assert!(jobs.iter().all(|it| it["waits_for_source"] == true && it["status"] == "queued"), "{jobs:?}");
    let [made, failed, ended, cancelled] = jobs.map(|it| it["id"].as_str().unwrap().to_owned());
    until_it_is(&ann, &fine, "fetching");
    assert_eq!(platform.fleet.orders().len(), 0, "nobody makes anything of what is not there");
    ann.delete(&format!("/v1/videos/{deleted}")).ok(204);
    ann.post(&format!("/v1/jobs/{cancelled}/cancel"), &Value::Null).ok(200);
    assert_eq!(ann.events(&ended, None).pop().unwrap().kind, "cancelled");
    assert_eq!(ann.events(&cancelled, None).pop().unwrap().kind, "cancelled");
    gate.store(true, Ordering::Relaxed);
    assert_eq!(ann.events(&made, None).pop().unwrap().kind, "completed");
    let last = ann.events(&failed, None).pop().unwrap();
    let why = "it can't be fetched: the server answers 404: nothing is there";
    assert_eq!((&*last.kind, &last.data["error_message"]), ("failed", &why.into()));
    let told = ann.get(&format!("/v1/jobs/{failed}")).ok(200);
    assert_eq!((&told["status"], &told["waits_for_source"]), (&"failed".into(), &false.into()));
    assert_eq!(until_it_is(&ann, &gone, "failed")["failure"], why);
    ann.post(&format!("/v1/videos/{gone}/transcode"), &json!({})).problem(409);
    until_it_is(&ann, &unwanted, "uploaded");
    until("nothing is left of it", || {
        ["uploads", "sources"].iter().all(|it| !platform.stored(&format!("{it}/{deleted}")).exists())
    });
}

#[test]
fn what_comes_and_is_no_video_fails_its_jobs_with_its_number() {
    let platform = platform();
    let origin = Origin::start(|asked, _| Reply::file(asked, b"no video at all", "\"a\""));
    let ann = platform.register("ann@example.com");
    let named = json!({ "url": origin.url("/a.mp4"), "sha256": "00".repeat(32) });
    let other = ann.post("/v1/videos", &named).ok(201)["id"].as_str().unwrap().to_owned();
    let video = ask(&ann, &origin.url("/text.mp4"));
    let job = ann.transcode(&video);
    let last = ann.events(&job, None).pop().unwrap();
    assert_eq!((&*last.kind, &last.data["error_code"]), ("failed", &1001.into()));
    let failed = until_it_is(&ann, &video, "failed");
    assert_eq!((&failed["failure_code"], &failed["failure"]), (&1001.into(), &"text.mp4 is no video".into()));
    let failed = until_it_is(&ann, &other, "failed");
    assert_eq!(failed["failure_code"], 1005, "{failed}");
}

#[test]
fn a_batch_takes_urls_beside_videos() {
    let platform = platform();
    let origin = Origin::start(|asked, _| Reply::file(asked, asked.path.as_bytes(), "\"a\""));
    let ann = platform.register("ann@example.com");
    let described = platform.nobody().get("/openapi.json").ok(200)["components"]["schemas"]["Item"]["oneOf"].clone();
    assert_eq!(described.as_array().map(Vec::len), Some(2), "{described}");
    let there = ann.uploaded("film.mp4");
    let items = json!([
        { "video_id": there }, { "url": origin.url("/a.mp4") }, { "url": origin.url("/fail.mp4"), "filename": "b.mp4" },
    ]);
    let batch = ann.post("/v1/batches", &json!({ "items": items })).ok(202);
    let place = format!("/v1/batches/{}", batch["id"].as_str().unwrap());
    until("all have ended", || ann.get(&place).ok(200)["progress"] == 1000);
    let ended = ann.get(&place).ok(200);
    assert_eq!((&ended["size"], &ended["completed"], &ended["failed"]), (&3.into(), &2.into(), &1.into()));
    let before = ann.get("/v1/videos").ok(200)["data"].as_array().unwrap().len();
    let bad = [
        json!([{ "url": origin.url("/a.mp4") }, { "url": "https://10.0.0.1/" }]),
        json!([{ "url": origin.url("/a.mp4") }, { "video_id": "00000000-0000-7000-8000-000000000000" }]),
        json!([{ "url": origin.url("/a.mp4"), "video_id": there }]),
        json!([{ "video_id": there, "filename": "a.mp4" }]),
        json!([{}]),
    ];
    for items in bad {
        let refused = ann.post("/v1/batches", &json!({ "items": items }));
        assert!(matches!(refused.status(), 409 | 422), "{items}");
        if refused.status() == 422 {
            assert!(refused.problem(422)["detail"].as_str().unwrap().contains("item"), "{items}");
        }
    }
    let after = ann.get("/v1/videos").ok(200)["data"].as_array().unwrap().len();
    assert_eq!(after, before, "nothing is begun of what is not accepted");
}

#[test]
fn ten_thousand_urls_fit_in_one_request_and_are_claimed_quickly() {
    let platform = platform_with(|config| Config { fetches: 0, jobs: 0, ..config });
    let (ann, bob) = (platform.register("ann@example.com"), platform.register("bob@example.com"));
    let long = "x".repeat(1200);
    let items: Vec<Value> =
        (0..10_000).map(|it| json!({ "url": format!("https://example.com/{it}.mp4?signature={long}") })).collect();
    let sent = ann.post_with("/v1/batches", &json!({ "items": items }), &[("idempotency-key", "library")]);
    let batch = sent.ok(202);
    assert_eq!((&batch["size"], &batch["queued"]), (&10_000.into(), &10_000.into()));
    for it in 0..3 {
        ask(&bob, &format!("https://example.com/{it}.mp4"));
    }
    let (first, jobs, took) = platform.with_database(async |db| {
        let began = std::time::Instant::now();
        let jobs = vtp_control_plane::db::jobs::claim(&db, 100, 600).await.unwrap();
        (fetches::claim(&db, 4, 4, 600).await.unwrap(), jobs, began.elapsed())
    });
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(jobs, [], "none of them begins");
    let of_bob =
        |claimed: &[fetches::Claimed]| claimed.iter().filter(|it| !it.fetch_from.contains("signature")).count();
    assert_eq!((first.len(), of_bob(&first)), (4, 2), "users take turns");
    let next = platform.with_database(async |db| fetches::claim(&db, 8, 100, 600).await.unwrap());
    assert_eq!((next.len(), of_bob(&next)), (8, 1), "and no place stays empty");
    let place = format!("/v1/batches/{}/cancel", batch["id"].as_str().unwrap());
    assert_eq!(ann.post(&place, &Value::Null).ok(200)["cancelled"], 10_000);
}

#[test]
fn what_is_noted_of_a_source_by_one_who_has_lost_it_is_not_taken() {
    let platform = platform_with(|config| Config { fetches: 0, ..config });
    let ann = platform.register("ann@example.com");
    let video = ask(&ann, "https://example.com/film.mp4");
    platform.with_database(async |db| {
        let first = fetches::claim(&db, 1, 1, 0).await.unwrap().remove(0);
        let second = fetches::claim(&db, 1, 1, 600).await.unwrap().remove(0);
        assert_eq!((first.id, second.id, second.fetch_epoch), (second.id, first.id, first.fetch_epoch + 1));
        assert_eq!(fetches::claim(&db, 1, 1, 600).await.unwrap(), [], "it is somebody's");
        let part = fetches::Part { number: 0, size: 5, sha256: &[0; 32], spent_s: 1.0 };
        assert!(!fetches::renew(&db, first.id, first.fetch_epoch, 600).await.unwrap());
        assert_eq!(fetches::arrived(&db, &first, part).await.unwrap(), fetches::Noted::Lost);
        assert_eq!(fetches::sized(&db, &first, Some(5), None).await.unwrap(), fetches::Noted::Lost);
        assert!(!fetches::whole(&db, &first, 600).await.unwrap());
        assert!(!fetches::failed(&db, &first, None, "x").await.unwrap());
        assert_eq!(fetches::begin_again(&db, &first).await.unwrap(), None);
        assert!(fetches::renew(&db, second.id, second.fetch_epoch, 600).await.unwrap());
        assert_eq!(fetches::arrived(&db, &second, part).await.unwrap(), fetches::Noted::Yes);
    });
    assert_eq!(get(&ann, &video)["fetched_bytes"], 5);
}

#[test]
fn what_leads_inside_is_refused_however_it_is_written() {
    // Nothing is allowed besides, but that it need not be encrypted.
    let platform = Platform::without_limits(|config| Config { outside_http: true, ..config });
    let origin = Origin::start(|asked, _| Reply::file(asked, b"secret", "\"a\""));
    let (ann, port) = (platform.register("ann@example.com"), origin.port());
    let refuse = |url: &str| ann.post("/v1/videos", &json!({ "url": url })).problem(422);
    for host in [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "10.0.0.1",
        "0x7f.1",
        "2130706433",
        "127.1",
        "[::ffff:7f00:1]",
        "0",
    ] {
        for scheme in ["http", "https"] {
            let refused = refuse(&format!("{scheme}://{host}:{port}/film.mp4"));
            assert!(refused["detail"].as_str().unwrap().starts_with("url: "), "{refused}");
        }
    }
    let refused = refuse(&format!("https://example.com@127.0.0.1:{port}/"));
    assert!(refused["detail"].as_str().unwrap().contains("user or a password"), "{refused}");
    for bad in ["https://ann:pass@example.com/", "file:///etc/passwd", "ftp://example.com/a", "a.mp4", "s3://films/a"] {
        refuse(bad);
    }
    let video = ask(&ann, &format!("http://localhost:{port}/film.mp4"));
    let failed = until_it_is(&ann, &video, "failed");
    let why = failed["failure"].as_str().unwrap();
    assert!(why.contains("reached from everywhere") && !why.contains("127.0.0.1"), "{why}");
    assert_eq!(origin.asked().len(), 0, "nobody came");
}

#[test]
fn an_answer_that_leads_inside_or_on_and_on_is_not_followed() {
    let platform = platform();
    let origin = Origin::start(|asked: &Asked, _| {
        let to = |place: &str| Reply::new(302, &[("location", place)], b"the answer of a server inside");
        match &*asked.path {
            "/inside" => to("http://169.254.169.254/latest/meta-data/"),
            "/other" => to("http://127.0.0.2/"),
            "/user" => to("http://ann:hunter2@127.0.0.1/"),
            "/file" => to("file:///etc/passwd"),
            path => to(&format!("{path}x")),
        }
    });
    let ann = platform.register("ann@example.com");
    for path in ["/inside", "/other", "/user", "/file", "/on"] {
        let failed = until_it_is(&ann, &ask(&ann, &origin.url(path)), "failed");
        let why = failed["failure"].as_str().unwrap();
        assert!(why.starts_with("it can't be fetched: it leads on to"), "{why}");
        for secret in ["169.254", "127.0", "hunter2", "inside"] {
            assert!(!why.contains(secret), "{why}");
        }
    }
    let on = origin.asked().iter().filter(|it| it.path.starts_with("/onx") || it.path == "/on").count();
    assert_eq!(on, 4, "three times it is followed");
}

#[test]
fn what_is_too_much_is_not_fetched_whether_its_length_is_told_or_not() {
    let platform = platform_with(|config| Config { largest_bytes: 3 * CHUNK as u64, ..config });
    let large = film(3 * CHUNK + 1, 0);
    let origin = Origin::start(move |asked, _| match &*asked.path {
        "/told" => Reply::file(asked, &large, "\"a\""),
        // Its end is the end of the connection.
        _ => Reply::new(200, &[], &large[..large.len() - usize::from(asked.path == "/fits")]),
    });
    let ann = platform.register("ann@example.com");
    for path in ["/told", "/counted"] {
        let failed = until_it_is(&ann, &ask(&ann, &origin.url(path)), "failed");
        assert_eq!(failed["failure_code"], 1002, "{failed}");
    }
    platform.with_database(async |db| {
        let full = sqlx::query("UPDATE users SET storage_limit = $1").bind(4 * CHUNK as i64);
        full.execute(&db).await.unwrap();
    });
    until_it_is(&ann, &ask(&ann, &origin.url("/fits")), "uploaded");
    let video = ask(&ann, &origin.url("/fits"));
    let failed = until_it_is(&ann, &video, "failed");
    assert_eq!(failed["failure_code"], 1004, "{failed}");
    assert!(!platform.stored(&format!("uploads/{video}")).exists(), "nothing is left of it");
}

#[test]
fn what_is_no_file_is_told_and_what_is_away_is_tried_again() {
    let platform = platform();
    let origin = Origin::start(|asked, before| match &*asked.path {
        "/page" => Reply::new(200, &[("content-type", "text/html; charset=utf-8")], b"<html>secret</html>"),
        "/packed" => Reply::new(200, &[("content-encoding", "gzip")], b"packed"),
        "/empty" => Reply::new(200, &[("content-length", "0")], b""),
        "/secret" => Reply::new(403, &[], b"secret"),
        _ if before == 0 => Reply::new(503, &[], b"secret"),
        // It says nothing at all.
        _ if before == 1 => Reply::new(200, &[], b"").hanging(0),
        _ => Reply::file(asked, b"film", "\"a\""),
    });
    let ann = platform.register("ann@example.com");
    let away = ask(&ann, &origin.url("/away.mp4"));
    for (path, code) in
        [("/page", 1001.into()), ("/packed", Value::Null), ("/empty", 1001.into()), ("/secret", Value::Null)]
    {
        let failed = until_it_is(&ann, &ask(&ann, &origin.url(path)), "failed");
        assert_eq!(failed["failure_code"], code, "{failed}");
        assert!(!failed["failure"].as_str().unwrap().contains("secret"), "{failed}");
    }
    until_it_is(&ann, &away, "uploaded");
}

#[test]
fn a_source_that_is_away_for_good_fails_after_some_tries() {
    let platform = platform();
    let origin = Origin::start(|_, _| Reply::new(503, &[], b""));
    let ann = platform.register("ann@example.com");
    let video = ask(&ann, &origin.url("/film.mp4"));
    let hurry = || {
        platform.with_database(async |db| {
            sqlx::query("UPDATE videos SET fetch_after = now()").execute(&db).await.unwrap();
        });
        get(&ann, &video)["upload_status"] == "failed"
    };
    until("it is given up", hurry);
    assert_eq!(get(&ann, &video)["failure"], "it can't be fetched: the server answers 503; it was tried 7 times");
    assert_eq!(origin.asked().len(), 7);
}

#[test]
fn a_source_in_s3_is_copied_from_the_buckets_that_are_allowed() {
    let folder = tempfile::tempdir().unwrap();
    for bucket in ["films", "other"] {
        std::fs::create_dir(folder.path().join(bucket)).unwrap();
    }
    let film = film(2 * CHUNK + 3, 0);
    std::fs::write(folder.path().join("films/my film.mp4"), &*film).unwrap();
    let server = vtp_store::testing::S3Server::start(folder.path()).unwrap();
    let platform = platform_with(|config| Config { source_buckets: vec!["films".to_owned()], ..config });
    platform.read_sources_with(server.client());
    platform.replace();
    let ann = platform.register("ann@example.com");
    let refused = ann.post("/v1/videos", &json!({ "url": "s3://other/a.mp4" })).problem(422);
    assert!(refused["detail"].as_str().unwrap().contains("source_buckets"), "{refused}");
    server.refuse(true);
    let video = ask(&ann, "s3://films/my film.mp4");
    until_it_is(&ann, &video, "fetching");
    server.refuse(false);
    let whole = until_it_is(&ann, &video, "uploaded");
    assert_eq!(
        (&whole["original_filename"], &whole["source_url"]),
        (&"my film.mp4".into(), &"s3://films/my film.mp4".into())
    );
    assert!(std::fs::read(platform.stored(&format!("sources/{video}/source.mp4"))).unwrap() == *film);
    let failed = until_it_is(&ann, &ask(&ann, "s3://films/nothing.mp4"), "failed");
    assert_eq!(failed["failure"], "it can't be fetched: nothing is at s3://films/nothing.mp4");
}
