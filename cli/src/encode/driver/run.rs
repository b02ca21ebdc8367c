//! The coordinator at work: its effects carried out by worker threads, their news told to it. What it accepts goes
//! through the gathering, which holds chunks back until their joins are known; each repair that it asks for is a job of
//! its own, whose failure costs nothing but the repair.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use tracing::Span;
use vtp_encoder_node as node;
use vtp_engine::chunk::{EncodedChunk, StageCpu};
use vtp_engine::coordinator::{
    Config, Coordinator, Cost, Effect, Event, Failure, FailureKind, JobId, NewTask, Now, Priority, Skills, TaskId,
    Terms, Variant, WorkerId,
};
use vtp_engine::gathering::{Gathering, Join, Next, Wish};
use vtp_engine::ladder::Rendition;
use vtp_engine::units::{Attempt, ChunkIndex};
use vtp_stitcher::Stitcher;

use super::crew::{ChunkError, Job, Order, Told, Work};
use super::pass::{Pass, PassError};
use super::ticks::{Came, Ticks};
use crate::child;
use crate::encode::failure::EncodeFailure;
use crate::exit::InputFault;
use crate::progress::ProgressEvent;
use crate::telemetry::span;
use crate::text;

/// The job of all chunks.
pub(super) const JOB: JobId = JobId(0);
/// Repairs go first: the chunks behind them can't be published before.
const REPAIR: Priority = Priority::HIGHEST;
/// How often the display hears of frames, and the driver looks whether it is to stop.
const TICK: Duration = Duration::from_millis(100);

/// The coordinator and the threads that carry out what it asks for.
pub(super) struct Run<'a, 'j> {
    pass: &'a Pass<'a>,
    job: &'a Job<'j>,
    stitcher: &'a mut Stitcher,
    /// What is made besides has failed, so that this is of no use.
    in_vain: &'a AtomicBool,
    coordinator: Coordinator,
    /// What the coordinator is still to be told.
    events: VecDeque<Event>,
    gathering: Gathering,
    started: Instant,
    orders: Vec<Sender<Order>>,
    told: Receiver<Told>,
    /// Results that wait for the coordinator's word, and whether their pictures are made up.
    results: HashMap<(TaskId, Attempt), (EncodedChunk, bool)>,
    /// What the last failed attempt at each chunk said; the coordinator knows only its sentence.
    last_errors: HashMap<ChunkIndex, ChunkError>,
    /// Chunks whose pictures could not be decoded, and were made up.
    concealed: Vec<ChunkIndex>,
    cpu: StageCpu,
    end: Option<Result<(), PassError>>,
}

/// What a run leaves besides the chunks that it gave to the stitcher.
pub(super) struct Gathered {
    /// The CPU that the chunks took.
    pub(super) cpu: StageCpu,
    /// The joins that show.
    pub(super) joins: Vec<Join>,
    /// When pictures are shown that were made up, in seconds of the output.
    pub(super) concealed: Vec<Range<f64>>,
}

