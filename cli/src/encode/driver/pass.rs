//! One pass over the source: plan, encode, stitch, prove.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use vtp_encoder_node::{self as node, Copier};
use vtp_engine::chunk::{EncodedChunk, StageCpu};
use vtp_engine::coordinator::{
    Config, Coordinator, Cost, Effect, Event, Failure, FailureKind, JobId, NewTask, Now, Priority, TaskId, WorkerId,
};
use vtp_engine::ladder::{Method, Rendition};
use vtp_engine::media::Demuxer;
use vtp_engine::media::audio::{AudioMode, AudioTask};
use vtp_engine::media::scale::output_color;
use vtp_engine::plan::{Plan, plan};
use vtp_engine::source::Color;
use vtp_engine::units::Attempt;
use vtp_splitter::Source;
use vtp_stitcher::{AudioWriter, Durability, OutputLayout, Published, Stitcher, VideoTimeline};

use super::EncodeFailure;
use super::audio::{self, Finished};
use super::crew::{ChunkError, Job, Order, Told};
use super::timing::Stopwatch;
use crate::encode::EncodeRequest;
use crate::encode::output::Dirs;
use crate::plan::settings as plan_settings;
use crate::progress::ProgressEvent;

/// The only job of this process.
const JOB: JobId = JobId(0);
/// How often the display hears of frames, and the driver looks whether it is to stop.
const TICK: Duration = Duration::from_millis(100);

/// What a pass works on.
pub(super) struct Pass<'a> {
    pub(super) request: &'a EncodeRequest,
    pub(super) source: &'a Source,
    pub(super) renditions: &'a [Rendition],
    pub(super) dirs: &'a Dirs,
    pub(super) progress: &'a (dyn Fn(ProgressEvent) + Sync),
    pub(super) cancel: &'a AtomicBool,
    /// Chunks do not decode as the whole does: make one of it.
    pub(super) in_one_chunk: bool,
}

/// What a pass made.
pub(super) struct Made {
    pub(super) plan: Plan,
    pub(super) published: Published,
    pub(super) audio: Option<Finished>,
    pub(super) cpu: StageCpu,
}

/// Why a pass made nothing.
pub(super) enum PassError {
    /// Other frames came out than the index expects.
    OtherFrames(String),
    Failure(EncodeFailure),
}

impl<E: Into<EncodeFailure>> From<E> for PassError {
    fn from(error: E) -> Self {
        Self::Failure(error.into())
    }
}

impl From<vtp_stitcher::Error> for EncodeFailure {
    fn from(error: vtp_stitcher::Error) -> Self {
        Self::Internal(error.into())
    }
}

impl From<vtp_engine::media::Error> for EncodeFailure {
    fn from(error: vtp_engine::media::Error) -> Self {
        vtp_splitter::Error::from(error).into()
    }
}

impl From<audio::Error> for EncodeFailure {
    fn from(error: audio::Error) -> Self {
        match error {
            audio::Error::Media(error) => error.into(),
            audio::Error::Stitcher(error) => error.into(),
        }
    }
}

