//! Who is served next: jobs take turns, and tasks within a job go in order until its end is near.
//!
//! Of the jobs of the highest priority that have waiting tasks, the one with the least work under way is
//! served; among equals the one that was given the least so far. A new job starts level with the least served
//! one, so it neither waits behind a large one nor shuts it out.
//!
//! Tasks in order let the first segments be published early. The last ones, about two a worker, go by falling
//! cost instead: a costly task that starts last is one that all others wait for.

use std::cmp::Reverse;

use super::types::{Cost, JobId, Priority, TaskId, WorkerId};
use super::{Coordinator, Effect, Slot};

/// From how many waiting tasks a worker on, costly tasks go first.
const LAST_WAVES: usize = 2;

/// A job's place in the queue of jobs; the least is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    priority: Reverse<Priority>,
    running: Cost,
    served: Cost,
    sequence: u64,
    job: JobId,
}

impl Turn {
    pub(super) fn new(priority: Priority, running: Cost, served: Cost, sequence: u64, job: JobId) -> Self {
        Self { priority: Reverse(priority), running, served, sequence, job }
    }
}

impl Coordinator {
    /// Leases waiting tasks as long as a worker is idle.
    pub(super) fn dispatch(&mut self, effects: &mut Vec<Effect>) {
        while let Some(start) = self.start_next() {
            effects.push(start);
        }
    }

    fn start_next(&mut self) -> Option<Effect> {
        let id = self.ready.first()?.job;
        let job = self.jobs.get(&id)?;
        let near_end = job.waiting.len() <= LAST_WAVES * self.workers.len();
        let chunk = if near_end { job.waiting.costliest()? } else { job.waiting.first()? };
        let worker = self.idle_worker(job.tasks.get(&chunk)?.holders.last().copied())?;
        let task = TaskId { job: id, chunk };
        let expires = self.now.after(self.config.lease);
        let attempt = self.change(id, |job| job.lease(chunk, worker, expires))??;
        self.set_slot(worker, Slot::Leased(task, attempt));
        self.deadlines.insert((expires, task));
        Some(Effect::Start { worker, task, attempt, expires })
    }

    /// An idle worker; not the one that had this task last, if there is another.
    fn idle_worker(&self, last: Option<WorkerId>) -> Option<WorkerId> {
        let other = self.idle.iter().find(|worker| Some(**worker) != last);
        other.or(self.idle.first()).copied()
    }

    /// How much service a new job of this priority counts as having had.
    pub(super) fn level(&self, priority: Priority) -> Cost {
        let rivals = self.jobs.values().filter(|job| job.active && job.priority == priority);
        rivals.map(|job| job.served).min().unwrap_or_default()
    }
}
