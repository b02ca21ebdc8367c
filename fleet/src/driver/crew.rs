//! Which node has which of the coordinator's workers. Pure.
//!
//! To the coordinator a worker is one slot, and it says which one does what. On the bus a task goes to whichever node of
//! the pool pulls it first. So a worker is a *token*: a node that pulls a task takes over the token that it was leased to,
//! and gives one of its own for it that nobody has begun. A token of nobody is an *orphan*: its node has left
//! before the task was pulled, or the driver was started anew. The coordinator takes orphans for draining workers, so
//! they get nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use vtp_engine::coordinator::{Now, WorkerId};

use super::free::FreeSlots;
use super::lives::Lives;
use super::work::{Stage, Work};
use crate::messages::{AttemptId, NodeId, Pool};

/// All nodes and tokens.
#[derive(Debug, Default)]
pub(super) struct Crew {
    nodes: BTreeMap<NodeId, Node>,
    /// Also of nodes that are gone, for a while.
    pub(super) lives: Lives<u64>,
    tokens: BTreeMap<WorkerId, Token>,
    by_attempt: HashMap<AttemptId, WorkerId>,
    next: u64,
    pub(super) free: FreeSlots,
}

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) session: u64,
    pub(super) pool: Pool,
    pub(super) heard: Now,
    pub(super) draining: bool,
    /// It was unable to do a task, and has begun none since.
    pub(super) rests: bool,
    /// How many tasks it is at, at a time.
    pub(super) slots: u16,
    tokens: BTreeSet<WorkerId>,
    /// Every report up to this one has come, or is not waited for any longer.
    whole: u64,
    /// Reports that have overtaken others.
    ahead: BTreeSet<u64>,
    /// Since when a report is missing.
    gap: Option<Now>,
}

impl Node {
    /// Takes note of a report's number. Whether all that the node said before it is known: what is missing for longer
    /// than `patience` never comes.
    pub(super) fn read(&mut self, sequence: u64, now: Now, patience: Duration) -> bool {
        if sequence > self.whole {
            self.ahead.insert(sequence);
        }
        self.close_ranks();
        if self.ahead.is_empty() {
            self.gap = None;
        } else if now.0.saturating_sub(self.gap.get_or_insert(now).0) > patience {
            self.whole = self.ahead.first().map_or(self.whole, |first| first - 1);
            self.close_ranks();
            self.gap = None;
        }
        sequence <= self.whole
    }

    fn close_ranks(&mut self) {
        while self.ahead.remove(&(self.whole + 1)) {
            self.whole += 1;
        }
    }
}

/// A worker of the coordinator's.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) pool: Pool,
    pub(super) node: Option<NodeId>,
    pub(super) work: Option<Work>,
    /// It gets no more work, and is replaced once it has none.
    pub(super) draining: bool,
}

impl Token {
    /// Which node has what this was leased, and since which of its reports.
    pub(super) fn holder(&self) -> Option<(NodeId, u64)> {
        Some((self.node.clone()?, self.work?.since()?))
    }
}

/// What came of a node's claim to have an attempt.
#[derive(Debug, PartialEq)]
pub(super) enum Claim {
    /// It has it, by this token.
    Has(WorkerId),
    /// Nobody has it any more, or somebody else has it and is alive.
    No,
}

/// What a claim has left over.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Surplus {
    /// A token that nobody needs any more; the coordinator is to hear that it has left.
    pub(super) left: Option<WorkerId>,
    /// A token that is an orphan now; the coordinator is to take it for draining.
    pub(super) orphan: Option<WorkerId>,
}

impl Crew {
    /// None, whose tokens are counted from `next` on.
    pub(super) fn new(next: u64) -> Self {
        Self { next, ..Self::default() }
    }

    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// How many tasks the nodes of each pool can be at, at a time; those that leave don't count.
    pub(super) fn slots(&self) -> BTreeMap<Pool, u32> {
        let mut slots = BTreeMap::new();
        for node in self.nodes.values().filter(|node| !node.draining) {
            *slots.entry(node.pool.clone()).or_default() += u32::from(node.slots);
        }
        slots
    }

