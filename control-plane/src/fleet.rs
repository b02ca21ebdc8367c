//! Whoever makes ladders, as the control plane sees it. It never looks at a video itself: that is for processes behind walls.

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::traces::Traceparent;

/// What is to be made.
#[derive(Clone, PartialEq, Debug)]
pub struct Order {
    /// Its number in the fleet, always the same for a job: what was ordered twice is made once.
    pub number: u64,
    /// From 1, the most urgent, to 10.
    pub priority: u8,
    /// Whose it is: the fleet is fair between users.
    pub user: u64,
    /// Where the source is.
    pub source: PathBuf,
    /// Where the ladder goes; nothing is there yet.
    pub out: PathBuf,
    /// What else `vtp encode` is told.
    pub words: Vec<String>,
    /// Which span it is below, if it is traced.
    pub trace: Option<Traceparent>,
}

/// What a look at a source came to.
#[derive(Clone, PartialEq, Debug)]
pub enum Probed {
    /// As `vtp probe --json` tells it.
    Video(Value),
    /// It can't be used: 1001 or 1005, and a sentence.
    Unusable {
        /// Which.
        code: u16,
        /// What is wrong and what to do.
        message: String,
    },
}

/// How an order ended.
#[derive(Clone, PartialEq, Debug)]
pub enum Made {
    /// It is published, and this is its report; null if it is too long to be told, and lies beside the ladder.
    Ladder(Value),
    /// It can't be made.
    Failed {
        /// The product's number, if it has one.
        code: Option<u16>,
        /// What is wrong and what to do.
        message: String,
    },
    /// Somebody wanted it no longer.
    Cancelled,
}

/// Something that happened on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// It is at this: indexing, encoding, proving.
    Stage(String),
    /// So many frames of the source are encoded to all renditions.
    Frames {
        /// So many.
        done: u64,
        /// Of so many.
        total: u64,
    },
}

/// The fleet does not answer; later it may.
#[derive(Debug, thiserror::Error)]
#[error("the fleet does not answer: {0}")]
pub struct Away(pub String);

/// Makes ladders, and looks at sources.
///
/// *Idempotent*: the same order, given again, by whomever, is told how the first one goes on or has ended, until
/// [`Fleet::forget`]. *Dropped*: whoever lets go of a call takes nothing back; an order goes on until [`Fleet::cancel`].
pub trait Fleet: Send + Sync + 'static {
    /// Has a source looked at.
    ///
    /// # Errors
    /// [`Away`].
    fn probe(&self, source: PathBuf) -> BoxFuture<'_, Result<Probed, Away>>;

    /// Has a ladder made, and waits for it. What happens is told; some of it may be lost.
    ///
    /// # Errors
    /// [`Away`].
    fn make(&self, order: Order, told: mpsc::Sender<Progress>) -> BoxFuture<'_, Result<Made, Away>>;

    /// Gives an order up.
    ///
    /// # Errors
    /// [`Away`].
    fn cancel(&self, number: u64) -> BoxFuture<'_, Result<(), Away>>;

    /// Whether it answers, as far as is known.
    fn answers(&self) -> bool;

    /// Says that nobody will ask any longer how an order has ended. One of which that is not said is remembered for a day or more.
    ///
    /// # Errors
    /// [`Away`].
    fn forget(&self, number: u64) -> BoxFuture<'_, Result<(), Away>>;
}
