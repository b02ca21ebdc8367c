//! Whether somebody waits with a task while another has nothing to do. Pure.
//!
//! A node that is full holds a task for its next free slot. When another node of the pool has a slot free and no task waits
//! on the bus, that one is to have it: the end of a job is not to wait for a busy node. So the driver takes the task back.

use std::collections::{BTreeMap, BTreeSet};

use super::crew::Stage;
use crate::messages::{AttemptId, NodeId, Pool};

/// The free slots and waiting tasks of all pools.
#[derive(Debug, Default)]
pub(super) struct FreeSlots(BTreeMap<Pool, Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Nodes that have slots free.
    nodes: BTreeMap<NodeId, usize>,
    free: usize,
    /// Attempts on their way to whoever is free: on the bus, or about to be there again.
    coming: usize,
    held: BTreeSet<AttemptId>,
}

impl FreeSlots {
    /// An attempt has come to this stage.
    pub(super) fn enter(&mut self, pool: &Pool, id: AttemptId, stage: Stage) {
        let counts = self.of(pool);
        match stage {
            Stage::Published | Stage::Revoked(_) => counts.coming += 1,
            Stage::Held(_) => drop(counts.held.insert(id)),
            Stage::Begun(_) => {}
        }
    }

    /// An attempt is at this stage no longer.
    pub(super) fn leave(&mut self, pool: &Pool, id: AttemptId, stage: Stage) {
        let counts = self.of(pool);
        match stage {
            Stage::Published | Stage::Revoked(_) => counts.coming = counts.coming.saturating_sub(1),
            Stage::Held(_) => drop(counts.held.remove(&id)),
            Stage::Begun(_) => {}
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

    /// An attempt that is to be taken back, if there is one: whoever holds it has no slot free.
    pub(super) fn to_take_back(&self, pool: &Pool) -> Option<AttemptId> {
        let counts = self.0.get(pool)?;
        if counts.free > counts.coming { counts.held.first().copied() } else { None }
    }

    fn of(&mut self, pool: &Pool) -> &mut Counts {
        self.0.entry(pool.clone()).or_default()
    }
}
