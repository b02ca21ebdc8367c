//! What is stopped for the sake of what.
//!
//! When a task waits that is more urgent by [`Preemption::gap`](super::Preemption::gap) priorities than one that runs on a
//! worker that could do it, that one may be stopped: of the least urgent one that is not begun, or else the one that began
//! last, for it has done least.
//! It waits again as if it had not begun. So that nothing is undone for ever, that happens at most once to a task, and only
//! every [`Preemption::every`](super::Preemption::every) to any.

use super::agenda::Due;
use super::attempts::Charge;
use super::crew::Victim;
use super::handle::Effects;
use super::terms::Priority;
use super::{Coordinator, Skills};

impl Coordinator {
    /// Stops an attempt if a more urgent task waits, and no worker that could do that is idle. Whether it did.
    pub(super) fn preempt(&mut self, effects: &mut Effects) -> bool {
        let Some(rule) = self.config.preemption else { return false };
        let waiting = self.queues.iter().filter(|(needs, _)| !needs.meet(self.paused));
        let urgent = waiting.filter_map(|(needs, queue)| {
            let priority = queue.first()?.lane().priority;
            Some((priority, self.victim(priority, needs, rule.gap)?))
        });
        let Some((_, victim)) = urgent.min() else { return false };
        if self.now < self.preempts_from {
            self.agenda.insert(self.preempts_from, Due::Preemption);
            return false;
        }
        self.preempts_from = self.now.after(rule.every);
        let Victim { task, attempt, .. } = victim;
        let lease = self.task(task).ok().and_then(|task| task.lease(attempt));
        self.release(task, attempt, true, Charge::Nothing, effects);
        if let Some(lease) = lease {
            self.tell_to_stop(lease.worker, task, attempt, effects);
        }
        if let Some(known) = self.jobs.get_mut(&task.job).and_then(|job| job.tasks.get_mut(task.chunk)) {
            known.was_preempted = true;
        }
        self.agenda.insert(self.preempts_from, Due::Preemption);
        true
    }

    fn victim(&self, priority: Priority, needs: Skills, gap: u8) -> Option<Victim> {
        let classes = self.crew.classes().iter().filter(|class| class.skills.cover(needs));
        let victim = classes.filter_map(|class| class.victims.first()).min()?;
        priority.precedes(victim.priority.0, gap).then_some(*victim)
    }
}