impl<'a, 'j> Run<'a, 'j> {
    pub(super) fn start<'scope, 'env>(
        pass: &'a Pass<'a>,
        scope: &'scope Scope<'scope, 'env>,
        job: &'env Job<'j>,
        stitcher: &'a mut Stitcher,
        in_vain: &'a AtomicBool,
    ) -> Self
    where
        'env: 'a,
        'j: 'env,
    {
        let (tell, told) = unbounded();
        // Copying takes less time than a process to do it takes to start.
        let most = if pass.decodes_nothing() { 1 } else { job.plan.chunks.len() };
        let workers = pass.request.workers.min(NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN));
        let orders = (0..workers.get() as u64).map(|worker| {
            let (send, receive) = bounded(1);
            let (tell, span) = (tell.clone(), Span::current());
            scope.spawn(move || span.in_scope(|| job.work(WorkerId(worker), &receive, &tell)));
            send
        });
        let target = job.check.map(|check| check.target);
        let seconds = (0..job.plan.chunks.len()).map(|place| job.seconds(place));
        Self {
            pass,
            job,
            stitcher,
            in_vain,
            events: VecDeque::new(),
            gathering: Gathering::new(target, job.renditions, seconds),
            orders: orders.collect(),
            // A thread does not vanish; it is heard from with every tick, whatever it works on.
            coordinator: Coordinator::new(Config::default()),
            started: Instant::now(),
            told,
            results: HashMap::new(),
            last_errors: HashMap::new(),
            concealed: Vec::new(),
            cpu: StageCpu::default(),
            end: None,
        }
    }

    /// Carries the job and its repairs to their end.
    pub(super) fn carry_out(mut self) -> Result<Gathered, PassError> {
        let tasks = self.job.plan.chunks.iter();
        let tasks = tasks.map(|c| new_task(c.index, c.cost)).collect();
        self.apply(Event::Submit { job: JOB, terms: Terms::default(), tasks });
        for worker in 0..self.orders.len() as u64 {
            self.apply(Event::Joined { worker: WorkerId(worker), skills: Skills::NONE });
        }
        let mut ticks = Ticks::every(TICK);
        while self.end.is_none() {
            match ticks.next(&self.told) {
                Came::Message(told) => self.told(told),
                Came::Tick => self.tick(),
                Came::End => self.end(Err(crew_is_gone())),
            }
        }
        if self.end.as_ref().is_some_and(Result::is_err) {
            self.job.stop.store(true, Ordering::Relaxed);
        }
        let joins = self.gathering.joins();
        let concealed = self.concealed.iter().map(|&chunk| self.job.span(chunk)).collect();
        self.end.take().unwrap_or(Ok(())).map(|()| Gathered { cpu: self.cpu, joins, concealed })
    }

    fn now(&self) -> Now {
        Now(self.started.elapsed())
    }

    fn tick(&mut self) {
        if self.pass.cancel.load(Ordering::Relaxed) || self.in_vain.load(Ordering::Relaxed) {
            self.job.stop.store(true, Ordering::Relaxed);
            let jobs: Vec<JobId> = [JOB].into_iter().chain(self.gathering.repairs().map(repair_of)).collect();
            return jobs.into_iter().for_each(|job| self.apply(Event::Cancel { job }));
        }
        let leases: Vec<_> = self.coordinator.leases().collect();
        for (task, attempt, worker) in leases {
            self.apply(Event::Heartbeat { worker, task, attempt });
        }
        self.show_frames();
    }

    fn show_frames(&self) {
        let total = u64::from(self.pass.source.index.frame_count());
        let made = self.pass.renditions.iter().chain(self.pass.archive).count();
        let done = self.job.encoded.frames() / made.max(1) as u64;
        (self.pass.progress)(ProgressEvent::Frames { done, total });
    }

    fn told(&mut self, told: Told) {
        let Told { worker, order: Order { task, attempt, work, .. }, result } = told;
        match (result, work) {
            (Ok(chunk), work) => {
                self.results.insert((task, attempt), (chunk, matches!(work, Work::Concealed)));
                self.apply(Event::Finished { worker, task, attempt });
            }
            (Err(error), _) if error.is_cancelled() => {
                self.apply(Event::Stopped { worker, task, attempt });
            }
            (Err(error), Work::Whole) if error.is_mismatch() => {
                self.end(Err(PassError::OtherFrames(error.to_string())));
            }
            (Err(error), work) => {
                let failure = Failure { kind: error.kind(), message: error.to_string() };
                if !matches!(work, Work::Repair(_)) {
                    self.last_errors.insert(task.chunk, error);
                }
                self.apply(Event::Failed { worker, task, attempt, failure });
            }
        }
    }

    fn apply(&mut self, event: Event) {
        self.events.push_back(event);
        while let Some(event) = self.events.pop_front() {
            for effect in self.coordinator.apply(self.now(), event) {
                self.carry(effect);
            }
        }
    }

    fn carry(&mut self, effect: Effect) {
        match effect {
            Effect::Start { worker, task, attempt, variant, .. } => self.start_attempt(worker, task, attempt, variant),
            Effect::Accept { task, attempt } => self.accept(task, attempt),
            Effect::Discard { task, attempt } => {
                for rendition in self.results.remove(&(task, attempt)).into_iter().flat_map(|(it, _)| it.renditions) {
                    delete(&rendition.spool);
                }
            }
            Effect::JobDone { .. } => self.end_if_complete(),
            Effect::JobFailed { task, failure, .. } if task.job != JOB => {
                tracing::warn!(chunk = task.chunk.0, why = failure.message, "repair of a join failed");
                let next = self.gathering.leave(task.chunk);
                self.carry_on(next);
                self.end_if_complete();
            }
            Effect::JobFailed { task, failure, .. } => {
                let failed = match self.last_errors.remove(&task.chunk) {
                    Some(ChunkError::Child(child::Error::Died(death))) if death.cause.is_own() => {
                        self.undecodable(task.chunk, &death)
                    }
                    Some(error) => error.into(),
                    None => EncodeFailure::Internal(anyhow::anyhow!(failure.message)),
                };
                self.end(Err(failed.into()));
            }
            Effect::JobCancelled { .. } => self.end(Err(EncodeFailure::Cancelled.into())),
            Effect::Ignored(why) => tracing::debug!(%why, "event ignored"),
            // The flag that all threads look at is set with the job's end. Threads come after the job, and no job is due.
            Effect::Stop { .. }
            | Effect::Progress { .. }
            | Effect::NobodyCan { .. }
            | Effect::DeadlineMissed { .. } => {}
        }
    }

    fn start_attempt(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt, variant: Variant) {
        let worker = worker.0 as usize;
        let work = match task.job {
            JOB if self.is_given_up(task.chunk, variant) => Work::Concealed,
            JOB => Work::Whole,
            _ => Work::Repair(self.as_wished(self.gathering.in_repair(task.chunk).unwrap_or_default())),
        };
        let is_whole = !matches!(work, Work::Repair(_));
        match self.orders.get(worker).map(|orders| orders.send(Order { task, attempt, variant, work })) {
            Some(Ok(())) if is_whole => {
                (self.pass.progress)(ProgressEvent::ChunkStarted { chunk: task.chunk.0, worker });
            }
            Some(Ok(())) => {}
            Some(Err(_)) | None => self.end(Err(crew_is_gone())),
        }
    }

    /// Whether all attempts at a chunk but the last were in vain, and its pictures may be made up.
    fn is_given_up(&self, chunk: ChunkIndex, variant: Variant) -> bool {
        let died = |error: &ChunkError| matches!(error, ChunkError::Child(child::Error::Died(_)));
        self.pass.request.allow_damage && variant == Variant::Last && self.last_errors.get(&chunk).is_some_and(died)
    }

    /// A chunk that no process lived through.
    fn undecodable(&self, chunk: ChunkIndex, death: &child::Death) -> EncodeFailure {
        let span = self.job.span(chunk);
        let message = format!(
            "the source can't be decoded from {} to {}: {death}; get another copy of it, or give --allow-damage to have \
             black pictures there",
            text::clock(span.start),
            text::clock(span.end)
        );
        EncodeFailure::Input { fault: InputFault::Corrupt, message }
    }

    fn as_wished(&self, wishes: &[Wish]) -> Vec<Rendition> {
        let wish = |rendition: &Rendition| {
            let wish = wishes.iter().find(|wish| wish.rendition == rendition.name)?;
            Some(rendition.at_factor(wish.crf))
        };
        self.job.renditions.iter().filter_map(wish).collect()
    }

    fn accept(&mut self, task: TaskId, attempt: Attempt) {
        let Some((chunk, is_concealed)) = self.results.remove(&(task, attempt)) else { return };
        self.cpu += chunk.cpu;
        if is_concealed {
            self.concealed.push(task.chunk);
        }
        if task.job == JOB {
            (self.pass.progress)(ProgressEvent::ChunkDone { chunk: task.chunk.0 });
            let next = self.gathering.accept(chunk);
            self.carry_on(next);
        } else {
            let next = self.gathering.repaired(chunk);
            self.carry_on(next);
        }
    }

    /// Does what the gathering asks for.
    fn carry_on(&mut self, next: impl IntoIterator<Item = Next>) {
        for next in next {
            match next {
                Next::Deliver(chunk) => {
                    let was_playable = self.stitcher.is_playable();
                    let span = tracing::info_span!("stitch", chunk = i64::from(chunk.chunk.0));
                    match span::within(span, || self.stitcher.add_chunk(chunk)) {
                        Err(error) => self.end(Err(error.into())),
                        Ok(_) if self.stitcher.is_playable() && !was_playable => {
                            (self.pass.progress)(ProgressEvent::Stage("encoding, and playable".into()));
                        }
                        Ok(_) => {}
                    }
                }
                Next::Repair(chunk, _) => {
                    let cost = self.job.plan.chunks.get(chunk.0 as usize).map_or(0.0, |plan| plan.cost);
                    let terms = Terms { priority: REPAIR, ..Terms::default() };
                    let tasks = vec![new_task(chunk, cost)];
                    self.events.push_back(Event::Submit { job: repair_of(chunk), terms, tasks });
                }
                Next::Delete(spool) => delete(&spool),
            }
        }
    }

    fn end_if_complete(&mut self) {
        if !self.coordinator.is_active(JOB) && self.gathering.repairs().next().is_none() {
            self.show_frames();
            self.end(Ok(()));
        }
    }

    /// The first end counts.
    fn end(&mut self, end: Result<(), PassError>) {
        self.end.get_or_insert(end);
    }
}

