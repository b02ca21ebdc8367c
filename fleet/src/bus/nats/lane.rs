//! Pulls from one consumer.
//!
//! async-nats has pullers of its own; ours keeps one inbox for all requests, can be asked whether anything is there without
//! waiting, and gives back what comes when nobody has room for it any more.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::{Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::{NatsBus, PATIENCE, unavailable};
use crate::bus::Error;

/// How long the server keeps a request that it has nothing for.
const EXPIRES: Duration = Duration::from_secs(30);
/// How long nothing is asked for after the server had something else to say than that there is nothing, or was not there: it would
/// be the same again.
const PAUSE: Duration = Duration::from_millis(200);

/// A consumer, as one of those sees it who pull from it.
#[derive(Debug)]
pub(super) struct Lane {
    bus: NatsBus,
    /// Where requests go.
    next: Subject,
    inbox: Subject,
    subscriber: Subscriber,
    request: Option<Request>,
    /// How often the server says that it has nothing, while it keeps a request.
    beat: Option<Duration>,
    /// When it was last heard of.
    heard: Instant,
    /// When it may be asked again.
    rest: Instant,
}

/// A request that the server has not fulfilled.
#[derive(Clone, Copy, Debug)]
struct Request {
    left: usize,
    until: Instant,
    /// The connection that it was made on.
    connection: u64,
    /// Whether the server keeps it where it has nothing.
    waits: bool,
}

impl Request {
    fn is_alive(&self, bus: &NatsBus) -> bool {
        self.connection == bus.connection() && Instant::now() < self.until
    }
}

