//! What is measured of a simulated fleet, and the bounds that it is held against.

/// What happened in one world.
#[derive(Clone, Debug, Default)]
pub(super) struct Measures {
    /// When the last job was done, in seconds.
    pub(super) makespan: f64,
    /// No fleet with these nodes could have been done sooner.
    pub(super) bound: f64,
    /// From a job's arrival to its end, in seconds, sorted.
    pub(super) latencies: Vec<f64>,
    /// Jobs that were due and done, and those of them that were late.
    pub(super) due: u64,
    pub(super) late: u64,
    /// From the arrival of each urgent job to the start of its first task, in seconds, sorted.
    pub(super) urgent: Vec<f64>,
    /// How long each start came after a task waited and its node had nothing to do, in seconds, sorted.
    pub(super) gaps: Vec<f64>,
    /// Seconds of nodes that were alive while tasks waited, and of those at work.
    pub(super) alive: f64,
    pub(super) at_work: f64,
    /// Seconds of nodes at attempts that were accepted, and at all.
    pub(super) useful: f64,
    pub(super) worked: f64,
    /// Attempts started, those of them that were not a task's first, and tasks.
    pub(super) starts: u64,
    pub(super) again: u64,
    pub(super) tasks: u64,
    /// Events that the coordinator was told.
    pub(super) events: u64,
}

impl Measures {
    pub(super) fn utilisation(&self) -> f64 {
        self.at_work / self.alive.max(f64::MIN_POSITIVE)
    }

    pub(super) fn waste(&self) -> f64 {
        1.0 - self.useful / self.worked.max(f64::MIN_POSITIVE)
    }

    pub(super) fn lateness(&self) -> f64 {
        self.late as f64 / self.due.max(1) as f64
    }

    pub(super) fn to_bound(&self) -> f64 {
        self.makespan / self.bound.max(f64::MIN_POSITIVE)
    }
}

/// The value that `share` of the sorted values do not exceed.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.max(1) - 1).copied().unwrap_or_default()
}

/// How fast all nodes together were at which time: steps, each from its moment on.
#[derive(Clone, Debug, Default)]
pub(super) struct Capacity {
    steps: Vec<(f64, f64)>,
}

impl Capacity {
    /// From `at` on the nodes together are faster by `by`. Moments are given in order.
    pub(super) fn change(&mut self, at: f64, by: f64) {
        let total = self.steps.last().map_or(0.0, |(_, total)| *total);
        self.steps.push((at, total + by));
    }

    /// When `work` is done that begins at `from`, if nobody ever idles.
    fn done(&self, from: f64, mut work: f64) -> f64 {
        let mut now = from;
        for (place, (_, speed)) in self.steps.iter().enumerate() {
            let until = self.steps.get(place + 1).map_or(f64::INFINITY, |(at, _)| *at);
            if until <= now {
                continue;
            }
            let could = (until - now) * speed;
            if could >= work {
                return now + work / speed;
            }
            (work, now) = (work - could, until);
        }
        f64::INFINITY
    }

    /// When jobs could be done at the soonest. Each is its arrival, its work and the work of its longest task, in seconds
    /// of a core of speed 1; no node is faster than `top`.
    ///
    /// The latest of two kinds of moments: all work that came at or after some arrival, done by all nodes there were from
    /// then on, none of which ever idles; and each job's longest task, done at once by the fastest node.
    pub(super) fn bound(&self, jobs: &[(f64, f64, f64)], top: f64) -> f64 {
        let mut jobs = jobs.to_vec();
        jobs.sort_by(|one, other| other.0.total_cmp(&one.0));
        let mut work = 0.0;
        let since = |(at, its, _): &(f64, f64, f64)| {
            work += its;
            self.done(*at, work)
        };
        let together = jobs.iter().map(since).fold(0.0, f64::max);
        jobs.iter().map(|(at, _, longest)| at + longest / top).fold(together, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_as_long_as_all_nodes_together_need() {
        let mut capacity = Capacity::default();
        capacity.change(0.0, 2.0);
        capacity.change(10.0, 2.0);
        assert_eq!(capacity.done(0.0, 10.0), 5.0);
        assert_eq!(capacity.done(0.0, 40.0), 15.0);
        assert_eq!(capacity.done(5.0, 10.0), 10.0);
        assert_eq!(capacity.done(20.0, 4.0), 21.0);
    }

    #[test]
    fn the_bound_knows_late_jobs_and_long_tasks() {
        let mut capacity = Capacity::default();
        capacity.change(0.0, 10.0);
        assert_eq!(capacity.bound(&[(0.0, 100.0, 1.0)], 1.0), 10.0);
        assert_eq!(capacity.bound(&[(0.0, 100.0, 1.0), (50.0, 10.0, 1.0)], 1.0), 51.0);
        assert_eq!(capacity.bound(&[(0.0, 100.0, 30.0)], 2.0), 15.0);
    }

    #[test]
    fn quantiles_are_values_that_are_there() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.99), quantile(&[], 0.5)), (100.0, 198.0, 0.0));
    }
}
