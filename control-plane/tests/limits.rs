//! Limits as users meet them, over HTTP and a real Postgres: the same for all replicas, and for nobody else.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod fixture;

use std::time::{Duration, Instant};

use fixture::{Answer, Platform, Somebody};
use serde_json::{Value, json};
use vtp_control_plane::Config;
use vtp_control_plane::db::rate_limits;
use vtp_control_plane::limits::gcra::{self, Quota};
use vtp_control_plane::limits::rules::Rules;

/// A platform with these limits, and those that are usual.
fn limited(rules: &str, proxies: &[&str]) -> Platform {
    let limits: Rules = toml::from_str(rules).unwrap();
    let trusted_proxies = proxies.iter().map(|it| it.parse().unwrap()).collect();
    Platform::start_with(|config| Config { limits, trusted_proxies, ..config })
}

fn begin(somebody: &Somebody<'_>) -> Answer {
    somebody.post("/v1/videos/upload", &json!({ "filename": "film.mp4", "file_size": 5 }))
}

fn login(nobody: &Somebody<'_>, forwarded: &str) -> u16 {
    let who = json!({ "email": "ann@example.com", "password": "wrong password" });
    nobody.post_with("/v1/auth/login", &who, &[("x-forwarded-for", forwarded)]).status()
}

#[test]
fn two_replicas_together_let_no_more_pass_than_one_limit_allows() {
    // One comes back every 20 s.
    let platform = limited("upload = \"3/7\"", &[]);
    let (ann, bob) = (platform.register("ann@example.com"), platform.register("bob@example.com"));
    let other = platform.another();
    let began = Instant::now();
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let hands: Vec<_> = (0..6)
            .map(|hand| {
                let ann = ann.at(if hand % 2 == 0 { 0 } else { other });
                scope.spawn(move || (0..5).map(|_| begin(&ann)).collect::<Vec<_>>())
            })
            .collect();
        hands.into_iter().flat_map(|hand| hand.join().unwrap()).collect()
    });
    let most = 7 + began.elapsed().as_secs() as usize / 20;
    let passed = answers.iter().filter(|it| it.status() == 201).count();
    assert!((7..=most).contains(&passed), "{passed} of 30 passed, in {:?}", began.elapsed());
    assert_eq!(answers.iter().filter(|it| it.status() == 429).count(), 30 - passed);
    begin(&bob).ok(201);
    begin(&bob.at(other)).ok(201);
    ann.get("/v1/videos").ok(200);
}

#[test]
fn who_waits_as_long_as_was_told_passes_and_who_does_not_is_refused() {
    let platform = limited("upload = \"12/2\"", &[]);
    let ann = platform.register("ann@example.com");
    let other = platform.another();
    begin(&ann).ok(201);
    begin(&ann).ok(201);
    for replica in [0, other, 0] {
        let refused = begin(&ann.at(replica));
        let problem = refused.problem(429);
        assert_eq!((&problem["code"], &problem["retry"]), (&2001.into(), &"later".into()));
        assert_eq!(problem["type"], "/problems/too-many-requests");
        assert!(problem["request_id"].is_string());
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=5).contains(&wait), "one comes back every 5 s, and not in {wait}");
        assert!(refused.header("ratelimit").ends_with(&format!("\"upload\";r=0;t={wait}")));
        std::thread::sleep(Duration::from_secs(wait));
        begin(&ann.at(replica)).ok(201);
    }
}

#[test]
fn a_key_that_makes_a_write_happen_once_lets_nobody_past_a_limit() {
    let platform = limited("upload = \"1/2\"", &[]);
    let ann = platform.register("ann@example.com");
    let wanted = json!({ "filename": "film.mp4", "file_size": 5 });
    let send = |key: &str| ann.post_with("/v1/videos/upload", &wanted, &[("idempotency-key", key)]).status();
    assert_eq!([send("1"), send("2"), send("3"), send("4")], [201, 201, 429, 429]);
}

#[test]
fn limits_and_what_is_left_are_told_with_every_answer_that_counts() {
    let platform = limited("ip = \"1/1000\"", &[]);
    let ann = platform.register("ann@example.com");
    let listed = ann.get("/v1/videos");
    let told = "\"ip\";q=1000;w=60000, \"list\";q=100;w=100, \"user\";q=100;w=60";
    assert_eq!(listed.header("ratelimit-policy"), told);
    let left = listed.header("ratelimit");
    assert!(left.starts_with("\"ip\";r=998;t=") && left.ends_with(", \"list\";r=99;t=1, \"user\";r=99;t=1"), "{left}");
    let video = ann.uploaded("film.mp4");
    let ordered = ann.post(&format!("/v1/videos/{video}/transcode"), &json!({}));
    assert!(ordered.header("ratelimit-policy").contains("\"transcode\";q=20;w=120"));
    assert!(ordered.header("ratelimit").contains("\"transcode\";r=19;t=6"), "{}", ordered.header("ratelimit"));
    let missing = ann.get("/v1/videos/nothing");
    missing.problem(404);
    assert!(missing.header("ratelimit").contains("\"user\""));
    for uncounted in ["/health/live", "/play/a/b/c"] {
        assert_eq!(platform.nobody().get(uncounted).header("ratelimit"), "", "{uncounted}");
    }
}

#[test]
fn twenty_may_try_to_sign_in_from_an_address_and_then_one_in_six_seconds() {
    let platform = limited("", &[]);
    let began = Instant::now();
    let tries: Vec<u16> = (0..24).map(|number| login(&platform.nobody(), &format!("198.51.100.{number}"))).collect();
    let most = 20 + began.elapsed().as_secs() as usize / 6;
    let passed = tries.iter().filter(|it| **it == 401).count();
    assert!((20..=most).contains(&passed), "{tries:?}");
    assert_eq!(tries[..20], [401; 20]);
}

