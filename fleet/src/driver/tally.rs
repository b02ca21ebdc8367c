//! What is counted of the records of a driver: how many tasks of each pool wait and for how long, how many are under way, how jobs
//! end. Pure; it says what to show, and shows nothing.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use vtp_engine::coordinator::{Now, Skills};

use crate::ledger::{Outcome, Record, Row, State};
use crate::messages::{AttemptId, Pool, Why};

/// The pool of tasks that none can do.
const NONE: &str = "none";

/// Jobs that are under way, as far as it takes to count.
#[derive(Debug)]
pub(super) struct Tally {
    pools: Vec<(Pool, Skills)>,
    jobs: HashMap<u64, Counted>,
    /// Of each pool, and last of those tasks that none can do.
    counts: Vec<Open>,
}

/// How many tasks of a pool have not ended.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Open {
    /// Those that nobody was given, or nobody has any longer.
    pub(super) waiting: usize,
    /// Those that somebody was given.
    pub(super) running: usize,
}

#[derive(Debug)]
struct Counted {
    since: Now,
    /// Its tasks that are not accepted.
    tasks: BTreeMap<u32, Task>,
}

#[derive(Debug)]
struct Task {
    /// Where its pool stands among the counts.
    pool: usize,
    /// The attempts that are under way.
    attempts: Vec<u32>,
}

/// One thing to be counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Tick {
    /// A task was given out for the first time, after so long.
    Waited {
        /// To whom.
        pool: String,
        /// How long.
        time: Duration,
    },
    /// An attempt was given out.
    Leased,
    /// A task is done.
    Accepted,
    /// An attempt has failed by itself.
    Failed(Why),
    /// A job has ended.
    Ended(&'static str),
}

impl Open {
    fn of(&mut self, task: &Task) -> &mut usize {
        if task.attempts.is_empty() { &mut self.waiting } else { &mut self.running }
    }
}

impl Tally {
    /// Nothing, for these pools.
    pub(super) fn new(pools: &BTreeMap<Pool, Skills>) -> Self {
        let pools: Vec<_> = pools.iter().map(|(pool, skills)| (pool.clone(), *skills)).collect();
        let counts = vec![Open::default(); pools.len() + 1];
        Self { pools, jobs: HashMap::new(), counts }
    }

    /// What the ledger knows, from `now` on.
    pub(super) fn restore(pools: &BTreeMap<Pool, Skills>, state: &State, now: Now) -> Self {
        let mut tally = Self::new(pools);
        for job in state.jobs().filter(|job| job.outcome.is_none()) {
            let open = |row: &&Row| job.tasks.get(&row.chunk).is_none_or(|task| task.accepted.is_none());
            tally.enter(job.submission.job, job.submission.tasks.iter().filter(open), now);
        }
        for (id, running) in state.running() {
            tally.begin(id, &running.pool);
        }
        tally
    }

    /// How many tasks of each pool have not ended.
    pub(super) fn pools(&self) -> impl Iterator<Item = (&str, Open)> {
        let names = self.pools.iter().map(|(pool, _)| pool.as_str()).chain([NONE]);
        names.zip(self.counts.iter().copied())
    }

    /// Jobs that have not ended.
    pub(super) fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Takes note of a record.
    pub(super) fn take(&mut self, record: &Record, now: Now) -> Vec<Tick> {
        match record {
            Record::Submitted(submission) => {
                self.enter(submission.job, submission.tasks.iter(), now);
                Vec::new()
            }
            Record::Leased { id, pool, .. } => {
                let since = self.jobs.get(&id.job).map_or(now, |job| job.since);
                self.begin(*id, pool);
                let waited = Tick::Waited { pool: pool.to_string(), time: now.0.saturating_sub(since.0) };
                let first = (id.attempt == 1).then_some(waited);
                [Tick::Leased].into_iter().chain(first).collect()
            }
            Record::Accepted { id, .. } => {
                if let Some(task) = self.jobs.get_mut(&id.job).and_then(|job| job.tasks.remove(&id.chunk)) {
                    *self.counts[task.pool].of(&task) -= 1;
                }
                vec![Tick::Accepted]
            }
            Record::Failed { id, why } => {
                self.end(*id);
                vec![Tick::Failed(*why)]
            }
            Record::Ended { job, outcome } => {
                for task in self.jobs.remove(job).into_iter().flat_map(|job| job.tasks.into_values()) {
                    *self.counts[task.pool].of(&task) -= 1;
                }
                vec![Tick::Ended(match outcome {
                    Outcome::Done => "done",
                    Outcome::Failed { .. } => "failed",
                    Outcome::Cancelled => "cancelled",
                })]
            }
            Record::Claimed { .. } | Record::Forgotten { .. } | Record::Kept(_) => Vec::new(),
        }
    }

