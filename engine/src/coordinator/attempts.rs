//! What becomes of attempts: how their leases begin, go on and end.

use crate::units::Attempt;

use super::Coordinator;
use super::agenda::Due;
use super::crew::{Slot, Victim};
use super::event::{Effect, Ignored};
use super::failure::{Failure, FailureKind};
use super::handle::Effects;
use super::skills::Skills;
use super::task::{Doubt, Lease, Task, TaskState};
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
    pub(super) fn heartbeat(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        effects: &mut Effects,
    ) -> Result<(), Ignored> {
        let slot = self.crew.get(worker).ok_or(Ignored::UnknownWorker(worker))?.slot;
        if slot == Slot::Leased(task, attempt) {
            self.prolong(task, attempt);
            return Ok(());
        }
        if slot == Slot::Silent(task, attempt) && self.task(task)?.awaits_late(attempt) {
            self.renew(worker, task, attempt);
            return Ok(());
        }
        effects.push(Effect::Stop { worker, task, attempt });
        Err(Ignored::Stale { task, attempt })
    }

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
            let charge = if leaves { Charge::Nothing } else { loss() };
            self.end_attempt(task, attempt, charge, effects);
        } else if known.awaits_late(attempt) {
            self.end_attempt(task, attempt, Charge::Nothing, effects);
        }
        Ok(())
    }

    /// A lease ends without a word from its worker: a late result stays welcome.
    pub(super) fn lose(&mut self, task: TaskId, attempt: Attempt, message: String, effects: &mut Effects) {
        self.release(task, attempt, true, Charge::Loss(message), effects);
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

    /// Gives a lease more time.
    fn prolong(&mut self, id: TaskId, attempt: Attempt) {
        let expires = self.now.after(self.config.lease);
        let task = self.jobs.get_mut(&id.job).and_then(|job| job.tasks.get_mut(id.chunk));
        let Some(lease) = task.and_then(|task| task.lease_mut(attempt)) else { return };
        let before = std::mem::replace(&mut lease.expires, expires);
        self.agenda.remove(before, Due::Lease(id, attempt));
        self.agenda.insert(expires, Due::Lease(id, attempt));
    }

    /// Gives a lease back that ran out.
    fn renew(&mut self, worker: WorkerId, id: TaskId, attempt: Attempt) {
        let Some(lease) = self.new_lease(attempt, worker) else { return };
        self.change(id.job, |job| job.hold(id.chunk, lease));
        self.crew.set_slot(worker, Slot::Leased(id, attempt));
        self.book(id, attempt);
    }

    pub(super) fn new_lease(&self, attempt: Attempt, worker: WorkerId) -> Option<Lease> {
        let skills = self.crew.get(worker)?.skills;
        let (started, expires) = (self.now, self.now.after(self.config.lease));
        Some(Lease { attempt, worker, skills, started, expires, doubt: Doubt::Unknown })
    }

    /// Enters a new lease wherever leases are looked up.
    pub(super) fn book(&mut self, id: TaskId, attempt: Attempt) {
        let Ok(task) = self.task(id) else { return };
        let Some(lease) = task.lease(attempt) else { return };
        let may_be_stopped = !task.was_preempted;
        self.agenda.insert(lease.expires, Due::Lease(id, attempt));
        if may_be_stopped && let Some((skills, victim)) = self.as_victim(id, &lease) {
            self.crew.class_mut(skills).victims.insert(victim);
        }
        self.doubt_anew(id);
    }

    /// Takes a lease out of wherever leases are looked up.
    pub(super) fn unbook(&mut self, id: TaskId, lease: &Lease) {
        self.agenda.remove(lease.expires, Due::Lease(id, lease.attempt));
        if let Some((skills, victim)) = self.as_victim(id, lease) {
            self.crew.class_mut(skills).victims.remove(&victim);
        }
        self.end_doubt(id, lease);
    }

    fn as_victim(&self, task: TaskId, lease: &Lease) -> Option<(Skills, Victim)> {
        self.config.preemption?;
        let priority = self.jobs.get(&task.job)?.terms.priority;
        let (priority, started) = (std::cmp::Reverse(priority), std::cmp::Reverse(lease.started));
        Some((lease.skills, Victim { priority, started, task, attempt: lease.attempt }))
    }

    /// Carries out what is due.
    pub(super) fn expire(&mut self, effects: &mut Effects) {
        while let Some(due) = self.agenda.pop(self.now) {
            match due {
                Due::Lease(task, attempt) => self.lease_ran_out(task, attempt, effects),
                Due::Doubt(task, attempt) => self.doubt(task, attempt),
                Due::Rest(task) => drop(self.change(task.job, |job| job.wait(task.chunk, None, None))),
                Due::Deadline(job) => {
                    self.change(job, |job| job.terms.deadline = None);
                    effects.push(Effect::DeadlineMissed { job });
                }
                Due::Preemption => {}
            }
        }
    }

    fn lease_ran_out(&mut self, task: TaskId, attempt: Attempt, effects: &mut Effects) {
        let Some(worker) = self.task(task).ok().and_then(|task| task.lease(attempt)).map(|lease| lease.worker) else {
            return;
        };
        self.crew.set_slot(worker, Slot::Silent(task, attempt));
        let message = format!("worker {} fell silent while it was at work on {task}", worker.0);
        self.lose(task, attempt, message, effects);
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