    pub(super) fn node(&self, node: &NodeId) -> Option<&Node> {
        self.nodes.get(node)
    }

    pub(super) fn node_mut(&mut self, node: &NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(node)
    }

    pub(super) fn token(&self, worker: WorkerId) -> Option<&Token> {
        self.tokens.get(&worker)
    }

    pub(super) fn worker_of(&self, id: AttemptId) -> Option<WorkerId> {
        self.by_attempt.get(&id).copied()
    }

    /// The worker by which this node has an attempt, if it is this one that has it.
    pub(super) fn worker_by(&self, node: &NodeId, id: AttemptId) -> Option<WorkerId> {
        self.worker_of(id).filter(|it| self.token(*it).is_some_and(|token| token.node.as_ref() == Some(node)))
    }

    /// Whose an attempt is that nobody is known to have started, and that `node` may have had, for all that is known of it.
    pub(super) fn unstarted_worker_of(&self, id: AttemptId, node: &NodeId) -> Option<WorkerId> {
        let worker = self.worker_of(id)?;
        let token = self.tokens.get(&worker)?;
        let fits = self.nodes.get(node).is_none_or(|node| node.pool == token.pool);
        (fits && token.work.is_some_and(|work| !work.is_had())).then_some(worker)
    }

    /// The tokens of a node, in order.
    pub(super) fn tokens_of(&self, node: &NodeId) -> Vec<WorkerId> {
        self.nodes.get(node).map(|node| node.tokens.iter().copied().collect()).unwrap_or_default()
    }

    /// The nodes that were not heard of since `before`.
    pub(super) fn silent(&self, before: Now) -> Vec<NodeId> {
        self.nodes.iter().filter(|(_, node)| node.heard < before).map(|(id, _)| id.clone()).collect()
    }

    /// What waits on the bus since before `before`.
    pub(super) fn unstarted(&self, now: Now) -> Vec<(WorkerId, Work)> {
        let waits = |(worker, token): (&WorkerId, &Token)| {
            token.work.filter(|work| !work.is_had() && work.again <= now).map(|work| (*worker, work))
        };
        self.tokens.iter().filter_map(waits).collect()
    }

    /// A node is there, as of its report of this number.
    pub(super) fn enter(&mut self, id: NodeId, session: u64, (pool, slots): (Pool, u16), sequence: u64, now: Now) {
        let (tokens, ahead) = (BTreeSet::new(), BTreeSet::new());
        let (draining, rests) = (false, false);
        let node =
            Node { session, pool, heard: now, draining, rests, slots, tokens, whole: sequence, ahead, gap: None };
        self.nodes.insert(id, node);
    }

    /// Forgets which lives of nodes are over that are gone since before `before`.
    pub(super) fn forget_lives(&mut self, before: Now) {
        self.lives.forget(before, |name| self.nodes.contains_key(name));
    }

    pub(super) fn forget_node(&mut self, id: &NodeId) {
        if let Some(node) = self.nodes.remove(id) {
            self.free.forget(&node.pool, id);
        }
    }

    /// Takes note of how many of a node's slots have nothing to do: it begins what it holds before it takes anything else.
    pub(super) fn count_free(&mut self, id: &NodeId) {
        let Some(node) = self.nodes.get(id) else { return };
        let had = node.tokens.iter().filter_map(|it| self.tokens.get(it)?.work).filter(Work::is_had).count();
        let free = if node.draining || node.rests { 0 } else { usize::from(node.slots).saturating_sub(had) };
        self.free.set(&node.pool, id, free);
    }

    /// The free slots of nodes that were not heard of since `before` do not count: they may be gone.
    pub(super) fn count_out(&mut self, before: Now) {
        for (id, node) in self.nodes.iter().filter(|(_, node)| node.heard < before) {
            self.free.forget(&node.pool, id);
        }
    }

