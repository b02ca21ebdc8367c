//! Whether it is there, whether it can do anything, and what it counts.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use vtp_store::{Key, Store as _};

use crate::app::App;
use crate::db::jobs;
use crate::limits::address;
use crate::metrics::{CONNECTIONS, JOBS};
use crate::problem::{Outcome, Problem};
use crate::status::{Components, Health, Status};

/// For how long it counts what was found out.
const FRESH: Duration = Duration::from_secs(5);
/// How long one thing is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// An object that is asked for; whether it is there is of no matter.
const ANYTHING: &str = "status";
/// What Prometheus expects.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether the process lives.
#[utoipa::path(get, path = "/health/live", tag = "system", security(()), responses((status = 204, description = "It lives")))]
pub(crate) async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Whether it can serve: the database answers.
#[utoipa::path(get, path = "/health/ready", tag = "system", security(()), responses(
    (status = 204, description = "It can serve"),
    (status = 503, description = "The database is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn ready(State(app): State<App>) -> Outcome<StatusCode> {
    sqlx::query("SELECT 1").execute(&app.db).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How the whole is, as of five seconds ago at most.
#[utoipa::path(get, path = "/status", tag = "system", security(()), responses(
    (status = 200, description = "How it is", body = Status),
    (status = "4XX", description = "Too many requests", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn status(State(app): State<App>) -> axum::Json<Status> {
    let mut last = app.last_status.0.lock().await;
    if let Some((found, status)) = last.as_ref().filter(|(found, _)| found.elapsed() < FRESH) {
        tracing::trace!(age = ?found.elapsed(), "a status that is known");
        return axum::Json(status.clone());
    }
    let status = find_out(&app).await;
    *last = Some((Instant::now(), status.clone()));
    axum::Json(status)
}

async fn find_out(app: &App) -> Status {
    let database =
        async { sqlx::query("SELECT 1").execute(&app.db).await.map(drop).map_err(|error| error.to_string()) };
    let store = async {
        let key = Key::new(ANYTHING).map_err(|error| error.to_string())?;
        app.store.head(&key).await.map(drop).map_err(|error| error.to_string())
    };
    let (database, store) = tokio::join!(health("database", database), health("store", store));
    let fleet = if app.fleet.answers() { Health::Ok } else { Health::Away };
    let is_well = [database, store, fleet].iter().all(|it| *it == Health::Ok);
    let status = if is_well { Health::Ok } else { Health::Away };
    Status { status, version: env!("CARGO_PKG_VERSION"), components: Components { database, store, fleet } }
}

async fn health(what: &str, answer: impl Future<Output = Result<(), String>>) -> Health {
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    match answer.unwrap_or_else(|_| Err("it does not answer".to_owned())) {
        Ok(()) => Health::Ok,
        Err(error) => {
            tracing::warn!(what, error, "a component is away");
            Health::Away
        }
    }
}

/// What this process counts, for Prometheus; for those alone whom the settings name (`metrics_networks`).
pub(super) async fn metrics(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Outcome<Response> {
    let client = address::client(peer.ip(), &headers, &app.config.trusted_proxies);
    let is_allowed = app.config.metrics_networks.iter().any(|network| network.has(client));
    let Some(render) = app.metrics.as_ref().filter(|_| is_allowed) else { return Err(Problem::not_found("place")) };
    for (pool, of) in [("requests", &app.db), ("driving", &app.drive)] {
        let (all, idle) = (of.size() as usize, of.num_idle());
        metrics::gauge!(CONNECTIONS, "pool" => pool, "state" => "idle").set(idle as f64);
        metrics::gauge!(CONNECTIONS, "pool" => pool, "state" => "busy").set(all.saturating_sub(idle) as f64);
    }
    match jobs::open(&app.db).await {
        Ok((queued, processing)) => {
            metrics::gauge!(JOBS, "status" => "queued").set(queued as f64);
            metrics::gauge!(JOBS, "status" => "processing").set(processing as f64);
        }
        // What else there is, is told: that the database is away is seen by it.
        Err(error) => tracing::warn!(%error, "open jobs are not counted"),
    }
    Ok(([(header::CONTENT_TYPE, TEXT)], render()).into_response())
}
