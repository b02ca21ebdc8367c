//! Work for workers that are idle: tasks whose turn it is, then second attempts.
//!
//! `queue.rs` tells whose turn it is. Tasks of a job go in order, which lets its first segments be published early. The
//! last ones, about two for each of the workers that are the job's share, go by falling cost instead: a costly task that
//! starts last is one that all others wait for. A worker that is known to be slow gets the cheapest: what it does is not to
//! be waited for.

use crate::units::{Attempt, ChunkIndex};

use super::handle::Effects;
use super::queue::{AGEING, LaneId, Turn};
use super::skills::Skills;
use super::types::{JobId, TaskId, WorkerId};
use super::{Coordinator, Effect, Slot};

/// Costly tasks go first once no more than so many wait for each worker.
const LAST_WAVES: usize = 2;

impl Coordinator {
    /// Gives work to all who are idle, and stops what is in the way of more urgent work.
    pub(super) fn dispatch(&mut self, effects: &mut Effects) {
        self.lease_all(effects);
        if self.preempt(effects) {
            // What was stopped may be a thing for one who can do less, and is idle.
            self.lease_all(effects);
        }
    }

    /// Leases tasks as long as a worker is idle that can do one.
    fn lease_all(&mut self, effects: &mut Effects) {
        // Classes never go, and none comes while work is given out.
        for class in 0..self.crew.classes().len() {
            while let Some(start) = self.start_critical(class).or_else(|| self.start_next(class)) {
                effects.push(start);
            }
            while let Some(start) = self.start_second(class) {
                effects.push(start);
            }
        }
    }

    fn start_next(&mut self, class: usize) -> Option<Effect> {
        let class = self.crew.classes().get(class).filter(|class| class.has_idle())?;
        let skills = class.skills;
        let is_aged = class.starts % AGEING == AGEING - 1;
        let (needs, lane) = if is_aged { self.oldest(skills) } else { self.first(skills) }?;
        let id = self.queues.get(needs)?.job_of(lane, is_aged)?;
        let chunk = self.next_chunk(id, needs, class.is_slow())?;
        let job = self.jobs.get(&id)?;
        let worker = class.idle_worker(job.tasks.get(chunk)?.holders.last().copied())?;
        self.crew.class_mut(skills).starts += 1;
        self.starts += 1;
        let start = self.starts;
        self.queues.get_mut(needs)?.serve(lane, start);
        let effect = self.start(worker, TaskId { job: id, chunk }, Some(start))?;
        self.level(lane, id);
        Some(effect)
    }

    /// Among what workers with these skills can do, the lane whose turn it is.
    fn first(&self, skills: Skills) -> Option<(Skills, LaneId)> {
        let first = |(needs, queue): (Skills, &super::queue::Queue)| Some((queue.first()?, needs));
        let (turn, needs): (Turn, Skills) = self.open_queues(skills).filter_map(first).min()?;
        Some((needs, turn.lane()))
    }

    /// Among what workers with these skills can do, the lane that has waited longest.
    fn oldest(&self, skills: Skills) -> Option<(Skills, LaneId)> {
        let oldest = |(needs, queue): (Skills, &super::queue::Queue)| Some((queue.oldest()?, needs));
        let ((_, lane), needs) = self.open_queues(skills).filter_map(oldest).min()?;
        Some((needs, lane))
    }

    pub(super) fn open_queues(&self, skills: Skills) -> impl Iterator<Item = (Skills, &super::queue::Queue)> {
        let open = move |needs: Skills| skills.cover(needs) && !needs.meet(self.paused);
        self.queues.iter().filter(move |(needs, _)| open(*needs))
    }

    fn next_chunk(&self, id: JobId, needs: Skills, is_slow: bool) -> Option<ChunkIndex> {
        let (line, queue) = (self.jobs.get(&id)?.waiting.line(needs)?, self.queues.get(needs)?);
        if is_slow {
            return line.cheapest();
        }
        let share = LAST_WAVES * queue.able / queue.jobs().max(1);
        if line.len() <= share.max(1) { line.costliest() } else { line.first() }
    }

    /// Leases a task to an idle worker; for its turn, which is the `turn`th of all, or besides.
    pub(super) fn start(&mut self, worker: WorkerId, task: TaskId, turn: Option<u64>) -> Option<Effect> {
        let known = self.task(task).ok()?;
        let attempt = Attempt(known.attempts().0.checked_add(1)?);
        let variant = known.variant(&self.config);
        let lease = self.new_lease(attempt, worker)?;
        self.change(task.job, |job| {
            job.lease(task.chunk, lease);
            job.last_start = turn.unwrap_or(job.last_start);
        });
        self.crew.set_slot(worker, Slot::Leased(task, attempt));
        self.book(task, attempt);
        Some(Effect::Start { worker, task, attempt, variant, expires: lease.expires })
    }

    /// Notes where the lane and the job stand that were just served: new ones begin there.
    fn level(&mut self, lane: LaneId, id: JobId) {
        let Some((account, job)) = self.lanes.get_mut(&lane).zip(self.jobs.get(&id)) else { return };
        account.level = job.served;
        self.levels.insert(lane.priority, account.served);
    }
}
