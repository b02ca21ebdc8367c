//! The coordinator at work: its effects carried out by worker threads, their news told to it.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::thread::Scope;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use vtp_encoder_node as node;
use vtp_engine::chunk::{EncodedChunk, StageCpu};
use vtp_engine::coordinator::{
    Config, Coordinator, Cost, Effect, Event, Failure, FailureKind, JobId, NewTask, Now, Priority, TaskId, WorkerId,
};
use vtp_engine::units::Attempt;
use vtp_stitcher::Stitcher;

use super::EncodeFailure;
use super::crew::{ChunkError, Job, Order, Told};
use super::pass::{Pass, PassError};
use crate::progress::ProgressEvent;

/// The only job of this process.
pub(super) const JOB: JobId = JobId(0);
/// How often the display hears of frames, and the driver looks whether it is to stop.
const TICK: Duration = Duration::from_millis(100);

/// The coordinator and the threads that carry out what it asks for.
pub(super) struct Run<'a, 'j> {
    pass: &'a Pass<'a>,
    job: &'a Job<'j>,
    stitcher: &'a mut Stitcher,
    coordinator: Coordinator,
    started: Instant,
    orders: Vec<Sender<Order>>,
    told: Receiver<Told>,
    /// Results that wait for the coordinator's word.
    results: HashMap<(TaskId, Attempt), EncodedChunk>,
    /// What the last failed attempt said; the coordinator knows only its sentence.
    last_error: Option<ChunkError>,
    cpu: StageCpu,
    end: Option<Result<(), PassError>>,
}

impl<'a, 'j> Run<'a, 'j> {
    pub(super) fn start<'scope, 'env>(
        pass: &'a Pass<'a>,
        scope: &'scope Scope<'scope, 'env>,
        job: &'env Job<'j>,
        stitcher: &'a mut Stitcher,
    ) -> Self
    where
        'env: 'a,
        'j: 'env,
    {
        let (tell, told) = unbounded();
        let workers = pass.request.workers.min(NonZeroUsize::new(job.plan.chunks.len()).unwrap_or(NonZeroUsize::MIN));
        let orders = (0..workers.get() as u64).map(|worker| {
            let (send, receive) = bounded(1);
            let tell = tell.clone();
            scope.spawn(move || job.work(WorkerId(worker), &receive, &tell));
            send
        });
        Self {
            pass,
            job,
            stitcher,
            orders: orders.collect(),
            // A thread does not vanish; it is heard from with every tick, whatever it works on.
            coordinator: Coordinator::new(Config::default()),
            started: Instant::now(),
            told,
            results: HashMap::new(),
            last_error: None,
            cpu: StageCpu::default(),
            end: None,
        }
    }

    /// Carries the job to its end and returns the CPU its chunks took.
    pub(super) fn carry_out(mut self) -> Result<StageCpu, PassError> {
        let tasks = self.job.plan.chunks.iter();
        let tasks = tasks.map(|c| NewTask { chunk: c.index, cost: Cost::from_frames(c.cost) }).collect();
        self.apply(Event::Submit { job: JOB, priority: Priority::default(), tasks });
        for worker in 0..self.orders.len() as u64 {
            self.apply(Event::Joined { worker: WorkerId(worker) });
        }
        while self.end.is_none() {
            match self.told.recv_timeout(TICK) {
                Ok(told) => self.told(told),
                Err(RecvTimeoutError::Timeout) => self.tick(),
                Err(RecvTimeoutError::Disconnected) => self.end(Err(crew_is_gone())),
            }
        }
        if self.end.as_ref().is_some_and(Result::is_err) {
            self.job.stop.store(true, Ordering::Relaxed);
        }
        self.end.take().unwrap_or(Ok(())).map(|()| self.cpu)
    }

    fn now(&self) -> Now {
        Now(self.started.elapsed())
    }

    fn tick(&mut self) {
        if self.pass.cancel.load(Ordering::Relaxed) {
            self.job.stop.store(true, Ordering::Relaxed);
            return self.apply(Event::Cancel { job: JOB });
        }
        let leases: Vec<_> = self.coordinator.leases().collect();
        for (task, attempt, worker) in leases {
            self.apply(Event::Heartbeat { worker, task, attempt });
        }
        self.show_frames();
    }

