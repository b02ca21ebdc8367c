//! The driver's side: what nodes report, and what the server says of tasks that were delivered too often.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::Message;
use async_nats::jetstream::stream::DeleteMessageErrorKind;
use async_nats::jetstream::{self, AckKind};
use serde::Deserialize;
use tokio::time::Instant;

use super::lane::Lane;
use super::unavailable;
use crate::bus::{Error, News, Piece};
use crate::messages::{self, Offer, Report};

/// How many reports are on their way at a time; more are asked for when half have come.
const AHEAD: usize = 1_024;

/// News from NATS.
#[derive(Debug)]
pub struct NatsNews {
    context: jetstream::Context,
    events: Lane,
    advisories: Lane,
    /// What is understood, and not given yet.
    pieces: VecDeque<Piece>,
    /// The last report understood: acknowledging it acknowledges those before.
    last: Option<Message>,
    /// The advisories given, and the tasks that they are about.
    given: Vec<(Message, Option<(String, u64)>)>,
}

/// What the server says of a task that was delivered too often.
#[derive(Debug, Deserialize)]
struct Advisory {
    stream: String,
    stream_seq: u64,
    deliveries: u32,
}

impl NatsNews {
    pub(super) fn new(context: jetstream::Context, events: Lane, advisories: Lane) -> Self {
        Self { context, events, advisories, pieces: VecDeque::new(), last: None, given: Vec::new() }
    }

    fn take_report(&mut self, message: Message) {
        match messages::decode::<Report>(&message.payload) {
            Ok(report) => self.pieces.push_back(Piece::Report(report)),
            Err(error) => {
                tracing::warn!(%error, subject = %message.subject, "a report is not understood, and passed over")
            }
        }
        self.last = Some(message);
    }

    async fn take_advisory(&mut self, message: Message) -> Result<(), Error> {
        let about = match serde_json::from_slice::<Advisory>(&message.payload) {
            Ok(Advisory { stream, stream_seq, deliveries }) => {
                if let Some(offer) = self.look_up(&stream, stream_seq).await? {
                    self.pieces.push_back(Piece::Exhausted { offer, deliveries });
                }
                Some((stream, stream_seq))
            }
            Err(error) => {
                tracing::warn!(%error, "an advisory is not understood, and passed over");
                None
            }
        };
        self.given.push((message, about));
        Ok(())
    }

    /// The task that the server has given up. It stays in its stream until it is removed.
    async fn look_up(&self, stream: &str, sequence: u64) -> Result<Option<Offer>, Error> {
        let stream = self.context.get_stream_no_info(stream).await.map_err(unavailable)?;
        match stream.get_raw_message(sequence).await {
            Ok(message) => Ok(messages::decode(&message.payload).ok()),
            // Somebody has acknowledged it after all.
            Err(error) => {
                tracing::debug!(%error, sequence, "a task that was given up is not there");
                Ok(None)
            }
        }
    }

    async fn ask(&mut self) -> Result<(), Error> {
        if self.events.left() < AHEAD / 2 {
            self.events.ask(AHEAD).await?;
        }
        if !self.advisories.is_open() {
            self.advisories.ask(64).await?;
        }
        Ok(())
    }
}

impl News for NatsNews {
    async fn next(&mut self, most: usize, wait: Duration) -> Result<Vec<Piece>, Error> {
        let end = Instant::now() + wait;
        let mut is_asked = false;
        loop {
            // Requests are kept for later where there is no connection; whoever waits for news is to know.
            if self.events.is_cut_off() {
                return Err(unavailable("the connection is lost"));
            }
            // Once, and then in time alone: whoever stood still meanwhile may have a successor, whose news these would be.
            if !is_asked || Instant::now() < end {
                self.ask().await?;
                is_asked = true;
            }
            while self.pieces.len() < most {
                let Some(message) = self.events.ready() else { break };
                self.take_report(message);
            }
            while let Some(message) = self.advisories.ready() {
                self.take_advisory(message).await?;
            }
            if !self.pieces.is_empty() || Instant::now() >= end {
                let given = most.min(self.pieces.len());
                return Ok(self.pieces.drain(..given).collect());
            }
            let look = end.min(Instant::now() + Duration::from_secs(1));
            tokio::select! {
                message = self.events.next() => {
                    if let Some(message) = message? {
                        self.take_report(message);
                    }
                }
                message = self.advisories.next() => {
                    if let Some(message) = message? {
                        self.take_advisory(message).await?;
                    }
                }
                () = tokio::time::sleep_until(look) => {}
            }
        }
    }

    async fn ack(&mut self) -> Result<(), Error> {
        if let Some(message) = self.last.take() {
            let message = jetstream::Message { message, context: self.context.clone() };
            message.ack().await.map_err(unavailable)?;
        }
        for (message, about) in std::mem::take(&mut self.given) {
            if let Some((stream, sequence)) = about {
                let stream = self.context.get_stream_no_info(stream).await.map_err(unavailable)?;
                match stream.delete_message(sequence).await {
                    Ok(_) => {}
                    // The server has answered: it is gone already, so there is nothing to remove.
                    Err(error) if matches!(error.kind(), DeleteMessageErrorKind::JetStream(_)) => {}
                    // Not acknowledged, the advisory comes again, and the message is removed then.
                    Err(error) => return Err(unavailable(error)),
                }
            }
            let message = jetstream::Message { message, context: self.context.clone() };
            message.ack_with(AckKind::Ack).await.map_err(unavailable)?;
        }
        Ok(())
    }
}
