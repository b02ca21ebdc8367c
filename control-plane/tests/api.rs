//! The API as its users meet it, over HTTP and a real Postgres. The fleet is one that makes up what it makes; what a real one does is
//! tested with the command.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod fixture;

use fixture::{Platform, Somebody};
use serde_json::{Value, json};

#[test]
fn somebody_signs_up_in_and_out() {
    let platform = Platform::start();
    let ann = platform.register("Ann@Example.com");
    let me = ann.get("/v1/auth/me").ok(200);
    assert_eq!((&me["email"], &me["role"], &me["tier"]), (&"ann@example.com".into(), &"user".into(), &"free".into()));
    let again = json!({ "email": "ann@example.com", "password": "another password" });
    platform.nobody().post("/v1/auth/register", &again).problem(409);
    let wrong = json!({ "email": "ann@example.com", "password": "wrong password" });
    let refused = platform.nobody().post("/v1/auth/login", &wrong).problem(401);
    assert_eq!((&refused["code"], &refused["retry"]), (&2002.into(), &"after_change".into()));
    assert!(refused["request_id"].as_str().unwrap().len() > 20);
    let unknown = json!({ "email": "nobody@example.com", "password": "wrong password" });
    let told = |answer: &Value| answer["detail"].clone();
    let no_one = platform.nobody().post("/v1/auth/login", &unknown).problem(401);
    assert_eq!(told(&no_one), told(&refused), "nobody learns who there is");
    let short = json!({ "email": "bob@example.com", "password": "short" });
    platform.nobody().post("/v1/auth/register", &short).problem(422);
    ann.post("/v1/auth/logout", &Value::Null).ok(204);
    ann.get("/v1/auth/me").problem(401);
    let right = json!({ "email": " ANN@example.com", "password": fixture::PASSWORD });
    let back = platform.nobody().post("/v1/auth/login", &right).ok(200);
    platform.with(back["access_token"].as_str().unwrap()).get("/v1/auth/me").ok(200);
}

#[test]
fn a_refresh_token_is_good_once_and_shown_again_it_ends_the_session() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let refresh = |token: &str| platform.nobody().post("/v1/auth/refresh", &json!({ "refresh_token": token }));
    let next = refresh(&ann.refresh_token).ok(200);
    platform.with(next["access_token"].as_str().unwrap()).get("/v1/auth/me").ok(200);
    refresh(&ann.refresh_token).problem(401);
    refresh(next["refresh_token"].as_str().unwrap()).problem(401);
    platform.with(next["access_token"].as_str().unwrap()).get("/v1/auth/me").problem(401);
    refresh("nothing of ours").problem(401);
}

#[test]
fn one_sees_where_one_is_signed_in_and_ends_what_one_does_not_know() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let who = json!({ "email": "ann@example.com", "password": fixture::PASSWORD });
    let other = platform.nobody().post("/v1/auth/login", &who).ok(200)["access_token"].as_str().unwrap().to_owned();
    let sessions = ann.get("/v1/auth/sessions").ok(200)["data"].as_array().unwrap().clone();
    let known = |it: &Value| (it["is_this"].clone(), it["ip_address"].clone(), it["device"].is_string());
    assert_eq!(
        sessions.iter().map(known).collect::<Vec<_>>(),
        [(false.into(), "127.0.0.1".into(), true), (true.into(), "127.0.0.1".into(), true)]
    );
    ann.delete(&format!("/v1/auth/sessions/{}", sessions[0]["id"].as_str().unwrap())).ok(204);
    platform.with(&other).get("/v1/auth/me").problem(401);
    assert_eq!(ann.get("/v1/auth/sessions").ok(200)["data"].as_array().unwrap().len(), 1);
    // What is long over is forgotten, and what is not stays.
    platform.with_database(async |db| {
        let old = "UPDATE user_sessions SET expires_at = now() - interval '100 days' WHERE revoked_at IS NOT NULL";
        sqlx::query(old).execute(&db).await.unwrap();
        vtp_control_plane::db::sessions::tidy(&db).await.unwrap();
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM user_sessions").fetch_one(&db).await.unwrap();
        assert_eq!(left, 1);
    });
    ann.get("/v1/auth/me").ok(200);
}

