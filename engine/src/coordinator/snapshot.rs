//! What of a coordinator outlives its driver.
//!
//! A driver that writes down, before it carries out an effect, what the effect changes of these records can have a new
//! coordinator made of them. What is not in them is learned again: who has had how much, how long tasks take, rests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units::{Attempt, ChunkIndex};

use super::crew::{Slot, Worker};
use super::event::NewTask;
use super::failure::Spent;
use super::job::Job;
use super::task::TaskState;
use super::{Config, Coordinator, Cost, JobId, Now, Skills, TaskId, Terms, WorkerId};

/// Jobs and workers as plain values.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// In the order in which they were submitted. Those that have ended may be left out.
    pub jobs: Vec<JobRecord>,
    /// Those that are there. Left out, they may join anew.
    pub workers: Vec<WorkerRecord>,
    /// Nothing that needs one of these is to be started.
    pub paused: Skills,
}

/// A job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRecord {
    /// Its number.
    pub job: JobId,
    /// On which terms. A deadline is a point in the time of the driver that restores.
    pub terms: Terms,
    /// Whether it has neither finished, failed nor been cancelled.
    pub active: bool,
    /// Its tasks, each chunk once.
    pub tasks: Vec<TaskRecord>,
}

/// A task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskRecord {
    /// Its chunk.
    pub chunk: ChunkIndex,
    /// Its estimated work.
    pub cost: Cost,
    /// What a worker has to be able to do.
    pub needs: Skills,
    /// Who was given each attempt, the first at index 0. So many attempts are counted, and none is counted twice.
    pub holders: Vec<WorkerId>,
    /// Of what attempts came to nothing.
    pub spent: Spent,
    /// Whether it was stopped for another's sake.
    pub was_preempted: bool,
    /// Where it stands.
    pub standing: TaskStanding,
}

/// Where a task stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TaskStanding {
    /// It waits for a worker. The result of a late attempt is still welcome.
    Waiting {
        /// That attempt.
        late: Option<Attempt>,
    },
    /// One or two attempts are under way. One whose worker is not there counts as late.
    Running {
        /// These.
        attempts: Vec<Attempt>,
    },
    /// It is done.
    Accepted {
        /// By this attempt.
        attempt: Attempt,
    },
    /// Its job ended without it.
    Dropped,
}

/// A worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerRecord {
    /// Its number.
    pub worker: WorkerId,
    /// What it can do.
    pub skills: Skills,
    /// Whether it takes no more work.
    pub draining: bool,
    /// What it is busy with, whether that counts or not.
    pub doing: Option<(TaskId, Attempt)>,
}

/// Why there is no coordinator of which a snapshot tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RestoreError {
    /// Two jobs have one number.
    #[error("job {} is there twice", .0.0)]
    RepeatedJob(JobId),
    /// A job lists a chunk twice.
    #[error("{0} is there twice")]
    RepeatedTask(TaskId),
    /// Two workers have one number.
    #[error("worker {} is there twice", .0.0)]
    RepeatedWorker(WorkerId),
    /// An attempt is under way, late or accepted that nobody was given.
    #[error("attempt {} of {task} was given to nobody", attempt.0)]
    NeverLeased {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// A task is running without an attempt, with the same one twice, or with more than two.
    #[error("{0} runs with no attempt, or too many")]
    WrongLeases(TaskId),
}

impl Coordinator {
    /// What is known, as plain values.
    pub fn snapshot(&self) -> Snapshot {
        let mut jobs: Vec<(&JobId, &Job)> = self.jobs.iter().collect();
        jobs.sort_by_key(|(_, job)| job.sequence);
        let workers = self.crew.iter().map(|(worker, Worker { slot, skills, draining, .. })| {
            let doing = match slot {
                Slot::Idle => None,
                Slot::Leased(task, attempt) | Slot::Silent(task, attempt) | Slot::Stopping(task, attempt) => {
                    Some((task, attempt))
                }
            };
            WorkerRecord { worker, skills, draining, doing }
        });
        Snapshot {
            jobs: jobs.into_iter().map(|(id, job)| record(*id, job)).collect(),
            workers: workers.collect(),
            paused: self.paused,
        }
    }