fn crew_is_gone() -> PassError {
    PassError::Failure(EncodeFailure::Internal(anyhow::anyhow!("a worker thread ended unexpectedly")))
}

/// The task of a chunk that costs as much as so many frames. Any thread can do it.
fn new_task(chunk: ChunkIndex, frames: f64) -> NewTask {
    NewTask { chunk, cost: Cost::from_frames(frames), needs: Skills::NONE }
}

/// The job that repairs a chunk.
fn repair_of(chunk: ChunkIndex) -> JobId {
    JobId(u64::from(chunk.0) + 1)
}

/// The spool folder goes with the work folder at the end in any case.
fn delete(spool: &Path) {
    if let Err(error) = std::fs::remove_file(spool) {
        tracing::debug!(%error, path = %spool.display(), "spool file left behind");
    }
}

impl ChunkError {
    /// Whether another attempt can help.
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            Self::Child(error) => Self::kind_of(error),
            Self::Source(error) => of_source(error),
            Self::Spool { .. } | Self::Delivery(_) | Self::Elsewhere(_) => FailureKind::Retryable,
        }
    }

    /// Whether another attempt can help where this befell a child.
    pub(crate) fn kind_of(error: &child::Error) -> FailureKind {
        let of_node = |error: &node::Error| match error.class() {
            node::Class::Permanent => FailureKind::Permanent,
            node::Class::Retryable => FailureKind::Retryable,
        };
        match error {
            child::Error::Failed(child::Failure::Node(error)) => of_node(error),
            child::Error::Failed(child::Failure::Source(error)) => of_source(error),
            child::Error::Spool { path, error } => of_node(&node::Error::spool(path.clone(), error)),
            child::Error::Died(death) if death.cause.is_own() => FailureKind::Crash,
            child::Error::Unread(error) if !error.is_retryable() => FailureKind::Permanent,
            child::Error::Place(trouble) if trouble.is_of_the_place() => FailureKind::Permanent,
            child::Error::Untold(_) => FailureKind::Permanent,
            child::Error::Died(_)
            | child::Error::Failed(child::Failure::Media(_))
            | child::Error::Unread(_)
            | child::Error::Place(_)
            | child::Error::Start(_)
            | child::Error::Unbounded(_)
            | child::Error::Cancelled => FailureKind::Retryable,
        }
    }

    /// Whether the chunk was not wanted any more.
    pub(super) fn is_cancelled(&self) -> bool {
        matches!(self, Self::Child(child::Error::Cancelled))
    }

    /// Whether other frames came out than the index expects.
    pub(super) fn is_mismatch(&self) -> bool {
        use child::{Error::Failed, Failure::Node};
        matches!(self, Self::Child(Failed(Node(node::Error::FrameMismatch { .. }))))
    }
}

fn of_source(error: &vtp_splitter::Error) -> FailureKind {
    if error.code().is_some() { FailureKind::Permanent } else { FailureKind::Retryable }
}

impl From<ChunkError> for EncodeFailure {
    fn from(error: ChunkError) -> Self {
        match error {
            ChunkError::Source(error) => error.into(),
            ChunkError::Child(error) => error.into(),
            error @ (ChunkError::Spool { .. } | ChunkError::Delivery(_) | ChunkError::Elsewhere(_)) => {
                Self::Internal(error.into())
            }
        }
    }
}