impl Lane {
    /// `beat`: how often the server is to say that it keeps a request and has nothing for it.
    pub(super) async fn open(
        bus: NatsBus,
        stream: String,
        consumer: &str,
        beat: Option<Duration>,
    ) -> Result<Self, Error> {
        let inbox: Subject = bus.client.new_inbox().into();
        let subscriber = bus.client.subscribe(inbox.clone()).await.map_err(unavailable)?;
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}").into();
        let now = Instant::now();
        Ok(Self { bus, next, inbox, subscriber, request: None, beat, heard: now, rest: now })
    }

    /// Whether the server holds a request of ours: then it had nothing for it when it was last heard of.
    pub(super) fn is_open(&self) -> bool {
        self.request.is_some_and(|request| request.waits && request.is_alive(&self.bus))
    }

    /// Nothing, where there is a connection at this moment.
    pub(super) fn reach(&self) -> Result<(), Error> {
        self.bus.reach()
    }

    /// Whether the server keeps a request of ours and does not say so any more: whoever leads the consumer may be gone. Ask for
    /// what is [`ready`](Self::ready) before.
    pub(super) fn is_silent(&self) -> bool {
        let silence = self.beat.map(|beat| 2 * beat + Duration::from_secs(1));
        self.is_open() && silence.is_some_and(|silence| self.heard + silence < Instant::now())
    }

    /// How many messages are still asked for.
    pub(super) fn left(&self) -> usize {
        self.request.filter(|_| self.is_open()).map_or(0, |request| request.left)
    }

    /// Asks for what comes, up to `batch` messages.
    pub(super) async fn ask(&mut self, batch: usize) -> Result<(), Error> {
        let (expires, beat) = (EXPIRES.as_nanos(), self.beat.unwrap_or_default().as_nanos());
        let body = format!(r#"{{"batch":{batch},"expires":{expires},"idle_heartbeat":{beat}}}"#);
        self.send(body, batch, EXPIRES + PATIENCE, true).await
    }

    /// Adds what is there to `messages`, up to `batch` of them, without waiting for more. Cancel safe.
    pub(super) async fn fetch(&mut self, batch: usize, messages: &mut Vec<Message>) -> Result<(), Error> {
        // Whoever gave up waiting for an answer has it now.
        if !self.request.is_some_and(|request| !request.waits && request.is_alive(&self.bus)) {
            let body = format!(r#"{{"batch":{batch},"no_wait":true}}"#);
            self.send(body, batch, PATIENCE, false).await?;
        }
        let before = messages.len();
        while let Some(request) = self.request {
            match tokio::time::timeout_at(request.until, self.subscriber.next()).await {
                Ok(Some(message)) => messages.extend(self.take(message)?),
                Ok(None) => return Err(unavailable("the connection is closed")),
                // What has come counts; the rest will be asked for again.
                Err(_) if messages.len() > before => self.request = None,
                Err(_) => {
                    self.request = None;
                    return Err(unavailable("no answer to a pull request"));
                }
            }
        }
        Ok(())
    }

    /// A message that has come already.
    pub(super) fn ready(&mut self) -> Result<Option<Message>, Error> {
        while let Some(Some(message)) = self.subscriber.next().now_or_never() {
            if let Some(message) = self.take(message)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// The next message; `None` when the request has ended without one. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, Error> {
        let message = self.subscriber.next().await.ok_or_else(|| unavailable("the connection is closed"))?;
        self.take(message)
    }

    /// Stops asking: another inbox takes this one's place, and what still comes to it is given back.
    pub(super) async fn close(&mut self) -> Result<(), Error> {
        if self.request.take().is_none() {
            return Ok(());
        }
        let inbox: Subject = self.bus.client.new_inbox().into();
        let subscriber = self.bus.client.subscribe(inbox.clone()).await.map_err(unavailable)?;
        self.inbox = inbox;
        let mut old = std::mem::replace(&mut self.subscriber, subscriber);
        old.drain().await.map_err(unavailable)?;
        let context = self.bus.context.clone();
        tokio::spawn(async move {
            while let Some(message) = old.next().await {
                if message.status.is_none() {
                    let message = jetstream::Message { message, context: context.clone() };
                    // Where this fails, it is delivered again after its time.
                    let _ = message.ack_with(jetstream::AckKind::Nak(None)).await;
                }
            }
        });
        Ok(())
    }

    async fn send(&mut self, body: String, batch: usize, wait: Duration, waits: bool) -> Result<(), Error> {
        tokio::time::sleep_until(self.rest).await;
        // Kept for later, requests would pile up, and each be given tasks then.
        self.bus.reach().inspect_err(|_| self.rest = Instant::now() + PAUSE)?;
        let connection = self.bus.connection();
        let sent = self.bus.client.publish_with_reply(self.next.clone(), self.inbox.clone(), Bytes::from(body));
        sent.await.map_err(unavailable)?;
        self.heard = Instant::now();
        self.request = Some(Request { left: batch, until: self.heard + wait, connection, waits });
        Ok(())
    }

    /// A message, or a word about the request.
    fn take(&mut self, message: Message) -> Result<Option<Message>, Error> {
        self.heard = Instant::now();
        let Some(status) = message.status.filter(|status| *status != StatusCode::OK) else {
            if let Some(request) = &mut self.request {
                request.left = request.left.saturating_sub(1);
                if request.left == 0 {
                    self.request = None;
                }
            }
            return Ok(Some(message));
        };
        let word = Word::of(status, message.description.as_deref().unwrap_or_default());
        if word == Word::Nothing {
            return Ok(None);
        }
        tracing::trace!(%status, description = message.description, "a pull request has ended");
        self.request = None;
        if word != Word::Ended {
            self.rest = self.heard + PAUSE;
        }
        match word {
            Word::Gone => Err(unavailable(format!("{} is not there", self.next))),
            Word::Nothing | Word::Ended | Word::Refused => Ok(None),
        }
    }
}

/// What the server says of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Word {
    /// It is kept, and there is nothing.
    Nothing,
    /// There was nothing, or its time is up.
    Ended,
    /// Limits are reached, another server leads the consumer from now on, and the like.
    Refused,
    /// There is no such stream or consumer, or nobody who leads it.
    Gone,
}

impl Word {
    fn of(status: StatusCode, description: &str) -> Self {
        match status {
            StatusCode::IDLE_HEARTBEAT => Self::Nothing,
            StatusCode::NOT_FOUND | StatusCode::TIMEOUT => Self::Ended,
            StatusCode::NO_RESPONDERS => Self::Gone,
            _ if description.eq_ignore_ascii_case("consumer deleted") => Self::Gone,
            _ => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_server_are_told_apart() {
        let of = |status: u16, description| Word::of(StatusCode::try_from(status).expect("a status"), description);
        assert_eq!(of(100, "Idle Heartbeat"), Word::Nothing);
        assert_eq!(of(404, "No Messages"), Word::Ended);
        assert_eq!(of(408, "Request Timeout"), Word::Ended);
        assert_eq!(of(409, "Exceeded MaxWaiting"), Word::Refused);
        assert_eq!(of(409, "Leadership Change"), Word::Refused);
        assert_eq!(of(409, "Consumer Deleted"), Word::Gone);
        assert_eq!(of(503, ""), Word::Gone);
    }
}
