//! Whoever makes ladders, as the control plane sees it. It never looks at a video itself: that is for processes behind walls.

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use utoipa::ToSchema;

use crate::template::Codec;

use crate::traceparent::Traceparent;

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

/// What would be made of a source, and in which parts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Outline {
    /// Seconds from the first frame's start to the last one's end.
    pub duration_s: f64,
    /// Frames of the source.
    pub frames: u32,
    /// The ladder. What `smart` leaves out, a trial finds out that is made with the job.
    pub renditions: Vec<PlannedRendition>,
    /// How many segments each rendition has.
    pub segments: u32,
    /// The chunks, each of which is encoded by itself, in order.
    pub chunks: Vec<PlannedChunk>,
    /// Why it is less parallel than it could be, if it is.
    pub reason: Option<String>,
    /// What a user should know, in sentences.
    pub warnings: Vec<String>,
}

/// How a rendition comes to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Making {
    /// Encoded, under a cap.
    Capped,
    /// Encoded, without loss.
    Lossless,
    /// The source's own samples.
    Copied,
}

/// A rendition that would be made.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlannedRendition {
    /// The name of its folder.
    pub name: String,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// The codec; null for one that is copied.
    pub codec: Option<Codec>,
    /// How it comes to be.
    pub making: Making,
    /// Bits a second that it has at most, over its decoder's buffer; null where there is no such cap.
    pub most_bits_per_s: Option<u64>,
}

/// A chunk that would be encoded.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlannedChunk {
    /// Where it begins, in seconds from the first frame's start.
    pub start_s: f64,
    /// How long it is, in seconds.
    pub duration_s: f64,
    /// Its frames.
    pub frames: u32,
    /// Its segments.
    pub segments: u32,
    /// How much work it is, in frames encoded: what is decoded to get there counts, too.
    pub cost: f64,
}

/// What a look at a source for a plan came to.
#[derive(Clone, PartialEq, Debug)]
pub enum Planned {
    /// So it would be made.
    Outline(Outline),
    /// That can't be made of it; the sentence says what to ask for instead.
    Unfit(String),
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

    /// Has it said what a ladder of these words would be, for this user; nothing is made.
    ///
    /// # Errors
    /// [`Away`].
    fn plan(&self, user: u64, source: PathBuf, words: Vec<String>) -> BoxFuture<'_, Result<Planned, Away>>;

    /// How many chunks can be encoded at the same time by the nodes that are there.
    ///
    /// # Errors
    /// [`Away`].
    fn slots(&self) -> BoxFuture<'_, Result<u32, Away>>;

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
