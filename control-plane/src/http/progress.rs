//! How a job goes on, as it goes on. Whoever comes back with the number of the last event that they have seen gets those after it.

use std::collections::VecDeque;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::extract::{Path, Query};
use super::jobs::job_of;
use super::stream::{self, After, Away, Seen, Switch, Told};
use crate::app::App;
use crate::auth::Listens;
use crate::db::{events, jobs};
use crate::ids::{JobId, UserId};
use crate::problem::{Outcome, Problem};

/// How often it is looked for events that nobody told of.
const LOOK: Duration = Duration::from_secs(20);

/// An event of a job.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is only described")]
pub(crate) struct JobEvent {
    /// Its number, from 1 on, without gaps.
    #[schema(pattern = "^[1-9][0-9]*$")]
    id: String,
    /// `queued`, `progress`, `cancelling`, `completed`, `failed` or `cancelled`.
    event: String,
    /// A JSON object that says more.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// How a job goes on. Each event's data has `status`, and `progress` from 0 to 1, which never falls; the last is `completed`,
/// `failed` or `cancelled`, and ends the stream. Whoever asks to switch to WebSocket gets the same as text,
/// `{"id": 1, "event": "progress", "data": {}}`; it is closed with 1000 behind the last, and with 1013 where something is away.
/// A page, which can't set `Authorization` for a WebSocket, offers the subprotocols `vtp.v1` and `vtp.bearer.TOKEN` in its place;
/// the answer names `vtp.v1`.
#[utoipa::path(get, path = "/jobs/{id}/progress", tag = "jobs", params(
        ("id" = JobId, Path, description = "Which job"),
        Seen, After,
    ), responses(
        (status = 101, description = "Events, over WebSocket"),
        (status = 200, description = "Events", body = JobEvent, content_type = "text/event-stream"),
        (status = 204, description = "The last event was seen; nothing more will happen"),
        (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn progress(
    State(app): State<App>,
    Listens(caller): Listens,
    Path(id): Path<JobId>,
    Query(after): Query<After>,
    headers: HeaderMap,
    switch: Switch,
) -> Outcome<Response> {
    let seen = after.read(&headers)?.unwrap_or(0);
    let job = job_of(&app, &caller, id).await?;
    let is_over = job.has_ended() && events::after(&app.db, caller.user(), job.id, seen).await?.is_empty();
    if is_over && !switch.is_wanted() {
        // By this a browser knows not to come back.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let (user, waiting) = (caller.user(), VecDeque::new());
    let watcher = Watcher { app: app.clone(), user, job: job.id, seen, waiting, has_ended: false };
    stream::tell((&app, caller), switch, futures_util::stream::unfold(watcher, Watcher::next))
}

struct Watcher {
    app: App,
    user: UserId,
    job: JobId,
    seen: i64,
    waiting: VecDeque<events::Event>,
    has_ended: bool,
}

impl Watcher {
    async fn next(mut self) -> Option<(Result<Told, Away>, Self)> {
        let told = self.event().await.map_err(|error| {
            tracing::warn!(job = %self.job, %error, "events can't be told");
            Away
        });
        let told = told.transpose()?.map(|event| {
            self.seen = event.number;
            self.has_ended = matches!(&*event.kind, "completed" | "failed" | "cancelled");
            Told { id: event.number, event: event.kind, data: event.body }
        });
        Some((told, self))
    }

    /// The next event, once it is there; `None` after the last.
    async fn event(&mut self) -> sqlx::Result<Option<events::Event>> {
        if let Some(event) = self.waiting.pop_front() {
            return Ok(Some(event));
        }
        if self.has_ended {
            return Ok(None);
        }
        let notify = self.app.news.of(self.job.0);
        let mut is_over = false;
        loop {
            // It is listened for before it is looked, so that nothing falls between.
            let told = notify.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            self.waiting = events::after(&self.app.db, self.user, self.job, self.seen).await?.into();
            if let Some(event) = self.waiting.pop_front() {
                return Ok(Some(event));
            }
            if is_over {
                return Ok(None);
            }
            // Whoever has seen more than there is would wait for ever. What happened at last is looked for once more.
            is_over = jobs::get(&self.app.db, self.user, self.job).await?.is_none_or(|job| job.has_ended());
            if !is_over {
                // One that nobody heard of is found when it is looked again.
                let _ = timeout(LOOK, told).await;
            }
        }
    }
}
