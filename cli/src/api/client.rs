//! Requests to the API, which are made again where that can help, and what is wrong with them in words.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use serde_json::Value;

use crate::Outcome;
use crate::exit::{Failure, InputFault};

/// How long something that is away is asked again, since it was first found to be.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the API is left alone when a stream has broken off.
const PAUSE: Duration = Duration::from_millis(500);
/// How long an answer may take, when all is sent; and how long a line may take nothing while it is.
const ANSWERS: Duration = Duration::from_secs(90);
/// The slowest line, in bytes a second: what is sent may lie on this machine for so long before it is on its way.
const SLOWEST: u64 = 8 * 1024;
/// How long a stream may take to begin, and how long it is listened to before it is begun again where it was: so that one that is
/// dead is no longer waited for.
const BEGINS: Duration = Duration::from_secs(30);
const STREAM: Duration = Duration::from_secs(60);

/// Somebody who uses the API.
pub(crate) struct Client {
    url: String,
    key: String,
    patience: Duration,
    agent: ureq::Agent,
}

/// What is asked again: it is too much for the moment, or something is away.
fn is_passing(status: u16, problem: &Value) -> bool {
    matches!(status, 429 | 502..=504) || (status == 409 && problem["retry"] == "later")
}

/// What came of a request.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// What became of a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Put {
    /// It is there.
    Arrived,
    /// Its address is good no longer.
    Stale,
}

