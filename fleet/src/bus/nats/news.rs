//! The driver's side: what nodes report, and what the server says of tasks that were delivered too often.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::Message;
use async_nats::datetime::DateTime;
use async_nats::jetstream::stream::{DeleteMessageErrorKind, RawMessageErrorKind};
use async_nats::jetstream::{self, AckKind, ErrorCode};
use serde::Deserialize;
use tokio::time::Instant;

use super::lane::Lane;
use super::{streams, unavailable};
use crate::bus::{Error, News, Piece};
use crate::messages::{self, Offer, Report};

/// How many reports are on their way at a time; more are asked for when half have come.
const AHEAD: usize = 1_024;
/// How many advisories are.
const ADVISORIES: usize = 64;

/// News from NATS.
#[derive(Debug)]
pub struct NatsNews {
    context: jetstream::Context,
    events: Lane,
    advisories: Lane,
    /// The server was not heard of: until it answers, it is not known whether there is news.
    is_lost: bool,
    /// What came while it was looked for, and is not read yet.
    found: Found,
    /// What is read, and not given yet.
    read: VecDeque<Read>,
    /// What of the reports was read so far.
    seen: Seen,
    /// The last report given, and whether it was given for the first time: acknowledging it acknowledges those before.
    last: Option<(Message, bool)>,
    /// The advisories given, and the tasks that they are about.
    given: Vec<(Message, Option<(String, u64)>)>,
}

#[derive(Debug, Default)]
struct Found {
    events: Vec<Message>,
    advisories: Vec<Message>,
}

/// How far a stream was read. What the server delivers again, for it has heard of no acknowledgement yet, is behind that: it would
/// come after reports that follow it.
#[derive(Debug, Default)]
struct Seen(Option<(u64, DateTime)>);

impl Seen {
    /// Reads on to the message of this number, which was published then. Whether that is new: one of a lower number is so only in a
    /// stream that was made anew, and then it is younger.
    fn read(&mut self, sequence: u64, published: DateTime) -> bool {
        let is_new = self.0.is_none_or(|(highest, at)| sequence > highest || published > at);
        if is_new {
            self.0 = Some((sequence, published));
        }
        is_new
    }
}

/// A message that was read, with what it says; `None` if it is passed over. Of a report also whether it came for the first time.
#[derive(Debug)]
enum Read {
    Event(Message, bool, Option<Report>),
    Advisory(Message, Option<Exhausted>),
}

/// A task that was delivered too often, where the server has it, and the offer unless somebody has acknowledged it after all.
#[derive(Debug)]
struct Exhausted {
    stream: String,
    sequence: u64,
    piece: Option<Piece>,
}

/// What the server says of a task that was delivered too often.
#[derive(Debug, Deserialize)]
struct Advisory {
    stream: String,
    stream_seq: u64,
    deliveries: u32,
}

impl Read {
    fn says_something(&self) -> bool {
        match self {
            Self::Event(_, _, report) => report.is_some(),
            Self::Advisory(_, about) => about.as_ref().is_some_and(|about| about.piece.is_some()),
        }
    }
}

/// What a report says, if it is understood and is of the node on whose subject it came: the server lets a node speak on no other.
fn understood(message: &Message) -> Option<Report> {
    match messages::decode::<Report>(&message.payload) {
        Ok(report) if message.subject.as_str() == streams::event_subject(&report.node) => Some(report),
        Ok(Report { node, .. }) => {
            tracing::warn!(%node, subject = %message.subject, "a report in the name of another node is passed over");
            None
        }
        Err(error) => {
            tracing::warn!(%error, subject = %message.subject, "a report is not understood, and passed over");
            None
        }
    }
}

/// Whether the server says itself that there is no such message; it may also not answer.
fn is_gone(error: &RawMessageErrorKind) -> bool {
    match error {
        RawMessageErrorKind::NoMessageFound => true,
        RawMessageErrorKind::JetStream(error) => error.error_code() == ErrorCode::STREAM_NOT_FOUND,
        RawMessageErrorKind::InvalidSubject | RawMessageErrorKind::Other => false,
    }
}

impl NatsNews {
    pub(super) fn new(context: jetstream::Context, events: Lane, advisories: Lane) -> Self {
        let (found, read) = (Found::default(), VecDeque::new());
        let (seen, last, given) = (Seen::default(), None, Vec::new());
        Self { context, events, advisories, is_lost: false, found, read, seen, last, given }
    }

    fn take_report(&mut self, message: Message) {
        let message = jetstream::Message { message, context: self.context.clone() };
        let place = message.info().map(|info| (info.stream_sequence, info.published));
        let is_new = place.map_or(true, |(sequence, published)| self.seen.read(sequence, published));
        let report = if is_new { understood(&message) } else { None };
        self.read.push_back(Read::Event(message.message, is_new, report));
    }

    async fn take_advisory(&mut self, message: Message) {
        let about = match serde_json::from_slice::<Advisory>(&message.payload) {
            Ok(Advisory { stream, stream_seq, deliveries }) => {
                let offer = match self.look_up(&stream, stream_seq).await {
                    Ok(offer) => offer,
                    // Not acknowledged, it comes again.
                    Err(error) => {
                        tracing::debug!(%error, stream, stream_seq, "a task that was given up is looked for again");
                        return;
                    }
                };
                let piece = offer.map(|offer| Piece::Exhausted { offer, deliveries });
                Some(Exhausted { stream, sequence: stream_seq, piece })
            }
            Err(error) => {
                tracing::warn!(%error, "an advisory is not understood, and passed over");
                None
            }
        };
        self.read.push_back(Read::Advisory(message, about));
    }

