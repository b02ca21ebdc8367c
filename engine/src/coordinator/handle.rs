//! What each event does to the state.

use crate::units::Attempt;

use super::event::{Effect, Event, Ignored, NewTask};
use super::job::{Job, TaskState};
use super::types::{Failure, FailureKind, JobId, Priority, TaskId, WorkerId};
use super::{Coordinator, Slot};

type Effects = Vec<Effect>;

impl Coordinator {
    pub(super) fn handle(&mut self, event: Event, effects: &mut Effects) {
        let handled = match event {
            Event::Submit { job, priority, tasks } => self.submit(job, priority, &tasks, effects),
            Event::Cancel { job } => self.cancel(job, effects),
            Event::Forget { job } => self.forget(job),
            Event::Joined { worker } => self.joined(worker, effects),
            Event::Left { worker } => self.left(worker, effects),
            Event::Heartbeat { worker, task, attempt } => self.heartbeat(worker, task, attempt, effects),
            Event::Finished { worker, task, attempt } => self.finished(worker, task, attempt, effects),
            Event::Failed { worker, task, attempt, failure } => self.failed(worker, task, attempt, failure, effects),
            Event::Stopped { worker, task, attempt } => self.stopped(worker, task, attempt, effects),
            Event::Tick => Ok(()),
        };
        effects.extend(handled.err().map(Effect::Ignored));
    }

    fn submit(&mut self, id: JobId, priority: Priority, new: &[NewTask], effects: &mut Effects) -> Result<(), Ignored> {
        if self.jobs.contains_key(&id) {
            return Err(Ignored::KnownJob(id));
        }
        let job = Job::new(priority, self.submitted, self.level(priority), new)
            .map_err(|chunk| Ignored::RepeatedTask(TaskId { job: id, chunk }))?;
        self.submitted += 1;
        self.jobs.insert(id, job);
        if self.change(id, Job::end_if_complete) == Some(true) {
            effects.push(Effect::JobDone { job: id });
        }
        Ok(())
    }

    fn cancel(&mut self, job: JobId, effects: &mut Effects) -> Result<(), Ignored> {
        match self.jobs.get(&job) {
            None => Err(Ignored::UnknownJob(job)),
            Some(known) if !known.active => Err(Ignored::JobEnded(job)),
            Some(_) => {
                self.drop_job(job, effects);
                effects.push(Effect::JobCancelled { job });
                Ok(())
            }
        }
    }

    fn forget(&mut self, job: JobId) -> Result<(), Ignored> {
        match self.jobs.get(&job) {
            None => Err(Ignored::UnknownJob(job)),
            Some(known) if known.active => Err(Ignored::JobActive(job)),
            Some(_) => {
                self.jobs.remove(&job);
                Ok(())
            }
        }
    }

    fn joined(&mut self, worker: WorkerId, effects: &mut Effects) -> Result<(), Ignored> {
        if self.workers.contains_key(&worker) {
            self.left(worker, effects)?;
        }
        self.set_slot(worker, Slot::Idle);
        Ok(())
    }

    fn left(&mut self, worker: WorkerId, effects: &mut Effects) -> Result<(), Ignored> {
        let slot = self.workers.remove(&worker).ok_or(Ignored::UnknownWorker(worker))?;
        self.idle.remove(&worker);
        if let Slot::Leased(task, attempt) = slot {
            self.lose(task, attempt, format!("worker {} left while it was at work on {task}", worker.0), effects);
        }
        Ok(())
    }

    fn heartbeat(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        effects: &mut Effects,
    ) -> Result<(), Ignored> {
        let slot = *self.workers.get(&worker).ok_or(Ignored::UnknownWorker(worker))?;
        let expires = self.now.after(self.config.lease);
        match self.state(task) {
            Ok(TaskState::Leased { attempt: current, expires: before })
                if slot.holds(task, attempt) && current == attempt =>
            {
                self.deadlines.remove(&(before, task));
            }
            Ok(TaskState::Waiting { late }) if slot.holds(task, attempt) && late == Some(attempt) => {}
            _ => {
                effects.push(Effect::Stop { worker, task, attempt });
                return Err(Ignored::Stale { task, attempt });
            }
        }
        self.change(task.job, |job| job.prolong(task.chunk, attempt, expires));
        self.deadlines.insert((expires, task));
        self.set_slot(worker, Slot::Leased(task, attempt));
        Ok(())
    }

    fn finished(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        effects: &mut Effects,
    ) -> Result<(), Ignored> {
        self.free(worker, task, attempt);
        let state = self.checked_state(worker, task, attempt)?;
        if state == (TaskState::Accepted { attempt }) {
            return Err(Ignored::AcceptedBefore { task, attempt });
        }
        if !self.end_attempt(task, attempt, state) {
            effects.push(Effect::Discard { task, attempt });
            return Ok(());
        }
        let last = self.change(task.job, |job| job.accept(task.chunk, attempt));
        effects.push(Effect::Accept { task, attempt });
        effects.extend(self.progress(task.job).map(|progress| Effect::Progress { job: task.job, progress }));
        if last == Some(true) {
            effects.push(Effect::JobDone { job: task.job });
        }
        Ok(())
    }

