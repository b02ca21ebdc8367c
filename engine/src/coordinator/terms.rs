//! On which terms a job is served: whose it is, how urgent, until when.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::types::{Cost, Now, UserId};

/// How urgent a job is, from 1, the most urgent, to 10.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

/// A number that is no priority.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0} is no priority: they go from 1, the most urgent, to 10")]
pub struct NoPriority(u8);

impl Priority {
    /// The most urgent.
    pub const HIGHEST: Self = Self(1);
    /// The least urgent.
    pub const LOWEST: Self = Self(10);

    /// As a number from 1 to 10.
    pub fn get(self) -> u8 {
        self.0
    }

    /// Whether this is more urgent than `other` by at least `steps`.
    pub(super) fn precedes(self, other: Self, steps: u8) -> bool {
        self.0.saturating_add(steps) <= other.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(5)
    }
}

impl TryFrom<u8> for Priority {
    type Error = NoPriority;

    fn try_from(number: u8) -> Result<Self, NoPriority> {
        if (1..=10).contains(&number) { Ok(Self(number)) } else { Err(NoPriority(number)) }
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

/// How large a user's share is against those of others: twice the weight, twice the work under way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Weight(pub NonZeroU32);

impl Weight {
    /// What this much work is to a user of this weight.
    pub(super) fn share(self, cost: Cost) -> Cost {
        Cost(cost.0 / u64::from(self.0.get()))
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(NonZeroU32::MIN)
    }
}

/// On which terms a job is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Terms {
    /// Whose job it is. Users of one priority take turns, and then the jobs of each.
    pub user: UserId,
    /// The user's weight from now on, for all jobs.
    pub weight: Weight,
    /// How urgent it is.
    pub priority: Priority,
    /// When it should be done. Of a user's jobs of one priority, the one that is due first is served first; its user
    /// gets no larger share by it. Once missed, it counts no more.
    pub deadline: Option<Now>,
}
