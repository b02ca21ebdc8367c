//! The coordinator is told, and what it asks for becomes records and actions. Pure.

use std::collections::VecDeque;

use vtp_engine::coordinator::{Effect, Event, Failure, TaskId, Variant, WorkerId};
use vtp_engine::units::Attempt;

use super::core::Core;
use super::spans::of_attempt;
use super::work::Work;
use super::{Action, Notice, Step};
use crate::ledger::{Outcome, Record};
use crate::messages::{AttemptId, Control, Offer};

impl Core {
    pub(super) fn apply(&mut self, event: Event, step: &mut Step) {
        self.apply_with(event, None, None, step);
    }

    pub(super) fn beat(&mut self, worker: WorkerId, id: AttemptId, step: &mut Step) {
        self.apply(Event::Heartbeat { worker, task: id.task(), attempt: id.attempt() }, step);
    }

    /// An attempt waits to be begun.
    pub(super) fn wait(&mut self, worker: WorkerId, id: AttemptId, step: &mut Step) {
        self.apply(Event::Queued { worker, task: id.task(), attempt: id.attempt() }, step);
    }

    pub(super) fn finished(&mut self, worker: WorkerId, id: AttemptId, result: Vec<u8>, step: &mut Step) {
        self.crew.clear(worker);
        let event = Event::Finished { worker, task: id.task(), attempt: id.attempt() };
        self.apply_with(event, None, Some(result), step);
        self.replace_if_draining(worker, step);
    }

    pub(super) fn failed(&mut self, worker: WorkerId, id: AttemptId, failure: Failure, step: &mut Step) {
        self.crew.clear(worker);
        let record = Record::Failed { id, why: failure.kind.into() };
        let event = Event::Failed { worker, task: id.task(), attempt: id.attempt(), failure };
        self.apply_with(event, Some(record), None, step);
        self.replace_if_draining(worker, step);
    }

    /// A node has put an attempt down. Where it was to for another's sake that costs nothing, though it may just have begun.
    pub(super) fn put_down(&mut self, worker: WorkerId, id: AttemptId, step: &mut Step) {
        if self.crew.token(worker).and_then(|token| token.work).is_some_and(|work| work.was_revoked) {
            self.wait(worker, id, step);
        }
        self.crew.clear(worker);
        step.put_down.push(id);
        self.apply(Event::Stopped { worker, task: id.task(), attempt: id.attempt() }, step);
        self.replace_if_draining(worker, step);
    }

    /// An orphan that a node has taken over has no future, but the node's slot has.
    fn replace_if_draining(&mut self, worker: WorkerId, step: &mut Step) {
        let Some(token) = self.crew.token(worker).filter(|token| token.draining && token.work.is_none()) else {
            return;
        };
        let node = token.node.clone();
        self.crew.retire(worker);
        self.apply(Event::Left { worker }, step);
        let Some(node) = node.filter(|node| self.crew.node(node).is_some_and(|it| !it.draining)) else { return };
        let pool = self.crew.node(&node).map(|node| node.pool.clone());
        let skills = pool.and_then(|pool| self.config.pools.get(&pool).copied()).unwrap_or_default();
        if let Some(worker) = self.crew.issue(&node) {
            self.apply(Event::Joined { worker, skills }, step);
        }
    }

    /// `record` is kept if the event is not ignored; `result` goes with the attempt if it is accepted.
    fn apply_with(&mut self, event: Event, record: Option<Record>, result: Option<Vec<u8>>, step: &mut Step) {
        step.events += 1;
        let effects = self.coordinator.apply(self.now, event);
        let ignored = effects.iter().any(|effect| matches!(effect, Effect::Ignored(_)));
        // Before what follows from it.
        step.records.extend(record.filter(|_| !ignored));
        self.follow(effects, result, step);
    }

    /// Carries out what the coordinator asks for, and what follows from that.
    pub(super) fn follow(&mut self, effects: Vec<Effect>, mut result: Option<Vec<u8>>, step: &mut Step) {
        let mut events = VecDeque::new();
        for effect in effects {
            events.extend(self.carry_out(effect, &mut result, step));
        }
        while let Some(event) = events.pop_front() {
            step.events += 1;
            for effect in self.coordinator.apply(self.now, event) {
                events.extend(self.carry_out(effect, &mut result, step));
            }
        }
    }