    /// Gives up to `most` pieces of what is read. They, and what is passed over before the next, may be acknowledged then, and
    /// nothing else: whoever waited for more may have turned to something else, and never had what is left here.
    fn give(&mut self, most: usize) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while let Some(read) = self.read.pop_front_if(|read| pieces.len() < most || !read.says_something()) {
            match read {
                Read::Event(message, is_new, report) => {
                    pieces.extend(report.map(Piece::Report));
                    // One that came again is behind those that came for the first time.
                    if is_new || self.last.as_ref().is_none_or(|(_, is_new)| !is_new) {
                        self.last = Some((message, is_new));
                    }
                }
                Read::Advisory(message, about) => {
                    let about = about.map(|Exhausted { stream, sequence, piece }| {
                        pieces.extend(piece);
                        (stream, sequence)
                    });
                    self.given.push((message, about));
                }
            }
        }
        pieces
    }

    /// The task that the server has given up. It stays in its stream until it is removed.
    async fn look_up(&self, stream: &str, sequence: u64) -> Result<Option<Offer>, Error> {
        let stream = self.context.get_stream_no_info(stream).await.map_err(unavailable)?;
        match stream.get_raw_message(sequence).await {
            Ok(message) => Ok(messages::decode(&message.payload).ok()),
            // Somebody has acknowledged it after all.
            Err(error) if is_gone(&error.kind()) => {
                tracing::debug!(%error, sequence, "a task that was given up is not there");
                Ok(None)
            }
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn ask(&mut self) -> Result<(), Error> {
        if self.events.left() < AHEAD / 2 {
            self.events.ask(AHEAD).await?;
        }
        if !self.advisories.is_open() {
            self.advisories.ask(ADVISORIES).await?;
        }
        Ok(())
    }

    /// Looks for the server after it was not heard of: it answers both requests at once, with what there is or that there is
    /// nothing.
    async fn find(&mut self) -> Result<(), Error> {
        self.events.fetch(AHEAD, &mut self.found.events).await?;
        self.advisories.fetch(ADVISORIES, &mut self.found.advisories).await?;
        self.is_lost = false;
        for message in std::mem::take(&mut self.found.events) {
            self.take_report(message);
        }
        while let Some(message) = self.found.advisories.pop() {
            self.take_advisory(message).await;
        }
        Ok(())
    }

    /// Reads what has come.
    async fn read(&mut self, most: usize) -> Result<(), Error> {
        while self.read.len() < most {
            let Some(message) = self.events.ready()? else { break };
            self.take_report(message);
        }
        while let Some(message) = self.advisories.ready()? {
            self.take_advisory(message).await;
        }
        if self.events.is_silent() || self.advisories.is_silent() {
            return Err(unavailable("it keeps our requests for news, and is not heard of any more"));
        }
        Ok(())
    }

    async fn hear(&mut self, most: usize, wait: Duration) -> Result<Vec<Piece>, Error> {
        let end = Instant::now() + wait;
        let mut is_asked = false;
        loop {
            // Requests are kept for later where there is no connection; whoever waits for news is to know.
            self.events.reach()?;
            if self.is_lost {
                self.find().await?;
            }
            self.read(most).await?;
            // Once, and then in time alone: whoever stood still meanwhile may have a successor, whose news these would be.
            if !is_asked || Instant::now() < end {
                self.ask().await?;
                is_asked = true;
            }
            let pieces = self.give(most);
            if !pieces.is_empty() || Instant::now() >= end {
                return Ok(pieces);
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
                        self.take_advisory(message).await;
                    }
                }
                () = tokio::time::sleep_until(look) => {}
            }
        }
    }
}

impl News for NatsNews {
    async fn next(&mut self, most: usize, wait: Duration) -> Result<Vec<Piece>, Error> {
        let news = self.hear(most, wait).await;
        self.is_lost |= news.is_err();
        news
    }

    async fn ack(&mut self) -> Result<(), Error> {
        if let Some((message, _)) = self.last.take() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_gone_only_where_the_server_says_so() {
        let said = |code: u64, err_code: u64| {
            let words = format!(r#"{{"code":{code},"err_code":{err_code},"description":"it says why"}}"#);
            RawMessageErrorKind::JetStream(serde_json::from_str(&words).expect("an error of JetStream"))
        };
        assert!(is_gone(&RawMessageErrorKind::NoMessageFound) && is_gone(&said(404, 10059)));
        assert!(!is_gone(&RawMessageErrorKind::Other), "as where it does not answer in time");
        assert!(!is_gone(&said(503, 10008)), "nobody leads the stream");
    }

    #[test]
    fn what_comes_again_is_told_from_what_is_new_in_a_stream_that_was_made_anew() {
        let at = |seconds: i64| async_nats::datetime::from_nanos(i128::from(seconds) * 1_000_000_000).expect("a time");
        let mut seen = Seen::default();
        assert!(seen.read(7, at(10)) && seen.read(9, at(10)) && seen.read(10, at(12)));
        assert!(!seen.read(7, at(10)) && !seen.read(9, at(10)) && !seen.read(10, at(12)));
        assert!(seen.read(1, at(20)) && seen.read(2, at(20)));
        assert!(!seen.read(1, at(20)));
        assert!(seen.read(3, at(19)), "clocks of servers differ");
    }
}