/// What is sent.
pub(super) enum Sent<'a> {
    Nothing,
    Json(&'a Value),
    Bytes(&'a [u8]),
}

impl Client {
    pub(crate) fn new(url: String, key: String) -> Self {
        Self { url, key, patience: PATIENCE, agent: agent() }
    }

    /// Where something is that the API names by its path.
    pub(super) fn address(&self, path: &str) -> String {
        if path.starts_with('/') { format!("{}{path}", self.url) } else { path.to_owned() }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        Ok(self.send("GET", path, &Sent::Nothing)?.body)
    }

    /// Posts once, whatever the network does: what is sent again has the same name.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        let sent = if body.is_null() { Sent::Nothing } else { Sent::Json(body) };
        self.send("POST", path, &sent)
    }

    /// Puts a part at the address that was given for it, and again as long as what it needs is away.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub(super) fn put(&self, address: &str, bytes: &[u8]) -> Result<Put, Failure> {
        match self.ask("PUT", address, &Sent::Bytes(bytes))? {
            Answer { status, .. } if status < 400 => Ok(Put::Arrived),
            Answer { status: 401 | 403, .. } => Ok(Put::Stale),
            Answer { status, body } => Err(wrong(status, &body)),
        }
    }

    /// Sends a request, and again as long as what it needs is away.
    ///
    /// # Errors
    /// [`Failure::Input`] with the product's number for what is wrong with a video, [`Failure::Usage`] for what else is wrong
    /// with the request.
    pub(super) fn send(&self, method: &str, path: &str, sent: &Sent<'_>) -> Result<Answer, Failure> {
        let answer = self.ask(method, path, sent)?;
        if answer.status < 400 { Ok(answer) } else { Err(wrong(answer.status, &answer.body)) }
    }

    /// The answer to a request that is made again as long as what it needs is away: good, or what is wrong with the request. However
    /// long a try takes, there is another after it.
    fn ask(&self, method: &str, path: &str, sent: &Sent<'_>) -> Result<Answer, Failure> {
        let once = format!("{:032x}", fastrand::u128(..));
        let (mut pause, mut away_since) = (Duration::from_millis(200), None::<Instant>);
        loop {
            let failure = match self.try_to(method, path, sent, &once) {
                Ok(answer) if !is_passing(answer.status, &answer.body) => return Ok(answer),
                Ok(answer) => wrong(answer.status, &answer.body),
                Err(error) => self.silent(error),
            };
            if away_since.get_or_insert_with(Instant::now).elapsed() > self.patience {
                return Err(failure);
            }
            tracing::debug!(path, "asked again");
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    fn try_to(&self, method: &str, path: &str, sent: &Sent<'_>, once: &str) -> Result<Answer, ureq::Error> {
        let request = self.request(method, path).header("idempotency-key", once);
        let mut response = match sent {
            Sent::Nothing => self.agent.run(request.body(())?)?,
            Sent::Json(body) => {
                self.agent.run(request.header("content-type", "application/json").body(body.to_string())?)?
            }
            Sent::Bytes(bytes) => {
                let request = request.header("content-type", "application/octet-stream").body(*bytes)?;
                let patience = ANSWERS + Duration::from_secs(bytes.len() as u64 / SLOWEST);
                self.agent.run(self.agent.configure_request(request).timeout_recv_response(Some(patience)).build())?
            }
        };
        let text = response.body_mut().with_config().limit(64 << 20).read_to_string()?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { status: response.status().as_u16(), body })
    }

    fn request(&self, method: &str, path: &str) -> ureq::http::request::Builder {
        let request = ureq::http::Request::builder().method(method).uri(self.address(path));
        // Addresses that are elsewhere are the store's: the key is no business of its, and it would mind.
        match path.starts_with('/') {
            true => request.header("authorization", format!("Bearer {}", self.key)),
            false => request,
        }
    }

    fn silent(&self, error: impl Into<anyhow::Error>) -> Failure {
        Failure::Internal(error.into().context(format!("{} does not answer", self.url)))
    }

    /// The events of a stream, each once, until `told` says that one was the last. A stream that breaks off is begun again behind
    /// the last event that came.
    ///
    /// # Errors
    /// As [`Client::send`]; an API of which nothing was heard for a while.
    pub(super) fn follow(&self, path: &str, told: &mut dyn FnMut(&str, &Value) -> bool) -> Outcome {
        let mut following = Following { seen: None, heard: Instant::now(), told };
        loop {
            let Some(trouble) = self.listen(path, &mut following)? else { return Ok(()) };
            if following.heard.elapsed() > self.patience {
                return Err(trouble);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Listens until the last event, or until the stream breaks off, for this reason.
    fn listen(&self, path: &str, following: &mut Following<'_>) -> Result<Option<Failure>, Failure> {
        let mut request = self.request("GET", path);
        if let Some(seen) = following.seen {
            request = request.header("last-event-id", seen.to_string());
        }
        let request = request.body(()).context("a request").map_err(Failure::Internal)?;
        let response = match listener().run(request) {
            Ok(response) => response,
            Err(error) => return Ok(Some(self.silent(error))),
        };
        let status = response.status().as_u16();
        let mut body = response.into_body();
        if status >= 400 {
            let problem = body.read_to_string().ok().and_then(|text| serde_json::from_str(&text).ok());
            let problem = problem.unwrap_or(Value::Null);
            let failure = wrong(status, &problem);
            return if is_passing(status, &problem) { Ok(Some(failure)) } else { Err(failure) };
        }
        let (mut number, mut kind) = (following.seen, String::new());
        for line in BufReader::new(body.as_reader()).lines() {
            let line = match line {
                Ok(line) => line,
                Err(error) => return Ok(Some(self.silent(error))),
            };
            following.heard = Instant::now();
            match line.split_once(": ") {
                Some(("id", id)) => number = id.parse().ok().or(number),
                Some(("event", event)) => event.clone_into(&mut kind),
                Some(("data", data)) => {
                    following.seen = number;
                    if (following.told)(&kind, &serde_json::from_str(data).unwrap_or(Value::Null)) {
                        return Ok(None);
                    }
                }
                _ => {}
            }
        }
        Ok(Some(self.silent(anyhow!("a stream has ended before its last event"))))
    }
}

/// Somebody who follows a stream.
struct Following<'a> {
    /// The last event that came.
    seen: Option<u64>,
    /// When something was heard last.
    heard: Instant,
    told: &'a mut dyn FnMut(&str, &Value) -> bool,
}

fn listener() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let config = config.timeout_connect(Some(BEGINS)).timeout_recv_response(Some(BEGINS));
    config.timeout_recv_body(Some(STREAM)).build().into()
}

/// What makes requests. How long sending may take is bounded by how long nothing goes, whatever there is to send.
fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_connect(Some(BEGINS));
    let config = config.timeout_per_write(Some(ANSWERS)).timeout_recv_response(Some(ANSWERS));
    config.timeout_recv_body(Some(ANSWERS)).build().into()
}

