//! The coordinator: which worker does which task, what happens when one fails, and when a job is done. Pure.
//!
//! [`Coordinator::apply`] takes the time and an event and returns effects for its driver to carry out; the
//! driver in `vtp encode`, that of a fleet and a simulator run this same code. It has no clock, no I/O, no
//! randomness, and refuses nothing by panicking: an event that makes no sense comes back as
//! [`Effect::Ignored`]. Events may be delivered twice, late and out of order.
//!
//! An event takes time in the logarithm of jobs, tasks and workers. A few rare ones concern many at once, and take time for
//! each of them: a job's submission, and its end without a result, for each of its tasks; the result that first tells how
//! long tasks take, for each job and its attempts; the leaving of the last worker that could do something, for each job that
//! waits for it.
//!
//! # A task
//!
//! ```text
//!                    lease to an idle worker: attempt n+1
//!            ┌────────────────────────────────────────────────┐
//!            │                                                ▼   heartbeat, or queued: lease prolonged
//!  submit ─► Waiting {late: attempt n or none}             Running {one lease, or two}
//!            │   ▲  ▲                                       │  │  │  │   it takes too long: a second lease
//!            │   │  └─ rested ─ Waiting {rests} ◄─ failed ──┘  │  │  │
//!            │   ├── the worker put it down ───────────────────┘  │  │
//!            │   └── lease ran out, worker left, preempted ───────┘  │    late = this attempt
//!            │                                                      │
//!            │  result of the late attempt                result of either lease
//!            └──────────────────────────► Accepted {attempt} ◄──────┘
//!
//!  Waiting or Running ─► Dropped: the job failed or was cancelled
//! ```
//!
//! While there are two leases, the end of one leaves the other as it is. The first result is accepted, and the other
//! worker told to stop (`speculate.rs`).
//!
//! # Fencing
//!
//! Every lease has an attempt number of its own, which travels in every message and in the name of every
//! result. The result of an attempt whose lease ran out is still welcome *until the next attempt is leased*
//! (a heartbeat even takes the lease back); from then on it is discarded. So at most one attempt of a task is
//! ever accepted, and a late worker cannot overwrite a winner. [`Snapshot`] has what a driver has to keep for this to
//! hold over its own death.
//!
//! # What an attempt costs
//!
//! | what happened | counts as | the job fails at |
//! |---|---|---|
//! | [`FailureKind::Permanent`] | | the first |
//! | [`FailureKind::Retryable`] | failure | [`Config::max_attempts`] |
//! | [`FailureKind::Crash`] | failure and crash | [`Config::max_attempts`], or [`Config::max_crashes`] |
//! | lease ran out, worker left, or put the task down unasked | loss | [`Config::max_losses`], twenty times that for ladders |
//! | put down by a draining worker, preempted, lost the race with a second attempt, not begun | nothing | |
//!
//! Failures alone decide on an attempt's [`Variant`] and on how long a task rests before the next.
//!
//! # A worker
//!
//! ```text
//!  joined ─► Idle ── lease ──► Leased ──┬─ lease ran out ──────────────────────────────► Silent
//!             ▲                  │      └─ job ended, preempted, other result (Stop) ──► Stopping
//!             │                  ▼                                                        │
//!             └── result, failure or "stopped" of that attempt ◄──────────────────────────┘
//! ```
//!
//! A worker is one slot: it does one task at a time. One that is silent or stopping is offered nothing until it
//! says that it is free, leaves or joins anew; one that is draining is offered nothing ever.
//!
//! # Who is served
//!
//! `queue.rs` has the order: priorities, users by their weight, deadlines, jobs, and the ageing by which nobody waits
//! for ever. `schedule.rs` has the order of tasks within a job, `critical.rs` what goes out of turn at the end, `preempt.rs`
//! what is stopped for the sake of what.

use std::collections::{BTreeMap, BTreeSet};

use crate::units::Attempt;

mod agenda;
mod attempts;
mod config;
mod crew;
mod critical;
mod event;
mod failure;
mod handle;
mod job;
mod leases;
mod pace;
mod preempt;
mod queue;
mod schedule;
mod skills;
mod snapshot;
mod speculate;
mod task;
mod tasks;
mod terms;
#[cfg(test)]
mod tests;
mod types;
mod waiting;

