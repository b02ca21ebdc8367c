//! One job and its tasks. Knows nothing of workers but their numbers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::units::{Attempt, ChunkIndex};

use super::event::NewTask;
use super::schedule::Turn;
use super::types::{Cost, JobId, Now, Priority, Progress, WorkerId};

/// A job as the coordinator remembers it, also after its end, until it is told to forget.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) priority: Priority,
    /// Its place among all jobs ever submitted.
    pub(super) sequence: u64,
    pub(super) tasks: BTreeMap<ChunkIndex, Task>,
    /// The chunks whose tasks wait.
    pub(super) waiting: Waiting,
    /// Cost of the tasks that are leased.
    pub(super) running: Cost,
    /// Cost of all leases so far, counted from where the least served job stood when this one came.
    pub(super) served: Cost,
    pub(super) progress: Progress,
    pub(super) active: bool,
}

/// The tasks that wait, in order of their chunks and of their cost.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    in_order: BTreeSet<ChunkIndex>,
    by_cost: BTreeSet<(Reverse<Cost>, ChunkIndex)>,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.in_order.len()
    }

    pub(super) fn first(&self) -> Option<ChunkIndex> {
        self.in_order.first().copied()
    }

    /// The first of the costliest.
    pub(super) fn costliest(&self) -> Option<ChunkIndex> {
        self.by_cost.first().map(|(_, chunk)| *chunk)
    }

    fn insert(&mut self, chunk: ChunkIndex, cost: Cost) {
        self.in_order.insert(chunk);
        self.by_cost.insert((Reverse(cost), chunk));
    }

    fn remove(&mut self, chunk: ChunkIndex, cost: Cost) -> bool {
        self.by_cost.remove(&(Reverse(cost), chunk));
        self.in_order.remove(&chunk)
    }
}

/// One task.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) cost: Cost,
    /// Who was given each attempt, the first at index 0.
    pub(super) holders: Vec<WorkerId>,
    pub(super) state: TaskState,
}

/// Where a task stands; the module's document draws it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskState {
    /// It waits for a worker. The result of a late attempt is still welcome.
    Waiting { late: Option<Attempt> },
    /// The last attempt is under way.
    Leased { attempt: Attempt, expires: Now },
    /// It is done.
    Accepted { attempt: Attempt },
    /// Its job ended without it.
    Dropped,
}

impl Job {
    /// Refuses a list that names a chunk twice; the error is that chunk.
    pub(super) fn new(priority: Priority, sequence: u64, served: Cost, new: &[NewTask]) -> Result<Self, ChunkIndex> {
        let mut tasks = BTreeMap::new();
        let mut cost = Cost::default();
        let mut waiting = Waiting::default();
        for task in new {
            cost = cost.plus(task.cost);
            waiting.insert(task.chunk, task.cost);
            let state = TaskState::Waiting { late: None };
            if tasks.insert(task.chunk, Task { cost: task.cost, holders: Vec::new(), state }).is_some() {
                return Err(task.chunk);
            }
        }
        let progress = Progress { tasks: tasks.len(), cost, ..Progress::default() };
        Ok(Self { priority, sequence, tasks, waiting, running: Cost::default(), served, progress, active: true })
    }

    pub(super) fn turn(&self, job: JobId) -> Turn {
        Turn::new(self.priority, self.running, self.served, self.sequence, job)
    }

    /// Whether there is something to start.
    pub(super) fn is_ready(&self) -> bool {
        self.active && self.waiting.len() > 0
    }

    /// Leases a waiting task.
    pub(super) fn lease(&mut self, chunk: ChunkIndex, worker: WorkerId, expires: Now) -> Option<Attempt> {
        let task = self.tasks.get_mut(&chunk)?;
        task.holders.push(worker);
        let attempt = task.attempts();
        task.state = TaskState::Leased { attempt, expires };
        self.waiting.remove(chunk, task.cost);
        self.running = self.running.plus(task.cost);
        self.served = self.served.plus(task.cost);
        Some(attempt)
    }

    /// Gives a lease more time; one that ran out comes back.
    pub(super) fn prolong(&mut self, chunk: ChunkIndex, attempt: Attempt, expires: Now) {
        let Some(task) = self.tasks.get_mut(&chunk) else { return };
        if self.waiting.remove(chunk, task.cost) {
            self.running = self.running.plus(task.cost);
        }
        task.state = TaskState::Leased { attempt, expires };
    }

    /// Takes a lease away; the task waits again.
    pub(super) fn release(&mut self, chunk: ChunkIndex, late: Option<Attempt>) {
        let Some(task) = self.tasks.get_mut(&chunk) else { return };
        if matches!(task.state, TaskState::Leased { .. }) {
            self.running = self.running.minus(task.cost);
        }
        task.state = TaskState::Waiting { late };
        self.waiting.insert(chunk, task.cost);
    }

    /// Takes an attempt's result for the task's. Whether it was the job's last one: true once in a job's life.
    pub(super) fn accept(&mut self, chunk: ChunkIndex, attempt: Attempt) -> bool {
        let Some(task) = self.tasks.get_mut(&chunk) else { return false };
        if !self.waiting.remove(chunk, task.cost) {
            self.running = self.running.minus(task.cost);
        }
        task.state = TaskState::Accepted { attempt };
        self.progress.tasks_done += 1;
        self.progress.cost_done = self.progress.cost_done.plus(task.cost);
        self.end_if_complete()
    }

    /// Ends the job if nothing is left to do: the one place where a job becomes done.
    pub(super) fn end_if_complete(&mut self) -> bool {
        let done = self.active && self.progress.tasks_done == self.progress.tasks;
        self.active &= !done;
        done
    }

    /// Ends the job without a result. The leases that it had.
    pub(super) fn drop_rest(&mut self) -> Vec<(ChunkIndex, Attempt, Now)> {
        self.active = false;
        self.waiting = Waiting::default();
        self.running = Cost::default();
        let mut leases = Vec::new();
        for (chunk, task) in &mut self.tasks {
            match task.state {
                TaskState::Accepted { .. } | TaskState::Dropped => continue,
                TaskState::Leased { attempt, expires } => leases.push((*chunk, attempt, expires)),
                TaskState::Waiting { .. } => {}
            }
            task.state = TaskState::Dropped;
        }
        leases
    }
}

impl Task {
    /// The number of the last attempt, 0 before the first: how often the task was tried.
    pub(super) fn attempts(&self) -> Attempt {
        Attempt(u32::try_from(self.holders.len()).unwrap_or(u32::MAX))
    }

    /// Whether this attempt was given to this worker.
    pub(super) fn was_leased(&self, attempt: Attempt, worker: WorkerId) -> bool {
        let place = attempt.0.checked_sub(1).map(|place| place as usize);
        place.and_then(|place| self.holders.get(place)) == Some(&worker)
    }
}
