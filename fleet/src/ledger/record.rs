//! What is written down.

use rkyv::{Archive, Deserialize, Serialize};
use vtp_engine::coordinator::{Cost, JobId, NewTask, Skill, Skills, Terms, UserId, Weight};
use vtp_engine::units::ChunkIndex;

use crate::messages::{AttemptId, Kind, Message, Pool, TraceContext, Why};

/// One fact.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub enum Record {
    /// A driver has taken over.
    Claimed {
        /// Counts the claims.
        epoch: u64,
    },
    /// A job wants its tasks done.
    Submitted(Submission),
    /// An attempt was given out.
    Leased {
        /// Which.
        id: AttemptId,
        /// To which worker of the coordinator's.
        worker: u64,
        /// In which pool.
        pool: Pool,
    },
    /// An attempt's result is the task's.
    Accepted {
        /// Which.
        id: AttemptId,
        /// What the node said of it.
        result: Vec<u8>,
    },
    /// An attempt failed by itself.
    Failed {
        /// Which.
        id: AttemptId,
        /// How.
        why: Why,
    },
    /// A job has ended.
    Ended {
        /// Which.
        job: u64,
        /// How.
        outcome: Outcome,
    },
    /// A job that has ended is no longer of interest.
    Forgotten {
        /// Which.
        job: u64,
    },
    /// All that is known of a job: what a compacted journal begins with.
    Kept(KeptJob),
}

/// A job and what it wants.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct Submission {
    /// Its number, which no other has.
    pub job: u64,
    /// Whose it is.
    pub user: u64,
    /// The user's weight; at least 1.
    pub weight: u32,
    /// How urgent it is, from 1, the most urgent, to 10.
    pub priority: u8,
    /// When it should be done, in milliseconds since 1970.
    pub deadline_ms: Option<u64>,
    /// Where nodes fetch from.
    pub fetch: Vec<String>,
    /// Where nodes deliver to.
    pub deliver: Vec<String>,
    /// The span of whoever submits it; what becomes of it is below.
    pub trace: TraceContext,
    /// Its tasks, each chunk once.
    pub tasks: Vec<Row>,
}

/// A task.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct Row {
    /// Its chunk.
    pub chunk: u32,
    /// Estimated work, in thousandths of a frame encoded.
    pub cost: u64,
    /// What a worker has to be able to do: the bits of [`skill_bit`].
    pub(super) needs: u16,
    /// What is to be done, for nodes alone to read.
    pub body: Vec<u8>,
}

/// How a job has ended.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub enum Outcome {
    /// Every task is accepted.
    Done,
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

/// A job as a compacted journal has it.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct KeptJob {
    /// What it wants.
    pub submission: Submission,
    /// What is known of its tasks, in the order of the submission.
    pub tasks: Vec<KeptTask>,
    /// How it has ended, if it has.
    pub outcome: Option<Outcome>,
}

/// A task as a compacted journal has it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Archive, Serialize, Deserialize)]
pub struct KeptTask {
    /// Who was given each attempt, the first at index 0.
    pub holders: Vec<u64>,
    /// The attempts that may be under way: the last two at most.
    pub running: Vec<Running>,
    /// How many attempts failed by themselves.
    pub failures: u32,
    /// How many of them crashed.
    pub crashes: u32,
    /// The attempt that was accepted, and what its node said of it.
    pub accepted: Option<(u32, Vec<u8>)>,
}

/// An attempt that may be under way.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct Running {
    /// Which.
    pub attempt: u32,
    /// Whose.
    pub worker: u64,
    /// In which pool.
    pub pool: Pool,
    /// Counts all leases ever given: of two to one worker, the later counts.
    pub lease: u64,
}

const SKILLS: [(Skill, u16); 8] = [
    (Skill::Cpu, 1),
    (Skill::Nvenc, 2),
    (Skill::H264, 4),
    (Skill::Hevc, 8),
    (Skill::Vp9, 16),
    (Skill::Av1, 32),
    (Skill::Split, 64),
    (Skill::Stitch, 128),
];

impl Row {
    /// A task.
    pub fn new(chunk: u32, cost: Cost, needs: Skills, body: Vec<u8>) -> Self {
        let needs = needs.iter().filter_map(|skill| SKILLS.iter().find(|it| it.0 == skill)).map(|it| it.1).sum();
        Self { chunk, cost: cost.0, needs, body }
    }

    /// What a worker has to be able to do.
    pub fn needs(&self) -> Skills {
        SKILLS.iter().filter(|it| self.needs & it.1 != 0).map(|it| it.0).collect()
    }

    /// For the coordinator.
    pub fn task(&self) -> NewTask {
        NewTask { chunk: ChunkIndex(self.chunk), cost: Cost(self.cost), needs: self.needs() }
    }
}

impl Submission {
    /// Its number, for the coordinator.
    pub fn id(&self) -> JobId {
        JobId(self.job)
    }

    /// On which terms it is served, but for its deadline, which depends on whose time it is. Fields out of bounds count as
    /// usual; [`Message::check`] refuses them before.
    pub fn terms(&self) -> Terms {
        let weight = self.weight.try_into().map(Weight).unwrap_or_default();
        Terms {
            user: UserId(self.user),
            weight,
            priority: self.priority.try_into().unwrap_or_default(),
            deadline: None,
        }
    }

    /// Whether its fields are within their bounds.
    ///
    /// # Errors
    /// What isn't.
    pub fn check(&self) -> Result<(), &'static str> {
        if !(1..=10).contains(&self.priority) {
            return Err("priorities go from 1 to 10");
        }
        if self.weight == 0 {
            return Err("a weight is at least 1");
        }
        if self.fetch.iter().chain(&self.deliver).any(|it| it.contains('\0')) {
            return Err("no address has the letter 0");
        }
        let known = SKILLS.iter().map(|it| it.1).sum::<u16>();
        if self.tasks.iter().any(|row| row.needs & !known != 0) { Err("it needs unknown skills") } else { Ok(()) }
    }
}

/// Records that are kept together.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub(super) struct Records(pub(super) Vec<Record>);

impl Message for Records {
    const KIND: Kind = Kind::Records;
    /// A job of 100,000 tasks with bodies of a kilobyte.
    const LIMIT: usize = 256 * 1024 * 1024;
    /// Journals outlive releases: it changes with the layout of records alone.
    const VERSION: u16 = 2;

    fn check(&self) -> Result<(), &'static str> {
        self.0.iter().try_for_each(|record| match record {
            Record::Submitted(submission) => submission.check(),
            Record::Kept(kept) if kept.tasks.len() != kept.submission.tasks.len() => Err("a job has lost tasks"),
            Record::Kept(kept) => kept.submission.check(),
            Record::Claimed { .. }
            | Record::Leased { .. }
            | Record::Accepted { .. }
            | Record::Failed { .. }
            | Record::Ended { .. }
            | Record::Forgotten { .. } => Ok(()),
        })
    }
}
