//! What is noted of every request: a line in the log, how long it took, what of the API its user has used, and what they did.
//!
//! An answer to whoever changes something is given once it stands in the audit log, or once it was tried twice in vain to write it there.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::body::HttpBody as _;
use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tower_http::request_id::RequestId;
use tracing::{Instrument as _, Span, field};
use uuid::Uuid;

use crate::app::App;
use crate::db::audit::{self, Deed};
use crate::db::usage::Used;
use crate::ids::UserId;
use crate::limits::address;
use crate::metrics::{AUDIT_LOST, REQUEST_TIME};
use crate::problem::Problem;
use crate::traceparent::Traceparent;

/// Of what it is noted who used it.
const API: &str = "/v1/";
/// What is asked for very often, and is no deed of its own: the parts of an upload.
const PARTS: [&str; 2] = ["/v1/videos/{id}/chunk", "/v1/tus/{id}"];

/// What notes of an upload that it is of no use, and answers with what is wrong with it.
const COMPLETE: &str = "/v1/videos/{id}/complete";
/// What is asked for by a POST, and changes nothing.
const QUESTION: &str = "/v1/plans";

/// Which method is meant, where a client can't say so by the method itself (tus 1.0.0).
const METHOD: &str = "x-http-method-override";
/// Which span of its client a request is below.
const TRACEPARENT: &str = "traceparent";

/// Who a request is from, once that is known.
#[derive(Debug, Default)]
pub(crate) struct Visit(OnceLock<UserId>);

impl Visit {
    /// Notes whose it is.
    pub(crate) fn set_user(&self, user: UserId) {
        // However often it is asked who it is, it is the same.
        let _ = self.0.set(user);
        Span::current().record("user_id", field::display(user));
    }
}

/// The span of a request, for what is to be below it; none where there is no trace.
pub(crate) struct Below(pub(crate) Option<Traceparent>);

impl<S: Send + Sync> FromRequestParts<S> for Below {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get().cloned()))
    }
}

/// What of a request is noted when it is answered.
struct Noted {
    method: Method,
    endpoint: String,
    path: String,
    name: Option<String>,
    length: Option<i64>,
    /// It is to end what it names, as clients of tus say it that can't say so by the method.
    ends: bool,
    began: Instant,
}

/// Notes a request.
pub(super) async fn note(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let endpoint = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let name =
        request.extensions().get::<RequestId>().and_then(|it| it.header_value().to_str().ok()).map(str::to_owned);
    let (method, path, began) = (request.method().clone(), request.uri().path().to_owned(), Instant::now());
    let meant = request.headers().get(METHOD).map(HeaderValue::as_bytes);
    let ends = method == Method::DELETE || meant.is_some_and(|it| it.eq_ignore_ascii_case(b"delete"));
    let noted = Noted { method, endpoint, path, name, length: length(request.headers()), ends, began };
    let client = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let client = client.map(|peer| address::client(peer, request.headers(), &app.config.trusted_proxies));
    let visit = Arc::new(Visit::default());
    request.extensions_mut().insert(Arc::clone(&visit));
    let span = tracing::info_span!(
        "request",
        method = %noted.method,
        endpoint = noted.endpoint,
        request_id = noted.name,
        user_id = field::Empty,
        status = field::Empty,
    );
    if let Some(below) = app.traces.begin(&span, traceparent(request.headers()).as_ref()) {
        request.extensions_mut().insert(below);
    }
    let is_read = noted.is_read();
    let within = span.clone();
    let answered = async move {
        let response = next.run(request).await;
        let (user, status) = (visit.0.get().copied(), response.status().as_u16());
        noted.tell(status);
        if let (true, Some(user)) = (noted.endpoint.starts_with(API), user) {
            let size = response.body().size_hint().exact().and_then(|it| i64::try_from(it).ok());
            app.usage.add(noted.used(user, status, size));
        }
        if noted.is_deed(status) {
            write_down(&app, &noted.deed(user, status, client)).await;
        }
        span.record("status", i64::from(status));
        let failed = (status >= 500).then(|| format!("it is answered with {status}"));
        app.traces.end(&span, failed.as_deref());
        response
    }
    .instrument(within);
    if is_read {
        return answered.await;
    }
    // What changes something goes on to its end, and is noted, also where its client goes away.
    tokio::spawn(answered).await.unwrap_or_else(|error| Problem::internal(&error).into_response())
}

/// Writes a deed into the audit log; tried once more where that fails. What can't be written there stands in the log of this process,
/// and is counted.
async fn write_down(app: &App, deed: &Deed<'_>) {
    let first = audit::add(&app.db, deed).await;
    let written = match first {
        Ok(()) => Ok(()),
        // The same number again: where it was written, and only the answer was lost, it stands there once.
        Err(_) => audit::add(&app.db, deed).await,
    };
    if let Err(error) = written {
        metrics::counter!(AUDIT_LOST).increment(1);
        tracing::error!(%error, ?deed, "a deed is not in the audit log");
    }
}

