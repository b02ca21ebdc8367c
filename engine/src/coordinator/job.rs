//! One job and its tasks.

use crate::units::{Attempt, ChunkIndex};

use super::event::NewTask;
use super::pace::Pace;
use super::queue::{Account, JobTurn, LaneId, Standing};
use super::task::{Lease, Leases, TaskState};
use super::tasks::Tasks;
use super::terms::Terms;
use super::types::{Cost, JobId, Now, Progress};
use super::waiting::Waiting;

/// A job as the coordinator remembers it, also after its end, until it is told to forget.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) terms: Terms,
    /// Its place among all jobs ever submitted.
    pub(super) sequence: u64,
    pub(super) tasks: Tasks,
    /// The tasks that are to be offered to workers.
    pub(super) waiting: Waiting,
    /// Cost of the leases that there are.
    pub(super) running: Cost,
    /// Cost of all leases so far, counted from where the job that was served last stood when this one came.
    pub(super) served: Cost,
    /// Which start of all it was served with last, or came after.
    pub(super) last_start: u64,
    pub(super) pace: Pace,
    pub(super) progress: Progress,
    pub(super) active: bool,
}

impl Job {
    /// Refuses a list that names a chunk twice; the error is that chunk.
    pub(super) fn new(terms: Terms, sequence: u64, new: &[NewTask]) -> Result<Self, ChunkIndex> {
        let tasks = Tasks::new(new)?;
        let mut progress = Progress { tasks: tasks.len(), ..Progress::default() };
        let mut waiting = Waiting::default();
        for NewTask { chunk, cost, needs } in new {
            progress.cost = progress.cost.plus(*cost);
            waiting.insert(*needs, *chunk, *cost);
        }
        Ok(Self {
            terms,
            sequence,
            tasks,
            waiting,
            running: Cost::default(),
            served: Cost::default(),
            last_start: 0,
            pace: Pace::default(),
            progress,
            active: true,
        })
    }

    /// Whether it has one task, so that nothing is learnt from the others.
    pub(super) fn is_single(&self) -> bool {
        self.tasks.len() == 1
    }

    pub(super) fn lane(&self) -> LaneId {
        LaneId { priority: self.terms.priority, user: self.terms.user }
    }

    /// Looks how long its longest tasks that wait take.
    pub(super) fn measure(&mut self, lane: &Account) {
        let (is_single, own) = (self.is_single(), self.pace);
        let pace = |needs| if is_single { lane.paces.get(&needs).copied() } else { Some(own) };
        self.waiting.measure(|needs, cost| pace(needs).map(|pace| pace.length(cost)).unwrap_or_default());
    }

    pub(super) fn standing(&self, job: JobId) -> Standing {
        let deadline = self.terms.deadline.unwrap_or(Now(std::time::Duration::MAX));
        let turn = JobTurn { deadline, running: self.running, served: self.served, sequence: self.sequence, job };
        Standing { turn, last_start: self.last_start, active: self.active }
    }

    /// Leases a task that waits, or that is to have a second lease. The attempt's number is the next one.
    pub(super) fn lease(&mut self, chunk: ChunkIndex, lease: Lease) {
        let Some(task) = self.tasks.get_mut(chunk) else { return };
        task.holders.push(lease.worker);
        self.served = self.served.plus(task.cost.service());
        self.hold(chunk, lease);
    }

    /// Gives a lease, or one that ran out again, to a task that waits or has another.
    pub(super) fn hold(&mut self, chunk: ChunkIndex, lease: Lease) {
        let Some(task) = self.tasks.get_mut(chunk) else { return };
        self.running = self.running.plus(task.cost.service());
        self.waiting.remove(task.needs, chunk, task.cost);
        task.state = TaskState::Running(match task.state {
            TaskState::Running(leases) => leases.and(lease),
            TaskState::Waiting { .. } | TaskState::Accepted { .. } | TaskState::Dropped => Leases::one(lease),
        });
    }

    /// Takes a lease away. If it was the only one, the task waits again, at once or when it has rested. Whether it does.
    pub(super) fn release(&mut self, chunk: ChunkIndex, attempt: Attempt, rests: Option<Now>, is_late: bool) -> bool {
        let Some(task) = self.tasks.get_mut(chunk) else { return false };
        let TaskState::Running(leases) = task.state else { return false };
        self.running = self.running.minus(task.cost.service());
        match leases.without(attempt) {
            Some(rest) => task.state = TaskState::Running(rest),
            None => self.wait(chunk, rests, is_late.then_some(attempt)),
        }
        self.tasks.get(chunk).is_some_and(|task| matches!(task.state, TaskState::Waiting { .. }))
    }

    /// Lets a task wait.
    pub(super) fn wait(&mut self, chunk: ChunkIndex, rests: Option<Now>, late: Option<Attempt>) {
        let Some(task) = self.tasks.get_mut(chunk) else { return };
        task.state = TaskState::Waiting { late, rests };
        match rests {
            None => self.waiting.insert(task.needs, chunk, task.cost),
            Some(_) => self.waiting.remove(task.needs, chunk, task.cost),
        }
    }

    /// Takes an attempt's result for the task's. Whether it was the job's last one: true once in a job's life.
    pub(super) fn accept(&mut self, chunk: ChunkIndex, attempt: Attempt) -> bool {
        let Some(task) = self.tasks.get_mut(chunk) else { return false };
        let leases = task.leases().count();
        self.waiting.remove(task.needs, chunk, task.cost);
        self.running = (0..leases).fold(self.running, |running, _| running.minus(task.cost.service()));
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

    /// Ends the job without a result.
    pub(super) fn drop_rest(&mut self) {
        self.active = false;
        self.waiting.clear();
        self.running = Cost::default();
        for task in self.tasks.iter_mut() {
            if !matches!(task.state, TaskState::Accepted { .. }) {
                task.state = TaskState::Dropped;
            }
        }
    }
}