    /// What the coordinator is to be told in return, if anything.
    fn carry_out(&mut self, effect: Effect, result: &mut Option<Vec<u8>>, step: &mut Step) -> Option<Event> {
        match effect {
            Effect::Start { worker, task, attempt, variant, .. } => {
                return self.start(worker, (task, attempt), variant, step);
            }
            Effect::Stop { worker, task, attempt } => return self.stop(worker, (task, attempt).into(), step),
            Effect::Accept { task, attempt } => {
                let (id, result) = (AttemptId::from((task, attempt)), result.take().unwrap_or_default());
                step.records.push(Record::Accepted { id, result: result.clone() });
                step.actions.push(Action::Tell(Notice::Accepted { id, result }));
            }
            // Its node has delivered it under the attempt's own name; whoever cleans up knows which was accepted.
            Effect::Discard { .. } => step.ignored += 1,
            Effect::Progress { job, progress } => {
                step.actions.push(Action::Tell(Notice::Progress { job: job.0, progress }));
            }
            Effect::NobodyCan { job, needs } => {
                step.actions.push(Action::Tell(Notice::NobodyCan { job: job.0, needs }));
            }
            Effect::DeadlineMissed { job } => step.actions.push(Action::Tell(Notice::DeadlineMissed { job: job.0 })),
            Effect::JobDone { job } => self.end(job.0, Outcome::Done, Notice::Done { job: job.0 }, step),
            Effect::JobFailed { task, failure, .. } => {
                let (job, chunk, message) = (task.job.0, task.chunk.0, failure.message);
                let outcome = Outcome::Failed { chunk, message: message.clone() };
                self.end(job, outcome, Notice::Failed { job, chunk, message }, step);
            }
            Effect::JobCancelled { job } => {
                self.end(job.0, Outcome::Cancelled, Notice::Cancelled { job: job.0 }, step);
            }
            Effect::Ignored(why) => {
                step.ignored += 1;
                tracing::debug!(%why, "an event is ignored");
            }
        }
        None
    }

    /// An attempt is offered, and waits for whoever takes it.
    fn start(
        &mut self,
        worker: WorkerId,
        (task, attempt): (TaskId, Attempt),
        variant: Variant,
        step: &mut Step,
    ) -> Option<Event> {
        let id = AttemptId::from((task, attempt));
        let priority = self.jobs.get(&id.job).map_or(u8::MAX, |job| job.submission.priority);
        let pool = self.crew.lease(worker, Work::new(id, variant.into(), priority, self.republished()))?;
        step.records.push(Record::Leased { id, worker: worker.0, pool });
        step.actions.extend(self.offer(worker).map(Action::Publish));
        Some(Event::Queued { worker, task, attempt })
    }

    /// An attempt no longer counts. Where nobody has started it there is nobody to be told.
    fn stop(&mut self, worker: WorkerId, id: AttemptId, step: &mut Step) -> Option<Event> {
        let token = self.crew.token(worker)?;
        let started = token.work.is_some_and(|work| work.id == id && work.is_had());
        match token.node.clone().filter(|_| started) {
            Some(node) => {
                step.actions.push(Action::Control(node, Control::Stop { id }));
                None
            }
            None if token.node.is_none() => {
                step.put_down.push(id);
                self.crew.retire(worker);
                Some(Event::Left { worker })
            }
            None => {
                step.put_down.push(id);
                self.crew.clear(worker);
                Some(Event::Stopped { worker, task: id.task(), attempt: id.attempt() })
            }
        }
    }

    fn end(&mut self, job: u64, outcome: Outcome, notice: Notice, step: &mut Step) {
        self.jobs.remove(&job);
        step.records.push(Record::Ended { job, outcome });
        step.actions.push(Action::Tell(notice));
    }

    /// What a worker was leased, as it is offered; if its job is under way.
    pub(super) fn offer(&self, worker: WorkerId) -> Option<Offer> {
        let token = self.crew.token(worker)?;
        let Work { id, settings, .. } = token.work?;
        let job = self.jobs.get(&id.job)?;
        let row = &job.submission.tasks[*job.places.get(&id.chunk)?];
        Some(Offer {
            id,
            pool: token.pool.clone(),
            priority: job.submission.priority,
            settings,
            lease_ms: u64::try_from(self.config.coordinator.lease.as_millis()).unwrap_or(u64::MAX),
            cost: row.cost,
            fetch: job.submission.fetch.clone(),
            deliver: job.submission.deliver.clone(),
            trace: of_attempt(&job.submission, id),
            body: row.body.clone(),
        })
    }
}
