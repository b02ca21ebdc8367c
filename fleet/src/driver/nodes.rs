//! What nodes say, and what follows from it for who has what. Pure.

use std::time::Duration;

use vtp_engine::coordinator::{Event, Failure, FailureKind, Now, WorkerId};

use super::core::Core;
use super::crew::{Claim, Surplus, Token};
use super::lives::{self, Came};
use super::work::Stage;
use super::{Action, Step};
use crate::messages::{AttemptId, Control, Happened, NodeId, Offer, Pool, Report};

/// After what time a task that was published is begun where a slot is free.
const BEGUN: Duration = Duration::from_millis(500);
/// How many tasks a node may be at, at a time.
const MOST_SLOTS: u16 = 4_096;
/// How many attempts at a task nodes may put down for faults of their own before it counts as if they were lost with it: it may be the
/// task that is at fault after all, as where it needs more than any disk has.
const UNABLE: u32 = 16;

impl Core {
    pub(super) fn report(&mut self, report: Report, step: &mut Step) {
        let Report { node, session, sequence, happened } = report;
        let mut unknown = false;
        for it in happened {
            if let Happened::Joined { pool, slots, doing } = it {
                self.joined(&node, session, sequence, (pool, slots, &doing), step);
                continue;
            }
            let Some(known) = self.crew.node_mut(&node).filter(|known| known.session == session) else {
                unknown = true;
                self.stranger(&node, it, step);
                continue;
            };
            known.heard = self.now;
            known.read(sequence, self.now, self.config.republish);
            self.happened(&node, sequence, it, step);
        }
        if unknown && self.crew.lives.is_over(&node, session) {
            step.actions.push(over(&node, session));
        } else if unknown {
            step.actions.push(Action::Control(node.clone(), Control::JoinAgain));
        }
        self.crew.count_free(&node);
        if let Some(pool) = self.crew.node(&node).map(|node| node.pool.clone()) {
            self.take_back(&pool, step);
            if self.crew.free.is_to_look(&pool, self.now) {
                self.make_room(&pool, step);
            }
            self.make_room_at(&node, step);
        }
    }

    /// Has tasks that full nodes hold put down, as many as there are slots free that nothing waits for.
    pub(super) fn take_back(&mut self, pool: &Pool, step: &mut Step) {
        while let Some(id) = self.crew.free.to_take_back(pool, self.now) {
            let Some(worker) = self.crew.worker_of(id) else { return };
            let Some((node, since)) = self.crew.token(worker).and_then(Token::holder) else { return };
            self.crew.set_stage(worker, Stage::Revoked(since));
            self.crew.free.take_back(id.task(), self.republished());
            step.actions.push(Action::Control(node, Control::Stop { id }));
        }
    }

    /// Has something less urgent stopped for what is urgent, waits on the bus, and would have been begun by now if a slot
    /// were free. It is there by then, so whoever was stopped finds it.
    pub(super) fn make_room(&mut self, pool: &Pool, step: &mut Step) {
        let again = Now(self.republished().0.saturating_sub(BEGUN));
        let waiting = self.crew.urgent(pool, again).map(|id| (id.task(), id.attempt()));
        let effects = self.coordinator.make_room(self.now, waiting, &[]);
        self.follow(effects, None, step);
    }

    /// Has something stopped that a node is at for what it holds and is more urgent.
    fn make_room_at(&mut self, node: &NodeId, step: &mut Step) {
        let held = self.crew.held(node);
        if held.is_empty() {
            return;
        }
        let waiting = held.into_iter().map(|id| (id.task(), id.attempt()));
        let effects = self.coordinator.make_room(self.now, waiting, &self.crew.tokens_of(node));
        self.follow(effects, None, step);
    }

    /// What a node says that has not joined, as after a restart of the driver. A result is a result: where nobody else has
    /// the attempt, it counts, unless it is known that the node is of another pool.
    fn stranger(&mut self, node: &NodeId, happened: Happened, step: &mut Step) {
        match happened {
            Happened::Finished { id, result } => {
                if let Some(worker) = self.crew.unstarted_worker_of(id, node) {
                    self.finished(worker, id, result, step);
                }
            }
            Happened::Failed { id, why, message } => {
                if let Some(worker) = self.crew.unstarted_worker_of(id, node) {
                    self.failed(worker, id, Failure { kind: why.into(), message }, step);
                }
            }
            Happened::Joined { .. }
            | Happened::Alive { .. }
            | Happened::Started { .. }
            | Happened::HandedBack { .. }
            | Happened::Unable { .. }
            | Happened::Draining
            | Happened::Left => {}
        }
    }

