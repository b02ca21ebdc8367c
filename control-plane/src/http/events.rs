//! How all of one's jobs go on, in one stream. Events have positions in it, beside their numbers in their jobs.

use std::collections::VecDeque;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::extract::Query;
use super::stream::{self, After, Away, Seen, Switch, Told};
use crate::app::App;
use crate::auth::Listens;
use crate::db::events::{self, Positioned};
use crate::ids::UserId;
use crate::problem::{Outcome, Problem};

/// How often it is looked for events that nobody told of.
const LOOK: Duration = Duration::from_secs(20);

/// An event of one of one's jobs.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is only described")]
pub(crate) struct AnyEvent {
    /// Its position among all of them.
    #[schema(pattern = "^[0-9]+$")]
    id: String,
    /// `listening`, or as those of the job.
    event: String,
    /// As that of the job, with its `job_id`; that of `listening` is empty.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// How all of one's jobs go on, from now on or from behind the event that was seen last. The first event is `listening`: who comes
/// back with its id, or that of any other, misses nothing of a day. Of each job the events come in order, and its `progress`
/// never falls. Whoever asks to switch to WebSocket gets the same as text. A page, which can't set `Authorization` for a WebSocket,
/// offers the subprotocols `vtp.v1` and `vtp.bearer.TOKEN` in its place; the answer names `vtp.v1`.
#[utoipa::path(get, path = "/events", tag = "events", params(Seen, After), responses(
        (status = 101, description = "Events, over WebSocket"),
        (status = 200, description = "Events, without end", body = AnyEvent, content_type = "text/event-stream"),
        (status = "4XX", description = "Not as it has to be", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn events(
    State(app): State<App>,
    Listens(caller): Listens,
    Query(after): Query<After>,
    headers: HeaderMap,
    switch: Switch,
) -> Outcome<Response> {
    let seen = after.read(&headers)?;
    let last = events::position(&app.db, caller.user()).await?;
    // Whoever has seen more than there is would wait for ever.
    let seen = seen.map_or(last, |seen| seen.min(last));
    let watcher = Watcher { app: app.clone(), user: caller.user(), seen, waiting: None };
    stream::tell((&app, caller), switch, futures_util::stream::unfold(watcher, Watcher::next))
}

struct Watcher {
    app: App,
    user: UserId,
    seen: i64,
    /// None before the first.
    waiting: Option<VecDeque<Positioned>>,
}

impl Watcher {
    async fn next(mut self) -> Option<(Result<Told, Away>, Self)> {
        let Some(waiting) = &mut self.waiting else {
            self.waiting = Some(VecDeque::new());
            return Some((Ok(Told { id: self.seen, event: "listening".to_owned(), data: json!({}) }), self));
        };
        let event = match waiting.pop_front() {
            Some(event) => Ok(event),
            None => self.event().await,
        };
        let told = event.map(|event| {
            self.seen = event.position;
            let mut data = event.body;
            data["job_id"] = event.job_id.to_string().into();
            Told { id: event.position, event: event.kind, data }
        });
        let told = told.map_err(|error| {
            tracing::warn!(user = %self.user, %error, "events can't be told");
            Away
        });
        Some((told, self))
    }

    /// The next event, once it is there.
    async fn event(&mut self) -> sqlx::Result<Positioned> {
        let notify = self.app.news.of(self.user.0);
        loop {
            // It is listened for before it is looked, so that nothing falls between.
            let told = notify.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            let mut found: VecDeque<Positioned> = events::behind(&self.app.db, self.user, self.seen).await?.into();
            if let Some(event) = found.pop_front() {
                self.waiting = Some(found);
                return Ok(event);
            }
            // One that nobody heard of is found when it is looked again.
            let _ = timeout(LOOK, told).await;
        }
    }
}
