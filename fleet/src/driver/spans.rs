//! The spans of a driver: a job from when it was taken until it has ended, and in it each attempt from when it was given out until
//! it counts or counts no longer. Pure: the clock is a parameter, and what becomes of a span is the concern of a [`SpanSink`].
//!
//! Their numbers follow from the submission, which the ledger keeps ([`TraceContext::below`]). So a driver that was started anew goes
//! on with the same trace, and what nodes did for the one before is below spans that come to be; they begin with its own life.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::SystemTime;

use crate::ledger::{Outcome, Record, State, Submission};
use crate::messages::{AttemptId, Pool, TraceContext, Why};

/// Who makes something of spans. It is called from the driver's loop, so it must not wait.
pub trait SpanSink: fmt::Debug + Send + 'static {
    /// A span has ended.
    fn ended(&self, span: Span);
}

/// A span that has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// Itself.
    pub context: TraceContext,
    /// What it is below.
    pub parent: TraceContext,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// What it is of.
    pub of: Of,
    /// What came of that.
    pub end_by: EndBy,
}

/// What a span is of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Of {
    /// A job.
    Job {
        /// Its number.
        job: u64,
        /// How many tasks it has.
        tasks: usize,
    },
    /// One try at a task.
    Attempt {
        /// Which.
        id: AttemptId,
        /// Whose nodes it was given to.
        pool: Pool,
    },
}

/// How something ended that has a span.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EndBy {
    /// It is done, and counts.
    Done,
    /// It came to nothing by itself.
    Failed(String),
    /// Nobody wants it any longer.
    Cancelled,
    /// Another attempt was first.
    Superseded,
    /// It was handed back, or its node was lost.
    PutDown,
}

/// The span of a job.
pub(super) fn of_job(submission: &Submission) -> TraceContext {
    submission.trace.below(&format!("job {}", submission.job))
}

/// The span of an attempt at one of its tasks.
pub(super) fn of_attempt(submission: &Submission, id: AttemptId) -> TraceContext {
    of_job(submission).below(&format!("attempt {id}"))
}

/// What is under way and traced.
#[derive(Debug, Default)]
pub(super) struct Spans {
    jobs: HashMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    /// Without its tasks.
    submission: Submission,
    tasks: usize,
    since: SystemTime,
    attempts: BTreeMap<AttemptId, (Pool, SystemTime)>,
}

impl Spans {
    /// What the ledger knows, from `now` on.
    pub(super) fn restore(state: &State, now: SystemTime) -> Self {
        let mut spans = Self::default();
        for job in state.jobs().filter(|job| job.outcome.is_none()) {
            spans.enter(&job.submission, now);
        }
        for (id, running) in state.running() {
            spans.lease(id, &running.pool, now);
        }
        spans
    }

    /// Takes note of a record. What ended by it.
    pub(super) fn take(&mut self, record: &Record, now: SystemTime) -> Vec<Span> {
        match record {
            Record::Submitted(submission) => {
                self.enter(submission, now);
                Vec::new()
            }
            Record::Leased { id, pool, .. } => {
                self.lease(*id, pool, now);
                Vec::new()
            }
            Record::Accepted { id, .. } => self.accepted(*id, now),
            Record::Failed { id, why } => {
                let why = match why {
                    Why::Permanent => "it failed, and would again",
                    Why::Retryable => "it failed, and may not again",
                    Why::Crash => "what worked on it crashed",
                };
                self.end(*id, &EndBy::Failed(why.to_owned()), now).into_iter().collect()
            }
            Record::Ended { job, outcome } => self.leave(*job, outcome, now),
            Record::Claimed { .. } | Record::Forgotten { .. } | Record::Kept(_) => Vec::new(),
        }
    }

    /// Takes note that an attempt was handed back or lost, if it has not ended before.
    pub(super) fn put_down(&mut self, id: AttemptId, now: SystemTime) -> Option<Span> {
        self.end(id, &EndBy::PutDown, now)
    }

    fn enter(&mut self, submission: &Submission, since: SystemTime) {
        if submission.trace.is_sampled() {
            let tasks = submission.tasks.len();
            let submission = Submission { tasks: Vec::new(), fetch: Vec::new(), deliver: Vec::new(), ..*submission };
            self.jobs.insert(submission.job, Open { submission, tasks, since, attempts: BTreeMap::new() });
        }
    }

    fn lease(&mut self, id: AttemptId, pool: &Pool, since: SystemTime) {
        if let Some(job) = self.jobs.get_mut(&id.job) {
            job.attempts.insert(id, (pool.clone(), since));
        }
    }

    fn accepted(&mut self, id: AttemptId, now: SystemTime) -> Vec<Span> {
        let accepted = self.end(id, &EndBy::Done, now);
        let Some(job) = self.jobs.get(&id.job) else { return Vec::new() };
        let others: Vec<AttemptId> = job.attempts.keys().filter(|it| it.chunk == id.chunk).copied().collect();
        let others = others.into_iter().filter_map(|id| self.end(id, &EndBy::Superseded, now));
        accepted.into_iter().chain(others).collect()
    }

    fn end(&mut self, id: AttemptId, end_by: &EndBy, end: SystemTime) -> Option<Span> {
        let job = self.jobs.get_mut(&id.job)?;
        let (pool, start) = job.attempts.remove(&id)?;
        let (context, parent) = (of_attempt(&job.submission, id), of_job(&job.submission));
        Some(Span { context, parent, start, end, of: Of::Attempt { id, pool }, end_by: end_by.clone() })
    }