impl Pass<'_> {
    /// Plans, encodes, stitches and proves.
    pub(super) fn run(&self, watch: &mut Stopwatch) -> Result<Made, PassError> {
        let plan = self.plan();
        self.announce(&plan);
        let index = Arc::new(self.source.index.clone());
        let sound = audio::open(self.source, self.audio_mode())?;
        let configs = sound.as_ref().map(AudioTask::configs).unwrap_or_default();
        let layout = self.layout(plan.clone(), audio::tracks(self.source, &configs));
        let mut stitcher = Stitcher::new(&self.dirs.out, layout, Arc::clone(&index))?;
        let writers: Vec<AudioWriter> =
            (0..configs.len()).map(|track| stitcher.audio_writer(track)).collect::<Result<_, _>>()?;
        let job = Job {
            source: self.source,
            index,
            plan: &plan,
            renditions: self.renditions,
            spool: &self.dirs.work,
            context_frames: plan_settings(&self.source.info, self.renditions, self.request.segment_s, None)
                .context_frames,
            encoded: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            copy: self.copier()?,
        };
        let (audio, cpu) = std::thread::scope(|scope| {
            let sound = sound.map(|task| self.start_audio(scope, task, writers, &job));
            let run = Run::start(self, scope, &job, &mut stitcher).carry_out();
            if run.is_err() {
                job.stop.store(true, Ordering::Relaxed);
            }
            let audio = sound.map(|thread| thread.join().map_err(panicked)).transpose();
            let cpu = run?;
            Ok::<_, PassError>((audio?.transpose()?.flatten(), cpu))
        })?;
        watch.lap("encode");
        if self.cancel.load(Ordering::Relaxed) {
            return Err(EncodeFailure::Cancelled.into());
        }
        (self.progress)(ProgressEvent::Stage("proving"));
        let (tracks, sounds) = audio.as_ref().map(|a| (a.tracks.clone(), a.sounds.clone())).unwrap_or_default();
        let published = stitcher.finish(tracks, &sounds)?;
        watch.lap("prove");
        Ok(Made { plan, published, audio, cpu })
    }

    fn plan(&self) -> Plan {
        let chunk_s = if self.in_one_chunk { Some(f64::INFINITY) } else { self.request.chunk_s };
        let settings = plan_settings(&self.source.info, self.renditions, self.request.segment_s, chunk_s);
        let mut plan = plan(&self.source.index, self.source.info.video.time_base, &settings);
        if self.in_one_chunk {
            plan.reason = Some("parts of this source do not decode as the whole does, so it is one chunk".to_owned());
        }
        plan
    }

    fn copier(&self) -> Result<Option<(String, Copier)>, PassError> {
        let Some(rendition) = self.renditions.iter().find(|r| r.method == Method::Copy) else { return Ok(None) };
        let parameters = Demuxer::open(&self.source.path)?.parameters(self.source.info.video.stream)?;
        let copier = Copier::new(&self.source.info.video, &self.source.index, &parameters);
        match copier {
            Ok(copier) => Ok(Some((rendition.name.clone(), copier))),
            Err(refused) => Err(EncodeFailure::Usage(refused.to_string()).into()),
        }
    }

    /// Where all video is copied, sound is too if it can be.
    fn audio_mode(&self) -> AudioMode {
        if self.only_copies() { AudioMode::CopyIfPossible } else { AudioMode::Encode }
    }

    fn only_copies(&self) -> bool {
        self.renditions.iter().all(|r| r.method == Method::Copy)
    }

    fn announce(&self, plan: &Plan) {
        (self.progress)(ProgressEvent::Planned {
            chunks: plan.chunks.len() as u32,
            frames_total: self.source.index.frame_count().into(),
            duration_s: crate::report::duration_s(&self.source.info, &self.source.index),
            renditions: self.renditions.iter().map(|r| r.name.clone()).collect(),
            reason: plan.reason.clone(),
        });
        (self.progress)(ProgressEvent::Stage(if self.only_copies() { "copying" } else { "encoding" }));
    }

    fn layout(&self, plan: Plan, audio: Vec<vtp_stitcher::AudioTrack>) -> OutputLayout {
        let video = &self.source.info.video;
        OutputLayout {
            video: VideoTimeline {
                time_base: video.time_base,
                origin: self.source.origin,
                color: self.color(),
                rotation: video.rotation,
            },
            renditions: self.renditions.to_vec(),
            audio,
            plan,
            target_segment_s: self.request.segment_s,
            durability: Durability::Buffered,
        }
    }

    /// Pictures kept as they are keep their colours; made ones may not be able to (RGB).
    fn color(&self) -> Color {
        let keeps = |r: &Rendition| matches!(r.method, Method::Lossless { .. } | Method::Copy);
        let video = &self.source.info.video;
        if self.renditions.iter().any(keeps) { video.color } else { output_color(video) }
    }

    fn start_audio<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        task: AudioTask,
        writers: Vec<AudioWriter>,
        job: &'env Job<'env>,
    ) -> ScopedJoinHandle<'scope, Result<Option<Finished>, audio::Error>> {
        scope.spawn(move || audio::run(task, self.source, writers, &job.stop, self.progress))
    }
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> EncodeFailure {
    EncodeFailure::Internal(anyhow::anyhow!("the audio thread panicked"))
}

/// The coordinator and the threads that carry out what it asks for.
struct Run<'a, 'j> {
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
    fn start<'scope, 'env>(
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
    fn carry_out(mut self) -> Result<StageCpu, PassError> {
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
            Effect::JobDone { .. } => self.end(Ok(())),
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
        self.cpu.decode_s += chunk.cpu.decode_s;
        self.cpu.scale_s += chunk.cpu.scale_s;
        self.cpu.encode_s += chunk.cpu.encode_s;
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