#[test]
fn what_a_request_says_of_where_it_comes_from_is_believed_of_trusted_proxies_alone() {
    let platform = limited("auth = \"1/2\"", &["127.0.0.0/8"]);
    let from = |forwarded: &str| login(&platform.nobody(), forwarded);
    assert_eq!([from("198.51.100.1"), from("198.51.100.1"), from("198.51.100.1")], [401, 401, 429]);
    assert_eq!([from("198.51.100.2"), from("198.51.100.1, 198.51.100.2"), from("198.51.100.2")], [401, 401, 429]);
    assert_eq!([from("2001:db8::1"), from("2001:db8::2"), from("2001:db8::3")], [401, 401, 429], "one /64");
    let elsewhere = limited("auth = \"1/2\"", &["10.0.0.0/8"]);
    let from = |forwarded: &str| login(&elsewhere.nobody(), forwarded);
    assert_eq!([from("198.51.100.1"), from("198.51.100.2"), from("198.51.100.3")], [401, 401, 429]);
}

#[test]
fn parts_and_playback_do_not_count_for_what_a_user_does_altogether() {
    let platform = limited("user = \"1/4\"", &[]);
    let ann = platform.register("ann@example.com");
    let film = vec![7; 12 * fixture::CHUNK];
    let video = ann.upload("film.mp4", &film);
    ann.post(&format!("/v1/videos/{video}/complete"), &Value::Null).ok(200);
    (0..10).for_each(|_| drop(ann.get("/play/a/b/c").problem(404)));
    // Whatever they show, it is the same user.
    let key = ann.post("/v1/api-keys", &json!({ "name": "k", "scopes": ["read"] })).ok(201);
    let reader = platform.with(key["secret"].as_str().unwrap());
    reader.get("/v1/videos").ok(200);
    reader.get("/v1/videos").problem(429);
    ann.get("/v1/auth/me").problem(429);
    platform.register("bob@example.com").get("/v1/auth/me").ok(200);
}

#[test]
fn a_flood_of_what_is_refused_costs_the_database_nothing() {
    let platform = limited("upload = \"1/1\"", &[]);
    let ann = platform.register("ann@example.com");
    begin(&ann).ok(201);
    begin(&ann).problem(429);
    let versions = || {
        platform.with_database(async |db| {
            let rows: Vec<(String, String)> =
                sqlx::query_as("SELECT key, xmin::text FROM rate_limits ORDER BY key").fetch_all(&db).await.unwrap();
            rows
        })
    };
    let before = versions();
    for _ in 0..50 {
        begin(&ann).problem(429);
    }
    assert_eq!(versions(), before);
    assert_eq!(before.len(), 4, "{before:?}");
}

#[test]
fn administrators_have_a_limit_of_their_own_and_none_is_there_when_they_are_off() {
    let platform = limited("user = \"1/1\"", &[]);
    let ann = platform.register("ann@example.com");
    platform.with_database(async |db| {
        sqlx::query("UPDATE users SET role = 'admin'").execute(&db).await.unwrap();
    });
    for _ in 0..3 {
        let me = ann.get("/v1/auth/me");
        me.ok(200);
        assert!(me.header("ratelimit-policy").contains("\"admin\";q=5000;w=300"));
    }
    let free = limited("on = false\nuser = \"1/1\"", &[]);
    let ann = free.register("ann@example.com");
    ann.get("/v1/auth/me").ok(200);
    assert_eq!(ann.get("/v1/auth/me").header("ratelimit"), "");
}

#[test]
fn nobody_is_refused_because_the_database_is_away() {
    let platform = limited("ip = \"1/2\"", &[]);
    let ask = || platform.nobody().get("/openapi.json").status();
    assert_eq!(ask(), 200);
    platform.end_database();
    assert_eq!([ask(), ask()], [200; 2]);
}

#[test]
fn the_database_reckons_as_it_is_written_down_and_forgets_what_is_past() {
    let platform = Platform::start();
    platform.with_database(async |db| {
        for (per_minute, burst) in [(600, 5), (7, 3), (60_000, 2), (1_000_000, 1_000_000)] {
            let (quota, key) = (Quota::new(per_minute, burst).unwrap(), format!("test:{per_minute}"));
            let mut tat = None;
            for _ in 0..40 {
                let (verdict, now) = rate_limits::take(&db, &key, quota).await.unwrap();
                assert_eq!(verdict, gcra::decide(quota, tat, now), "{per_minute}/{burst} {tat:?} {now}");
                tat = Some(verdict.tat);
                tokio::time::sleep(Duration::from_millis(fastrand::u64(0..20))).await;
            }
        }
        // What is there of a larger quota is all used up of a smaller.
        let (small, large) = (Quota::new(600, 2).unwrap(), Quota::new(1, 100).unwrap());
        for _ in 0..5 {
            rate_limits::take(&db, "test:changed", large).await.unwrap();
        }
        let (verdict, now) = rate_limits::take(&db, "test:changed", small).await.unwrap();
        assert_eq!((verdict.is_allowed, verdict.tat), (false, now + small.whole()));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(rate_limits::tidy(&db).await.unwrap() >= 1);
        let left: Vec<String> =
            sqlx::query_scalar("SELECT key FROM rate_limits WHERE key LIKE 'test:%'").fetch_all(&db).await.unwrap();
        assert_eq!(left, ["test:7"]);
    });
}
