//! Pulls from one consumer.
//!
//! async-nats has pullers of its own; ours keeps one inbox for all requests, can be asked whether anything is there without
//! waiting, and gives back what comes when nobody has room for it any more.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream;
use async_nats::{Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::{NatsBus, PATIENCE, unavailable};
use crate::bus::Error;

/// How long the server keeps a request that it has nothing for.
const EXPIRES: Duration = Duration::from_secs(30);

/// A consumer, as one of those sees it who pull from it.
#[derive(Debug)]
pub(super) struct Lane {
    bus: NatsBus,
    /// Where requests go.
    next: Subject,
    inbox: Subject,
    subscriber: Subscriber,
    request: Option<Request>,
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
    pub(super) async fn open(bus: NatsBus, stream: String, consumer: &str) -> Result<Self, Error> {
        let inbox: Subject = bus.client.new_inbox().into();
        let subscriber = bus.client.subscribe(inbox.clone()).await.map_err(unavailable)?;
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}").into();
        Ok(Self { bus, next, inbox, subscriber, request: None })
    }

    /// Whether the server holds a request of ours: then it had nothing for it when it was last heard of.
    pub(super) fn is_open(&self) -> bool {
        self.request.is_some_and(|request| request.waits && request.is_alive(&self.bus))
    }

    /// Whether there is no connection at this moment.
    pub(super) fn is_cut_off(&self) -> bool {
        self.bus.client.connection_state() != State::Connected
    }

    /// How many messages are still asked for.
    pub(super) fn left(&self) -> usize {
        self.request.filter(|_| self.is_open()).map_or(0, |request| request.left)
    }

    /// Asks for what comes, up to `batch` messages.
    pub(super) async fn ask(&mut self, batch: usize) -> Result<(), Error> {
        let body = format!(r#"{{"batch":{batch},"expires":{}}}"#, EXPIRES.as_nanos());
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
                Ok(Some(message)) => messages.extend(self.take(message)),
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
    pub(super) fn ready(&mut self) -> Option<Message> {
        while let Some(Some(message)) = self.subscriber.next().now_or_never() {
            if let Some(message) = self.take(message) {
                return Some(message);
            }
        }
        None
    }

    /// The next message; `None` when the request has ended without one. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, Error> {
        let message = self.subscriber.next().await.ok_or_else(|| unavailable("the connection is closed"))?;
        Ok(self.take(message))
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
        let connection = self.bus.connection();
        let sent = self.bus.client.publish_with_reply(self.next.clone(), self.inbox.clone(), Bytes::from(body));
        sent.await.map_err(unavailable)?;
        self.request = Some(Request { left: batch, until: Instant::now() + wait, connection, waits });
        Ok(())
    }

    /// A message, or a word about the request.
    fn take(&mut self, message: Message) -> Option<Message> {
        match message.status {
            None | Some(StatusCode::OK) => {
                if let Some(request) = &mut self.request {
                    request.left = request.left.saturating_sub(1);
                    if request.left == 0 {
                        self.request = None;
                    }
                }
                Some(message)
            }
            Some(StatusCode::IDLE_HEARTBEAT) => None,
            // Nothing there, time is up, the consumer was deleted, its limits are reached: ask again.
            Some(status) => {
                tracing::trace!(%status, description = message.description, "a pull request has ended");
                self.request = None;
                None
            }
        }
    }
}
