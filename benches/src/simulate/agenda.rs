//! What happens when, in virtual time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use vtp_engine::coordinator::{Event, TaskId};
use vtp_engine::units::Attempt;

/// What happens.
#[derive(Debug)]
pub(super) enum What {
    /// A job comes, by its place.
    Arrives(usize),
    /// A user cancels it.
    Cancelled(usize),
    /// A message comes to the coordinator's driver from this node.
    Heard(usize, Event),
    /// A node is told to start an attempt.
    Start(usize, TaskId, Attempt),
    /// A node is told to put one down.
    Stop(usize, TaskId, Attempt),
    /// A node is done with what it did in this epoch.
    Over(usize, u32, TaskId, Attempt),
    /// A node shows that it is at work.
    Beats(usize, u32, TaskId, Attempt),
    /// A node dies.
    Dies(usize),
    /// One that was dead or drained starts.
    Starts(usize),
    /// A node is told that it is to drain.
    Drains(usize),
    /// Some nodes are cut off.
    Parts,
    /// They are not any more.
    Heals(Vec<usize>),
    /// If nothing was heard of a node since that epoch, it counts as gone.
    Missed(usize, u32),
    /// The coordinator asked to be called.
    Tick,
}

/// Moments in microseconds.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Reverse<Item>>,
    count: u64,
}

#[derive(Debug)]
struct Item {
    at: u64,
    number: u64,
    what: What,
}

impl Agenda {
    /// Of two things at the same time, the one comes first that was entered first.
    pub(super) fn add(&mut self, at: f64, what: What) {
        self.count += 1;
        self.heap.push(Reverse(Item { at: micros(at), number: self.count, what }));
    }

    pub(super) fn pop(&mut self) -> Option<(u64, What)> {
        self.heap.pop().map(|Reverse(Item { at, what, .. })| (at, what))
    }
}

/// Seconds as microseconds, rounded up: what is due is due.
pub(super) fn micros(seconds: f64) -> u64 {
    (seconds * 1e6).ceil() as u64
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