#[test]
fn a_check_that_another_has_taken_over_notes_nothing() {
    use vtp_control_plane::db::videos::{self, Checked, Facts};
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = vtp_control_plane::ids::VideoId(ann.upload("film.mp4", b"video").parse().unwrap());
    platform.with_database(async |db| {
        let user = sqlx::query_scalar("SELECT user_id FROM videos").fetch_one(&db).await.unwrap();
        for lease_s in [-1, 600] {
            assert!(videos::check(&db, user, video, lease_s).await.unwrap().is_some());
        }
        assert_eq!(videos::check(&db, user, video, 600).await.unwrap(), None, "it is checked");
        assert!(!videos::still_checks(&db, video, 1, 600).await.unwrap());
        assert!(!videos::failed(&db, video, 1, 1005, "late").await.unwrap());
        assert_eq!(videos::uploaded(&db, video, 1, &Facts::default()).await.unwrap(), Checked::Lost);
        assert!(videos::still_checks(&db, video, 2, 600).await.unwrap());
        assert_eq!(videos::uploaded(&db, video, 2, &Facts::default()).await.unwrap(), Checked::Noted);
        assert_eq!(videos::uploaded(&db, video, 2, &Facts::default()).await.unwrap(), Checked::Lost, "once");
    });
    ann.delete(&format!("/v1/videos/{}", video)).ok(204);
    platform.with_database(async |db| {
        assert_eq!(videos::uploaded(&db, video, 2, &Facts::default()).await.unwrap(), Checked::Unwanted);
    });
}

#[test]
fn keys_are_shown_once_do_what_their_scopes_say_and_can_be_revoked() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let made = ann.post("/v1/api-keys", &json!({ "name": "reader", "scopes": ["read"] })).ok(201);
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with(made["prefix"].as_str().unwrap()));
    let reader = platform.with(&secret);
    reader.get("/v1/videos").ok(200);
    reader.post("/v1/videos/upload", &json!({ "filename": "a.mp4", "file_size": 5 })).problem(403);
    reader.post("/v1/api-keys", &json!({ "name": "more", "scopes": ["write"] })).problem(403);
    let listed = ann.get("/v1/api-keys").ok(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert!(!listed.to_string().contains(&secret), "it is not told again");
    ann.delete(&format!("/v1/api-keys/{}", made["id"].as_str().unwrap())).ok(204);
    reader.get("/v1/videos").problem(401);
    ann.post("/v1/api-keys", &json!({ "name": "none", "scopes": [] })).problem(422);
    // One that may write alone looks at nothing, and not at who its owner is.
    let made = ann.post("/v1/api-keys", &json!({ "name": "writer", "scopes": ["write"] })).ok(201);
    let writer = platform.with(made["secret"].as_str().unwrap());
    writer.post("/v1/videos/upload", &json!({ "filename": "a.mp4", "file_size": 5 })).ok(201);
    for place in ["/v1/auth/me", "/v1/videos", "/v1/auth/sessions", "/v1/audit"] {
        writer.get(place).problem(403);
    }
}

#[test]
fn an_upload_comes_in_parts_in_any_order_and_is_what_was_sent() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let film: Vec<u8> = (0..2 * fixture::CHUNK + 77).map(|at| (at * 31 % 251) as u8).collect();
    let begun = ann.post("/v1/videos/upload", &json!({ "filename": "Film.MP4", "file_size": film.len() })).ok(201);
    let urls: Vec<&str> = begun["upload_urls"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let parts: Vec<&[u8]> = film.chunks(fixture::CHUNK).collect();
    assert_eq!((urls.len(), begun["chunk_size"].as_u64()), (3, Some(fixture::CHUNK as u64)));
    let id = begun["video_id"].as_str().unwrap();
    ann.put(urls[2], parts[2]).ok(200);
    ann.put(urls[0], parts[1]).ok(200);
    let video = ann.get(&format!("/v1/videos/{id}")).ok(200);
    assert_eq!((&video["missing_parts"], &video["upload_status"]), (&json!([1]), &"uploading".into()));
    let missing = ann.post(&format!("/v1/videos/{id}/complete"), &Value::Null).problem(409);
    assert_eq!(missing["detail"], "1 parts are missing: 1");
    // What was sent wrongly is sent again.
    ann.put(urls[0], parts[0]).ok(200);
    ann.put(urls[1], &parts[1][1..]).problem(422);
    ann.put_with(urls[1], parts[1], &[("content-digest", &fixture::digest(parts[0]))]).problem(400);
    ann.put_with(urls[1], parts[1], &[("content-digest", &fixture::digest(parts[1]))]).ok(200);
    ann.put(&format!("/v1/videos/{id}/chunk?part=3"), b"x").problem(422);
    let whole = ann.post(&format!("/v1/videos/{id}/complete"), &Value::Null).ok(200);
    assert_eq!((&whole["upload_status"], &whole["resolution"]), (&"uploaded".into(), &"1280x720".into()));
    assert!(std::fs::read(platform.stored(&format!("sources/{id}/source.mp4"))).unwrap() == film);
    assert!(!platform.stored(&format!("uploads/{id}")).exists(), "parts are not kept");
    ann.put(urls[1], parts[1]).problem(409);
    assert!(!platform.stored(&format!("uploads/{id}")).exists(), "what comes too late is not kept either");
    ann.post(&format!("/v1/videos/{id}/complete"), &Value::Null).ok(200);
}

