//! What goes on as it goes on, as whoever listens hears it: server-sent events and WebSocket, one job or all.

#![allow(clippy::unwrap_used)] // a test that cannot set up its scene has failed

mod fixture;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fixture::{Platform, Somebody};
use serde_json::{Value, json};
use tungstenite::HandshakeError;
use tungstenite::client::IntoClientRequest as _;
use tungstenite::handshake::client::Response;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};
use vtp_control_plane::Config;
use vtp_control_plane::db::{events, jobs};
use vtp_control_plane::ids::{JobId, UserId};

const PROTOCOL: &str = "sec-websocket-protocol";

/// Somebody who listens over WebSocket.
struct Listener(WebSocket<TcpStream>);

impl Listener {
    fn open(somebody: &Somebody<'_>, place: &str) -> Self {
        let shown = [("authorization", format!("Bearer {}", somebody.token))];
        Self::open_with(somebody, place, &shown).unwrap_or_else(|answer| panic!("{answer:?}")).0
    }

    /// The same, showing this; and the answer, which is the error where it is refused.
    fn open_with(
        somebody: &Somebody<'_>,
        place: &str,
        shown: &[(&'static str, String)],
    ) -> Result<(Self, Response), Box<Response>> {
        let host = somebody.host();
        let mut request = format!("ws://{host}{place}").into_client_request().unwrap();
        for (name, value) in shown {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        match tungstenite::client(request, stream) {
            Ok((socket, answer)) => Ok((Self(socket), answer)),
            Err(HandshakeError::Failure(tungstenite::Error::Http(answer))) => Err(answer),
            Err(error) => panic!("{error}"),
        }
    }

    /// The next event, or the code by which it is closed.
    fn next(&mut self) -> Result<(i64, String, Value), CloseCode> {
        loop {
            match self.0.read().unwrap() {
                Message::Text(text) => {
                    let told: Value = serde_json::from_str(&text).unwrap();
                    let id = told["id"].as_i64().unwrap();
                    return Ok((id, told["event"].as_str().unwrap().to_owned(), told["data"].clone()));
                }
                Message::Close(why) => return Err(why.unwrap().code),
                _ => {}
            }
        }
    }

    /// All events, to the last, and how it is closed.
    fn rest(&mut self) -> (Vec<(i64, String, Value)>, CloseCode) {
        let mut all = Vec::new();
        loop {
            match self.next() {
                Ok(event) => all.push(event),
                Err(code) => return (all, code),
            }
        }
    }
}

#[test]
fn a_websocket_tells_of_a_job_what_server_sent_events_do_and_goes_on_behind_what_was_seen() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let job = ann.transcode(&ann.uploaded("film.mp4"));
    let place = format!("/v1/jobs/{job}/progress");
    let (told, code) = Listener::open(&ann, &place).rest();
    let events = ann.events(&job, None);
    let same: Vec<_> = events.into_iter().map(|it| (it.number as i64, it.kind, it.data)).collect();
    assert_eq!((&told, code, told.last().unwrap().1.as_str()), (&same, CloseCode::Normal, "completed"));
    let after = |seen: i64| Listener::open(&ann, &format!("{place}?after={seen}")).rest();
    assert_eq!(after(told[1].0).0, told[2..]);
    assert_eq!(after(told.len() as i64), (Vec::new(), CloseCode::Normal));
    assert_eq!(ann.get(&format!("{place}?after={}", told.len())).status(), 204);
    assert_eq!(ann.get(&format!("{place}?after=1")).text(200).matches("id: ").count(), told.len() - 1);
    ann.get(&format!("{place}?after=-1")).problem(422);
    ann.get(&format!("{place}?before=1")).problem(422);
    ann.get_with(&place, &[("upgrade", "websocket")]).problem(422);
}

#[test]
fn a_websocket_of_a_job_that_is_somebody_else_s_is_not_opened() {
    let platform = Platform::start();
    let (ann, bob) = (platform.register("ann@example.com"), platform.register("bob@example.com"));
    let job = ann.transcode(&ann.uploaded("hang.mp4"));
    let place = format!("/v1/jobs/{job}/progress");
    let by_header = [("authorization", format!("Bearer {}", bob.token))];
    let by_protocol = [(PROTOCOL, format!("vtp.v1, vtp.bearer.{}", bob.token))];
    for shown in [by_header, by_protocol] {
        assert_eq!(Listener::open_with(&bob, &place, &shown).err().unwrap().status(), 404);
    }
}

#[test]
fn a_page_says_who_it_is_by_a_subprotocol_and_no_answer_names_that() {
    let platform = Platform::start();
    let ann = platform.register("ann@example.com");
    let job = ann.transcode(&ann.uploaded("film.mp4"));
    let key = |scope: &str| {
        let made = ann.post("/v1/api-keys", &json!({ "name": "k", "scopes": [scope] })).ok(201);
        made["secret"].as_str().unwrap().to_owned()
    };
    let nobody = platform.nobody();
    let open = |place: &str, offered: &str| Listener::open_with(&nobody, place, &[(PROTOCOL, offered.to_owned())]);
    let place = format!("/v1/jobs/{job}/progress");
    let told = Listener::open(&ann, &place).rest();
    for (place, secret) in [(&*place, &ann.token), (&*place, &key("read")), ("/v1/events", &ann.token)] {
        let (mut listener, answer) = open(place, &format!("vtp.v1, vtp.bearer.{secret}")).ok().unwrap();
        assert_eq!(answer.headers()[PROTOCOL], "vtp.v1");
        assert!(!format!("{answer:?}").contains(secret), "{answer:?}");
        match place {
            "/v1/events" => assert_eq!(listener.next().unwrap().1, "listening"),
            _ => assert_eq!(listener.rest(), told),
        }
    }
    let refused = |offered: &str, status: u16| {
        let answer = open(&place, offered).err().unwrap();
        assert_eq!(answer.status(), status, "{offered}");
        let shown = offered.split(", ").filter_map(|it| it.strip_prefix("vtp.bearer."));
        let body = String::from_utf8_lossy(answer.body().as_deref().unwrap_or_default());
        let said = format!("{:?} {body}", answer.headers());
        shown.for_each(|secret| assert!(!said.contains(secret), "{said}"));
    };
    let token = format!("vtp.bearer.{}", ann.token);
    refused(&token, 401);
    refused("vtp.v1", 401);
    refused("vtp.v1, vtp.bearer.nobody", 401);
    refused(&format!("vtp.v1, {token}, vtp.bearer.somebody.else"), 401);
    refused(&format!("vtp.v1, vtp.bearer.{}", key("write")), 403);
    // It counts for a WebSocket that is asked for where there is one, and nowhere else.
    let offered = format!("vtp.v1, {token}");
    let shown = [(PROTOCOL, &*offered), ("upgrade", "websocket"), ("connection", "upgrade")];
    nobody.get_with(&place, &shown[..1]).problem(401);
    nobody.get_with("/v1/auth/me", &shown).problem(401);
    // Whoever says it in the usual way may offer what they speak, too.
    let both = [("authorization", format!("Bearer {}", ann.token)), (PROTOCOL, "other, vtp.v1".to_owned())];
    assert_eq!(Listener::open_with(&ann, &place, &both).ok().unwrap().1.headers()[PROTOCOL], "vtp.v1");
}

#[test]
fn one_stream_tells_of_all_of_one_s_jobs_at_any_replica_and_of_nobody_else_s() {
    let platform = Platform::start();
    let (ann, bob) = (platform.register("ann@example.com"), platform.register("bob@example.com"));
    let video = ann.uploaded("film.mp4");
    let before = ann.transcode(&video);
    ann.events(&before, None);
    let other = platform.another();
    let (mut here, mut there) = (Listener::open(&ann, "/v1/events"), Listener::open(&ann.at(other), "/v1/events"));
    let mut his = Listener::open(&bob, "/v1/events");
    for listener in [&mut here, &mut there, &mut his] {
        assert_eq!(listener.next().unwrap().1, "listening");
    }
    let jobs = [ann.transcode(&video), ann.transcode(&video)];
    let until_both_end = |listener: &mut Listener| {
        let (mut told, mut ended) = (Vec::new(), 0);
        while ended < 2 {
            told.push(listener.next().unwrap());
            ended += usize::from(told.last().unwrap().1 == "completed");
        }
        told
    };
    let told = until_both_end(&mut here);
    assert_eq!(told, until_both_end(&mut there));
    assert!(told.is_sorted_by_key(|it| it.0));
    for job in &jobs {
        let of: Vec<&Value> = told.iter().map(|it| &it.2).filter(|it| it["job_id"] == job.as_str()).collect();
        let progress: Vec<f64> = of.iter().filter_map(|it| it["progress"].as_f64()).collect();
        assert!(progress.is_sorted() && progress.last() == Some(&1.0) && of.len() > 3, "{of:?}");
    }
    assert!(told.iter().all(|it| jobs.iter().any(|job| it.2["job_id"] == job.as_str())), "those before are not told");
    let mut again = Listener::open(&ann.at(other), &format!("/v1/events?after={}", told[2].0));
    assert_eq!(again.next().unwrap().0, told[2].0);
    assert_eq!(until_both_end(&mut again), told[3..]);
    his.0.get_ref().set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(his.0.read().is_err(), "nothing of it is bob's");
    // The same as server-sent events.
    let mut stream = TcpStream::connect(ann.host()).unwrap();
    let (token, seen) = (&ann.token, told[0].0);
    write!(
        stream,
        "GET /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nlast-event-id: {seen}\r\n\r\n"
    )
    .unwrap();
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    let ids: Vec<String> = lines.filter(|it| it.starts_with("id: ")).take(3).collect();
    assert_eq!(ids, [told[0].0, told[1].0, told[2].0].map(|it| format!("id: {it}")));
}

#[test]
fn news_come_at_once_to_whoever_listens() {
    let platform = Platform::idle();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    let mut listener = Listener::open(&ann.at(platform.another()), "/v1/events");
    listener.next().unwrap();
    let mut batches = Listener::open(&ann, "/v1/events");
    batches.next().unwrap();
    for _ in 0..3 {
        let job = ann.transcode(&video);
        let began = Instant::now();
        assert_eq!(listener.next().unwrap().2["job_id"], job);
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        batches.next().unwrap();
    }
    let batch = ann.post("/v1/batches", &json!({ "items": [{ "video_id": video }] })).ok(202);
    let began = Instant::now();
    assert_eq!(batches.next().unwrap().1, "queued");
    assert!(began.elapsed() < Duration::from_secs(15), "{batch}: {:?}", began.elapsed());
}

#[test]
fn no_event_is_skipped_or_comes_before_another_of_its_job_however_transactions_overtake_each_other() {
    let platform = Platform::idle();
    let ann = platform.register("ann@example.com");
    let video = ann.uploaded("film.mp4");
    let jobs: Vec<JobId> = (0..4).map(|_| JobId(ann.transcode(&video).parse().unwrap())).collect();
    platform.with_database(async |db| {
        let user: UserId = sqlx::query_scalar("SELECT user_id FROM videos").fetch_one(&db).await.unwrap();
        assert_eq!(events::position(&db, user).await.unwrap(), 4);
        let claimed = jobs::claim(&db, 4, 600).await.unwrap();
        assert_eq!(claimed.len(), 4);
        let noting = async {
            for thousandths in 1..60 {
                let notes = claimed.iter().flat_map(|job| [job, job, job]).map(|job| {
                    let db = &db;
                    async move {
                        let body = json!({});
                        jobs::progress(db, job.id, job.lease_epoch, thousandths, &body).await.unwrap()
                    }
                });
                assert!(futures_util::future::join_all(notes).await.into_iter().all(|it| it));
            }
        };
        // One that began long before the others commits after them: its numbers are those of then.
        let late = async {
            for job in &jobs {
                let mut held = db.begin().await.unwrap();
                sqlx::query("SELECT pg_current_xact_id()").execute(&mut *held).await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
                sqlx::query("SELECT FROM transcoding_jobs WHERE id = $1 FOR UPDATE")
                    .bind(job)
                    .execute(&mut *held)
                    .await
                    .unwrap();
                sqlx::query(
                    "INSERT INTO job_events (job_id, number, kind, body)
                     SELECT $1, max(number) + 1, 'late', '{}' FROM job_events WHERE job_id = $1",
                )
                .bind(job)
                .execute(&mut *held)
                .await
                .unwrap();
                held.commit().await.unwrap();
            }
        };
        let all = 4 * (1 + 59 * 3 + 1);
        let reading = async || {
            let (mut seen, mut told) = (0, Vec::new());
            while told.len() < all {
                for event in events::behind(&db, user, seen).await.unwrap() {
                    assert_eq!(event.position, seen + 1);
                    seen = event.position;
                    told.push(event);
                }
            }
            told
        };
        let (_, _, one, other) = tokio::join!(noting, late, reading(), reading());
        assert_eq!(one, other);
        let stored: Vec<(JobId, i64)> =
            sqlx::query_as("SELECT job_id, number FROM job_events ORDER BY position").fetch_all(&db).await.unwrap();
        let (mut last, mut reached) = (HashMap::<JobId, i64>::new(), HashMap::<JobId, f64>::new());
        for ((job, number), event) in stored.into_iter().zip(one) {
            assert_eq!(job, event.job_id);
            assert_eq!(last.insert(job, number).unwrap_or(0) + 1, number);
            if let Some(progress) = event.body["progress"].as_f64() {
                assert!(reached.insert(job, progress).is_none_or(|before| before <= progress));
            }
        }
    });
}

/// A stream of all events, which has begun or was refused; the status.
fn listen(platform: &Platform, token: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(platform.host()).unwrap();
    write!(stream, "GET /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n")
        .unwrap();
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    (stream, String::from_utf8_lossy(&line[9..]).into_owned())
}

#[test]
fn a_stream_ends_soon_after_the_session_of_whoever_listens_or_their_key_was_revoked() {
    let platform = Platform::without_limits(|config| Config { streams_look_s: 0.2, ..config });
    let ann = platform.register("ann@example.com");
    let key = ann.post("/v1/api-keys", &json!({ "name": "k", "scopes": ["read"] })).ok(201);
    let (mut by_key, _) = listen(&platform, key["secret"].as_str().unwrap());
    let (mut by_session, _) = listen(&platform, &ann.token);
    let ends = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap()
    };
    ann.delete(&format!("/v1/api-keys/{}", key["id"].as_str().unwrap())).ok(204);
    ends(&mut by_key);
    by_session.set_read_timeout(Some(std::time::Duration::from_millis(700))).unwrap();
    let mut said = Vec::new();
    assert!(by_session.read_to_end(&mut said).is_err(), "it goes on: {said:?}");
    ann.post("/v1/auth/logout", &json!({})).ok(204);
    ends(&mut by_session);
}

#[test]
fn a_user_has_so_many_streams_open_and_no_more() {
    let platform = Platform::without_limits(|config| Config { streams_each: 2, ..config });
    let (ann, bob) = (platform.register("ann@example.com"), platform.register("bob@example.com"));
    let open = [listen(&platform, &ann.token), listen(&platform, &ann.token)];
    assert!(open.iter().all(|(_, status)| status == "200"));
    assert_eq!(listen(&platform, &ann.token).1, "429");
    assert_eq!(listen(&platform, &bob.token).1, "200");
    drop(open);
    fixture::until("there is room again", || listen(&platform, &ann.token).1 == "200");
}
