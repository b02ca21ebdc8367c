//! What becomes of attempts: results, failures, losses, and what they cost. Leases are in `leases.rs`.

use crate::units::Attempt;

use super::Coordinator;
use super::agenda::Due;
use super::crew::Slot;
use super::event::{Effect, Ignored};
use super::failure::{Failure, FailureKind};
use super::handle::Effects;
use super::task::{Task, TaskState};
use super::types::{TaskId, WorkerId};

/// What the end of an attempt without a result counts as.
pub(super) enum Charge {
    /// As nothing.
    Nothing,
    /// As a worker lost with the task; a sentence.
    Loss(String),
    /// As a failure of the task.
    Failure(Failure),
}

impl Coordinator {
    pub(super) fn finished(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        effects: &mut Effects,
    ) -> Result<(), Ignored> {
        self.free(worker, task, attempt);
        let known = self.known(worker, task, attempt)?;
        if known.state == (TaskState::Accepted { attempt }) {
            return Err(Ignored::AcceptedBefore { task, attempt });
        }
        if known.lease(attempt).is_some() || known.awaits_late(attempt) {
            self.accept(task, attempt, effects);
        } else {
            effects.push(Effect::Discard { task, attempt });
        }
        Ok(())
    }

    fn accept(&mut self, id: TaskId, attempt: Attempt, effects: &mut Effects) {
        let Ok(task) = self.task(id) else { return };
        let (cost, leases) = (task.cost, task.leases());
        let own = task.lease(attempt);
        if let TaskState::Waiting { rests: Some(until), .. } = task.state {
            self.agenda.remove(until, Due::Rest(id));
        }
        effects.push(Effect::Accept { task: id, attempt });
        for lease in leases {
            self.unbook(id, &lease);
            if lease.attempt != attempt {
                self.tell_to_stop(lease.worker, id, lease.attempt, effects);
            }
        }
        if let Some(lease) = own {
            self.learn(id, &lease, cost);
        }
        let ended = self.change(id.job, |job| job.accept(id.chunk, attempt));
        effects.extend(self.progress(id.job).map(|progress| Effect::Progress { job: id.job, progress }));
        if ended == Some(true) {
            self.job_ended(id.job);
            effects.push(Effect::JobDone { job: id.job });
        }
        self.doubt_all(id);
    }

    pub(super) fn failed(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        failure: Failure,
        effects: &mut Effects,
    ) -> Result<(), Ignored> {
        self.free(worker, task, attempt);
        let known = self.known(worker, task, attempt)?;
        if known.lease(attempt).is_none() && !known.awaits_late(attempt) {
            return Err(Ignored::Stale { task, attempt });
        }
        self.end_attempt(task, attempt, Charge::Failure(failure), effects);
        Ok(())
    }

    pub(super) fn stopped(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        effects: &mut Effects,
    ) -> Result<(), Ignored> {
        self.free(worker, task, attempt);
        let known = self.known(worker, task, attempt)?;
        if known.lease(attempt).is_some() {
            let leaves = self.crew.get(worker).is_some_and(|worker| worker.draining);
            let loss = || Charge::Loss(format!("worker {} put {task} down", worker.0));
            let was_begun = known.lease(attempt).is_some_and(|lease| !lease.is_queued);
            let charge = if leaves || !was_begun { Charge::Nothing } else { loss() };
            self.end_attempt(task, attempt, charge, effects);
        } else if known.awaits_late(attempt) {
            self.end_attempt(task, attempt, Charge::Nothing, effects);
        }
        Ok(())
    }

    /// A lease ends without a word from its worker: a late result stays welcome. What was not begun is no loss.
    pub(super) fn lose(&mut self, task: TaskId, attempt: Attempt, message: String, effects: &mut Effects) {
        let lease = self.task(task).ok().and_then(|task| task.lease(attempt));
        let charge = if lease.is_some_and(|it| it.is_queued) { Charge::Nothing } else { Charge::Loss(message) };
        self.release(task, attempt, true, charge, effects);
    }

    /// An attempt is over, and came to nothing.
    fn end_attempt(&mut self, task: TaskId, attempt: Attempt, charge: Charge, effects: &mut Effects) {
        self.release(task, attempt, false, charge, effects);
    }

    /// Takes an attempt's lease away, if it has one, and lets its task wait, or fails its job where that would not help.
    pub(super) fn release(
        &mut self,
        task: TaskId,
        attempt: Attempt,
        is_late: bool,
        charge: Charge,
        effects: &mut Effects,
    ) {
        let Ok(known) = self.task(task) else { return };
        let (lease, needs) = (known.lease(attempt), known.needs);
        let mut spent = known.spent;
        let failure = match charge {
            Charge::Nothing => None,
            Charge::Loss(message) => {
                spent.losses = spent.losses.saturating_add(1);
                Some(Failure { kind: FailureKind::Retryable, message })
            }
            Charge::Failure(failure) => {
                spent.add(failure.kind);
                Some(failure)
            }
        };
        let has_failed = spent.failures > known.spent.failures;
        let rest = has_failed.then(|| spent.rest(&self.config)).filter(|rest| !rest.is_zero());
        let rests = rest.map(|rest| self.now.after(rest));
        if let Some(lease) = &lease {
            self.unbook(task, lease);
        }
        let waits = self.change(task.job, |job| {
            if let Some(task) = job.tasks.get_mut(task.chunk) {
                task.spent = spent;
            }
            match lease {
                Some(_) => job.release(task.chunk, attempt, rests, is_late),
                None => {
                    job.wait(task.chunk, rests, None);
                    true
                }
            }
        });
        match waits.zip(rests) {
            Some((true, until)) => self.agenda.insert(until, Due::Rest(task)),
            Some((false, _)) | None => self.doubt_anew(task),
        }
        if let Some(failure) = failure
            && (failure.kind == FailureKind::Permanent || spent.is_too_much(&self.config, needs))
        {
            let attempts = self.task(task).map_or(0, |task| task.attempts().0);
            self.drop_job(task.job, effects);
            effects.push(Effect::JobFailed { task, attempts, failure });
        }
    }

    /// Tells a worker to put an attempt down, if it is still at it.
    pub(super) fn tell_to_stop(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt, effects: &mut Effects) {
        if self.crew.get(worker).is_some_and(|it| it.slot.holds(task, attempt)) {
            self.crew.set_slot(worker, Slot::Stopping(task, attempt));
            effects.push(Effect::Stop { worker, task, attempt });
        }
    }

    fn free(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        if self.crew.get(worker).is_some_and(|it| it.slot.holds(task, attempt)) {
            self.crew.set_slot(worker, Slot::Idle);
        }
    }

    pub(super) fn task(&self, id: TaskId) -> Result<&Task, Ignored> {
        let job = self.jobs.get(&id.job).ok_or(Ignored::UnknownJob(id.job))?;
        job.tasks.get(id.chunk).ok_or(Ignored::UnknownTask(id))
    }

    /// A task, for a message about an attempt that this worker was given.
    fn known(&self, worker: WorkerId, id: TaskId, attempt: Attempt) -> Result<&Task, Ignored> {
        let never = Ignored::NeverLeased { task: id, attempt };
        self.task(id).and_then(|task| if task.was_leased(attempt, worker) { Ok(task) } else { Err(never) })
    }
}
