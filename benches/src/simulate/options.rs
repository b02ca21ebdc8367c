//! What is simulated.

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Nodes, each of which does one task at a time.
    pub nodes: u64,
    /// Jobs at a time. They come within the first minute; where one ends another comes.
    pub jobs: u64,
    /// Jobs in all.
    pub total: u64,
    /// How many worlds.
    pub seeds: u64,
    /// The first one's seed; each further one has the next.
    pub seed: u64,
    /// Print every event of the coordinator and what it answers.
    pub trace: bool,
    /// Whether a straggler gets a second attempt.
    pub speculation: bool,
    /// Whether urgent tasks have others stopped.
    pub preemption: bool,
    /// Whether the coordinator is told when jobs are due.
    pub deadlines: bool,
    /// What goes wrong.
    pub trouble: Trouble,
}

/// What goes wrong, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    /// Share of the nodes that die in an hour, without a word; each is back after five minutes on average.
    pub deaths: f64,
    /// Share of the nodes that are told to drain in an hour; each is back after five minutes on average.
    pub drains: f64,
    /// Share of the nodes that are slow, each time they start.
    pub slow: f64,
    /// How fast these are.
    pub slow_speed: f64,
    /// How often in an hour a fiftieth of the nodes can't be reached, for 90 s on average.
    pub partitions: f64,
    /// Share of the messages that come twice.
    pub duplicates: f64,
    /// Share of the attempts that fail by themselves.
    pub failures: f64,
    /// Share of the jobs with a task that kills whatever works on it.
    pub poison: f64,
    /// Share of the jobs that are cancelled at some time.
    pub cancels: f64,
    /// Share of the nodes, and of the jobs, that are for GPUs.
    pub gpu: f64,
}

impl Trouble {
    /// What a fleet has to live with.
    pub fn usual() -> Self {
        Self {
            deaths: 0.01,
            drains: 0.0,
            slow: 0.05,
            slow_speed: 0.25,
            partitions: 2.0,
            duplicates: 0.01,
            failures: 0.0005,
            poison: 0.0,
            cancels: 0.0,
            gpu: 0.0,
        }
    }

    /// Everything at once, and much of it.
    pub fn harsh() -> Self {
        Self {
            deaths: 2.0,
            drains: 1.0,
            slow: 0.2,
            slow_speed: 0.25,
            partitions: 20.0,
            duplicates: 0.2,
            failures: 0.03,
            poison: 0.05,
            cancels: 0.1,
            gpu: 0.3,
        }
    }
}
