//! Webhooks, as a receiver meets them: over HTTP, with a real Postgres, and with replicas that are killed.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod fixture;

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use fixture::{Platform, Somebody, until};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use vtp_control_plane::db::jobs;
use vtp_control_plane::end::End;

const ALL: [&str; 6] =
    ["job.completed", "job.failed", "job.cancelled", "video.ready", "video.failed", "batch.completed"];

/// What a receiver was sent.
#[derive(Clone)]
struct Heard {
    id: String,
    timestamp: i64,
    signature: String,
    body: Vec<u8>,
    at: Instant,
}

impl Heard {
    fn told(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn kind(&self) -> String {
        self.told()["type"].as_str().unwrap().to_owned()
    }

    /// As the specification's libraries check it.
    fn is_signed_by(&self, secret: &str) -> bool {
        let base64 = base64::engine::general_purpose::STANDARD;
        let key = base64.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
        let signed = [format!("{}.{}.", self.id, self.timestamp).as_bytes(), &self.body].concat();
        let mut tags = self.signature.split(' ').filter_map(|it| base64.decode(it.strip_prefix("v1,")?).ok());
        tags.any(|tag| ring::hmac::verify(&key, &signed, &tag).is_ok())
    }
}

type Reply = (u16, Vec<(&'static str, String)>, &'static str);

/// Hears webhooks, and answers as it is told: by what came, and how often that had come before.
struct Receiver {
    heard: Arc<Mutex<Vec<Heard>>>,
    url: String,
    _runtime: Runtime,
}

impl Receiver {
    fn start(reply: impl Fn(&Heard, usize) -> Reply + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let heard = Arc::new(Mutex::new(Vec::<Heard>::new()));
        let (hearing, reply) = (Arc::clone(&heard), Arc::new(reply));
        let answer = move |headers: HeaderMap, body: Bytes| {
            let header = |name: &str| headers[name].to_str().unwrap().to_owned();
            assert_eq!(header("content-type"), "application/json");
            let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp").parse().unwrap());
            let signature = header("webhook-signature");
            let heard = Heard { id, timestamp, signature, body: body.to_vec(), at: Instant::now() };
            let mut all = hearing.lock().unwrap();
            let before = all.iter().filter(|it| it.id == heard.id).count();
            let (status, named, text) = reply(&heard, before);
            all.push(heard);
            let mut response = (StatusCode::from_u16(status).unwrap(), text).into_response();
            for (name, value) in named {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            async { response }
        };
        let router = axum::Router::new().fallback(answer);
        let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let url = format!("http://{}/heard?by=us", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { heard, url, _runtime: runtime }
    }

    fn willing() -> Self {
        Self::start(|_, _| (204, Vec::new(), ""))
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    fn kinds(&self) -> Vec<String> {
        self.heard().iter().map(Heard::kind).collect()
    }
}

fn hook(somebody: &Somebody<'_>, url: &str, events: &[&str]) -> (String, String) {
    let made = somebody.post("/v1/webhooks", &json!({ "url": url, "events": events })).ok(201);
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (format!("/v1/webhooks/{}", text("id")), text("secret"))
}

fn deliveries(somebody: &Somebody<'_>, place: &str) -> Vec<Value> {
    somebody.get(&format!("{place}/deliveries?limit=100")).ok(200)["data"].as_array().unwrap().clone()
}

#[test]
fn what_happens_is_told_signed_to_whoever_hears_of_it_and_to_nobody_else() {
    let platform = Platform::telling();
    let (ann, bob) = (platform.register("ann@example.com"), platform.register("bob@example.com"));
    let (all, failures, others) = (Receiver::willing(), Receiver::willing(), Receiver::willing());
    let (_, secret) = hook(&ann, &all.url, &ALL);
    hook(&ann, &failures.url, &["job.failed"]);
    hook(&bob, &others.url, &ALL);
    let video = ann.uploaded("film.mp4");
    let useless = ann.upload("text.mp4", b"no video at all");
    ann.post(&format!("/v1/videos/{useless}/complete"), &Value::Null).problem(422);
    let failing = ann.uploaded("fail.mp4");
    let items = [&video, &failing].map(|it| json!({ "video_id": it }));
    let batch = ann.post("/v1/batches", &json!({ "items": items })).ok(202)["id"].clone();
    let hanging = ann.transcode(&ann.uploaded("hang.mp4"));
    until("it is worked on", || ann.get(&format!("/v1/jobs/{hanging}")).ok(200)["status"] == "processing");
    ann.post(&format!("/v1/jobs/{hanging}/cancel"), &Value::Null).ok(200);
    until("all of it is told", || ALL.iter().all(|kind| all.kinds().iter().any(|it| it == kind)));
    let heard = all.heard();
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    assert!(heard.iter().all(|it| it.is_signed_by(&secret) && (now - 60..=now).contains(&it.timestamp)));
    assert_eq!(heard.iter().map(|it| &*it.id).collect::<HashSet<_>>().len(), heard.len(), "each is told once");
    let told = |kind: &str| heard.iter().find(|it| it.kind() == kind).unwrap().told();
    let failed = told("job.failed");
    assert_eq!((&failed["data"]["error_code"], &failed["data"]["video_id"]), (&1005.into(), &failing.as_str().into()));
    assert!(failed["timestamp"].as_str().unwrap().ends_with('Z'), "{failed}");
    assert_eq!(told("job.cancelled")["data"]["id"], hanging);
    assert_eq!(told("video.failed")["data"]["failure_code"], 1001);
    let ended = &told("batch.completed")["data"];
    assert_eq!((&ended["id"], &ended["completed"], &ended["failed"]), (&batch, &1.into(), &1.into()));
    assert_eq!((failures.kinds(), others.kinds()), (vec!["job.failed".to_owned()], Vec::new()));
}

#[test]
fn a_secret_is_told_once_and_the_one_before_signs_besides() {
    let platform = Platform::telling();
    let ann = platform.register("ann@example.com");
    let receiver = Receiver::willing();
    let (place, first) = hook(&ann, &receiver.url, &["job.failed"]);
    assert!(!ann.get(&place).text(200).contains("whsec_") && !ann.get("/v1/webhooks").text(200).contains("whsec_"));
    let second = ann.post(&format!("{place}/rotate"), &Value::Null).ok(200)["secret"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    let test = || ann.post(&format!("{place}/test"), &Value::Null).ok(202);
    assert_eq!(test()["event"], "webhook.test");
    until("it is told", || receiver.heard().len() == 1);
    let heard = receiver.heard().remove(0);
    assert!(heard.is_signed_by(&first) && heard.is_signed_by(&second));
    platform.with_database(async |db| {
        let later = "UPDATE webhooks SET old_secret_until = now() - interval '1 second'";
        sqlx::query(later).execute(&db).await.unwrap();
    });
    test();
    until("it is told", || receiver.heard().len() == 2);
    let heard = receiver.heard().remove(1);
    assert!(!heard.is_signed_by(&first) && heard.is_signed_by(&second), "a day later the old one is good no longer");
}

#[test]
fn what_is_not_taken_is_sent_again_each_attempt_is_listed_and_it_can_be_replayed() {
    let platform = Platform::telling();
    let ann = platform.register("ann@example.com");
    let elsewhere = Receiver::willing();
    let moved = elsewhere.url.clone();
    let receiver = Receiver::start(move |_, before| match before {
        0 => (500, Vec::new(), "not\0now"),
        1 => (503, vec![("retry-after", "3".to_owned())], ""),
        2 => (302, vec![("location", moved.clone())], ""),
        _ => (200, Vec::new(), "thanks"),
    });
    let (place, _) = hook(&ann, &receiver.url, &["video.ready"]);
    ann.uploaded("film.mp4");
    until("it is delivered", || deliveries(&ann, &place).iter().any(|it| it["status"] == "delivered"));
    let delivery = deliveries(&ann, &place).remove(0);
    let attempts = delivery["attempts"].as_array().unwrap();
    let told =
        |at: usize| (attempts[at]["number"].clone(), attempts[at]["status"].clone(), attempts[at]["answer"].clone());
    assert_eq!(attempts.len(), 4, "{delivery}");
    assert_eq!(
        [told(0), told(3)],
        [(1.into(), 500.into(), "not\u{fffd}now".into()), (4.into(), 200.into(), "thanks".into())]
    );
    assert!(attempts.iter().all(|it| it["duration_ms"].is_u64() && it["error"].is_null()), "{delivery}");
    assert!(elsewhere.heard().is_empty(), "nothing is followed");
    let heard = receiver.heard();
    assert!(heard.iter().all(|it| it.id == delivery["event_id"] && it.body == heard[0].body));
    assert!(heard[2].at - heard[1].at >= Duration::from_secs(3), "whoever asks to be left alone is");
    let again =
        ann.post(&format!("{place}/deliveries/{}/replay", delivery["id"].as_str().unwrap()), &Value::Null).ok(202);
    assert_eq!((&again["id"], &again["status"]), (&delivery["id"], &"pending".into()));
    until("it is told again", || receiver.heard().len() == 5);
    assert_eq!(receiver.heard()[4].id, heard[0].id);
    ann.post(&format!("{place}/deliveries/{}/replay", uuid::Uuid::now_v7()), &Value::Null).problem(404);
}

#[test]
fn a_receiver_that_is_gone_or_not_wanted_is_told_nothing() {
    let platform = Platform::telling();
    let ann = platform.register("ann@example.com");
    let (gone, paused) = (Receiver::start(|_, _| (410, Vec::new(), "")), Receiver::willing());
    let (place, _) = hook(&ann, &gone.url, &["video.ready"]);
    let (other, _) = hook(&ann, &paused.url, &["video.ready"]);
    ann.post(&format!("{other}/disable"), &Value::Null).ok(200);
    ann.post(&format!("{other}/test"), &Value::Null).problem(409);
    ann.uploaded("film.mp4");
    until("it is disabled", || ann.get(&place).ok(200)["disabled_for"] == "gone");
    assert_eq!(
        (deliveries(&ann, &place)[0]["status"].clone(), ann.get(&place).ok(200)["enabled"].clone()),
        ("failed".into(), false.into())
    );
    assert_eq!(ann.post(&format!("{other}/enable"), &Value::Null).ok(200)["enabled"], true);
    ann.uploaded("film.mp4");
    until("it is told", || !paused.heard().is_empty());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((gone.heard().len(), paused.heard().len()), (1, 1), "what happened meanwhile is not told later");
    ann.delete(&other).ok(204);
    ann.get(&format!("{other}/deliveries")).problem(404);
    ann.uploaded("film.mp4");
}

#[test]
fn a_receiver_at_which_nothing_arrives_is_given_up_after_days() {
    let platform = Platform::telling();
    let ann = platform.register("ann@example.com");
    let receiver = Receiver::start(|_, _| (500, Vec::new(), ""));
    let (place, _) = hook(&ann, &receiver.url, &["video.ready"]);
    ann.uploaded("film.mp4");
    until("it has failed", || deliveries(&ann, &place)[0]["attempts"].as_array().is_some_and(|it| !it.is_empty()));
    platform.with_database(async |db| {
        let days = "UPDATE webhooks SET failing_since = now() - interval '6 days'";
        sqlx::query(days).execute(&db).await.unwrap();
    });
    until("it is given up", || ann.get(&place).ok(200)["disabled_for"] == "failing");
    let delivery = deliveries(&ann, &place).remove(0);
    assert_eq!((&delivery["status"], &delivery["next_attempt_at"]), (&"failed".into(), &Value::Null));
    assert_eq!(delivery["attempts"].as_array().unwrap().len(), 5, "as often as is set, and once more");
}

#[test]
fn a_user_whose_many_webhooks_never_answer_holds_nobody_else_s_up() {
    let platform = Platform::telling();
    let (ann, bob) = (platform.register("ann@example.com"), platform.register("bob@example.com"));
    // Connections come in, and nobody answers.
    let silent = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    for place in (0..20).map(|_| hook(&ann, &url, &ALL).0).collect::<Vec<_>>() {
        for _ in 0..4 {
            ann.post(&format!("{place}/test"), &Value::Null).ok(202);
        }
    }
    let on_their_way = || -> i64 {
        platform.with_database(async |db| {
            let claimed = "SELECT count(*) FROM webhook_deliveries WHERE claimed_until >= now()";
            sqlx::query_scalar(claimed).fetch_one(&db).await.unwrap()
        })
    };
    until("as much is sent as may be", || on_their_way() >= 16);
    let willing = Receiver::willing();
    let (place, _) = hook(&bob, &willing.url, &ALL);
    let began = Instant::now();
    bob.post(&format!("{place}/test"), &Value::Null).ok(202);
    until("another's is told", || !willing.heard().is_empty());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(on_their_way() <= 17, "of one user no more than that");
}

#[test]
fn nothing_is_sent_to_addresses_inside() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let make = |url: &str| ann.post("/v1/webhooks", &json!({ "url": url, "events": ["job.failed"] }));
    let long = format!("https://example.com/{}", "x".repeat(2000));
    for bad in [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://2130706433/",
        "https://ann:x@example.com/",
        "https://169.254.169.254/latest/meta-data/",
        "ftp://example.com/",
        "example.com",
        "",
        &long,
    ] {
        let refused = make(bad).problem(422)["detail"].as_str().unwrap().to_owned();
        assert!(refused.starts_with("url: ") && !refused.contains("ann:x"), "{bad}: {refused}");
    }
    let place = format!("/v1/webhooks/{}", make("https://localhost/").ok(201)["id"].as_str().unwrap());
    ann.post(&format!("{place}/test"), &Value::Null).ok(202);
    let error = || deliveries(&ann, &place)[0]["attempts"][0]["error"].as_str().unwrap_or_default().to_owned();
    until("it was tried", || !error().is_empty());
    assert!(error().starts_with("no address of localhost is reached from everywhere"), "{}", error());
    let more = json!({ "url": "https://example.com/", "events": [] });
    ann.post("/v1/webhooks", &more).problem(422);
    ann.post("/v1/webhooks", &json!({ "url": "https://example.com/", "events": ["job.started"] })).problem(422);
    (1..20).for_each(|_| drop(make("https://example.com/").ok(201)));
    make("https://example.com/").problem(409);
}

#[test]
fn a_batch_ends_once_however_many_of_its_jobs_end_at_the_same_time() {
    let platform = Platform::idle();
    let ann = platform.register("ann@example.com");
    let (place, _) = hook(&ann, "https://example.com/", &["batch.completed", "job.completed"]);
    let items = vec![json!({ "video_id": ann.uploaded("film.mp4") }); 4];
    for _ in 0..10 {
        ann.post("/v1/batches", &json!({ "items": items })).ok(202);
    }
    platform.with_database(async |db| {
        let claimed = jobs::claim(&db, 40, 600).await.unwrap();
        let end = End::Completed { report: json!({}), outputs: Vec::new(), bytes: 1, effort: None };
        let ends = claimed.iter().map(|job| jobs::end(&db, job.id, job.video_id, job.lease_epoch, &end));
        assert!(futures_util::future::join_all(ends).await.into_iter().all(|it| it.unwrap() == jobs::Ended::Noted));
    });
    let all = deliveries(&ann, &place);
    let of = |kind: &str| all.iter().filter(|it| it["event"] == kind).count();
    assert_eq!((of("batch.completed"), of("job.completed")), (10, 40));
}

#[test]
fn each_event_arrives_with_one_number_whichever_replica_is_killed_and_whatever_the_database_does() {
    let platform = Platform::telling();
    platform.another();
    let ann = platform.register("ann@example.com");
    let receiver = Receiver::start(|_, before| (if before < 2 { 500 } else { 200 }, Vec::new(), ""));
    hook(&ann, &receiver.url, &["job.completed", "video.ready", "batch.completed"]);
    let video = ann.uploaded("slow.mp4");
    let batch = ann.post("/v1/batches", &json!({ "items": vec![json!({ "video_id": video }); 8] })).ok(202);
    let place = format!("/v1/batches/{}", batch["id"].as_str().unwrap());
    until("the first is told", || !receiver.heard().is_empty());
    // Some of the jobs are of the one that is killed, and so are some deliveries.
    platform.kill_another();
    platform.end_database();
    std::thread::sleep(Duration::from_secs(1));
    platform.restart_database();
    until("it is back", || platform.nobody().get("/health/ready").status() == 204);
    platform.another();
    until("some have ended", || ann.get(&place).ok(200)["completed"].as_u64().unwrap() > 0);
    until("that is told", || receiver.kinds().iter().any(|it| it == "job.completed"));
    platform.kill_another();
    // Ten things have happened, and each was refused twice.
    let taken = || {
        let mut count = HashMap::<String, usize>::new();
        receiver.heard().into_iter().for_each(|it| *count.entry(it.id).or_default() += 1);
        count.into_values().filter(|times| *times > 2).count()
    };
    until("all is told", || taken() == 10);
    let mut numbers = HashMap::<(String, String), HashSet<String>>::new();
    for heard in receiver.heard() {
        let subject = heard.told()["data"]["id"].as_str().unwrap().to_owned();
        numbers.entry((heard.kind(), subject)).or_default().insert(heard.id);
    }
    assert_eq!(numbers.len(), 10);
    assert!(numbers.values().all(|ids| ids.len() == 1), "{numbers:?}");
}
