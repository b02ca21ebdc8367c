//! What is due when, unless something happens before.

use std::collections::BTreeSet;

use crate::units::Attempt;

use super::types::{JobId, Now, TaskId};

/// Something that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A lease runs out.
    Lease(TaskId, Attempt),
    /// An attempt begins to take too long.
    Doubt(TaskId, Attempt),
    /// A task has rested.
    Rest(TaskId),
    /// A job should be done.
    Deadline(JobId),
    /// Another attempt may be stopped for the sake of a more urgent task.
    Preemption,
}

/// All that is due.
#[derive(Debug, Default)]
pub(super) struct Agenda(BTreeSet<(Now, Due)>);

impl Agenda {
    pub(super) fn insert(&mut self, at: Now, due: Due) {
        self.0.insert((at, due));
    }

    pub(super) fn remove(&mut self, at: Now, due: Due) {
        self.0.remove(&(at, due));
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Now> {
        self.0.first().map(|(at, _)| *at)
    }

    /// What was due first of all that is due by `now`.
    pub(super) fn pop(&mut self, now: Now) -> Option<Due> {
        let first = *self.0.first().filter(|(at, _)| *at <= now)?;
        self.0.remove(&first);
        Some(first.1)
    }

    #[cfg(test)]
    pub(super) fn leases(&self) -> usize {
        self.0.iter().filter(|(_, due)| matches!(due, Due::Lease(..))).count()
    }
}