    /// Takes note that an attempt is under way no longer: it has failed, was handed back or lost.
    pub(super) fn end(&mut self, id: AttemptId) {
        self.change(id, |task| task.attempts.retain(|attempt| *attempt != id.attempt));
    }

    fn begin(&mut self, id: AttemptId, pool: &Pool) {
        let place = self.pools.iter().position(|(it, _)| it == pool);
        self.change(id, |task| {
            task.pool = place.unwrap_or(task.pool);
            task.attempts.push(id.attempt);
        });
    }

    fn enter<'a>(&mut self, job: u64, rows: impl Iterator<Item = &'a Row>, since: Now) {
        let mut tasks = BTreeMap::new();
        for row in rows {
            let pool = self.pools.iter().position(|(_, skills)| skills.cover(row.needs())).unwrap_or(self.pools.len());
            let task = Task { pool, attempts: Vec::new() };
            *self.counts[pool].of(&task) += 1;
            tasks.insert(row.chunk, task);
        }
        self.jobs.insert(job, Counted { since, tasks });
    }

    fn change(&mut self, id: AttemptId, change: impl FnOnce(&mut Task)) {
        let Some(task) = self.jobs.get_mut(&id.job).and_then(|job| job.tasks.get_mut(&id.chunk)) else { return };
        *self.counts[task.pool].of(task) -= 1;
        change(task);
        *self.counts[task.pool].of(task) += 1;
    }
}

#[cfg(test)]
mod tests {
    use vtp_engine::coordinator::{Cost, Skill};

    use super::*;
    use crate::ledger::Submission;
    use crate::messages::TraceContext;

    fn pool(name: &str) -> Pool {
        Pool::new(name).expect("a name")
    }

    /// How many tasks of the pool "cpu" wait and are under way, of those that there are no others.
    fn counts(tally: &Tally) -> (usize, usize) {
        let counts: BTreeMap<&str, Open> = tally.pools().collect();
        assert_eq!((counts["splitter"], counts[NONE]), (Open::default(), Open::default()));
        (counts["cpu"].waiting, counts["cpu"].running)
    }

    fn at(seconds: u64) -> Now {
        Now(Duration::from_secs(seconds))
    }

    fn leased(chunk: u32, attempt: u32) -> Record {
        Record::Leased { id: AttemptId { job: 1, chunk, attempt }, worker: 7, pool: pool("cpu") }
    }

    #[test]
    fn tasks_wait_are_given_out_and_done_and_what_is_left_goes_with_the_job() {
        let pools = BTreeMap::from([
            (pool("cpu"), Skills::NONE.with(Skill::Cpu)),
            (pool("splitter"), Skills::NONE.with(Skill::Split)),
        ]);
        let mut tally = Tally::new(&pools);
        let rows = (0..3).map(|chunk| Row::new(chunk, Cost(1), Skills::NONE.with(Skill::Cpu), Vec::new()));
        let submission = Submission {
            job: 1,
            user: 1,
            weight: 1,
            priority: 5,
            deadline_ms: None,
            fetch: Vec::new(),
            deliver: Vec::new(),
            trace: TraceContext::NONE,
            tasks: rows.collect(),
        };
        tally.take(&Record::Submitted(submission), at(10));
        assert_eq!((counts(&tally), tally.jobs()), ((3, 0), 1));
        let waited = Tick::Waited { pool: "cpu".to_owned(), time: Duration::from_secs(4) };
        assert_eq!(tally.take(&leased(0, 1), at(14)), [Tick::Leased, waited]);
        assert_eq!(tally.take(&leased(0, 2), at(40)), [Tick::Leased], "a second attempt has not waited");
        tally.take(&leased(1, 1), at(14));
        assert_eq!(counts(&tally), (1, 2));
        tally.end(AttemptId { job: 1, chunk: 0, attempt: 1 });
        assert_eq!(counts(&tally), (1, 2), "the second goes on");
        let failed = Record::Failed { id: AttemptId { job: 1, chunk: 1, attempt: 1 }, why: Why::Crash };
        assert_eq!(tally.take(&failed, at(15)), [Tick::Failed(Why::Crash)]);
        let accepted = Record::Accepted { id: AttemptId { job: 1, chunk: 0, attempt: 2 }, result: Vec::new() };
        assert_eq!(tally.take(&accepted, at(50)), [Tick::Accepted]);
        assert_eq!(counts(&tally), (2, 0));
        tally.take(&leased(1, 2), at(50));
        assert_eq!(counts(&tally), (1, 1));
        tally.end(AttemptId { job: 1, chunk: 1, attempt: 2 });
        assert_eq!(counts(&tally), (2, 0), "what was lost with its node waits again");
        let ended = Record::Ended { job: 1, outcome: Outcome::Cancelled };
        assert_eq!(tally.take(&ended, at(51)), [Tick::Ended("cancelled")]);
        assert_eq!((counts(&tally), tally.jobs()), ((0, 0), 0));
    }
}
