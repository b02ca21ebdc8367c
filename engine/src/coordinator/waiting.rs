//! The tasks of a job that wait, those of equal needs together.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::units::ChunkIndex;

use super::critical::Share;
use super::pace::Length;
use super::skills::Skills;
use super::types::Cost;

/// What the queue of a line's needs knows of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Whether its job stands there for it.
    pub(super) stands: bool,
    pub(super) share: Share,
}

/// The tasks of equal needs that wait, in order of their chunks and of their cost.
#[derive(Debug, Default)]
pub(super) struct Line {
    in_order: BTreeSet<ChunkIndex>,
    cost: u64,
    by_cost: BTreeSet<(Reverse<Cost>, ChunkIndex)>,
    /// How long the costliest takes, as far as was known when something last happened to its job.
    length: Length,
    known: Known,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.in_order.len()
    }

    /// What its queue is to know if the line is one of an active job, or one of a job that has ended.
    fn to_be_known(&self, active: bool) -> Known {
        let share = Share { length: self.length, cost: Cost(self.cost) };
        Known { stands: active && self.len() > 0, share }
    }

    /// What its queue knew of it, and is to know from now on.
    pub(super) fn make_known(&mut self, active: bool) -> (Known, Known) {
        let now = self.to_be_known(active);
        (std::mem::replace(&mut self.known, now), now)
    }

    pub(super) fn first(&self) -> Option<ChunkIndex> {
        self.in_order.first().copied()
    }

    /// The first of the costliest.
    pub(super) fn costliest(&self) -> Option<ChunkIndex> {
        self.by_cost.first().map(|(_, chunk)| *chunk)
    }

    /// The last of the cheapest.
    pub(super) fn cheapest(&self) -> Option<ChunkIndex> {
        self.by_cost.last().map(|(_, chunk)| *chunk)
    }
}

/// The tasks of a job that wait. A job has few kinds of needs, mostly one.
#[derive(Debug, Default)]
pub(super) struct Waiting(Vec<(Skills, Line)>);

impl Waiting {
    pub(super) fn insert(&mut self, needs: Skills, chunk: ChunkIndex, cost: Cost) {
        let place = self.0.iter().position(|(it, _)| *it == needs).unwrap_or_else(|| {
            self.0.push((needs, Line::default()));
            self.0.len() - 1
        });
        let line = &mut self.0[place].1;
        if line.in_order.insert(chunk) {
            line.cost = line.cost.saturating_add(cost.0);
        }
        line.by_cost.insert((Reverse(cost), chunk));
    }

    pub(super) fn remove(&mut self, needs: Skills, chunk: ChunkIndex, cost: Cost) {
        if let Some((_, line)) = self.0.iter_mut().find(|(it, _)| *it == needs) {
            line.by_cost.remove(&(Reverse(cost), chunk));
            if line.in_order.remove(&chunk) {
                line.cost = line.cost.saturating_sub(cost.0);
            }
        }
    }

    pub(super) fn line(&self, needs: Skills) -> Option<&Line> {
        self.0.iter().find(|(it, _)| *it == needs).map(|(_, line)| line)
    }

    /// Looks how long the costliest of each kind takes.
    pub(super) fn measure(&mut self, length: impl Fn(Skills, Cost) -> Length) {
        for (needs, line) in &mut self.0 {
            line.length = line.by_cost.first().map(|(cost, _)| length(*needs, cost.0)).unwrap_or_default();
        }
    }

    /// Whether a queue knows something else than what is so.
    pub(super) fn is_news(&self, active: bool) -> bool {
        self.0.iter().any(|(_, line)| line.known != line.to_be_known(active))
    }

    /// The tasks of each kind.
    pub(super) fn lines_mut(&mut self) -> impl Iterator<Item = (Skills, &mut Line)> {
        self.0.iter_mut().map(|(needs, line)| (*needs, line))
    }

    /// Each kind of needs that a task ever had.
    pub(super) fn kinds(&self) -> impl Iterator<Item = Skills> {
        self.0.iter().map(|(needs, _)| *needs)
    }

    /// How many kinds there are of which a task waits.
    #[cfg(test)]
    pub(super) fn filled(&self) -> usize {
        self.0.iter().filter(|(_, line)| line.len() > 0).count()
    }

    pub(super) fn clear(&mut self) {
        self.0.iter_mut().for_each(|(_, line)| *line = Line { known: line.known, ..Line::default() });
    }
}
