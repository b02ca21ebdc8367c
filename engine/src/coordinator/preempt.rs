//! What is stopped for the sake of what.
//!
//! When a task waits that is more urgent by [`Preemption::gap`](super::Preemption::gap) priorities than one that a worker
//! has that could do it, that one may be stopped: of those that are not begun the least urgent, or else the least urgent
//! that is, and of these the one that began last, for it has done least. It waits again as if it had not begun.
//!
//! Where workers are given more than they can begin, to stop what is not begun lets the urgent task be given out, but not
//! begin. Whoever hands tasks out knows when it waits for that: [`Coordinator::make_room`] then stops one that is begun.
//!
//! So that nothing is undone for ever, what is begun is stopped at most once a task, and only every
//! [`Preemption::every`](super::Preemption::every) of any; so is what is not begun, but however often a task.

use std::collections::BTreeSet;

use crate::units::Attempt;

use super::agenda::Due;
use super::attempts::Charge;
use super::crew::{Class, Slot, Victim};
use super::handle::Effects;
use super::terms::Priority;
use super::types::{Now, TaskId, WorkerId};
use super::{Coordinator, Effect, Preemption, Skills};

impl Coordinator {
    /// Stops an attempt if a more urgent task waits, and no worker that could do that is idle. Whether it did.
    pub(super) fn preempt(&mut self, effects: &mut Effects) -> bool {
        let Some(rule) = self.config.preemption else { return false };
        let not_begun = self.in_the_way(rule, |class| &class.queued);
        let Some(victim) = not_begun.or_else(|| self.in_the_way(rule, |class| &class.begun)) else { return false };
        let from = if not_begun.is_some() { &mut self.displaces_from } else { &mut self.preempts_from };
        let due = *from;
        if self.now < due {
            self.agenda.insert(due, Due::Preemption);
            return false;
        }
        *from = self.now.after(rule.every);
        let next = *from;
        self.undo(victim, effects);
        self.agenda.insert(next, Due::Preemption);
        true
    }

    /// Has an attempt begin that was given out and waits for no place being free: one that is begun and less urgent is
    /// stopped, of those that the workers `among` are at, or where these are none, whoever can do the same as its own.
    /// For the first of `waiting` that is so urgent, the most urgent first; and only as [`Preemption`] allows. A second
    /// attempt at a task is no reason.
    pub fn make_room(
        &mut self,
        now: Now,
        waiting: impl IntoIterator<Item = (TaskId, Attempt)>,
        among: &[WorkerId],
    ) -> Vec<Effect> {
        self.now = self.now.max(now);
        let mut effects = Vec::new();
        let Some(rule) = self.config.preemption.filter(|_| self.now >= self.preempts_from) else { return effects };
        let mut waiting = waiting.into_iter();
        let Some((priority, skills)) = waiting.find_map(|(task, attempt)| self.sole_and_waiting(task, attempt)) else {
            return effects;
        };
        let victim = if among.is_empty() {
            self.crew.class_mut(skills).begun.first().copied()
        } else {
            among.iter().filter_map(|worker| self.at_work(*worker)).min()
        };
        let Some(victim) = victim.filter(|it| priority.precedes(it.priority.0, rule.gap)) else { return effects };
        self.preempts_from = self.now.after(rule.every);
        self.undo(victim, &mut effects);
        self.settle(&mut effects);
        effects
    }

    /// How urgent an attempt is that waits to be begun, and what its worker can do; if it is the only one at its task.
    fn sole_and_waiting(&self, id: TaskId, attempt: Attempt) -> Option<(Priority, Skills)> {
        let task = self.task(id).ok()?;
        let lease = task.lease(attempt).filter(|lease| lease.is_queued && task.leases().count() == 1)?;
        Some((self.jobs.get(&id.job)?.terms.priority, lease.skills))
    }

    /// What a worker is at that may be stopped.
    fn at_work(&self, worker: WorkerId) -> Option<Victim> {
        let Slot::Leased(id, attempt) = self.crew.get(worker)?.slot else { return None };
        let task = self.task(id).ok()?;
        let lease = task.lease(attempt).filter(|lease| !lease.is_queued && !task.was_preempted)?;
        self.as_victim(id, &lease)
    }

    fn undo(&mut self, Victim { task, attempt, .. }: Victim, effects: &mut Effects) {
        let lease = self.task(task).ok().and_then(|task| task.lease(attempt));
        self.release(task, attempt, true, Charge::Nothing, effects);
        let Some(lease) = lease else { return };
        self.tell_to_stop(lease.worker, task, attempt, effects);
        if let Some(known) = self.jobs.get_mut(&task.job).and_then(|job| job.tasks.get_mut(task.chunk)) {
            known.was_preempted |= !lease.is_queued;
        }
    }

    /// What of these is to be stopped for the most urgent task that waits.
    fn in_the_way(&self, rule: Preemption, of: impl Fn(&Class) -> &BTreeSet<Victim>) -> Option<Victim> {
        let waiting = self.queues.iter().filter(|(needs, _)| !needs.meet(self.paused));
        let urgent = waiting.filter_map(|(needs, queue)| {
            let priority = queue.first()?.lane().priority;
            let classes = self.crew.classes().iter().filter(|class| class.skills.cover(needs));
            let victim = classes.filter_map(|class| of(class).first()).min()?;
            priority.precedes(victim.priority.0, rule.gap).then_some((priority, *victim))
        });
        urgent.min().map(|(_, victim)| victim)
    }
}
