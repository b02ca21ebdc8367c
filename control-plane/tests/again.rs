//! Writes that are sent again: with a key they are carried out once, whatever became of the first answer.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod fixture;

use fixture::{Platform, Somebody};
use serde_json::{Value, json};

/// As if the replica had been killed minutes ago that carried the requests out: what they made is there, and no answer is.
fn lose_answers(platform: &Platform) {
    platform.with_database(async |db| {
        let lost = "UPDATE idempotency_keys SET status = NULL, body = NULL, created_at = now() - interval '3 minutes'";
        sqlx::query(lost).execute(&db).await.unwrap();
    });
}

#[test]
fn a_write_with_a_key_goes_on_when_its_client_goes_away() {
    use std::io::Write as _;
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let body = json!({ "filename": "a.mp4", "file_size": 5 });
    let again = || ann.post_with("/v1/videos/upload", &body, &[("idempotency-key", "one")]);
    platform.with_database(async |db| {
        let mut held = db.begin().await.unwrap();
        sqlx::query("LOCK TABLE videos IN ACCESS EXCLUSIVE MODE").execute(&mut *held).await.unwrap();
        let mut stream = std::net::TcpStream::connect(platform.host()).unwrap();
        let (text, token) = (body.to_string(), &ann.token);
        let head =
            "POST /v1/videos/upload HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nidempotency-key: one";
        let length = text.len();
        write!(stream, "{head}\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n{text}").unwrap();
        let taken = "SELECT count(*) FROM idempotency_keys";
        while sqlx::query_scalar::<_, i64>(taken).fetch_one(&mut *held).await.unwrap() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        drop(stream);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        held.commit().await.unwrap();
    });
    fixture::until("it is carried out", || again().status() != 409);
    let answer = again();
    assert_eq!((answer.header("idempotent-replayed"), answer.status()), ("true".to_owned(), 201));
    assert_eq!(ann.get("/v1/videos").ok(200)["data"].as_array().unwrap().len(), 1);
}

#[test]
fn a_key_whose_request_is_under_way_is_to_be_sent_again_a_little_later() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let send = || {
        let body = json!({ "filename": "a.mp4", "file_size": 5 });
        ann.post_with("/v1/videos/upload", &body, &[("idempotency-key", "one")])
    };
    send().ok(201);
    platform.with_database(async |db| {
        sqlx::query("UPDATE idempotency_keys SET status = NULL, body = NULL").execute(&db).await.unwrap();
    });
    let refused = send();
    assert_eq!(
        (refused.header("retry-after"), refused.problem(409)["retry"].clone()),
        ("1".to_owned(), "later".into())
    );
}

#[test]
fn a_write_with_a_key_is_carried_out_once_and_answered_the_same() {
    let platform = Platform::start();
    let (ann, bob) = (platform.register("ann@example.com"), platform.register("bob@example.com"));
    let wanted = json!({ "filename": "a.mp4", "file_size": 5 });
    let send =
        |who: &Somebody<'_>, body: &Value| who.post_with("/v1/videos/upload", body, &[("idempotency-key", "one")]);
    let first = send(&ann, &wanted).ok(201);
    let again = send(&ann, &wanted);
    assert_eq!((again.ok(201), again.header("idempotent-replayed")), (first.clone(), "true".to_owned()));
    assert_eq!(again.header("content-type"), "application/json");
    assert_eq!(ann.get("/v1/videos").ok(200)["data"].as_array().unwrap().len(), 1);
    send(&ann, &json!({ "filename": "b.mp4", "file_size": 5 })).problem(422);
    assert_ne!(send(&bob, &wanted).ok(201)["video_id"], first["video_id"], "it is another's key");
    let bad = json!({ "filename": "", "file_size": 5 });
    let refused = |key| ann.post_with("/v1/videos/upload", &bad, &[("idempotency-key", key)]).problem(422);
    assert_eq!(refused("two")["detail"], refused("two")["detail"]);
    ann.post_with("/v1/videos/upload", &wanted, &[("idempotency-key", "")]).problem(422);
    platform.nobody().post_with("/v1/videos/upload", &wanted, &[("idempotency-key", "one")]).problem(401);
}

