//! What the coordinator is told and what it asks for.

use crate::units::{Attempt, ChunkIndex};

use super::failure::{Failure, Variant};
use super::skills::{Skill, Skills};
use super::terms::Terms;
use super::types::{Cost, JobId, Now, Progress, TaskId, WorkerId};

/// A task of a job that is submitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewTask {
    /// Its chunk; tasks are started in this order, but for the last ones.
    pub chunk: ChunkIndex,
    /// Its estimated work.
    pub cost: Cost,
    /// What a worker has to be able to do.
    pub needs: Skills,
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A job wants its tasks done. One without tasks is done at once.
    Submit {
        /// A number that no known job has.
        job: JobId,
        /// On which terms.
        terms: Terms,
        /// Its tasks, each chunk once.
        tasks: Vec<NewTask>,
    },
    /// The job's result is no longer wanted.
    Cancel {
        /// The job.
        job: JobId,
    },
    /// The driver will send no more about this job, which has ended: its memory can go.
    Forget {
        /// The job.
        job: JobId,
    },
    /// A worker is there and idle. One that was there before has lost what it was doing.
    Joined {
        /// The worker.
        worker: WorkerId,
        /// What it can do.
        skills: Skills,
    },
    /// A worker is gone, and what it was doing with it.
    Left {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker is about to leave: it takes no more work, finishes what it has or puts it down ([`Event::Stopped`]).
    Draining {
        /// The worker.
        worker: WorkerId,
    },
    /// Nothing that needs this skill is to be started until further notice. What runs goes on.
    Pause {
        /// The skill.
        skill: Skill,
    },
    /// What needs this skill is started again.
    Resume {
        /// The skill.
        skill: Skill,
    },
    /// An attempt waits to be begun, on the way to its worker or with it; somebody sees to it that it is not forgotten, so
    /// its lease goes on. How long it waits says nothing of how long it takes, and it costs its task nothing if it is lost
    /// or put down.
    Queued {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// A worker is at work on an attempt. Of one that was said to wait, the first of these is its beginning; others begin
    /// when they are given.
    Heartbeat {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// An attempt's result is there, durably. The worker is free.
    Finished {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// An attempt came to nothing. The worker is free.
    Failed {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// Why.
        failure: Failure,
    },
    /// A worker has put an attempt down, asked ([`Effect::Stop`]) or unasked. The worker is free.
    Stopped {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// Time has passed.
    Tick,
}

/// Something that the driver is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Have this worker start this attempt, and send a heartbeat well before the lease runs out.
    Start {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// With which settings.
        variant: Variant,
        /// When the lease runs out.
        expires: Now,
    },
    /// Have this worker put this attempt down, and say so with [`Event::Stopped`].
    Stop {
        /// The worker.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// This attempt's result is the task's result. Given once a task.
    Accept {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// This attempt's result is not wanted. Never given for an attempt that was accepted.
    Discard {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// So much of the job is done. Never less than before.
    Progress {
        /// The job.
        job: JobId,
        /// How much.
        progress: Progress,
    },
    /// Tasks of the job wait, and no worker that is there can do them. Given once, until one is; nothing ends by it.
    NobodyCan {
        /// The job.
        job: JobId,
        /// What they need.
        needs: Skills,
    },
    /// The job is not done by its deadline. It goes on. Given once a job.
    DeadlineMissed {
        /// The job.
        job: JobId,
    },
    /// Every task of the job is accepted. Of this and the next two, one is given once a job.
    JobDone {
        /// The job.
        job: JobId,
    },
    /// The job has failed.
    JobFailed {
        /// The task that failed.
        task: TaskId,
        /// How often it was started.
        attempts: u32,
        /// Why the last attempt came to nothing.
        failure: Failure,
    },
    /// The job was cancelled.
    JobCancelled {
        /// The job.
        job: JobId,
    },
    /// The event changed nothing that it was meant to.
    Ignored(Ignored),
}

/// Why an event was ignored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Ignored {
    /// No job has this number.
    #[error("no job {}", .0.0)]
    UnknownJob(JobId),
    /// The job has no such chunk.
    #[error("no {0}")]
    UnknownTask(TaskId),
    /// No worker has this number.
    #[error("no worker {}", .0.0)]
    UnknownWorker(WorkerId),
    /// A job by this number is known.
    #[error("job {} is known already", .0.0)]
    KnownJob(JobId),
    /// The job lists a chunk twice.
    #[error("{0} is listed twice")]
    RepeatedTask(TaskId),
    /// The job has finished, failed or been cancelled.
    #[error("job {} has ended", .0.0)]
    JobEnded(JobId),
    /// The job has not ended.
    #[error("job {} has not ended", .0.0)]
    JobActive(JobId),
    /// This very result was accepted before.
    #[error("attempt {} of {task} was accepted before", attempt.0)]
    AcceptedBefore {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// No lease by this number was given to this worker.
    #[error("attempt {} of {task} was never leased to that worker", attempt.0)]
    NeverLeased {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// The attempt no longer counts.
    #[error("attempt {} of {task} counts no longer", attempt.0)]
    Stale {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
}
