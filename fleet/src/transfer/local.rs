//! In one process: what is sent is received at once, by the same two ends as over a network.

use std::collections::VecDeque;
use std::path::Path;

use bytes::Bytes;

use super::landing::{Landed, Landing, Opened};
use super::object::{Object, Origin};
use super::protocol::ObjectId;
use super::receiving::{Pieces, receive};
use super::sending::Sending;
use super::spool::Spool;
use super::{Error, Transfer};

/// Moves objects between an origin, a spool and whoever calls, all in this process.
#[derive(Clone, Debug)]
pub struct Local<O, S> {
    origin: O,
    spool: S,
    most: u64,
}

impl<O: Origin, S: Spool> Local<O, S> {
    /// Joins an origin and a spool. Objects that are fetched may have `most` bytes.
    pub const fn new(origin: O, spool: S, most: u64) -> Self {
        Self { origin, spool, most }
    }
}

impl<O: Origin, S: Spool> Transfer for Local<O, S> {
    async fn fetch(&self, id: ObjectId, place: &Path) -> Result<Landed, Error> {
        match Landing::open(place).await? {
            Opened::There(landed) => Ok(landed),
            Opened::Draft(mut landing) => {
                let object = self.origin.open(id).await?;
                carry(&object, &mut landing, id, self.most).await
            }
        }
    }

    async fn deliver<B: Object>(&self, id: ObjectId, object: &B) -> Result<Landed, Error> {
        match Landing::open(&self.spool.place(id)?).await? {
            Opened::There(landed) => confirm(landed, object, id).await,
            Opened::Draft(mut landing) => carry(object, &mut landing, id, self.spool.most()).await,
        }
    }
}

async fn carry<B: Object>(object: &B, landing: &mut Landing, id: ObjectId, most: u64) -> Result<Landed, Error> {
    let sending = Sending::new(object, landing.want()).await?;
    let queue = VecDeque::from([sending.start().bytes()]);
    receive(&mut Queue { sending, queue, ended: false }, landing, id, most).await
}

/// Compares what is there under an object's id with the object.
pub(crate) async fn confirm<B: Object>(landed: Landed, object: &B, id: ObjectId) -> Result<Landed, Error> {
    if landed.length == object.length() {
        let mut sending = Sending::new(object, super::protocol::Want::default()).await?;
        while sending.next().await?.is_some() {}
        if sending.end() == (super::protocol::Message::End { root: landed.root }) {
            return Ok(landed);
        }
    }
    Err(Error::Conflict(id))
}

/// What was sent and not yet received.
struct Queue<B> {
    sending: Sending<B>,
    queue: VecDeque<Bytes>,
    ended: bool,
}

impl<B: Object> Pieces for Queue<B> {
    async fn piece(&mut self, most: usize) -> Result<Bytes, Error> {
        if self.queue.is_empty() && !self.ended {
            match self.sending.next().await? {
                Some(block) => self.queue.extend(block),
                None => {
                    self.ended = true;
                    self.queue.push_back(self.sending.end().bytes());
                }
            }
        }
        let Some(front) = self.queue.front_mut() else { return Err(Error::Lost("that was all".to_owned())) };
        let piece = front.split_to(most.min(front.len()));
        if front.is_empty() {
            self.queue.pop_front();
        }
        Ok(piece)
    }
}
