//! Why attempts come to nothing, how often a task may, and what the next attempt does otherwise.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::skills::Skills;

/// Whether trying again can help. Decided where the error is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FailureKind {
    /// It cannot: corrupt or unsupported input.
    Permanent,
    /// It can: memory, time, a disk.
    Retryable,
    /// The input killed the process that worked on it. Another may live through it, but few are to die of one input.
    Crash,
}

/// Why an attempt came to nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// Whether trying again can help.
    pub kind: FailureKind,
    /// A sentence for the user.
    pub message: String,
}

/// With which settings an attempt is made. It depends on what attempts before it failed of by themselves: workers that
/// were lost, put the task down or were stopped change nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Variant {
    /// As planned.
    Usual,
    /// An attempt has failed: with less memory and fewer threads at a time, for the same result.
    Cautious,
    /// The job fails with this attempt.
    Last,
}

/// How many times as many workers may be lost with a task that is a whole video's: it takes as long as its chunks together, and
/// the next worker goes on where the last one was.
const SOLE_LOSSES: u32 = 20;

/// Of what, and how often, a task's attempts came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Spent {
    /// Attempts that failed by themselves, crashes among them.
    pub failures: u32,
    /// Attempts that the input crashed.
    pub crashes: u32,
    /// Workers that were lost with the task.
    pub losses: u32,
}

impl Spent {
    pub(super) fn add(&mut self, kind: FailureKind) {
        self.failures = self.failures.saturating_add(1);
        if kind == FailureKind::Crash {
            self.crashes = self.crashes.saturating_add(1);
        }
    }

    /// Whether the job fails with it, by what the task needs.
    pub(super) fn is_too_much(self, config: &Config, needs: Skills) -> bool {
        let most_losses = config.max_losses.saturating_mul(if needs.meet(Skills::SOLE) { SOLE_LOSSES } else { 1 });
        self.failures >= config.max_attempts || self.crashes >= config.max_crashes || self.losses >= most_losses
    }

    /// How the next attempt is made.
    pub(super) fn variant(self, config: &Config) -> Variant {
        match self.failures {
            0 => Variant::Usual,
            failures if failures + 1 >= config.max_attempts => Variant::Last,
            _ if self.crashes > 0 && self.crashes + 1 >= config.max_crashes => Variant::Last,
            _ => Variant::Cautious,
        }
    }

    /// How long the task rests before its next attempt: five times as long each time, two minutes at most.
    pub(super) fn rest(self, config: &Config) -> Duration {
        let times = 5u32.saturating_pow(self.failures.saturating_sub(1));
        config.backoff.saturating_mul(times).min(Duration::from_secs(120)).max(config.backoff)
    }
}