/// What is wrong, as the API says it.
fn wrong(status: u16, problem: &Value) -> Failure {
    let detail = problem["detail"].as_str().map_or_else(|| format!("the API answers {status}"), str::to_owned);
    match problem["code"].as_u64().and_then(|code| InputFault::of(u16::try_from(code).ok()?)) {
        Some(fault @ (InputFault::NotAVideo | InputFault::Corrupt)) => Failure::Input { fault, message: detail },
        _ if status < 500 => Failure::Usage(detail),
        _ => Failure::Internal(anyhow!(detail)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use serde_json::json;

    use super::*;

    /// An API that gives these answers, one to each request; and the requests.
    fn api(answers: &'static [&'static str]) -> (Client, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = std::thread::spawn(move || {
            let answer = |answer: &&str| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.extend(byte);
                }
                stream.write_all(answer.as_bytes()).unwrap();
                String::from_utf8(request).unwrap().to_lowercase()
            };
            answers.iter().map(answer).collect()
        });
        (Client { patience: Duration::from_secs(5), ..Client::new(url, "key".to_owned()) }, requests)
    }

    #[test]
    fn a_stream_that_breaks_off_or_is_refused_for_the_moment_is_begun_again_where_it_was() {
        let stream = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n";
        let answers: [String; 4] = [
            "HTTP/1.1 503 Away\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
            format!("{stream}id: 1\nevent: queued\ndata: {{}}\n\nid: 2\nevent: prog"),
            "HTTP/1.1 429 Slowly\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
            format!("{stream}id: 2\nevent: progress\ndata: {{}}\n\nid: 3\nevent: completed\ndata: {{}}\n\n"),
        ];
        let answers = Vec::leak(answers.map(|it| &*it.leak()).to_vec());
        let (client, requests) = api(answers);
        let mut kinds = Vec::new();
        client
            .follow("/stream", &mut |kind, _| {
                kinds.push(kind.to_owned());
                kind == "completed"
            })
            .unwrap();
        assert_eq!(kinds, ["queued", "progress", "completed"]);
        let seen =
            |request: &String| request.lines().find_map(|it| it.strip_prefix("last-event-id: ").map(str::to_owned));
        let seen: Vec<_> = requests.join().unwrap().iter().map(seen).collect();
        assert_eq!(seen, [None, None, Some("1".to_owned()), Some("1".to_owned())]);
    }

    #[test]
    fn an_api_that_is_not_there_is_told_after_a_while_and_what_is_wrong_at_once() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = Client::new(format!("http://{nobody}"), "key".to_owned());
        let client = Client { patience: Duration::from_millis(900), ..client };
        let began = Instant::now();
        let told = client.follow("/stream", &mut |_, _| false).unwrap_err();
        assert!(told.message().unwrap().contains("does not answer"), "{:?}", told.message());
        assert!((Duration::from_millis(900)..Duration::from_secs(20)).contains(&began.elapsed()));
        let (client, _) = api(&["HTTP/1.1 404 None\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"]);
        assert_eq!(client.follow("/stream", &mut |_, _| false).unwrap_err().code(), 2);
    }

    #[test]
    fn a_write_that_is_under_way_is_asked_for_again_and_another_conflict_is_told() {
        const UNDER_WAY: &str =
            "HTTP/1.1 409 Conflict\r\nconnection: close\r\ncontent-length: 17\r\n\r\n{\"retry\":\"later\"}";
        let (client, requests) =
            api(&[UNDER_WAY, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"]);
        assert_eq!(client.send("POST", "/x", &Sent::Nothing).unwrap().status, 200);
        let key = |request: &String| request.lines().find(|it| it.starts_with("idempotency-key: ")).map(str::to_owned);
        let keys: Vec<_> = requests.join().unwrap().iter().map(key).collect();
        assert!(keys[0].is_some() && keys[0] == keys[1], "{keys:?}");
        assert!(!is_passing(409, &json!({ "retry": "after_change" })));
    }

    #[test]
    fn what_has_taken_longer_than_it_is_asked_again_is_asked_again_all_the_same() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::new(format!("http://{}", listener.local_addr().unwrap()), "key".to_owned());
        let client = Client { patience: Duration::from_millis(300), ..client };
        let slow = std::thread::spawn(move || {
            for status in ["503 Away", "200 OK"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut bytes = vec![0; 64 << 10];
                assert!(stream.read(&mut bytes).unwrap() > 0);
                std::thread::sleep(Duration::from_millis(600));
                let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        assert_eq!(client.send("POST", "/x", &Sent::Nothing).unwrap().status, 200);
        slow.join().unwrap();
    }

    #[test]
    fn an_address_that_is_good_no_longer_is_told_from_what_is_wrong_with_a_part() {
        let answer = |status: &str| -> &'static str {
            let text = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
            Box::leak(text.into_boxed_str())
        };
        let answers = ["403 Expired", "401 Expired", "200 OK", "422 Short"].map(answer);
        let (client, _) = api(Vec::leak(answers.to_vec()));
        let put = || client.put("/part", b"");
        assert_eq!([put().unwrap(), put().unwrap(), put().unwrap()], [Put::Stale, Put::Stale, Put::Arrived]);
        assert_eq!(put().unwrap_err().code(), 2);
    }

    #[test]
    fn what_is_wrong_ends_as_it_would_on_this_machine() {
        let of = |status, problem: Value| wrong(status, &problem);
        assert_eq!(of(422, json!({ "code": 1001, "detail": "no video" })).message().unwrap(), "error 1001: no video");
        assert_eq!(of(409, json!({ "detail": "not whole" })).code(), 2);
        assert_eq!(of(401, json!({ "code": 2002, "detail": "who?" })).code(), 2);
        assert_eq!(of(500, Value::Null).code(), 1);
    }
}
