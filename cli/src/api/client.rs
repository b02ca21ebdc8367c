//! Requests to the API, which are made again where that can help, and what is wrong with them in words.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use serde_json::Value;

use crate::exit::Failure;

/// How long something that is away is asked again.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an answer may take; one that reports progress takes as long as it takes.
const ANSWERS: Duration = Duration::from_secs(90);

/// Somebody who uses the API.
pub(super) struct Client {
    url: String,
    key: String,
}

/// What came of a request that is no failure.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

/// What is sent.
pub(super) enum Sent<'a> {
    Nothing,
    Json(&'a Value),
    Bytes(&'a [u8]),
}

impl Client {
    pub(super) fn new(url: String, key: String) -> Self {
        Self { url, key }
    }

    /// Where something is that the API names by its path.
    pub(super) fn address(&self, path: &str) -> String {
        if path.starts_with('/') { format!("{}{path}", self.url) } else { path.to_owned() }
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        Ok(self.send("GET", path, &Sent::Nothing)?.body)
    }

    /// Posts once, whatever the network does: what is sent again has the same name.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        let sent = if body.is_null() { Sent::Nothing } else { Sent::Json(body) };
        self.send("POST", path, &sent)
    }

    /// Sends a request, and again as long as what it needs is away.
    ///
    /// # Errors
    /// [`Failure::Input`] with the product's number for what is wrong with a video, [`Failure::Usage`] for what else is wrong
    /// with the request.
    pub(super) fn send(&self, method: &str, path: &str, sent: &Sent<'_>) -> Result<Answer, Failure> {
        let (once, began) = (format!("{:032x}", fastrand::u128(..)), Instant::now());
        let mut pause = Duration::from_millis(200);
        loop {
            let failure = match self.try_to(method, path, sent, &once) {
                Ok((status, body)) if status < 400 => return Ok(Answer { status, body }),
                Ok((status, problem)) if !matches!(status, 429 | 502..=504) => return Err(wrong(status, &problem)),
                Ok((status, problem)) => wrong(status, &problem),
                Err(error) => Failure::Internal(anyhow!(error).context(format!("{} does not answer", self.url))),
            };
            if began.elapsed() > PATIENCE {
                return Err(failure);
            }
            tracing::debug!(path, "asked again");
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    fn try_to(&self, method: &str, path: &str, sent: &Sent<'_>, once: &str) -> Result<(u16, Value), ureq::Error> {
        let request = self.request(method, path).header("idempotency-key", once);
        let mut response =
            match sent {
                Sent::Nothing => agent(Some(ANSWERS)).run(request.body(())?)?,
                Sent::Json(body) => agent(Some(ANSWERS))
                    .run(request.header("content-type", "application/json").body(body.to_string())?)?,
                Sent::Bytes(bytes) => agent(Some(ANSWERS))
                    .run(request.header("content-type", "application/octet-stream").body(*bytes)?)?,
            };
        let text = response.body_mut().with_config().limit(64 << 20).read_to_string()?;
        Ok((response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    fn request(&self, method: &str, path: &str) -> ureq::http::request::Builder {
        let request = ureq::http::Request::builder().method(method).uri(self.address(path));
        request.header("authorization", format!("Bearer {}", self.key))
    }

    /// The events of a stream behind the one of this number, until it ends or breaks off. Each goes to `told`, with its number.
    ///
    /// # Errors
    /// As [`Client::send`]; one that breaks off is none.
    pub(super) fn events(
        &self,
        path: &str,
        after: Option<u64>,
        told: &mut dyn FnMut(u64, &str, &Value),
    ) -> Result<(), Failure> {
        let mut request = self.request("GET", path);
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        let request = request.body(()).context("a request").map_err(Failure::Internal)?;
        let response = match agent(None).run(request) {
            Ok(response) => response,
            // Whoever listens begins again.
            Err(error) => {
                tracing::debug!(%error, "a stream does not begin");
                return Ok(());
            }
        };
        let status = response.status().as_u16();
        let mut body = response.into_body();
        if status >= 400 {
            let text = body.read_to_string().unwrap_or_default();
            return Err(wrong(status, &serde_json::from_str(&text).unwrap_or(Value::Null)));
        }
        let (mut number, mut kind) = (0, String::new());
        for line in BufReader::new(body.as_reader()).lines() {
            let Ok(line) = line else { return Ok(()) };
            match line.split_once(": ") {
                Some(("id", id)) => number = id.parse().unwrap_or(number),
                Some(("event", event)) => event.clone_into(&mut kind),
                Some(("data", data)) => told(number, &kind, &serde_json::from_str(data).unwrap_or(Value::Null)),
                _ => {}
            }
        }
        Ok(())
    }
}

fn agent(patience: Option<Duration>) -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(patience).build().into()
}

/// What is wrong, as the API says it.
fn wrong(status: u16, problem: &Value) -> Failure {
    let detail = problem["detail"].as_str().map_or_else(|| format!("the API answers {status}"), str::to_owned);
    match problem["code"].as_u64().and_then(|code| u16::try_from(code).ok()) {
        Some(code @ (1001 | 1005)) => Failure::Input { code, message: detail },
        _ if status < 500 => Failure::Usage(detail),
        _ => Failure::Internal(anyhow!(detail)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_ends_as_it_would_on_this_machine() {
        let of = |status, problem: Value| wrong(status, &problem);
        assert_eq!(of(422, json!({ "code": 1001, "detail": "no video" })).message().unwrap(), "error 1001: no video");
        assert_eq!(of(409, json!({ "detail": "not whole" })).code(), 2);
        assert_eq!(of(401, json!({ "code": 2002, "detail": "who?" })).code(), 2);
        assert_eq!(of(500, Value::Null).code(), 1);
    }
}
