//! The coordinator's settings.

use std::time::Duration;

/// The coordinator's settings.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Config {
    /// How long a worker may be silent before its task is given to another.
    pub lease: Duration,
    /// How often a task may fail by itself before its job does; at least once.
    pub max_attempts: u32,
    /// How often a task may kill the process that works on it before its job fails; at least once.
    pub max_crashes: u32,
    /// How many workers may be lost with a task before it is blamed for it and its job fails; at least one.
    pub max_losses: u32,
    /// How long a task rests after its first failure.
    pub backoff: Duration,
    /// When a task that takes long gets a second attempt beside the first; never without.
    pub speculation: Option<Speculation>,
    /// When an attempt is stopped for the sake of a more urgent task; never without.
    pub preemption: Option<Preemption>,
}

/// When a task that takes long gets a second attempt beside the first: when it has taken `factor` times what the job's
/// tasks take by their cost, and a worker has nothing else to do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Speculation {
    /// How many times what is usual.
    pub factor: f64,
    /// How many tasks of a job have to be accepted before it is known what is usual; at least one.
    pub samples: u32,
}

/// When an attempt is stopped for the sake of a more urgent task: only when no worker is idle or has a place for it, no
/// sooner than `every` after the last time, and never twice the same task. What was not begun loses nothing by it: it has a
/// time of its own, and may be stopped however often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Preemption {
    /// By how many priorities the waiting task has to be more urgent.
    pub gap: u8,
    /// How long it takes from one to the next.
    pub every: Duration,
}

impl Config {
    /// For a fleet: leases of 30 s; three attempts, two crashes, five lost workers; a second of rest, then five; a second
    /// attempt after one and a half times what is usual; a preemption in five seconds, over three priorities.
    pub fn fleet() -> Self {
        Self {
            max_crashes: 2,
            backoff: Duration::from_secs(1),
            speculation: Some(Speculation { factor: 1.5, samples: 3 }),
            preemption: Some(Preemption { gap: 3, every: Duration::from_secs(5) }),
            ..Self::default()
        }
    }
}

impl Default for Config {
    /// For the threads of one process: leases of 30 s; three attempts, whatever they fail of; no rest, no second attempts
    /// beside first ones, no preemption.
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            max_attempts: 3,
            max_crashes: 3,
            max_losses: 5,
            backoff: Duration::ZERO,
            speculation: None,
            preemption: None,
        }
    }
}