#[test]
fn no_secret_is_kept_with_the_answers_that_are() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let key = json!({ "name": "k", "scopes": ["read"] });
    let who = json!({ "email": "ann@example.com", "password": fixture::PASSWORD });
    let hook = json!({ "url": "https://example.com/", "events": ["job.failed"] });
    for (place, body) in [("/v1/api-keys", key), ("/v1/auth/login", who), ("/v1/webhooks", hook)] {
        for _ in 0..2 {
            let answer = ann.post_with(place, &body, &[("idempotency-key", place)]);
            assert!(
                (200..300).contains(&answer.status()) && answer.header("idempotent-replayed").is_empty(),
                "{place}"
            );
        }
    }
    let kept: i64 = platform.with_database(async |db| {
        sqlx::query_scalar("SELECT count(*) FROM idempotency_keys").fetch_one(&db).await.unwrap()
    });
    assert_eq!(kept, 0);
}

#[test]
fn a_write_whose_answer_was_lost_makes_nothing_twice() {
    let platform = Platform::idle();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    let url = "https://example.com/a.mp4";
    let transcode = format!("/v1/videos/{video}/transcode");
    let writes: [(&str, Value, &str); 4] = [
        ("/v1/videos/upload", json!({ "filename": "a.mp4", "file_size": 5 }), "video_id"),
        ("/v1/videos", json!({ "url": url }), "id"),
        ("/v1/batches", json!({ "items": [{ "video_id": video }, { "url": url }] }), "id"),
        (&transcode, json!({}), "id"),
    ];
    let made = || {
        writes.each_ref().map(|(place, body, id)| {
            let answer = ann.post_with(place, body, &[("idempotency-key", place)]);
            assert!((200..300).contains(&answer.status()), "{place}: {}", answer.status());
            (answer.ok(answer.status())[*id].clone(), answer.header("idempotent-replayed"))
        })
    };
    let first = made();
    lose_answers(&platform);
    let again = made();
    assert_eq!(again, first, "carried out again, and the same was made");
    assert!(made().iter().zip(&first).all(|(replayed, first)| replayed.0 == first.0 && replayed.1 == "true"));
    let count = |place: &str| ann.get(place).ok(200)["data"].as_array().unwrap().len();
    assert_eq!(["/v1/videos", "/v1/batches", "/v1/jobs"].map(count), [4, 1, 3]);
    lose_answers(&platform);
    let other = json!({ "filename": "b.mp4", "file_size": 5 });
    let other = ann.post_with("/v1/videos/upload", &other, &[("idempotency-key", "/v1/videos/upload")]).ok(201);
    assert_ne!(other["video_id"], first[0].0, "another request is another thing");
}

#[test]
fn what_was_in_the_way_for_the_moment_is_no_answer_for_a_day() {
    let platform = Platform::idle();
    let ann = platform.register("ann@example.com");
    let video = ann.upload("film.mp4", b"film");
    let transcode =
        || ann.post_with(&format!("/v1/videos/{video}/transcode"), &json!({}), &[("idempotency-key", "one")]);
    transcode().problem(409);
    ann.post(&format!("/v1/videos/{video}/complete"), &Value::Null).ok(200);
    transcode().ok(202);
    assert_eq!(transcode().header("idempotent-replayed"), "true");
}

#[test]
fn what_is_answered_late_is_not_taken_for_the_answer_to_another_request_with_the_same_key() {
    use vtp_control_plane::db::idempotency::{self, Answer, Hold, Known};
    let platform = Platform::start();
    platform.register("ann@example.com");
    let (answer_of, taken) = (
        |body: &[u8]| Answer { status: 200, content_type: None, body: body.to_vec() },
        |known: Known| -> Hold {
            let Known::Taken { hold, .. } = known else { panic!("{known:?}") };
            hold
        },
    );
    let users =
        platform.with_database(async |db| sqlx::query_scalar("SELECT id FROM users").fetch_all(&db).await.unwrap());
    let take = async |db: &sqlx::PgPool, request: &[u8]| idempotency::take(db, users[0], "one", request).await.unwrap();
    let first = platform.with_database(async |db| taken(take(&db, &[1; 32]).await));
    // Nothing was heard of it for minutes.
    lose_answers(&platform);
    platform.with_database(async |db| {
        let second = taken(take(&db, &[2; 32]).await);
        assert!(!idempotency::answer(&db, &first, &answer_of(b"late")).await.unwrap());
        idempotency::give_back(&db, &first).await.unwrap();
        idempotency::still(&db, &first).await.unwrap();
        assert_eq!(take(&db, &[2; 32]).await, Known::UnderWay);
        assert!(idempotency::answer(&db, &second, &answer_of(b"right")).await.unwrap());
        assert_eq!(take(&db, &[2; 32]).await, Known::Answered(answer_of(b"right")));
    });
}
