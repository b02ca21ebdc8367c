//! What happens, and what is to be done about it. Pure: the clock is a parameter, nothing is sent or written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use vtp_engine::coordinator::{Coordinator, Event, JobId, Now, RestoreError, WorkerId};

use super::crew::Crew;
use super::work::Work;
use super::{Action, Config, Step};
use crate::bus::Piece;
use crate::ledger::{Record, State, Submission};
use crate::messages::{AttemptId, Offer, Pool, Settings};

/// After what time every node that lives has said what it is at work on, to a driver that was started anew.
const SPOKEN: Duration = Duration::from_millis(2500);

/// For how long it is known which life of a node was the last, after it was heard of.
const LIVES: Duration = Duration::from_secs(3600);

/// Coordinator, nodes and jobs.
#[derive(Debug)]
pub struct Core {
    pub(super) config: Config,
    pub(super) coordinator: Coordinator,
    pub(super) crew: Crew,
    pub(super) jobs: HashMap<u64, Job>,
    /// Jobs that had ended when this driver was started, and are not forgotten: the coordinator does not know them.
    ended: HashSet<u64>,
    pub(super) now: Now,
    ticked: Now,
}

/// A job that is under way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) submission: Arc<Submission>,
    /// The place of each chunk's task.
    pub(super) places: HashMap<u32, usize>,
}

/// Why a job is not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// There is such a job.
    #[error("job {0} is known already")]
    Known(u64),
    /// It names a chunk twice.
    #[error("job {0} lists a chunk twice")]
    RepeatedChunk(u64),
    /// It has fields out of bounds, or tasks that are too long for the bus.
    #[error("job {job} can't be taken: {what}")]
    Invalid {
        /// The job.
        job: u64,
        /// Why.
        what: String,
    },
    /// There is no such job, or it has ended, or not yet.
    #[error("job {0} is not known, or not in a state for that")]
    NotNow(u64),
}

impl Job {
    pub(super) fn new(submission: Arc<Submission>) -> Self {
        let places = submission.tasks.iter().enumerate().map(|(place, row)| (row.chunk, place)).collect();
        Self { submission, places }
    }
}

impl Core {
    /// Goes on from what the ledger knows. `unix_ms` is the time of the calendar, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`RestoreError`] if the ledger contradicts itself.
    pub fn restore(config: Config, state: &State, unix_ms: u64) -> Result<Self, RestoreError> {
        let now = Now::default();
        let skills = |pool: &Pool| config.pools.get(pool).copied().unwrap_or_default();
        let coordinator = Coordinator::restore(config.coordinator, now, &state.snapshot(now, unix_ms, skills))?;
        let mut crew = Crew::new(state.unused_worker());
        for (id, running) in state.running() {
            let job = state.job(id.job);
            let failures = job.and_then(|job| job.tasks.get(&id.chunk)).map_or(0, |task| task.failures);
            let priority = job.map_or(u8::MAX, |job| job.submission.priority);
            let settings = match failures {
                0 => Settings::Usual,
                _ if failures + 1 >= config.coordinator.max_attempts => Settings::Last,
                _ => Settings::Cautious,
            };
            // It may never have been published. Those who are at work on theirs say so before.
            let again = Now(config.republish.min(SPOKEN));
            let work = Work::new(id, settings, priority, again);
            crew.restore(WorkerId(running.worker), running.pool.clone(), work);
        }
        let active = state.jobs().filter(|job| job.outcome.is_none());
        let jobs = active.map(|job| (job.submission.job, Job::new(Arc::clone(&job.submission)))).collect();
        let ended = state.jobs().filter(|job| job.outcome.is_some()).map(|job| job.submission.job).collect();
        Ok(Self { config, coordinator, crew, jobs, ended, now, ticked: now })
    }

    /// Takes a job. `unix_ms` is the time of the calendar, for its deadline.
    ///
    /// # Errors
    /// [`Refused`]; nothing has changed then.
    pub fn submit(&mut self, now: Now, submission: Submission, unix_ms: u64, step: &mut Step) -> Result<(), Refused> {
        self.now = self.now.max(now);
        let job = submission.job;
        if self.ended.contains(&job) || self.coordinator.progress(JobId(job)).is_some() {
            return Err(Refused::Known(job));
        }
        let mut chunks = HashSet::new();
        if !submission.tasks.iter().all(|row| chunks.insert(row.chunk)) {
            return Err(Refused::RepeatedChunk(job));
        }
        self.check(&submission).map_err(|what| Refused::Invalid { job, what })?;
        let mut terms = submission.terms();
        terms.deadline = submission.deadline_ms.map(|at| crate::ledger::due(self.now, unix_ms, at));
        let tasks = submission.tasks.iter().map(crate::ledger::Row::task).collect();
        let submission = Arc::new(submission);
        self.jobs.insert(job, Job::new(Arc::clone(&submission)));
        step.records.push(Record::Submitted(Submission::clone(&submission)));
        self.apply(Event::Submit { job: JobId(job), terms, tasks }, step);
        Ok(())
    }

