//! What the records come to. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use vtp_engine::coordinator::{
    JobRecord, Now, Skills, Snapshot, Spent, TaskId, TaskRecord, TaskStanding, WorkerId, WorkerRecord,
};
use vtp_engine::units::{Attempt, ChunkIndex};

use super::record::{KeptJob, KeptTask, Outcome, Record, Running, Submission};
use super::{Epoch, Error};
use crate::messages::{AttemptId, Pool, Why};

/// All that is known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    epoch: u64,
    jobs: BTreeMap<u64, Job>,
    submitted: u64,
    leases: u64,
    workers: u64,
}

/// A job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// What it wants.
    pub submission: Arc<Submission>,
    /// What is known of its tasks, by chunk.
    pub tasks: BTreeMap<u32, Task>,
    /// How it has ended, if it has.
    pub outcome: Option<Outcome>,
    order: u64,
}

/// What is known of a task.
pub type Task = KeptTask;

#[cfg(test)]
impl Job {
    /// In which order it was submitted.
    pub(super) fn order(&self) -> u64 {
        self.order
    }
}

impl State {
    /// The newest claim.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    /// A job.
    pub fn job(&self, job: u64) -> Option<&Job> {
        self.jobs.get(&job)
    }

    /// Every job that is not forgotten, by number.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    /// A number that no worker has had.
    pub fn unused_worker(&self) -> u64 {
        self.workers
    }

    pub(super) fn task(&self, job: u64, chunk: u32) -> Option<&Task> {
        self.jobs.get(&job)?.tasks.get(&chunk)
    }

    /// Keeps records of this epoch, all or none.
    pub(super) fn accept(&mut self, epoch: Epoch, records: &[Record]) -> Result<(), Error> {
        if epoch != self.epoch() {
            return Err(Error::Fenced { yours: epoch, current: self.epoch() });
        }
        super::check::check(self, records)?;
        records.iter().for_each(|record| self.fold(record));
        Ok(())
    }

    /// Takes note of a record that was checked.
    pub(super) fn fold(&mut self, record: &Record) {
        match record {
            Record::Claimed { epoch } => self.epoch = *epoch,
            Record::Submitted(submission) => {
                let tasks = submission.tasks.iter().map(|row| (row.chunk, Task::default())).collect();
                self.enter(submission, tasks, None);
            }
            Record::Leased { id, worker, pool } => self.lease(*id, *worker, pool),
            Record::Accepted { id, result } => self.change(*id, |task| {
                task.running.clear();
                task.accepted = Some((id.attempt, result.clone()));
            }),
            Record::Failed { id, why } => self.change(*id, |task| {
                task.running.retain(|it| it.attempt != id.attempt);
                task.failures = task.failures.saturating_add(1);
                task.crashes = task.crashes.saturating_add(u32::from(*why == Why::Crash));
            }),
            Record::Ended { job, outcome } => {
                if let Some(job) = self.jobs.get_mut(job) {
                    job.outcome = Some(outcome.clone());
                    job.tasks.values_mut().for_each(|task| task.running.clear());
                }
            }
            Record::Forgotten { job } => drop(self.jobs.remove(job)),
            Record::Kept(kept) => self.keep(kept),
        }
    }

    fn enter(&mut self, submission: &Submission, tasks: BTreeMap<u32, Task>, outcome: Option<Outcome>) {
        let job = Job { submission: Arc::new(submission.clone()), tasks, outcome, order: self.submitted };
        self.submitted += 1;
        self.jobs.insert(submission.job, job);
    }

    fn keep(&mut self, kept: &KeptJob) {
        let leases = kept.tasks.iter().flat_map(|task| &task.running).map(|it| it.lease + 1);
        self.leases = leases.max().unwrap_or(0).max(self.leases);
        let workers = kept.tasks.iter().flat_map(|task| &task.holders).map(|worker| worker + 1);
        self.workers = workers.max().unwrap_or(0).max(self.workers);
        let tasks = kept.submission.tasks.iter().zip(&kept.tasks).map(|(row, task)| (row.chunk, task.clone()));
        self.enter(&kept.submission, tasks.collect(), kept.outcome.clone());
    }

    fn lease(&mut self, id: AttemptId, worker: u64, pool: &Pool) {
        let lease = self.leases;
        self.leases += 1;
        self.workers = self.workers.max(worker + 1);
        self.change(id, |task| {
            task.holders.push(worker);
            // One attempt, and one beside it; what went before has been lost.
            if task.running.len() == 2 {
                task.running.remove(0);
            }
            task.running.push(Running { attempt: id.attempt, worker, pool: pool.clone(), lease });
        });
    }

