//! Whoever wants jobs done asks the driver, and hears how they ended; a splitter asks the stitcher whose job it is.

use rkyv::{Archive, Deserialize, Serialize};

use super::{Kind, LIMIT, Message, NodeId, Pool, TraceContext};
use crate::ledger::Submission;

/// What the driver is asked for. Each may be asked again, after success too.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub enum Request {
    /// Take a job. A number that is known is the same job.
    Submit(Submission),
    /// Give a job up.
    Cancel {
        /// Which.
        job: u64,
    },
    /// Let go of a job that has ended.
    Forget {
        /// Which.
        job: u64,
    },
    /// A client is there, in this life of it, and asks what has become of these jobs. Those of its earlier lives that nobody
    /// keeps are cancelled.
    Tend {
        /// Who.
        client: NodeId,
        /// In which life.
        session: u32,
        /// About which jobs.
        jobs: Vec<u64>,
    },
    /// Tell how much can be done at a time.
    Slots,
}

/// What the driver answers.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub enum Reply {
    /// It is so, and the ledger has it.
    Done,
    /// It is not.
    Refused {
        /// A sentence for whoever asked.
        reason: String,
    },
    /// How the jobs stand, in the order asked for, as many as there is room for.
    Standings(Vec<Standing>),
    /// How many tasks each pool can be at, at a time.
    Slots(Vec<(Pool, u32)>),
}

/// How a job stands.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub enum Standing {
    /// There is no such job.
    Unknown,
    /// It is under way.
    Active,
    /// Every task is accepted.
    Done {
        /// What was made, in the order in which it was accepted.
        made: Vec<Made>,
    },
    /// It has failed.
    Failed {
        /// Because of which chunk.
        chunk: u32,
        /// A sentence for the user.
        message: String,
    },
    /// It was cancelled.
    Cancelled,
}

/// A task that is done.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct Made {
    /// The task's chunk.
    pub chunk: u32,
    /// By which attempt.
    pub attempt: u32,
    /// What its node said of it.
    pub result: Vec<u8>,
}

/// A job has ended; said once, to whoever listens.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct Ended {
    /// Which.
    pub job: u64,
    /// How.
    pub standing: Standing,
}

/// Which packets a task is made from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct Lookup {
    /// The task's job.
    pub job: u64,
    /// Its chunk.
    pub chunk: u32,
}

/// The answer to a [`Lookup`].
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct Found {
    /// What splitters read; `None` if there is no such task.
    pub packets: Option<Vec<u8>>,
    /// The stitcher's span that the task is for.
    pub trace: TraceContext,
}

macro_rules! message {
    ($name:ident, $kind:ident, $limit:expr, |$it:ident| $check:expr) => {
        impl Message for $name {
            const KIND: Kind = Kind::$kind;
            const LIMIT: usize = $limit;

            fn check(&self) -> Result<(), &'static str> {
                let $it = self;
                $check
            }
        }
    };
}

message!(Request, Request, LIMIT, |it| match it {
    Request::Submit(submission) => submission.check(),
    Request::Tend { client, .. } if !client.is_valid() => Err("a name can't be one"),
    Request::Tend { .. } | Request::Cancel { .. } | Request::Forget { .. } | Request::Slots => Ok(()),
});
message!(Reply, Reply, LIMIT, |_it| Ok(()));
message!(Ended, Ended, LIMIT, |_it| Ok(()));
message!(Lookup, Lookup, 64, |_it| Ok(()));
message!(Found, Found, 64 * 1024, |_it| Ok(()));
