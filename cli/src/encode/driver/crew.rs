//! The workers of a run: threads that take attempts, encode chunks, and say how it went.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender};
use vtp_encoder_node::cache::{Cache, SourceHash};
use vtp_encoder_node::{self as node, Observer, Spool as _, SpoolFolder};
use vtp_engine::chunk::{EncodeTask, EncodedChunk, StageCpu};
use vtp_engine::coordinator::{TaskId, Variant, WorkerId};
use vtp_engine::index::{FrameEntry, Index};
use vtp_engine::ladder::{Method, Rendition};
use vtp_engine::plan::{ChunkPlan, Plan};
use vtp_engine::quality::Check;
use vtp_engine::stills::Stills;
use vtp_engine::units::{Attempt, ChunkIndex, FrameIndex};
use vtp_splitter::Source;

use crate::child::{self, Adoption, Child, Pool};

/// What a worker is told to do.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) task: TaskId,
    pub(super) attempt: Attempt,
    pub(super) variant: Variant,
    pub(super) work: Work,
}

/// What is to be made of a chunk.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// All renditions, each encoded until it is good enough.
    Whole,
    /// All renditions, of pictures that are made up since the source's can't be decoded.
    Concealed,
    /// These renditions, encoded once, whatever comes of it.
    Repair(Vec<Rendition>),
}

/// What a worker says.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) worker: WorkerId,
    pub(super) order: Order,
    pub(super) result: Result<EncodedChunk, ChunkError>,
}

/// Why an attempt came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChunkError {
    /// In the process that worked on it, or with it.
    #[error(transparent)]
    Child(#[from] child::Error),
    #[error(transparent)]
    Source(#[from] vtp_splitter::Error),
    #[error("making the spool folder {}: {error}", path.display())]
    Spool {
        path: PathBuf,
        #[source]
        error: std::io::Error,
    },
}

/// What all workers share.
pub(super) struct Job<'a> {
    pub(super) source: &'a Source,
    /// The processes that work on it, and what they are told of it.
    pub(super) children: &'a Pool,
    pub(super) adoption: &'a Adoption,
    pub(super) index: Arc<Index>,
    pub(super) plan: &'a Plan,
    pub(super) renditions: &'a [Rendition],
    pub(super) spool: &'a Path,
    /// Neighbours of a chunk's frames that the deinterlacer may look at.
    pub(super) context_frames: u32,
    /// As in [`EncodeTask`].
    pub(super) one_frame_a_packet: bool,
    /// How quality is checked.
    pub(super) check: Option<Check>,
    /// Frames encoded, summed over renditions.
    pub(super) encoded: AtomicU64,
    /// Raising it ends all encoding.
    pub(super) stop: &'a AtomicBool,
    /// Where encodings are kept for later runs, if they are.
    pub(super) cache: Option<&'a Cache>,
    /// The pictures that go with the video.
    pub(super) stills: Stills,
    /// The rendition that copies packets, if there is one.
    pub(super) copy: Option<Rendition>,
}

/// So often a process that works on a chunk may be killed by somebody else before that counts as a failed attempt.
const MOST_KILLS: u32 = 8;

impl Job<'_> {
    /// A worker's life: takes orders until there are no more.
    pub(super) fn work(&self, worker: WorkerId, orders: &Receiver<Order>, told: &Sender<Told>) {
        for order in orders {
            let result = self.encode(&order);
            if told.send(Told { worker, order, result }).is_err() {
                return;
            }
        }
    }

    /// Carries out an order. What befalls the process that works on it from outside costs its time and no attempt.
    pub(super) fn encode(&self, order: &Order) -> Result<EncodedChunk, ChunkError> {
        let mut kills = 0;
        loop {
            match self.try_encode(order) {
                Err(ChunkError::Child(child::Error::Died(death))) if !death.cause.is_own() && kills < MOST_KILLS => {
                    tracing::warn!(chunk = order.task.chunk.0, %death, "started again");
                    kills += 1;
                }
                result => return result,
            }
        }
    }

    fn try_encode(&self, order: &Order) -> Result<EncodedChunk, ChunkError> {
        let plan = &self.plan.chunks[order.task.chunk.0 as usize];
        let (name, renditions) = match &order.work {
            Work::Whole | Work::Concealed => {
                ("attempt", [self.encoded_renditions(), self.stills.of_chunk(plan.frames.clone())].concat())
            }
            Work::Repair(renditions) => ("repair", renditions.clone()),
        };
        let spool = self.spool.join(format!("chunk-{:05}.{name}-{}", plan.index.0, order.attempt.0));
        std::fs::create_dir_all(&spool).map_err(|error| ChunkError::Spool { path: spool.clone(), error })?;
        let concealed = matches!(order.work, Work::Concealed);
        let task = EncodeTask { concealed, ..self.task(plan, order.attempt, renditions, spool) };
        let mut child = self.children.hire()?;
        child.adopt(self.adoption, self.stop)?;
        let kept = match self.cache.filter(|_| !concealed && !task.renditions.is_empty()) {
            Some(cache) => Some((cache, child.hash(plan.packets.clone(), self.stop)?)),
            None => None,
        };
        let mut chunk = Chunk { job: self, child: &mut child, plan, kept, variant: order.variant };
        let encoded = match order.work {
            Work::Whole | Work::Concealed => chunk.encode_whole(&task),
            Work::Repair(_) => chunk.encode_once(&task, &()),
        };
        // One that could only say why not is as good as before.
        if matches!(encoded, Ok(_) | Err(ChunkError::Child(child::Error::Failed(_)))) {
            self.children.dismiss(child);
        }
        encoded
    }

    /// How long the chunk at this place of the plan is shown, in seconds.
    pub(super) fn seconds(&self, place: usize) -> f64 {
        let frames = &self.plan.chunks[place].frames;
        self.source.info.video.time_base.seconds(self.pts(frames.end) - self.pts(frames.start))
    }

    /// When a chunk is shown, in seconds of the output.
    pub(super) fn span(&self, chunk: ChunkIndex) -> Range<f64> {
        let frames = self.plan.chunks.get(chunk.0 as usize).map_or(0..0, |chunk| chunk.frames.clone());
        let seconds = |frame: u32| self.source.info.video.time_base.seconds(self.pts(frame) - self.source.origin);
        seconds(frames.start)..seconds(frames.end)
    }

    /// When a frame is shown; for the one past the last, when that ends.
    fn pts(&self, frame: u32) -> i64 {
        self.index.pts(FrameIndex(frame))
    }

    /// The renditions that are not copied.
    fn encoded_renditions(&self) -> Vec<Rendition> {
        self.renditions.iter().filter(|r| r.method != Method::Copy).cloned().collect()
    }

    fn task(&self, plan: &ChunkPlan, attempt: Attempt, renditions: Vec<Rendition>, spool: PathBuf) -> EncodeTask {
        let (start, end) = (plan.frames.start as usize, plan.frames.end as usize);
        let starts = &self.plan.segments[plan.segments.start as usize..plan.segments.end as usize];
        EncodeTask {
            chunk: plan.index,
            last: end == self.index.frames.len(),
            attempt,
            video: self.source.info.video.clone(),
            frames: self.index.frames[start..end].to_vec(),
            one_frame_a_packet: self.one_frame_a_packet,
            concealed: false,
            context: self.context(start, end),
            segment_starts: starts.iter().map(|segment| segment.start - plan.frames.start).collect(),
            renditions,
            check: self.check,
            spool,
        }
    }

    fn context(&self, start: usize, end: usize) -> (Vec<FrameEntry>, Vec<FrameEntry>) {
        let (frames, reach) = (&self.index.frames, self.context_frames as usize);
        (frames[start.saturating_sub(reach)..start].to_vec(), frames[end..frames.len().min(end + reach)].to_vec())
    }
}