    fn change(&mut self, id: AttemptId, change: impl FnOnce(&mut Task)) {
        if let Some(task) = self.jobs.get_mut(&id.job).and_then(|job| job.tasks.get_mut(&id.chunk)) {
            change(task);
        }
    }

    /// The fewest records that come to this, all but the claim in the order of submission.
    pub(super) fn records(&self) -> Vec<Record> {
        let mut jobs: Vec<&Job> = self.jobs.values().collect();
        jobs.sort_by_key(|job| job.order);
        let kept = jobs.into_iter().map(|job| {
            let tasks = job.submission.tasks.iter().filter_map(|row| job.tasks.get(&row.chunk).cloned()).collect();
            Record::Kept(KeptJob {
                submission: Submission::clone(&job.submission),
                tasks,
                outcome: job.outcome.clone(),
            })
        });
        [Record::Claimed { epoch: self.epoch }].into_iter().chain(kept).collect()
    }

    /// The attempts that may be under way: of each worker its last.
    pub fn running(&self) -> impl Iterator<Item = (AttemptId, &Running)> {
        let active = self.jobs.iter().filter(|(_, job)| job.outcome.is_none());
        let all = active.flat_map(|(job, known)| {
            known.tasks.iter().flat_map(move |(chunk, task)| {
                task.running.iter().map(move |it| (AttemptId { job: *job, chunk: *chunk, attempt: it.attempt }, it))
            })
        });
        let mut last: HashMap<u64, (AttemptId, &Running)> = HashMap::new();
        for (id, running) in all {
            let known = last.entry(running.worker).or_insert((id, running));
            if known.1.lease < running.lease {
                *known = (id, running);
            }
        }
        last.into_values()
    }

    /// What a coordinator goes on from at `now`, which is `now_ms` milliseconds after 1970. Every worker that may be at
    /// work is there, with what its pool can do; none of them gets more until its node is heard of.
    pub fn snapshot(&self, now: Now, now_ms: u64, skills: impl Fn(&Pool) -> Skills) -> Snapshot {
        let workers = self.running().map(|(id, running)| WorkerRecord {
            worker: WorkerId(running.worker),
            skills: skills(&running.pool),
            draining: true,
            doing: Some((id.task(), id.attempt())),
        });
        let mut jobs: Vec<&Job> = self.jobs.values().filter(|job| job.outcome.is_none()).collect();
        jobs.sort_by_key(|job| job.order);
        let jobs = jobs.into_iter().map(|job| {
            let mut terms = job.submission.terms();
            terms.deadline = job.submission.deadline_ms.map(|at| due(now, now_ms, at));
            let tasks = job.submission.tasks.iter().filter_map(|row| {
                let task = job.tasks.get(&row.chunk)?;
                let id = TaskId { job: job.submission.id(), chunk: ChunkIndex(row.chunk) };
                Some(record(id, row.task(), task))
            });
            JobRecord { job: job.submission.id(), terms, active: true, tasks: tasks.collect() }
        });
        Snapshot { jobs: jobs.collect(), workers: workers.collect(), paused: Skills::NONE }
    }
}

/// A moment of the calendar in a driver's time, whose `now` is `now_ms` milliseconds after 1970.
pub(crate) fn due(now: Now, now_ms: u64, at_ms: u64) -> Now {
    Now(now.0.saturating_add(std::time::Duration::from_millis(at_ms.saturating_sub(now_ms))))
}

fn record(id: TaskId, new: vtp_engine::coordinator::NewTask, task: &Task) -> TaskRecord {
    let standing = match (&task.accepted, &task.running[..]) {
        (Some((attempt, _)), _) => TaskStanding::Accepted { attempt: Attempt(*attempt) },
        (None, []) => TaskStanding::Waiting { late: None },
        (None, running) => TaskStanding::Running { attempts: running.iter().map(|it| Attempt(it.attempt)).collect() },
    };
    TaskRecord {
        chunk: id.chunk,
        cost: new.cost,
        needs: new.needs,
        holders: task.holders.iter().map(|worker| WorkerId(*worker)).collect(),
        spent: Spent { failures: task.failures, crashes: task.crashes, losses: 0 },
        was_preempted: false,
        standing,
    }
}