    /// What urgent waits on the bus, was published so that it is published again at `again` or before, and finds no slot
    /// free; the most urgent first.
    pub(super) fn urgent(&self, pool: &Pool, again: Now) -> impl Iterator<Item = AttemptId> {
        let waits = move |id: &AttemptId| {
            let token = self.by_attempt.get(id).and_then(|worker| self.tokens.get(worker));
            token.and_then(|token| token.work).is_some_and(|work| work.again <= again)
        };
        self.free.urgent(pool).filter(waits).skip(self.free.count(pool))
    }

    /// What a node holds that is at as much as it can be, the most urgent first.
    pub(super) fn held(&self, node: &NodeId) -> Vec<AttemptId> {
        let Some(node) = self.nodes.get(node).filter(|node| !node.draining) else { return Vec::new() };
        let work = || node.tokens.iter().filter_map(|it| self.tokens.get(it)?.work);
        let mut held: Vec<Work> = work().filter(|work| matches!(work.stage, Stage::Held(_))).collect();
        let begun = || work().filter(|work| matches!(work.stage, Stage::Begun(_))).count();
        if held.is_empty() || begun() < usize::from(node.slots) {
            return Vec::new();
        }
        held.sort_by_key(|work| work.priority);
        held.into_iter().map(|work| work.id).collect()
    }

    /// A token more for a node.
    pub(super) fn issue(&mut self, id: &NodeId) -> Option<WorkerId> {
        let node = self.nodes.get_mut(id)?;
        let worker = WorkerId(self.next);
        self.next += 1;
        node.tokens.insert(worker);
        let token = Token { pool: node.pool.clone(), node: Some(id.clone()), work: None, draining: false };
        self.tokens.insert(worker, token);
        Some(worker)
    }

    /// An orphan that was leased this before the driver was started.
    pub(super) fn restore(&mut self, worker: WorkerId, pool: Pool, work: Work) {
        self.tokens.insert(worker, Token { pool, node: None, work: None, draining: true });
        self.lease(worker, work);
    }

    /// A token is leased an attempt.
    pub(super) fn lease(&mut self, worker: WorkerId, work: Work) -> Option<Pool> {
        let token = self.tokens.get_mut(&worker)?;
        token.work = Some(work);
        self.by_attempt.insert(work.id, worker);
        self.free.enter(&token.pool, &work);
        Some(token.pool.clone())
    }

    pub(super) fn published(&mut self, worker: WorkerId, again: Now) {
        if let Some(work) = self.tokens.get_mut(&worker).and_then(|token| token.work.as_mut()) {
            work.again = again;
        }
    }

    /// A token has nothing to do any more.
    pub(super) fn clear(&mut self, worker: WorkerId) {
        let Some(token) = self.tokens.get_mut(&worker) else { return };
        if let Some(work) = token.work.take() {
            self.by_attempt.remove(&work.id);
            self.free.leave(&token.pool, &work);
        }
    }

    /// What a token was leased has come further.
    pub(super) fn set_stage(&mut self, worker: WorkerId, stage: Stage) {
        let Some(token) = self.tokens.get_mut(&worker) else { return };
        if let Some(work) = &mut token.work {
            work.was_revoked |= matches!(stage, Stage::Revoked(_));
            self.free.leave(&token.pool, work);
            work.stage = stage;
            self.free.enter(&token.pool, work);
        }
    }

    /// A token is gone.
    pub(super) fn retire(&mut self, worker: WorkerId) {
        self.clear(worker);
        if let Some(node) = self.tokens.remove(&worker).and_then(|token| token.node) {
            self.nodes.get_mut(&node).map(|node| node.tokens.remove(&worker));
        }
    }