impl Observer for Job<'_> {
    fn frames_encoded(&self, rendition: &str, frames: u32) {
        // Pictures by themselves are no progress.
        if self.renditions.iter().any(|it| it.name == rendition) {
            self.encoded.fetch_add(frames.into(), Ordering::Relaxed);
        }
    }
}

/// A chunk that a worker encodes.
struct Chunk<'a> {
    job: &'a Job<'a>,
    child: &'a mut Child,
    plan: &'a ChunkPlan,
    /// Where its encodings are kept, and what they are made from, if they are.
    kept: Option<(&'a Cache, SourceHash)>,
    variant: Variant,
}

impl Chunk<'_> {
    fn encode_whole(&mut self, task: &EncodeTask) -> Result<EncodedChunk, ChunkError> {
        let mut chunk =
            EncodedChunk { chunk: task.chunk, attempt: task.attempt, renditions: Vec::new(), cpu: StageCpu::default() };
        if !task.renditions.is_empty() {
            // Only the first time counts as progress.
            let mut observer: &dyn Observer = self.job;
            chunk =
                node::encode_until_good(task, |task| self.encode_once(task, std::mem::replace(&mut observer, &())))?;
        }
        if let Some(rendition) = &self.job.copy {
            let writer = SpoolFolder::Buffered.begin(task, rendition);
            let writer = writer.map_err(|error| ChunkError::Spool { path: task.spool.clone(), error })?;
            let copied = self.child.copy(&rendition.name, task, self.packets_to_copy(), writer, self.job.stop)?;
            self.job.frames_encoded(&rendition.name, self.plan.frames.end - self.plan.frames.start);
            chunk.renditions.push(copied);
        }
        Ok(chunk)
    }

    /// Encodes the renditions of `task` that are not kept from an earlier time.
    fn encode_once(&mut self, task: &EncodeTask, observer: &dyn Observer) -> Result<EncodedChunk, ChunkError> {
        let extradata = self.job.source.video_parameters()?.extradata();
        let kept = self.kept;
        let mut encode = |task: &EncodeTask| self.encode_now(task, observer);
        match kept {
            Some((cache, source)) => cache.encode(&source, extradata, task, observer, encode),
            None => encode(task),
        }
    }

    /// Where an attempt has failed before, the next makes one rendition at a time: fewer threads, less memory, and the
    /// same bytes.
    fn encode_now(&mut self, task: &EncodeTask, observer: &dyn Observer) -> Result<EncodedChunk, ChunkError> {
        let (job, packets) = (self.job, self.plan.packets.clone());
        let mut encode =
            |task: &EncodeTask| self.child.encode(task, packets.clone(), &SpoolFolder::Durable, observer, job.stop);
        if self.variant == Variant::Usual {
            return Ok(encode(task)?);
        }
        let mut whole =
            EncodedChunk { chunk: task.chunk, attempt: task.attempt, renditions: Vec::new(), cpu: StageCpu::default() };
        for rendition in &task.renditions {
            let EncodedChunk { renditions, cpu, .. } =
                encode(&EncodeTask { renditions: vec![rendition.clone()], ..task.clone() })?;
            whole.renditions.extend(renditions);
            whole.cpu += cpu;
        }
        Ok(whole)
    }

    /// From the chunk's first frame to the next chunk's, in decode order: chunks that copy start at closed cuts.
    fn packets_to_copy(&self) -> Range<u32> {
        let (index, frames) = (&self.job.index, &self.plan.frames);
        let packet = |frame: u32| index.frames.get(frame as usize).map(|frame| frame.packet.0);
        let end = packet(frames.end).unwrap_or(index.packets.len() as u32);
        packet(frames.start).unwrap_or(end)..end
    }
}