#[test]
fn what_is_no_video_or_too_much_is_refused_with_its_number() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.upload("text.mp4", b"no video at all");
    let refused = ann.post(&format!("/v1/videos/{video}/complete"), &Value::Null).problem(422);
    assert_eq!((&refused["code"], &refused["retry"]), (&1001.into(), &"never".into()));
    let told = ann.get(&format!("/v1/videos/{video}")).ok(200);
    assert_eq!((&told["upload_status"], &told["failure_code"]), (&"failed".into(), &1001.into()));
    let again = ann.post(&format!("/v1/videos/{video}/complete"), &Value::Null).problem(422);
    assert_eq!(again["code"], 1001);
    assert!(!platform.stored(&format!("sources/{video}")).exists());
    let begin = |size: u64| ann.post("/v1/videos/upload", &json!({ "filename": "a.mp4", "file_size": size }));
    assert_eq!(begin(2 << 30).problem(507)["code"], 1004);
    assert_eq!(begin(20 << 30).problem(413)["code"], 1002);
    begin(0).problem(422);
    let other = json!({ "filename": "a.mp4", "file_size": 5, "sha256": "00".repeat(32) });
    let begun = ann.post("/v1/videos/upload", &other).ok(201);
    ann.put(begun["upload_urls"][0].as_str().unwrap(), b"video").ok(200);
    let id = begun["video_id"].as_str().unwrap();
    assert_eq!(ann.post(&format!("/v1/videos/{id}/complete"), &Value::Null).problem(422)["code"], 1005);
}

#[test]
fn a_job_goes_from_queued_to_playable_and_its_progress_never_falls() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    let wanted = json!({ "priority": 2, "output": { "ladder": ["mobile"], "speed": "fast" } });
    let job = ann.post(&format!("/v1/videos/{video}/transcode"), &wanted).ok(202);
    let id = job["id"].as_str().unwrap();
    let events = ann.events(id, None);
    let numbers: Vec<u64> = events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>());
    assert_eq!((&*events[0].kind, &*events.last().unwrap().kind), ("queued", "completed"));
    let progress: Vec<f64> = events.iter().filter_map(|event| event.data["progress"].as_f64()).collect();
    assert!(progress.is_sorted() && progress.last() == Some(&1.0), "{progress:?}");
    assert!(progress.len() > 2, "{progress:?}");
    let rest = ann.events(id, Some(events[0].number));
    assert_eq!(rest.len(), events.len() - 1, "whoever comes back goes on where they were");
    let after = |seen: &str| ann.get_with(&format!("/v1/jobs/{id}/progress"), &[("last-event-id", seen)]);
    let last = events.last().unwrap().number.to_string();
    assert_eq!((after(&last).text(204), after("1000").text(204)), (String::new(), String::new()), "all was told");
    after("-1").problem(422);
    let done = ann.get(&format!("/v1/jobs/{id}")).ok(200);
    assert_eq!((&done["status"], &done["progress"]), (&"completed".into(), &1000.into()));
    let outputs = ann.get(&format!("/v1/jobs/{id}/outputs")).ok(200);
    let master = outputs["data"][0]["playback_url"].as_str().unwrap().to_owned();
    assert!(master.ends_with("/master.m3u8") && outputs["data"][0]["format"] == "hls");
    let played = platform.nobody().get(&master);
    assert_eq!(played.header("content-type"), "application/vnd.apple.mpegurl");
    assert_eq!(played.header("access-control-allow-origin"), "*");
    assert_eq!(played.text(200), "#EXTM3U\n");
    let segment = master.replace("master.m3u8", "mobile/seg-00000.m4s");
    let part = platform.nobody().get_with(&segment, &[("range", "bytes=3-6")]);
    assert_eq!((part.header("content-range"), part.text(206)), ("bytes 3-6/10".to_owned(), "3456".to_owned()));
    let tag = platform.nobody().get(&segment).header("etag");
    assert_eq!(platform.nobody().get_with(&segment, &[("if-none-match", &tag)]).text(304), "");
    let weak = format!("\"other\", W/{tag}");
    assert_eq!(
        platform.nobody().get_with(&segment, &[("if-none-match", &weak)]).text(304),
        "",
        "as a cache says that compresses"
    );
    let nothing = platform.nobody().get_with(&segment, &[("range", "bytes=10-")]);
    assert_eq!(nothing.header("content-range"), "bytes */10");
    nothing.problem(416);
    platform.nobody().get(&master.replace("/play/", "/play/0")).problem(404);
    let guessed = format!("/play/{id}/AAAAAAAAAAAAAAAAAAAAAA/master.m3u8");
    platform.nobody().get(&guessed).problem(404);
    assert_eq!(ann.get(&format!("/v1/jobs/{id}/report")).ok(200)["proof"]["ok"], true);
    assert_eq!(platform.fleet.orders()[0].words, ["--ladder=mobile", "--speed=fast"]);
    assert_eq!(platform.fleet.orders()[0].priority, 2);
}