    /// A coordinator that goes on where a snapshot was taken. Leases begin anew at `now`; what is to be done is said with
    /// the next event, such as [`Event::Tick`](super::Event::Tick). A job all of whose tasks are accepted is done, and
    /// nothing is said of it.
    ///
    /// # Errors
    /// [`RestoreError`] if the records contradict each other.
    pub fn restore(config: Config, now: Now, snapshot: &Snapshot) -> Result<Self, RestoreError> {
        let mut coordinator = Self { now, paused: snapshot.paused, ..Self::new(config) };
        for &WorkerRecord { worker, skills, draining, .. } in &snapshot.workers {
            if coordinator.crew.get(worker).is_some() {
                return Err(RestoreError::RepeatedWorker(worker));
            }
            coordinator.crew.insert(worker, Worker::new(skills, draining));
        }
        for job in &snapshot.jobs {
            coordinator.restore_job(job)?;
        }
        let doing: BTreeMap<WorkerId, _> = snapshot.workers.iter().map(|it| (it.worker, it.doing)).collect();
        for (worker, (task, attempt)) in doing.iter().filter_map(|(worker, doing)| Some((*worker, (*doing)?))) {
            let slot = match coordinator.task(task) {
                Ok(known) if known.lease(attempt).is_some_and(|it| it.worker == worker) => Slot::Leased(task, attempt),
                Ok(known) if known.awaits_late(attempt) => Slot::Silent(task, attempt),
                Ok(_) | Err(_) => Slot::Stopping(task, attempt),
            };
            coordinator.crew.set_slot(worker, slot);
        }
        Ok(coordinator)
    }

    fn restore_job(&mut self, record: &JobRecord) -> Result<(), RestoreError> {
        let id = record.job;
        if self.jobs.contains_key(&id) {
            return Err(RestoreError::RepeatedJob(id));
        }
        let tasks = record.tasks.iter();
        let new: Vec<NewTask> =
            tasks.map(|task| NewTask { chunk: task.chunk, cost: task.cost, needs: task.needs }).collect();
        let mut job = Job::new(record.terms, self.sequence, &new)
            .map_err(|chunk| RestoreError::RepeatedTask(TaskId { job: id, chunk }))?;
        for record in &record.tasks {
            restore_task(&mut job, id, record)?;
        }
        if !record.active {
            job.drop_rest();
        }
        job.end_if_complete();
        let active = job.active;
        self.enter(id, job);
        for task in record.tasks.iter().filter(|_| active) {
            self.restore_leases(TaskId { job: id, chunk: task.chunk }, task);
        }
        Ok(())
    }

    /// Leases what was leased to workers that are there; what others had is late.
    fn restore_leases(&mut self, id: TaskId, record: &TaskRecord) {
        let TaskStanding::Running { attempts } = &record.standing else { return };
        let holder = |attempt: &Attempt| record.holders.get((attempt.0 as usize).wrapping_sub(1)).copied();
        for attempt in attempts {
            let Some(lease) = holder(attempt).and_then(|worker| self.new_lease(*attempt, worker)) else { continue };
            self.change(id.job, |job| job.hold(id.chunk, lease));
            self.book(id, *attempt);
        }
    }
}

fn record(id: JobId, job: &Job) -> JobRecord {
    let tasks = job.tasks.iter().map(|(chunk, task)| TaskRecord {
        chunk,
        cost: task.cost,
        needs: task.needs,
        holders: task.holders.clone(),
        spent: task.spent,
        was_preempted: task.was_preempted,
        standing: match &task.state {
            TaskState::Waiting { late, .. } => TaskStanding::Waiting { late: *late },
            TaskState::Running(leases) => {
                TaskStanding::Running { attempts: leases.iter().map(|lease| lease.attempt).collect() }
            }
            TaskState::Accepted { attempt } => TaskStanding::Accepted { attempt: *attempt },
            TaskState::Dropped => TaskStanding::Dropped,
        },
    });
    JobRecord { job: id, terms: job.terms, active: job.active, tasks: tasks.collect() }
}

/// Brings a task of a new job to where it stood, but for its leases.
fn restore_task(job: &mut Job, id: JobId, record: &TaskRecord) -> Result<(), RestoreError> {
    let id = TaskId { job: id, chunk: record.chunk };
    let Some(task) = job.tasks.get_mut(record.chunk) else { return Ok(()) };
    (task.holders, task.spent, task.was_preempted) = (record.holders.clone(), record.spent, record.was_preempted);
    let given = |attempt: Attempt| match attempt.0 as usize {
        number if (1..=record.holders.len()).contains(&number) => Ok(attempt),
        _ => Err(RestoreError::NeverLeased { task: id, attempt }),
    };
    match &record.standing {
        TaskStanding::Waiting { late } => {
            late.map(given).transpose()?;
            task.state = TaskState::Waiting { late: *late, rests: None };
        }
        TaskStanding::Running { attempts } => {
            attempts.iter().copied().try_for_each(|attempt| given(attempt).map(drop))?;
            match attempts[..] {
                [one] => task.state = TaskState::Waiting { late: Some(one), rests: None },
                [one, other] if one != other => {
                    task.state = TaskState::Waiting { late: Some(one.max(other)), rests: None }
                }
                _ => return Err(RestoreError::WrongLeases(id)),
            }
        }
        TaskStanding::Accepted { attempt } => {
            given(*attempt)?;
            job.accept(record.chunk, *attempt);
        }
        // An active job has none.
        TaskStanding::Dropped => {}
    }
    Ok(())
}
