//! How long a job's tasks take, learned from those that were accepted. Sums of whole numbers, so no order matters.

use std::time::Duration;

use super::config::Speculation;
use super::types::Cost;

/// How many tasks have to be known before they say something of how long others take.
const HANDFUL: u32 = 3;

/// How long a task, or the longest of some, takes by what is usual, in microseconds; 0 as long as that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Length(pub(super) u64);

/// What the accepted tasks of a job cost and took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    samples: u32,
    cost: u64,
    micros: u64,
}

impl Pace {
    /// Takes note of a task. The first to be known are those that are done first; that they are also the quick ones is
    /// made good by their cost, which is known beforehand.
    pub(super) fn learn(&mut self, cost: Cost, took: Duration) {
        self.samples = self.samples.saturating_add(1);
        self.cost = self.cost.saturating_add(cost.0);
        self.micros = self.micros.saturating_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Whether it has just become known what is usual.
    pub(super) fn is_new(&self, rule: &Speculation) -> bool {
        self.samples == rule.samples.max(1)
    }

    /// How long an attempt may take before it takes too long; `None` as long as too little is known.
    pub(super) fn patience(&self, cost: Cost, rule: &Speculation) -> Option<Duration> {
        Duration::try_from_secs_f64(self.usual(cost, rule)? * rule.factor.max(1.0)).ok()
    }

    /// How many times what is usual a task took that took so long.
    pub(super) fn times(&self, cost: Cost, took: Duration, rule: &Speculation) -> Option<f64> {
        Some(took.as_secs_f64() / self.usual(cost, rule).filter(|usual| *usual > 0.0)?)
    }

    /// How long a task takes by what is usual, from a handful of tasks on.
    pub(super) fn length(&self, cost: Cost) -> Length {
        if self.samples < HANDFUL || self.cost == 0 {
            return Length::default();
        }
        let micros = u128::from(self.micros) * u128::from(cost.0) / u128::from(self.cost);
        Length(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// What is usual, in seconds.
    fn usual(&self, cost: Cost, rule: &Speculation) -> Option<f64> {
        let is_known = self.samples >= rule.samples.max(1) && self.cost > 0;
        is_known.then(|| self.micros as f64 * cost.0 as f64 / self.cost as f64 / 1e6)
    }
}
