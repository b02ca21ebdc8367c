//! The driver of a fleet: it connects the coordinator, the ledger and the bus.
//!
//! ```text
//!  submissions, news of nodes ─► step ─► records ─► ledger, synced ─► tasks to the bus, words to nodes, notices
//!                                 │                                    └─► then the news is acknowledged
//!                                 └─ coordinator: who does what; crew: which node has which of its workers
//! ```
//!
//! Clients come to [`serve`], which asks the driver for them; what it knows of their jobs is in the [`Desk`], which is pure.
//!
//! [`Core`] is pure: events in, [`Step`]s out. [`Driver`] is the thin shell: it takes all that has come in, makes one step
//! of it, has its records kept with one sync, and only then lets anybody know. What the bus loses is published again.
//! Tasks are opaque; what is in them is between whoever submits and whoever encodes. [`take_turns`] is what a process does that may
//! be one of several: it drives while it leads, and stands by while another does.

mod clock;
mod core;
mod crew;
mod desk;
mod effects;
mod free;
mod lives;
mod nodes;
mod service;
mod shell;
mod spans;
mod tally;
mod turns;
mod upkeep;
mod work;

use std::collections::BTreeMap;
use std::time::Duration;

use vtp_engine::coordinator::Skills;

use crate::messages::{AttemptId, Control, NodeId, Offer, Pool};

pub use self::core::{Core, Refused};
pub use desk::{Desk, Unwanted};
pub use service::{alone, serve};
pub use shell::{Counts, Driver, Error, Handle};
pub use spans::{EndBy, Of, Span, SpanSink};
pub use turns::{Turn, take_turns};

/// The driver's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The coordinator's.
    pub coordinator: vtp_engine::coordinator::Config,
    /// The pools that there are, and what the nodes of each can do.
    pub pools: BTreeMap<Pool, Skills>,
    /// How many tasks more than it has slots each node of a pool is given: then there is one at once when another is done,
    /// and nobody waits until the driver has heard of that. None where nothing is said.
    pub ahead: BTreeMap<Pool, u16>,
    /// After what time a task that nobody has started is published again. The bus knows it by its number, and has it once.
    pub republish: Duration,
    /// After what silence a node counts as gone; after a tenth of it nothing is done any more for its free slots' sake. So
    /// nodes are to say that they are alive three times in that.
    pub silence: Duration,
}

impl Config {
    /// For a fleet with these pools: what nobody has started is published again after 5 s, a node is gone after 30 s.
    pub fn fleet(pools: BTreeMap<Pool, Skills>) -> Self {
        let coordinator = vtp_engine::coordinator::Config::fleet();
        let ahead = BTreeMap::new();
        Self { coordinator, pools, ahead, republish: Duration::from_secs(5), silence: Duration::from_secs(30) }
    }
}

/// What is to be done about something that happened: first the records are kept, then the actions are carried out.
#[derive(Debug, Default)]
pub struct Step {
    /// For the ledger.
    pub records: Vec<crate::ledger::Record>,
    /// For the bus, and for whoever listens.
    pub actions: Vec<Action>,
    /// Attempts that were handed back, or whose nodes were lost: no records.
    pub put_down: Vec<AttemptId>,
    /// How many events the coordinator was told of.
    pub events: u64,
    /// How many of them changed nothing that they were meant to: results of attempts that no longer count, and the like.
    pub ignored: u64,
}

/// One thing that is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Offer a task.
    Publish(Offer),
    /// Say something to a node.
    Control(NodeId, Control),
    /// Let whoever listens know.
    Tell(Notice),
}

/// What becomes of jobs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// A task is done.
    Accepted {
        /// By which attempt.
        id: AttemptId,
        /// What its node said of the result.
        result: Vec<u8>,
    },
    /// So much of a job is done.
    Progress {
        /// The job.
        job: u64,
        /// How much.
        progress: vtp_engine::coordinator::Progress,
    },
    /// Tasks wait that no node can do.
    NobodyCan {
        /// The job.
        job: u64,
        /// What they need.
        needs: Skills,
    },
    /// A job is not done by its deadline, and goes on.
    DeadlineMissed {
        /// The job.
        job: u64,
    },
    /// A job is done.
    Done {
        /// The job.
        job: u64,
    },
    /// A job has failed.
    Failed {
        /// The job.
        job: u64,
        /// Because of which chunk.
        chunk: u32,
        /// A sentence for the user.
        message: String,
    },
    /// A job was cancelled.
    Cancelled {
        /// The job.
        job: u64,
    },
}
