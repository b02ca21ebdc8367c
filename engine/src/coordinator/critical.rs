//! What everybody would wait for at the end.
//!
//! A task is *critical* when it takes, by what is usual, no less time than all that waits will take all workers: begun in
//! its turn, it would still be at work when nothing else is left. While one waits, every other start goes to the longest of
//! them, whoever's it is and however urgent. So what is urgent waits for one start more at most, the whole is done sooner,
//! and as long as more waits than the longest task takes this changes nothing. It is none of a job's turns: those and
//! ageing go on as if it had not been. Workers that are known to be slow get none.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::pace::{Length, Pace};
use super::skills::Skills;
use super::types::{Cost, JobId, TaskId};
use super::{Coordinator, Effect};

/// What of a backlog is one job's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) length: Length,
    /// What all together cost.
    pub(super) cost: Cost,
}

/// What waits of equal needs, and how long it takes.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    by_length: BTreeSet<(Reverse<Length>, JobId)>,
    cost: u64,
    /// What tasks of these needs cost and took.
    pub(super) pace: Pace,
}

impl Backlog {
    pub(super) fn insert(&mut self, job: JobId, Share { length, cost }: Share) {
        self.by_length.insert((Reverse(length), job));
        self.cost = self.cost.saturating_add(cost.0);
    }

    pub(super) fn remove(&mut self, job: JobId, Share { length, cost }: Share) {
        self.by_length.remove(&(Reverse(length), job));
        self.cost = self.cost.saturating_sub(cost.0);
    }

    /// The job with the longest task, if that is critical to so many workers.
    fn critical(&self, workers: usize) -> Option<(Length, JobId)> {
        let (Reverse(length), job) = *self.by_length.first()?;
        let all = self.pace.length(Cost(self.cost)).0 / workers.max(1) as u64;
        (length.0 > 0 && length.0 >= all).then_some((length, job))
    }
}

impl Coordinator {
    /// Starts the longest critical task, where it is time for one.
    pub(super) fn start_critical(&mut self, class: usize) -> Option<Effect> {
        let class = self.crew.classes().get(class).filter(|class| class.has_idle() && !class.is_slow())?;
        if class.starts % 2 != 0 {
            return None;
        }
        let skills = class.skills;
        let critical = self.open_queues(skills).filter_map(|(needs, queue)| {
            let (length, job) = queue.backlog.critical(queue.able)?;
            Some((length, needs, job))
        });
        let (_, needs, id) = critical.max()?;
        let job = self.jobs.get(&id)?;
        let chunk = job.waiting.line(needs)?.costliest()?;
        let worker = class.idle_worker(job.tasks.get(chunk)?.holders.last().copied())?;
        self.crew.class_mut(skills).starts += 1;
        self.start(worker, TaskId { job: id, chunk }, None)
    }

    /// Tasks of these needs have cost and taken this much.
    pub(super) fn learn_backlog(&mut self, needs: Skills, cost: Cost, took: std::time::Duration) {
        if let Some(queue) = self.queues.get_mut(needs) {
            queue.backlog.pace.learn(cost, took);
        }
    }
}