pub use config::{Config, Preemption, Speculation};
pub use event::{Effect, Event, Ignored, NewTask};
pub use failure::{Failure, FailureKind, Spent, Variant};
pub use skills::{Skill, Skills};
pub use snapshot::{JobRecord, RestoreError, Snapshot, TaskRecord, TaskStanding, WorkerRecord};
pub use terms::{NoPriority, Priority, Terms, Weight};
pub use types::{Cost, JobId, Now, Progress, TaskId, UserId, WorkerId};

use agenda::Agenda;
use crew::{Crew, Slot};
use job::Job;
use queue::{Account, LaneId, Queues};

/// The state of all jobs and workers.
#[derive(Debug)]
pub struct Coordinator {
    config: Config,
    now: Now,
    jobs: BTreeMap<JobId, Job>,
    lanes: BTreeMap<LaneId, Account>,
    queues: Queues,
    crew: Crew,
    agenda: Agenda,
    /// The attempts that take too long and have none beside them, by what they need; the longest first.
    slow: BTreeMap<Skills, BTreeSet<(Now, TaskId)>>,
    /// Nothing that needs one of these is started.
    paused: Skills,
    /// How many jobs were ever submitted, and lanes ever opened.
    sequence: u64,
    /// How many attempts were started for their turn.
    starts: u64,
    /// What the lane that was served last has had, by priority.
    levels: BTreeMap<Priority, Cost>,
    /// From when on an attempt that is begun may be stopped for the sake of a more urgent task.
    preempts_from: Now,
    /// From when on one that is not may be.
    displaces_from: Now,
}

impl Coordinator {
    /// A coordinator without jobs and workers.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            now: Now::default(),
            jobs: BTreeMap::new(),
            lanes: BTreeMap::new(),
            queues: Queues::default(),
            crew: Crew::default(),
            agenda: Agenda::default(),
            slow: BTreeMap::new(),
            paused: Skills::NONE,
            sequence: 0,
            starts: 0,
            levels: BTreeMap::new(),
            preempts_from: Now::default(),
            displaces_from: Now::default(),
        }
    }

    /// Takes note of an event and says what is to be done about it, in this order. A time before that of an
    /// earlier call counts as that earlier time.
    pub fn apply(&mut self, now: Now, event: Event) -> Vec<Effect> {
        self.now = self.now.max(now);
        let mut effects = Vec::new();
        // The event comes first: a worker that is heard from just as its lease runs out has not been lost.
        self.handle(event, &mut effects);
        self.settle(&mut effects);
        effects
    }

    /// Does what follows from an event.
    fn settle(&mut self, effects: &mut Vec<Effect>) {
        self.expire(effects);
        self.dispatch(effects);
        let stuck = self.queues.report_stuck();
        effects.extend(stuck.into_iter().map(|(job, needs)| Effect::NobodyCan { job, needs }));
    }

    /// When something is due next, such as the end of a lease: call [`apply`](Self::apply) with [`Event::Tick`] then, if
    /// nothing happens before.
    pub fn next_wakeup(&self) -> Option<Now> {
        self.agenda.next()
    }

    /// How much of a job is done; `None` if the job is unknown.
    pub fn progress(&self, job: JobId) -> Option<Progress> {
        self.jobs.get(&job).map(|job| job.progress)
    }

    /// Whether a job is known and has neither finished, failed nor been cancelled.
    pub fn is_active(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|job| job.active)
    }

    /// Who works on what at this moment, by worker.
    pub fn leases(&self) -> impl Iterator<Item = (TaskId, Attempt, WorkerId)> {
        self.crew.iter().filter_map(|(id, worker)| match worker.slot {
            Slot::Leased(task, attempt) => Some((task, attempt, id)),
            Slot::Idle | Slot::Silent(..) | Slot::Stopping(..) => None,
        })
    }

    /// Changes a job, and its place among the jobs that are served with it.
    fn change<T>(&mut self, id: JobId, change: impl FnOnce(&mut Job) -> T) -> Option<T> {
        let job = self.jobs.get_mut(&id)?;
        let lane = job.lane();
        let account = self.lanes.get_mut(&lane)?;
        let before = job.standing(id);
        let result = change(job);
        job.measure(account);
        let after = job.standing(id);
        account.book(&before.turn, &after.turn);
        self.queues.update((lane, account), &mut job.waiting, (&before, &after), self.starts);
        Some(result)
    }
}