    /// A token's node is gone, and nobody has started what it was leased.
    pub(super) fn orphan(&mut self, worker: WorkerId) {
        let Some(token) = self.tokens.get_mut(&worker) else { return };
        token.draining = true;
        if let Some(node) = token.node.take() {
            self.nodes.get_mut(&node).map(|node| node.tokens.remove(&worker));
        }
    }

    /// A node says that it has an attempt of its pool, in its report of this number. Whoever has it first keeps it while it lives
    /// (was heard of since `alive`).
    pub(super) fn claim(&mut self, id: AttemptId, node: &NodeId, sequence: u64, alive: Now) -> (Claim, Surplus) {
        let no = (Claim::No, Surplus::default());
        let Some((worker, token)) = self.by_attempt.get(&id).and_then(|it| Some((*it, self.tokens.get(it)?))) else {
            return no;
        };
        if self.nodes.get(node).is_none_or(|node| node.pool != token.pool) {
            return no;
        }
        let owner = token.node.clone();
        let mut surplus = Surplus::default();
        if owner.as_ref() != Some(node) {
            let started = token.work.is_some_and(|work| work.is_had());
            let lives = owner.as_ref().and_then(|owner| self.nodes.get(owner)).is_some_and(|it| it.heard >= alive);
            if started && lives {
                return no;
            }
            let Some(own) = self.exchangeable(node) else { return no };
            surplus = self.exchange(worker, own, node, owner);
        }
        if self.tokens.get(&worker).and_then(|token| token.work).is_some_and(|work| !work.is_had()) {
            self.set_stage(worker, Stage::Held(sequence));
        }
        (Claim::Has(worker), surplus)
    }

    /// A token of this node that has not started anything; an idle one first.
    fn exchangeable(&self, node: &NodeId) -> Option<WorkerId> {
        let tokens = self.nodes.get(node)?.tokens.iter().filter_map(|it| Some((*it, self.tokens.get(it)?)));
        let free = tokens.filter(|(_, token)| token.work.is_none_or(|work| !work.is_had()));
        free.min_by_key(|(_, token)| token.work.is_some()).map(|(worker, _)| worker)
    }

    /// `node` gets the token `wanted` of `owner`'s for its `own`.
    fn exchange(&mut self, wanted: WorkerId, own: WorkerId, node: &NodeId, owner: Option<NodeId>) -> Surplus {
        self.hand_over(wanted, Some(node.clone()));
        let mut surplus = Surplus::default();
        match owner {
            Some(owner) => self.hand_over(own, Some(owner)),
            None if self.tokens.get(&own).is_some_and(|token| token.work.is_some()) => {
                self.orphan(own);
                surplus.orphan = Some(own);
            }
            None => {
                self.retire(own);
                surplus.left = Some(own);
            }
        }
        surplus
    }

    fn hand_over(&mut self, worker: WorkerId, to: Option<NodeId>) {
        let Some(token) = self.tokens.get_mut(&worker) else { return };
        if let Some(from) = std::mem::replace(&mut token.node, to.clone()) {
            self.nodes.get_mut(&from).map(|node| node.tokens.remove(&worker));
        }
        if let Some(to) = to {
            self.nodes.get_mut(&to).map(|node| node.tokens.insert(worker));
        }
    }

    /// Orphans' work, which a node of this pool that joins may be at.
    pub(super) fn is_orphans(&self, id: AttemptId, pool: &Pool) -> bool {
        let token = self.by_attempt.get(&id).and_then(|worker| self.tokens.get(worker));
        token.is_some_and(|token| token.node.is_none() && token.pool == *pool)
    }

    /// A node that joins takes an orphan over, without giving anything for it.
    pub(super) fn adopt(&mut self, id: AttemptId, node: &NodeId, sequence: u64) -> Option<WorkerId> {
        let worker = self.worker_of(id)?;
        self.hand_over(worker, Some(node.clone()));
        self.set_stage(worker, Stage::Held(sequence));
        Some(worker)
    }
}
