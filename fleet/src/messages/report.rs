//! A node says what has happened.

use rkyv::{Archive, Deserialize, Serialize};
use vtp_engine::coordinator::FailureKind;

use super::{AttemptId, Kind, Message, NodeId, Pool};

/// What has happened on a node since its last report. What happens while one is on its way waits for the next, so a busy
/// node's reports are longer, not more.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct Report {
    /// The node.
    pub node: NodeId,
    /// Its life: another number each time it is started.
    pub session: u64,
    /// Counts the reports of this life, from 1.
    pub sequence: u64,
    /// What has happened, in this order.
    pub happened: Vec<Happened>,
}

/// One thing that has happened on a node.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub enum Happened {
    /// The node is there. Said again when the driver asks for it.
    Joined {
        /// What it can do.
        pool: Pool,
        /// How many tasks it is at, at a time.
        slots: u16,
        /// What it has: first what it is at work on. Where that is more than it has slots, it holds the last ones.
        doing: Vec<AttemptId>,
    },
    /// The node is alive: the heartbeat of all that it has, and of itself.
    Alive {
        /// What it has: first what it is at work on. Where that is more than it has slots, it holds the last ones.
        doing: Vec<AttemptId>,
    },
    /// It is at work on an attempt.
    Started {
        /// Which.
        id: AttemptId,
    },
    /// An attempt's result is where it belongs, durably.
    Finished {
        /// Which.
        id: AttemptId,
        /// What the driver is to know of the result, for it alone to read.
        result: Vec<u8>,
    },
    /// An attempt came to nothing.
    Failed {
        /// Which.
        id: AttemptId,
        /// Whether trying again can help.
        why: Why,
        /// A sentence for the user.
        message: String,
    },
    /// It has put an attempt down, asked or unasked.
    HandedBack {
        /// Which.
        id: AttemptId,
    },
    /// It takes no more tasks and will leave.
    Draining,
    /// It is gone.
    Left,
    /// It has put an attempt down for a fault of its own that may pass, and rests before it takes another.
    Unable {
        /// Which.
        id: AttemptId,
    },
}

/// Whether trying again can help; [`FailureKind`] on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub enum Why {
    /// It cannot.
    Permanent,
    /// It can.
    Retryable,
    /// The input killed the process that worked on it.
    Crash,
}

impl From<Why> for FailureKind {
    fn from(why: Why) -> Self {
        match why {
            Why::Permanent => Self::Permanent,
            Why::Retryable => Self::Retryable,
            Why::Crash => Self::Crash,
        }
    }
}

impl From<FailureKind> for Why {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Permanent => Self::Permanent,
            FailureKind::Retryable => Self::Retryable,
            FailureKind::Crash => Self::Crash,
        }
    }
}

impl Message for Report {
    const KIND: Kind = Kind::Report;

    fn check(&self) -> Result<(), &'static str> {
        let pools = self.happened.iter().all(|it| !matches!(it, Happened::Joined { pool, .. } if !pool.is_valid()));
        if !(1..u64::MAX).contains(&self.sequence) {
            return Err("reports are counted from 1, and nobody counts so far");
        }
        if self.node.is_valid() && pools { Ok(()) } else { Err("a name can't be one") }
    }
}