    fn happened(&mut self, node: &NodeId, sequence: u64, happened: Happened, step: &mut Step) {
        match happened {
            Happened::Joined { .. } => {}
            Happened::Alive { doing } => self.alive(node, sequence, &doing, step),
            Happened::Started { id } => {
                if let Some(known) = self.crew.node_mut(node) {
                    known.rests = false;
                }
                self.has(node, sequence, id, true, step);
            }
            Happened::Finished { id, result } => {
                if let Some(worker) = self.claimed(node, sequence, id, step) {
                    self.finished(worker, id, result, step);
                }
            }
            Happened::Failed { id, why, message } => {
                if let Some(worker) = self.claimed(node, sequence, id, step) {
                    self.failed(worker, id, Failure { kind: why.into(), message }, step);
                }
            }
            Happened::HandedBack { id } => {
                if let Some(worker) = self.crew.worker_by(node, id) {
                    self.put_down(worker, id, step);
                }
            }
            Happened::Unable { id } => self.unable(node, id, step),
            Happened::Draining => {
                if let Some(known) = self.crew.node_mut(node) {
                    known.draining = true;
                }
                for worker in self.crew.tokens_of(node) {
                    self.apply(Event::Draining { worker }, step);
                }
            }
            Happened::Left => self.remove_node(node, step),
        }
    }

    /// A node has put an attempt down, and is itself at fault: that costs the task nothing, unless it happens to it time and again.
    fn unable(&mut self, node: &NodeId, id: AttemptId, step: &mut Step) {
        if let Some(known) = self.crew.node_mut(node) {
            known.rests = true;
        }
        let Some(worker) = self.crew.worker_by(node, id) else { return };
        if id.attempt <= UNABLE {
            self.wait(worker, id, step);
        }
        self.put_down(worker, id, step);
    }

    fn joined(&mut self, node: &NodeId, session: u64, sequence: u64, what: (Pool, u16, &[AttemptId]), step: &mut Step) {
        let (pool, slots, doing) = what;
        let Some(skills) = self.config.pools.get(&pool).copied() else {
            let known: Vec<&str> = self.config.pools.keys().map(Pool::as_str).collect();
            let reason = format!("there is no pool {pool}; there are: {}", known.join(", "));
            step.actions.push(Action::Control(node.clone(), Control::Refused { session, reason }));
            return;
        };
        if slots > MOST_SLOTS {
            let reason = format!("it would be at {slots} tasks at a time, and {MOST_SLOTS} are the most");
            step.actions.push(Action::Control(node.clone(), Control::Refused { session, reason }));
            return;
        }
        if self.crew.lives.come(node, session, self.now) == Came::Over {
            step.actions.push(over(node, session));
            return;
        }
        if self.crew.node(node).is_some_and(|known| known.session == session) {
            if let Some(known) = self.crew.node_mut(node) {
                known.heard = self.now;
            }
            return self.alive(node, sequence, doing, step);
        }
        if self.crew.node(node).is_some() {
            self.remove_node(node, step);
        }
        let ahead = self.config.ahead.get(&pool).copied().unwrap_or_default();
        let its = pool.clone();
        self.crew.enter(node.clone(), session, (pool, slots), sequence, self.now);
        let orphans: Vec<AttemptId> = doing.iter().copied().filter(|id| self.crew.is_orphans(*id, &its)).collect();
        for id in &orphans {
            if let Some(worker) = self.crew.adopt(*id, node, sequence) {
                self.wait(worker, *id, step);
            }
        }
        for _ in orphans.len()..usize::from(slots.saturating_add(ahead)) {
            if let Some(worker) = self.crew.issue(node) {
                self.apply(Event::Joined { worker, skills }, step);
            }
        }
        self.alive(node, sequence, doing, step);
    }

