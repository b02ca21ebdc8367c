//! The workers: what each is doing, and which of them are free for what.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::units::Attempt;

use super::config::Speculation;
use super::skills::Skills;
use super::terms::Priority;
use super::types::{Now, TaskId, WorkerId};

/// What a worker is doing, as far as the coordinator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Idle,
    Leased(TaskId, Attempt),
    /// Its lease ran out. What it makes may still be welcome.
    Silent(TaskId, Attempt),
    /// It was told to stop.
    Stopping(TaskId, Attempt),
}

impl Slot {
    pub(super) fn holds(self, task: TaskId, attempt: Attempt) -> bool {
        match self {
            Self::Idle => false,
            Self::Leased(it, its) | Self::Silent(it, its) | Self::Stopping(it, its) => (it, its) == (task, attempt),
        }
    }
}

/// A worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worker {
    pub(super) slot: Slot,
    pub(super) skills: Skills,
    /// It takes no more work.
    pub(super) draining: bool,
    pub(super) tardiness: Tardiness,
    /// What it does takes too long from the start.
    pub(super) is_slow: bool,
}

impl Worker {
    /// One that is idle, and of which nothing is known.
    pub(super) fn new(skills: Skills, draining: bool) -> Self {
        Self { slot: Slot::Idle, skills, draining, tardiness: Tardiness::default(), is_slow: false }
    }
}

/// How many times what is usual a worker's tasks take, the last ones more than those before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tardiness(f64);

impl Tardiness {
    /// Takes note of a task that took so many times what is usual.
    pub(super) fn learn(&mut self, times: f64) {
        self.0 += (times - self.0) / 2.0;
    }

    /// Whether what it does takes too long from the start.
    fn is_slow(self, rule: &Speculation) -> bool {
        self.0 >= rule.factor.max(1.0)
    }
}

impl Default for Tardiness {
    fn default() -> Self {
        Self(1.0)
    }
}

/// An attempt that may be stopped for the sake of a more urgent task: the least urgent first, then the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Victim {
    pub(super) priority: Reverse<Priority>,
    pub(super) started: Reverse<Now>,
    pub(super) task: TaskId,
    pub(super) attempt: Attempt,
}

/// The workers that can do the same.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) skills: Skills,
    /// Those that have nothing to do, and may have; slow ones last.
    idle: BTreeSet<(bool, WorkerId)>,
    /// Those that are not draining.
    present: usize,
    /// How many attempts they were given for their turn.
    pub(super) starts: u64,
    /// What they are at, as far as it may be stopped for the sake of a more urgent task.
    pub(super) begun: BTreeSet<Victim>,
    /// What they have that is not begun.
    pub(super) queued: BTreeSet<Victim>,
}

/// All workers.
#[derive(Debug, Default)]
pub(super) struct Crew {
    workers: BTreeMap<WorkerId, Worker>,
    /// Those that can do least first: they are served first, so that others stay free for what only they can do.
    classes: Vec<Class>,
}

impl Crew {
    pub(super) fn get(&self, worker: WorkerId) -> Option<Worker> {
        self.workers.get(&worker).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (WorkerId, Worker)> {
        self.workers.iter().map(|(id, worker)| (*id, *worker))
    }

    pub(super) fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// How many workers can do what needs `needs`.
    pub(super) fn able(&self, needs: Skills) -> usize {
        self.classes.iter().filter(|class| class.skills.cover(needs)).map(|class| class.present).sum()
    }

    pub(super) fn insert(&mut self, id: WorkerId, worker: Worker) {
        let class = self.class_mut(worker.skills);
        if !worker.draining {
            class.present += 1;
            if worker.slot == Slot::Idle {
                class.idle.insert((worker.is_slow, id));
            }
        }
        self.workers.insert(id, worker);
    }

    pub(super) fn remove(&mut self, id: WorkerId) -> Option<Worker> {
        let worker = self.workers.remove(&id)?;
        let class = self.class_mut(worker.skills);
        if !worker.draining {
            class.present -= 1;
            class.idle.remove(&(worker.is_slow, id));
        }
        Some(worker)
    }

    pub(super) fn set_slot(&mut self, id: WorkerId, slot: Slot) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let was_idle = std::mem::replace(&mut worker.slot, slot) == Slot::Idle;
        let Worker { skills, draining, is_slow, .. } = *worker;
        let idle = &mut self.class_mut(skills).idle;
        match (was_idle, slot == Slot::Idle) {
            (false, true) if !draining => drop(idle.insert((is_slow, id))),
            (true, false) => drop(idle.remove(&(is_slow, id))),
            (true, true) | (false, _) => {}
        }
    }

    /// Takes note that a worker's task took so many times what is usual.
    pub(super) fn learn(&mut self, id: WorkerId, times: f64, rule: &Speculation) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.tardiness.learn(times);
        let is_slow = worker.tardiness.is_slow(rule);
        if is_slow != worker.is_slow
            && let Some(worker) = self.remove(id)
        {
            self.insert(id, Worker { is_slow, ..worker });
        }
    }

    /// The class with these skills, at first without workers.
    pub(super) fn class_mut(&mut self, skills: Skills) -> &mut Class {
        let key = |skills: Skills| (skills.count(), skills);
        let place =
            self.classes.binary_search_by_key(&key(skills), |class| key(class.skills)).unwrap_or_else(|place| {
                let (idle, begun, queued) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
                self.classes.insert(place, Class { skills, idle, present: 0, starts: 0, begun, queued });
                place
            });
        &mut self.classes[place]
    }
}

impl Class {
    /// Those that may be stopped and are begun, or are not.
    pub(super) fn victims_mut(&mut self, is_queued: bool) -> &mut BTreeSet<Victim> {
        if is_queued { &mut self.queued } else { &mut self.begun }
    }

    pub(super) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Whether those that are idle are slow.
    pub(super) fn is_slow(&self) -> bool {
        self.idle.first().is_some_and(|(is_slow, _)| *is_slow)
    }

    /// One that is idle; not the one that had this task last, if there is another as fast.
    pub(super) fn idle_worker(&self, last: Option<WorkerId>) -> Option<WorkerId> {
        let first = *self.idle.first()?;
        let other = self.idle.iter().find(|(is_slow, id)| *is_slow == first.0 && Some(*id) != last);
        Some(other.unwrap_or(&first).1)
    }
}