    fn failed(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        failure: Failure,
        effects: &mut Effects,
    ) -> Result<(), Ignored> {
        self.free(worker, task, attempt);
        let state = self.checked_state(worker, task, attempt)?;
        if !self.end_attempt(task, attempt, state) {
            return Err(Ignored::Stale { task, attempt });
        }
        self.retry(task, None, failure, effects);
        Ok(())
    }

    fn stopped(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        effects: &mut Effects,
    ) -> Result<(), Ignored> {
        self.free(worker, task, attempt);
        let state = self.checked_state(worker, task, attempt)?;
        if self.end_attempt(task, attempt, state) {
            let message = format!("worker {} put {task} down", worker.0);
            self.retry(task, None, Failure { kind: FailureKind::Retryable, message }, effects);
        }
        Ok(())
    }

    /// Takes away the leases that have run out.
    pub(super) fn expire(&mut self, effects: &mut Effects) {
        while let Some((at, task)) = self.deadlines.first().copied().filter(|(at, _)| *at <= self.now) {
            self.deadlines.remove(&(at, task));
            let Ok(TaskState::Leased { attempt, .. }) = self.state(task) else { continue };
            let Some(worker) = self.holder(task, attempt) else { continue };
            self.set_slot(worker, Slot::Void(task, attempt));
            self.lose(
                task,
                attempt,
                format!("worker {} fell silent while it was at work on {task}", worker.0),
                effects,
            );
        }
    }

    /// A lease ends without a word from its worker: a late result stays welcome.
    fn lose(&mut self, task: TaskId, attempt: Attempt, message: String, effects: &mut Effects) {
        if let Ok(TaskState::Leased { expires, .. }) = self.state(task) {
            self.deadlines.remove(&(expires, task));
        }
        self.retry(task, Some(attempt), Failure { kind: FailureKind::Retryable, message }, effects);
    }

    /// Lets a task wait again, or fails its job where that would not help.
    fn retry(&mut self, task: TaskId, late: Option<Attempt>, failure: Failure, effects: &mut Effects) {
        let attempts =
            self.jobs.get(&task.job).and_then(|job| job.tasks.get(&task.chunk)).map_or(0, |t| t.attempts().0);
        self.change(task.job, |job| job.release(task.chunk, late));
        if failure.kind == FailureKind::Permanent || attempts >= self.config.max_attempts {
            self.drop_job(task.job, effects);
            effects.push(Effect::JobFailed { task, attempts, failure });
        }
    }

    /// Ends a job without a result and stops its workers.
    fn drop_job(&mut self, id: JobId, effects: &mut Effects) {
        for (chunk, attempt, expires) in self.change(id, Job::drop_rest).unwrap_or_default() {
            let task = TaskId { job: id, chunk };
            self.deadlines.remove(&(expires, task));
            if let Some(worker) = self.holder(task, attempt) {
                self.set_slot(worker, Slot::Void(task, attempt));
                effects.push(Effect::Stop { worker, task, attempt });
            }
        }
    }

    /// Whether this attempt still counts, which it does no more after this.
    fn end_attempt(&mut self, task: TaskId, attempt: Attempt, state: TaskState) -> bool {
        match state {
            TaskState::Leased { attempt: current, expires } if current == attempt => {
                self.deadlines.remove(&(expires, task))
            }
            TaskState::Waiting { late } => late == Some(attempt),
            TaskState::Leased { .. } | TaskState::Accepted { .. } | TaskState::Dropped => false,
        }
    }

    fn free(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        if self.workers.get(&worker).is_some_and(|slot| slot.holds(task, attempt)) {
            self.set_slot(worker, Slot::Idle);
        }
    }

    /// The worker that is busy with an attempt.
    fn holder(&self, task: TaskId, attempt: Attempt) -> Option<WorkerId> {
        let place = attempt.0.checked_sub(1)? as usize;
        let worker = *self.jobs.get(&task.job)?.tasks.get(&task.chunk)?.holders.get(place)?;
        self.workers.get(&worker)?.holds(task, attempt).then_some(worker)
    }

    fn state(&self, task: TaskId) -> Result<TaskState, Ignored> {
        let job = self.jobs.get(&task.job).ok_or(Ignored::UnknownJob(task.job))?;
        job.tasks.get(&task.chunk).map(|task| task.state).ok_or(Ignored::UnknownTask(task))
    }

    /// A task's state, for a message about an attempt that this worker was given.
    fn checked_state(&self, worker: WorkerId, task: TaskId, attempt: Attempt) -> Result<TaskState, Ignored> {
        let state = self.state(task)?;
        let known = self.jobs.get(&task.job).and_then(|job| job.tasks.get(&task.chunk));
        if known.is_some_and(|task| task.was_leased(attempt, worker)) {
            Ok(state)
        } else {
            Err(Ignored::NeverLeased { task, attempt })
        }
    }
}