    fn leave(&mut self, job: u64, outcome: &Outcome, end: SystemTime) -> Vec<Span> {
        let open = self.jobs.get(&job).map(|open| open.attempts.keys().copied().collect::<Vec<_>>());
        let others = open.into_iter().flatten().filter_map(|id| self.end(id, &EndBy::Cancelled, end));
        let mut spans: Vec<Span> = others.collect();
        let end_by = match outcome {
            Outcome::Done => EndBy::Done,
            Outcome::Failed { message, .. } => EndBy::Failed(message.clone()),
            Outcome::Cancelled => EndBy::Cancelled,
        };
        if let Some(Open { submission, tasks, since: start, .. }) = self.jobs.remove(&job) {
            let (context, parent, of) = (of_job(&submission), submission.trace, Of::Job { job, tasks });
            spans.push(Span { context, parent, start, end, of, end_by });
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vtp_engine::coordinator::{Cost, Skills};

    use super::*;
    use crate::ledger::{Epoch, Ledger as _, MemoryLedger, Row};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn id(chunk: u32, attempt: u32) -> AttemptId {
        AttemptId { job: 1, chunk, attempt }
    }

    fn pool() -> Pool {
        Pool::new("cpu").expect("a name")
    }

    fn submission(trace: TraceContext) -> Submission {
        let rows = (0..2).map(|chunk| Row::new(chunk, Cost(1), Skills::NONE, Vec::new()));
        Submission {
            job: 1,
            user: 1,
            weight: 1,
            priority: 5,
            deadline_ms: None,
            fetch: Vec::new(),
            deliver: Vec::new(),
            trace,
            tasks: rows.collect(),
        }
    }

    fn traced() -> Submission {
        submission(TraceContext::new(7, 8, true))
    }

    fn leased(id: AttemptId) -> Record {
        Record::Leased { id, worker: 7, pool: pool() }
    }

    fn attempt(id: AttemptId, from: u64, to: u64, end_by: EndBy) -> Span {
        let (context, parent) = (of_attempt(&traced(), id), of_job(&traced()));
        Span { context, parent, start: at(from), end: at(to), of: Of::Attempt { id, pool: pool() }, end_by }
    }

    fn job(from: u64, to: u64, end_by: EndBy) -> Span {
        let (context, parent) = (of_job(&traced()), traced().trace);
        Span { context, parent, start: at(from), end: at(to), of: Of::Job { job: 1, tasks: 2 }, end_by }
    }

    #[test]
    fn a_job_has_a_span_and_each_attempt_has_one_below() {
        let mut spans = Spans::default();
        assert!(spans.take(&Record::Submitted(traced()), at(1)).is_empty());
        [id(0, 1), id(1, 1)].into_iter().for_each(|id| assert!(spans.take(&leased(id), at(2)).is_empty()));
        let failed = spans.take(&Record::Failed { id: id(1, 1), why: Why::Crash }, at(3));
        assert_eq!(failed, [attempt(id(1, 1), 2, 3, EndBy::Failed("what worked on it crashed".to_owned()))]);
        assert!(spans.take(&leased(id(1, 2)), at(4)).is_empty());
        assert_eq!(spans.put_down(id(1, 2), at(5)), Some(attempt(id(1, 2), 4, 5, EndBy::PutDown)));
        assert_eq!(spans.put_down(id(1, 2), at(5)), None, "once");
        assert!(spans.take(&leased(id(0, 2)), at(6)).is_empty());
        let accepted = spans.take(&Record::Accepted { id: id(0, 1), result: Vec::new() }, at(7));
        let both = [attempt(id(0, 1), 2, 7, EndBy::Done), attempt(id(0, 2), 6, 7, EndBy::Superseded)];
        assert_eq!(accepted, both);
        assert!(spans.take(&leased(id(1, 3)), at(8)).is_empty());
        let ended = spans.take(&Record::Ended { job: 1, outcome: Outcome::Cancelled }, at(9));
        assert_eq!(ended, [attempt(id(1, 3), 8, 9, EndBy::Cancelled), job(1, 9, EndBy::Cancelled)]);
        assert!(spans.jobs.is_empty());
    }

    #[test]
    fn what_belongs_to_no_trace_or_one_that_is_not_recorded_has_no_spans() {
        for trace in [TraceContext::NONE, TraceContext::new(7, 8, false)] {
            let mut spans = Spans::default();
            spans.take(&Record::Submitted(submission(trace)), at(1));
            spans.take(&leased(id(0, 1)), at(2));
            assert!(spans.take(&Record::Accepted { id: id(0, 1), result: Vec::new() }, at(3)).is_empty());
            assert!(spans.take(&Record::Ended { job: 1, outcome: Outcome::Done }, at(4)).is_empty());
        }
    }

    #[tokio::test]
    async fn a_driver_that_was_started_anew_goes_on_with_the_same_spans() {
        let mut ledger = MemoryLedger::default();
        let (epoch, _) = ledger.claim().await.expect("it is there");
        let records = vec![Record::Submitted(traced()), leased(id(0, 1))];
        ledger.append(epoch, records).await.expect("they are kept");
        let (again, state) = ledger.claim().await.expect("it is there");
        assert_eq!((again, state.job(1).expect("it is known").submission.trace), (Epoch(2), traced().trace));
        let mut spans = Spans::restore(&state, at(20));
        let accepted = spans.take(&Record::Accepted { id: id(0, 1), result: Vec::new() }, at(21));
        assert_eq!(accepted, [attempt(id(0, 1), 20, 21, EndBy::Done)]);
        let outcome = Outcome::Failed { chunk: 1, message: "it broke".to_owned() };
        let ended = spans.take(&Record::Ended { job: 1, outcome }, at(22));
        assert_eq!(ended, [job(20, 22, EndBy::Failed("it broke".to_owned()))]);
    }
}
