//! What goes on as it goes on: server-sent events (WHATWG HTML, 9.2), or WebSocket (RFC 6455) for whoever asks to switch to it. Both
//! tell the same, and an idle listener costs some KiB: nothing is kept for it but where it is.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, StreamExt as _, future};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, interval_at, timeout};
use utoipa::IntoParams;

use crate::app::App;
use crate::auth::{Caller, PROTOCOL, asks_for_websocket};
use crate::problem::{Kind, Outcome, Problem};

/// How often something is sent where nothing happens, so that whatever is between doesn't take the connection for dead.
const BEAT: Duration = Duration::from_secs(15);
/// How long nothing may come from the other end of a WebSocket, which answers each beat.
const SILENCE: Duration = Duration::from_secs(50);
/// How long sending something may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the other end has to say goodbye.
const FAREWELL: Duration = Duration::from_secs(5);
/// The longest that is read from whoever listens, who has nothing to say.
const LONGEST: usize = 1024;

/// Something that is told.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Told {
    /// Its number, by which one goes on behind it.
    pub(super) id: i64,
    /// Which kind of thing.
    pub(super) event: String,
    /// What of it.
    pub(super) data: Value,
}

/// No more can be told for the moment: whoever listens comes back, and goes on where they were.
#[derive(Debug)]
pub(super) struct Away;

/// Where somebody goes on.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct After {
    /// The last event that was seen, where no header says so.
    #[param(required = false, minimum = 0)]
    after: Option<i64>,
}

/// The same, as browsers say it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is only described")]
pub(crate) struct Seen {
    /// The last event that was seen.
    #[param(rename = "Last-Event-ID", required = false, minimum = 0)]
    last_event_id: i64,
}

impl After {
    /// The last event that was seen. A browser says so in a header when it comes back, to the address that it began with.
    ///
    /// # Errors
    /// [`Kind::Invalid`].
    pub(super) fn read(&self, headers: &HeaderMap) -> Outcome<Option<i64>> {
        if self.after.is_some_and(|it| it < 0) {
            return Err(Problem::new(Kind::Invalid, "after: the number of an event"));
        }
        match headers.get("last-event-id").map(|it| it.to_str().ok().and_then(number)) {
            Some(Some(seen)) => Ok(Some(seen)),
            Some(None) => Err(Problem::new(Kind::Invalid, "Last-Event-ID: the number of an event")),
            None => Ok(self.after),
        }
    }
}

/// The number of an event.
fn number(text: &str) -> Option<i64> {
    text.bytes().all(|it| it.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Whether somebody asks to switch to WebSocket.
pub(crate) struct Switch(Option<WebSocketUpgrade>);

impl Switch {
    pub(super) fn is_wanted(&self) -> bool {
        self.0.is_some()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Switch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Outcome<Self> {
        if !asks_for_websocket(&parts.headers) {
            return Ok(Self(None));
        }
        let switch = WebSocketUpgrade::from_request_parts(parts, state).await;
        switch.map(|it| Self(Some(it))).map_err(|refused| Problem::new(Kind::Invalid, refused.body_text()))
    }
}

/// Waits until a listener's session has ended, or their key was revoked.
async fn until_over(app: App, caller: Caller) {
    loop {
        tokio::time::sleep(Duration::from_secs_f64(app.config.streams_look_s)).await;
        match caller.is_good(&app).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::debug!(%error, "it is not known whether a listener is still signed in"),
        }
    }
}

/// Tells what comes, until nothing more does, or whoever listens is signed in no longer.
///
/// # Errors
/// They have too many streams open.
pub(super) fn tell(
    (app, caller): (&App, Caller),
    switch: Switch,
    told: impl Stream<Item = Result<Told, Away>> + Send + 'static,
) -> Outcome<Response> {
    let open = app.streams.open(caller.user(), app.config.streams_each)?;
    let told = told.take_until(Box::pin(until_over(app.clone(), caller))).inspect(move |_| {
        // It is open for as long as this is there.
        let _ = &open;
    });
    let Switch(Some(switch)) = switch else {
        let events = told.take_while(|told| future::ready(told.is_ok())).filter_map(|told| future::ready(told.ok()));
        let events = events.map(|Told { id, event, data }| {
            Ok::<_, Infallible>(Event::default().id(id.to_string()).event(event).data(data.to_string()))
        });
        return Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(BEAT)).into_response());
    };
    let switch =
        switch.read_buffer_size(LONGEST).write_buffer_size(0).max_message_size(LONGEST).max_frame_size(LONGEST);
    // Of what is offered nothing else is named: in one of them may stand who it is.
    Ok(switch.protocols([PROTOCOL]).on_upgrade(move |socket| send(socket, told)))
}

/// Sends what comes over a WebSocket, and says at last why it ends.
async fn send(mut socket: WebSocket, told: impl Stream<Item = Result<Told, Away>>) {
    tokio::pin!(told);
    let mut beats = interval_at(Instant::now() + BEAT, BEAT);
    let mut heard = Instant::now();
    let end = loop {
        let message = tokio::select! {
            next = told.next() => match next {
                Some(Ok(told)) => match serde_json::to_string(&told) {
                    Ok(text) => Message::text(text),
                    Err(error) => {
                        tracing::error!(%error, "an event can't be told");
                        break close(close_code::ERROR, "an event can't be told");
                    }
                },
                Some(Err(Away)) => break close(close_code::AGAIN, "something is away; come back"),
                None => break close(close_code::NORMAL, "all is told"),
            },
            said = socket.recv() => match said {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {
                    heard = Instant::now();
                    continue;
                }
            },
            _ = beats.tick() => match heard.elapsed() < SILENCE {
                true => Message::Ping(Default::default()),
                false => return,
            },
        };
        if !matches!(timeout(PATIENCE, socket.send(message)).await, Ok(Ok(()))) {
            return;
        }
    };
    let farewell = async {
        if socket.send(end).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    // Whoever doesn't say goodbye is left all the same.
    let _ = timeout(FAREWELL, farewell).await;
}

fn close(code: u16, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code, reason: reason.into() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_a_number_and_nothing_else_is_one() {
        assert_eq!([number("0"), number("17")], [Some(0), Some(17)]);
        for bad in ["", "-1", "+1", "x", "1.5", " 1", "9223372036854775808"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_a_browser_says_when_it_comes_back_counts_before_the_address_that_it_began_with() {
        let headers = HeaderMap::from_iter([("last-event-id".parse().unwrap(), "7".parse().unwrap())]);
        let (after, none) = (After { after: Some(3) }, HeaderMap::new());
        assert_eq!((after.read(&headers).unwrap(), after.read(&none).unwrap()), (Some(7), Some(3)));
        assert_eq!(After::default().read(&none).unwrap(), None);
        assert!(After { after: Some(-1) }.read(&none).is_err() && After { after: Some(-1) }.read(&headers).is_err());
    }
}
