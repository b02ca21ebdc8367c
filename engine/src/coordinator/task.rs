//! One task and its leases. Knows nothing of workers but their numbers.

use crate::units::Attempt;

use super::config::Config;
use super::failure::{Spent, Variant};
use super::skills::Skills;
use super::types::{Cost, Now, WorkerId};

/// One task.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) cost: Cost,
    pub(super) needs: Skills,
    /// Who was given each attempt, the first at index 0.
    pub(super) holders: Vec<WorkerId>,
    pub(super) spent: Spent,
    /// Whether it was stopped for another's sake; it never is again.
    pub(super) was_preempted: bool,
    pub(super) state: TaskState,
}

/// Where a task stands; the module's document draws it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskState {
    /// It waits for a worker, not before `rests` is over. The result of a late attempt is still welcome.
    Waiting { late: Option<Attempt>, rests: Option<Now> },
    /// One or two attempts are under way.
    Running(Leases),
    /// It is done.
    Accepted { attempt: Attempt },
    /// Its job ended without it.
    Dropped,
}

/// A worker's right to work on a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) attempt: Attempt,
    pub(super) worker: WorkerId,
    /// What that worker can do.
    pub(super) skills: Skills,
    /// When it was given, or begun after it had waited.
    pub(super) started: Now,
    /// Whether it waits to be begun.
    pub(super) is_queued: bool,
    pub(super) expires: Now,
    pub(super) doubt: Doubt,
}

/// Whether an attempt takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Nobody can tell yet, or nobody asks.
    Unknown,
    /// From then on it does.
    From(Now),
    /// It does since then.
    Since(Now),
}

/// The leases of a task: one, or two while it is tried twice at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leases {
    first: Lease,
    second: Option<Lease>,
}

impl Leases {
    pub(super) fn one(first: Lease) -> Self {
        Self { first, second: None }
    }

    /// These, with a second one.
    pub(super) fn and(self, second: Lease) -> Self {
        Self { second: Some(second), ..self }
    }

    /// The only one, if there is just one.
    pub(super) fn only(&self) -> Option<Lease> {
        self.second.is_none().then_some(self.first)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Lease> + use<> {
        [Some(self.first), self.second].into_iter().flatten()
    }

    pub(super) fn get(&self, attempt: Attempt) -> Option<Lease> {
        self.iter().find(|lease| lease.attempt == attempt)
    }

    pub(super) fn get_mut(&mut self, attempt: Attempt) -> Option<&mut Lease> {
        [Some(&mut self.first), self.second.as_mut()].into_iter().flatten().find(|lease| lease.attempt == attempt)
    }

    /// The others than this attempt's.
    pub(super) fn without(self, attempt: Attempt) -> Option<Self> {
        let mut rest = self.iter().filter(|lease| lease.attempt != attempt);
        let first = rest.next()?;
        Some(Self { first, second: rest.next() })
    }
}

impl Task {
    pub(super) fn new(cost: Cost, needs: Skills) -> Self {
        Self {
            cost,
            needs,
            holders: Vec::new(),
            spent: Spent::default(),
            was_preempted: false,
            state: TaskState::Waiting { late: None, rests: None },
        }
    }

    /// The number of the last attempt, 0 before the first: how often the task was started.
    pub(super) fn attempts(&self) -> Attempt {
        Attempt(u32::try_from(self.holders.len()).unwrap_or(u32::MAX))
    }

    /// Whether this attempt was given to this worker.
    pub(super) fn was_leased(&self, attempt: Attempt, worker: WorkerId) -> bool {
        let place = attempt.0.checked_sub(1).map(|place| place as usize);
        place.and_then(|place| self.holders.get(place)) == Some(&worker)
    }

    /// The lease of this attempt, if it has one.
    pub(super) fn lease(&self, attempt: Attempt) -> Option<Lease> {
        match &self.state {
            TaskState::Running(leases) => leases.get(attempt),
            TaskState::Waiting { .. } | TaskState::Accepted { .. } | TaskState::Dropped => None,
        }
    }

    pub(super) fn lease_mut(&mut self, attempt: Attempt) -> Option<&mut Lease> {
        match &mut self.state {
            TaskState::Running(leases) => leases.get_mut(attempt),
            TaskState::Waiting { .. } | TaskState::Accepted { .. } | TaskState::Dropped => None,
        }
    }

    pub(super) fn leases(&self) -> impl Iterator<Item = Lease> + use<> {
        let leases = match &self.state {
            TaskState::Running(leases) => Some(*leases),
            TaskState::Waiting { .. } | TaskState::Accepted { .. } | TaskState::Dropped => None,
        };
        leases.into_iter().flat_map(|leases| leases.iter())
    }

    /// Whether the result of an attempt that has no lease is welcome.
    pub(super) fn awaits_late(&self, attempt: Attempt) -> bool {
        matches!(self.state, TaskState::Waiting { late, .. } if late == Some(attempt))
    }

    pub(super) fn variant(&self, config: &Config) -> Variant {
        self.spent.variant(config)
    }
}
