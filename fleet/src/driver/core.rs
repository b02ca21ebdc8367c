//! What happens, and what is to be done about it. Pure: the clock is a parameter, nothing is sent or written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use vtp_engine::coordinator::{Coordinator, Event, Failure, FailureKind, JobId, Now, RestoreError, WorkerId};

use super::crew::{Claim, Crew, Surplus};
use super::{Action, Config, Step};
use crate::bus::Piece;
use crate::ledger::{Record, State, Submission};
use crate::messages::{AttemptId, Control, Happened, NodeId, Offer, Pool, Report, Settings};

/// After what time every node that lives has said what it is at work on, to a driver that was started anew.
const SPOKEN: Duration = Duration::from_millis(2500);

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
            let failures = state.job(id.job).and_then(|job| job.tasks.get(&id.chunk)).map_or(0, |task| task.failures);
            let settings = match failures {
                0 => Settings::Usual,
                _ if failures + 1 >= config.coordinator.max_attempts => Settings::Last,
                _ => Settings::Cautious,
            };
            // It may never have been published. Those who are at work on theirs say so before.
            let again = Now(config.republish.min(SPOKEN));
            crew.restore(WorkerId(running.worker), running.pool.clone(), (id, settings), again);
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
            self.beat(worker, work.id, step);
            if self.crew.worker_of(work.id) == Some(worker) {
                step.actions.extend(self.offer(worker).map(Action::Publish));
            }
        }
        self.apply(Event::Tick, step);
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

    /// Whether a job is known and has not ended.
    pub fn is_active(&self, job: u64) -> bool {
        self.coordinator.is_active(JobId(job))
    }

    /// When something is published again that is published now.
    pub(super) fn republished(&self) -> Now {
        Now(self.now.0 + self.config.republish)
    }

    fn earlier(&self, span: Duration) -> Now {
        Now(self.now.0.saturating_sub(span))
    }

    fn report(&mut self, report: Report, step: &mut Step) {
        let Report { node, session, sequence, happened } = report;
        let mut unknown = false;
        for it in happened {
            if let Happened::Joined { pool, slots, doing } = it {
                self.joined(&node, session, sequence, (pool, slots, &doing), step);
                continue;
            }
            let Some(known) = self.crew.node_mut(&node).filter(|known| known.session == session) else {
                unknown = true;
                self.stranger(it, step);
                continue;
            };
            known.heard = self.now;
            known.read(sequence, self.now, self.config.republish);
            self.happened(&node, sequence, it, step);
        }
        if unknown {
            step.actions.push(Action::Control(node, Control::JoinAgain));
        }
    }

    /// What a node says that has not joined, as after a restart of the driver. A result is a result: where nobody else has
    /// the attempt, it counts.
    fn stranger(&mut self, happened: Happened, step: &mut Step) {
        match happened {
            Happened::Finished { id, result } => {
                if let Some(worker) = self.crew.unstarted_worker_of(id) {
                    self.finished(worker, id, result, step);
                }
            }
            Happened::Failed { id, why, message } => {
                if let Some(worker) = self.crew.unstarted_worker_of(id) {
                    self.failed(worker, id, Failure { kind: why.into(), message }, step);
                }
            }
            Happened::Joined { .. }
            | Happened::Alive { .. }
            | Happened::Started { .. }
            | Happened::HandedBack { .. }
            | Happened::Draining
            | Happened::Left => {}
        }
    }

    fn happened(&mut self, node: &NodeId, sequence: u64, happened: Happened, step: &mut Step) {
        match happened {
            Happened::Joined { .. } => {}
            Happened::Alive { doing } => self.alive(node, sequence, &doing, step),
            Happened::Started { id } => self.started(node, sequence, id, step),
            Happened::Finished { id, result } => {
                if let Some(worker) = self.claimed(node, sequence, id, step) {
                    self.finished(worker, id, result, step);
                }
            }
            Happened::Failed { id, why, message } => {
                if let Some(worker) = self.claimed(node, sequence, id, step) {
                    self.failed(worker, id, Failure { kind: why.into(), message }, step);
                }
            }
            Happened::HandedBack { id } => {
                let own = self
                    .crew
                    .worker_of(id)
                    .filter(|it| self.crew.token(*it).is_some_and(|token| token.node.as_ref() == Some(node)));
                if let Some(worker) = own {
                    self.stopped(worker, id, step);
                }
            }
            Happened::Draining => {
                if let Some(known) = self.crew.node_mut(node) {
                    known.draining = true;
                }
                for worker in self.crew.tokens_of(node) {
                    self.apply(Event::Draining { worker }, step);
                }
            }
            Happened::Left => self.remove_node(node, step),
        }
    }

    fn joined(&mut self, node: &NodeId, session: u64, sequence: u64, what: (Pool, u16, &[AttemptId]), step: &mut Step) {
        let (pool, slots, doing) = what;
        let Some(skills) = self.config.pools.get(&pool).copied() else {
            let known: Vec<&str> = self.config.pools.keys().map(Pool::as_str).collect();
            let reason = format!("there is no pool {pool}; there are: {}", known.join(", "));
            step.actions.push(Action::Control(node.clone(), Control::Refused { reason }));
            return;
        };
        if self.crew.node(node).is_some_and(|known| known.session == session) {
            if let Some(known) = self.crew.node_mut(node) {
                known.heard = self.now;
            }
            return self.alive(node, sequence, doing, step);
        }
        if self.crew.node(node).is_some() {
            self.remove_node(node, step);
        }
        self.crew.enter(node.clone(), session, pool, sequence, self.now);
        let orphans: Vec<AttemptId> = doing.iter().copied().filter(|id| self.crew.is_orphans(*id)).collect();
        for id in &orphans {
            if let Some(worker) = self.crew.adopt(*id, node, sequence) {
                self.beat(worker, *id, step);
            }
        }
        for _ in orphans.len()..usize::from(slots) {
            if let Some(worker) = self.crew.issue(node) {
                self.apply(Event::Joined { worker, skills }, step);
            }
        }
        self.alive(node, sequence, doing, step);
    }

    /// A node is at work on these and on nothing else that it has started before.
    fn alive(&mut self, node: &NodeId, sequence: u64, doing: &[AttemptId], step: &mut Step) {
        for id in doing {
            self.started(node, sequence, *id, step);
        }
        let (now, patience) = (self.now, self.config.republish);
        // What is missing may be the result of what is not mentioned.
        if !self.crew.node_mut(node).is_some_and(|node| node.read(sequence, now, patience)) {
            return;
        }
        for worker in self.crew.tokens_of(node) {
            let Some(work) = self.crew.token(worker).and_then(|token| token.work) else { continue };
            let before = work.started.is_some_and(|started| started < sequence);
            if before && !doing.contains(&work.id) {
                self.stopped(worker, work.id, step);
            }
        }
    }

    fn started(&mut self, node: &NodeId, sequence: u64, id: AttemptId, step: &mut Step) {
        if let Some(worker) = self.claimed(node, sequence, id, step) {
            self.beat(worker, id, step);
        }
    }

    /// The worker by which a node has an attempt. One that has no right to it is told to stop.
    fn claimed(&mut self, node: &NodeId, sequence: u64, id: AttemptId, step: &mut Step) -> Option<WorkerId> {
        let (claim, surplus) = self.crew.claim(id, node, sequence, self.earlier(self.config.silence));
        let Surplus { left, orphan } = surplus;
        if let Some(worker) = left {
            self.apply(Event::Left { worker }, step);
        }
        if let Some(worker) = orphan {
            self.apply(Event::Draining { worker }, step);
        }
        match claim {
            Claim::Has(worker) => Some(worker),
            Claim::No => {
                step.ignored += 1;
                step.actions.push(Action::Control(node.clone(), Control::Stop { id }));
                None
            }
        }
    }

    fn exhausted(&mut self, offer: &Offer, deliveries: u32, step: &mut Step) {
        let Some(worker) = self.crew.worker_of(offer.id) else { return };
        let Some(token) = self.crew.token(worker) else { return };
        let started = token.work.is_some_and(|work| work.started.is_some());
        let alive = self.earlier(self.config.silence);
        let lives = token.node.as_ref().and_then(|node| self.crew.node(node)).is_some_and(|it| it.heard >= alive);
        if started && lives {
            // Somebody is at it, and the bus has only missed that.
            return;
        }
        let task = offer.id.task();
        let message = format!("{task} was handed out {deliveries} times, and nobody who took it was heard of again");
        self.failed(worker, offer.id, Failure { kind: FailureKind::Retryable, message }, step);
    }

    pub(super) fn remove_node(&mut self, node: &NodeId, step: &mut Step) {
        for worker in self.crew.tokens_of(node) {
            let work = self.crew.token(worker).and_then(|token| token.work);
            if work.is_some_and(|work| work.started.is_none()) {
                self.crew.orphan(worker);
                self.apply(Event::Draining { worker }, step);
            } else {
                step.put_down.extend(work.map(|work| work.id));
                self.crew.retire(worker);
                self.apply(Event::Left { worker }, step);
            }
        }
        self.crew.forget_node(node);
    }
}