impl Noted {
    fn is_read(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS) || self.endpoint == QUESTION
    }

    /// Whether somebody changed something, or may have, or was refused to come in.
    fn is_deed(&self, status: u16) -> bool {
        let is_part = PARTS.contains(&&*self.endpoint) && !self.ends;
        let is_refused_sign = status == 401 && self.endpoint.starts_with("/v1/auth/");
        let may_be_done = !(400..500).contains(&status) || (status == 422 && self.endpoint == COMPLETE);
        self.endpoint.starts_with(API) && !self.is_read() && !is_part && (may_be_done || is_refused_sign)
    }

    fn deed(&self, user: Option<UserId>, status: u16, address: Option<std::net::IpAddr>) -> Deed<'_> {
        let Self { method, endpoint, path, name, .. } = self;
        Deed {
            id: Uuid::now_v7(),
            user,
            method: method.as_str(),
            endpoint,
            path,
            status,
            request: name.as_deref(),
            address,
        }
    }

    fn used(&self, user: UserId, status: u16, response_bytes: Option<i64>) -> Used {
        let (method, endpoint) = (self.method.to_string(), self.endpoint.clone());
        Used { user, endpoint, method, status, request_bytes: self.length, response_bytes, took: self.began.elapsed() }
    }

    fn tell(&self, status: u16) {
        let took = self.began.elapsed();
        tracing::info!(status, duration_ms = milliseconds(took), "answered");
        let method = label(&self.method).to_owned();
        let labels = [("method", method), ("endpoint", self.endpoint.clone()), ("status", status.to_string())];
        metrics::histogram!(REQUEST_TIME, &labels).record(took);
    }
}

/// A method, as metrics have it. Any word may be one, and clients choose it: those that nobody knows are one.
fn label(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::OPTIONS
        | Method::CONNECT
        | Method::TRACE => method.as_str(),
        _ => "other",
    }
}

fn milliseconds(of: Duration) -> f64 {
    (of.as_secs_f64() * 1e6).round() / 1e3
}

/// What a client says, if it says one thing.
fn traceparent(headers: &HeaderMap) -> Option<Traceparent> {
    let mut said = headers.get_all(TRACEPARENT).iter();
    let first = said.next()?.to_str().ok()?;
    said.next().is_none().then(|| Traceparent(first.to_owned()))
}

fn length(headers: &HeaderMap) -> Option<i64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(method: Method, endpoint: &str) -> Noted {
        let (endpoint, path) = (endpoint.to_owned(), endpoint.to_owned());
        let ends = method == Method::DELETE;
        Noted { method, endpoint, path, name: None, length: None, ends, began: Instant::now() }
    }

    #[test]
    fn a_client_that_says_two_things_says_nothing_of_its_span() {
        let mut headers = HeaderMap::new();
        assert_eq!(traceparent(&headers), None);
        headers.append(TRACEPARENT, HeaderValue::from_static("00-1-2-01"));
        assert_eq!(traceparent(&headers), Some(Traceparent("00-1-2-01".to_owned())));
        headers.append(TRACEPARENT, HeaderValue::from_static("00-3-4-01"));
        assert_eq!(traceparent(&headers), None);
    }

    #[test]
    fn methods_that_clients_make_up_are_one_in_metrics() {
        let of = |word: &str| label(&Method::from_bytes(word.as_bytes()).unwrap()).to_owned();
        assert_eq!(["GET", "PATCH", "get", "X1", "X2"].map(of), ["GET", "PATCH", "other", "other", "other"]);
    }

    #[test]
    fn what_changes_something_is_a_deed_and_so_is_a_wrong_password() {
        let is_deed = |method: &Method, endpoint, status| noted(method.clone(), endpoint).is_deed(status);
        assert!(is_deed(&Method::POST, "/v1/videos/upload", 201));
        assert!(is_deed(&Method::DELETE, "/v1/tus/{id}", 204));
        assert!(is_deed(&Method::POST, "/v1/auth/login", 401));
        assert!(is_deed(&Method::DELETE, "/v1/videos/{id}", 503), "it may have been done");
        assert!(!is_deed(&Method::POST, "/v1/videos/upload", 422), "nothing has changed");
        assert!(is_deed(&Method::POST, "/v1/videos/{id}/complete", 422), "the upload has failed");
        assert!(!is_deed(&Method::GET, "/v1/videos", 200));
        assert!(!is_deed(&Method::PUT, "/v1/videos/{id}/chunk", 200));
        assert!(!is_deed(&Method::POST, "", 404), "what there is not");
    }
}