#[test]
fn a_job_that_can_not_be_made_fails_with_its_reason_and_one_that_is_not_wanted_is_cancelled() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("fail.mp4");
    let job = ann.transcode(&video);
    let last = ann.events(&job, None).pop().unwrap();
    assert_eq!((&*last.kind, &last.data["error_code"]), ("failed", &1005.into()));
    let told = ann.get(&format!("/v1/jobs/{job}")).ok(200);
    assert_eq!(told["error_message"], "fail.mp4 is damaged");
    ann.get(&format!("/v1/jobs/{job}/report")).problem(404);
    let video = ann.uploaded("hang.mp4");
    let job = ann.transcode(&video);
    fixture::until("it is worked on", || ann.get(&format!("/v1/jobs/{job}")).ok(200)["status"] == "processing");
    ann.post(&format!("/v1/jobs/{job}/cancel"), &Value::Null).ok(200);
    assert_eq!(ann.events(&job, None).pop().unwrap().kind, "cancelled");
    let after = ann.post(&format!("/v1/jobs/{job}/cancel"), &Value::Null).ok(200);
    assert_eq!(after["status"], "cancelled");
}

#[test]
fn what_is_somebody_else_s_is_not_there_wherever_it_is_asked_for() {
    let platform = Platform::start();
    let (ann, bob) = (platform.register("ann@example.com"), platform.register("bob@example.com"));
    let video = ann.uploaded("film.mp4");
    let job = ann.transcode(&video);
    ann.events(&job, None);
    let key = ann.post("/v1/api-keys", &json!({ "name": "k", "scopes": ["read"] })).ok(201)["id"].clone();
    let batch = ann.post("/v1/batches", &json!({ "items": [{ "video_id": video }] })).ok(202)["id"].clone();
    let batch = batch.as_str().unwrap();
    let begun = ann.send_with("POST", "/v1/tus", b"", &[("tus-resumable", "1.0.0"), ("upload-length", "5")]);
    let tus = begun.header("location").trim_start_matches("/v1/tus/").to_owned();
    let hook = json!({ "url": "https://example.com/", "events": ["job.failed"] });
    let hook = ann.post("/v1/webhooks", &hook).ok(201)["id"].as_str().unwrap().to_owned();
    let delivery = ann.post(&format!("/v1/webhooks/{hook}/test"), &Value::Null).ok(202)["id"].clone();
    let ids = [
        ("videos", video.as_str()),
        ("jobs", &job),
        ("batches", batch),
        ("api-keys", key.as_str().unwrap()),
        ("sessions", &ann.session()),
        ("tus", &tus),
        ("webhooks", &hook),
    ];
    let mut asked = 0;
    for (path, methods) in platform.operations() {
        let Some((_, id)) = ids.iter().find(|(name, _)| path.contains(&format!("/{name}/{{id}}"))) else { continue };
        for method in methods {
            let place = path.replace("{id}", id).replace("{delivery}", delivery.as_str().unwrap());
            let place = if place.ends_with("/chunk") { format!("{place}?part=0") } else { place };
            let has_body = place.ends_with("/transcode") || place.ends_with("/urls");
            let body = if has_body { json!({}) } else { Value::Null };
            bob.send(&method, &place, &body).problem(404);
            platform.nobody().send(&method, &place, &body).problem(401);
            asked += 1;
        }
    }
    assert_eq!(asked, 28, "every operation on something that is somebody's");
    assert_eq!(bob.get("/v1/videos").ok(200)["data"], json!([]));
    assert_eq!(bob.get("/v1/jobs").ok(200)["data"], json!([]));
    ann.get(&format!("/v1/videos/{video}")).ok(200);
    ann.get("/v1/auth/me").ok(200);
}

