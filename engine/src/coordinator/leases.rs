//! Leases: how they begin, go on and run out, and wherever they are looked up.

use crate::units::Attempt;

use super::Coordinator;
use super::agenda::Due;
use super::crew::{Slot, Victim};
use super::event::{Effect, Ignored};
use super::handle::Effects;
use super::task::{Doubt, Lease};
use super::types::{TaskId, WorkerId};

impl Coordinator {
    pub(super) fn heartbeat(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        effects: &mut Effects,
    ) -> Result<(), Ignored> {
        self.hold(worker, task, attempt, effects)?;
        self.begin(task, attempt);
        Ok(())
    }

    /// An attempt waits for its worker.
    pub(super) fn queued(
        &mut self,
        worker: WorkerId,
        task: TaskId,
        attempt: Attempt,
        effects: &mut Effects,
    ) -> Result<(), Ignored> {
        self.hold(worker, task, attempt, effects)?;
        if self.task(task)?.lease(attempt).is_some_and(|lease| !lease.is_queued) {
            self.rebook(task, attempt, |lease| lease.is_queued = true);
        }
        Ok(())
    }

    /// Gives the lease of an attempt that a worker has more time, or back if it ran out; a worker that has none is to put it
    /// down.
    fn hold(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt, effects: &mut Effects) -> Result<(), Ignored> {
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

    /// The work on an attempt that has waited begins.
    fn begin(&mut self, id: TaskId, attempt: Attempt) {
        let now = self.now;
        if self.task(id).is_ok_and(|task| task.lease(attempt).is_some_and(|lease| lease.is_queued)) {
            self.rebook(id, attempt, |lease| (lease.is_queued, lease.started) = (false, now));
        }
    }

    /// Changes a lease wherever it is looked up.
    fn rebook(&mut self, id: TaskId, attempt: Attempt, change: impl FnOnce(&mut Lease)) {
        let Some(lease) = self.task(id).ok().and_then(|task| task.lease(attempt)) else { return };
        self.unbook(id, &lease);
        let task = self.jobs.get_mut(&id.job).and_then(|job| job.tasks.get_mut(id.chunk));
        if let Some(lease) = task.and_then(|task| task.lease_mut(attempt)) {
            change(lease);
        }
        self.book(id, attempt);
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
        Some(Lease { attempt, worker, skills, started, is_queued: false, expires, doubt: Doubt::Unknown })
    }

    /// Enters a new lease wherever leases are looked up.
    pub(super) fn book(&mut self, id: TaskId, attempt: Attempt) {
        let Ok(task) = self.task(id) else { return };
        let Some(lease) = task.lease(attempt) else { return };
        let may_be_stopped = lease.is_queued || !task.was_preempted;
        self.agenda.insert(lease.expires, Due::Lease(id, attempt));
        if may_be_stopped && let Some(victim) = self.as_victim(id, &lease) {
            self.crew.class_mut(lease.skills).victims_mut(lease.is_queued).insert(victim);
        }
        self.doubt_anew(id);
    }

    /// Takes a lease out of wherever leases are looked up.
    pub(super) fn unbook(&mut self, id: TaskId, lease: &Lease) {
        self.agenda.remove(lease.expires, Due::Lease(id, lease.attempt));
        if let Some(victim) = self.as_victim(id, lease) {
            self.crew.class_mut(lease.skills).victims_mut(lease.is_queued).remove(&victim);
        }
        self.end_doubt(id, lease);
    }

    pub(super) fn as_victim(&self, task: TaskId, lease: &Lease) -> Option<Victim> {
        self.config.preemption?;
        let priority = self.jobs.get(&task.job)?.terms.priority;
        let (priority, started) = (std::cmp::Reverse(priority), std::cmp::Reverse(lease.started));
        Some(Victim { priority, started, task, attempt: lease.attempt })
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
}
