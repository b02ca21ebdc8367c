//! The way to a collector: HTTP by the client that the program has anyway. It waits on the exporter's own thread, for a short time,
//! and complains once in a while.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

/// How long a collector may take to take some spans.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is said at most that one does not.
const QUIET: Duration = Duration::from_secs(60);
/// More of an answer is not read.
const LONGEST: u64 = 1 << 20;

/// Sends what it is given.
#[derive(Debug)]
pub(super) struct Collector {
    agent: ureq::Agent,
    told: Mutex<Option<Instant>>,
}

impl Default for Collector {
    fn default() -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
        let agent = config.max_redirects(0).max_redirects_will_error(false).build().into();
        Self { agent, told: Mutex::default() }
    }
}

impl Collector {
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (head, body) = request.into_parts();
        let answer = self.agent.run(Request::from_parts(head, &body[..]))?;
        let (head, mut body) = answer.into_parts();
        let body = body.with_config().limit(LONGEST).read_to_vec()?;
        Ok(Response::from_parts(head, body.into()))
    }

    fn complain(&self, why: &dyn std::fmt::Display) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= QUIET) {
            *told = Some(Instant::now());
            tracing::warn!(error = %why, "the collector takes no spans; some are lost");
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.send(request).inspect_err(|error| self.complain(error))?;
        if !answer.status().is_success() {
            self.complain(&answer.status());
        }
        Ok(answer)
    }
}
