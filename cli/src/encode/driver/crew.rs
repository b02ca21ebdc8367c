//! The workers of a run: threads that take attempts, encode chunks, and say how it went.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender};
use vtp_encoder_node::cache::{Cache, SourceHash};
use vtp_encoder_node::{self as node, Copier, Equipment, Extractors, Observer, PacketSource};
use vtp_engine::chunk::{EncodeTask, EncodedChunk, StageCpu};
use vtp_engine::coordinator::{TaskId, WorkerId};
use vtp_engine::index::{FrameEntry, Index};
use vtp_engine::ladder::{Method, Rendition};
use vtp_engine::media::demux::SourcePacket;
use vtp_engine::media::encode;
use vtp_engine::plan::{ChunkPlan, Plan};
use vtp_engine::quality::Check;
use vtp_engine::units::{Attempt, PacketIndex};
use vtp_splitter::{ChunkReader, Source};

/// What a worker is told to do.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) task: TaskId,
    pub(super) attempt: Attempt,
    pub(super) work: Work,
}

/// What is to be made of a chunk.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// All renditions, each encoded until it is good enough.
    Whole,
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
    #[error(transparent)]
    Node(#[from] node::Error),
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
    /// What it is measured with.
    pub(super) extractors: Extractors,
    /// Frames encoded, summed over renditions.
    pub(super) encoded: AtomicU64,
    /// Raising it ends all encoding.
    pub(super) stop: &'a AtomicBool,
    /// Where encodings are kept for later runs, if they are.
    pub(super) cache: Option<&'a Cache>,
    /// The rendition that copies packets, by name, if there is one.
    pub(super) copy: Option<(String, Copier)>,
}

impl Job<'_> {
    /// A worker's life: takes orders until there are no more.
    pub(super) fn work(&self, worker: WorkerId, orders: &Receiver<Order>, told: &Sender<Told>) {
        let mut reader = None;
        for order in orders {
            let result = self.encode(&mut reader, &order);
            if told.send(Told { worker, order, result }).is_err() {
                return;
            }
        }
    }

    /// Carries out an order with a reader that is kept from one to the next.
    pub(super) fn encode(&self, reader: &mut Option<ChunkReader>, order: &Order) -> Result<EncodedChunk, ChunkError> {
        let plan = &self.plan.chunks[order.task.chunk.0 as usize];
        let reader = match reader {
            Some(reader) => reader,
            none => none.insert(ChunkReader::new(self.source, Arc::clone(&self.index))?),
        };
        let (name, renditions) = match &order.work {
            Work::Whole => ("attempt", self.encoded_renditions()),
            Work::Repair(renditions) => ("repair", renditions.clone()),
        };
        let spool = self.spool.join(format!("chunk-{:05}.{name}-{}", plan.index.0, order.attempt.0));
        std::fs::create_dir_all(&spool).map_err(|error| ChunkError::Spool { path: spool.clone(), error })?;
        let task = self.task(plan, order.attempt, renditions, spool);
        let kept = match self.cache.filter(|_| !task.renditions.is_empty()) {
            Some(cache) => {
                let source = Packets::of(reader, plan.packets.clone())?.give(|packets| SourceHash::of(packets))?;
                Some((cache, source))
            }
            None => None,
        };
        let mut chunk = Chunk { job: self, reader, plan, kept };
        match order.work {
            Work::Whole => chunk.encode_whole(&task),
            Work::Repair(_) => chunk.encode_once(&task, &()),
        }
    }

    /// How long the chunk at this place of the plan is shown, in seconds.
    pub(super) fn seconds(&self, place: usize) -> f64 {
        let frames = &self.plan.chunks[place].frames;
        let pts = |frame: u32| self.index.frames.get(frame as usize).map_or(self.index.end(), |frame| frame.pts);
        self.source.info.video.time_base.seconds(pts(frames.end) - pts(frames.start))
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
    fn frames_encoded(&self, _rendition: &str, frames: u32) {
        self.encoded.fetch_add(frames.into(), Ordering::Relaxed);
    }
}

/// A chunk that a worker encodes.
struct Chunk<'a> {
    job: &'a Job<'a>,
    reader: &'a mut ChunkReader,
    plan: &'a ChunkPlan,
    /// Where its encodings are kept, and what they are made from, if they are.
    kept: Option<(&'a Cache, SourceHash)>,
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
        if let Some((name, copier)) = &self.job.copy {
            let spool = task.spool.join(format!("{name}.samples"));
            let copied = Packets::of(self.reader, self.packets_to_copy())?
                .give(|packets| copier.copy_chunk(name, &task.frames, &self.job.index, packets, &spool))?;
            self.job.frames_encoded(name, self.plan.frames.end - self.plan.frames.start);
            chunk.renditions.push(copied);
        }
        Ok(chunk)
    }

    /// Encodes the renditions of `task` that are not kept from an earlier time.
    fn encode_once(&mut self, task: &EncodeTask, observer: &dyn Observer) -> Result<EncodedChunk, ChunkError> {
        let parameters = self.job.source.video_parameters()?;
        let equipment = Equipment {
            parameters,
            open: &encode::open,
            extractors: &self.job.extractors,
            observer,
            cancel: self.job.stop,
        };
        let (reader, packets) = (&mut *self.reader, self.plan.packets.clone());
        let encode = |task: &EncodeTask| {
            Packets::of(reader, packets)?.give(|packets| node::encode_chunk(task, packets, &equipment))
        };
        match &self.kept {
            Some((cache, source)) => cache.encode(source, parameters.extradata(), task, observer, encode),
            None => encode(task),
        }
    }

    /// From the chunk's first frame to the next chunk's, in decode order: chunks that copy start at closed cuts.
    fn packets_to_copy(&self) -> Range<u32> {
        let (index, frames) = (&self.job.index, &self.plan.frames);
        let packet = |frame: u32| index.frames.get(frame as usize).map(|frame| frame.packet.0);
        let end = packet(frames.end).unwrap_or(index.packets.len() as u32);
        packet(frames.start).unwrap_or(end)..end
    }
}

/// A chunk reader as the encoder node sees it: the reader's own error is kept beside.
struct Packets<'a> {
    reader: &'a mut ChunkReader,
    failed: Option<vtp_splitter::Error>,
}

impl<'a> Packets<'a> {
    fn of(reader: &'a mut ChunkReader, packets: Range<u32>) -> Result<Self, vtp_splitter::Error> {
        reader.start(packets)?;
        Ok(Self { reader, failed: None })
    }

    /// Gives the packets to `work`; the reader's own error counts before what came of it.
    fn give<T>(mut self, work: impl FnOnce(&mut Self) -> Result<T, node::Error>) -> Result<T, ChunkError> {
        let result = work(&mut self);
        match self.failed {
            Some(error) => Err(error.into()),
            None => Ok(result?),
        }
    }
}

impl PacketSource for Packets<'_> {
    fn next(&mut self) -> Result<Option<(PacketIndex, SourcePacket)>, node::Error> {
        self.reader.next_packet().map_err(|error| {
            let told = node::Error::Packets { message: error.to_string(), class: node::Class::Permanent };
            self.failed = Some(error);
            told
        })
    }
}