#[test]
fn lists_come_in_pages_the_newest_first() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let made: Vec<String> = (0..5).map(|number| ann.upload(&format!("{number}.mp4"), b"video")).collect();
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = ann.get(&format!("/v1/videos?limit=2{cursor}")).ok(200);
        let ids = page["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned());
        found.extend(ids);
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, made.into_iter().rev().collect::<Vec<_>>());
    ann.get("/v1/videos?limit=0").problem(422);
    ann.get("/v1/videos?cursor=x").problem(422);
    ann.get("/v1/videos?page=2").problem(422);
}

#[test]
fn a_video_that_is_deleted_is_gone_with_its_bytes_and_its_jobs_end() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("hang.mp4");
    let job = ann.transcode(&video);
    fixture::until("it is worked on", || ann.get(&format!("/v1/jobs/{job}")).ok(200)["status"] == "processing");
    ann.delete(&format!("/v1/videos/{video}")).ok(204);
    ann.get(&format!("/v1/videos/{video}")).problem(404);
    assert!(!platform.stored(&format!("sources/{video}")).exists());
    assert_eq!(ann.events(&job, None).pop().unwrap().kind, "cancelled");
    ann.delete(&format!("/v1/videos/{video}")).problem(404);
}

#[test]
fn bytes_that_a_deleted_video_has_left_behind_are_swept_later() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    let source = platform.stored(&format!("sources/{video}/source.mp4"));
    // As if whoever deleted it had been killed before its bytes were.
    let swept = |change: &'static str| {
        platform.with_database(async |db| {
            sqlx::query(change).bind(&video).execute(&db).await.unwrap();
            let swept = "SELECT swept_at IS NOT NULL FROM videos WHERE id = $1::uuid";
            sqlx::query_scalar::<_, bool>(swept).bind(&video).fetch_one(&db).await.unwrap()
        })
    };
    assert!(!swept("UPDATE videos SET deleted_at = now() WHERE id = $1::uuid"));
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(source.exists(), "somebody may be writing yet");
    swept(
        "UPDATE videos SET deleted_at = now() - interval '1 hour', urls_until = now() - interval '1 hour' WHERE id = $1::uuid",
    );
    fixture::until("it is gone", || !source.exists());
    fixture::until("that is noted", || swept("SELECT $1"));
}

#[test]
fn a_video_that_is_deleted_while_it_is_checked_leaves_nothing() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.upload("long.mp4", b"long");
    let place = format!("/v1/videos/{video}");
    let source = platform.stored(&format!("sources/{video}/source.mp4"));
    std::thread::scope(|scope| {
        let completing = scope.spawn(|| ann.post(&format!("{place}/complete"), &Value::Null));
        fixture::until("it is looked at", || source.exists());
        ann.delete(&place).ok(204);
        // As if it had been put together a moment later.
        std::fs::create_dir_all(source.parent().unwrap()).unwrap();
        std::fs::write(&source, b"long").unwrap();
        completing.join().unwrap().problem(404);
    });
    assert!(!source.exists());
}

#[test]
fn uploads_that_begin_at_the_same_time_share_the_room_there_is() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let begin = || ann.post("/v1/videos/upload", &json!({ "filename": "a.mp4", "file_size": 300 << 20 })).status();
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let hands: Vec<_> = (0..12).map(|_| scope.spawn(begin)).collect();
        hands.into_iter().map(|hand| hand.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|status| **status == 201).count(), 3, "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 507).count(), 9, "{answers:?}");
}

#[test]
fn many_jobs_at_once_all_end() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    let jobs: Vec<String> = (0..60).map(|_| ann.transcode(&video)).collect();
    for job in &jobs {
        assert_eq!(ann.events(job, None).pop().unwrap().kind, "completed");
    }
}