    /// What could not be offered later must not be taken now.
    fn check(&self, submission: &Submission) -> Result<(), String> {
        let longest = submission.tasks.iter().max_by_key(|row| row.body.len());
        let pool = self.config.pools.keys().next();
        if let (Some(row), Some(pool)) = (longest, pool) {
            let offer = Offer {
                id: AttemptId { job: submission.job, chunk: row.chunk, attempt: 1 },
                pool: pool.clone(),
                priority: submission.priority,
                settings: Settings::Usual,
                lease_ms: 0,
                cost: row.cost,
                fetch: submission.fetch.clone(),
                deliver: submission.deliver.clone(),
                trace: submission.trace,
                body: row.body.clone(),
            };
            crate::messages::encode(&offer).map_err(|error| error.to_string())?;
        }
        submission.check().map_err(str::to_owned)
    }

    /// Gives a job up.
    ///
    /// # Errors
    /// [`Refused::NotNow`].
    pub fn cancel(&mut self, now: Now, job: u64, step: &mut Step) -> Result<(), Refused> {
        self.now = self.now.max(now);
        if !self.coordinator.is_active(JobId(job)) {
            return Err(Refused::NotNow(job));
        }
        self.apply(Event::Cancel { job: JobId(job) }, step);
        Ok(())
    }

    /// Lets go of what is known of a job that has ended.
    ///
    /// # Errors
    /// [`Refused::NotNow`].
    pub fn forget(&mut self, now: Now, job: u64, step: &mut Step) -> Result<(), Refused> {
        self.now = self.now.max(now);
        if self.ended.remove(&job) {
            step.records.push(Record::Forgotten { job });
            return Ok(());
        }
        if self.coordinator.progress(JobId(job)).is_none() || self.coordinator.is_active(JobId(job)) {
            return Err(Refused::NotNow(job));
        }
        step.records.push(Record::Forgotten { job });
        self.apply(Event::Forget { job: JobId(job) }, step);
        Ok(())
    }

    /// Takes note of a piece of news.
    pub fn hear(&mut self, now: Now, piece: Piece, step: &mut Step) {
        self.now = self.now.max(now);
        match piece {
            Piece::Report(report) => self.report(report, step),
            Piece::Exhausted { offer, deliveries } => self.exhausted(&offer, deliveries, step),
        }
    }

    /// Takes note of time: nodes that are silent are gone, tasks that nobody has started are published again.
    pub fn tick(&mut self, now: Now, step: &mut Step) {
        self.now = self.now.max(now);
        self.ticked = self.now;
        for node in self.crew.silent(self.earlier(self.config.silence)) {
            tracing::warn!(%node, "a node is silent, and counts as gone");
            self.remove_node(&node, step);
        }
        for (worker, work) in self.crew.unstarted(self.now) {
            self.crew.published(worker, self.republished());
            // That it waits on the bus is no fault of the worker's.
            self.wait(worker, work.id, step);
            if self.crew.worker_of(work.id) == Some(worker) {
                step.actions.extend(self.offer(worker).map(Action::Publish));
            }
        }
        self.apply(Event::Tick, step);
        self.crew.count_out(self.earlier(self.config.silence / 10));
        self.crew.free.pass(self.now);
        self.crew.forget_lives(self.earlier(LIVES));
        let pools: Vec<Pool> = self.config.ahead.keys().cloned().collect();
        for pool in &pools {
            self.take_back(pool, step);
            self.make_room(pool, step);
        }
    }

    /// When [`tick`](Self::tick) is due at the latest.
    pub fn next_wakeup(&self) -> Now {
        // Counted from the last one: news, of which there may be much, puts nothing off.
        let soon = Now(self.ticked.0 + Duration::from_secs(1).min(self.config.republish));
        self.coordinator.next_wakeup().map_or(soon, |at| at.min(soon))
    }

    /// How many nodes are there.
    pub fn nodes(&self) -> usize {
        self.crew.nodes()
    }

    /// How many tasks the nodes of each pool can be at, at a time.
    pub fn slots(&self) -> BTreeMap<Pool, u32> {
        self.crew.slots()
    }

    /// Whether a job is known and has not ended.
    pub fn is_active(&self, job: u64) -> bool {
        self.coordinator.is_active(JobId(job))
    }

    /// When something is published again that is published now.
    pub(super) fn republished(&self) -> Now {
        Now(self.now.0 + self.config.republish)
    }

    pub(super) fn earlier(&self, span: Duration) -> Now {
        Now(self.now.0.saturating_sub(span))
    }
}
