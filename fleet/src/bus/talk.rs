//! What processes say to each other besides tasks: questions with answers, and announcements. Nothing of it is kept; whoever
//! needs to know asks again.

use std::future::Future;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::Error;

/// Who is asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Whom {
    /// The driver.
    Driver,
    /// A client, in one of its lives.
    Session(u32),
}

/// What an announcement is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Topic {
    /// How the jobs have ended that a client tends, in one of its lives.
    EndedOf(u32),
    /// How a job has ended that is kept.
    Ended(u64),
    /// How a job goes on.
    Progress(u64),
}

/// A question that waits for its answer. Dropped, it is never answered.
#[derive(Debug)]
pub struct Question {
    /// What is asked.
    pub bytes: Bytes,
    pub(super) reply: oneshot::Sender<Bytes>,
}

impl Question {
    /// Answers. Whoever asked may have gone.
    pub fn answer(self, bytes: Bytes) {
        drop(self.reply.send(bytes));
    }
}

/// Questions and announcements. *At most once*: either may be lost, and a question whose answer was lost may have been
/// answered. *Bounded*: whoever does not keep up with what it listens to loses the rest.
pub trait Talk: Clone + Send + Sync + 'static {
    /// Asks, and waits a few seconds for the answer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if nobody answers.
    fn ask(&self, whom: Whom, question: Bytes) -> impl Future<Output = Result<Bytes, Error>> + Send;

    /// What `whom` is asked from now on, until the receiver is dropped. Of several who listen, each gets every question.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn questions(&self, whom: Whom) -> impl Future<Output = Result<mpsc::Receiver<Question>, Error>> + Send;

    /// Says something to whoever listens.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; nobody may have heard it.
    fn announce(&self, topic: Topic, words: Bytes) -> impl Future<Output = Result<(), Error>> + Send;

    /// What is announced from now on, until the receiver is dropped.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    fn listen(&self, topic: Topic) -> impl Future<Output = Result<mpsc::Receiver<Bytes>, Error>> + Send;
}

/// How much of what was not taken yet is kept for a listener.
pub(super) const ROOM: usize = 1_024;

/// How long an answer may take.
pub(super) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
