//! The tasks of a job that wait, those of equal needs together.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::units::ChunkIndex;

use super::skills::Skills;
use super::types::Cost;

/// The tasks of equal needs that wait, in order of their chunks and of their cost.
#[derive(Debug, Default)]
pub(super) struct Line {
    in_order: BTreeSet<ChunkIndex>,
    cost: u64,
    by_cost: BTreeSet<(Reverse<Cost>, ChunkIndex)>,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.in_order.len()
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

    /// What the costliest of each kind cost.
    pub(super) fn costliest(&self) -> impl Iterator<Item = (Skills, Cost)> {
        self.0.iter().filter_map(|(needs, line)| Some((*needs, line.by_cost.first()?.0.0)))
    }

    /// What all cost together.
    pub(super) fn cost(&self) -> Cost {
        Cost(self.0.iter().fold(0, |sum, (_, line)| sum.saturating_add(line.cost)))
    }

    /// Each kind of needs that a task ever had, in an order that stays. There are fewer than 64: a bit each in
    /// [`filled`](Self::filled).
    pub(super) fn kinds(&self) -> impl Iterator<Item = Skills> {
        self.0.iter().map(|(needs, _)| *needs)
    }

    /// A bit for each kind of which a task waits.
    pub(super) fn filled(&self) -> u64 {
        self.0.iter().rev().fold(0, |bits, (_, line)| bits << 1 | u64::from(line.len() > 0))
    }

    pub(super) fn clear(&mut self) {
        self.0.iter_mut().for_each(|(_, line)| *line = Line::default());
    }
}