#[test]
fn a_batch_is_accepted_as_a_whole_and_looked_after_as_one_thing() {
    let platform = Platform::start();
    let (ann, bob) = (platform.register("ann@example.com"), platform.register("bob@example.com"));
    let videos = [ann.uploaded("film.mp4"), ann.uploaded("fail.mp4")];
    let (half, others) = (ann.upload("half.mp4", b"video"), bob.uploaded("film.mp4"));
    let items = |ids: &[&str]| ids.iter().map(|id| json!({ "video_id": id })).collect::<Vec<Value>>();
    let refused = ann.post("/v1/batches", &json!({ "items": items(&[&videos[0], &half, &others]) })).problem(409);
    assert!(refused["detail"].as_str().unwrap().starts_with("2 are no videos that are whole: "), "{refused}");
    assert_eq!(ann.get("/v1/jobs").ok(200)["data"], json!([]), "nothing of it was accepted");
    ann.post("/v1/batches", &json!({ "items": [] })).problem(422);
    let wanted = json!({ "items": items(&[&videos[0], &videos[1], &videos[0]]), "priority": 7 });
    let batch = ann.post("/v1/batches", &wanted).ok(202);
    let place = format!("/v1/batches/{}", batch["id"].as_str().unwrap());
    assert_eq!((&batch["size"], &batch["priority"], &batch["queued"]), (&3.into(), &7.into(), &3.into()));
    fixture::until("all have ended", || ann.get(&place).ok(200)["progress"] == 1000);
    let ended = ann.get(&place).ok(200);
    assert_eq!((&ended["completed"], &ended["failed"]), (&2.into(), &1.into()));
    assert_eq!(ann.get(&format!("{place}/jobs?limit=2")).ok(200)["data"].as_array().unwrap().len(), 2);
    assert_eq!(ann.get("/v1/batches").ok(200)["data"].as_array().unwrap().len(), 1);
    bob.get(&place).problem(404);
    bob.post(&format!("{place}/cancel"), &Value::Null).problem(404);
    let hanging = ann.uploaded("hang.mp4");
    let batch = ann.post("/v1/batches", &json!({ "items": items(&[hanging.as_str(); 4]) })).ok(202);
    let place = format!("/v1/batches/{}", batch["id"].as_str().unwrap());
    fixture::until("they are worked on", || ann.get(&place).ok(200)["processing"] == 4);
    ann.post(&format!("{place}/cancel"), &Value::Null).ok(200);
    fixture::until("none is left", || ann.get(&place).ok(200)["cancelled"] == 4);
}

#[test]
fn ten_thousand_videos_fit_in_one_request() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    let items = vec![json!({ "video_id": video }); 10_000];
    let batch = ann.post("/v1/batches", &json!({ "items": items })).ok(202);
    assert_eq!(batch["size"], 10_000);
    let place = format!("/v1/batches/{}", batch["id"].as_str().unwrap());
    ann.post(&format!("{place}/cancel"), &Value::Null).ok(200);
    let items = vec![json!({ "video_id": video }); 10_001];
    ann.post("/v1/batches", &json!({ "items": items })).problem(422);
}

#[test]
fn another_replica_goes_on_with_the_jobs_of_one_that_is_gone() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("slow.mp4");
    let jobs: Vec<String> = (0..3).map(|_| ann.transcode(&video)).collect();
    fixture::until("they are worked on", || platform.fleet.orders().len() >= jobs.len());
    platform.replace();
    for job in &jobs {
        assert_eq!(ann.events(job, None).pop().unwrap().kind, "completed");
    }
    let orders = platform.fleet.orders();
    let mut numbers: Vec<u64> = orders.iter().map(|it| it.number).collect();
    assert!(numbers.len() > 3, "they were ordered again");
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 3, "under the same numbers");
}

#[test]
fn a_ladder_that_was_made_when_its_replica_was_killed_is_not_made_again() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("slow.mp4");
    let job = ann.transcode(&video);
    fixture::until("it is worked on", || ann.get(&format!("/v1/jobs/{job}")).ok(200)["status"] == "processing");
    platform.end_database();
    fixture::until("it is made, and can't be noted", || !platform.fleet.remembered().is_empty());
    platform.kill();
    platform.restart_database();
    platform.replace();
    assert_eq!(ann.events(&job, None).pop().unwrap().kind, "completed");
    assert_eq!(platform.fleet.carried_out().len(), 1, "it was made once");
    assert!(platform.fleet.orders().len() > 1, "and asked for again");
    fixture::until("it is forgotten once it is noted", || platform.fleet.remembered().is_empty());
}