    /// A node has these and nothing else that it has had before. Where there are more than it has slots, it holds the last
    /// ones.
    fn alive(&mut self, node: &NodeId, sequence: u64, doing: &[AttemptId], step: &mut Step) {
        let slots = self.crew.node(node).map_or(0, |node| usize::from(node.slots));
        for (place, id) in doing.iter().enumerate() {
            self.has(node, sequence, *id, place < slots, step);
        }
        let (now, patience) = (self.now, self.config.republish);
        // What is missing may be the result of what is not mentioned.
        if !self.crew.node_mut(node).is_some_and(|node| node.read(sequence, now, patience)) {
            return;
        }
        for worker in self.crew.tokens_of(node) {
            let Some(work) = self.crew.token(worker).and_then(|token| token.work) else { continue };
            let before = work.since().is_some_and(|since| since < sequence);
            if before && !doing.contains(&work.id) {
                self.put_down(worker, work.id, step);
            }
        }
    }

    /// A node has an attempt, and is at work on it or holds it.
    fn has(&mut self, node: &NodeId, sequence: u64, id: AttemptId, is_begun: bool, step: &mut Step) {
        let Some(worker) = self.claimed(node, sequence, id, step) else { return };
        let stage = self.crew.token(worker).and_then(|token| token.work).map(|work| work.stage);
        match stage {
            // Once is enough, however late it is said that it was held.
            Some(Stage::Held(since) | Stage::Revoked(since)) if is_begun => {
                self.crew.set_stage(worker, Stage::Begun(since));
                self.beat(worker, id, step);
            }
            Some(Stage::Begun(_)) => self.beat(worker, id, step),
            // The word may have been lost.
            Some(Stage::Revoked(since)) if since < sequence => {
                self.wait(worker, id, step);
                step.actions.push(Action::Control(node.clone(), Control::Stop { id }));
            }
            Some(_) | None => self.wait(worker, id, step),
        }
    }

    /// The worker by which a node has an attempt. One that has no right to it is told to stop.
    fn claimed(&mut self, node: &NodeId, sequence: u64, id: AttemptId, step: &mut Step) -> Option<WorkerId> {
        let (claim, surplus) = self.crew.claim(id, node, sequence, self.earlier(self.config.silence));
        let Surplus { left, orphan } = surplus;
        if let Some(worker) = left {
            self.apply(Event::Left { worker }, step);
        }
        if let Some(worker) = orphan {
            self.apply(Event::Draining { worker }, step);
        }
        match claim {
            Claim::Has(worker) => Some(worker),
            Claim::No => {
                step.ignored += 1;
                step.actions.push(Action::Control(node.clone(), Control::Stop { id }));
                None
            }
        }
    }

    pub(super) fn exhausted(&mut self, offer: &Offer, deliveries: u32, step: &mut Step) {
        let Some(worker) = self.crew.worker_of(offer.id) else { return };
        let Some(token) = self.crew.token(worker) else { return };
        let started = token.work.is_some_and(|work| work.is_had());
        let alive = self.earlier(self.config.silence);
        let lives = token.node.as_ref().and_then(|node| self.crew.node(node)).is_some_and(|it| it.heard >= alive);
        if started && lives {
            // Somebody is at it, and the bus has only missed that.
            return;
        }
        let task = offer.id.task();
        let message = format!("{task} was handed out {deliveries} times, and nobody who took it was heard of again");
        self.failed(worker, offer.id, Failure { kind: FailureKind::Retryable, message }, step);
    }

    pub(super) fn remove_node(&mut self, node: &NodeId, step: &mut Step) {
        for worker in self.crew.tokens_of(node) {
            let work = self.crew.token(worker).and_then(|token| token.work);
            if work.is_some_and(|work| !work.is_had()) {
                self.crew.orphan(worker);
                self.apply(Event::Draining { worker }, step);
            } else {
                step.put_down.extend(work.map(|work| work.id));
                self.crew.retire(worker);
                self.apply(Event::Left { worker }, step);
            }
        }
        self.crew.forget_node(node);
    }
}

/// What is said to a life of a node whose place another has taken.
fn over(node: &NodeId, session: u64) -> Action {
    tracing::warn!(%node, "two processes have one name; the one that came first is told to end");
    Action::Control(node.clone(), Control::Refused { session, reason: lives::sentence(node) })
}
