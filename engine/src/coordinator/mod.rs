//! The coordinator: which worker does which task, what happens when one fails, and when a job is done. Pure.
//!
//! [`Coordinator::apply`] takes the time and an event and returns effects for its driver to carry out; the
//! driver in `vtp encode`, that of a fleet and a simulator run this same code. It has no clock, no I/O, no
//! randomness, and refuses nothing by panicking: an event that makes no sense comes back as
//! [`Effect::Ignored`]. Events may be delivered twice, late and out of order.
//!
//! # A task
//!
//! ```text
//!                    lease to an idle worker: attempt n+1
//!            ┌────────────────────────────────────────────────┐
//!            │                                                ▼   heartbeat: lease prolonged
//!  submit ─► Waiting {late: attempt n or none}             Leased {worker, attempt, expires}
//!            │   ▲                                         │  │  │
//!            │   ├── lease ran out, or worker left ────────┘  │  │    late = this attempt
//!            │   └── retryable failure, attempts left ────────┘  │    late = none
//!            │                                                   │
//!            │  result of the late attempt        result of the lease's attempt
//!            └──────────────────────────► Accepted {attempt} ◄───┘
//!
//!  Waiting or Leased ─► Dropped: the job failed (permanent failure, or no attempts left) or was cancelled
//! ```
//!
//! # Fencing
//!
//! Every lease has an attempt number of its own, which travels in every message and in the name of every
//! result. The result of an attempt whose lease ran out is still welcome *until the next attempt is leased*
//! (a heartbeat even takes the lease back); from then on it is discarded. So at most one attempt of a task is
//! ever accepted, and a late worker cannot overwrite a winner.
//!
//! # A worker
//!
//! ```text
//!  joined ─► Idle ── lease ──► Leased ── lease ran out, or job ended (Effect::Stop) ──► Void
//!             ▲                  │                                                       │
//!             └─ result, failure or "stopped" of that attempt ───────────────────────────┘
//! ```
//!
//! A worker is one slot: it does one task at a time. One whose attempt is void is offered nothing until it
//! says that it is free, leaves or joins anew.

use std::collections::{BTreeMap, BTreeSet};

use crate::units::Attempt;

mod event;
mod handle;
mod job;
#[cfg(test)]
mod random;
mod schedule;
#[cfg(test)]
mod tests;
mod types;

pub use event::{Effect, Event, Ignored, NewTask};
pub use types::{Config, Cost, Failure, FailureKind, JobId, Now, Priority, Progress, TaskId, WorkerId};

use job::Job;

/// The state of all jobs and workers.
#[derive(Debug)]
pub struct Coordinator {
    config: Config,
    now: Now,
    jobs: BTreeMap<JobId, Job>,
    workers: BTreeMap<WorkerId, Slot>,
    /// The workers whose slot is idle.
    idle: BTreeSet<WorkerId>,
    /// When each lease runs out.
    deadlines: BTreeSet<(Now, TaskId)>,
    /// The jobs that have waiting tasks, in the order in which they are served.
    ready: BTreeSet<schedule::Turn>,
    /// How many jobs were ever submitted.
    submitted: u64,
}

/// What a worker is doing, as far as the coordinator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Idle,
    Leased(TaskId, Attempt),
    /// Busy with something that no longer counts.
    Void(TaskId, Attempt),
}

impl Slot {
    fn holds(self, task: TaskId, attempt: Attempt) -> bool {
        self == Self::Leased(task, attempt) || self == Self::Void(task, attempt)
    }
}

impl Coordinator {
    /// A coordinator without jobs and workers.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            now: Now::default(),
            jobs: BTreeMap::new(),
            workers: BTreeMap::new(),
            idle: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            ready: BTreeSet::new(),
            submitted: 0,
        }
    }

    /// Takes note of an event and says what is to be done about it, in this order. A time before that of an
    /// earlier call counts as that earlier time.
    pub fn apply(&mut self, now: Now, event: Event) -> Vec<Effect> {
        self.now = self.now.max(now);
        let mut effects = Vec::new();
        // The event comes first: a worker that is heard from just as its lease runs out has not been lost.
        self.handle(event, &mut effects);
        self.expire(&mut effects);
        self.dispatch(&mut effects);
        effects
    }

    /// When the next lease runs out: call [`apply`](Self::apply) with [`Event::Tick`] then, if nothing happens before.
    pub fn next_wakeup(&self) -> Option<Now> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// How much of a job is done; `None` if the job is unknown.
    pub fn progress(&self, job: JobId) -> Option<Progress> {
        self.jobs.get(&job).map(|job| job.progress)
    }

    /// Whether a job is known and has neither finished, failed nor been cancelled.
    pub fn is_active(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|job| job.active)
    }

    /// Who works on what at this moment, by task.
    pub fn leases(&self) -> impl Iterator<Item = (TaskId, Attempt, WorkerId)> {
        self.workers.iter().filter_map(|(worker, slot)| match slot {
            Slot::Leased(task, attempt) => Some((*task, *attempt, *worker)),
            Slot::Idle | Slot::Void(..) => None,
        })
    }

    fn set_slot(&mut self, worker: WorkerId, slot: Slot) {
        if slot == Slot::Idle {
            self.idle.insert(worker);
        } else {
            self.idle.remove(&worker);
        }
        self.workers.insert(worker, slot);
    }

    /// Changes a job, and its place among the jobs that are served with it.
    fn change<T>(&mut self, id: JobId, change: impl FnOnce(&mut Job) -> T) -> Option<T> {
        let job = self.jobs.get_mut(&id)?;
        self.ready.remove(&job.turn(id));
        let result = change(job);
        if job.is_ready() {
            self.ready.insert(job.turn(id));
        }
        Some(result)
    }
}
