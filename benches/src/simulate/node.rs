//! A node: what it does with what it is told.

use std::collections::VecDeque;

use vtp_engine::coordinator::{Event, TaskId, WorkerId};
use vtp_engine::units::Attempt;

/// How many attempts back a node knows what it was told.
const MEMORY: usize = 8;

/// A node that works on one task at a time.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) worker: WorkerId,
    pub(super) is_gpu: bool,
    /// Against a core of speed 1.
    pub(super) speed: f64,
    pub(super) alive: bool,
    /// It can't be reached, and reaches nobody.
    pub(super) cut: bool,
    pub(super) draining: bool,
    /// Counts its deaths and cuts, so that what was to happen before is known by it.
    pub(super) epoch: u32,
    pub(super) doing: Option<Doing>,
    /// Since when it has nothing to do, in seconds.
    pub(super) idle_since: f64,
    /// What it was given or told to stop last: a message that comes again, or after that to stop, means nothing.
    seen: VecDeque<(TaskId, Attempt)>,
    /// What it will say when it can be heard again; heartbeats are not among it.
    pub(super) unsent: Vec<Event>,
}

/// What a node is at work on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doing {
    pub(super) task: TaskId,
    pub(super) attempt: Attempt,
    pub(super) since: f64,
}

impl Node {
    pub(super) fn new(worker: WorkerId, is_gpu: bool, speed: f64) -> Self {
        Self {
            worker,
            is_gpu,
            speed,
            alive: true,
            cut: false,
            draining: false,
            epoch: 0,
            doing: None,
            idle_since: 0.0,
            seen: VecDeque::new(),
            unsent: Vec::new(),
        }
    }

    /// Whether this is the first that it hears of an attempt.
    pub(super) fn notes(&mut self, task: TaskId, attempt: Attempt) -> bool {
        if self.seen.contains(&(task, attempt)) {
            return false;
        }
        if self.seen.len() == MEMORY {
            self.seen.pop_front();
        }
        self.seen.push_back((task, attempt));
        true
    }

    pub(super) fn is_doing(&self, task: TaskId, attempt: Attempt) -> bool {
        self.doing.is_some_and(|it| (it.task, it.attempt) == (task, attempt))
    }

    /// It starts, and knows nothing.
    pub(super) fn start(&mut self, speed: f64, now: f64) {
        (self.alive, self.draining, self.speed, self.idle_since) = (true, false, speed, now);
        self.epoch += 1;
    }

    /// It loses whatever it knew.
    pub(super) fn die(&mut self) {
        self.alive = false;
        self.epoch += 1;
        self.doing = None;
        self.unsent.clear();
        self.seen.clear();
    }
}