    fn show_frames(&self) {
        let total = u64::from(self.pass.source.index.frame_count());
        let share = self.job.encoded.load(Ordering::Relaxed) / self.pass.renditions.len().max(1) as u64;
        (self.pass.progress)(ProgressEvent::Frames { done: share.min(total), total });
    }

    fn told(&mut self, told: Told) {
        let Told { worker, order: Order { task, attempt }, result } = told;
        match result {
            Ok(chunk) => {
                self.results.insert((task, attempt), chunk);
                self.apply(Event::Finished { worker, task, attempt });
            }
            Err(ChunkError::Node(node::Error::Cancelled)) => self.apply(Event::Stopped { worker, task, attempt }),
            Err(ChunkError::Node(mismatch @ node::Error::FrameMismatch { .. })) => {
                self.end(Err(PassError::OtherFrames(mismatch.to_string())));
            }
            Err(error) => {
                let failure = Failure { kind: error.kind(), message: error.to_string() };
                self.last_error = Some(error);
                self.apply(Event::Failed { worker, task, attempt, failure });
            }
        }
    }

    fn apply(&mut self, event: Event) {
        for effect in self.coordinator.apply(self.now(), event) {
            self.carry(effect);
        }
    }

    fn carry(&mut self, effect: Effect) {
        match effect {
            Effect::Start { worker, task, attempt, .. } => {
                let sent = self.orders.get(worker.0 as usize).map(|orders| orders.send(Order { task, attempt }));
                match sent {
                    Some(Ok(())) => (self.pass.progress)(ProgressEvent::ChunkStarted {
                        chunk: task.chunk.0,
                        worker: worker.0 as usize,
                    }),
                    _ => self.end(Err(crew_is_gone())),
                }
            }
            Effect::Accept { task, attempt } => self.accept(task, attempt),
            Effect::Discard { task, attempt } => {
                if let Some(chunk) = self.results.remove(&(task, attempt)) {
                    discard(&chunk);
                }
            }
            Effect::JobDone { .. } => {
                self.show_frames();
                self.end(Ok(()));
            }
            Effect::JobFailed { failure, .. } => {
                let failed = self
                    .last_error
                    .take()
                    .map_or_else(|| EncodeFailure::Internal(anyhow::anyhow!(failure.message)), EncodeFailure::from);
                self.end(Err(failed.into()));
            }
            Effect::JobCancelled { .. } => self.end(Err(EncodeFailure::Cancelled.into())),
            Effect::Ignored(why) => tracing::debug!(%why, "event ignored"),
            // The flag that all threads look at is set with the job's end.
            Effect::Stop { .. } | Effect::Progress { .. } => {}
        }
    }

    fn accept(&mut self, task: TaskId, attempt: Attempt) {
        let Some(chunk) = self.results.remove(&(task, attempt)) else { return };
        self.cpu += chunk.cpu;
        match self.stitcher.add_chunk(chunk) {
            Ok(_) => (self.pass.progress)(ProgressEvent::ChunkDone { chunk: task.chunk.0 }),
            Err(error) => self.end(Err(error.into())),
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

/// The spool folder goes with the work folder at the end in any case.
fn discard(chunk: &EncodedChunk) {
    for rendition in &chunk.renditions {
        if let Err(error) = std::fs::remove_file(&rendition.spool) {
            tracing::debug!(%error, path = %rendition.spool.display(), "spool file left behind");
        }
    }
}

impl ChunkError {
    /// Whether another attempt can help.
    fn kind(&self) -> FailureKind {
        match self {
            Self::Node(error) => match error.class() {
                node::Class::Permanent => FailureKind::Permanent,
                node::Class::Retryable => FailureKind::Retryable,
            },
            Self::Source(error) if error.code().is_some() => FailureKind::Permanent,
            Self::Source(_) | Self::Spool { .. } => FailureKind::Retryable,
        }
    }
}

impl From<ChunkError> for EncodeFailure {
    fn from(error: ChunkError) -> Self {
        match error {
            ChunkError::Source(error) => error.into(),
            ChunkError::Node(node::Error::Media(error)) => error.into(),
            error => Self::Internal(error.into()),
        }
    }
}
