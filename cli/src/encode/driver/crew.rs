//! The workers of a run: threads that take attempts, encode chunks, and say how it went.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossbeam_channel::{Receiver, Sender};
use tracing::Span;
use vtp_encoder_node::cache::Cache;
use vtp_encoder_node::{Observer as _, Spool as _, SpoolFolder};
use vtp_engine::chunk::{EncodeTask, EncodedChunk, EncodedRendition, StageCpu};
use vtp_engine::coordinator::{TaskId, Variant, WorkerId};
use vtp_engine::delivery;
use vtp_engine::index::{FrameEntry, Index};
use vtp_engine::ladder::{Method, Rendition};
use vtp_engine::plan::{ChunkPlan, Plan};
use vtp_engine::quality::Check;
use vtp_engine::stills::Stills;
use vtp_engine::units::{Attempt, ChunkIndex, FrameIndex, PacketIndex};
use vtp_splitter::Source;

use super::tally::{Encoded, Tally};
use super::turns::HERE;
use crate::child::{self, Adoption, Child, Pool};
use crate::encode::failure::EncodeFailure;
use crate::place::Place;
use crate::telemetry::span;
use crate::work::{ChunkOrder, Hand, Kept};

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
pub enum ChunkError {
    /// In the process that worked on it, or with it.
    #[error(transparent)]
    Child(#[from] child::Error),
    /// The source is at fault.
    #[error(transparent)]
    Source(#[from] vtp_splitter::Error),
    /// There is no folder for it.
    #[error("making the spool folder {}: {error}", path.display())]
    Spool {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// What came of it somewhere else is of no use.
    #[error(transparent)]
    Delivery(#[from] delivery::Error),
    /// Those who should have made it could not.
    #[error("the fleet: {0}")]
    Elsewhere(String),
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
    /// Packets of the source that are known to show no picture, in order.
    pub(super) hidden: Vec<PacketIndex>,
    /// How quality is checked.
    pub(super) check: Option<Check>,
    /// Frames encoded.
    pub(super) encoded: Encoded,
    /// Raising it ends all encoding.
    pub(super) stop: &'a AtomicBool,
    /// Where encodings are kept for later runs, if they are.
    pub(super) cache: Option<&'a Cache>,
    /// The pictures that go with the video.
    pub(super) stills: Stills,
    /// The rendition that copies packets, if there is one.
    pub(super) copy: Option<Rendition>,
    /// Who encodes, where it is not the children here.
    pub(super) fleet: Option<&'a dyn Fleet>,
    /// The rendition that goes into the archive, if there is to be one.
    pub(super) archive: Option<&'a Rendition>,
}

/// Those who encode chunks somewhere else.
pub trait Fleet: Sync {
    /// The run's number, if it is the same however often the run is begun again.
    fn run(&self) -> Option<u64>;

    /// Looks into the source at `input`; with a `doubt` that its packets tell the truth, by decoding it. `None` if that is done
    /// here.
    ///
    /// # Errors
    /// [`EncodeFailure`].
    fn index(&self, input: &Place, doubt: Option<&str>, cancel: &AtomicBool) -> Result<Option<Source>, EncodeFailure>;

    /// Carries out an order, whose packets `pack` puts into an archive; the samples lie in the task's spool folder then.
    /// Blocks until that is done, whoever does it in the end.
    ///
    /// # Errors
    /// [`ChunkError`], which tells whether another attempt may help.
    fn carry_out(&self, order: &ChunkOrder, pack: &Pack<'_>, stop: &AtomicBool) -> Result<EncodedChunk, ChunkError>;
}

/// Writes the archive of a chunk's packets to a file.
pub type Pack<'a> = dyn Fn(&Path) -> Result<(), child::Error> + 'a;

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
        let plan = &self.plan.chunks[order.task.chunk.0 as usize];
        span::within(self.traced(order, plan), || self.make(order, plan))
    }

    /// The span of an order: it is worked on here, or waited for.
    fn traced(&self, order: &Order, plan: &ChunkPlan) -> Span {
        let (chunk, attempt) = (i64::from(order.task.chunk.0), i64::from(order.attempt.0));
        let frames = i64::from(plan.frames.end - plan.frames.start);
        let repair = matches!(order.work, Work::Repair(_));
        match self.fleet {
            Some(_) => tracing::info_span!("wait", chunk, attempt, frames, repair),
            None => tracing::info_span!("chunk", chunk, attempt, frames, repair),
        }
    }

    fn make(&self, order: &Order, plan: &ChunkPlan) -> Result<EncodedChunk, ChunkError> {
        let (name, renditions) = match &order.work {
            Work::Whole | Work::Concealed => {
                let archive = self.archive.into_iter().cloned().collect();
                ("attempt", [self.encoded_renditions(), archive, self.stills.of_chunk(plan.frames.clone())].concat())
            }
            Work::Repair(renditions) => ("repair", renditions.clone()),
        };
        let spool = self.spool.join(format!("chunk-{:05}.{name}-{}", plan.index.0, order.attempt.0));
        std::fs::create_dir_all(&spool).map_err(|error| ChunkError::Spool { path: spool.clone(), error })?;
        let concealed = matches!(order.work, Work::Concealed);
        let until_good = !matches!(order.work, Work::Repair(_));
        let task = EncodeTask { concealed, ..self.task(plan, order.attempt, renditions, spool) };
        let chunk_order = ChunkOrder { task, packets: plan.packets.clone(), variant: order.variant, until_good };
        // Only whole chunks count as progress.
        let counts = |name: &str| until_good && self.is_delivered(name);
        let tally = Tally::new(&self.encoded, &counts);
        let mut chunk = self.encoded(&chunk_order, &tally)?;
        if until_good && let Some(rendition) = &self.copy {
            let copied = self.copied(rendition, plan, &chunk_order.task)?;
            tally.frames_encoded(&rendition.name, plan.frames.end - plan.frames.start);
            chunk.renditions.push(copied);
        }
        tally.keep();
        Ok(chunk)
    }

    /// Whether frames are encoded for a rendition of this name: pictures by themselves are not.
    fn is_delivered(&self, name: &str) -> bool {
        self.renditions.iter().chain(self.archive).any(|it| it.name == name)
    }

    /// What there is to encode of an order, encoded.
    fn encoded(&self, order: &ChunkOrder, tally: &Tally<'_>) -> Result<EncodedChunk, ChunkError> {
        let task = &order.task;
        if task.renditions.is_empty() {
            let (chunk, attempt) = (task.chunk, task.attempt);
            return Ok(EncodedChunk { chunk, attempt, renditions: Vec::new(), cpu: StageCpu::default() });
        }
        // As many go on at a time as there are cores, whoever would have encoded it.
        let mut turn = None;
        if let Some(fleet) = self.fleet {
            let pack = |archive: &Path| self.pack(order, archive);
            match fleet.carry_out(order, &pack, self.stop) {
                // What is wrong shows here, too, and can be told as it is.
                Err(ChunkError::Elsewhere(why)) => {
                    tracing::warn!(chunk = task.chunk.0, why, "encoded here, for the fleet could not");
                    turn = Some(HERE.take(self.stop).ok_or(child::Error::Cancelled)?);
                }
                Ok(made) => {
                    let frames = u32::try_from(task.frames.len()).unwrap_or(u32::MAX);
                    made.renditions.iter().for_each(|it| tally.frames_encoded(&it.rendition, frames));
                    return Ok(made);
                }
                Err(error) => return Err(error),
            }
        }
        let extradata = self.source.video_parameters()?.extradata();
        let made = self.lent(|child| {
            tally.begin_again();
            let kept = match self.cache.filter(|_| !task.concealed) {
                Some(cache) => {
                    let source = child.hash(order.packets.clone(), self.stop)?;
                    Some(Kept { cache, source, extradata })
                }
                None => None,
            };
            Hand { child, stop: self.stop, kept }.carry_out(order, tally)
        });
        drop(turn);
        Ok(made?)
    }

    fn copied(
        &self,
        rendition: &Rendition,
        plan: &ChunkPlan,
        task: &EncodeTask,
    ) -> Result<EncodedRendition, child::Error> {
        self.lent(|child| {
            let writer = SpoolFolder::Buffered.begin(task, rendition);
            let writer = writer.map_err(|error| child::Error::Spool { path: task.spool.clone(), error })?;
            child.copy(&rendition.name, task, self.packets_to_copy(plan), writer, self.stop)
        })
    }

    /// Writes the packets of an order to the file `archive`.
    fn pack(&self, order: &ChunkOrder, archive: &Path) -> Result<(), child::Error> {
        self.lent(|child| child.pack(&self.index, order.packets.clone(), archive, self.stop))
    }

    /// Gives `work` a child that has the source.
    fn lent<T>(&self, work: impl FnMut(&mut Child) -> Result<T, child::Error>) -> Result<T, child::Error> {
        self.children.lent_with(self.adoption, self.stop, work)
    }

    /// From the chunk's first frame to the next chunk's, in decode order: chunks that copy start at closed cuts.
    fn packets_to_copy(&self, plan: &ChunkPlan) -> Range<u32> {
        let (index, frames) = (&self.index, &plan.frames);
        let packet = |frame: u32| index.frames.get(frame as usize).map(|frame| frame.packet.0);
        let end = packet(frames.end).unwrap_or(index.packets.len() as u32);
        packet(frames.start).unwrap_or(end)..end
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
            hidden: self.hidden_of(&plan.packets),
            concealed: false,
            context: self.context(start, end),
            segment_starts: starts.iter().map(|segment| segment.start - plan.frames.start).collect(),
            renditions,
            check: self.check,
            spool,
        }
    }

    /// Those of the packets that are known to show no picture.
    fn hidden_of(&self, packets: &Range<u32>) -> Vec<PacketIndex> {
        let before = |end: u32| self.hidden.partition_point(|packet| packet.0 < end);
        self.hidden[before(packets.start)..before(packets.end)].to_vec()
    }

    fn context(&self, start: usize, end: usize) -> (Vec<FrameEntry>, Vec<FrameEntry>) {
        let (frames, reach) = (&self.index.frames, self.context_frames as usize);
        (frames[start.saturating_sub(reach)..start].to_vec(), frames[end..frames.len().min(end + reach)].to_vec())
    }
}
