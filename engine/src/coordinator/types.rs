//! The coordinator's words: identities, time, cost, failures.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::ChunkIndex;

/// A point in time: how long after the driver's start. Drivers take it from a clock that never goes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Now(pub Duration);

impl Now {
    pub(super) fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// A job, by a number that its driver gives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct JobId(pub u64);

/// A worker: one slot that does one task at a time, by a number that its driver gives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct WorkerId(pub u64);

/// A task: one chunk of one job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TaskId {
    /// The job.
    pub job: JobId,
    /// The chunk.
    pub chunk: ChunkIndex,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chunk {} of job {}", self.chunk.0, self.job.0)
    }
}

/// How urgent a job is: the tasks of a higher one are always started first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Priority(pub u8);

/// Estimated work in thousandths of a frame encoded: whole numbers, so that sums do not depend on their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Cost(pub u64);

impl Cost {
    /// The cost of [`ChunkPlan::cost`](crate::plan::ChunkPlan::cost); what is no positive number costs nothing.
    pub fn from_frames(frames: f64) -> Self {
        Self((frames * 1000.0).round() as u64)
    }

    /// In frames encoded.
    pub fn frames(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// How much of a job is done: what has been accepted, and nothing that could still be lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Tasks accepted.
    pub tasks_done: usize,
    /// All tasks.
    pub tasks: usize,
    /// Cost of the tasks accepted.
    pub cost_done: Cost,
    /// Cost of all tasks.
    pub cost: Cost,
}

/// Whether trying again can help. Decided where the error is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FailureKind {
    /// It cannot: corrupt or unsupported input.
    Permanent,
    /// It can: a lost worker, memory, time.
    Retryable,
}

/// Why an attempt came to nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// Whether trying again can help.
    pub kind: FailureKind,
    /// A sentence for the user.
    pub message: String,
}

/// The coordinator's settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// How long a worker may be silent before its task is given to another.
    pub lease: Duration,
    /// How often a task is tried before its job fails; at least once.
    pub max_attempts: u32,
}

impl Default for Config {
    /// Leases of 30 s, three attempts.
    fn default() -> Self {
        Self { lease: Duration::from_secs(30), max_attempts: 3 }
    }
}
