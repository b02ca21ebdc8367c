//! The coordinator's words: identities, time, cost, progress.

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

    pub(super) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// A job, by a number that its driver gives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct JobId(pub u64);

/// Whoever jobs belong to, by a number that the driver gives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct UserId(pub u64);

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

    /// What having this done counts as in the shares of jobs and users: something, so that nobody is served for ever
    /// for nothing.
    pub(super) fn service(self) -> Self {
        self.max(Self(1))
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
