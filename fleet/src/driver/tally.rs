//! What is counted of the records of a driver: how many tasks wait and for how long, how many are under way, how jobs end. Pure; it
//! says what to show, and shows nothing.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use vtp_engine::coordinator::Now;

use crate::ledger::{Outcome, Record, State};
use crate::messages::{AttemptId, Why};

/// Jobs that are under way, as far as it takes to count.
#[derive(Debug, Default)]
pub(super) struct Tally {
    jobs: HashMap<u64, Counted>,
    waiting: usize,
    running: usize,
}

#[derive(Debug)]
struct Counted {
    since: Now,
    /// Its tasks that are not accepted, and how many attempts at each are under way or may be.
    tasks: BTreeMap<u32, Standing>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    Waiting,
    Running,
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

impl Tally {
    /// What the ledger knows, from `now` on.
    pub(super) fn restore(state: &State, now: Now) -> Self {
        let mut tally = Self::default();
        for job in state.jobs().filter(|job| job.outcome.is_none()) {
            let open = job.tasks.iter().filter(|(_, task)| task.accepted.is_none());
            let standing = |running: bool| if running { Standing::Running } else { Standing::Waiting };
            let tasks: BTreeMap<u32, Standing> =
                open.map(|(chunk, task)| (*chunk, standing(!task.running.is_empty()))).collect();
            tally.enter(job.submission.job, Counted { since: now, tasks });
        }
        tally
    }

    /// Tasks that nobody was given.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Tasks that somebody was given.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Jobs that have not ended.
    pub(super) fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Takes note of a record.
    pub(super) fn take(&mut self, record: &Record, now: Now) -> Vec<Tick> {
        match record {
            Record::Submitted(submission) => {
                let tasks = submission.tasks.iter().map(|row| (row.chunk, Standing::Waiting)).collect();
                self.enter(submission.job, Counted { since: now, tasks });
                Vec::new()
            }
            Record::Leased { id, pool, .. } => {
                let since = self.jobs.get(&id.job).map_or(now, |job| job.since);
                self.set(*id, Some(Standing::Running));
                let waited = Tick::Waited { pool: pool.to_string(), time: now.0.saturating_sub(since.0) };
                let first = (id.attempt == 1).then_some(waited);
                [Tick::Leased].into_iter().chain(first).collect()
            }
            Record::Accepted { id, .. } => {
                self.set(*id, None);
                vec![Tick::Accepted]
            }
            Record::Failed { id, why } => {
                self.set(*id, Some(Standing::Waiting));
                vec![Tick::Failed(*why)]
            }
            Record::Ended { job, outcome } => {
                self.leave(*job);
                vec![Tick::Ended(match outcome {
                    Outcome::Done => "done",
                    Outcome::Failed { .. } => "failed",
                    Outcome::Cancelled => "cancelled",
                })]
            }
            Record::Claimed { .. } | Record::Forgotten { .. } | Record::Kept(_) => Vec::new(),
        }
    }

    fn enter(&mut self, job: u64, counted: Counted) {
        for standing in counted.tasks.values() {
            *self.place(*standing) += 1;
        }
        self.jobs.insert(job, counted);
    }

    fn leave(&mut self, job: u64) {
        for standing in self.jobs.remove(&job).into_iter().flat_map(|job| job.tasks.into_values()) {
            *self.place(standing) -= 1;
        }
    }

    fn set(&mut self, id: AttemptId, standing: Option<Standing>) {
        let Some(tasks) = self.jobs.get_mut(&id.job).map(|job| &mut job.tasks) else { return };
        let before = match standing {
            Some(standing) => tasks.get_mut(&id.chunk).map(|it| std::mem::replace(it, standing)),
            None => tasks.remove(&id.chunk),
        };
        let Some(before) = before else { return };
        *self.place(before) -= 1;
        if let Some(standing) = standing {
            *self.place(standing) += 1;
        }
    }

    fn place(&mut self, standing: Standing) -> &mut usize {
        match standing {
            Standing::Waiting => &mut self.waiting,
            Standing::Running => &mut self.running,
        }
    }
}

#[cfg(test)]
mod tests {
    use vtp_engine::coordinator::{Cost, Skills};

    use super::*;
    use crate::ledger::{Row, Submission};
    use crate::messages::{Pool, TraceContext};

    fn at(seconds: u64) -> Now {
        Now(Duration::from_secs(seconds))
    }

    fn leased(chunk: u32, attempt: u32) -> Record {
        let pool = Pool::new("cpu").expect("a name");
        Record::Leased { id: AttemptId { job: 1, chunk, attempt }, worker: 7, pool }
    }

    #[test]
    fn tasks_wait_are_given_out_and_done_and_what_is_left_goes_with_the_job() {
        let mut tally = Tally::default();
        let rows = (0..3).map(|chunk| Row::new(chunk, Cost(1), Skills::NONE, Vec::new()));
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
        assert_eq!((tally.waiting(), tally.running(), tally.jobs()), (3, 0, 1));
        let waited = Tick::Waited { pool: "cpu".to_owned(), time: Duration::from_secs(4) };
        assert_eq!(tally.take(&leased(0, 1), at(14)), [Tick::Leased, waited]);
        assert_eq!(tally.take(&leased(0, 2), at(40)), [Tick::Leased], "a second attempt has not waited");
        tally.take(&leased(1, 1), at(14));
        assert_eq!((tally.waiting(), tally.running()), (1, 2));
        let failed = Record::Failed { id: AttemptId { job: 1, chunk: 1, attempt: 1 }, why: Why::Crash };
        assert_eq!(tally.take(&failed, at(15)), [Tick::Failed(Why::Crash)]);
        let accepted = Record::Accepted { id: AttemptId { job: 1, chunk: 0, attempt: 2 }, result: Vec::new() };
        assert_eq!(tally.take(&accepted, at(50)), [Tick::Accepted]);
        assert_eq!((tally.waiting(), tally.running()), (2, 0));
        let ended = Record::Ended { job: 1, outcome: Outcome::Cancelled };
        assert_eq!(tally.take(&ended, at(51)), [Tick::Ended("cancelled")]);
        assert_eq!((tally.waiting(), tally.running(), tally.jobs()), (0, 0, 0));
    }
}