#[test]
fn an_end_that_can_not_be_noted_is_a_failure() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let job = ann.transcode(&ann.uploaded("odd.mp4"));
    let last = ann.events(&job, None).pop().unwrap();
    assert_eq!(last.kind, "failed");
    assert!(last.data["error_message"].as_str().unwrap().contains("a fault of ours"), "{last:?}");
    fixture::until("nothing is left of it", || !platform.stored(&format!("ladders/{job}")).exists());
}

#[test]
fn an_upload_whose_check_was_cut_off_is_checked_by_another_replica() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.upload("long.mp4", b"long");
    let place = format!("/v1/videos/{video}");
    std::thread::scope(|scope| {
        // Whoever waits for it is cut off with it.
        scope.spawn(|| std::panic::catch_unwind(|| ann.post(&format!("{place}/complete"), &Value::Null)));
        fixture::until("it is checked", || ann.get(&place).ok(200)["upload_status"] == "checking");
        platform.replace();
    });
    fixture::until("it is whole", || ann.get(&place).ok(200)["upload_status"] == "uploaded");
    ann.transcode(&video);
}

#[test]
fn a_database_that_is_away_is_told_and_what_was_accepted_goes_on_when_it_is_back() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("slow.mp4");
    let job = ann.transcode(&video);
    platform.end_database();
    let refused = ann.get("/v1/auth/me");
    assert_eq!(
        (refused.header("retry-after"), refused.problem(503)["retry"].clone()),
        ("5".to_owned(), "later".into())
    );
    platform.restart_database();
    fixture::until("it is back", || platform.nobody().get("/health/ready").status() == 204);
    assert_eq!(ann.events(&job, None).pop().unwrap().kind, "completed");
    ann.get("/v1/auth/me").ok(200);
}

#[test]
fn what_can_not_be_read_is_told_as_a_problem() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    ann.post("/v1/videos/upload", &json!({ "filename": "a.mp4", "file_size": "large" })).problem(422);
    ann.post("/v1/videos/upload", &json!({ "filename": "a.mp4", "file_size": 5, "more": 1 })).problem(422);
    ann.post_text("/v1/videos/upload", "application/json", "{").problem(422);
    ann.post_text("/v1/videos/upload", "text/plain", "{}").problem(415);
    ann.post_text("/v1/videos/upload", "application/json", &" ".repeat(300_000)).problem(413);
    ann.get("/v1/videos/nothing").problem(404);
    ann.get("/v1/nothing").problem(404);
    let refused = ann.send("PATCH", "/v1/videos", &Value::Null);
    assert_eq!(refused.header("allow"), "GET,HEAD,POST");
    refused.problem(405);
    let video = ann.upload("a.mp4", b"video");
    ann.post(&format!("/v1/videos/{video}/transcode"), &json!({})).problem(409);
    let whole = ann.uploaded("film.mp4");
    let bad = [
        json!([]),
        json!({ "priority": 0 }),
        json!({ "priorities": 1 }),
        json!({ "output": [] }),
        json!({ "output": { "codecs": ["h264", "h264"] } }),
        json!({ "output": { "ladder": ["huge"] } }),
        json!({ "output": { "quality": 200 } }),
    ];
    for wanted in bad {
        ann.post(&format!("/v1/videos/{whole}/transcode"), &wanted).problem(422);
    }
}

#[test]
fn tables_can_be_made_and_taken_back_again() {
    let platform = Platform::start();
    platform.migrate_there_and_back();
}

/// Nobody is told to anybody.
#[test]
fn tokens_that_are_signed_otherwise_are_refused() {
    let platform = Platform::start();
    let ann: Somebody<'_> = platform.register("ann@example.com");
    let parts: Vec<&str> = ann.token.split('.').collect();
    let none = "eyJhbGciOiJub25lIiwia2lkIjoiMSIsInR5cCI6IkpXVCJ9";
    for bad in
        [format!("{none}.{}.", parts[1]), format!("{}.{}.AAAA", parts[0], parts[1]), "x".to_owned(), String::new()]
    {
        let refused = platform.with(&bad).get("/v1/auth/me");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        refused.problem(401);
    }
}
