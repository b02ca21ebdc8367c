//! Writes that may be sent again: a POST with an `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header) is carried out once, and
//! whoever sends it again within a day gets the first answer. It is carried out to its end whoever waits for it, and for however
//! long. What passes is not kept, failures of ours and what is in the way for the moment: it may be tried again. What it makes has
//! its number before it is made, so that one whose answer was lost makes nothing twice.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use ring::digest;
use tracing::Instrument as _;
use uuid::Uuid;

use super::bounds::{LONGEST_BATCH, PATIENCE};
use crate::app::App;
use crate::auth::Caller;
use crate::db::idempotency::{self, Answer, Hold, Known};
use crate::problem::{Kind, Outcome, Problem};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Places whose answers have secrets, which are kept nowhere: what is sent there again is carried out again.
const SECRET: [&str; 3] = ["/v1/auth/", "/v1/api-keys", "/v1/webhooks"];
/// These change nothing, and are long.
const PLANS: &str = "/v1/plans";
/// Uploads that go on where they were by themselves, and whose answers are in headers.
const TUS: &str = "/v1/tus";
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The longest body that is looked at, but for batches; what is longer is refused by the handler anyway.
const LONGEST: usize = 4 << 20;
/// Where ten thousand videos are named.
const BATCHES: &str = "/v1/batches";
/// What is refused so now may not be later, with the same words.
const PASSING: [StatusCode; 5] = [
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::CONFLICT,
    StatusCode::LOCKED,
    StatusCode::TOO_MANY_REQUESTS,
];
/// How often it is said that a request is under way.
const BREATH: Duration = Duration::from_secs(30);

/// Stands with a request that is carried out to its end, however long that takes.
#[derive(Clone, Copy)]
pub(super) struct ToItsEnd;

/// What a request makes is called so.
#[derive(Clone, Copy)]
pub(super) struct Makes {
    id: Uuid,
    is_again: bool,
}

impl Makes {
    pub(super) fn id(self) -> Uuid {
        self.id
    }

    /// Whether it may have been made before.
    pub(super) fn is_again(self) -> bool {
        self.is_again
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Makes {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let told = parts.extensions.get().copied();
        Ok(told.unwrap_or_else(|| Self { id: Uuid::now_v7(), is_again: false }))
    }
}

/// Carries a request out once.
pub(super) async fn once(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_let_off = SECRET.iter().chain([&TUS, &PLANS]).any(|it| request.uri().path().starts_with(it));
    if request.method() != Method::POST || !request.headers().contains_key(KEY) || is_let_off {
        return next.run(request).await;
    }
    carry_out(&app, request, next).await.unwrap_or_else(Problem::into_response)
}

async fn carry_out(app: &App, request: Request, next: Next) -> Outcome<Response> {
    let (mut parts, body) = request.into_parts();
    let key = parts.headers.get(KEY).and_then(|it| it.to_str().ok()).map(str::to_owned);
    let key = key.filter(|it| (1..=255).contains(&it.len()));
    let key = key.ok_or_else(|| Problem::new(Kind::Invalid, "Idempotency-Key: from 1 to 255 letters of ASCII"))?;
    let caller = Caller::of_request(&parts, app).await?;
    let longest = if parts.uri.path() == BATCHES { LONGEST_BATCH } else { LONGEST };
    let body = tokio::time::timeout(PATIENCE, axum::body::to_bytes(body, longest)).await;
    let body = body.map_err(|_| Problem::new(Kind::Unavailable, "the body takes too long"))?;
    let body = body.map_err(|_| Problem::new(Kind::BodyTooLarge, "the body is too long"))?;
    let request_hash = hash(&parts.method, parts.uri.path(), &body);
    let (makes, hold) = match idempotency::take(&app.db, caller.user(), &key, &request_hash).await? {
        Known::Taken { makes, is_again, hold } => (Makes { id: makes, is_again }, hold),
        Known::Answered(answer) => return replay(answer),
        Known::UnderWay => {
            let detail = "a request with this Idempotency-Key is under way; send it again a little later";
            return Err(Problem::new(Kind::Conflict, detail).later(1));
        }
        Known::Other => {
            let detail = "this Idempotency-Key came with another request; choose a new one for each";
            return Err(Problem::new(Kind::Invalid, detail));
        }
    };
    parts.extensions.insert(ToItsEnd);
    parts.extensions.insert(makes);
    let request = Request::from_parts(parts, Body::from(body));
    let carried_out = tokio::spawn(to_its_end(app.clone(), hold, request, next).in_current_span());
    match tokio::time::timeout(PATIENCE, carried_out).await {
        Ok(done) => done.map_err(|error| Problem::internal(&error))?,
        Err(_) => {
            Err(Problem::new(Kind::Unavailable, "it takes long, and goes on; send it again to hear what came of it"))
        }
    }
}

async fn to_its_end(app: App, hold: Hold, request: Request, next: Next) -> Outcome<Response> {
    let response = tokio::select! {
        response = next.run(request) => response,
        never = still(&app, &hold) => match never {},
    };
    keep(&app, &hold, response).await
}

/// Says that a request is under way, for ever.
async fn still(app: &App, hold: &Hold) -> Infallible {
    loop {
        tokio::time::sleep(BREATH).await;
        if let Err(error) = idempotency::still(&app.db, hold).await {
            tracing::warn!(%error, "it is not said that a request is under way");
        }
    }
}

/// Keeps an answer. Where that can't be, whoever waits for it gets it all the same.
async fn keep(app: &App, hold: &Hold, response: Response) -> Outcome<Response> {
    if response.status().is_server_error() || PASSING.contains(&response.status()) {
        if let Err(error) = idempotency::give_back(&app.db, hold).await {
            tracing::warn!(%error, "a key is not given back; it is good again in two minutes");
        }
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.map_err(|error| Problem::internal(&error))?;
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).map(str::to_owned);
    let status = i16::try_from(parts.status.as_u16()).map_err(|error| Problem::internal(&error))?;
    let answer = Answer { status, content_type, body: body.to_vec() };
    match idempotency::answer(&app.db, hold, &answer).await {
        Ok(true) => {}
        Ok(false) => tracing::info!("an answer came late, and is not kept: its key is another request's by now"),
        Err(error) => {
            tracing::warn!(%error, "an answer is not kept; its request may be carried out again in two minutes");
        }
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replay(answer: Answer) -> Outcome<Response> {
    let status = u16::try_from(answer.status).ok().and_then(|it| StatusCode::from_u16(it).ok());
    let mut response = (status.unwrap_or(StatusCode::OK), answer.body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    if let Some(kind) = answer.content_type {
        headers.insert(header::CONTENT_TYPE, kind.parse().map_err(|error| Problem::internal(&error))?);
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

fn hash(method: &Method, path: &str, body: &Bytes) -> Vec<u8> {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [method.as_str().as_bytes(), path.as_bytes(), body] {
        // So that none runs into the next.
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finish().as_ref().to_vec()
}
