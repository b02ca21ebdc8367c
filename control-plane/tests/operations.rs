//! What whoever runs the API has to know: how it is, who uses what, and who did what.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod fixture;

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fixture::Platform;
use serde_json::{Value, json};
use vtp_control_plane::Config;
use vtp_control_plane::db::usage;

#[test]
fn what_is_done_stands_in_the_audit_log_and_stays_there() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let video = ann.upload("film.mp4", b"video");
    ann.get("/v1/videos").ok(200);
    let wrong = json!({ "email": "ann@example.com", "password": "something else" });
    platform.nobody().post("/v1/auth/login", &wrong).problem(401);
    ann.delete(&format!("/v1/videos/{video}")).ok(204);
    ann.delete(&format!("/v1/videos/{video}")).problem(404);
    let done = ann.get("/v1/audit").ok(200)["data"].as_array().unwrap().clone();
    let told = |it: &Value| {
        format!("{} {} {}", it["method"].as_str().unwrap(), it["path"].as_str().unwrap(), it["status_code"])
    };
    let expected = [
        format!("DELETE /v1/videos/{video} 204"),
        "POST /v1/videos/upload 201".to_owned(),
        "POST /v1/auth/register 201".to_owned(),
    ];
    assert_eq!(done.iter().map(told).collect::<Vec<_>>(), expected);
    assert!(done.iter().all(|it| it["ip_address"] == "127.0.0.1" && it["request_id"].is_string()), "{done:?}");
    let bob = platform.register("bob@example.com");
    assert_eq!(bob.get("/v1/audit").ok(200)["data"].as_array().unwrap().len(), 1);
    platform.with_database(async |db| {
        let refused = "SELECT count(*) FROM audit_log WHERE user_id IS NULL AND endpoint = '/v1/auth/login' AND status_code = 401";
        assert_eq!(sqlx::query_scalar::<_, i64>(refused).fetch_one(&db).await.unwrap(), 1);
        for change in ["UPDATE audit_log SET path = ''", "DELETE FROM audit_log", "TRUNCATE audit_log"] {
            let error = sqlx::query(change).execute(&db).await.unwrap_err().to_string();
            assert!(error.contains("only added to"), "{error}");
        }
    });
}

#[test]
fn what_is_done_is_noted_also_where_its_client_does_not_wait_for_the_answer() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let body = json!({ "filename": "a.mp4", "file_size": 5 }).to_string();
    for key in ["", "idempotency-key: one\r\n"] {
        platform.with_database(async |db| {
            // Until this is let go of, nobody begins an upload.
            let mut held = db.begin().await.unwrap();
            sqlx::query("SELECT FROM users FOR UPDATE").execute(&mut *held).await.unwrap();
            let mut stream = TcpStream::connect(platform.host()).unwrap();
            let head = format!("POST /v1/videos/upload HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{key}");
            let (token, length) = (&ann.token, body.len());
            write!(stream, "{head}authorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
            while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&db).await.unwrap() == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            drop(stream);
            tokio::time::sleep(Duration::from_millis(300)).await;
            held.commit().await.unwrap();
        });
    }
    let done = || ann.get("/v1/audit").ok(200)["data"].as_array().unwrap().len();
    let begun = || ann.get("/v1/videos").ok(200)["data"].as_array().unwrap().len();
    fixture::until("they are carried out", || begun() == 2);
    fixture::until("both are noted, and signing up", || done() == 3);
}

#[test]
fn it_is_known_for_a_while_who_used_what_of_the_api() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    (0..3).for_each(|_| drop(ann.get("/v1/videos").ok(200)));
    ann.get("/v1/jobs/0196f9b2-0000-7000-8000-000000000000").problem(404);
    let used = |what: &str| {
        let count = format!("SELECT count(*) FROM api_usage WHERE processing_time >= 0 AND {what}");
        platform.with_database(async |db| {
            sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(count)).fetch_one(&db).await.unwrap()
        })
    };
    fixture::until("rows are kept", || used("status_code = 404") == 1);
    assert_eq!(used("endpoint = '/v1/videos' AND method = 'GET' AND status_code = 200 AND response_size > 0"), 3);
    assert_eq!(used("endpoint = '/v1/jobs/{id}'"), 1);
    platform.with_database(async |db| {
        let old = "CREATE TABLE api_usage_2020_01 PARTITION OF api_usage
                   FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2020-02-01 00:00:00+00')";
        sqlx::query(old).execute(&db).await.unwrap();
        let months = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'api_usage'::regclass";
        assert_eq!(sqlx::query_scalar::<_, i64>(months).fetch_one(&db).await.unwrap(), 3);
        usage::keep(&db, 90).await.unwrap();
        assert_eq!(sqlx::query_scalar::<_, i64>(months).fetch_one(&db).await.unwrap(), 2, "this month and the next");
    });
}

#[test]
fn the_status_names_what_is_away() {
    let platform = Platform::start();
    platform.fleet.is_away.store(true, Ordering::Relaxed);
    let status = platform.nobody().get("/status").ok(200);
    assert_eq!(status["components"], json!({ "database": "ok", "store": "ok", "fleet": "away" }));
    assert_eq!(status["status"], "away");
    platform.fleet.is_away.store(false, Ordering::Relaxed);
    assert_eq!(platform.nobody().get("/status").ok(200)["status"], "away", "as of five seconds ago at most");
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(platform.nobody().get("/status").ok(200)["status"], "ok");
}

#[test]
fn metrics_are_told_to_those_alone_whom_the_settings_name() {
    let platform = Platform::start();
    assert!(platform.nobody().get("/metrics").text(200).contains("vtp_of_a_test 1"));
    let closed = Platform::start_with(|config| Config { metrics_networks: Vec::new(), ..config });
    closed.nobody().get("/metrics").problem(404);
}
