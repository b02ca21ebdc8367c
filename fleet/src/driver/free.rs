//! Whether somebody waits with a task while another has nothing to do. Pure.
//!
//! A node that is full holds a task for its next free slot. When another node of the pool has a slot free and no task waits
//! on the bus, that one is to have it: the end of a job is not to wait for a busy node. So the driver takes the task back.
//! Whether the other takes it then is another question: it may be gone without a word. So only nodes count that were heard
//! of lately, and no task is taken back again soon.
//!
//! What is urgent is held by nobody, so it waits where no slot is free at all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use vtp_engine::coordinator::{Now, TaskId};

use super::work::{Stage, Work};
use crate::messages::{AttemptId, NodeId, Pool};

/// How often it is looked whether what is urgent has to wait.
const LOOK: Duration = Duration::from_millis(100);

/// The free slots and waiting tasks of all pools.
#[derive(Debug, Default)]
pub(super) struct FreeSlots {
    pools: BTreeMap<Pool, Counts>,
    /// Tasks that were taken back, and until when they are not again.
    taken_back: BTreeMap<TaskId, Now>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Nodes that have slots free.
    nodes: BTreeMap<NodeId, usize>,
    free: usize,
    /// Attempts on their way to whoever is free: on the bus, or about to be there again.
    coming: usize,
    held: BTreeSet<AttemptId>,
    /// Those on the bus that are urgent, by their priority.
    urgent: BTreeSet<(u8, AttemptId)>,
    /// From when on it is looked again whether they have to wait.
    look_from: Now,
}

impl FreeSlots {
    /// An attempt has come to its stage.
    pub(super) fn enter(&mut self, pool: &Pool, work: &Work) {
        let counts = self.of(pool);
        match work.stage {
            Stage::Published | Stage::Revoked(_) => counts.coming += 1,
            Stage::Held(_) => drop(counts.held.insert(work.id)),
            Stage::Begun(_) => {}
        }
        if work.is_urgent() {
            counts.urgent.insert((work.priority, work.id));
        }
    }

    /// An attempt is about to be at its stage no longer.
    pub(super) fn leave(&mut self, pool: &Pool, work: &Work) {
        let counts = self.of(pool);
        match work.stage {
            Stage::Published | Stage::Revoked(_) => counts.coming = counts.coming.saturating_sub(1),
            Stage::Held(_) => drop(counts.held.remove(&work.id)),
            Stage::Begun(_) => {}
        }
        if work.is_urgent() {
            counts.urgent.remove(&(work.priority, work.id));
        }
    }

    /// So many of a node's slots are free.
    pub(super) fn set(&mut self, pool: &Pool, node: &NodeId, free: usize) {
        let counts = self.of(pool);
        let before = match free {
            0 => counts.nodes.remove(node),
            _ => counts.nodes.insert(node.clone(), free),
        };
        counts.free = (counts.free + free).saturating_sub(before.unwrap_or_default());
    }

    /// A node is gone.
    pub(super) fn forget(&mut self, pool: &Pool, node: &NodeId) {
        self.set(pool, node, 0);
    }

    /// How many slots of a pool's nodes are free.
    pub(super) fn count(&self, pool: &Pool) -> usize {
        self.pools.get(pool).map_or(0, |counts| counts.free)
    }

    /// Whether it is time to look what is urgent and has to wait. All of it may have to be looked through, so that is not done for
    /// every word that a node says.
    pub(super) fn is_to_look(&mut self, pool: &Pool, now: Now) -> bool {
        let counts = self.of(pool);
        if counts.urgent.is_empty() || now < counts.look_from {
            return false;
        }
        counts.look_from = Now(now.0 + LOOK);
        true
    }

    /// What is urgent and waits on the bus, the most urgent first.
    pub(super) fn urgent(&self, pool: &Pool) -> impl Iterator<Item = AttemptId> {
        self.pools.get(pool).into_iter().flat_map(|counts| &counts.urgent).map(|(_, id)| *id)
    }

    /// An attempt that is to be taken back, if there is one: whoever holds it has no slot free, and its task was not taken
    /// back lately.
    pub(super) fn to_take_back(&self, pool: &Pool, now: Now) -> Option<AttemptId> {
        let counts = self.pools.get(pool).filter(|counts| counts.free > counts.coming)?;
        let rests = |id: &AttemptId| self.taken_back.get(&id.task()).is_some_and(|until| *until > now);
        counts.held.iter().find(|id| !rests(id)).copied()
    }

    /// A task is taken back, and is not again until then.
    pub(super) fn take_back(&mut self, task: TaskId, until: Now) {
        self.taken_back.insert(task, until);
    }

    /// Forgets what may be taken back again.
    pub(super) fn pass(&mut self, now: Now) {
        self.taken_back.retain(|_, until| *until > now);
    }

    fn of(&mut self, pool: &Pool) -> &mut Counts {
        self.pools.entry(pool.clone()).or_default()
    }
}
