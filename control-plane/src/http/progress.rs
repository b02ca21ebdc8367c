//! How a job goes on, as it goes on: server-sent events (WHATWG HTML, 9.2). Whoever comes back with the number of the last event
//! that they have seen gets those after it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};

use super::extract::Path;
use super::jobs::job_of;
use crate::app::App;
use crate::auth::Reads;
use crate::db::{events, jobs};
use crate::ids::{JobId, UserId};
use crate::problem::{Kind, Outcome, Problem};

/// How often it is looked for events that nobody told of.
const LOOK: Duration = Duration::from_secs(20);
/// How often something is sent where nothing happens, so that whatever is between doesn't take the connection for dead.
const BEAT: Duration = Duration::from_secs(15);

/// An event of a job.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is only described")]
pub(crate) struct Told {
    /// Its number, from 1 on, without gaps.
    #[schema(pattern = "^[1-9][0-9]*$")]
    id: String,
    /// `queued`, `progress`, `cancelling`, `completed`, `failed` or `cancelled`.
    event: String,
    /// A JSON object that says more.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// Where somebody goes on.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is only described")]
pub(crate) struct Seen {
    /// The last event that was seen.
    #[param(rename = "Last-Event-ID", required = false, minimum = 0)]
    last_event_id: i64,
}

/// How a job goes on. Each event's data has `status`, and `progress` from 0 to 1, which never falls; the last is `completed`,
/// `failed` or `cancelled`, and ends the stream.
#[utoipa::path(get, path = "/jobs/{id}/progress", tag = "jobs", params(
        ("id" = JobId, Path, description = "Which job"),
        Seen,
    ), responses(
        (status = 200, description = "Events", body = Told, content_type = "text/event-stream"),
        (status = 204, description = "The last event was seen; nothing more will happen"),
        (status = "4XX", description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Something is away", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn progress(
    State(app): State<App>,
    Reads(caller): Reads,
    Path(id): Path<JobId>,
    headers: HeaderMap,
) -> Outcome<Response> {
    let seen = match headers.get("last-event-id").map(|it| it.to_str().ok().and_then(number)) {
        None => 0,
        Some(Some(seen)) => seen,
        Some(None) => return Err(Problem::new(Kind::Invalid, "Last-Event-ID: the number of an event")),
    };
    let job = job_of(&app, &caller, id).await?;
    if job.has_ended() && events::after(&app.db, caller.user(), job.id, seen).await?.is_empty() {
        // By this a browser knows not to come back.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let watcher = Watcher { app, user: caller.user(), job: job.id, seen, waiting: VecDeque::new(), has_ended: false };
    let events = futures_util::stream::unfold(watcher, Watcher::next);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(BEAT)).into_response())
}

/// The number of an event.
fn number(text: &str) -> Option<i64> {
    text.bytes().all(|it| it.is_ascii_digit()).then(|| text.parse().ok()).flatten()
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
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let event = self.event().await?;
        self.seen = event.number;
        self.has_ended = matches!(&*event.kind, "completed" | "failed" | "cancelled");
        let data = event.body.to_string();
        let told = Event::default().id(event.number.to_string()).event(event.kind).data(data);
        Some((Ok(told), self))
    }

    /// The next event, once it is there; `None` after the last.
    async fn event(&mut self) -> Option<events::Event> {
        if let Some(event) = self.waiting.pop_front() {
            return Some(event);
        }
        if self.has_ended {
            return None;
        }
        let notify = self.app.news.of(self.job);
        let mut is_over = false;
        loop {
            // It is listened for before it is looked, so that nothing falls between.
            let told = notify.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            match events::after(&self.app.db, self.user, self.job, self.seen).await {
                Ok(found) => self.waiting = found.into(),
                // Whoever listens comes back, and goes on where they were.
                Err(error) => {
                    tracing::warn!(job = %self.job, %error, "events can't be told");
                    return None;
                }
            }
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if is_over {
                return None;
            }
            // Whoever has seen more than there is would wait for ever. What happened at last is looked for once more.
            is_over = match jobs::get(&self.app.db, self.user, self.job).await {
                Ok(job) => job.is_none_or(|job| job.has_ended()),
                Err(error) => {
                    tracing::warn!(job = %self.job, %error, "it is not known whether a job has ended");
                    return None;
                }
            };
            if !is_over {
                // One that nobody heard of is found when it is looked again.
                let _ = timeout(LOOK, told).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn an_event_has_a_number_and_nothing_else_is_one() {
        assert_eq!([number("0"), number("17")], [Some(0), Some(17)]);
        for bad in ["", "-1", "+1", "x", "1.5", " 1", "9223372036854775808"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }
}
